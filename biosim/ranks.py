"""Ranks: who takes part in a run, and what they tell each other once a window.

`OneRank` is a process on its own. `PretendRanks` runs n ranks as threads of one process with a
real exchange: what one rank sends is copied, never shared, so that a test with pretend ranks
finds what real ones would. Real MPI implements the same contract.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from biosim.contracts import Ranks
from biosim.errors import BiosimError
from biosim.events import Event, Tick

Result = TypeVar("Result")


class OneRank:
    """A run without any other rank: what is sent is only ever to itself."""

    rank = 0
    size = 1

    def exchange(self, outgoing: Sequence[list[Event]], wake: Tick) -> tuple[list[Event], Tick]:
        """Return what is addressed to this rank and the earliest wake."""
        return outgoing[0], wake

    def agree(self, flag: bool) -> bool:
        """Return whether any rank raises the flag."""
        return flag

    def sum(self, counts: torch.Tensor) -> torch.Tensor:
        """Return the counts, summed over ranks: (n,) integers."""
        return _integers(counts)


class RankFailedError(BiosimError):
    """A rank ended early because another one failed; that one's error is the one to read."""


class _PretendRank:
    """One of n ranks in this process; see `PretendRanks`."""

    def __init__(self, rank: int, table: _Table) -> None:
        self.rank = rank
        self.size = table.size
        self._table = table

    def exchange(self, outgoing: Sequence[list[Event]], wake: Tick) -> tuple[list[Event], Tick]:
        """Send `outgoing[r]` to every rank r; return what came and the earliest wake of all."""
        # Copied before anyone sees it: the sender is free to change its own at once.
        copies = [[_copied(event) for event in sent] for sent in outgoing]
        posted = self._table.swap(self.rank, (copies, wake))
        arrived = [event for sent, _ in posted for event in sent[self.rank]]
        return arrived, min(their_wake for _, their_wake in posted)

    def agree(self, flag: bool) -> bool:
        """Return whether any rank raises the flag."""
        return any(self._table.swap(self.rank, flag))

    def sum(self, counts: torch.Tensor) -> torch.Tensor:
        """Return the counts, summed over ranks: (n,) integers."""
        return torch.stack(self._table.swap(self.rank, _integers(counts).clone())).sum(0)


class _Table:
    """Where pretend ranks meet: all put something down, then all see everything."""

    def __init__(self, size: int, limit_s: float) -> None:
        self.size = size
        self._limit_s = limit_s
        self._barrier = threading.Barrier(size)
        self._slots: list[object] = [None] * size
        self._came = [0] * size

    def swap(self, rank: int, item: Result) -> list[Result]:
        self._slots[rank] = item
        self._wait(rank)
        everything = list(self._slots)
        self._wait(rank)  # nobody may put down the next item before all have seen this one
        return everything  # type: ignore[return-value]

    def leave(self) -> None:
        self._barrier.abort()

    def _wait(self, rank: int) -> None:
        self._came[rank] += 1
        try:
            self._barrier.wait(timeout=self._limit_s)
        except threading.BrokenBarrierError:
            behind = [f"rank {r}" for r, n in enumerate(self._came) if n < self._came[rank]]
            who = ", ".join(behind) or "another rank"
            raise RankFailedError(
                f"rank {rank} waited for {who}, which failed "
                f"or did not come within {self._limit_s:g} s"
            ) from None


class PretendRanks:
    """n ranks in one process, each a thread that runs the whole program of a rank.

    Args:
        size: how many ranks, at least 1.
        limit_s: how long a rank waits for the others, in seconds.

    Raises:
        BiosimError: `size` is below 1.
    """

    def __init__(self, size: int, limit_s: float = 600.0) -> None:
        if size < 1:
            raise BiosimError(f"got {size} ranks; expected at least 1")
        self.size = size
        self._limit_s = limit_s

    def run(self, program: Callable[[Ranks], Result]) -> list[Result]:
        """Run `program` once a rank; return the results in the order of the ranks.

        Raises:
            Exception: the first failure of any rank; the other ranks are ended.
        """
        table = _Table(self.size, self._limit_s)
        results: dict[int, Result] = {}
        failures: list[BaseException] = []

        def one(rank: int) -> None:
            try:
                results[rank] = program(_PretendRank(rank, table))
            except BaseException as failure:
                failure.add_note(f"on rank {rank} of {self.size}")
                failures.append(failure)
                table.leave()

        threads = [
            threading.Thread(target=one, args=(rank,), daemon=True) for rank in range(self.size)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for failure in sorted(failures, key=lambda f: isinstance(f, RankFailedError)):
            raise failure
        return [results[rank] for rank in range(self.size)]


def _integers(counts: torch.Tensor) -> torch.Tensor:
    if counts.is_floating_point():
        raise TypeError(f"sum takes integers, whose order cannot matter; got {counts.dtype}")
    return counts


def _copied(event: Event) -> Event:
    if event.payload is None:
        return event
    return event._replace(payload=event.payload.clone())
