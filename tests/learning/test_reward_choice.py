"""Reward that follows choices teaches them; reward that does not teaches nothing."""

from __future__ import annotations

import numpy as np
import pytest

from scenarios.tasks.reward_choice import RewardChoice, rule, run

LAST = 100


def share_right(task: RewardChoice, seeds: range) -> np.ndarray:
    return np.array([run(task, seed).share_right(LAST) for seed in seeds])


def test_choices_become_right() -> None:
    made = run(RewardChoice(), seed=0)
    assert 0.2 < made.right[:30].mean() < 0.8
    assert made.share_right(LAST) >= 0.9


def test_without_dopamine_they_stay_a_coin() -> None:
    assert 0.35 < run(RewardChoice(reward="none"), seed=0).share_right(LAST) < 0.65


@pytest.mark.slow
def test_choices_become_right_under_every_seed() -> None:
    assert (share_right(RewardChoice(), range(5)) >= 0.9).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "task",
    [
        RewardChoice(reward="shuffled"),
        RewardChoice(reward="none"),
        RewardChoice(rule=rule().model_copy(update={"rate_hz": 0.0})),
        RewardChoice(rule=rule().model_copy(update={"tau_c_ms": 5.0})),
    ],
    ids=["reward by a coin", "no reward", "no plasticity", "no memory of what was eligible"],
)
def test_they_stay_a_coin_in_the_mean(task: RewardChoice) -> None:
    assert 0.35 < share_right(task, range(5)).mean() < 0.65
