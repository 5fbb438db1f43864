"""Scalar code: what equations become once Brian2 has parsed them, and what kernels are made of.

Why text: the same expression is printed as Python for the slow reference, as numba for the CPU
and as CUDA for the GPU, and it lies on disk as JSON. An expression is Python over names, in SI
units, with every constant a literal. It may use the variables, the temporaries assigned before
it, the names of noise and uniform draws, `t` (seconds at the start of the tick), `i`, `N` and
`not_refractory`; the functions of `FUNCTIONS`; and + - * / ** %, comparisons, and, or, not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from biosim.errors import BiosimError

__all__ = [
    "FUNCTIONS",
    "Assign",
    "Effect",
    "EquationError",
    "NeuronCode",
    "SynapseCode",
    "Trace",
    "Variable",
]

FUNCTIONS = frozenset(
    {"abs", "arccos", "arcsin", "arctan", "ceil", "clip", "cos", "cosh", "exp", "expm1", "exprel"}
    | {"floor", "int", "log", "log10", "log1p", "sign", "sin", "sinh", "sqrt", "tan", "tanh"}
    | {"where"}
)
"""Every function that an expression may call: `clip(x, a, b)`, `where(condition, a, b)`."""


class EquationError(BiosimError):
    """Equations, or a value with a unit, that cannot be taken; names whose and where."""


@dataclass(frozen=True)
class Assign:
    """One statement: `name = expression`."""

    name: str
    expression: str


@dataclass(frozen=True)
class Variable:
    """One number kept for every neuron or synapse.

    Args:
        name: as in the equations.
        role: "state" if a differential equation moves it, else "parameter"; statements at a
            spike may write either.
        kind: of number.
        unit: what Brian2 prints for its base unit, such as "V"; "1" without dimension.
        gated: "(unless refractory)": keeps its value while the neuron is refractory.
    """

    name: str
    role: Literal["state", "parameter"]
    kind: Literal["float", "integer", "boolean"]
    unit: str
    gated: bool = False


@dataclass(frozen=True)
class NeuronCode:
    """A neuron model as scalar code.

    Args:
        variables: of every neuron.
        update: a tick's state update: temporaries, whose names begin with "_", then one
            assignment to each state at the end.
        subexpressions: name -> expression over the variables, for recording.
        threshold: boolean expression over the variables; None for neurons without spikes.
        reset: statements after a spike, in order.
        refractory_ticks: the refractory time where it is constant; 0 for none.
        refractory: else the expression for it in seconds, evaluated at the spike, or None.
        refractory_condition: else the condition while which a neuron stays refractory after a
            spike, or None.
        noise: names in `update` that stand for a standard normal draw each.
        uniform: names in `update` that stand for a uniform draw on (0, 1) each.
        method: the state updater that was used.
        jump: exact solution over `elapsed` seconds, in the form of `update`; None unless the
            system is linear and autonomous.
        ceiling: what the threshold's variable cannot exceed from now on without input; None if
            no bound is known.
        ceiling_reason: in words why there is none; "" if there is one.
    """

    variables: tuple[Variable, ...]
    update: tuple[Assign, ...]
    subexpressions: dict[str, str]
    threshold: str | None
    reset: tuple[Assign, ...]
    refractory_ticks: int | None
    refractory: str | None
    refractory_condition: str | None
    noise: tuple[str, ...]
    uniform: tuple[str, ...]
    method: str
    jump: tuple[Assign, ...] | None
    ceiling: str | None
    ceiling_reason: str


@dataclass(frozen=True)
class Trace:
    """A variable that decays by itself between events.

    Args:
        name: as in the equations.
        decayed: its value after `elapsed` seconds, over its own name, its siblings and `elapsed`.
        unit: what Brian2 prints for its base unit; "1" without dimension.
    """

    name: str
    decayed: str
    unit: str = "1"


@dataclass(frozen=True)
class Effect:
    """What an event adds to a neuron: `variable += expression`."""

    variable: str
    expression: str


@dataclass(frozen=True)
class SynapseCode:
    """A synapse model as scalar code.

    A prelude is what an event does to traces that all synapses of a row share. It is in single
    assignment form: every change makes a new name ("Apre_1 = Apre + 0.01"), where the trace's own
    name is its decayed value before the event, so that code of one synapse can read either.

    Args:
        variables: of every synapse, only those that each must keep for itself.
        pre_traces: traces moved by pre-synaptic spikes only: one for each source and delay.
        post_traces: traces moved by post-synaptic spikes only: one for each post neuron.
        own_traces: other event-driven ones: of the synapse, with the tick of their last update.
        clock: update, at every tick, of the synapse's clock-driven variables.
        pre_prelude: once a row when a pre-synaptic spike arrives.
        pre_final: pre trace -> name of its last version.
        on_pre: for each synapse, in order: changes of its variables and own traces.
        effects: of `on_pre` on the post neuron, by the values at their place in the code.
        post_prelude: once a post neuron when it spiked.
        post_final: post trace -> name of its last version.
        on_post: for each synapse, in order.
        post_effects: of `on_post` on the post neuron.
        reads_post: variables of the post neuron that are read, on the tick's snapshot.
        reads_pre: parameters of the pre neuron that are read.
        shared: update, at every tick, of the variables of the whole projection.
        shared_variables: one value for the whole projection.
        clamps: variable -> (least, greatest), where given.
    """

    variables: tuple[Variable, ...]
    pre_traces: tuple[Trace, ...] = ()
    post_traces: tuple[Trace, ...] = ()
    own_traces: tuple[Trace, ...] = ()
    clock: tuple[Assign, ...] = ()
    pre_prelude: tuple[Assign, ...] = ()
    pre_final: dict[str, str] = field(default_factory=dict)
    on_pre: tuple[Assign, ...] = ()
    effects: tuple[Effect, ...] = ()
    post_prelude: tuple[Assign, ...] = ()
    post_final: dict[str, str] = field(default_factory=dict)
    on_post: tuple[Assign, ...] = ()
    post_effects: tuple[Effect, ...] = ()
    reads_post: tuple[str, ...] = ()
    reads_pre: tuple[str, ...] = ()
    shared: tuple[Assign, ...] = ()
    shared_variables: tuple[Variable, ...] = ()
    clamps: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
