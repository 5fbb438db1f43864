"""A scenario: what is simulated, checked before anything runs.

A scenario is a TOML (or YAML) file with the tables below. Values on the command line override
it (`run.epochs=5`); a table `[for.RULE]` overrides it for one rule, so that a comparison gives
each rule what it needs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from biosim.errors import ScenarioError
from biosim.network import Network
from biosim.parts import check_parts
from biosim.placement import explained
from biosim.populations.activations import ActivationName
from rules import Rule, Stack, rule_of
from scenarios.data import Dataset, load
from scenarios.fit import check_fit, check_timing


class Table(BaseModel):
    """A table of a scenario: no unknown keys, no infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Data(Table):
    """Which samples are learnt and which are kept for the test."""

    name: str = Field("digits", description="digits, mnist, fashion_mnist, or file")
    file: Path | None = Field(None, description="the user's own .npz or Zarr store with x and y")
    directory: Path | None = Field(None, description="where published files lie")
    validation: float = Field(0.0, ge=0, lt=1, description="share of the training samples")
    samples: int | None = Field(None, ge=1, description="use the first so many to learn")

    @model_validator(mode="before")
    @classmethod
    def _file_is_a_data_set(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("file") is not None and "name" not in given:
            return {**given, "name": "file"}
        return given

    def load(self) -> Dataset:
        """Return the data set.

        Raises:
            DataError: it is missing, damaged or not of the expected form.
        """
        return load(
            self.name,
            file=self.file,
            directory=self.directory,
            validation=self.validation,
            samples=self.samples,
        )


class Layers(Table):
    """The layers between the input and the answer."""

    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (32, 32), min_length=1, description="units of each hidden layer, from the input up"
    )
    activation: ActivationName | None = Field(
        None, description="of the hidden layers; left out, the rule's own"
    )
    delay: int = Field(1, ge=1, description="ticks that every event takes")
    inputs: int | None = Field(None, ge=1, description="checked against the data if given")
    outputs: int | None = Field(None, ge=1, description="checked against the data if given")

    @field_validator("activation")
    @classmethod
    def _hidden_layers_do_not_answer(cls, name: str | None) -> str | None:
        if name == "softmax":
            raise ValueError("softmax is for the answer; choose another for hidden layers")
        return name


class Run(Table):
    """How long, how fast, where, and under which seed."""

    epochs: int = Field(40, ge=1, description="times every sample is presented")
    batch_size: int = Field(32, ge=1, description="samples a minibatch")
    seed: int = Field(0, ge=0, description="of every random number")
    period: Literal["exact"] | Annotated[int, Field(ge=1)] = Field(
        "exact", description="ticks from one minibatch to the next, or wait for its updates"
    )
    device: str = Field("cpu", description="cpu, cuda, or cuda:N")
    dtype: Literal["float32", "float64"] = Field("float32", description="of activity and weights")
    threads: int = Field(1, ge=1, le=256, description="of each rank; they take different layers")
    pretend_ranks: int = Field(1, ge=1, le=64, description="ranks pretended in this process")
    limit_s: float = Field(600.0, gt=0, description="seconds a rank waits for the others")
    evaluate_every: int = Field(1, ge=1, description="epochs from one evaluation to the next")
    start_from: Path | None = Field(None, description="a run whose last weights to start with")

    @field_validator("device")
    @classmethod
    def _device_has_a_known_name(cls, name: str) -> str:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
            raise ValueError("expected cpu, cuda or cuda:N")
        return name


class Place(Table):
    """How the work is cut, and who does it.

    Results depend on `parts`, and on nothing else of this table.
    """

    strategy: Literal["auto", "layers", "replicas"] = Field(
        "auto", description="ranks share layers, or replicas of the network; auto: as parts allow"
    )
    parts: int = Field(1, ge=1, description="parts of a minibatch, which replicas share")
    replicas: int | None = Field(
        None, ge=1, description="of the network; the ranks of each share its layers"
    )

    @field_validator("strategy", mode="before")
    @classmethod
    def _layers_are_no_blocks(cls, given: Any) -> Any:
        if given == "blocks":
            raise ValueError(
                "blocks are of neurons that spike, and layers stay whole; expected auto, layers or "
                "replicas"
            )
        return given

    @model_validator(mode="after")
    def _the_strategy_agrees(self) -> Self:
        if self.strategy == "layers" and self.replicas not in (None, 1):
            raise ValueError(
                f"place.replicas is {self.replicas} and place.strategy is layers, which has one: "
                "leave one of them out"
            )
        if self.replicas is not None and self.parts % self.replicas:
            raise ValueError(
                f"place.replicas is {self.replicas} and place.parts is {self.parts}; expected a "
                "multiple: every replica learns as many parts"
            )
        return self

    def replicas_on(self, ranks: int) -> int:
        """Return how many replicas there are on so many ranks.

        Raises:
            ScenarioError: the ranks cannot be dealt out to them.
        """
        if self.strategy == "layers":
            return 1
        if self.replicas is None and self.strategy == "auto":
            return math.gcd(self.parts, ranks)
        replicas = self.replicas or ranks
        if ranks % replicas:
            raise ScenarioError(
                f"place.replicas is {replicas} and there are {ranks} ranks; expected a multiple: "
                "every replica has as many ranks"
            )
        if self.parts % replicas:
            raise ScenarioError(
                f"place.strategy is replicas on {ranks} ranks and place.parts is {self.parts}; "
                "expected a multiple of the ranks, or place.replicas that divides both"
            )
        return replicas

    def lines(self, network: Network, ranks: int) -> list[str]:
        """Return who owns what on so many ranks, and why.

        Why auto makes as many replicas as it can: layers wait for each other, replicas do not.

        Raises:
            ScenarioError: the ranks cannot be dealt out to replicas.
        """
        said = explained(network, ranks, self.replicas_on(ranks))
        return [said, self._reason(ranks)] if ranks > 1 else [said]

    def _reason(self, ranks: int) -> str:
        replicas = self.replicas_on(ranks)
        if self.replicas is not None:
            return f"place.replicas is {self.replicas}"
        if self.strategy != "auto":
            return f"place.strategy is {self.strategy}"
        if self.parts == 1:
            return "place.strategy is auto: layers, as place.parts is 1 and replicas share parts"
        if replicas == 1:
            return (
                f"place.strategy is auto: layers, as no number divides {self.parts} parts and "
                f"{ranks} ranks"
            )
        return (
            f"place.strategy is auto: {replicas} replicas, the most that divide {self.parts} parts "
            f"and {ranks} ranks"
        )


