"""The text of a synapse model: what its names stand for, and its statements as steps.

Names are found as Brian2 finds them: variables of the synapse first, then, with the suffix
`_post` or without, those of the post-synaptic neuron; `_pre` marks parameters of the pre-synaptic
neuron. Once read, a neuron's variable always carries its suffix, and `receptor` stands for the
projection's own.

What statements do to the post neuron is added up, and what they read of it is its state before
any of the tick's input: both make the result independent of the order in which spikes arrive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from biosim.equations import algebra, brian, simplify
from biosim.equations.code import EquationError, NeuronCode, Variable
from biosim.equations.nodes import Name, Node
from biosim.equations.scope import Equation, open_scope
from biosim.equations.traces import Step
from biosim.equations.wording import unknown

__all__ = ["DIFFERENTIAL", "PARAMETER", "SUBEXPRESSION", "SynapseText"]

DIFFERENTIAL, PARAMETER, SUBEXPRESSION = brian.KINDS[0], brian.KINDS[2], brian.KINDS[1]
FLAGS = {
    DIFFERENTIAL: ("event-driven", "clock-driven", "shared", "unless refractory"),
    SUBEXPRESSION: ("shared", "constant over dt", "summed"),
    PARAMETER: ("constant", "shared", "linked"),
}
REFUSED_FLAGS = {
    "summed": "a sum over synapses at every tick is not supported; add to the neuron in on_pre",
    "constant over dt": "it would be a state of its own; leave the flag out",
    "linked": "variables of other groups are not supported; use a parameter",
    "unless refractory": "synapses are never refractory; leave the flag out",
}
INDEX = "an index is not kept by a synapse; declare a parameter and set it in `initial`"
DRAW = "random draws in synapses are not supported; draw a parameter in `initial`"
NOISE = "noise in synapses is not supported; give it to the neuron"
REFUSED_NAMES = {
    **dict.fromkeys(("i", "j", "N", "N_pre", "N_post", "i_pre", "i_post", "N_incoming"), INDEX),
    **dict.fromkeys(("rand", "randn"), DRAW),
    "lastupdate": "the time since an event is not offered; write an event-driven equation",
    "elapsed": "the name is taken; choose another",
    "xi": NOISE,
}
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


class SynapseText:
    """A synapse model with what its names stand for.

    Args:
        model: equations.
        constants: name -> value.
        dt: length of a tick in seconds.
        whose: "projection 'E to I'", for errors.
        receptor: variable of the post neuron that `receptor` stands for.
        post: the post-synaptic neuron.
        pre_parameters: what may be read of the pre-synaptic neuron.

    Attributes:
        outside: variables of the neurons, as `x_pre` and `x_post` -> unit.

    Raises:
        EquationError: a line cannot be read, its units do not fit, or it asks for what is not
            supported.
    """

    def __init__(
        self,
        model: str,
        constants: Mapping[str, object],
        dt: float,
        whose: str,
        receptor: str,
        post: NeuronCode,
        pre_parameters: Sequence[Variable],
    ) -> None:
        self.whose, self.constants, self.neuron = whose, constants, post
        self.post = {variable.name: variable for variable in post.variables}
        self.post.setdefault("receptor", self.post[receptor])
        self.pre = frozenset(f"{each.name}_pre" for each in pre_parameters)
        extra = {f"{each.name}_pre": (each.unit, each.kind) for each in pre_parameters}
        for name, each in self.post.items():
            extra[f"{name}_post"] = (each.unit, each.kind)
            if name not in constants:
                extra[name] = (each.unit, each.kind)
        names = (*self.pre, *(f"{variable.name}_post" for variable in post.variables))
        self.outside = {name: extra[name][0] for name in names}
        self.scope = open_scope(model, constants, dt, whose, flags=FLAGS, extra=extra)
        self.lines = {line.name: line for line in self.scope.equations}
        self.nodes = self.scope.known()
        for name, each in self.post.items():
            self.nodes[f"{name}_post"] = Name(f"{each.name}_post")
            if name in extra and name not in self.lines:
                self.nodes[name] = Name(f"{each.name}_post")
        for line in self.lines.values():
            self.check_line(line)
        self.scope.check_units()
        self.rates: dict[str, Node] = {}
        for line in self.lines.values():
            if line.expression is not None:
                form = self.form(line.expression, line.place)
                if line.kind == DIFFERENTIAL:
                    self.rates[line.name] = form
                else:
                    self.nodes[line.name] = form
        self.lines = {name: self.lines[name] for name in self.scope.parsed}
        self.rates = {name: self.rates[name] for name in self.lines if name in self.rates}

    def error(self, place: str, text: str) -> EquationError:
        """An error of one line that says whose, where and what."""
        return EquationError(f"{self.whose}, {place}: {text}")

    def named(self, kind: str, flag: str | None = None) -> frozenset[str]:
        """Variables of one kind, or those of them with a flag."""
        return frozenset(
            line.name
            for line in self.lines.values()
            if line.kind == kind and (flag is None or flag in line.flags)
        )

    def form(self, expression: str, place: str) -> Node:
        """The normal form of an expression, subexpressions put in."""
        try:
            return simplify.parse(expression, self.nodes)
        except EquationError as error:
            raise self.error(place, str(error)) from error

    def steps(self, code: str, event: str) -> Iterator[Step]:
        """Read the statements of an event, in order.

        Args:
            code: statements, one a line or separated by ";".
            event: "on_pre" or "on_post".

        Raises:
            EquationError: a statement cannot be read, its units do not fit, or what it does
                would depend on the order of arrival.
        """
        scope = self.scope
        unread: dict[str, str] = {}
        changed: set[str] = set()
        for place, text in written(code, event):
            with brian.blame(self.whose, place):
                target, operator, expression = brian.split_statement(text)
            self.check_names(f"{target} {expression}", place)
            whole = expression
            if operator != "=":
                whole = f"{target} {operator[:-1]} ({expression})"
            read = simplify.names_in(self.form(expression, place))
            for name in sorted(changed & read):
                raise self.error(
                    place,
                    f"{name.removesuffix('_post')!r} of the post-synaptic neuron is read after it "
                    "was changed, which would depend on the order of arrival; read it before",
                )
            unread = {name: at for name, at in unread.items() if name not in read}
            effect = self.effect(target)
            if effect is not None:
                self.check_effect(effect, operator, place)
                scope.expect(expression, scope.variables[target].dim, place)
                changed.add(f"{effect.name}_post")
                form = self.form(expression, place)
                if operator == "-=":
                    form = algebra.negate(form)
                yield Step(effect.name, form.text, effect=True)
                continue
            if target in self.lines:
                self.check_written(target, place)
                scope.expect(whole, scope.variables[target].dim, place)
            else:
                self.check_temporary(target, operator, place, target in scope.variables)
                dimension = scope.dimension(whole, place)
                own = {target: brian.auxiliary(target, dimension)}
                scope = replace(scope, variables={**scope.variables, **own})
                unread[target] = place
            form = self.form(whole, place)
            if target in self.lines and self.lines[target].number == "integer":
                form = algebra.call("int", [form])
            yield Step(target, form.text)
        for name, place in unread.items():
            raise self.error(
                place,
                f"{name!r} is no variable of the synapse or of the post-synaptic neuron and is "
                "never read; correct the name or remove the statement",
            )

    def effect(self, target: str) -> Variable | None:
        """The variable of the post neuron that a statement's left side stands for, if any."""
        node = self.nodes.get(target)
        if target in self.lines or not isinstance(node, Name):
            return None
        return self.post.get(node.text.removesuffix("_post"))

    def check_effect(self, variable: Variable, operator: str, place: str) -> None:
        """Refuse what is not an addition to a number of the post neuron."""
        if operator not in ("+=", "-="):
            raise self.error(
                place,
                f"{variable.name!r} of the post-synaptic neuron may only be changed by += and -=, "
                f"because with {operator} the result would depend on the order of arrival",
            )
        if variable.kind != "float":
            raise self.error(
                place,
                f"{variable.name!r} of the post-synaptic neuron is {variable.kind}; add to a "
                "variable with a real value",
            )

    def check_written(self, name: str, place: str) -> None:
        """Refuse writes to what a synapse cannot change."""
        line = self.lines[name]
        if line.kind == SUBEXPRESSION:
            what = "is a subexpression; write to the variables that it reads"
        elif "shared" in line.flags:
            what = "is shared by all synapses and changes by its equation or from outside only"
        elif "constant" in line.flags:
            what = "is constant; leave the flag out"
        else:
            return
        raise self.error(place, f"{name!r} {what}")

    def check_temporary(self, name: str, operator: str, place: str, again: bool) -> None:
        """Refuse a name of the statements' own that means something else."""
        if name in self.pre or name.endswith("_pre"):
            raise self.error(
                place,
                f"{name!r} is of the pre-synaptic neuron, which a synapse cannot change; keep a "
                "variable of the synapse",
            )
        if name in self.scope.variables:
            raise self.error(
                place, f"{name!r} is a constant, a unit or a function; choose another name"
            )
        if name.endswith("_post") or (operator != "=" and not again):
            raise unknown(name, {**self.lines, **self.post}, self.whose, place)

    def check_names(self, text: str, place: str) -> None:
        """Refuse names that cannot be offered to synapses, and ambiguous ones."""
        for name in sorted(set(IDENTIFIER.findall(text))):
            if name in self.lines:
                continue
            reason = REFUSED_NAMES.get("xi" if name.startswith("xi_") else name)
            if reason is not None and name not in self.constants:
                raise self.error(place, f"{name!r}: {reason}")
            if name in self.constants and name in self.post:
                raise self.error(
                    place,
                    f"{name!r} is a constant and a variable of the post-synaptic neuron; rename "
                    f"the constant or write '{name}_post'",
                )
            if name.removesuffix("_post") in self.neuron.subexpressions:
                raise self.error(
                    place,
                    f"{name!r} is a subexpression of the post-synaptic neuron; write it out",
                )

    def check_line(self, line: Equation) -> None:
        """Refuse a line of the model that asks for what is not supported."""
        for flag in line.flags:
            if flag in REFUSED_FLAGS:
                raise self.error(line.place, f"'({flag})': {REFUSED_FLAGS[flag]}")
        if "event-driven" in line.flags and {"clock-driven", "shared"} & set(line.flags):
            raise self.error(
                line.place,
                "an event-driven variable is neither clock-driven nor shared; keep one flag",
            )
        if line.name in REFUSED_NAMES or line.name.endswith(("_pre", "_post")):
            raise self.error(
                line.place, f"{line.name!r} is not free for a variable of a synapse; rename it"
            )
        if line.expression is not None:
            self.check_names(line.expression, line.place)


def written(code: str, event: str) -> Iterator[tuple[str, str]]:
    """Split statements, each with its place for errors."""
    for number, line in enumerate(code.strip().splitlines(), 1):
        for part in line.split("#")[0].split(";"):
            text = part.strip()
            if text:
                yield f"{event}, line {number}, {text!r}", text
