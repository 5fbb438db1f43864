"""Source text of the kernels of plastic synapses, of one projection.

Why lazy: a post-synaptic spike changes synapses that lie anywhere in memory, a pre-synaptic one
changes a row. So `on_post` is not executed when the post-synaptic neuron spikes: the neuron keeps
a history of its last spikes, with what `on_post` reads of it, and a row catches up when its next
pre-synaptic spike arrives. A few spikes are caught up without a branch. Nothing depends on
when a row catches up: every value is computed from the last arrival and the tick of the spike.

In the text, `a_name` is an array over synapses, `v_name` its value at hand, `b_name` an array over
runs (source and delay), `c_name` and `e_name` what belongs to the post- and the pre-synaptic
neuron, `h_name` a history.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from biosim.equations.code import Assign, SynapseCode
from biosim.kernels.emit import Precision, names_in, printed
from biosim.kernels.sheets import CASTS

AT_ONCE = 3
"""Last spikes of a neuron that a row catches up with without a branch."""

TOGETHER = 4
HISTORY = 4 * TOGETHER
"""Spikes that a neuron keeps; all rows catch up before one is forgotten.

The h-th last spike of neuron j stands at `[h // TOGETHER, j, h % TOGETHER]`: what is read at every
arrival lies together, and is small enough for the cache.
"""

REACH = 4096
"""Ticks after an arrival for which a row's traces are laid out before it catches up."""


@dataclass(frozen=True)
class PlasticCode:
    """What the text of a plastic projection is made from.

    Args:
        number: position among the plastic projections.
        code: the synapse model.
        tabled: pre-synaptic and own traces whose decay is read from a table over ticks.
        dense: whether every run reaches all neurons of the target that are owned, in order.
    """

    number: int
    code: SynapseCode
    tabled: frozenset[str]
    dense: bool = False

    @property
    def eager(self) -> bool:
        """Whether `on_post` is executed at once.

        Synapses that move at every tick cannot wait; those of a dense projection need not: the
        synapses of a post-synaptic neuron stand at the same place of every row.
        """
        return bool(self.code.clock) or self.dense

    @cached_property
    def variables(self) -> list[str]:
        """Names of the arrays over synapses."""
        names = [v.name for v in self.code.variables]
        return names + [t.name for t in self.code.own_traces if t.name not in names]

    @cached_property
    def casts(self) -> dict[str, str]:
        """The number type of every variable of a synapse."""
        casts = dict.fromkeys(self.variables, "F")
        return casts | {v.name: CASTS[v.kind] for v in self.code.variables}

    @cached_property
    def kept(self) -> list[str]:
        """What a post-synaptic spike is remembered with: what `on_post` reads and what changes."""
        known = {a.name for a in self.code.post_prelude} | set(self.of_post)
        known |= {v.name for v in self.code.shared_variables} | {"t"}
        used = {name for a in self.code.on_post for name in names_in(a.expression)}
        return sorted(used & known)

    @property
    def of_post(self) -> list[str]:
        """Names of arrays over post-synaptic neurons: traces, and variables that are read."""
        traces = [t.name for t in self.code.post_traces]
        return [*traces, *(f"{x}_post" for x in self.code.reads_post)]

    @property
    def of_pre(self) -> list[str]:
        """Names of arrays over runs: parameters of the pre-synaptic neuron that are read."""
        return [f"{x}_pre" for x in self.code.reads_pre]

    @property
    def receptors(self) -> list[str]:
        """Variables of the post-synaptic neuron that arrivals add to."""
        return list(dict.fromkeys(effect.variable for effect in self.code.effects))

    def arguments(self) -> list[str]:
        """Return the names of what every kernel of the projection takes, in order."""
        names = ["base", "start", "slot", *(f"a_{x}" for x in self.variables)]
        names += ["own_last"] if self.code.own_traces else []
        names += ["last", "seen", *(f"b_{t.name}" for t in self.code.pre_traces)]
        names += [f"e_{x}" for x in self.of_pre] + [f"c_{x}" for x in self.of_post]
        names += ["history", *(f"h_{x}" for x in self.kept)]
        names += [f"table_{x}" for x in sorted(self.tabled)]
        names += [f"l_{t.name}" for t in self.code.pre_traces]
        names += [f"s_{v.name}" for v in self.code.shared_variables]
        names += [f"in_{r}" for r in self.receptors]
        return names + [f"per_{r}" for r in self.receptors] + [f"most_{r}" for r in self.receptors]


