"""The tables of a scenario in which spiking neurons learn from images."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

import rules
from biosim.network import Network
from biosim.spiking.description import SynapseModel
from rules.synaptic import SynapseRule
from scenarios.data import Dataset
from scenarios.scenario import Blocks, Checkpoints, Data, Record, Table


class Unchanging(SynapseRule):
    """No plasticity: the control that tells what learning the weights contributes."""

    source: ClassVar[str] = "a control"
    equations: ClassVar[str] = "no change of weights; thresholds adapt as with any other rule"
    locality: ClassVar[str] = "nothing"

    name: Literal["frozen"] = "frozen"

    def synapse(self) -> SynapseModel:
        """Return the equations; see `SynapseRule.synapse`."""
        return SynapseModel(model=f"w : {self.unit}", on_pre="receptor += w", bounds=self.limits)


def image_rules() -> dict[str, type[SynapseRule]]:
    """Return what may change the weights of inputs, by name."""
    return {**rules.SYNAPSE_RULES, "frozen": Unchanging}


def image_rule_of(given: Any) -> Any:
    """Return the rule of a table {"name": ..., parameter: ...}; a rule stays as it is.

    Raises:
        ValueError: the table has no name, or no rule has it.
        pydantic.ValidationError: a parameter is unknown or impossible.
    """
    if isinstance(given, SynapseRule):
        return given
    name = given.get("name") if isinstance(given, dict) else None
    known = image_rules()
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"no rule {name!r} for spikes")
    return known[name].model_validate(given)


class Task(Table):
    """How images are shown, and how answers are read.

    Source: Diehl & Cook 2015, sections 2.5 to 2.7.
    """

    kind: Literal["images"] = Field("images", description="samples are shown one at a time")
    dt_ms: float = Field(0.5, gt=0, description="length of a tick")
    image_ms: float = Field(350.0, gt=0, description="how long an image is shown")
    rest_ms: float = Field(150.0, ge=0, description="without input, after each image")
    rate_hz: float = Field(63.75, gt=0, description="of an input whose value is 1")
    raise_hz: float = Field(31.875, ge=0, description="more, when a weak image is repeated")
    least_spikes: int = Field(5, ge=0, description="of all neurons; with fewer, an image is weak")
    most_repeats: int = Field(15, ge=0, description="of a weak image")
    label_samples: int = Field(10_000, ge=1, description="last ones, by which neurons are labelled")

    @model_validator(mode="after")
    def _times_are_whole_ticks(self) -> Task:
        for name in ("image_ms", "rest_ms"):
            ticks = getattr(self, name) / self.dt_ms
            if abs(ticks - round(ticks)) > 1e-6 * max(1.0, ticks):
                raise ValueError(
                    f"{name} is {getattr(self, name):g}, which is not a whole number of ticks of "
                    f"{self.dt_ms:g} ms"
                )
        return self

    @property
    def dt(self) -> float:
        """Length of a tick in seconds."""
        return self.dt_ms * 1e-3

    @property
    def greatest_hz(self) -> float:
        """Rate of an input whose value is 1, in the last repeat of a weak image."""
        return self.rate_hz + self.most_repeats * self.raise_hz

    @property
    def image_ticks(self) -> int:
        """Ticks for which an image is shown."""
        return round(self.image_ms / self.dt_ms)

    @property
    def rest_ticks(self) -> int:
        """Ticks after it."""
        return round(self.rest_ms / self.dt_ms)


class Cortex(Table):
    """Excitatory neurons that compete, each with an inhibitory partner."""

    excitatory: int = Field(400, ge=1, description="neurons that learn; as many inhibit them")
    weight: float = Field(0.3, gt=0, description="weights begin between 0 and this")
    weight_sum: float = Field(
        78.0, ge=0, description="of a neuron's inputs, set before every image; 0: not set"
    )
    # Threshold: theta - 72 mV.
    theta_mv: float = Field(20.0, description="adaptive part of the threshold, at the start")
    theta_step_mv: float = Field(0.05, ge=0, description="its rise with each spike")
    theta_tau_ms: float = Field(1e7, gt=0, description="of its fall")
    lock_ms: float = Field(50.0, ge=0, description="for which a neuron that fired does not fire")
    to_inhibitory: float = Field(10.4, description="weight of an excitatory spike, to its partner")
    to_excitatory: float = Field(17.0, description="weight of an inhibitory spike, to the others")


class ImagesRun(Table):
    """How long, how fast, where, and under which seed."""

    epochs: int = Field(1, ge=1, description="times every image is shown")
    seed: int = Field(0, ge=0, description="of every random number")
    dtype: Literal["float32", "float64"] = Field("float32", description="of state and weights")
    threads: int = Field(1, ge=1, le=256, description="of each rank")
    pretend_ranks: int = Field(1, ge=1, le=64, description="ranks pretended in this process")
    limit_s: float = Field(600.0, gt=0, description="seconds a rank waits for the others")
    evaluate_every: int = Field(1, ge=1, description="epochs from one evaluation to the next")


class ImagesScenario(Table):
    """Everything that the run depends on."""

    name: str = Field("scenario", description="a name for the report")
    data: Data = Data()
    task: Task = Task()
    network: Cortex = Cortex()
    rule: Annotated[SerializeAsAny[SynapseRule], BeforeValidator(image_rule_of)] = Field(
        default_factory=lambda: image_rule_of({"name": "stdp"})
    )
    run: ImagesRun = ImagesRun()
    place: Blocks = Blocks()
    checkpoint: Checkpoints = Checkpoints()
    record: Record = Record()

    def wire(self, dataset: Dataset) -> Network:
        """Return the network for this data set; see `scenarios.images.checking.check`."""
        # Only a network that spikes needs Brian2's parser.
        from scenarios.images.checking import check

        return check(self, dataset)
