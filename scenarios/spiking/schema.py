"""The tables of a spiking scenario.

What has a unit is text in Brian2's language ("20 ms", "0.1*J/sqrt(scale)"); a bare number has no
unit. Every text may use the names of `[constants]`, and `scale` where the scenario has one;
start values, weights and delays may use what `biosim.spiking.description.Value` lists as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

import rules
from scenarios.complaints import complaints, nearest
from scenarios.scenario import Blocks, Checkpoints, Table

Quantity = float | str
Number = float | str
Whole = int | str
Names = str | Annotated[tuple[str, ...], Field(min_length=1)]
Matrix = tuple[tuple[Number, ...], ...]
Pair = tuple[Quantity, Quantity]
Index = Annotated[int, Field(ge=0, lt=1 << 32)]


class Neuron(Table):
    """What neurons are: equations, and what happens at a spike. Shared by name in `[neurons]`."""

    model: str | None = Field(None, description="differential equations, with units")
    threshold: str | None = Field(None, description="condition for a spike")
    reset: str | None = Field(None, description="statements after a spike")
    refractory: Quantity | None = Field(None, description="a time, a parameter, or a condition")
    method: str | None = Field(
        None, description="exact, exponential_euler, euler, rk2, rk4, heun, milstein; Brian2's own"
    )
    constants: dict[str, Quantity] = Field({}, description="of these neurons")
    initial: dict[str, Quantity] = Field({}, description="start values, in order")
    integration: Literal["auto", "clock", "event"] = Field("auto", description="how time goes on")
    expected_rate: Quantity | None = Field(None, description="a synapse; decides for auto")


class PopulationTable(Neuron):
    """Neurons of one kind, or a source of spikes."""

    size: Whole = Field(description="number of neurons")
    kind: Literal["neurons", "poisson", "spikes"] = Field("neurons", description="what they are")
    neuron: str | None = Field(None, description="table of [neurons] to begin with")
    rate: Quantity | None = Field(None, description="of kind poisson")
    indices: tuple[Index, ...] | None = Field(None, description="of kind spikes: who fires")
    times: tuple[Quantity, ...] | None = Field(None, description="of kind spikes: when")
    file: str | None = Field(None, description="of kind spikes: .npz or .csv with index, time_s")

    KEYS: ClassVar[dict[str, tuple[str, ...]]] = {
        "neurons": ("neuron", *Neuron.model_fields),
        "poisson": ("rate",),
        "spikes": ("indices", "times", "file"),
    }

    @model_validator(mode="after")
    def _keys_go_with_the_kind(self) -> Self:
        _only(self, self.kind, ("size", "kind", *self.KEYS[self.kind]))
        if self.kind == "neurons" and self.model is None and self.neuron is None:
            raise ValueError("has no equations; give it a model, or the name of a neuron")
        if self.kind == "poisson" and self.rate is None:
            raise ValueError("fires at random but has no rate; give it one, such as '10 Hz'")
        if self.kind == "spikes":
            listed = self.indices is not None and self.times is not None
            if listed == (self.file is not None) or (self.indices is None) != (self.times is None):
                raise ValueError("lists spikes; give it indices and times, or a file")
            if listed and len(self.indices or ()) != len(self.times or ()):
                raise ValueError(
                    f"lists {len(self.indices or ())} indices and {len(self.times or ())} times; "
                    "expected as many of each"
                )
        return self


class Drawn(Table):
    """A number drawn for each synapse."""

    normal: Annotated[tuple[Quantity, ...], Field(min_length=2, max_length=4)] | None = Field(
        None, description="mean, deviation, and if given least and greatest: drawn again outside"
    )
    uniform: Pair | None = Field(None, description="from, to")

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Self:
        if (self.normal is None) == (self.uniform is None):
            raise ValueError("expected either normal = [mean, deviation] or uniform = [from, to]")
        return self


class Wiring(Table):
    """Which neurons are joined."""

    rule: Literal[
        "all_to_all",
        "one_to_one",
        "fixed_probability",
        "fixed_in_degree",
        "fixed_total",
        "pairs",
        "table",
        "matrix",
    ] = Field(description="how they are chosen")
    p: Number | Matrix | None = Field(None, description="chance of a pair; rows are targets")
    n: Whole | Matrix | None = Field(None, description="synapses, a target or in all")
    selves: bool | None = Field(None, description="whether a neuron may be joined to itself")
    multiple: bool | None = Field(None, description="whether a pair may be joined again")
    sources: tuple[Index, ...] | None = Field(None, description="of listed pairs")
    targets: tuple[Index, ...] | None = Field(None, description="of listed pairs")
    weights: tuple[float, ...] | None = Field(None, description="times `weight`, of listed pairs")
    file: str | None = Field(None, description="a connectome's table, or scipy's .npz of a matrix")
    columns: dict[Literal["source", "target", "weight"], str] | None = Field(
        None, description="headings in the table; without weight every synapse weighs 1"
    )
    only: dict[str, str] | None = Field(None, description="heading -> what a line must have")
    names: tuple[str, ...] | None = Field(None, description="of neurons, by index; else sorted")

    KEYS: ClassVar[dict[str, tuple[str, ...]]] = {
        "all_to_all": ("selves",),
        "one_to_one": (),
        "fixed_probability": ("p", "selves"),
        "fixed_in_degree": ("n", "selves", "multiple"),
        "fixed_total": ("n", "p"),
        "pairs": ("sources", "targets", "weights"),
        "table": ("file", "columns", "only", "names"),
        "matrix": ("file",),
    }
    NEEDED: ClassVar[dict[str, tuple[str, ...]]] = {
        "fixed_probability": ("p",),
        "fixed_in_degree": ("n",),
        "pairs": ("sources", "targets"),
        "table": ("file",),
        "matrix": ("file",),
    }

    @model_validator(mode="after")
    def _keys_go_with_the_rule(self) -> Self:
        _only(self, self.rule, ("rule", *self.KEYS[self.rule]))
        for key in self.NEEDED.get(self.rule, ()):
            if getattr(self, key) is None:
                raise ValueError(f"{self.rule} needs {key}; give it")
        if self.rule == "fixed_total" and (self.n is None) == (self.p is None):
            raise ValueError(
                "fixed_total needs n, the number of synapses, or p, from which that follows"
            )
        return self


class Plasticity(Table):
    """Synapses by equations: the user's own, or a rule by name with its parameters."""

    model_config = ConfigDict(extra="allow")

    rule: str | None = Field(None, description="name of a rule; other keys are its parameters")
    model: str = Field("w : 1", description="variables of a synapse")
    on_pre: str = Field("", description="at the arrival of a spike")
    on_post: str = Field("", description="at a spike of the target")
    constants: dict[str, Quantity] = Field({}, description="of these synapses")
    initial: dict[str, Quantity] = Field({}, description="start values; w is the weight")
    bounds: dict[str, Pair] = Field({}, description="variable -> least and greatest value")
    delay_post: str | None = Field(None, description="of on_post")

    @model_validator(mode="after")
    def _is_a_rule_or_equations(self) -> Self:
        given = self.model_extra or {}
        if self.rule is None:
            for key in given:
                raise ValueError(f"{key}: unknown key" + nearest(key, type(self).model_fields))
            return self
        known = _synapse_rules()
        if self.rule not in known:
            raise ValueError(f"no rule {self.rule!r}" + nearest(self.rule, known))
        _only(self, f"rule {self.rule}", ("rule", *given))
        try:
            known[self.rule].model_validate(given)
        except ValidationError as problem:
            raise ValueError(complaints(problem, (), known[self.rule])) from None
        return self

    def ruled(self, texts: Callable[[Any], Any]) -> Any:
        """Return the rule; None where there is none.

        Args:
            texts: what makes of a parameter's text one that stands by itself.
        """
        if self.rule is None:
            return None
        given = {key: texts(value) for key, value in (self.model_extra or {}).items()}
        return _synapse_rules()[self.rule].model_validate(given)


