"""Synapse models to scalar code: what each synapse keeps, and what the two events do.

Beyond Brian2, a differential equation may be "(shared)", one value for the whole projection; and
a clock-driven equation may read event-driven variables, which then move with the clock too, by
their exact solution. Within a tick the update of the synapses' variables precedes that of the
shared ones, so that both read the values at the tick's start.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence, Set
from typing import Any

import numpy as np

from biosim.equations import brian, cache, decay, simplify, traces
from biosim.equations.code import (
    FUNCTIONS,
    Assign,
    Effect,
    EquationError,
    NeuronCode,
    SynapseCode,
    Trace,
    Variable,
)
from biosim.equations.evaluate import evaluate_value
from biosim.equations.nodes import Node, NotANumber, Number
from biosim.equations.statements import DIFFERENTIAL, IDENTIFIER, SUBEXPRESSION, SynapseText
from biosim.spiking.description import SynapseModel

__all__ = ["synapse_code"]


def synapse_code(
    synapse: SynapseModel | None,
    receptor: str,
    dt: float,
    name: str,
    post: NeuronCode,
    pre_parameters: Sequence[Variable] = (),
) -> SynapseCode:
    """A synapse model as scalar code, from the cache on disk if it was made before.

    Args:
        synapse: the model; None for synapses that add their weight to the receptor.
        receptor: variable of the post neuron; statements may also call it `receptor`.
        dt: a tick in seconds.
        name: of the projection, for errors.
        post: the post-synaptic neuron.
        pre_parameters: what may be read of the pre-synaptic neuron, as `x_pre`.

    Raises:
        EquationError: the model cannot be taken; names the projection, the place and, where it
            is one, the statement.
    """
    whose = f"projection {name!r}"
    floats = {each.name: each for each in post.variables if each.kind == "float"}
    if receptor not in floats:
        raise EquationError(
            f"{whose}, receptor {receptor!r}: the post-synaptic neuron has no such variable; "
            f"expected one of {', '.join(floats)}"
        )
    if synapse is None:
        weight = Variable("w", "parameter", "float", floats[receptor].unit)
        return SynapseCode((weight,), effects=(Effect(receptor, "w"),))
    content = {
        "synapse": [
            synapse.model,
            synapse.on_pre,
            synapse.on_post,
            {key: cache.plain(value) for key, value in sorted(synapse.constants.items())},
            {key: plain_start(value) for key, value in sorted(synapse.initial.items())},
            {
                key: [cache.plain(side) for side in sides]
                for key, sides in sorted(synapse.bounds.items())
            },
            receptor,
            float(dt),
            [dataclasses.astuple(each) for each in post.variables],
            sorted(post.subexpressions),
            [dataclasses.astuple(each) for each in pre_parameters],
        ]
    }

    def make() -> SynapseCode:
        text = SynapseText(
            synapse.model, synapse.constants, dt, whose, receptor, post, pre_parameters
        )
        try:
            return Reader(text, synapse).code()
        except NotANumber as error:
            raise EquationError(f"{whose}, equations: {error}") from error

    return cache.remembered(content, SynapseCode, make)


class Reader:
    """Reads one model, part by part.

    Args:
        text: its equations and names.
        synapse: the model.
    """

    def __init__(self, text: SynapseText, synapse: SynapseModel) -> None:
        self.text, self.synapse = text, synapse
        self.rates = text.rates
        stored = [name for name in text.lines if name not in text.named(SUBEXPRESSION)]
        self.shared = {name for name in stored if "shared" in text.lines[name].flags}
        self.event = set(text.named(DIFFERENTIAL, "event-driven"))
        self.clock = set(text.named(DIFFERENTIAL)) - self.event
        self.promoted = self.moved_by_the_clock()
        self.event -= self.promoted
        self.kept = set(stored) - self.shared - self.event
        self.check_shared()
        self.check_event_driven()
        for name in synapse.initial:
            if name not in stored:
                raise text.error(
                    f"initial {name!r}",
                    f"the synapse has no such variable; expected one of {', '.join(stored)}",
                )

    def moved_by_the_clock(self) -> set[str]:
        """Event-driven variables that a clock-driven equation reads, with what they need."""
        wanted = {n for name in self.clock for n in simplify.names_in(self.rates[name])}
        groups = decay.coupled(
            {name: self.reads(name) for name in self.rates if name in self.event}
        )
        return {name for group in groups if wanted & set(group) for name in group}

    def reads(self, name: str) -> frozenset[str]:
        """What a variable's equation reads, with itself."""
        return simplify.names_in(self.rates[name]) | {name}

    def check_shared(self) -> None:
        """Refuse shared equations that read what is not shared."""
        for line in self.text.lines.values():
            if "shared" not in line.flags or line.expression is None:
                continue
            read = simplify.names_in(self.text.form(line.expression, line.place))
            for name in sorted(read - self.shared - {"t"}):
                raise self.text.error(
                    line.place,
                    f"it is shared by all synapses but reads {name!r}, which is not; read "
                    "constants and shared variables only",
                )

    def check_event_driven(self) -> None:
        """Refuse event-driven equations whose coefficients change between events."""
        post = self.text.post
        for name in sorted(self.event | self.promoted):
            for read in sorted(self.reads(name)):
                changes = read == "t" or read in self.clock
                if read.endswith("_post"):
                    changes = post[read.removesuffix("_post")].role == "state"
                if changes:
                    raise self.text.error(
                        self.text.lines[name].place,
                        f"it is event-driven but reads {read!r}, which changes between events; "
                        "make it '(clock-driven)'",
                    )

    def decayed(self, names: Set[str], time: str) -> dict[str, str]:
        """The closed form of event-driven equations."""
        chosen = {name: rate for name, rate in self.rates.items() if name in names}
        try:
            return decay.decayed(chosen, time)
        except ValueError as error:
            places = ", ".join(self.text.lines[name].place for name in chosen)
            raise self.text.error(
                places,
                f"an event-driven equation needs an exact solution, but {error}; make it "
                "'(clock-driven)'",
            ) from error

    def code(self) -> SynapseCode:
        """The scalar code."""
        on_pre = list(self.text.steps(self.synapse.on_pre, "on_pre"))
        on_post = list(self.text.steps(self.synapse.on_post, "on_post"))
        solved = self.decayed(self.event, "elapsed")
        alike_pre = {"t"} | self.shared | self.text.pre
        alike_post = {"t"} | self.shared | {f"{name}_post" for name in self.text.post}
        where = traces.place(
            {name: self.reads(name) for name in solved},
            on_pre,
            on_post,
            kept=self.kept,
            alike_pre=alike_pre,
            alike_post=alike_post,
            apart={name for name in self.event if self.starts_apart(name)},
        )
        pre, post, own = (
            tuple(name for name in solved if where[name] == at) for at in ("pre", "post", "own")
        )
        taken = set(self.text.scope.variables)
        each = self.kept | set(own)
        first = traces.split(on_pre, pre, kept=each, alike=alike_pre, taken=taken)
        second = traces.split(on_post, post, kept=each, alike=alike_post, taken=taken)
        clock, shared = self.ticks()

        def trace(name: str) -> Trace:
            return Trace(name, solved[name], self.text.lines[name].unit)

        code = SynapseCode(
            variables=self.variables(self.kept),
            pre_traces=tuple(map(trace, pre)),
            post_traces=tuple(map(trace, post)),
            own_traces=tuple(map(trace, own)),
            clock=clock,
            pre_prelude=first.prelude,
            pre_final=first.final,
            on_pre=first.each,
            effects=first.effects,
            post_prelude=second.prelude,
            post_final=second.final,
            on_post=second.each,
            post_effects=second.effects,
            shared=shared,
            shared_variables=self.variables(self.shared),
            clamps=self.clamps(),
        )
        used = names_used(code)
        names = [variable.name for variable in self.text.neuron.variables]
        return dataclasses.replace(
            code,
            variables=tuple(each for each in code.variables if each.name in used | {"w"}),
            reads_post=tuple(name for name in names if f"{name}_post" in used),
            reads_pre=tuple(sorted(n.removesuffix("_pre") for n in self.text.pre & used)),
        )

    def variables(self, names: Set[str]) -> tuple[Variable, ...]:
        """Variables in the order of the model."""
        found = []
        for name, line in self.text.lines.items():
            if name in names:
                kind: Any = line.number
                moved = line.kind == DIFFERENTIAL
                found.append(Variable(name, "state" if moved else "parameter", kind, line.unit))
        return tuple(found)

    def ticks(self) -> tuple[tuple[Assign, ...], tuple[Assign, ...]]:
        """The update at every tick, of the synapse's variables and of the shared ones.

        Clock-driven equations are one system, shared or not, so that its state updater is the
        one that Brian2 would choose for the same equations in every synapse.
        """
        scope = self.text.scope
        forms: dict[str, Node] = {}
        if self.clock:
            chosen = self.clock | self.text.named(SUBEXPRESSION)
            text, method = scope.of(brian.part(scope.parsed, chosen)).integrate(None)
            if method != "exact":
                self.check_stability()
            lines = [line.split("=", 1) for line in text.splitlines()]
            statements = [(name.strip(), expression) for name, expression in lines]
            order = [name for name in self.rates if name in self.clock]
            forms |= simplify.block(statements, self.text.nodes, order)
        step = {"elapsed": scope.dt}
        for name, solution in self.decayed(self.promoted, "elapsed").items():
            forms[name] = simplify.parse(solution, step)
        sides = []
        for states in ((self.clock | self.promoted) - self.shared, self.clock & self.shared):
            steps = list(simplify.simultaneous(forms, [n for n in forms if n in states]))
            steps = [step for step in steps if step.name not in self.rates or step.name in states]
            sides.append(tuple(traces.live(steps, set(states))))
        return sides[0], sides[1]

    def check_stability(self) -> None:
        """Refuse a linear decay that Euler's method turns into growing oscillations."""
        for name in sorted(self.clock):
            try:
                slopes, _ = decay.affine(self.rates[name], [name])
            except ValueError:
                continue
            slope = slopes.get(name)
            if isinstance(slope, Number) and slope.value * self.text.scope.dt < -2 - 1e-9:
                raise self.text.error(
                    self.text.lines[name].place,
                    f"its time constant of {-1 / slope.value:.3g} s is unstable with steps of "
                    f"{self.text.scope.dt:.3g} s; take a smaller step or make it '(event-driven)'",
                )

    def starts_apart(self, name: str) -> bool:
        """Whether a variable may start with different values in different synapses."""
        value = self.synapse.initial.get(name, 0.0)
        if not isinstance(value, str):
            return plain_start(value) is None
        constant = {**brian.everywhere(values=True)[1], **self.text.scope.numbers}
        return any(
            found not in constant and found not in FUNCTIONS
            for found in IDENTIFIER.findall(re.sub(r"\d[\d.]*[eE][-+]?\d+", "", value))
        )

    def clamps(self) -> dict[str, tuple[float | None, float | None]]:
        """Bounds in SI units."""
        found = {}
        for name, (least, greatest) in self.synapse.bounds.items():
            place = f"bounds of {name!r}"
            if name not in self.kept | self.event | self.text.outside.keys():
                raise self.text.error(
                    place,
                    "the synapse has no such variable; expected one of "
                    + ", ".join(sorted(self.kept | self.event))
                    + ", or x_pre or x_post of a neuron",
                )
            low, high = (self.bound(side, name, place) for side in (least, greatest))
            if low is not None and high is not None and not low <= high:
                raise self.text.error(
                    place, f"got {low!r} to {high!r} in SI units; give the least first"
                )
            found[name] = (low, high)
        return found

    def bound(self, value: Any, name: str, place: str) -> float | None:
        """One bound in SI units."""
        if value is None:
            return None
        own = self.text.lines.get(name)
        found = evaluate_value(
            value,
            self.text.outside[name] if own is None else own.unit,
            whose=self.text.whose,
            place=place,
            constants=self.synapse.constants,
        )
        if not isinstance(found, float):
            raise self.text.error(place, f"got {value!r}, expected one number for all synapses")
        return found


def plain_start(value: Any) -> Any:
    """A start value as JSON, None for arrays and distributions, which differ by synapse."""
    if isinstance(value, str):
        return value
    number = np.asarray(value)
    alike = number.ndim == 0 and number.dtype.kind in "bfiu"
    return cache.plain(value) if alike else None


def names_used(code: SynapseCode) -> set[str]:
    """Every name that the code reads or writes."""
    used: set[str] = set()
    steps: Iterable[Assign] = (
        *code.clock,
        *code.pre_prelude,
        *code.on_pre,
        *code.post_prelude,
        *code.on_post,
        *code.shared,
    )
    for step in steps:
        used |= traces.reads(step.expression) | {step.name}
    for effect in (*code.effects, *code.post_effects):
        used |= traces.reads(effect.expression)
    for trace in (*code.pre_traces, *code.post_traces, *code.own_traces):
        used |= traces.reads(trace.decayed)
    return used
