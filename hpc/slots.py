"""One exchange of slots of a fixed size between ranks, moved by the best collective there is.

Three ways, the first that works: a persistent neighbourhood collective (MPI 4), set up once and
started once an exchange; a neighbourhood collective; an all-to-all among everyone. The earliest
wake of all ranks is found beside, in a sum that everyone takes part in.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    Attributes:
        sent: (n_destinations, size) bytes to fill.
        arrived: (n_sources, size) bytes, once every request is done.
        wake: (1,) this rank's.
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
    ) -> None:
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
        self.wake = np.zeros(1, dtype=np.int64)
        self._least = np.zeros(1, dtype=np.int64)
        self.requests: list[Any] = []
        self._moved = None
        if way == "persistent":
            self._moved = graph.Neighbor_alltoall_init(self._outgoing, self._incoming)

    def put(self, n: int, message: Bytes) -> None:
        """Put a message, or its beginning, into the slot of the n-th destination."""
        row = self._outgoing[self._to[n]]
        row[: len(message)] = message[: len(row)]

    def came(self, n: int) -> Bytes:
        """Return the slot of the n-th source, not a copy."""
        row: Bytes = self._incoming[self._from[n]]
        return row

    def start(self, wake: Tick) -> None:
        """Begin the exchange."""
        self.wake[0] = wake
        if self._moved is not None:
            self._moved.Start()
            moved = self._moved
        elif self._way == "neighbours":
            moved = self._graph.Ineighbor_alltoall(self._outgoing, self._incoming)
        else:
            moved = self._comm.Ialltoall(self._outgoing, self._incoming)
        self.requests = [moved, self._comm.Iallreduce(self.wake, self._least, self._earliest)]

    def earliest(self) -> Tick:
        """Return the earliest wake of all ranks."""
        return int(self._least[0])


def best_way(graph: Any, agreed: Any) -> Way:
    """Return the best way that the library has; every rank calls it.

    Args:
        graph: a communicator with neighbours.
        agreed: says whether any rank raises a flag.
    """
    here = np.zeros((graph.Get_dist_neighbors_count()[1], 1), dtype=np.uint8)
    there = np.zeros((graph.Get_dist_neighbors_count()[0], 1), dtype=np.uint8)
    lacks = False
    try:
        request = graph.Neighbor_alltoall_init(here, there)
        request.Start()
        request.Wait()
        request.Free()
    except (AttributeError, NotImplementedError, RuntimeError):  # MPI.Exception is the last
        lacks = True
    if not agreed(lacks):
        return "persistent"
    try:
        graph.Ineighbor_alltoall(here, there).Wait()
    except (AttributeError, NotImplementedError, RuntimeError):
        return "everyone"
    return "neighbours"
