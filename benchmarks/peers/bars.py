"""The bars, and the arithmetic of ratios. No measurement is made here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SpeedBar:
    """How many times faster than a peer: on every network, and in the geometric mean."""

    each: float
    mean: float


SPEED = {"NEST": SpeedBar(12.0, 20.0), "Brian2": SpeedBar(2.0, 4.0)}
DIEHL_COOK_TIMES = 50.0
STATIC_BYTES = 8.0
PLASTIC_BYTES = 16.0
CONNECT_TIMES = 1.0
START_COLD_S = 3.0
START_CACHED_S = 0.5
SILENT_SHARE = 0.01
EVENT_SPREAD = 2.0
RECORDING_TIMES = 1.1
STORED_BYTES = 4.2
LONGER_BYTES = 1.1
"""Memory of a run 20 times longer, of that of the short one."""
MICROCIRCUIT_GB = 16.0
MICROCIRCUIT_TIMES = 3.0
"""Of real time, on two cores."""


def paired(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Return the median ratio of measurements that were made side by side.

    Args:
        slow: (n,) seconds of one side.
        fast: (n,) seconds of the other, each beside its neighbour.
    """
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


def geometric_mean(ratios: Sequence[float]) -> float:
    """Return the geometric mean of positive numbers."""
    return math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))


def bytes_a_synapse(with_synapses: int, without: int, synapses: float) -> float:
    """Return the growth of a process over the same network without synapses, for each."""
    return (with_synapses - without) / synapses


def bytes_a_plastic_synapse(growth: float, static: float, plastic: float, each: float) -> float:
    """Return what a plastic synapse takes where static ones are beside.

    Args:
        growth: bytes of all synapses together.
        static: number of static ones.
        plastic: number of plastic ones.
        each: bytes of a static one.
    """
    return (growth - static * each) / plastic


def verdict(value: float | None, bar: float, *, least: bool) -> str:
    """Return the bar and whether it is kept: "20 yes".

    Args:
        value: None where nothing was measured.
        bar: the least or greatest value allowed.
        least: whether it is the least.
    """
    if value is None:
        return f"{bar:g} -"
    kept = value >= bar if least else value <= bar
    return f"{bar:g} {'yes' if kept else 'NO'}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines with columns as wide as they need be; the first is flush left."""
    widths = [max(len(row[c]) for row in (heads, *rows)) for c in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if c == 0 else cell.rjust(width)
            for c, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (heads, *rows)
    )


def shown(value: float | None, form: str = ".3g") -> str:
    """Return a number, from a thousand on without an exponent, or a dash."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else format(value, form)
