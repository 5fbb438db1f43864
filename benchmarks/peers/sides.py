"""The sides of a comparison: who measures what, in turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.peers.environments import Missing
from benchmarks.peers.measure import Measured, biosim_measure, brian2_measure, nest_measure

SIDES = ("NEST", "float32", "Brian2", "float64")
"""In the order in which they run; biosim goes by the precision of its state."""

SHORT_S = 0.02
"""Biological time of runs of which only the memory or the building is looked at."""


@dataclass(frozen=True)
class Asked:
    """What is to be measured."""

    networks: tuple[str, ...]
    repeats: int
    threads: int


def interleaved(
    sides: Mapping[str, Callable[[int], Measured]], repeats: int
) -> dict[str, list[Measured]]:
    """Call every side in turn, `repeats` times; a side that fails is left out, with the reason.

    Args:
        sides: names -> measurements by seed.
        repeats: how many of each.

    Returns:
        Names of the sides that answered every time -> their answers.
    """
    found: dict[str, list[Measured]] = {name: [] for name in sides}
    for seed in range(1, repeats + 1):
        for name, side in sides.items():
            if name not in found:
                continue
            try:
                found[name].append(side(seed))
            except Missing as reason:
                print(f"skipped {name}: {reason}", flush=True)
                del found[name]
    return found


def each(found: Sequence[Measured], key: str) -> list[float]:
    return [float(one[key]) for one in found]


def median(found: Mapping[str, list[Measured]], side: str, key: str) -> float | None:
    """Return a side's median, or None where the side is missing."""
    return statistics.median(each(found[side], key)) if found.get(side) else None


def simulators(network: str, asked: Asked, *options: str) -> dict[str, Callable[[int], Measured]]:
    """Return how each simulator measures a network."""

    def peer(measure: Callable[..., Measured], seed: int) -> Measured:
        return measure(network, *options, threads=asked.threads, seed=seed)

    def own(dtype: str, seed: int) -> Measured:
        return biosim_measure(
            network, threads=asked.threads, dtype=dtype, seed=seed, options=options
        )

    return {
        "NEST": partial(peer, nest_measure),
        "float32": partial(own, "float32"),
        "Brian2": partial(peer, brian2_measure),
        "float64": partial(own, "float64"),
    }
