"""What a spiking network is made of, in words: populations, sources, synapses, stimuli.

Everything with a unit is text in Brian2's language ("20*ms"), a Brian2 quantity, a number in SI
units, or an array of such numbers. A description is immutable and knows nothing of ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from biosim.errors import BiosimError

if TYPE_CHECKING:
    from biosim.network import Projection

Value = Any
"""A quantity: "20*ms", `20 * brian2.ms`, a number in SI units, or an array of them.

Where it is text it may be an expression over what its place offers: neurons have `i` (index in
the population), `N`, `x` `y` `z` if given as parameters, constants, variables that were set
before it, `rand()` and `randn()`; synapses have `i`, `j`, `N_pre`, `N_post`, `rand()`, `randn()`
and, in `initial`, constants.
"""


class InShard:
    """A population that is advanced together with all others of the kind, by a shard."""

    uncut: ClassVar[str] = "spikes, and is driven row after row"
    settable: ClassVar[tuple[str, ...] | None] = None
    """What adapters may set; None for any parameter of the equations."""

    def check(
        self, name: str, incoming: Sequence[Projection], outgoing: Sequence[Projection]
    ) -> None:
        """Raise BiosimError if an adapter takes or sets what the population does not have."""
        for projection in incoming:
            told = not isinstance(projection.weights, Sparse)
            if told and self.settable is not None and projection.receptor not in self.settable:
                raise BiosimError(
                    f"projection {projection.name!r} sets {projection.receptor!r} of {name!r}, a "
                    f"{type(self).__name__}; what can be set: {', '.join(self.settable) or 'none'}"
                )
        for projection in outgoing:
            if not isinstance(projection.weights, Sparse) and projection.carries != "spikes":
                raise BiosimError(
                    f"projection {projection.name!r} carries {projection.carries!r} of {name!r}; "
                    "an adapter gets 'spikes'"
                )


class Adapter:
    """A population between those that spike and those that do not.

    Spiking populations are joined to adapters by projections without weights, neuron by neuron.
    """

    uncut: ClassVar[str] = "meets spikes row after row"
    to_spikes: ClassVar[str | None] = None
    """The variable that spiking populations, and they only, may get."""
    from_spikes: ClassVar[str | None] = None
    """The receptor for spiking populations, and for them only."""


@dataclass(frozen=True, eq=False)
class Spiking(InShard):
    """Neurons by equations, as Brian2 writes them; the model of a spiking `Population`.

    Args:
        model: differential equations, subexpressions and parameters, with units.
        threshold: condition for a spike, such as "v > -50*mV"; None for neurons without spikes.
        reset: statements after a spike.
        refractory: a time, the name of a parameter, an expression, or a condition.
        method: state updater: exact, exponential_euler, euler, rk2, rk4, heun, milstein; None
            for Brian2's own choice.
        constants: names used in the equations -> values.
        initial: variables and parameters -> values at the start, in the order given.
        integration: "clock" every tick, "event" only when something arrives, "auto": from the
            description.
        expected_rate_hz: expected input rate a synapse, by which "auto" decides.
    """

    model: str
    threshold: str | None = None
    reset: str | None = None
    refractory: Value = None
    method: str | None = None
    constants: Mapping[str, Value] = field(default_factory=dict)
    initial: Mapping[str, Value] = field(default_factory=dict)
    integration: Literal["auto", "clock", "event"] = "auto"
    expected_rate_hz: float = 10.0


@dataclass(frozen=True, eq=False)
class PoissonSource(InShard):
    """Neurons that fire at random: one chance a tick of rate x dt; the model of a `Population`.

    Args:
        rate: a value, an expression, or an array (N,).
    """

    uncut: ClassVar[str] = "spikes, and is driven row after row"
    settable: ClassVar[tuple[str, ...]] = ("rate",)

    rate: Value


@dataclass(frozen=True, eq=False)
class SpikeList(InShard):
    """Neurons that fire when they are told; the model of a `Population`.

    Args:
        indices: (n_spikes,) neuron of each spike.
        ticks: (n_spikes,) tick of each spike, not decreasing.
    """

    uncut: ClassVar[str] = "spikes, and is driven row after row"
    settable: ClassVar[tuple[str, ...]] = ()

    indices: npt.NDArray[np.int64]
    ticks: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SynapseModel:
    """Synapses by equations, one synapse at a time, as Brian2 writes them.

    Args:
        model: variables of a synapse: parameters ("w : 1"), and differential equations that are
            "(event-driven)" or "(clock-driven)". Subexpressions with "(shared)".
        on_pre: what the arrival of a pre-synaptic spike does. What changes the post-synaptic
            neuron is `receptor += ...` or `variable_post += ...`, and nothing else.
        on_post: what a spike of the post-synaptic neuron does.
        constants: names used in the equations -> values.
        initial: variables of the synapse -> values at the start; "w" is set by the projection's
            weight.
        bounds: variables -> (least, greatest); needed for what is added to a receptor, whose
            fixed-point scale follows from it.
        delay_post: of `on_post`, in ticks.
    """

    model: str = "w : 1"
    on_pre: str = ""
    on_post: str = ""
    constants: Mapping[str, Value] = field(default_factory=dict)
    initial: Mapping[str, Value] = field(default_factory=dict)
    bounds: Mapping[str, tuple[Value, Value]] = field(default_factory=dict)
    delay_post: int = 0


@dataclass(frozen=True, eq=False)
class Normal:
    """Normally distributed, drawn by synapse; draws outside [low, high] are drawn again."""

    mean: Value
    sd: Value
    low: Value = None
    high: Value = None


@dataclass(frozen=True, eq=False)
class Uniform:
    """Uniformly distributed on [low, high), drawn by synapse."""

    low: Value
    high: Value


@dataclass(frozen=True, eq=False)
class Sparse:
    """The synapses of a spiking projection.

    Args:
        wiring: which pairs are joined; see `biosim.wiring`.
        weight: a value, an expression, a distribution, or an array (n_synapses,) in the order
            of an explicit wiring.
        delay: None for the projection's own, in ticks; or a time, expression, distribution or
            array; times are rounded to whole ticks where they are drawn, and must be whole
            where they are given. At least one tick.
        synapse: equations; None for static synapses, which add their weight to the receptor.
    """

    wiring: Any
    weight: Value
    delay: Value = None
    synapse: SynapseModel | None = None


@dataclass(frozen=True, eq=False)
class PoissonInput:
    """Independent Poisson input to every neuron of a population.

    Each neuron receives n trains of its own at the rate; a tick's number of spikes is drawn from
    the Poisson distribution of mean n x rate x dt.

    Args:
        name: unique in the network.
        target: name of the population.
        receptor: variable that `weight` is added to.
        rate: of one train; a value or an expression of the neuron.
        weight: a value, one for all.
        n: trains a neuron.
    """

    name: str
    target: str
    receptor: str
    rate: Value
    weight: Value
    n: float = 1.0


@dataclass(frozen=True, eq=False)
class StepCurrent:
    """Sets a parameter of a population to given values at given ticks.

    Args:
        name: unique in the network.
        target: name of the population.
        variable: a parameter of its equations.
        ticks: (n,) when each value begins to hold, increasing.
        values: (n,) or (n, N) values in SI units.
    """

    name: str
    target: str
    variable: str
    ticks: Sequence[int]
    values: npt.ArrayLike


Stimulus = PoissonInput | StepCurrent
