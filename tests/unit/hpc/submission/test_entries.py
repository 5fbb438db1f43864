"""Which runs are asked for: rules, sweeps and seeds, each combination once."""

from __future__ import annotations

import pytest

from biosim.errors import BiosimError, ScenarioError
from hpc.compare import plan
from hpc.submission.entries import PlannedRun, planned, sweep
from hpc.submission.site import SubmissionError
from scenarios.reading import read_tree

QUICK = ["run.epochs=1"]


def names(runs: list[PlannedRun]) -> list[str]:
    return [run.name for run in runs]


def test_one_run_is_asked_for_if_nothing_else_is() -> None:
    (run,) = planned(read_tree("digits"), QUICK)
    assert (run.name, run.path, run.rule, run.seed, run.settings) == (
        "backprop/seed-0", "runs/backprop/seed-0", "backprop", 0, {},
    )  # fmt: skip
    assert run.scenario.run.epochs == 1


def test_rules_and_seeds_are_those_of_a_comparison() -> None:
    tree, rules = read_tree("digits"), ["frozen", "noprop"]
    runs = planned(tree, QUICK, rules, seeds=2)
    compared = plan(tree, rules, 2, QUICK)
    assert [(r.name, r.rule, r.seed, r.scenario) for r in runs] == [
        (e.path, e.rule, e.seed, e.scenario) for e in compared
    ]


def test_several_sweeps_give_every_combination_and_seeds_of_each() -> None:
    sweeps = [sweep("rule.lr=0.1,0.01"), sweep("network.hidden=[8],[8,8]")]
    runs = planned(read_tree("digits"), QUICK, sweeps=sweeps, seeds=2)
    assert len(runs) == 8
    assert names(runs)[:3] == [
        "backprop-rule.lr=0.1-network.hidden=8/seed-0",
        "backprop-rule.lr=0.1-network.hidden=8/seed-1",
        "backprop-rule.lr=0.1-network.hidden=8_8/seed-0",
    ]
    assert runs[2].settings == {"rule.lr": 0.1, "network.hidden": [8, 8]}
    assert runs[2].scenario.network.hidden == (8, 8)
    assert runs[7].scenario.rule.lr == 0.01


def test_a_rule_without_the_swept_key_runs_once() -> None:
    blocks = sweep("rule.blocks=2,3")
    runs = planned(read_tree("digits"), QUICK, ["backprop", "noprop"], [blocks])
    assert names(runs) == [
        "backprop/seed-0", "noprop-rule.blocks=2/seed-0", "noprop-rule.blocks=3/seed-0",
    ]  # fmt: skip
    assert runs[0].settings == {}


def test_spiking_networks_have_seeds_and_sweeps() -> None:
    runs = planned(read_tree("cuba"), [], sweeps=[sweep('run.duration="10 ms",20 ms')], seeds=2)
    assert names(runs) == [
        "run.duration=10_ms/seed-0", "run.duration=10_ms/seed-1",
        "run.duration=20_ms/seed-0", "run.duration=20_ms/seed-1",
    ]  # fmt: skip
    assert [run.settings["run.duration"] for run in runs[1:3]] == ["10 ms", "20 ms"]
    assert runs[3].scenario.run.seed == 1


def test_rules_of_a_task_are_swept() -> None:
    runs = planned(read_tree("hidden_pattern"), [], sweeps=[sweep("rule.name=stdp,frozen")])
    assert [(run.name, run.rule) for run in runs] == [
        ("rule.name=stdp/seed-0", "stdp"), ("rule.name=frozen/seed-0", "frozen"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["cuba", "reward_choice"])
def test_networks_without_rules_to_compare_are_refused_rules(name: str) -> None:
    with pytest.raises(SubmissionError, match=f"--rules: {name} has no rules for layers"):
        planned(read_tree(name), [], ["stdp"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rule.lr", "--sweep: got 'rule.lr'; expected table.key=a,b,c"),
        ("=1,2", "--sweep: got '=1,2'; expected table.key=a,b,c"),
        ("rule.lr=", "--sweep: got 'rule.lr='; expected"),
        ("rule.lr=1,,2", "--sweep: got 'rule.lr=1,,2'; expected"),
        ("rule.lr=1,2,1", "--sweep rule.lr: got '1,2,1'; expected each value once"),
    ],
)
def test_a_sweep_without_key_or_values_is_refused(text: str, said: str) -> None:
    with pytest.raises(SubmissionError) as refused:
        sweep(text)
    assert said in str(refused.value)


def test_what_makes_no_sense_together_is_refused() -> None:
    tree = read_tree("digits")
    lr = sweep("rule.lr=0.1,0.2")
    with pytest.raises(SubmissionError, match=r"rule\.lr is set twice; expected one --sweep"):
        planned(tree, [], sweeps=[lr, lr])
    with pytest.raises(SubmissionError, match=r"rule\.lr is set twice"):
        planned(tree, ["rule.lr=3"], sweeps=[lr])
    with pytest.raises(SubmissionError, match="seeds are counted by --seeds"):
        planned(tree, [], sweeps=[sweep("run.seed=1,2")])
    with pytest.raises(SubmissionError, match="--seeds: got 0; expected at least 1"):
        planned(tree, [], seeds=0)
    with pytest.raises(SubmissionError, match="20,000 runs are asked for; expected at most 10,000"):
        planned(tree, [], sweeps=[lr], seeds=10_000)
    with pytest.raises(SubmissionError, match="two runs would be named"):
        planned(tree, [], sweeps=[sweep("name=a b,a-b,a_b")])


def test_an_impossible_value_of_a_sweep_is_refused_as_in_a_run() -> None:
    with pytest.raises(ScenarioError, match=r"run\.epochs: got 0; expected greater"):
        planned(read_tree("digits"), [], sweeps=[sweep("run.epochs=1,0")])
    with pytest.raises(BiosimError, match="no rule 'nopropp'"):
        planned(read_tree("digits"), [], ["nopropp"])