class ProjectionTable(Table):
    """The synapses from one population to another, or from several to several."""

    source: Names = Field(description="population that sends, or a list")
    target: Names = Field(description="population that receives, or a list")
    receptor: str = Field(description="variable of the target that input is added to")
    wiring: Wiring = Field(description="which neurons are joined")
    weight: Quantity | Drawn = Field(description="what a spike adds")
    delay: str | Drawn | tuple[str, ...] | None = Field(None, description="one tick if left out")
    plasticity: Plasticity | None = Field(None, description="how weights change")

    @field_validator("plasticity", mode="before")
    @classmethod
    def _a_name_is_a_rule(cls, given: Any) -> Any:
        return {"rule": given} if isinstance(given, str) else given


class InputTable(Table):
    """What drives neurons from outside: Poisson input, or steps of a parameter."""

    kind: Literal["poisson", "step"] = Field("poisson", description="what it is")
    target: Names = Field(description="population, or a list")
    receptor: str | None = Field(None, description="of kind poisson: variable it is added to")
    rate: Quantity | None = Field(None, description="of kind poisson: of one train")
    n: Number | tuple[Number, ...] | None = Field(None, description="trains a neuron, by target")
    weight: Quantity | None = Field(None, description="of kind poisson: what a spike adds")
    variable: str | None = Field(None, description="of kind step: a parameter of the equations")
    times: tuple[Quantity, ...] | None = Field(None, description="of kind step: from when")
    values: tuple[Quantity, ...] | None = Field(None, description="of kind step: what then holds")

    KEYS: ClassVar[dict[str, tuple[str, ...]]] = {
        "poisson": ("receptor", "rate", "weight"),
        "step": ("variable", "times", "values"),
    }

    @model_validator(mode="after")
    def _keys_go_with_the_kind(self) -> Self:
        more = ("n",) if self.kind == "poisson" else ()
        _only(self, self.kind, ("kind", "target", *self.KEYS[self.kind], *more))
        for key in self.KEYS[self.kind]:
            if getattr(self, key) is None:
                raise ValueError(f"an input of kind {self.kind} needs {key}; give it")
        if self.kind == "step" and len(self.times or ()) != len(self.values or ()):
            raise ValueError(
                f"has {len(self.times or ())} times and {len(self.values or ())} values; expected "
                "as many of each"
            )
        return self


