"""What every plasticity by equations has: a name, parameters, a card, and synapses.

A rule of layers wires a network; a rule of synapses is written as Brian2 writes it, one synapse
at a time, and goes into any spiking projection: `Sparse(wiring, weight, synapse=rule.synapse())`.

The coincidence convention, for every rule here: a spike arrives before what the post-synaptic
neuron did in the same tick, so a difference of zero potentiates. The arriving spike is sent with
the weight that it finds, then the weight changes; that is Brian2's order, NEST's is the other one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from biosim.equations import brian
from biosim.equations.code import EquationError, SynapseCode
from biosim.equations.neurons import neuron_code
from biosim.equations.synapses import synapse_code
from biosim.spiking.description import Spiking, SynapseModel, Value

Quantity = Annotated[float, Field(ge=0)] | str
"""A number without unit, or text with one, such as "0.3*mV"."""

Pairing = Literal["all", "nearest", "immediate"]
"""Which pairs of spikes count (Morrison, Diesmann & Gerstner 2008, section 4.1.2).

all: each spike with all earlier ones of the other side. nearest: with the last one, however often
that has counted (their symmetric scheme). immediate: only spikes with none of either side between
them (their reduced symmetric scheme).
"""

UNITS = {"1": "1", "V": "volt", "A": "amp", "S": "siemens", "C": "coulomb"}
"""What Brian2's equations call the base unit of a weight."""

_CARD_TICK_S = 1e-4
"""The card shows a rule at this tick; what it reads does not depend on it."""


class SynapseRule(BaseModel, ABC):
    """Parameters of a plasticity by equations, and the synapses that it makes.

    Raises:
        pydantic.ValidationError: a parameter is unknown or impossible.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: ClassVar[str]
    """Paper and equation."""
    equations: ClassVar[str]
    """What a synapse does, in one or two lines."""
    locality: ClassVar[str]
    """What a synapse must know beyond its two neurons, in one sentence."""
    name: str
    w_max: Quantity = Field(1.0, description="greatest weight, with its unit")

    @abstractmethod
    def synapse(self) -> SynapseModel:
        """Return the equations; a synapse adds its weight to `receptor`.

        Raises:
            EquationError: a weight has a unit that no receptor has, or is no number above zero
                where one is needed.
        """

    def neuron(self, model: Spiking) -> Spiking:
        """Return the post-synaptic neuron with what the rule needs of it.

        Args:
            model: the neuron without the rule.

        Raises:
            EquationError: the rule cannot be added to this neuron.
        """
        return model

    @property
    def unit(self) -> str:
        """The base unit of the weight, as equations name it: "1", "volt", "siemens"."""
        number, dimension = brian.quantity(self.w_max, f"rule {self.name!r}", "w_max", {})
        found = brian.unit_name(dimension)
        if not 0 <= number < math.inf:
            raise EquationError(
                f"rule {self.name!r}, w_max: got {self.w_max!r}; expected a finite weight, 0 or "
                "more"
            )
        if found not in UNITS:
            raise EquationError(
                f"rule {self.name!r}, w_max: got {self.w_max!r}, whose unit is {found}; expected "
                "no unit, or one such as 'mV', 'nS', 'pA'"
            )
        return UNITS[found]

    def reference(self, w_ref: Quantity) -> Quantity:
        """Return the weight that steps are shares of.

        Raises:
            EquationError: it is not above zero: it divides, and its sign is that of the rule.
        """
        number, _ = brian.quantity(w_ref, f"rule {self.name!r}", "w_ref", {})
        if not 0 < number < math.inf:
            raise EquationError(
                f"rule {self.name!r}, w_ref: got {w_ref!r}; expected a finite weight above 0"
            )
        return w_ref

    @property
    def limits(self) -> dict[str, tuple[Value, Value]]:
        """The bounds of the weight."""
        return {"w": (0, self.w_max)}


def reads(rule: SynapseRule) -> list[str]:
    """Return what a synapse of a rule reads, off its own equations: "pre.apre", "post.v", ..."""
    made = rule.synapse()
    neuron = rule.neuron(Spiking(f"dv/dt = -v/(10*ms) : volt\ninput : {rule.unit}", "v > 1*mV"))
    post = neuron_code(neuron, _CARD_TICK_S, "neuron")
    return lines(synapse_code(made, "input", _CARD_TICK_S, rule.name, post))


def lines(code: SynapseCode) -> list[str]:
    """Return what the code of a synapse reads, one name a line."""
    spikes = ["pre.spikes"] + (["post.spikes"] if code.on_post or code.post_prelude else [])
    return [
        *spikes,
        *(f"pre.{trace.name}" for trace in code.pre_traces),
        *(f"pre.{name}" for name in code.reads_pre),
        *(f"post.{trace.name}" for trace in code.post_traces),
        *(f"post.{name}" for name in code.reads_post),
        *(f"synapse.{each.name}" for each in code.variables),
        *(f"synapse.{trace.name}" for trace in code.own_traces),
        *(f"shared.{each.name}" for each in code.shared_variables),
    ]


def facts(rule: SynapseRule) -> dict[str, Any]:
    """Return what is true of a rule, read off its equations."""
    made = rule.synapse()
    return {
        "name": rule.name,
        "summary": (type(rule).__doc__ or "").strip().splitlines()[0],
        "source": rule.source,
        "equations": rule.equations,
        "locality": rule.locality,
        "reads": reads(rule),
        "model": made.model,
        "on_pre": made.on_pre,
        "on_post": made.on_post,
    }
