"""Reward that follows choices teaches them; reward that does not teaches nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scenarios.reading import read_tree, resolve_any
from scenarios.tasks.reward_choice import run
from scenarios.tasks.schema import ChoiceTask, RewardChoice, TaskRun

LAST = 100


def right_at_the_end(seed: int, reward: str = "contingent", **rule: Any) -> float:
    task = ChoiceTask.model_validate({"reward": reward})
    made = run(RewardChoice(task=task, rule=rule, run=TaskRun(seed=seed)))
    return float(made[-LAST:].mean())


def test_the_scenario_file_says_what_holds_without_it() -> None:
    assert resolve_any(read_tree("reward_choice")) == RewardChoice()


def test_choices_become_right() -> None:
    made = run(RewardChoice())
    assert 0.2 < made[:30].mean() < 0.8
    assert made[-LAST:].mean() >= 0.9


def test_without_dopamine_they_stay_a_coin() -> None:
    assert 0.35 < right_at_the_end(0, "none") < 0.65


@pytest.mark.slow
def test_choices_become_right_under_every_seed() -> None:
    assert min(right_at_the_end(seed) for seed in range(5)) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"reward": "shuffled"}, {"reward": "none"}, {"rate_hz": 0.0}, {"tau_c_ms": 5.0}],
    ids=["reward by a coin", "no reward", "no plasticity", "no memory of what was eligible"],
)
def test_they_stay_a_coin_in_the_mean(changes: dict[str, Any]) -> None:
    assert 0.35 < np.mean([right_at_the_end(seed, **changes) for seed in range(5)]) < 0.65
