"""The network of a data set: what does not fit is refused, and learning can be switched off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from biosim.equations.code import EquationError
from biosim.errors import ScenarioError
from biosim.spiking.description import PoissonSource, SpikeList, SynapseModel
from scenarios.data import Dataset, Split, digits
from scenarios.data.events import Events
from scenarios.images.network import INPUT, LEARNT, SWITCH, switched, wire
from scenarios.images.schema import ImagesScenario, Task
from scenarios.reading import read_tree, resolve_any


def scenario(*overrides: str) -> ImagesScenario:
    found = resolve_any(read_tree("digits_spiking"), overrides)
    assert isinstance(found, ImagesScenario)
    return found


def scaled(dataset: Dataset, by: float) -> Dataset:
    return replace(dataset, test=Split(dataset.test.x * by, dataset.test.y))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rule.w_max=1 mV", "rule.w_max is '1 mV'; expected a number: weights have no unit here"),
        ("network.weight_sum=65", "weight_sum is 65; the weights of 64 inputs add up to at most"),
        ("task.rate_hz=4000", r"inputs from 0 to 1 in train; expected 0 to 0\.44"),
        ("record.weights=[3]", "record.weights"),
        ("record.activity=[0, 1]", "record.activity asks for epoch 0; spiking neurons are asked"),
    ],
)
def test_what_does_not_fit_is_refused(override: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        wire(scenario(override), digits())


def test_inputs_that_are_no_rates_are_refused() -> None:
    with pytest.raises(ScenarioError, match="has inputs from -1 to -0 in test"):
        wire(scenario(), scaled(digits(), -1.0))


def test_times_that_are_no_whole_ticks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rest_ms is 0\.7, which is not a whole number of ticks"):
        Task(rest_ms=0.7)


def test_recordings_are_told_and_images_are_drawn() -> None:
    images = digits()
    assert isinstance(wire(scenario(), images).populations[0].model, PoissonSource)
    nothing = Events(
        np.empty(0, np.int32), np.empty(0, np.uint16), np.zeros(len(images.train) + 1, np.int64)
    )
    recorded = replace(images, train=replace(images.train, events=nothing))
    network = wire(scenario(), recorded)
    assert isinstance(network.populations[0].model, SpikeList)
    assert network.populations[0].name == INPUT
    assert network.projections[0].name == LEARNT


def test_a_switched_rule_changes_weights_by_exactly_its_own_change() -> None:
    plain = SynapseModel(
        model="w : 1\ndx/dt = -x/(20*ms) : 1 (event-driven)",
        on_pre="receptor += w; x = 1; w += 2*x",
        on_post="w = clip(w - x, 0, 1) # bounded",
        bounds={"w": (0.0, 1.0)},
    )
    found = switched(plain)
    assert found.on_pre.splitlines() == [
        "receptor += w",
        " x = 1",
        f"w = {SWITCH}*(w + ( 2*x)) + (1 - {SWITCH})*w",
    ]
    assert found.on_post == f"w = {SWITCH}*(( clip(w - x, 0, 1) )) + (1 - {SWITCH})*w"
    assert found.initial[SWITCH] == 1.0


def test_a_weight_that_moves_by_itself_cannot_be_switched_off() -> None:
    synapse = SynapseModel(model="dw/dt = -w/(1*second) : 1", bounds={"w": (0.0, 1.0)})
    with pytest.raises(EquationError, match="changes between spikes cannot be switched off"):
        switched(synapse)


def test_a_change_that_is_not_understood_cannot_be_switched_off() -> None:
    synapse = SynapseModel(model="w : 1", on_pre="w **= 2", bounds={"w": (0.0, 1.0)})
    with pytest.raises(EquationError, match=r"'w \*\*= 2' cannot be switched off; expected"):
        switched(synapse)
