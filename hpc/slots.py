"""One exchange of slots of a fixed size between ranks, moved by the best collective there is.

Three ways, the first that works: a persistent neighbourhood collective (MPI 4), set up once and
started once an exchange; a neighbourhood collective; an all-to-all among everyone. The earliest
wake of all ranks is found beside, in a reduction that everyone takes part in; where every rank
hears from every other one, the wake that each slot begins with is enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal

import numpy as np

from biosim.events import Tick
from hpc.messages import Bytes

Way = Literal["persistent", "neighbours", "everyone"]

WAYS: tuple[Way, ...] = ("persistent", "neighbours", "everyone")


class Slots:
    """The buffers of one exchange.

    Args:
        module: mpi4py's.
        comm: of all ranks.
        graph: the same ranks, where it is known who talks to whom; None for "everyone".
        sources: ranks from which something may come.
        destinations: ranks to which something may go.
        size: bytes of a slot.
        way: how slots are moved.
        complete: whether every rank hears from every other one.

    Attributes:
        sent: (n_destinations, size) bytes to fill.
        arrived: (n_sources, size) bytes, once every request is done.
        requests: of the exchange that is under way.
    """

    def __init__(
        self,
        module: Any,
        comm: Any,
        graph: Any,
        sources: Sequence[int],
        destinations: Sequence[int],
        size: int,
        way: Way,
        complete: bool = False,
    ) -> None:
        self._complete = complete
        self._comm, self._graph, self._way = comm, graph, way
        self._earliest = module.MIN
        everyone = way == "everyone"
        n_from = comm.Get_size() if everyone else len(sources)
        n_to = comm.Get_size() if everyone else len(destinations)
        self._outgoing = np.zeros((n_to, size), dtype=np.uint8)
        self._incoming = np.zeros((n_from, size), dtype=np.uint8)
        self._from, self._to = (
            (list(sources), list(destinations))
            if everyone
            else (list(range(n_from)), list(range(n_to)))
        )
        self._wake = np.zeros(1, dtype=np.int64)
        self._least = np.zeros(1, dtype=np.int64)
        self.requests: list[Any] = []
        self._moved = None
        # As long as each slot is said: mpi4py would share a buffer among as many as there are on
        # this rank, who may be more, or fewer, to hear than to tell.
        self._ends = (self._outgoing, size, module.BYTE), (self._incoming, size, module.BYTE)
        if way == "persistent":
            self._moved = graph.Neighbor_alltoall_init(*self._ends)

    def to(self, n: int) -> Bytes:
        """Return the slot of the n-th destination, not a copy, to be filled."""
        row: Bytes = self._outgoing[self._to[n]]
        return row

    def came(self, n: int) -> Bytes:
        """Return the slot of the n-th source, not a copy."""
        row: Bytes = self._incoming[self._from[n]]
        return row

    def start(self, wake: Tick) -> None:
        """Begin the exchange."""
        if self._moved is not None:
            self._moved.Start()
            moved = self._moved
        elif self._way == "neighbours":
            moved = self._graph.Ineighbor_alltoall(*self._ends)
        else:
            moved = self._comm.Ialltoall(*self._ends)
        self.requests = [moved]
        self._wake[0] = self._least[0] = wake
        if not self._complete:
            everyone = self._comm.Iallreduce(self._wake, self._least, self._earliest)
            self.requests.append(everyone)

    def earliest(self, heard: Sequence[Tick] = ()) -> Tick:
        """Return the earliest wake of all ranks.

        Args:
            heard: those of the ranks from which something came.
        """
        return min([int(self._least[0]), *heard])


def best_way(module: Any, graph: Any, agreed: Callable[[bool], bool]) -> Way:
    """Return the best way that the library has on every rank; every rank calls it.

    Args:
        module: mpi4py's.
        graph: a communicator with neighbours.
        agreed: says whether any rank raises a flag; nobody waits for a rank that cannot take part.
    """
    sources, destinations, _ = graph.Get_dist_neighbors_count()
    told = np.full((destinations, 1), graph.Get_rank() % 251, dtype=np.uint8)
    others = np.array(graph.Get_dist_neighbors()[0], dtype=np.int64)
    ways: tuple[tuple[Way, str], ...] = (
        ("persistent", "Neighbor_alltoall_init"),
        ("neighbours", "Ineighbor_alltoall"),
    )
    for way, name in ways:
        heard = np.full((sources, 1), 255, dtype=np.uint8)
        request = None
        with suppress(AttributeError, NotImplementedError, RuntimeError):  # MPI's are the last
            request = getattr(graph, name)((told, 1, module.BYTE), (heard, 1, module.BYTE))
        if agreed(request is None):
            continue
        assert request is not None
        if way == "persistent":
            request.Start()
        while not request.Test():
            time.sleep(0.0001)
        if way == "persistent":
            request.Free()
        if not agreed(bool((heard[:, 0] != others % 251).any())):
            return way
    return "everyone"
