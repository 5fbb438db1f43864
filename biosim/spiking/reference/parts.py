"""One neuron and one synapse, each an object with everything that is its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from biosim.equations import Effect, NeuronCode, SynapseCode
from biosim.spiking.reference.scalar import Scope, casts, evaluate, execute


@dataclass(eq=False)
class Neuron:
    """One neuron by equations.

    Args:
        code: its model.
        scope: its variables, `i` and `N`.
        open: whether it is not refractory, as of the last state update or spike.
        since: tick of its last spike.
        lasts: ticks for which that spike makes it refractory.
    """

    code: NeuronCode
    scope: Scope
    open: bool = True
    since: int | None = None
    lasts: int = 0

    @cached_property
    def casts(self) -> dict[str, Any]:
        """Variables -> their type of number."""
        return casts(self.code.variables)

    @cached_property
    def gated(self) -> list[str]:
        """Variables that hold still while it is refractory."""
        return [variable.name for variable in self.code.variables if variable.gated]

    def receive(self, variable: str, amount: float) -> None:
        """Add input to a variable, which may ignore it."""
        if self.open or variable not in self.gated:
            self.scope[variable] = self.scope[variable] + amount

    def reset(self) -> None:
        """Carry out the reset."""
        execute(self.code.reset, self.scope, self.casts)

    def update(self, tick: int) -> None:
        """Move the state by one tick."""
        if self.code.refractory_condition is not None:
            self.open = self.open or not evaluate(self.code.refractory_condition, self.scope)
        else:
            self.open = self.since is None or tick - self.since >= self.lasts
        self.scope["not_refractory"] = self.open
        held = {name: self.scope[name] for name in self.gated}
        execute(self.code.update, self.scope, self.casts)
        if not self.open:
            self.scope.update(held)

    def spikes(self, tick: int, dt: float) -> bool:
        """Return whether it spikes, and let it be refractory if it does."""
        code = self.code
        if code.threshold is None or not (self.open and evaluate(code.threshold, self.scope)):
            return False
        if code.refractory_condition is not None:
            self.open = False
        else:
            self.lasts = code.refractory_ticks or 0
            if code.refractory is not None:
                # As Brian2's timestep(): just below a whole number of ticks counts as whole.
                # And it is refractory at least until the next state update.
                self.lasts = max(1, int(evaluate(code.refractory, self.scope) / dt + 1e-3))
            self.since, self.open = tick, self.lasts == 0
        self.scope["not_refractory"] = self.open
        return True


@dataclass(eq=False)
class Synapse:
    """One synapse by equations.

    Args:
        code: its model.
        pre: number of its source.
        post: number of its target.
        values: its variables, and its traces as they were at tick `last`.
        last: tick of the last event, of either kind.
    """

    code: SynapseCode
    pre: int
    post: int
    values: Scope
    last: int = 0

    def on_pre(self, tick: int, dt: float, outside: Scope) -> dict[str, float]:
        """Deal with the arrival of a spike; return what it adds to which variables."""
        scope = self._now(tick, dt, outside)
        execute(self.code.pre_prelude, scope, self.casts)
        execute(self.code.on_pre, scope, self.casts)
        return self._kept(scope, self.code.pre_final, self.code.effects)

    def on_post(self, tick: int, dt: float, outside: Scope) -> dict[str, float]:
        """Deal with a spike of the target; return what it adds to which variables."""
        scope = self._now(tick, dt, outside)
        execute(self.code.post_prelude, scope, self.casts)
        execute(self.code.on_post, scope, self.casts)
        return self._kept(scope, self.code.post_final, self.code.post_effects)

    def update(self, outside: Scope) -> None:
        """Move clock-driven variables by one tick."""
        scope = {**outside, **self.values}
        execute(self.code.clock, scope, self.casts)
        self.values = {name: scope[name] for name in self.values}

    @cached_property
    def casts(self) -> dict[str, Any]:
        """Variables -> their type of number."""
        return casts(self.code.variables)

    def _now(self, tick: int, dt: float, outside: Scope) -> Scope:
        """Return what code can see, with every trace as it is at this tick."""
        code = self.code
        before = {**outside, **self.values, "elapsed": (tick - self.last) * dt}
        self.last = tick
        traces = (*code.pre_traces, *code.post_traces, *code.own_traces)
        return {**before, **{trace.name: evaluate(trace.decayed, before) for trace in traces}}

    def _kept(
        self, scope: Scope, final: Mapping[str, str], effects: Sequence[Effect]
    ) -> dict[str, float]:
        self.values = {name: scope[final.get(name, name)] for name in self.values}
        added: dict[str, float] = {}
        for effect in effects:
            amount = evaluate(effect.expression, scope)
            added[effect.variable] = added.get(effect.variable, 0.0) + amount
        return added
