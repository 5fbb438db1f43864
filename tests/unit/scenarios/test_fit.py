"""A scenario that does not fit its data is refused before anything runs."""

from __future__ import annotations

import pytest

from biosim.errors import BiosimError, ScenarioError
from scenarios.data import Dataset, digits
from scenarios.reading import read_tree, resolve


@pytest.fixture(scope="module")
def data() -> Dataset:
    return digits()


def wire(data: Dataset, *overrides: str) -> None:
    resolve(read_tree("digits"), overrides).wire(data)


def test_given_layer_sizes_that_fit_are_accepted(data: Dataset) -> None:
    wire(data, "network.inputs=64", "network.outputs=10")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["network.inputs=100"], "network.inputs is 100; digits has 64 features"),
        (["network.outputs=7"], "network.outputs is 7; digits has 10 classes"),
        (["run.batch_size=5000"], "run.batch_size is 5000; digits has 1437 samples"),
        (["run.device=cuda:97"], "run.device is cuda:97; this machine shows"),
        (["record.weights=[99]"], "record.weights asks for epoch 99; the run has 40"),
        (["record.activity=[0,41]"], "record.activity asks for epoch 41; the run has 40"),
        (["record.samples=[360]"], "record.samples asks for test sample 360; digits has 360"),
        (
            ["rule.name=equilibrium_propagation", "run.period=3"],
            "run.period is 3; the phases of equilibrium_propagation take 14 ticks",
        ),
    ],
)
def test_what_does_not_fit_is_refused(data: Dataset, overrides: list[str], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        wire(data, *overrides)


def test_settling_populations_need_a_delay_of_one_tick(data: Dataset) -> None:
    with pytest.raises(BiosimError, match="has a delay of 2 ticks; settling populations"):
        wire(data, "rule.name=equilibrium_propagation", "network.delay=2")


def test_other_rules_take_any_delay(data: Dataset) -> None:
    wire(data, "network.delay=5")
