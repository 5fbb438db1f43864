"""A scenario is read, overridden and checked; every refusal names the place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from biosim.errors import ScenarioError
from rules import RULES
from scenarios.reading import built_in, read_tree, resolve, spikes, with_rule
from scenarios.scenario import snapshot_epochs

LAYERED = [
    name
    for name in sorted(built_in())
    if not spikes(read_tree(name)) and "task" not in read_tree(name)
]


@pytest.mark.parametrize("name", LAYERED)
@pytest.mark.parametrize("rule", list(RULES))
def test_every_built_in_scenario_is_valid_for_every_rule(name: str, rule: str) -> None:
    assert resolve(with_rule(read_tree(name), rule)).rule.name == rule


def test_the_command_line_stands_above_the_rule_table_and_that_above_the_file() -> None:
    tree = {
        "run": {"epochs": 1, "seed": 1, "batch_size": 1},
        "rule": {"name": "noprop"},
        "for": {"noprop": {"run": {"epochs": 2, "seed": 2}}, "frozen": {"run": {"epochs": 9}}},
    }
    run = resolve(tree, ["run.epochs=3"]).run
    assert (run.epochs, run.seed, run.batch_size) == (3, 2, 1)


def test_another_rule_by_override_drops_the_parameters_of_the_one_before() -> None:
    tree = {"rule": {"name": "soft_hebb", "gain": 3.0}}
    assert resolve(tree, ["rule.lr=0.5", "rule.name=noprop"]).rule.lr == 0.5  # type: ignore[attr-defined]


def test_yaml_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("run:\n  epochs: 3\nrule:\n  name: frozen\n")
    scenario = resolve(read_tree(str(path)))
    assert (scenario.name, scenario.run.epochs, scenario.rule.name) == ("mine", 3, "frozen")


def test_a_resolved_scenario_survives_being_stored() -> None:
    scenario = resolve(read_tree("digits"), ["rule.name=equilibrium_propagation"])
    assert resolve(scenario.model_dump(mode="json")) == scenario


def test_a_file_of_the_user_is_a_data_set_without_being_named_so() -> None:
    assert resolve({"data": {"file": "mine.npz"}}).data.name == "file"
    assert resolve({"data": {"name": "digits"}}, ["data.file=mine.npz"]).data.name == "file"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run.epohcs=5", "run.epohcs: unknown key; did you mean 'epochs'?"),
        ("rule.lrr=5", "rule.lrr: unknown key; did you mean 'lr'?"),
        ("rnu.epochs=5", "rnu: unknown key; did you mean 'run'?"),
        ("run.epochs=many", "run.epochs: got 'many'; expected a valid integer"),
        ("run.epochs=0", "run.epochs: got 0; expected greater than or equal to 1"),
        ("run=3", "run: got 3; expected a table"),
        ("run.epochs.more=3", "run.epochs.more: run.epochs is a value, not a table"),
        ("rule.lr=-1", "rule.lr: got -1; expected greater than 0"),
        ("rule.lr=nan", "rule.lr: got nan; expected a finite number"),
        ("rule.name=noporp", "rule.name: no rule 'noporp'; did you mean 'noprop'?"),
        ("rule=3", "rule.name: no rule None"),
        ("network.delay=-1", "network.delay: got -1; expected greater than or equal to 1"),
        ("network.hidden=32", "network.hidden: got 32; expected a list, such as [32, 32]"),
        ("network.hidden=[0]", "network.hidden: got 0; expected greater than or equal to 1"),
        ("network.hidden=[]", "network.hidden: got []"),
        ("network.hidden=[4,-1]", "network.hidden: got -1; expected greater than or equal to 1"),
        ("network.activation=softmax", "network.activation: got 'softmax'; softmax is for the"),
        ("run.period=0", "run.period: got 0; expected 'exact' or greater than or equal to 1"),
        ("run.device=tpu", "run.device: got 'tpu'; expected cpu, cuda or cuda:N"),
        ("run.device=cpu:", "run.device: got 'cpu:'; expected cpu, cuda or cuda:N"),
        ("rule.name=[1]", "rule.name: no rule [1]"),
        ("rule.momentum=0.5", "momentum is for rule.optimiser=sgd"),
        ("record.weights=[-1]", "record.weights: got"),
        ("epochs", "got 'epochs'; expected table.key=value"),
        ("run.=3", "got 'run.=3'; expected table.key=value"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(override: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(message)) as refused:
        resolve(read_tree("digits"), [override])
    assert "\n" not in str(refused.value)


def test_a_complaint_is_a_whole_sentence() -> None:
    with pytest.raises(ScenarioError) as refused:
        resolve(read_tree("digits"), ["network.hidden=[0]"])
    assert str(refused.value).endswith("expected greater than or equal to 1")


def test_an_unknown_scenario_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ScenarioError, match=r"no scenario 'digit'.*did you mean 'digits'"):
        read_tree("digit")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "[run", "cannot be parsed"),
        ("a.yaml", "run: [", "cannot be parsed"),
        ("a.yaml", "- 1", "holds a list; expected tables"),
    ],
)
def test_a_file_that_is_not_a_scenario_is_refused(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ScenarioError, match=message):
        read_tree(str(tmp_path / name))


def test_a_file_that_cannot_be_decoded_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ScenarioError, match="cannot be parsed"):
        read_tree(str(tmp_path / "a.toml"))


def test_an_unknown_rule_table_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"for\.noporp: no such rule; did you mean 'noprop'"):
        resolve({"for": {"noporp": {}}})
    with pytest.raises(ScenarioError, match=r"for\.noprop: got 3; expected tables"):
        resolve({"for": {"noprop": 3}})
    with pytest.raises(ScenarioError, match="for: got 3; expected tables named after rules"):
        resolve({"for": 3})


def test_an_unknown_rule_of_a_comparison_is_refused() -> None:
    with pytest.raises(ScenarioError, match="no rule 'hebb'"):
        with_rule({}, "hebb")


def test_one_learning_rate_stands_for_all_projections() -> None:
    rule = resolve({}, ["rule.name=equilibrium_propagation", "rule.lr=0.1"]).rule
    assert rule.lr == (0.1,)  # type: ignore[attr-defined]
    with pytest.raises(ScenarioError, match=r"rule\.lr: got -0\.1; expected greater than 0"):
        resolve({}, ["rule.name=equilibrium_propagation", "rule.lr=-0.1"])


def test_a_clip_that_leaves_a_block_nothing_to_clean_is_refused() -> None:
    with pytest.raises(ScenarioError, match="has to grow from above 0 to below 1"):
        resolve({}, ["rule.name=noprop", "rule.clip=[0.001,0.9]"])


def test_snapshot_epochs_are_read_as_documented() -> None:
    assert snapshot_epochs("ends", 3) == [0, 3]
    assert list(snapshot_epochs("every", 3)) == [0, 1, 2, 3]
    assert len(snapshot_epochs("every", 10**12)) == 10**12 + 1
    assert snapshot_epochs("last", 3) == [3]
    assert snapshot_epochs("never", 3) == []
    assert snapshot_epochs((2, 1, 2), 3) == [1, 2]
