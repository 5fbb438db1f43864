"""Does the scenario fit the data? Said before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from biosim.errors import ScenarioError
from biosim.network import Network
from scenarios.data import Dataset

if TYPE_CHECKING:
    from scenarios.scenario import Record, Scenario


def check_fit(scenario: Scenario, dataset: Dataset) -> None:
    """Compare layer sizes, minibatches, records and device with what there is.

    Raises:
        ScenarioError: a given size is not that of the data, a minibatch needs more samples
            than there are or has no equal parts, a recorded epoch or sample does not exist, or
            the device is not here.
    """
    layers, run, record = scenario.network, scenario.run, scenario.record
    if run.device != "cpu":
        number = int(run.device.partition(":")[2] or 0)
        if torch.cuda.device_count() <= number:
            raise ScenarioError(
                f"run.device is {run.device}; this machine shows {torch.cuda.device_count()} CUDA "
                "devices: use one of them, or cpu"
            )
    check_record(record, run.epochs, dataset)
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
    if run.batch_size % scenario.place.parts:
        raise ScenarioError(
            f"place.parts is {scenario.place.parts} and run.batch_size is {run.batch_size}; "
            "expected a number of parts that divides it"
        )


def check_record(record: Record, epochs: int, dataset: Dataset) -> None:
    """Compare what is to be stored with what there is.

    Raises:
        ScenarioError: a recorded epoch or sample does not exist.
    """
    for name, asked in (("weights", record.weights), ("activity", record.activity)):
        if isinstance(asked, tuple) and asked and max(asked) > epochs:
            raise ScenarioError(f"record.{name} asks for epoch {max(asked)}; the run has {epochs}")
    if isinstance(record.samples, tuple) and max(record.samples, default=0) >= len(dataset.test):
        raise ScenarioError(
            f"record.samples asks for test sample {max(record.samples)}; {dataset.name} has "
            f"{len(dataset.test)}, counted from 0"
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
