"""Does the scenario fit the data? Said before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biosim.errors import ScenarioError
from biosim.network import Network
from scenarios.data import Dataset

if TYPE_CHECKING:
    from scenarios.scenario import Scenario


def check_fit(scenario: Scenario, dataset: Dataset) -> None:
    """Compare layer sizes and minibatches with the data.

    Raises:
        ScenarioError: a given size is not that of the data, or a minibatch needs more samples
            than there are.
    """
    layers, run = scenario.network, scenario.run
    if layers.inputs is not None and layers.inputs != dataset.features:
        raise ScenarioError(
            f"network.inputs is {layers.inputs}; {dataset.name} has {dataset.features} features a "
            "sample: leave it out or give that number"
        )
    if layers.outputs is not None and layers.outputs != dataset.classes:
        raise ScenarioError(
            f"network.outputs is {layers.outputs}; {dataset.name} has {dataset.classes} classes: "
            "leave it out or give that number"
        )
    if run.batch_size > len(dataset.train):
        raise ScenarioError(
            f"run.batch_size is {run.batch_size}; {dataset.name} has {len(dataset.train)} samples "
            "to learn from: give at most that"
        )


def check_timing(scenario: Scenario, network: Network) -> None:
    """Compare the period with what the phases of a presentation take.

    Raises:
        ScenarioError: the phases take longer.
    """
    period = scenario.run.period
    if period != "exact" and period < network.learning_ticks:
        raise ScenarioError(
            f"run.period is {period}; the phases of {scenario.rule.name} take "
            f"{network.learning_ticks} ticks: ask for at least that, or for exact"
        )