class SpikingRun(Table):
    """How long, how fast, where, and under which seed."""

    duration: str = Field("1 s", description="simulated time")
    seed: int = Field(0, ge=0, description="of every random number")
    dtype: Literal["float32", "float64"] = Field("float32", description="of the state")
    threads: int = Field(1, ge=1, le=256, description="of each rank")
    pretend_ranks: int = Field(1, ge=1, le=64, description="ranks pretended in this process")
    limit_s: float = Field(600.0, gt=0, description="seconds a rank waits for the others")


Stretches = Annotated[tuple[tuple[str, str], ...], Field(min_length=1)]
Some = Annotated[int, Field(ge=1)] | tuple[Index, ...]


class SpikesOf(Table):
    """Whose spikes are stored."""

    population: str = Field(description="its name")
    neurons: Some | None = Field(None, description="the first so many, or a list; all")
    during: Stretches | None = Field(None, description="[from, until] of each; all the time")


class StatesOf(Table):
    """Which variables of neurons are stored."""

    population: str = Field(description="its name")
    variables: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="their names")
    neurons: Some | None = Field(None, description="the first so many, or a list; all")
    every: str | None = Field(None, description="time between samples; a tick")
    during: Stretches | None = Field(None, description="[from, until] of each; all the time")


class WeightsOf(Table):
    """Whose synapses are stored."""

    projection: str = Field(description="its name")
    every: str = Field("100 ms", description="time between snapshots")
    during: Stretches | None = Field(None, description="[from, until] of each; all the time")


class SpikingRecord(Table):
    """What is stored."""

    spikes: bool | tuple[str | SpikesOf, ...] = Field(True, description="populations; true: all")
    states: tuple[StatesOf, ...] = Field((), description="samples of variables")
    weights: tuple[WeightsOf, ...] = Field((), description="snapshots of synapses")

    @field_validator("spikes", mode="before")
    @classmethod
    def _all_none_or_a_list(cls, given: Any) -> Any:
        if not isinstance(given, bool | list | tuple):
            raise ValueError(
                'expected true, false or a list, such as ["E", { population = "I", neurons = 10 }]'
            )
        return given


class SpikingScenario(Table):
    """Everything that the run of a spiking network depends on."""

    name: str = Field("scenario", description="a name for the report")
    dt: str = Field("0.1 ms", description="length of a tick")
    scale: float | None = Field(None, gt=0, description="of the network; texts use it by name")
    constants: dict[str, Quantity] = Field({}, description="that any text may use")
    neurons: dict[str, Neuron] = Field({}, description="kinds of neurons, shared by name")
    populations: dict[str, PopulationTable] = Field(min_length=1, description="by name")
    projections: dict[str, ProjectionTable] = Field({}, description="by name")
    inputs: dict[str, InputTable] = Field({}, description="by name")
    run: SpikingRun = SpikingRun()
    place: Blocks = Blocks()
    checkpoint: Checkpoints = Checkpoints()
    record: SpikingRecord = SpikingRecord()


def _synapse_rules() -> dict[str, Any]:
    return getattr(rules, "SYNAPSE_RULES", {})


def _only(table: Table, kind: str, allowed: tuple[str, ...]) -> None:
    """Refuse keys that were given but do not go with a kind."""
    for key, field in type(table).model_fields.items():
        if key not in allowed and getattr(table, key) != field.get_default():
            raise ValueError(f"{key}: {kind} has no such key; it takes {', '.join(allowed)}")
