"""How much a run will store, held against the room on its disk before it begins.

What a spiking network stores depends on how much it fires: see `scenarios.spiking.disk`. What a
run that learns from data stores is known: snapshots of weights and of activity, counted here as
if they did not shrink, which they hardly do.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from biosim.errors import OutputError
from biosim.network import Network
from biosim.spiking.description import Sparse
from biosim.wiring import Dense
from scenarios.data import Dataset
from scenarios.images.schema import ImagesScenario
from scenarios.scenario import Scenario, snapshot_epochs

CURVE_BYTES = 1 << 17
"""Of learning curves, ledger, timings and descriptions."""

COUNT_BYTES = 8
"""Of how often a neuron fired."""


@dataclass(frozen=True)
class Kept:
    """What a run that learns from data stores.

    Args:
        weight_bytes: of snapshots of weights and biases.
        activity_bytes: of activity for test samples.
    """

    weight_bytes: int
    activity_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it, with what every run stores."""
        return self.weight_bytes + self.activity_bytes + CURVE_BYTES

    def line(self) -> str:
        """Return the figures for a terminal."""
        return (
            f"{size_text(self.weight_bytes)} of weights, {size_text(self.activity_bytes)} of "
            f"activity: {size_text(self.total_bytes)} in all"
        )


def kept(scenario: Scenario | ImagesScenario, network: Network, dataset: Dataset) -> Kept:
    """Return what a run that learns from data stores.

    Args:
        scenario: says what is recorded, and when.
        network: its own; of spiking neurons, what learns is stored.
        dataset: its own.
    """
    run, record = scenario.run, scenario.record
    number_bytes = 4 if run.dtype == "float32" else 8
    numbers, targets = 0, set()
    for projection in network.projections:
        weights, target = projection.weights, network.size(projection.target)
        if isinstance(weights, Dense):
            numbers += target * network.size(projection.source) + (target if weights.bias else 0)
        elif isinstance(weights, Sparse) and weights.synapse is not None:
            numbers += target * network.size(projection.source)
        else:
            continue
        targets.add(projection.target)
    snapshots = len(snapshot_epochs(record.weights, run.epochs))
    samples = len(record.positions(len(dataset.test)))
    shown = samples * len(snapshot_epochs(record.activity, run.epochs))
    neurons = sum(network.size(name) for name in targets)
    counted = isinstance(scenario, ImagesScenario)
    each = COUNT_BYTES if counted else number_bytes
    return Kept(snapshots * numbers * number_bytes, shown * neurons * each)


def check_kept(needed: Kept, out: Path, free_bytes: float | None = None) -> None:
    """Hold what a run that learns from data will store against the room on its disk.

    Args:
        needed: by the run.
        out: its directory, which need not be there yet.
        free_bytes: on the disk of `out`; None to ask.

    Raises:
        OutputError: there is too little room.
    """
    check_room(
        needed.total_bytes, needed.line(), "record.weights, record.activity", out, free_bytes
    )


def check_room(
    most_bytes: float, said: str, settings: str, out: Path, free_bytes: float | None = None
) -> None:
    """Hold what a run will need on the way against the room on its disk.

    Args:
        most_bytes: that it needs at a time.
        said: what it stores, in words.
        settings: by which it would store less.
        out: its directory, which need not be there yet.
        free_bytes: on the disk of `out`; None to ask.

    Raises:
        OutputError: there is too little room.
    """
    free = room(out) + _replaced_bytes(out) if free_bytes is None else free_bytes
    if most_bytes > free:
        raise OutputError(
            f"the run would store about {said}; {out} has room for {size_text(free)}: record less "
            f"({settings}), or choose another --out"
        )


def room(out: Path) -> float:
    """Return the bytes free on the disk of a directory, which need not be there yet."""
    there = out.absolute()
    while not there.exists():
        there = there.parent
    usage = shutil.disk_usage(there)
    # A file system without a size, such as /proc, says nothing of room; writing will.
    return float(usage.free) if usage.total else float("inf")


def _replaced_bytes(out: Path) -> int:
    """Return the bytes of an earlier run in a directory, which goes before the next is stored."""
    return sum(path.lstat().st_size for path in out.rglob("*") if path.is_file())


def size_text(size: float) -> str:
    """Return a size as text."""
    if size < 2**20:
        return f"{size / 2**10:.1f} KiB"
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