class Checkpoints(Table):
    """When a run is stored so that it can go on; no result depends on it."""

    minutes: float = Field(10.0, gt=0, description="from one checkpoint to the next")
    ticks: int | None = Field(None, ge=1, description="from one to the next, besides")
    keep: int = Field(2, ge=1, description="of the last ones")


class Blocks(Table):
    """How the work is cut where neurons spike; no result depends on it."""

    strategy: Literal["auto", "blocks"] = Field(
        "auto", description="ranks share blocks of neurons of every population; auto: the same"
    )

    @field_validator("strategy", mode="before")
    @classmethod
    def _neurons_that_spike_are_cut_in_blocks(cls, given: Any) -> Any:
        if given in ("layers", "replicas"):
            raise ValueError(
                "layers and replicas are of networks of layers; neurons that spike are cut in "
                "blocks: expected auto or blocks"
            )
        return given

    def lines(self, network: Network, ranks: int) -> list[str]:
        """Return how many neurons each of so many ranks owns, and why."""
        said = explained(network, ranks)
        reason = f"place.strategy is {self.strategy}: neurons that spike are cut in blocks"
        return [said, reason] if ranks > 1 else [said]


class Record(Table):
    """What is stored beside the learning curves."""

    weights: Literal["ends", "every", "last"] | tuple[Annotated[int, Field(ge=0)], ...] = Field(
        "ends", description="epochs whose weights are stored: first and last, all, last, or a list"
    )
    activity: (
        Literal["ends", "every", "last", "never"] | tuple[Annotated[int, Field(ge=0)], ...]
    ) = Field("ends", description="epochs at which activity is stored")
    samples: Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=0)], ...] = Field(
        100, description="test samples whose activity is stored: the first so many, or a list"
    )

    def positions(self, samples: int) -> list[int]:
        """Return the positions in a test set of so many samples."""
        if isinstance(self.samples, int):
            return list(range(min(self.samples, samples)))
        return list(self.samples)


class Scenario(Table):
    """Everything that a run depends on."""

    name: str = Field("scenario", description="a name for the report")
    data: Data = Data()
    network: Layers = Layers()
    rule: Annotated[SerializeAsAny[Rule], BeforeValidator(rule_of)] = Field(
        default_factory=lambda: rule_of({"name": "backprop"})
    )
    run: Run = Run()
    place: Place = Place()
    checkpoint: Checkpoints = Checkpoints()
    record: Record = Record()

    def wire(self, dataset: Dataset) -> Network:
        """Return the network for this data set.

        Raises:
            ScenarioError: a layer does not fit the data, the data has too few samples, a
                minibatch has no equal parts, pretended ranks cannot be dealt out to replicas, or
                the period is too short for the rule.
            NetworkError: the rule cannot be wired this way, or cannot learn in parts.
        """
        check_fit(self, dataset)
        if self.run.pretend_ranks > 1:
            self.place.replicas_on(self.run.pretend_ranks)
        network = self.wire_for(
            dataset.features, dataset.classes, len(dataset.train), dataset.train.x.mean(axis=0)
        )
        check_timing(self, network)
        check_parts(network, self.place.parts)
        return network

    def wire_for(
        self, features: int, classes: int, samples: int, mean: npt.NDArray[np.float32]
    ) -> Network:
        """Return the network for data of which only this is known; mean: (features,)."""
        stack = Stack(
            inputs=features,
            hidden=self.network.hidden,
            classes=classes,
            samples=samples,
            mean=torch.from_numpy(np.asarray(mean)),
            activation=self.network.activation,
        )
        return self.rule.wire(stack).delayed(self.network.delay)


def snapshot_epochs(asked: str | tuple[int, ...], epochs: int) -> Sequence[int]:
    """Return the epochs of a `record` entry; epoch 0 is before learning."""
    if asked == "ends":
        return [0, epochs]
    if asked == "every":
        return range(epochs + 1)  # a run that is only planned may have billions of them
    if asked == "last":
        return [epochs]
    if asked == "never":
        return []
    return sorted({int(epoch) for epoch in asked})
