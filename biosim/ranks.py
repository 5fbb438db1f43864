"""Ranks: who takes part in a run, and what they tell each other once a window.

`OneRank` is a process on its own. `PretendRanks` runs n ranks as threads of one process with a
real exchange: what one rank sends is copied, never shared, so that a test with pretend ranks
finds what real ones would. Real MPI implements the same contract.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
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

    def __init__(self) -> None:
        self._posted: deque[tuple[list[Event], Tick]] = deque()

    def connect(self, to: Collection[int]) -> None:
        """Take note of nothing: there is nobody else."""

    def post(self, outgoing: Sequence[list[Event]], wake: Tick) -> None:
        """Keep what is sent until it is collected."""
        self._posted.append((outgoing[0], wake))

    def collect(self) -> tuple[list[Event], Tick]:
        """Return what was posted first."""
        return self._posted.popleft()

    def exchange(self, outgoing: Sequence[list[Event]], wake: Tick) -> tuple[list[Event], Tick]:
        """Return what is addressed to this rank and the earliest wake."""
        return outgoing[0], wake

    def agree(self, flag: bool) -> bool:
        """Return whether any rank raises the flag."""
        return flag

    def trade(
        self,
        given: Mapping[int, Sequence[torch.Tensor]],
        taken: Mapping[int, Sequence[torch.Tensor]],
    ) -> None:
        """Do nothing: there is nobody else."""

    def sum(self, counts: torch.Tensor) -> torch.Tensor:
        """Return the counts, summed over ranks: (n,) integers."""
        return _integers(counts)


class RankFailedError(BiosimError):
    """A rank ended early because another one failed; that one's error is the one to read."""


class StoppedError(BiosimError):
    """A run was asked to end before it was over; what it has recorded until then is whole."""


class _PretendRank:
    """One of n ranks in this process; see `PretendRanks`."""

    def __init__(self, rank: int, table: _Table) -> None:
        self.rank = rank
        self.size = table.size
        self._table = table
        self._posted: deque[tuple[list[list[Event]], Tick]] = deque()
        self._to: Collection[int] = range(table.size)

    def connect(self, to: Collection[int]) -> None:
        """Promise to send to these ranks, and to itself, and no others from now on."""
        self._to = {*to, self.rank}

    def post(self, outgoing: Sequence[list[Event]], wake: Tick) -> None:
        """Take down what is for others, and the wake."""
        for rank, sent in enumerate(outgoing):
            if sent and rank not in self._to:
                raise AssertionError(f"rank {self.rank} sends to {rank}, against its promise")
        # Copied before anyone sees it: the sender is free to change its own at once.
        self._posted.append(([[_copied(event) for event in sent] for sent in outgoing], wake))

    def collect(self) -> tuple[list[Event], Tick]:
        """Return what came in the exchange that was posted first, and the earliest wake."""
        posted = self._table.swap(self.rank, self._posted.popleft())
        arrived = [event for sent, _ in posted for event in sent[self.rank]]
        return arrived, min(their_wake for _, their_wake in posted)

    def exchange(self, outgoing: Sequence[list[Event]], wake: Tick) -> tuple[list[Event], Tick]:
        """Send `outgoing[r]` to every rank r; return what came and the earliest wake of all."""
        self.post(outgoing, wake)
        return self.collect()

    def agree(self, flag: bool) -> bool:
        """Return whether any rank raises the flag."""
        return any(self._table.swap(self.rank, flag))

    def trade(
        self,
        given: Mapping[int, Sequence[torch.Tensor]],
        taken: Mapping[int, Sequence[torch.Tensor]],
    ) -> None:
        """Give each of these ranks copies of tensors, and take copies of theirs."""
        for rank, tensors in given.items():
            self._table.hand(self.rank, rank, [tensor.clone() for tensor in tensors])
        for rank, into in taken.items():
            for mine, theirs in zip(into, self._table.handed(rank, self.rank), strict=True):
                if (mine.dtype, mine.shape) != (theirs.dtype, theirs.shape):
                    raise AssertionError(f"rank {rank} trades other tensors than rank {self.rank}")
                mine.copy_(theirs)

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
        self._hands: dict[tuple[int, int], SimpleQueue[list[torch.Tensor]]] = {
            (giver, taker): SimpleQueue() for giver in range(size) for taker in range(size)
        }

    def swap(self, rank: int, item: Result) -> list[Result]:
        self._slots[rank] = item
        self._wait(rank)
        everything = list(self._slots)
        self._wait(rank)  # nobody may put down the next item before all have seen this one
        return everything  # type: ignore[return-value]

    def hand(self, giver: int, taker: int, tensors: list[torch.Tensor]) -> None:
        self._hands[giver, taker].put(tensors)

    def handed(self, giver: int, taker: int) -> list[torch.Tensor]:
        until = time.monotonic() + self._limit_s
        while not self._barrier.broken and time.monotonic() < until:
            with suppress(Empty):
                return self._hands[giver, taker].get(timeout=0.05)
        raise self._missing(taker, f"rank {giver}")

    def leave(self) -> None:
        self._barrier.abort()

    def _wait(self, rank: int) -> None:
        self._came[rank] += 1
        try:
            self._barrier.wait(timeout=self._limit_s)
        except threading.BrokenBarrierError:
            behind = [f"rank {r}" for r, n in enumerate(self._came) if n < self._came[rank]]
            raise self._missing(rank, ", ".join(behind) or "another rank") from None

    def _missing(self, rank: int, who: str) -> RankFailedError:
        return RankFailedError(
            f"rank {rank} waited for {who}, which failed or did not come within {self._limit_s:g} s"
        )


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
                if not isinstance(failure, StoppedError):  # in which case all leave together
                    table.leave()

        threads = [
            threading.Thread(target=one, args=(rank,), daemon=True) for rank in range(self.size)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        because_of_others = RankFailedError | StoppedError
        for failure in sorted(failures, key=lambda f: isinstance(f, because_of_others)):
            raise failure
        return [results[rank] for rank in range(self.size)]


def agreed_most(ranks: Ranks, value: int, most: int) -> int:
    """Return the greatest value of any rank, found bit by bit.

    Args:
        ranks: every one calls it.
        value: of this rank, from 0 to `most`.
        most: the same for all.
    """
    found = 0
    for bit in reversed(range(most.bit_length())):
        if ranks.agree(value >= found | 1 << bit):
            found |= 1 << bit
    return found


def _integers(counts: torch.Tensor) -> torch.Tensor:
    if counts.is_floating_point():
        raise TypeError(f"sum takes integers, whose order cannot matter; got {counts.dtype}")
    return counts


def _copied(event: Event) -> Event:
    if event.payload is None:
        return event
    return event._replace(payload=event.payload.clone())