class PlasticText:
    """The functions of a plastic projection."""

    def __init__(self, plastic: PlasticCode, precision: Precision) -> None:
        self._p, self._precision = plastic, precision
        self._code = plastic.code
        self._names = {x: f"v_{x}" for x in plastic.variables}
        for a in (*self._code.on_pre, *self._code.on_post, *self._code.clock):
            self._names.setdefault(a.name, f"u_{a.name}")
        self._names |= {v.name: f"s_{v.name}[0]" for v in self._code.shared_variables}
        self._names |= {x: f"e_{x}[run]" for x in plastic.of_pre}

    def functions(self) -> str:
        """Return the source of all of them."""
        parts = [self._arrive(), self._spike()]
        if not self._p.eager:
            parts += [self._full(), self._catch_up()]
        elif self._code.on_post:
            parts.append(self._eager_post())
        if self._code.clock:
            parts.append(self._clock())
        return "\n".join(parts)

    def _define(self, name: str, arguments: str, lines: list[str]) -> str:
        head = f"def {name}_{self._p.number}({arguments}, {', '.join(self._p.arguments())}):"
        # Rows also catch up when they are read between two runs, from Python.
        kind = "@compiled" if name == "catch_up" else "@part"
        return "\n".join([kind, head, *(f"    {line}" for line in lines), ""])

    def _print(self, expression: str, names: dict[str, str]) -> str:
        return printed(expression, self._precision, self._names | names)

    def _decayed(self, trace: str, text: str, value: str, ticks: str, names: dict[str, str]) -> str:
        if trace in self._p.tabled:
            last = f"table_{trace}.shape[0] - 1"
            return f"{value} * table_{trace}[min({ticks}, {last})]"
        return self._print(text, {**names, trace: value, "elapsed": f"F(({ticks}) * DT)"})

    def _pre_at(self, prefix: str, ticks: str) -> list[str]:
        """Return lines that set `prefix_trace` to the pre-synaptic traces after so many ticks."""
        names = {t.name: f"b_{t.name}[run]" for t in self._code.pre_traces}
        lines = []
        for t in self._code.pre_traces:
            value = self._decayed(t.name, t.decayed, names[t.name], ticks, names)
            lines.append(f"{prefix}_{t.name} = F({value})")
        return lines

    def _own_at(self, tick: str) -> list[str]:
        if not self._code.own_traces:
            return []
        names = {t.name: f"v_{t.name}" for t in self._code.own_traces}
        lines = [f"waited = max(np.int64({tick} - since_own[m]), 0)"]
        for t in self._code.own_traces:
            value = self._decayed(t.name, t.decayed, names[t.name], "waited", names)
            lines.append(f"w_{t.name} = F({value})")
        return lines + [f"v_{t.name} = w_{t.name}" for t in self._code.own_traces]

    def _statements(self, statements: tuple[Assign, ...], names: dict[str, str]) -> list[str]:
        lines = []
        for a in statements:
            cast = self._p.casts.get(a.name, "F")
            lines.append(f"{self._names[a.name]} = {cast}({self._print(a.expression, names)})")
        return lines

    def _loaded(self) -> list[str]:
        return [f"v_{x} = r_{x}[m]" for x in self._p.variables]

    def _target(self) -> str:
        return "j = m + base" if self._p.dense else "j = slots[m]"

    def _sliced(self) -> list[str]:
        """Return lines that take a run's part of every array over synapses: `r_name`."""
        lines = ["first, final = start[run], start[run + 1]"]
        lines += [] if self._p.dense else ["slots = slot[first:final]"]
        lines += [f"r_{x} = a_{x}[first:final]" for x in self._p.variables]
        return lines + (["since_own = own_last[first:final]"] if self._code.own_traces else [])

    def _written(self, *codes: tuple[Assign, ...]) -> list[str]:
        names = dict.fromkeys(a.name for code in codes for a in code if a.name in self._p.variables)
        names |= dict.fromkeys(t.name for t in self._code.own_traces)
        return list(names)

    def _laid_out(self) -> list[str]:
        """Return lines that lay out a run's traces: `l_trace[k + 1]` k ticks after `before`."""
        if not self._code.on_post:
            return []
        lines = [f"near = tick - before <= {REACH}"]
        lines += ["if near:", "    for k in range(tick - before):"]
        lines += [f"        {line}" for line in self._pre_at("p", "k")]
        lines += [f"        l_{t.name}[k + 1] = p_{t.name}" for t in self._code.pre_traces]
        return [*lines, "    pass"] if self._code.pre_traces else lines[:1]

    def _pending(self) -> list[str]:
        """Return lines that catch up with the spikes of neuron j from tick `since` on."""
        if not self._code.on_post:
            return []
        few = [line for h in range(AT_ONCE - 1, -1, -1) for line in self._missed(h)]
        return [
            f"if near and {_past('history', AT_ONCE)} < since:",
            *(f"    {line}" for line in few),
            "else:",
            *(f"    {line}" for line in self._pending_many()),
        ]

    def _pending_many(self) -> list[str]:
        """Return lines that do the same for any number of spikes."""
        return [
            "h = 0",
            f"while h < {HISTORY} and {_past('history', 'h')} >= since:",
            "    h += 1",
            "while h > 0:",
            "    h -= 1",
            *(f"    {line}" for line in self._missed("h")),
        ]

    def _missed(self, h: int | str) -> list[str]:
        """Return lines for the h-th last spike of neuron j.

        Where h is a number, they count only if the spike is one that was missed.
        """
        names = {t.name: f"p_{t.name}" for t in self._code.pre_traces}
        names |= {x: _past(f"h_{x}", h) for x in self._p.kept}
        written = self._written(self._code.on_post)
        lines = [f"at = {_past('history', h)}"]
        if isinstance(h, int):
            lines += ["live = at >= since", *(f"o_{x} = v_{x}" for x in written)]
            # Unsigned, or a test for negative indices would follow.
            lines += ["k = np.uint32(max(at - before, np.int32(-1)) + np.int32(1))"]
            lines += [f"p_{t.name} = l_{t.name}[k]" for t in self._code.pre_traces]
        else:
            lines += ["waited = max(np.int64(at - before), 0)", *self._pre_at("p", "waited")]
        lines += self._own_at("at")
        lines += self._statements(self._code.on_post, names)
        if isinstance(h, int):
            lines += [f"v_{x} = v_{x} if live else o_{x}" for x in written]
        if self._code.own_traces:
            lines.append("since_own[m] = at" + (" if live else since_own[m]" if h != "h" else ""))
        return lines

    def _arrive(self) -> str:
        """Return the function that delivers the runs that are due."""
        code, p = self._code, self._p
        names = {t.name: f"n_{t.name}" for t in code.pre_traces}
        names |= {a.name: f"n_{a.name}" for a in code.pre_prelude}
        names |= {x: f"d_{x}[m]" if p.dense else f"c_{x}[j]" for x in p.of_post}
        lines = ["events = 0", "over = False", "for r in range(n):", "    run = due[r]"]
        body = ["before, since = np.int32(last[run]), np.int32(seen[run])"]
        body += self._pre_at("n", "np.int64(tick - before)")
        body += [] if p.eager else self._laid_out()
        for a in code.pre_prelude:
            body.append(f"n_{a.name} = F({self._print(a.expression, names)})")
        each = [] if p.dense else ["j = slots[m]"]
        each += self._loaded()
        each += [] if p.eager else self._pending()
        each += self._own_at("tick")
        # An effect sees the synapse as it is at its place in the code: names of versions.
        each += self._statements(code.on_pre, names)
        for effect in code.effects:
            r = effect.variable
            each += [
                f"amount = nearest({self._print(effect.expression, names)} * per_{r})",
                f"over |= not (abs(amount) <= most_{r})",  # nor may it be no number
                f"to_{r}[m] += I(amount)" if p.dense else f"in_{r}[j] += I(amount)",
            ]
        each += [f"r_{x}[m] = v_{x}" for x in self._written(code.on_pre, code.on_post)]
        if code.own_traces:
            each.append("since_own[m] = tick")
        body += self._sliced()
        if p.dense:
            # Parts in step with the run's: offsets in the loop would not be vectorised.
            body += [f"d_{x} = c_{x}[base : base + final - first]" for x in p.of_post]
            body += [f"to_{r} = in_{r}[base : base + final - first]" for r in p.receptors]
        body += ["for m in range(final - first):", *(f"    {line}" for line in each)]
        final = {t.name: code.pre_final.get(t.name, t.name) for t in code.pre_traces}
        body += [f"b_{name}[run] = n_{version}" for name, version in final.items()]
        body += ["last[run] = tick", "seen[run] = tick", "events += start[run + 1] - start[run]"]
        lines += [f"    {line}" for line in body]
        lines += ["return -1 if over else events"]
        return self._define("arrive", "n, due, tick, t", lines)

    def _spike(self) -> str:
        """Return the function that notes the spikes of post-synaptic neurons."""
        code, p = self._code, self._p
        names = {x: f"c_{x}[j]" for x in p.of_post}
        names |= {a.name: f"n_{a.name}" for a in code.post_prelude}
        body = ["if ids[s] < first_id or ids[s] >= end_id:", "    continue"]
        body += ["j = np.int64(ids[s]) - first_id + base"]
        body += [f"n_{a.name} = F({self._print(a.expression, names)})" for a in code.post_prelude]
        shifted = ["history", *(f"h_{x}" for x in p.kept)]
        if not p.eager:
            body += [f"for h in range({HISTORY - 1}, 0, -1):"]
            body += [f"    {_past(x, 'h')} = {_past(x, '(h - 1)')}" for x in shifted]
        body += ["history[0, j, 0] = tick"]
        body += [f"h_{x}[0, j, 0] = {self._print(x, names)}" for x in p.kept]
        body += [
            f"c_{t.name}[j] = {names.get(code.post_final.get(t.name, t.name), f'c_{t.name}[j]')}"
            for t in code.post_traces
        ]
        lines = ["for s in range(n):", *(f"    {line}" for line in body)]
        return self._define("spike", "n, ids, first_id, end_id, tick, t", lines)

    def _full(self) -> str:
        """Return the function that tells whether a spike would be forgotten too early.

        It is asked before any spike of a tick is noted, so that rows catch up with all spikes of
        the ticks before, and none of this one.
        """
        lines = [
            "for s in range(n):",
            "    if ids[s] >= first_id and ids[s] < end_id:",
            "        j = np.int64(ids[s]) - first_id + base",
            f"        if {_past('history', HISTORY - 1)} >= floor[0]:",
            "            return True",
            "return False",
        ]
        return self._define("full", "n, ids, first_id, end_id, floor", lines)

    def _catch_up(self) -> str:
        """Return the function with which all rows catch up with all spikes before `tick`."""
        if not self._code.on_post:
            # Spikes change nothing; a trace that decays in two steps is not the same to the bit.
            return self._define("catch_up", "tick, floor", ["seen[:] = tick", "floor[0] = tick"])
        each = ["j = slots[m]", *self._loaded(), *self._pending_many()]
        each += [f"r_{x}[m] = v_{x}" for x in self._written(self._code.on_post)]
        lines = [
            "for run in range(last.shape[0]):",
            "    before, since = np.int32(last[run]), np.int32(seen[run])",
            *(f"    {line}" for line in self._sliced()),
            "    for m in range(final - first):",
            *(f"        {line}" for line in each),
            "    seen[run] = tick",
            "floor[0] = tick",
        ]
        return self._define("catch_up", "tick, floor", lines)

    def _eager_post(self) -> str:
        """Return the function that executes `on_post` of neurons that spiked in this tick."""
        names = {t.name: f"p_{t.name}" for t in self._code.pre_traces}
        names |= {x: f"h_{x}[0, j, 0]" for x in self._p.kept}
        each = [*self._loaded(), *self._own_at("tick")]
        each += self._statements(self._code.on_post, names)
        each += [f"r_{x}[m] = v_{x}" for x in self._written(self._code.on_post)]
        each += ["since_own[m] = tick"] if self._code.own_traces else []
        lines = [
            "for run in range(last.shape[0]):",
            *(f"    {line}" for line in self._pre_at("p", "max(tick - last[run], 0)")),
            *(f"    {line}" for line in self._sliced()),
        ]
        if self._p.dense:
            lines = [
                "for s in range(n):",
                "    if ids[s] < first_id or ids[s] >= end_id:",
                "        continue",
                "    m = np.int64(ids[s]) - first_id",
                "    j = m + base",
                *(f"    {line}" for line in [*lines, *(f"    {line}" for line in each)]),
            ]
        else:
            lines += ["    for m in range(final - first):", "        j = slots[m]"]
            lines += ["        if history[0, j, 0] == tick:", *(f"            {e}" for e in each)]
        return self._define("on_post", "n, ids, first_id, end_id, tick", lines)

    def _clock(self) -> str:
        """Return the function that moves clock-driven variables by a tick."""
        names = {t.name: f"p_{t.name}" for t in self._code.pre_traces}
        names |= {x: f"c_{x}[j]" for x in self._p.of_post}
        each = [self._target(), *self._loaded(), *self._own_at("tick")]
        moved = [a.name for a in self._code.clock if a.name in self._p.variables]
        for a in self._code.clock:
            target = f"new_{a.name}" if a.name in moved else self._names[a.name]
            each.append(f"{target} = F({self._print(a.expression, names)})")
        each += [f"r_{x}[m] = new_{x}" for x in moved]
        lines = [
            "for run in range(last.shape[0]):",
            *(f"    {line}" for line in self._pre_at("p", "max(tick - last[run], 0)")),
            *(f"    {line}" for line in self._sliced()),
            "    for m in range(final - first):",
            *(f"        {line}" for line in each),
        ]
        return self._define("clock", "tick, t", lines)


def _past(array: str, h: int | str) -> str:
    """Return where an array keeps what belongs to the h-th last spike of neuron j."""
    if isinstance(h, int):
        return f"{array}[{h // TOGETHER}, j, {h % TOGETHER}]"
    return f"{array}[{h} // {TOGETHER}, j, {h} % {TOGETHER}]"
