"""What a task hears of its network while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from biosim.spiking.recording import Int64s, NullSink, Sink, UInt32s, Values


class Listener:
    """Keeps when some populations fired until it is asked, and passes everything on.

    Args:
        populations: that are listened to.

    Attributes:
        behind: takes what is passed on.
    """

    def __init__(self, populations: Iterable[str]) -> None:
        self._held: dict[str, list[Int64s]] = {name: [] for name in populations}
        self.behind: Sink = NullSink()

    def taken(self, population: str) -> Int64s:
        """Return the ticks of the spikes since it was last asked, (n,), in order."""
        found = self._held[population]
        self._held[population] = []
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)

    def spikes(self, population: str, ticks: Int64s, neurons: UInt32s) -> None:
        """Take the spikes of a window."""
        if population in self._held:
            self._held[population].append(ticks.copy())
        self.behind.spikes(population, ticks, neurons)

    def states(
        self, population: str, variable: str, ticks: Int64s, neurons: Int64s, values: Values
    ) -> None:
        """Pass on the samples of a window."""
        self.behind.states(population, variable, ticks, neurons, values)

    def weights(
        self,
        projection: str,
        tick: int,
        sources: UInt32s,
        targets: UInt32s,
        values: Mapping[str, Values],
    ) -> None:
        """Pass on a snapshot."""
        self.behind.weights(projection, tick, sources, targets, values)

    def commit(self, tick: int) -> None:
        """Pass on that a window is over."""
        self.behind.commit(tick)
