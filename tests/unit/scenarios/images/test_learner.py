"""A few digits, shown to a small network: what is frozen, scaled, repeated and reproduced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from biosim.contracts import Ranks
from biosim.ranks import OneRank, PretendRanks
from scenarios.data import Dataset, Split, digits
from scenarios.data.events import Events
from scenarios.images.learner import Learner
from scenarios.images.schema import ImagesScenario
from scenarios.reading import read_tree, resolve_any, with_rule

IMAGES = 4


def few() -> Dataset:
    whole = digits()
    train, test = (Split(s.x[:IMAGES], s.y[:IMAGES]) for s in (whole.train, whole.test))
    return replace(whole, train=train, test=test)


def scenario(*overrides: str, rule: str = "stdp") -> ImagesScenario:
    # More than a block of 256 neurons: two shards have one each.
    asked = ["network.excitatory=300", "network.theta_mv=10.0", "task.most_repeats=1", *overrides]
    found = resolve_any(with_rule(read_tree("digits_spiking"), rule), asked)
    assert isinstance(found, ImagesScenario)
    return found


def learnt(
    *overrides: str, rule: str = "stdp", ranks: Ranks | None = None, dataset: Dataset | None = None
) -> Learner:
    learner = Learner(scenario(*overrides, rule=rule), dataset or few(), ranks or OneRank())
    learner.settle()
    learner.learn(0)
    return learner


def outcome(learner: Learner) -> list[Any]:
    found = learner.traffic(), learner.answer()
    return [
        found[0],
        found[1].accuracy,
        found[1].counts.tobytes(),
        learner.weights().tobytes(),
        learner.thresholds().tobytes(),
        learner.assignment.tobytes(),
    ]


@pytest.fixture(scope="module")
def alone() -> list[Any]:
    return outcome(learnt())


def test_two_threads_give_the_same_bits(alone: list[Any]) -> None:
    assert outcome(learnt("run.threads=2")) == alone


def test_two_ranks_give_the_same_bits(alone: list[Any]) -> None:
    results = PretendRanks(2).run(lambda ranks: outcome(learnt(ranks=ranks)))
    assert results == [alone, alone]


def test_another_seed_gives_others(alone: list[Any]) -> None:
    assert outcome(learnt("run.seed=1"))[2:5] != alone[2:5]


def test_weights_and_thresholds_hold_still_while_it_answers() -> None:
    learner = learnt()
    weights, thresholds = learner.weights(), learner.thresholds()
    assert learner.answer().counts.sum() > 0
    np.testing.assert_array_equal(learner.weights(), weights)
    np.testing.assert_array_equal(learner.thresholds(), thresholds)


def test_what_is_learnt_later_does_not_depend_on_answers() -> None:
    asked, silent = learnt(), learnt()
    asked.answer()
    for learner in (asked, silent):
        learner.learn(1)
    np.testing.assert_array_equal(asked.weights(), silent.weights())


@pytest.mark.parametrize(("rule", "moves"), [("stdp", True), ("frozen", False)])
def test_weights_move_by_more_than_scaling_under_a_rule_only(rule: str, moves: bool) -> None:
    learner = Learner(scenario(rule=rule), few(), OneRank())
    learner.settle()
    before = learner.weights()
    learner.learn(0)
    after = learner.weights()
    total = 25.0 / before.sum(axis=1, dtype=np.float64, keepdims=True)
    assert (abs(after - before * total).max() > 1e-3) == moves
    assert learner.traffic().spikes_of["excitatory"] > 0


def test_thresholds_rise_by_a_step_a_spike() -> None:
    learner = learnt("network.theta_tau_ms=1e12")
    rise = learner.thresholds() - 0.01
    spikes = learner.traffic().spikes_of["excitatory"]
    assert rise.sum() == pytest.approx(1e-4 * spikes, rel=1e-3)
    assert spikes > 0


def test_thresholds_fall_by_the_time_that_images_take() -> None:
    learner = learnt("network.theta_tau_ms=1000.0", "network.theta_step_mv=0.0")
    fall = np.exp(-0.5 * learner.traffic().shown)
    np.testing.assert_allclose(learner.thresholds(), 0.01 * fall, rtol=1e-5)


def test_a_weak_image_is_shown_again() -> None:
    traffic = learnt("task.least_spikes=60000").traffic()
    assert (traffic.images, traffic.shown) == (IMAGES, 2 * IMAGES)
    assert learnt("task.least_spikes=0").traffic().shown == IMAGES


def test_a_recording_is_shown_once_at_its_own_times_and_cut_at_the_end() -> None:
    # Input 3 twice in one tick, input 5 after the end.
    one = np.array([1000, 1100, 2000, 400_000], np.int32), np.array([3, 3, 4, 5], np.uint16)
    offsets = 4 * np.arange(IMAGES + 1, dtype=np.int64)
    events = Events(np.tile(one[0], IMAGES), np.tile(one[1], IMAGES), offsets)
    whole = few()
    recorded = replace(
        whole, train=replace(whole.train, events=events), test=replace(whole.test, events=events)
    )
    traffic = learnt(dataset=recorded).traffic()
    assert traffic.shown == IMAGES
    assert traffic.spikes_of["input"] == 2 * IMAGES
