"""The tables of scenarios whose input is made while they run.

A task's own parameters of its rule are defaults: `[rule]` names only what is to be otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from rules import RewardStdp
from rules.synaptic import SynapseRule
from scenarios.images.schema import image_rules
from scenarios.scenario import Table

SECTION_MS = 50
"""Length of the pattern."""

PATTERN_RULE: Mapping[str, Any] = {
    "name": "stdp",
    "pairing": "immediate",
    "a_plus": 2.0**-6,
    "a_minus": 0.83 * 2.0**-6,
    "tau_plus_ms": 16.8,
    "tau_minus_ms": 33.7,
}
"""Of all pairs, only those with no other spike between them."""

CHOICE_RULE: Mapping[str, Any] = {
    "name": "reward_stdp",
    "rate_hz": 0.1,
    "a_plus": 0.1,
    "a_minus": 0.05,
    "tau_c_ms": 300.0,
    "tau_d_ms": 100.0,
    "w_max": "2*mV",
}
"""Being active together makes eligible, before or after."""


def choice_rules() -> dict[str, type[SynapseRule]]:
    """Return the rules that wait for a reward, by name."""
    return {"reward_stdp": RewardStdp}


def pattern_rule_of(given: Any) -> Any:
    """Return the rule of a table {"name": ..., parameter: ...}; a rule stays as it is.

    Raises:
        ValueError: no rule has that name.
        pydantic.ValidationError: a parameter is unknown or impossible.
    """
    return _rule_of(given, PATTERN_RULE, image_rules)


def choice_rule_of(given: Any) -> Any:
    """Return the rule of a table; see `pattern_rule_of`."""
    return _rule_of(given, CHOICE_RULE, choice_rules)


def _rule_of(
    given: Any, own: Mapping[str, Any], known: Callable[[], Mapping[str, type[SynapseRule]]]
) -> Any:
    if isinstance(given, SynapseRule):
        return given
    name = given.get("name", own["name"]) if isinstance(given, dict) else None
    if not isinstance(name, str) or name not in known():
        raise ValueError(f"no rule {name!r} for this task")
    return known()[name].model_validate({**(own if name == own["name"] else {}), **given})


class TaskRun(Table):
    """How fast, where, and under which seed."""

    seed: int = Field(0, ge=0, description="of every random number")
    dtype: Literal["float32", "float64"] = Field("float32", description="of state and weights")
    threads: int = Field(1, ge=1, le=256, description="of this process")


class PatternTask(Table):
    """Spike trains in which a short pattern comes back, and the neuron that hears them."""

    kind: Literal["hidden_pattern"] = Field("hidden_pattern", description="which task it is")
    afferents: int = Field(2000, ge=1, description="spike trains")
    involved: int = Field(1000, ge=1, description="first ones, which take part in the pattern")
    seconds: float = Field(150.0, gt=0, le=100_000, description="length of the input")
    repeats: int = Field(3, ge=1, description="times all of it is shown; the last one is judged")
    # Never in two in a row; by chance alone no more than 0.43 of them find a place.
    share: float = Field(0.25, gt=0, le=0.4, description="sections of 50 ms that are the pattern")
    jitter_ms: float = Field(1.0, ge=0, le=1000, description="deviation of the pattern's spikes")
    noise_hz: float = Field(10.0, ge=0, le=1000, description="further spikes of every afferent")
    weight: float = Field(0.35, ge=0, description="of every synapse, at the start")

    @model_validator(mode="after")
    def _the_pattern_is_there(self) -> Self:
        if self.involved > self.afferents:
            raise ValueError(
                f"{self.involved} of {self.afferents} afferents take part in the pattern; expected "
                "at most all of them"
            )
        if not self.presentations:
            raise ValueError(
                f"in {self.seconds:g} s the pattern would never be shown; make seconds or share "
                "greater"
            )
        return self

    @property
    def sections(self) -> int:
        """Number of sections of 50 ms."""
        return round(self.seconds * 1000 / SECTION_MS)

    @property
    def presentations(self) -> int:
        """Sections in which the pattern is to be."""
        return round(self.share * self.sections)


class ChoiceTask(Table):
    """Stimuli, choices, and the reward that follows them."""

    kind: Literal["reward_choice"] = Field("reward_choice", description="which task it is")
    trials: int = Field(300, ge=1, description="how many")
    inputs: int = Field(30, ge=1, description="neurons of each of the two groups of inputs")
    neurons: int = Field(20, ge=1, description="of each of the two populations of actions")
    rate_hz: float = Field(40.0, ge=0, le=1000, description="of the inputs that are stimulated")
    stimulus_ms: int = Field(150, ge=1, description="how long they are; what counts as the choice")
    wait_ms: int = Field(50, ge=0, description="from the end of the stimulus to the reward")
    rest_ms: int = Field(300, ge=0, description="from the reward to the next trial")
    reward: Literal["contingent", "shuffled", "none"] = Field(
        "contingent", description="who decides on it: the choice, a coin, or nobody"
    )

    @property
    def trial_ms(self) -> int:
        """Length of a trial, in ticks too."""
        return self.stimulus_ms + self.wait_ms + self.rest_ms


class HiddenPattern(Table):
    """Everything that a search for a pattern depends on."""

    name: str = Field("hidden_pattern", description="a name for the report")
    task: PatternTask = PatternTask()
    rule: Annotated[SerializeAsAny[SynapseRule], BeforeValidator(pattern_rule_of)] = Field(
        default_factory=lambda: pattern_rule_of({})
    )
    run: TaskRun = TaskRun()


class RewardChoice(Table):
    """Everything that choices for a reward depend on."""

    name: str = Field("reward_choice", description="a name for the report")
    task: ChoiceTask = ChoiceTask()
    rule: Annotated[RewardStdp, BeforeValidator(choice_rule_of)] = Field(
        default_factory=lambda: choice_rule_of({})
    )
    run: TaskRun = TaskRun()


TaskScenario = HiddenPattern | RewardChoice
