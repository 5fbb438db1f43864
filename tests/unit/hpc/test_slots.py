"""Slots move the same bytes by every way that a library has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from biosim.errors import BiosimError
from hpc.mpi_ranks import mpi
from hpc.slots import WAYS, Slots, Way, best_way

try:
    MPI: Any = mpi()
except BiosimError as problem:
    pytest.skip(str(problem), allow_module_level=True)

ALONE = MPI.COMM_SELF


def all_done(slots: Slots) -> None:
    MPI.Request.Waitall(slots.requests)


@pytest.fixture
def to_itself() -> Any:
    """A rank that is its own neighbour."""
    graph = ALONE.Create_dist_graph_adjacent([0], [0])
    yield graph
    graph.Free()


@pytest.mark.parametrize("way", WAYS)
def test_what_is_put_in_comes_by_every_way_again_and_again(to_itself: Any, way: Way) -> None:
    slots = Slots(MPI, ALONE, to_itself, [0], [0], 16, way)
    for turn in range(3):
        slots.to(0)[:] = np.arange(16) + turn
        slots.start(100 + turn)
        all_done(slots)
        assert slots.came(0).tolist() == list(range(turn, 16 + turn))
        assert slots.earliest() == 100 + turn


@pytest.mark.parametrize("way", WAYS)
def test_two_exchanges_may_be_under_way(to_itself: Any, way: Way) -> None:
    first, second = (Slots(MPI, ALONE, to_itself, [0], [0], 8, way) for _ in range(2))
    for n, slots in enumerate((first, second)):
        slots.to(0)[:] = n
        slots.start(n)
    all_done(second)
    all_done(first)
    assert [s.came(0)[0] for s in (first, second)] == [0, 1]
    assert [s.earliest() for s in (first, second)] == [0, 1]


@pytest.mark.parametrize("way", WAYS)
def test_without_neighbours_only_the_wake_is_told(way: Way) -> None:
    graph = ALONE.Create_dist_graph_adjacent([], [])
    slots = Slots(MPI, ALONE, graph, [], [], 16, way)
    slots.start(-1)
    all_done(slots)
    assert slots.earliest() == -1
    graph.Free()


def test_where_everyone_hears_everyone_nothing_is_reduced(to_itself: Any) -> None:
    for complete, requests in ((True, 1), (False, 2)):
        slots = Slots(MPI, ALONE, to_itself, [0], [0], 8, "neighbours", complete)
        slots.start(7)
        assert len(slots.requests) == requests
        all_done(slots)
        assert slots.earliest([9, 12]) == 7
        assert slots.earliest([3, 12]) == 3


class Lacking:
    """A communicator with neighbours, of a library that lacks calls."""

    def __init__(self, *lacks: str, how: type[Exception] = NotImplementedError) -> None:
        self._graph = ALONE.Create_dist_graph_adjacent([0], [0])
        self._lacks, self._how = lacks, how

    def __getattr__(self, name: str) -> Any:
        if name in self._lacks:
            raise self._how(name)
        return getattr(self._graph, name)


PERSISTENT, PLAIN = "Neighbor_alltoall_init", "Ineighbor_alltoall"


@pytest.mark.parametrize("how", [NotImplementedError, AttributeError, RuntimeError])
@pytest.mark.parametrize(
    ("lacks", "expected"),
    [
        ((), "persistent"),
        ((PERSISTENT,), "neighbours"),
        ((PERSISTENT, PLAIN), "everyone"),
        ((PLAIN,), "persistent"),
    ],
)
def test_the_first_way_that_the_library_has_is_taken(
    how: type[Exception], lacks: tuple[str, ...], expected: Way
) -> None:
    assert best_way(MPI, Lacking(*lacks, how=how), lambda flag: flag) == expected


def test_all_ranks_take_a_way_that_all_have() -> None:
    heard = []

    def another_lacks_the_first(flag: bool) -> bool:
        heard.append(flag)
        return len(heard) == 1

    assert best_way(MPI, Lacking(), another_lacks_the_first) == "neighbours"
    assert heard == [False, False, False]


class Losing(Lacking):
    """One that says it moves bytes, and does not."""

    def Neighbor_alltoall_init(self, told: Any, heard: Any) -> Any:
        return self._graph.Neighbor_alltoall_init((np.ones(1, dtype=np.uint8), 1, MPI.BYTE), heard)


def test_a_way_by_which_other_bytes_arrive_is_not_taken() -> None:
    assert best_way(MPI, Losing(), lambda flag: flag) == "neighbours"


def test_another_error_of_a_library_is_no_lack() -> None:
    with pytest.raises(ZeroDivisionError):
        best_way(MPI, Lacking(PERSISTENT, how=ZeroDivisionError), lambda flag: flag)
