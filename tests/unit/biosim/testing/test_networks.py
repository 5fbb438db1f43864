"""The parts that the laws about networks are made of."""

import copy

import pytest
import torch

from biosim.testing import (
    CLASSES,
    FEATURES,
    SAMPLES,
    LocalityLaws,
    NetworkLaws,
    Plan,
    RankLaws,
    assert_same,
)
from biosim.testing.networks import interposed, on_ranks, together, with_delays
from rules import Backprop, Stack


class OfBackprop(NetworkLaws):
    def network(self):
        return Backprop().wire(Stack(FEATURES, (4,), CLASSES, SAMPLES, torch.zeros(FEATURES)))


def test_a_suite_that_says_nothing_is_told_what_to_define() -> None:
    with pytest.raises(NotImplementedError, match=r"define network\(self\)"):
        RankLaws().test_a_run_repeats_its_bits()
    with pytest.raises(NotImplementedError, match=r"define plasticity\(self\)"):
        LocalityLaws().test_every_variable_must_be_declared()


def test_data_are_the_same_every_time() -> None:
    (x, y), again = OfBackprop().data(), OfBackprop().data()
    assert (x.shape, y.shape) == ((SAMPLES, FEATURES), (SAMPLES,))
    assert set(y.tolist()) == set(range(CLASSES))
    assert 0.0 <= x.min() < x.max() < 1.0
    assert_same((x, y), again, "data of the laws")


def test_an_outcome_has_everything_that_a_run_gives() -> None:
    outcome = on_ranks(1, lambda ranks: OfBackprop().learnt(Plan(), ranks))
    assert set(outcome.parameters) == {"input-hidden1", "hidden1-output"}
    assert set(outcome.state) == {0, 1, 2, 3}
    assert outcome.answers["answer"].shape == (SAMPLES, CLASSES)
    assert set(outcome.activity) == {"hidden1", "output"}
    assert outcome.totals.samples == 2 * SAMPLES


def test_an_outcome_does_not_change_with_what_follows() -> None:
    laws = OfBackprop()
    simulation = laws.simulation(Plan())
    outcome = laws.outcome(simulation)
    before = copy.deepcopy(outcome.state)
    simulation.learn(*laws.data(), 0, 8)
    assert_same(outcome.state, before, "a snapshot is a copy")


def test_a_run_learns_something() -> None:
    laws = OfBackprop()
    fresh = laws.simulation(Plan())
    learnt = on_ranks(1, lambda ranks: laws.learnt(Plan(), ranks))
    for name, parts in fresh.parameters().items():
        assert not torch.equal(parts["weight"], learnt.parameters[name]["weight"])


def test_what_two_ranks_own_is_refused() -> None:
    assert together([{"a": 1}, {"b": 2}]) == {"a": 1, "b": 2}
    with pytest.raises(AssertionError, match=r"two ranks own \['a'\]; expected one owner"):
        together([{"a": 1}, {"a": 1}])


def test_ranks_that_count_differently_are_refused() -> None:
    def program(ranks):
        simulation = OfBackprop().simulation(Plan(), ranks)
        if ranks.rank == 1:
            ranks_sum, ranks.sum = ranks.sum, lambda counts: ranks_sum(counts) + 1
        return OfBackprop().outcome(simulation)

    with pytest.raises(AssertionError, match="every rank must get the same totals"):
        on_ranks(2, program)


def test_delays_are_chosen_by_projection() -> None:
    later = with_delays(OfBackprop().network(), lambda p: 2 if p.target == "judge" else 5)
    assert {p.name: p.delay for p in later.projections} == {
        "input-hidden1": 5,
        "hidden1-output": 5,
        "label-output": 5,
        "output-hidden1": 5,
        "output-judge": 2,
    }


def test_a_function_between_engine_and_actors_sees_windows_and_events() -> None:
    seen = []

    def between(site, advance, window, inbox):
        seen.append((site.population.name, tuple(window), len(inbox)))
        return advance(window, inbox)

    laws = OfBackprop()
    simulation = laws.simulation(Plan(), network=interposed(laws.network(), between))
    simulation.learn(*laws.data(), 0, 24)
    assert seen == [
        ("input", (0, 1), 0),
        ("hidden1", (1, 2), 1),
        ("output", (1, 2), 1),
        ("output", (2, 3), 1),
        ("hidden1", (3, 4), 1),
    ]


def test_a_function_between_engine_and_actors_decides_what_is_sent() -> None:
    laws = OfBackprop()
    network = interposed(laws.network(), lambda site, advance, window, inbox: [])
    simulation = laws.simulation(Plan(), network=network)
    simulation.begin_epoch(*laws.data(), 0, 24)
    assert not simulation.finish(until=50)
    assert simulation.ledger_totals().sent_events == [0] * 5
