"""Stretches of time in which something is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biosim.errors import BiosimError
from biosim.events import Tick, Window


class PeriodError(BiosimError):
    """Stretches of time that are none, or are out of order."""


@dataclass(frozen=True)
class Periods:
    """Half-open stretches of ticks, one after another.

    Args:
        stretches: (start, end) of each; None for all time.

    Raises:
        PeriodError: one ends before it begins, or before the one before it.
    """

    stretches: tuple[tuple[Tick, Tick], ...] | None = None

    def __post_init__(self) -> None:
        if self.stretches is None:
            return
        edges = [tick for stretch in self.stretches for tick in stretch]
        rising = all(start < end for start, end in self.stretches) and edges == sorted(edges)
        if not edges or edges[0] < 0 or not rising:
            raise PeriodError(
                f"got {list(self.stretches)} as ticks from which and until which to record; "
                "expected at least one stretch, none of them empty, each after the one before"
            )

    def __len__(self) -> int:
        return 0 if self.stretches is None else len(self.stretches)

    def within(self, ticks: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which of some ticks lie in any of them: (n,)."""
        if self.stretches is None:
            return np.ones(len(ticks), dtype=np.bool_)
        edges = np.array([tick for stretch in self.stretches for tick in stretch])
        found: npt.NDArray[np.bool_] = np.searchsorted(edges, ticks, side="right") % 2 == 1
        return found

    def touch(self, window: Window) -> bool:
        """Return whether any of them has a tick in common with a window."""
        if self.stretches is None:
            return window.start < window.end
        return any(start < window.end and window.start < end for start, end in self.stretches)

    def holds(self, tick: Tick) -> bool:
        """Return whether a moment lies in any of them, or at the end of one."""
        if self.stretches is None:
            return True
        return any(start <= tick <= end for start, end in self.stretches)

    def count(self, ticks: Tick, every: int = 1, ends: bool = False) -> int:
        """Return how many of the ticks 0, every, 2 every, ... of a run lie in them.

        Args:
            ticks: of the run.
            every: ticks from one to the next.
            ends: whether the last tick of a stretch, and of the run, is one of them.
        """
        stretches: Sequence[tuple[Tick, Tick]] = self.stretches or ((0, ticks),)
        total = last = 0
        for start, end in stretches:
            first = max(last, -(-start // every))
            last = max(first, -(-(min(end, ticks) + ends) // every))
            total += last - first
        return total


ALWAYS = Periods()
