"""Whether ranks compute while spikes travel: tried both ways, and what was faster is kept.

What is sent in half a window is needed after the other half at the earliest, so that it travels
while that is computed; but there are twice as many exchanges, each of which takes a rank some time
of its own. Which is less depends on the machine, the number of ranks and the network. Neither way
changes a result.
"""

from __future__ import annotations

import torch

from biosim.contracts import Ranks
from biosim.events import Tick

LENGTH = 16
"""Of a turn, in lookaheads: it takes some milliseconds."""

WARM = 4
"""Turns that do not count: kernels are compiled or read in the first."""

TURNS = 12
"""Turns that count, one way and the other."""


class Overlap:
    """The choice of one run; every rank makes the same one.

    Args:
        ranks: who agree.
        lookahead: the shortest delay in ticks; of one tick there are no halves.
        asked: which way to take, untried; None to find out.
    """

    def __init__(self, ranks: Ranks, lookahead: Tick, asked: bool | None = None) -> None:
        self._ranks, self.lookahead = ranks, lookahead
        self._turns = 0 if lookahead > 1 and asked is None else WARM + TURNS
        self._chosen = lookahead > 1 and asked is True
        # Of a tick, without and with overlap; the least, for other work on a machine only adds.
        self._picoseconds: list[list[int]] = [[], []]

    @property
    def now(self) -> bool:
        """Whether spikes travel in this turn while ranks compute."""
        return self._turns % 2 == 1 if self._turns < WARM + TURNS else self._chosen

    def end(self, now: Tick, until: Tick) -> Tick:
        """Return where the turn that begins now ends, if the run ends at `until`."""
        return min(until, now + LENGTH * self.lookahead) if self._turns < WARM + TURNS else until

    def took(self, nanoseconds: int, ticks: Tick) -> None:
        """Take note of what a turn took; every rank calls it after as many ticks."""
        if self._turns >= WARM + TURNS:
            return
        if self._turns >= WARM:
            self._picoseconds[int(self.now)].append(1000 * nanoseconds // ticks)
        self._turns += 1
        if self._turns == WARM + TURNS:
            least = torch.tensor([min(turns) for turns in self._picoseconds])
            alone, overlapped = self._ranks.sum(least).tolist()
            self._chosen = overlapped < alone
