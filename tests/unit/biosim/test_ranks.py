import time

import pytest
import torch

from biosim.errors import BiosimError
from biosim.events import NEVER, Event, Kind, Mode, Presentation
from biosim.ranks import OneRank, PretendRanks, RankFailedError

LIMIT_S = 30.0


def event(payload: torch.Tensor | None, target: int = 0, tick: int = 1) -> Event:
    return Event(tick, Kind.ACTIVITY, 0, target, 0, Presentation(0, 0, 0, Mode.LEARN), payload)


def test_one_rank_sends_to_itself() -> None:
    sent = [event(None)]
    assert OneRank().exchange([sent], 7) == (sent, 7)
    assert OneRank().agree(True)
    assert not OneRank().agree(False)
    counts = torch.tensor([1, 2])
    assert torch.equal(OneRank().sum(counts), counts)


def test_each_rank_gets_what_is_addressed_to_it_and_the_earliest_wake() -> None:
    def program(ranks):
        outgoing = [
            [event(torch.tensor([10.0 * ranks.rank + other]), tick=1)]
            for other in range(ranks.size)
        ]
        arrived, wake = ranks.exchange(outgoing, [NEVER, 5, 9][ranks.rank])
        return sorted(float(e.payload) for e in arrived), wake

    assert PretendRanks(3, LIMIT_S).run(program) == [
        ([0.0, 10.0, 20.0], 5),
        ([1.0, 11.0, 21.0], 5),
        ([2.0, 12.0, 22.0], 5),
    ]


def test_what_is_sent_is_copied_even_to_oneself() -> None:
    def program(ranks):
        mine = torch.zeros(3)
        arrived, _ = ranks.exchange([[event(mine)], [event(mine)]], NEVER)
        mine += 1.0 + ranks.rank
        ranks.agree(False)  # both have changed their own by now
        for came in arrived:
            came.payload.sub_(1.0)
        ranks.agree(False)
        return mine.tolist(), [came.payload.tolist() for came in arrived]

    for rank, (mine, came) in enumerate(PretendRanks(2, LIMIT_S).run(program)):
        assert mine == [1.0 + rank] * 3
        assert came == [[-1.0] * 3] * 2


def test_a_bare_signal_crosses() -> None:
    def program(ranks):
        return ranks.exchange([[event(None)]], 4)

    assert PretendRanks(1, LIMIT_S).run(program) == [([event(None)], 4)]


@pytest.mark.parametrize(
    ("flags", "any_of_them"), [((False, False), False), ((False, True), True), ((True,), True)]
)
def test_ranks_agree_if_any_raises_the_flag(flags, any_of_them) -> None:
    said = PretendRanks(len(flags), LIMIT_S).run(lambda ranks: ranks.agree(flags[ranks.rank]))
    assert said == [any_of_them] * len(flags)


def test_counts_are_summed_and_everyone_gets_the_sum() -> None:
    def program(ranks):
        counts = torch.tensor([1, 10 * ranks.rank])
        total = ranks.sum(counts)
        assert counts.tolist() == [1, 10 * ranks.rank]
        return total.tolist()

    assert PretendRanks(3, LIMIT_S).run(program) == [[3, 30]] * 3


@pytest.mark.parametrize("ranks", [OneRank(), None])
def test_a_sum_refuses_floats(ranks) -> None:
    def program(of):
        return of.sum(torch.tensor([0.5]))

    with pytest.raises(TypeError, match=r"takes integers, .* got torch\.float32"):
        PretendRanks(2, LIMIT_S).run(program) if ranks is None else program(ranks)


def test_ranks_that_name_each_other_trade_tensors() -> None:
    def program(ranks):
        if ranks.rank == 1:
            return None  # nobody names it
        other = 2 - ranks.rank
        given = [torch.arange(3.0) + ranks.rank, torch.full((2,), ranks.rank)]
        taken = [torch.empty(3), torch.empty(2, dtype=torch.int64)]
        ranks.trade({other: given}, {other: taken})
        given[0].zero_()  # what was given is the other's by now
        ranks.trade({other: taken[:1]}, {other: [back := torch.empty(3)]})
        return [each.tolist() for each in (*taken, back)]

    assert PretendRanks(3, LIMIT_S).run(program) == [
        [[2.0, 3.0, 4.0], [2, 2], [0.0, 1.0, 2.0]],
        None,
        [[0.0, 1.0, 2.0], [0, 0], [2.0, 3.0, 4.0]],
    ]


def test_one_rank_trades_with_nobody() -> None:
    OneRank().trade({}, {})


@pytest.mark.parametrize("other", [torch.zeros(2), torch.zeros(3, dtype=torch.float64)])
def test_tensors_of_another_size_or_type_are_not_traded(other: torch.Tensor) -> None:
    def program(ranks):
        given = torch.zeros(3) if ranks.rank else other
        ranks.trade({1 - ranks.rank: [given]}, {1 - ranks.rank: [torch.zeros_like(given)]})

    with pytest.raises(AssertionError, match=r"rank \d trades other tensors than rank \d"):
        PretendRanks(2, LIMIT_S).run(program)


def test_a_rank_that_does_not_trade_is_named_after_a_limit() -> None:
    def program(ranks):
        if ranks.rank == 0:
            ranks.trade({1: []}, {1: []})

    message = r"rank 0 waited for rank 1, which failed or did not come within 0\.1 s"
    with pytest.raises(RankFailedError, match=message):
        PretendRanks(2, limit_s=0.1).run(program)


def test_a_failure_ends_those_that_would_trade() -> None:
    def program(ranks):
        if ranks.rank == 1:
            raise ValueError("no such synapse")
        ranks.trade({1: []}, {1: []})

    with pytest.raises(ValueError, match=r"no such synapse"):
        PretendRanks(2, LIMIT_S).run(program)


def test_results_come_in_the_order_of_the_ranks() -> None:
    def program(ranks):
        time.sleep(0.01 * (2 - ranks.rank))
        return ranks.rank

    assert PretendRanks(3, LIMIT_S).run(program) == [0, 1, 2]


@pytest.mark.parametrize("failing", [0, 2])
def test_the_first_failure_is_raised_with_its_rank_and_ends_the_others(failing: int) -> None:
    def program(ranks):
        if ranks.rank == failing:
            raise ValueError("no such synapse")
        ranks.agree(False)

    with pytest.raises(ValueError, match=r"no such synapse") as raised:
        PretendRanks(3, LIMIT_S).run(program)
    assert raised.value.__notes__ == [f"on rank {failing} of 3"]


def test_a_rank_that_does_not_come_is_named_after_a_limit() -> None:
    def program(ranks):
        if ranks.rank != 1:
            ranks.agree(False)

    message = r"rank [02] waited for rank 1, which failed or did not come within 0\.05 s"
    with pytest.raises(RankFailedError, match=message):
        PretendRanks(3, limit_s=0.05).run(program)


@pytest.mark.parametrize("size", [0, -1])
def test_there_is_at_least_one_rank(size: int) -> None:
    with pytest.raises(BiosimError, match=f"got {size} ranks; expected at least 1"):
        PretendRanks(size)
