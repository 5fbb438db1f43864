"""Counts what neurons do while a run is stored, in memory that does not grow with the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numba import njit

from biosim.checkpoints.arrays import Stretch
from biosim.checkpoints.directory import Checkpoint
from biosim.contracts import Ranks
from biosim.spiking.recording import NullSink, Recording, Sink

COUNTED = "counted"
"""Group of a checkpoint."""

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Activity:
    """What a population did in a run.

    Args:
        neurons: how many there are.
        spikes: how many they fired.
        rate_hz: mean over neurons.
        cv: coefficient of variation of the intervals, mean over the neurons that had at least
            two; NaN if none had.
    """

    neurons: int
    spikes: int
    rate_hz: float
    cv: float


class CountingSink:
    """Counts every spike, and passes on what is to be stored.

    Args:
        recording: what is to be stored.
        sizes: populations -> number of neurons.
    """

    def __init__(self, recording: Recording, sizes: Mapping[str, int]) -> None:
        self.store: Sink = NullSink()
        self._stored = {record.population: record for record in recording.spikes}
        # Of each neuron: spikes, its last tick + 1, intervals, their sum and sum of squares.
        self._counts = {name: np.zeros((5, size), dtype=np.int64) for name, size in sizes.items()}

    def spikes(self, population: str, ticks: Int64s, neurons: npt.NDArray[np.uint32]) -> None:
        """Count the spikes of a window, and pass on those that are to be stored."""
        _count(self._counts[population], ticks, neurons)
        if population in self._stored:
            chosen = self._stored[population].chosen(ticks, neurons)
            self.store.spikes(population, *chosen)

    def states(
        self, population: str, variable: str, ticks: Int64s, neurons: Int64s, values: Any
    ) -> None:
        """Pass on the samples of a window."""
        self.store.states(population, variable, ticks, neurons, values)

    def weights(
        self, projection: str, tick: int, sources: Any, targets: Any, values: Mapping[str, Any]
    ) -> None:
        """Pass on a snapshot."""
        self.store.weights(projection, tick, sources, targets, values)

    def commit(self, tick: int) -> None:
        """Pass on that a window is over."""
        self.store.commit(tick)

    def stretches(self, owned: Mapping[str, tuple[int, int]]) -> Iterator[Stretch]:
        """Yield what was counted of the neurons that this rank owns, for a checkpoint.

        Args:
            owned: population -> [lo, hi).
        """
        for name, counts in self._counts.items():
            lo, hi = owned[name]
            yield Stretch(f"{COUNTED}/{name}", counts[:, lo:hi].T, lo, counts.shape[1])

    def restore(self, checkpoint: Checkpoint, owned: Mapping[str, tuple[int, int]]) -> None:
        """Go on from what was counted of the neurons that this rank owns."""
        for name, counts in self._counts.items():
            lo, hi = owned[name]
            counts[:, lo:hi] = checkpoint.read(f"{COUNTED}/{name}", lo, hi - lo).T

    def activity(self, ranks: Ranks, seconds: float) -> dict[str, Activity]:
        """Return what each population did on all ranks, in a run of so many seconds."""
        found = {}
        for name, counts in self._counts.items():
            spikes, _, n, total, squares = (
                ranks.sum(torch.from_numpy(counts).flatten()).reshape(counts.shape).numpy()
            )
            several = n >= 2
            mean = total[several] / n[several]
            variance = squares[several] / n[several] - mean**2
            cv = np.sqrt(np.maximum(variance, 0.0)) / mean
            fired = int(spikes.sum())
            found[name] = Activity(
                neurons=len(spikes),
                spikes=fired,
                rate_hz=fired / len(spikes) / seconds,
                cv=float(cv.mean()) if len(cv) else float("nan"),
            )
        return found


@njit(nogil=True, cache=True)
def _count(counts, ticks, neurons):  # type: ignore[no-untyped-def]
    spikes, last, n, total, squares = counts
    for s in range(ticks.shape[0]):
        i, now = neurons[s], ticks[s] + 1
        if last[i] > 0:
            interval = now - last[i]
            n[i] += 1
            total[i] += interval
            squares[i] += interval * interval
        last[i] = now
        spikes[i] += 1
