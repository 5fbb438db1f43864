"""Tables of tasks: a task's own parameters of its rule stand unless something else is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from biosim.errors import BiosimError, ScenarioError
from scenarios.reading import resolve, resolve_any, with_rule
from scenarios.tasks.checking import check
from scenarios.tasks.listening import Listener
from scenarios.tasks.schema import HiddenPattern, RewardChoice

PATTERN: dict[str, Any] = {"name": "hidden_pattern", "task": {"kind": "hidden_pattern"}}
CHOICE: dict[str, Any] = {"name": "reward_choice", "task": {"kind": "reward_choice"}}


def test_a_kind_is_enough() -> None:
    assert resolve_any(PATTERN) == HiddenPattern()
    assert resolve_any(CHOICE) == RewardChoice()


def test_one_parameter_leaves_the_others_of_the_rule_as_they_are() -> None:
    found = resolve_any(PATTERN | {"rule": {"tau_plus_ms": 10.0}}, ["rule.a_plus=0"])
    assert isinstance(found, HiddenPattern)
    own = HiddenPattern().rule.model_dump()
    assert found.rule.model_dump() == own | {"tau_plus_ms": 10.0, "a_plus": 0.0}


def test_another_rule_takes_no_parameters_of_the_task() -> None:
    found = resolve_any(PATTERN, ["rule.name=triplet_stdp"])
    assert found.rule.model_dump()["name"] == "triplet_stdp"  # type: ignore[union-attr]


def test_overrides_reach_the_task() -> None:
    found = resolve_any(CHOICE, ["task.trials=7", "task.reward=none", "run.seed=4"])
    assert isinstance(found, RewardChoice)
    assert (found.task.trials, found.task.reward, found.run.seed) == (7, "none", 4)


@pytest.mark.parametrize(
    ("tree", "overrides", "message"),
    [
        (PATTERN, ["task.share=0.6"], "task.share: got 0.6; expected less than or equal to 0.4"),
        (PATTERN, ["task.involved=0"], "task.involved: got 0; expected greater than or equal"),
        (PATTERN, ["task.involved=2001"], "2001 of 2000 afferents take part in the pattern"),
        (PATTERN, ["task.seconds=0.1"], "in 0.1 s the pattern would never be shown"),
        (PATTERN, ["task.kind=reward_choice"], "task.kind: got 'reward_choice'; expected 'hidd"),
        (PATTERN, ["rule=3"], "rule.name: no rule None for this task; known are stdp, "),
        (PATTERN, ["run.epochs=2"], "run.epochs: unknown key; known are seed, dtype, threads"),
        (CHOICE, ["rule.name=stdp"], "no rule 'stdp' for this task; known are reward_stdp"),
        (CHOICE, ["task.reward=maybe"], "task.reward: got 'maybe'; expected 'contingent'"),
        ({"task": {"kind": "xyz"}}, [], "task.kind: got 'xyz'; known are images, hidden"),
    ],
)
def test_what_is_wrong_is_named(tree: dict[str, Any], overrides: list[str], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        resolve_any(tree, overrides)


def test_a_task_is_no_network_of_layers_and_compares_no_rules() -> None:
    with pytest.raises(ScenarioError, match="hidden_pattern is a spiking network"):
        resolve(PATTERN)
    with pytest.raises(ScenarioError, match="reward_choice is a spiking network"):
        with_rule(CHOICE, "reward_stdp")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task.weight=1.5"], "weight: begins at 1.5; expected its bounds, 0.0 to 1.0"),
        (["task.seconds=1e5", "task.afferents=100_000"], "the network needs about"),
    ],
)
def test_what_cannot_be_run_is_refused_before(overrides: list[str], message: str) -> None:
    found = resolve_any(PATTERN, overrides)
    assert isinstance(found, HiddenPattern)
    with pytest.raises(BiosimError, match=message):
        check(found)


def test_a_listener_keeps_spikes_until_it_is_asked_and_passes_them_on() -> None:
    first, second = Listener(["a"]), Listener(["a", "b"])
    first.behind = second
    neurons = np.zeros(2, dtype=np.uint32)
    for ticks in ([1, 2], [5, 9]):
        for population in ("a", "b"):
            first.spikes(population, np.array(ticks), neurons)
    assert first.taken("a").tolist() == [1, 2, 5, 9]
    assert first.taken("a").tolist() == []
    assert second.taken("b").tolist() == [1, 2, 5, 9]
