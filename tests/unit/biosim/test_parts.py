"""The parts of a minibatch: who has which, how they are added up, what cannot be cut."""

from dataclasses import dataclass, replace

import pytest
import torch

from biosim.network import Network, NetworkError
from biosim.parts import Share, check_parts, check_rows
from biosim.plasticity import ErrorDriven, Sgd
from biosim.populations import Settling
from biosim.ranks import PretendRanks
from rules import Backprop, EquilibriumPropagation, Stack

LIMIT_S = 30.0
STACK = Stack(3, (4,), 2, 8, torch.zeros(3))
SHAPES = {"weight": (5, 7), "bias": (5,)}


def direction(part: int) -> dict[str, torch.Tensor]:
    numbers = torch.Generator().manual_seed(part)
    return {name: torch.randn(shape, generator=numbers) for name, shape in SHAPES.items()}


def mean_of(share: Share, own: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    given = []
    for each in own:
        share.take(given, each)
    return share.mean(given)


def means(parts: int, replicas: int) -> list[dict[str, torch.Tensor]]:
    """The mean of all parts, as each replica gets it."""

    def program(ranks):
        share = Share(parts, replicas, ranks.rank, ranks, range(replicas))
        return mean_of(share, [direction(part) for part in share.own])

    return PretendRanks(replicas, LIMIT_S).run(program)


def in_order(parts: list[int]) -> dict[str, torch.Tensor]:
    total = direction(parts[0])
    for part in parts[1:]:
        total = {name: total[name] + each for name, each in direction(part).items()}
    return {name: each / len(parts) for name, each in total.items()}


@pytest.mark.parametrize("small_bytes", [0, 10**6], ids=["sliced", "whole"])
@pytest.mark.parametrize("replicas", [1, 2, 3, 6])
def test_directions_are_added_in_the_order_of_the_parts_on_any_number_of_replicas(
    replicas: int, small_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biosim.parts.SMALL_BYTES", small_bytes)
    expected = in_order([0, 1, 2, 3, 4, 5])
    for found in means(6, replicas):
        assert all(torch.equal(found[name], expected[name]) for name in SHAPES)


def test_another_order_gives_other_bits() -> None:
    assert not torch.equal(in_order([0, 1, 2, 3])["weight"], in_order([2, 3, 0, 1])["weight"])


def test_parameters_with_fewer_entries_than_replicas_are_added_as_well(monkeypatch) -> None:
    monkeypatch.setattr("biosim.parts.SMALL_BYTES", 0)

    def program(ranks):
        share = Share(4, 4, ranks.rank, ranks, range(4))
        return mean_of(share, [{"bias": torch.tensor([float(ranks.rank)])}])["bias"].tolist()

    assert PretendRanks(4, LIMIT_S).run(program) == [[1.5]] * 4


def test_a_direction_that_is_transposed_keeps_its_shape() -> None:
    flipped = [torch.arange(6.0).view(2, 3).t() for _ in range(2)]
    mean = mean_of(Share(parts=2), [{"weight": each} for each in flipped])
    assert torch.equal(mean["weight"], torch.arange(6.0).view(2, 3).t())


def test_one_rank_keeps_one_direction_however_many_parts_there_are() -> None:
    given, share = [], Share(parts=6)
    for part in share.own:
        share.take(given, direction(part))
    assert len(given) == 1


@pytest.mark.parametrize("small_bytes", [0, 10**6], ids=["sliced", "whole"])
@pytest.mark.parametrize(("parts", "replicas"), [(1, 1), (2, 2), (6, 1), (6, 2), (6, 3), (6, 6)])
def test_what_is_sent_and_added_up_is_known_before(
    parts: int, replicas: int, small_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biosim.parts.SMALL_BYTES", small_bytes)
    sizes = [35, 5]

    def program(ranks):
        traded = [0, 0, 0]
        trade = ranks.trade

        def counting(given, taken):
            sent, came = ([t for each in x.values() for t in each] for x in (given, taken))
            traded[0] += sum(t.nbytes for t in sent)
            traded[1] += len(sent)
            traded[2] = traded[2] or sum(t.nbytes for t in came)
            trade(given, taken)

        ranks.trade = counting
        share = Share(parts, replicas, ranks.rank, ranks, range(replicas))
        given = []
        for part in share.own:
            share.take(given, direction(part))
        kept = sum(t.nbytes for each in given for t in each.values()) if parts > 1 else 0
        share.mean(given)
        assert share.sent(sizes, 4) == (traded[0], traded[1])
        # A slice may have a number more or less of each tensor than its share.
        assert abs(share.added(sizes, 4) - kept - traded[2]) <= 4 * parts * len(sizes)
        return traded

    sent = PretendRanks(replicas, LIMIT_S).run(program)
    assert (sum(each[0] for each in sent) > 0) == (replicas > 1)


def test_every_replica_has_as_many_parts_in_runs() -> None:
    assert [list(Share(6, 3, replica).own) for replica in range(3)] == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("parts", "replicas", "ranks"), [(0, 1, 1), (4, 0, 1), (4, 3, 3), (4, 4, 2), (1, 2, 2)]
)
def test_numbers_that_do_not_divide_each_other_are_refused(parts, replicas, ranks) -> None:
    message = (
        rf"got {replicas} replicas for {parts} parts of a minibatch on {ranks} ranks; expected a "
        "number that divides both"
    )
    with pytest.raises(NetworkError, match=message):
        check_parts(Backprop().wire(STACK), parts, replicas, ranks)
    check_parts(Backprop().wire(STACK), 4, 2, 6)


def test_rows_without_equal_parts_are_refused() -> None:
    message = "got minibatches of 10 rows in 4 parts; expected parts of equal size"
    with pytest.raises(NetworkError, match=message):
        check_rows(10, 4)
    check_rows(12, 4)


def test_states_that_persist_cannot_be_cut() -> None:
    rule = EquilibriumPropagation()
    check_parts(rule.wire(STACK), 2)
    network = rule.wire(STACK)
    settles = tuple(
        replace(p, model=replace(p.model, persistent=True)) if isinstance(p.model, Settling) else p
        for p in network.populations
    )
    message = "population 'hidden1' keeps the state of every sample, .* in 2 parts: ask for 1"
    with pytest.raises(NetworkError, match=message):
        check_parts(replace(network, populations=settles), 2)
    check_parts(replace(network, populations=settles), 1)


def learning(plasticity) -> Network:
    network = Backprop().wire(STACK)
    return replace(
        network,
        projections=tuple(
            p if p.plasticity is None else replace(p, plasticity=plasticity)
            for p in network.projections
        ),
    )


@dataclass(frozen=True)
class Remembering(ErrorDriven):
    memory = {"trace": "pre"}  # noqa: RUF012


@pytest.mark.parametrize("plasticity", [ErrorDriven(), Sgd(Remembering(), 0.1)])
def test_a_plasticity_without_a_step_or_whose_direction_remembers_cannot_be_cut(plasticity) -> None:
    message = (
        rf"plasticity {type(plasticity).__name__} of population 'hidden1' cannot learn a minibatch "
        "in 2 parts; expected a direction without memory and a step along it, such as Sgd"
    )
    with pytest.raises(NetworkError, match=message):
        check_parts(learning(plasticity), 2)
    check_parts(learning(plasticity), 1)
    check_parts(learning(Sgd(ErrorDriven(), 0.1)), 2)
