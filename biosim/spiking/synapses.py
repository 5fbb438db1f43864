"""Plastic synapses of a shard: their rows, variables, traces and histories."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from biosim.equations.code import EquationError, SynapseCode
from biosim.equations.evaluate import evaluate
from biosim.kernels.decorators import cached
from biosim.kernels.emit import names_in, renamed
from biosim.kernels.plastic import HISTORY, REACH, TOGETHER, PlasticCode
from biosim.network import NetworkError
from biosim.spiking.building import Scales, Wires
from biosim.spiking.initial import start_values
from biosim.spiking.layout import Layout, Plastic, trace_name
from biosim.spiking.numbers import Numbers
from biosim.spiking.shard import KINDS, Arrays, Shard
from biosim.wiring import AllToAll
from biosim.wiring.rows import Part, build_rows
from biosim.wiring.values import Constant

Int64s = npt.NDArray[np.int64]

GRID, MOST_AXES = 17, 4
"""Points an axis, and axes, of the grid on which the greatest effect is looked for."""

LONGEST_TABLE = 1 << 14
"""Ticks of a table of decays: what takes longer is computed each time."""

NOTHING = 2.0**-70
"""A trace that has decayed to this share of itself is no more."""


class PlasticSynapses:
    """The synapses of one plastic projection that end on one shard.

    Args:
        layout: of the network.
        wires: amounts of every projection.
        shard: that owns the targets.
        plastic: the projection.
        number: its position among the plastic ones.
        scales: of the receptors.

    Attributes:
        code: what the kernels' text is made from.
        rows: the synapses by (source, delay).
        arguments: of the kernels, by name.
        steady: the one delay of all synapses in ticks, or 0.
        module: of the compiled program, once there is one.
    """

    module: ModuleType

    def __init__(
        self,
        layout: Layout,
        wires: Wires,
        shard: Shard,
        plastic: Plastic,
        number: int,
        scales: Scales,
    ) -> None:
        self.layout, self.plastic, self.number = layout, plastic, number
        self._shard = shard
        self._kept: npt.NDArray[np.uint32] | None = None
        self._by_target: Int64s | None = None
        i, code = plastic.projection, plastic.code
        self._target = layout.ends(i)[1]
        self._sheet, place = shard.within(self._target)
        part = wires.part(i, shard, place.start)
        self.rows = build_rows([part], layout.emitting, shard.float, weights="each")
        delay = wires.delay[i]
        self.steady = int(delay.value) if isinstance(delay, Constant) else 0
        decaying = (*code.pre_traces, *code.own_traces)
        tables = {trace.name: self._table(trace.name, trace.decayed) for trace in decaying}
        self.tables = {name: table for name, table in tables.items() if table is not None}
        dense = layout.sparse(i).wiring == AllToAll() and self.steady > 0
        self.code = PlasticCode(number, code, frozenset(self.tables), dense)
        self.arguments = self._arguments(wires, part, scales)

    @property
    def longest(self) -> int:
        """Ticks from a spike to the last that is done because of it."""
        synapse = self.layout.sparse(self.plastic.projection).synapse
        assert synapse is not None
        return max(int(self.rows.delay.max(initial=1)), synapse.delay_post + 1)

    @property
    def name(self) -> str:
        """The projection's."""
        return self.layout.network.projections[self.plastic.projection].name

    @property
    def sources(self) -> int:
        """How many neurons the source population has."""
        source = self.layout.ends(self.plastic.projection)[0]
        return self.layout.network.populations[source].size

    def stored(self) -> list[str]:
        """Return the arguments that a checkpoint has of every synapse."""
        own = ["own_last"] if self.plastic.code.own_traces else []
        return [*(f"a_{x}" for x in self.code.variables), *own]

    def of_runs(self) -> list[str]:
        """Return the arguments that a checkpoint has of every source and delay."""
        return ["last", *(f"b_{t.name}" for t in self.plastic.code.pre_traces)]

    def runs(self, lo: int, hi: int) -> tuple[Int64s, npt.NDArray[np.uint16], Int64s]:
        """Return source, delay and position of the runs of the sources [lo, hi): (n,) each."""
        row, source = self.rows.row, self.layout.ends(self.plastic.projection)[0]
        numbers = np.arange(self.layout.emitting) if self._kept is None else self._kept
        first = self.layout.first[source]
        begin, end = (int(np.searchsorted(numbers, first + at)) for at in (lo, hi))
        per_source = np.diff(row[begin : end + 1])
        sources = np.repeat(numbers[begin:end].astype(np.int64) - first, per_source)
        runs = np.arange(row[begin], row[end])
        return sources, self.rows.delay[runs], runs

    def by_target(self) -> Int64s:
        """Return by slot where the synapses of a target begin, in the order of the targets."""
        if self._by_target is None:
            counts = np.zeros(self._shard.size[self._sheet], dtype=np.int64)
            _count(self.rows.slot, counts)
            self._by_target = np.cumsum(counts) - counts
        return self._by_target.copy()

    def begin_at(self, tick: int) -> None:
        """Take all rows for caught up with what happened before a tick."""
        self.arguments["seen"][...] = tick
        self.arguments["floor"][0] = tick
        self.arguments["history"][...] = -1

    def variable(self, name: str) -> npt.NDArray[Any]:
        """Return a variable of the synapses, in the order of the rows, not a copy."""
        array: npt.NDArray[Any] = self.arguments[f"a_{name}"]
        return array

    def ends(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """Return the source and the target of every synapse in its population, by row."""
        rows, place = self.rows, self._shard.within(self._target)[1]
        source = self.layout.ends(self.plastic.projection)[0]
        per_source = np.diff(rows.start[rows.row])
        numbers = np.arange(self.layout.emitting) if self._kept is None else self._kept
        sources = np.repeat(numbers, per_source) - self.layout.first[source]
        targets = rows.slot.astype(np.int64) - place.start + self._shard.slices[self._target][0]
        return sources.astype(np.uint32), targets.astype(np.uint32)

    def renumber(self, numbers: Numbers) -> None:
        """Take a rank's own numbers of neurons; see `Binding.renumber`."""
        self.rows.row = self.arguments["row"] = numbers.rows(self.rows.row)
        self._kept = numbers.kept

    def catch_up(self, tick: int) -> None:
        """Let all rows catch up with what happened before a tick, so that they can be read."""
        if not self.code.eager:
            function = getattr(self.module, f"catch_up_{self.number}")
            values = [self.arguments[name] for name in self.code.arguments()]
            function(tick, self.arguments["floor"], *values)

    def wrong(self, tick: int) -> str:
        """Return what to say of the first synapse that holds what is no finite number, or ""."""
        sources, targets = self.ends()
        bad = np.zeros(len(sources), dtype=bool)
        for x in self.code.variables:
            bad |= ~np.isfinite(self.variable(x))
        if not bad.any():
            return ""
        m = min(np.flatnonzero(bad), key=lambda m: (targets[m], sources[m]))
        values = {x: self.variable(x)[m] for x in self.code.variables}
        what = ", ".join(f"{x} is {value}" for x, value in values.items() if not np.isfinite(value))
        network, i = self.layout.network, self.plastic.projection
        source, target = (network.populations[end].name for end in self.layout.ends(i))
        return (
            f"projection {network.projections[i].name!r}, synapse from neuron {sources[m]} of "
            f"population {source!r} to neuron {targets[m]} of {target!r}: {what} at tick {tick} "
            f"({tick * self.layout.dt:g} s); what was recorded until then is kept: check the "
            "equations, or keep them within bounds with clip()"
        )

    def scale_to(self, total: float, variable: str, tick: int) -> None:
        """Scale the synapses of each target so that their sum is `total`."""
        self.catch_up(tick)
        values = self.variable(variable)
        if not len(values):
            return
        if self.code.dense:
            _, owned = self._shard.within(self._target)
            _scale_dense(values.reshape(-1, owned.stop - owned.start), total)
        else:
            sums = np.zeros(self._shard.size[self._sheet])
            _scale(values, self.rows.slot, sums, total)

    def _arguments(self, wires: Wires, part: Part, scales: Scales) -> Arrays:
        code, rows, shard = self.plastic.code, self.rows, self._shard
        state, n = shard.state[self._sheet], shard.size[self._sheet]
        runs, size = len(rows.delay), len(rows.slot)
        made: Arrays = {"start": rows.start, "slot": rows.slot, "row": rows.row}
        kinds = {v.name: KINDS[v.kind] or shard.float for v in code.variables}
        for x in self.code.variables:
            initial = wires.initial(self.plastic.projection, x)
            if x == "w":
                made["a_w"] = rows.weight
            elif isinstance(initial, Constant):
                made[f"a_{x}"] = np.full(size, initial.value, dtype=kinds.get(x, shard.float))
            else:
                drawn = replace(part, weight=initial, purpose=f"initial {x}")
                other = build_rows([drawn], self.layout.emitting, shard.float, weights="each")
                assert other.weight is not None
                made[f"a_{x}"] = other.weight.astype(kinds.get(x, shard.float))
        if code.own_traces:
            made["own_last"] = np.zeros(size, dtype=np.int32)
        made["last"], made["seen"] = np.zeros(runs, np.int64), np.zeros(runs, np.int64)
        for t in code.pre_traces:
            made[f"b_{t.name}"] = np.full(runs, self._start(wires, t.name), shard.float)
        for t in code.post_traces:
            made[f"c_{t.name}"] = state[trace_name(self.number, t.name)]
            made[f"c_{t.name}"][:] = self._start(wires, t.name)
        made |= {f"c_{x}_post": state[x] for x in code.reads_post}
        sources = np.repeat(np.arange(self.layout.emitting), np.diff(rows.row)) - part.source_offset
        source = self.layout.ends(self.plastic.projection)[0]
        for x in code.reads_pre:
            values = start_values(self.layout, source, 0, part.n_pre, wires.seed)[x]
            made[f"e_{x}_pre"] = values[sources].astype(shard.float)
        past = (HISTORY // TOGETHER, n, TOGETHER)
        made["history"] = np.full(past, -1, dtype=np.int32)
        made |= {f"h_{x}": np.zeros(past, shard.float) for x in self.code.kept}
        made |= {f"table_{x}": table for x, table in self.tables.items()}
        made |= {f"l_{t.name}": np.zeros(REACH + 2, shard.float) for t in code.pre_traces}
        for v in code.shared_variables:
            start = self._start(wires, v.name)
            made[f"s_{v.name}"] = np.full(1, start, dtype=shard.float)
        for r in self.code.receptors:
            scale = scales[self._sheet, r]
            made[f"in_{r}"] = state[f"_in_{r}"]
            made[f"per_{r}"] = shard.float.type(1.0 / scale)
            bound = greatest_effect(code, r, part.name)
            made[f"most_{r}"] = shard.float.type(bound / scale * (1.0 + 1e-6) + 1.0)
        made["floor"] = np.zeros(1, dtype=np.int64)
        first = self.layout.first[self._target]
        lo, hi = shard.slices[self._target]
        made["first"], made["end"] = first + lo, first + hi
        made["base"] = shard.within(self._target)[1].start
        return made

    def _start(self, wires: Wires, name: str) -> float:
        """Return the start value of what several synapses share."""
        start = wires.initial(self.plastic.projection, name)
        if not isinstance(start, Constant):
            projection = self.layout.network.projections[self.plastic.projection].name
            raise NetworkError(
                f"initial {name!r} of projection {projection!r} differs from synapse to synapse, "
                "but the variable is shared by many; give one number"
            )
        return start.value

    def _table(self, name: str, decayed: str) -> npt.NDArray[Any] | None:
        """Return the share that is left after 0, 1, 2, ... ticks, if that is all there is to it."""
        if names_in(decayed) - {name, "elapsed"}:
            return None
        ticks = np.arange(LONGEST_TABLE, dtype=np.float64) * self.layout.dt

        def after(start: float) -> npt.NDArray[Any]:
            names = {name: np.full_like(ticks, start), "elapsed": ticks}
            return np.broadcast_to(evaluate(decayed, names), ticks.shape)

        zero, one, two = after(0.0), after(1.0), after(2.0)
        if zero.any() or not np.allclose(two, 2.0 * one, rtol=1e-12) or abs(one[-1]) > NOTHING:
            return None
        length = int(np.flatnonzero(np.abs(one) > NOTHING)[-1]) + 2
        table = one[:length].astype(self._shard.float)
        table[-1] = 0.0
        return table


@cached
def _count(slot: Any, counts: Any) -> None:
    for m in range(slot.shape[0]):
        counts[slot[m]] += 1


@cached
def _scale(values: Any, slot: Any, sums: Any, total: Any) -> None:
    # In the order of the rows: it is the same for a target wherever blocks are cut.
    for m in range(values.shape[0]):
        sums[slot[m]] += values[m]
    for j in range(sums.shape[0]):
        sums[j] = total / sums[j] if sums[j] != 0.0 else 1.0
    for m in range(values.shape[0]):
        values[m] *= sums[slot[m]]


@cached
def _scale_dense(values: Any, total: Any) -> None:
    # The same in rows of all targets, (n_rows, n_targets), so that it is vectorised.
    sums = np.zeros(values.shape[1])
    for i in range(values.shape[0]):
        row = values[i]
        for j in range(row.shape[0]):
            sums[j] += row[j]
    for j in range(sums.shape[0]):
        sums[j] = total / sums[j] if sums[j] != 0.0 else 1.0
    for i in range(values.shape[0]):
        row = values[i]
        for j in range(row.shape[0]):
            row[j] *= sums[j]


def greatest_effect(code: SynapseCode, receptor: str, name: str) -> float:
    """Return the greatest absolute amount that one arrival adds to a receptor.

    Raises:
        EquationError: it depends on a variable whose bounds are not given.
    """
    most = 0.0
    for effect in code.effects:
        if effect.variable != receptor:
            continue
        text = _over_bounded(code, effect.expression)
        corners = {}
        for x in sorted(names_in(text)):
            low, high = _bounds(code, x)
            if low is None or high is None:
                raise EquationError(
                    f"projection {name!r}, on_pre: {receptor!r} += {effect.expression} depends on "
                    f"{x!r}, whose bounds are not given; give its least and greatest value, such "
                    f"as bounds={{{x!r}: (0, 1)}}: input is summed in fixed point"
                )
            corners[x] = (low, high)
        ends = itertools.product(*corners.values())
        at_corners = max(
            abs(float(evaluate(text, dict(zip(corners, values, strict=True))))) for values in ends
        )
        inside = _greatest_inside(text, corners)
        # What is greatest inside is found on a grid, between whose points there may be more.
        most = max(most, 2.0 * inside if inside > at_corners * (1.0 + 1e-9) else at_corners)
    return most


def _greatest_inside(text: str, ends: Mapping[str, tuple[float, float]]) -> float:
    """Return the greatest absolute value of an expression on a grid between the ends."""
    if not 0 < len(ends) <= MOST_AXES:
        return 0.0
    grid = np.meshgrid(*(np.linspace(*between, GRID) for between in ends.values()))
    found = np.abs(evaluate(text, dict(zip(ends, grid, strict=True))))
    return float(np.max(found, initial=0.0, where=np.isfinite(found)))


def _bounds(code: SynapseCode, name: str) -> tuple[float | None, float | None]:
    """Return the bounds of a name; versions of a variable within a block end in a number."""
    unknown = None, None
    return code.clamps.get(name) or code.clamps.get(re.sub(r"_\d+$", "", name)) or unknown


def _over_bounded(code: SynapseCode, text: str) -> str:
    """Return an effect with what `on_pre` computes put in for names that have no bounds."""
    kept = {v.name for v in code.variables}
    kept |= {t.name for t in (*code.pre_traces, *code.post_traces, *code.own_traces)}
    computed = {a.name: f"({a.expression})" for a in (*code.pre_prelude, *code.on_pre)}
    while True:
        put_in = {
            x: computed[x]
            for x in names_in(text)
            if x in computed and x not in kept and None in _bounds(code, x)
        }
        if not put_in:
            return text
        text = renamed(text, put_in)
