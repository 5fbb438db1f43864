"""Whether ranks overlap is chosen by what is faster, the same on all of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from biosim import overlap
from biosim.contracts import Ranks
from biosim.overlap import LENGTH, TURNS, WARM, Overlap
from biosim.ranks import OneRank, PretendRanks

LOOKAHEAD = 15

Cost = Callable[[bool, int], int]
"""Nanoseconds of a tick with and without overlap, in a turn."""


def tried(ranks: Ranks, cost: Cost) -> tuple[Overlap, list[bool]]:
    """Go through all turns; return the choice and what each turn was."""
    choice, ways, now = Overlap(ranks, LOOKAHEAD), [], 0
    for turn in range(WARM + TURNS):
        end = choice.end(now, 10**9)
        assert end - now == LENGTH * LOOKAHEAD
        ways.append(choice.now)
        choice.took((end - now) * cost(choice.now, turn), end - now)
        now = end
    return choice, ways


@pytest.mark.parametrize("faster", [False, True])
def test_what_takes_less_is_kept(faster: bool) -> None:
    choice, ways = tried(OneRank(), lambda way, _: 80 if way == faster else 100)
    assert choice.now == faster
    assert sum(ways) == len(ways) // 2
    assert choice.end(5000, 9000) == 9000
    choice.took(10**12, 4000)
    assert choice.now == faster


def test_other_work_on_the_machine_and_the_first_turns_do_not_count() -> None:
    def cost(way: bool, turn: int) -> int:
        if turn < WARM:
            return 1 if not way else 10_000
        return 50 if turn == WARM + 3 else 5000 if way else 100

    assert WARM % 2 == 0  # the turn that is quiet has overlap
    assert tried(OneRank(), cost)[0].now


def test_all_ranks_choose_what_is_less_for_all_of_them() -> None:
    def program(ranks: Ranks) -> bool:
        gain = 10 if ranks.rank == 0 else -30
        return tried(ranks, lambda way, _: 100 - gain * way)[0].now

    assert PretendRanks(2, 10.0).run(program) == [False, False]


def test_of_one_tick_there_are_no_halves() -> None:
    choice = Overlap(OneRank(), 1)
    assert not choice.now
    assert choice.end(3, 1000) == 1000
    choice.took(5, 997)
    assert not choice.now


@pytest.mark.parametrize("asked", [False, True])
def test_what_is_asked_for_is_not_tried(asked: bool) -> None:
    choice = Overlap(OneRank(), LOOKAHEAD, asked)
    assert choice.now == asked
    assert choice.end(3, 1000) == 1000
    assert not Overlap(OneRank(), 1, asked).now


def test_a_turn_ends_where_the_run_does() -> None:
    assert Overlap(OneRank(), LOOKAHEAD).end(100, 117) == 117


def test_turns_are_tried_both_ways_as_often() -> None:
    assert overlap.TURNS % 2 == overlap.WARM % 2 == 0
