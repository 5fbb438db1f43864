"""Source text of the kernels of a sheet: neurons of one model that are advanced together.

`settle` deals with the neurons that spiked in the tick before: input is applied, then the reset.
`update` deals with all: input, state update, threshold, in one pass that vectorises; what is
found is then collected from one byte a neuron, eight at a time. Input of neurons that `settle`
has seen is zero by then, so `update` may apply it again.

In the text, the array of a name is `a_name` and its value at the neuron at hand `v_name`. Names
that are no variable's begin with a line, as no variable's may.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from biosim.equations.code import NeuronCode
from biosim.kernels.emit import Precision, names_in, printed

CASTS = {"float": "F", "integer": "np.int32", "boolean": "bool"}


@dataclass(frozen=True)
class SheetCode:
    """What the text of a sheet is made from.

    Args:
        code: the neuron model.
        receptors: variables that synapses or stimuli add to, in order.
        traces: post-synaptic traces of plastic synapses that end here: (name, expression over
            the name for one tick's decay).
        event: whether neurons are only dealt with when something happens.
    """

    code: NeuronCode
    receptors: tuple[str, ...]
    traces: tuple[tuple[str, str], ...] = ()
    event: bool = False

    @property
    def refracts(self) -> bool:
        """Whether ticks of refractoriness are counted."""
        return bool(self.code.refractory_ticks) or self.code.refractory is not None

    @property
    def waits(self) -> bool:
        """Whether refractoriness ends on a condition."""
        return self.code.refractory_condition is not None

    @cached_property
    def gated(self) -> frozenset[str]:
        """Variables that hold still while the neuron is refractory."""
        if not (self.refracts or self.waits):
            return frozenset()
        return frozenset(v.name for v in self.code.variables if v.gated)

    @cached_property
    def casts(self) -> dict[str, str]:
        """The number type of every variable, as it is written in the text."""
        return {v.name: CASTS[v.kind] for v in self.code.variables}

    @cached_property
    def places(self) -> list[str]:
        """Names among `N` and `i` that the code uses: arrays of their own."""
        texts = [a.expression for a in (*self.code.update, *self.code.reset)]
        texts += [t for t in (self.code.threshold, self.code.refractory) if t]
        texts += [t for t in (self.code.refractory_condition,) if t]
        texts += self.code.subexpressions.values()  # which may be recorded
        used = {name for text in texts for name in names_in(text)}
        return sorted(used & {"i", "N"})

    @cached_property
    def arrays(self) -> list[str]:
        """The names of the arrays (n,) that every kernel of the sheet takes, in order."""
        names = [*self.casts, *(name for name, _ in self.traces)]
        names += ["_left"] if self.refracts else []
        names += ["_ready"] if self.waits else []
        return [*names, *(f"_in_{receptor}" for receptor in self.receptors), *self.places]

    @property
    def scalars(self) -> list[str]:
        """The names of the scalars that every kernel takes: the resolution of each receptor."""
        return [f"_q_{receptor}" for receptor in self.receptors]

    @property
    def draws(self) -> list[str]:
        """The names of the arrays (n,) of random numbers that `update` takes."""
        return [*self.code.noise, *self.code.uniform]

    def arguments(self) -> list[str]:
        """Return the arguments that every kernel ends with, as they are named in it."""
        return [*(f"a_{array}" for array in self.arrays), *self.scalars]

    def names(self, temporaries: bool = True) -> dict[str, str]:
        """Return what each name of the scalar code is called in the text."""
        names = {name: f"v_{name}" for name in self.casts}
        if temporaries:
            steps = (*self.code.update, *self.code.reset)
            names |= {a.name: f"u{a.name}" for a in steps if a.name not in self.casts}
            names |= {draw: f"u_{draw}" for draw in self.draws}
        names |= {place: f"a_{place}[k]" for place in self.places}
        return names | {"not_refractory": "open", "t": "t"}


def settle_text(sheet: SheetCode, name: str, precision: Precision) -> str:
    """Return the function that applies input to, and resets, the neurons that spiked."""
    names = sheet.names()
    body = [*loaded(sheet), *applied(sheet, emptied=True)]
    # The numbers that were drawn in the tick of the spike are still there.
    body += [f"u_{draw} = F(d_{draw}[k])" for draw in sheet.draws]
    written = dict.fromkeys(sheet.receptors)
    for statement in sheet.code.reset:
        value = printed(statement.expression, precision, names)
        cast = sheet.casts.get(statement.name, "")
        body.append(f"{names[statement.name]} = {cast}({value})")
        if statement.name in sheet.casts:
            written[statement.name] = None
    body += [f"a_{x}[k] = v_{x}" for x in written]
    draws = [f"d_{draw}" for draw in sheet.draws]
    return function(
        f"{name}({', '.join(['t', 'n', 'spiked', *sheet.arguments(), *draws])})",
        ["for s in range(n):", "    k = spiked[s]", *(f"    {line}" for line in body)],
    )


def apply_text(sheet: SheetCode, name: str) -> str:
    """Return the function that applies input to all neurons, where something reads them first."""
    body = [*loaded(sheet), *applied(sheet, emptied=True)]
    body += [f"a_{x}[k] = v_{x}" for x in sheet.receptors]
    return function(
        f"{name}(n, {', '.join(sheet.arguments())})",
        ["for k in range(n):", *(f"    {line}" for line in body)],
    )


def update_text(sheet: SheetCode, name: str, precision: Precision) -> str:
    """Return the function that advances all neurons by a tick and collects their spikes.

    It returns the number of spikes, or -1 - i if the state of neuron i is not finite.
    """
    code, names = sheet.code, sheet.names()
    body = [*loaded(sheet), *applied(sheet, emptied=True), *opened(sheet, precision)]
    body += [f"u_{draw} = F(d_{draw}[k])" for draw in sheet.draws]
    moved = [a.name for a in code.update if a.name in sheet.casts]
    # All right-hand sides see the values before the tick, so a new value gets a name of its own.
    for a in code.update:
        target = f"new_{a.name}" if a.name in sheet.casts else f"u{a.name}"
        cast = sheet.casts.get(a.name, "")
        body.append(f"{target} = {cast}({printed(a.expression, precision, names)})")
    for x in moved:
        kept = f" if open else v_{x}" if x in sheet.gated else ""
        body.append(f"v_{x} = new_{x}{kept}")
    for trace, decayed in sheet.traces:
        body.append(f"a_{trace}[k] = {printed(decayed, precision, {trace: f'a_{trace}[k]'})}")
    stored = list(dict.fromkeys([*moved, *sheet.receptors]))
    body += [f"a_{x}[k] = v_{x}" for x in stored]
    size = " + ".join(f"abs(v_{x})" for x in stored if sheet.casts[x] == "F") or "F(0.0)"
    spikes = "False"
    if code.threshold is not None:
        spikes = f"({printed(code.threshold, precision, names)}) & open"
    # Not a number and infinity fail every comparison with the greatest number.
    body += [f"wrong = not ({size} <= GREATEST)"]
    body += [f"flags[k] = np.uint8({spikes}) | (np.uint8(wrong) << np.uint8(1))"]
    arguments = ["t", "n", "gid", "ids", "spiked", "flags", "flags8", *sheet.arguments()]
    return function(
        f"{name}({', '.join([*arguments, *(f'd_{draw}' for draw in sheet.draws)])})",
        ["for k in range(n):", *(f"    {line}" for line in body), *_collected(sheet, precision)],
    )


def sample_text(sheet: SheetCode, variable: str, name: str, precision: Precision) -> str:
    """Return the function that reads a variable or subexpression after input and reset."""
    names = sheet.names(temporaries=False)
    names |= {trace: f"a_{trace}[k]" for trace, _ in sheet.traces}
    expression = sheet.code.subexpressions.get(variable, variable)
    body = [*loaded(sheet), *applied(sheet, emptied=False)]
    body.append(f"out[s] = {printed(expression, precision, names)}")
    if sheet.event:
        from biosim.kernels.event_sheets import jumped

        body = [*loaded(sheet), *jumped(sheet, precision), *applied(sheet, emptied=False), body[-1]]
        if sheet.refracts:  # to look at a neuron is not to wake it
            body = ["kept = a__left[k]", *body, "a__left[k] = kept"]
    return function(
        f"{name}(tick, t, chosen, out, moved, {', '.join(sheet.arguments())})",
        ["for s in range(chosen.shape[0]):", "    k = chosen[s]", *(f"    {b}" for b in body)],
    )


def function(signature: str, lines: list[str]) -> str:
    """Return the source of a compiled function."""
    return "\n".join(["@part", f"def {signature}:", *(f"    {line}" for line in lines), ""])


def loaded(sheet: SheetCode) -> list[str]:
    """Return lines that read the variables of neuron k."""
    return [f"v_{x} = a_{x}[k]" for x in sheet.casts]


def applied(sheet: SheetCode, emptied: bool) -> list[str]:
    """Return lines that apply the input of neuron k."""
    if sheet.refracts:
        lines = ["open = a__left[k] == 0"]
    else:
        lines = ["open = a__ready[k] != 0" if sheet.waits else "open = True"]
    for receptor in sheet.receptors:
        taken = f"v_{receptor} + F(a__in_{receptor}[k]) * _q_{receptor}"
        kept = f" if open else v_{receptor}" if receptor in sheet.gated else ""
        lines.append(f"v_{receptor} = {taken}{kept}")
        if emptied:
            lines.append(f"a__in_{receptor}[k] = 0")
    return lines


def opened(sheet: SheetCode, precision: Precision) -> list[str]:
    """Return lines that tell whether neuron k is refractory in this tick."""
    if sheet.refracts:
        return [
            "rest = max(a__left[k] - np.int32(1), np.int32(0))",
            "a__left[k] = rest",
            "open = rest == 0",
        ]
    if sheet.code.refractory_condition is not None:
        holds = printed(sheet.code.refractory_condition, precision, sheet.names())
        return [f"open = (a__ready[k] != 0) | (not {holds})", "a__ready[k] = np.uint8(open)"]
    return []


def refraction(sheet: SheetCode, precision: Precision) -> list[str]:
    """Return lines that begin the refractoriness of neuron k."""
    code = sheet.code
    if code.refractory_ticks:
        return [f"a__left[k] = np.int32({code.refractory_ticks})"]
    if code.refractory is not None:
        names = {x: f"a_{x}[k]" for x in (*sheet.casts, *sheet.places)}
        names |= {draw: f"d_{draw}[k]" for draw in sheet.draws}
        time = printed(code.refractory, precision, names)
        # As Brian2's timestep(): a time just below a whole number of ticks counts as whole.
        # At least until the next state update, as in Brian2.
        return [f"a__left[k] = max(np.int32(np.float64({time}) / DT + 1e-3), np.int32(1))"]
    return ["a__ready[k] = np.uint8(0)"] if sheet.waits else []


def _collected(sheet: SheetCode, precision: Precision) -> list[str]:
    return [
        "m = 0",
        "for j in range(flags8.shape[0]):",
        "    if flags8[j] != 0:",
        "        for k in range(8 * j, 8 * j + 8):",
        "            if flags[k] != 0:",
        "                if flags[k] > 1:",
        "                    return -1 - k",
        *(f"                {line}" for line in refraction(sheet, precision)),
        "                spiked[m] = k",
        "                ids[m] = gid[k]",
        "                m += 1",
        "return m",
    ]
