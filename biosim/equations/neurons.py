"""A neuron model's equations to scalar code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from biosim.equations import brian, cache, decay, solvable, stepping
from biosim.equations.code import Assign, EquationError, NeuronCode, Variable
from biosim.equations.draws import DrawNames
from biosim.equations.nodes import Compare, Name, Node, NotANumber, Number
from biosim.equations.scope import Equation, Scope, open_scope
from biosim.equations.simplify import block, names_in, parse, simultaneous
from biosim.spiking.description import Spiking

__all__ = ["neuron_code"]

FLAGS = {
    "differential equation": ("unless refractory",),
    "subexpression": ("shared", "constant over dt"),
    "parameter": ("constant", "shared"),
}
DIFFERENTIAL = "differential equation"
GATED = "unless refractory"
HELD = "constant over dt"
ONE_STAGE = ("euler", "exponential_euler")
"""Updaters that read every other variable at the start of the step only."""

STABILITY = {
    "euler": (1.0, 1.0),
    "milstein": (1.0, 1.0),
    "heun": (1.0, 1.0, 1 / 2),
    "rk2": (1.0, 1.0, 1 / 2),
    "rk4": (1.0, 1.0, 1 / 2, 1 / 6, 1 / 24),
}
"""Growth of x in a step of x' = a x, as a polynomial of a dt: its coefficients from order 0."""


def neuron_code(model: Spiking, dt: float, name: str) -> NeuronCode:
    """A neuron model as scalar code, from the cache on disk if it was made before.

    Args:
        model: equations, threshold, reset, refractory, method, constants.
        dt: a tick in seconds.
        name: of the population, for errors.

    Raises:
        EquationError: a unit does not fit, a name is unknown, the method cannot take the
            equations or is unstable at this step, or the step is not positive.
    """
    content = {
        "neuron": [
            model.model,
            model.threshold,
            model.reset,
            cache.plain(model.refractory),
            model.method,
            {key: cache.plain(value) for key, value in sorted(model.constants.items())},
            float(dt),
        ]
    }
    return cache.remembered(content, NeuronCode, lambda: compiled(model, dt, name))


def compiled(model: Spiking, dt: float, name: str) -> NeuronCode:
    """`neuron_code` without the cache."""
    refractory = model.refractory is not None and model.refractory is not False
    extra = {"i": ("1", "integer"), "N": ("1", "integer")}
    if refractory:
        extra["not_refractory"] = ("1", "boolean")
    scope = open_scope(
        model.model, model.constants, dt, f"population {name!r}", flags=FLAGS, extra=extra
    )
    scope.check_units()
    try:
        return Reader(scope, refractory).code(model)
    except NotANumber as error:
        raise EquationError(f"{scope.whose}, equations: {error}") from error


class Reader:
    """Reads one model, part by part.

    Args:
        scope: its equations.
        refractory: whether it has a refractory time or condition.
    """

    def __init__(self, scope: Scope, refractory: bool) -> None:
        self.scope = scope
        self.lines = scope.equations
        self.noise = frozenset(scope.parsed.stochastic_variables)
        self.draws = DrawNames()
        self.gated = tuple(x.name for x in self.lines if GATED in x.flags and refractory)
        self.held = tuple(x.name for x in self.lines if HELD in x.flags)
        self.known: dict[str, Node | float | bool] = scope.known()
        self.subexpressions: dict[str, str] = {}
        for line in self.lines:
            if line.expression is None or line.name in self.held:
                continue
            if line.kind == DIFFERENTIAL:
                self.check_draws(line)
                continue
            if self.draws.named(line.expression) != line.expression:
                raise EquationError(
                    f"{scope.whose}, {line.place}: draws a random number wherever it is used; "
                    f"add the flag '({HELD})'"
                )
            form = parse(line.expression, self.known)
            self.known[line.name] = form
            if not self.noise & names_in(form):
                self.subexpressions[line.name] = form.text

    def check_draws(self, line: Equation) -> None:
        """Refuses what sympy would get wrong: to it, rand() - rand() is zero."""
        for call in brian.STATEFUL:
            if len(re.findall(rf"\b{call}\s*\(", line.expression or "")) > 1:
                raise EquationError(
                    f"{self.scope.whose}, {line.place}: calls {call}() more than once; give each "
                    f"draw a subexpression of its own with the flag '({HELD})'"
                )

    def form(self, text: str, place: str) -> Node:
        """The normal form of an expression, subexpressions put in."""
        try:
            form = parse(self.draws.named(text), self.known)
        except EquationError as error:
            raise EquationError(f"{self.scope.whose}, {place}: {error}") from error
        for noise in sorted(self.noise & names_in(form)):
            raise EquationError(
                f"{self.scope.whose}, {place}: {noise!r} belongs in a differential equation; use "
                "randn() for a draw a tick"
            )
        return form

    def code(self, model: Spiking) -> NeuronCode:
        """The scalar code."""
        text, method = self.step(model.method)
        self.check_stability(method)
        states = (*self.held, *(x.name for x in self.lines if x.kind == DIFFERENTIAL))
        update = self.update(text, states)
        threshold = self.threshold(model.threshold)
        reset = self.reset(model.reset)
        ticks, refractory, condition = self.refractory(model.refractory)
        solution = solvable.solve(
            self.derivatives(),
            method,
            threshold=threshold,
            gated=self.gated,
            random=bool(self.draws.noise or self.draws.uniform or self.held),
            timed="dt" in self.scope.parsed.identifiers,
        )
        return NeuronCode(
            variables=tuple(self.variables()),
            update=update,
            subexpressions=self.subexpressions,
            threshold=None if threshold is None else threshold.text,
            reset=reset,
            refractory_ticks=ticks,
            refractory=refractory,
            refractory_condition=condition,
            noise=tuple(self.draws.noise),
            uniform=tuple(self.draws.uniform),
            method=method,
            jump=solution.jump,
            ceiling=solution.ceiling,
            ceiling_reason=solution.reason,
        )

    def variables(self) -> list[Variable]:
        found = []
        for line in self.lines:
            if line.kind == "subexpression" and line.name not in self.held:
                continue
            moved = line.kind != "parameter"
            kind: Any = line.number
            found.append(
                Variable(
                    line.name,
                    "state" if moved else "parameter",
                    kind,
                    line.unit,
                    line.name in self.gated,
                )
            )
        return found

    def step(self, method: str | None) -> tuple[str, str]:
        """The state updater's code, and its name.

        Where nothing else reads a gated variable, gating its result is the same as gating its
        derivative, and the simpler equations integrate to simpler code.
        """
        parsed = brian.without_held(self.scope.parsed)
        code, used = self.quick_step(method) or (None, "")
        if code is None:
            try:
                code, used = self.scope.of(parsed).integrate(method)
            except brian.Unsupported:
                code, used = stepping.exact(self.derivatives()), "exact"
                if method != "exact" or self.noise or self.random() or code is None:
                    raise
        if used not in ONE_STAGE:
            free = [form for x, form in self.derivatives().items() if x not in self.gated]
            if any(names_in(form) & set(self.gated) for form in free):
                return self.scope.of(brian.with_refractoriness(parsed)).integrate(method)
        return code, used

    def quick_step(self, method: str | None) -> tuple[str, str] | None:
        """A step that needs no sympy, where it is the one that Brian2 would take."""
        equations = self.derivatives()
        if self.noise or self.random() or not equations:
            return None
        if method == "exponential_euler":
            code = stepping.exponential_euler(equations)
            return None if code is None else (code, method)
        if method in (None, "exact", "linear") and stepping.has_plain_solution(equations):
            code = stepping.exact(equations)
            return None if code is None else (code, "exact")
        return None

    def derivatives(self) -> dict[str, Node]:
        """Each differential variable -> its derivative, draws standing for themselves."""
        return {
            line.name: parse(self.draws.silent(line.expression or ""), self.known)
            for line in self.lines
            if line.kind == DIFFERENTIAL
        }

    def random(self) -> bool:
        """Whether a derivative draws random numbers."""
        return any(DrawNames.DRAW in names_in(form) for form in self.derivatives().values())

    def update(self, text: str, states: Sequence[str]) -> tuple[Assign, ...]:
        """The step's code in normal form, all states assigned at once."""
        statements = []
        expressions = {line.name: str(line.expression) for line in self.lines}
        # What is held is made first, line by line: whoever reads it sees the tick's own value.
        for name in self.held:
            form = parse(self.draws.named(expressions[name]), self.known)
            statements.append((f"_held_{name}", self.of_the_tick(form.text)))
        for name, expression in settled(assignments(text), states):
            statements.append((name, self.draws.named(self.of_the_tick(expression))))
        statements += [(name, f"_held_{name}") for name in self.held]
        try:
            forms = block(statements, self.known, states)
            assert set(states) <= set(forms)
            return simultaneous(forms, states)
        except EquationError as error:
            raise EquationError(f"{self.scope.whose}, equations: {error}") from error

    def of_the_tick(self, expression: str) -> str:
        """The expression over the tick's own values of what is held."""
        for held in self.held:
            expression = re.sub(rf"\b{held}\b", f"_held_{held}", expression)
        return expression

    def threshold(self, text: str | None) -> Node | None:
        """The condition for a spike."""
        if text is None:
            return None
        place = f"threshold {text.strip()!r}"
        self.scope.dimension(text, place)
        if not self.scope.is_boolean(text, place):
            raise EquationError(
                f"{self.scope.whose}, {place}: is a number, expected a condition such as "
                "'v > -50*mV'"
            )
        form = self.form(text, place)
        if isinstance(form, Compare) and form.operator in ("<", "<="):
            return Compare(form.operator.replace("<", ">"), form.right, form.left)
        return form

    def reset(self, text: str | None) -> tuple[Assign, ...]:
        """The statements after a spike."""
        found = []
        outer = dict(self.known)
        unread: dict[str, tuple[str, str]] = {}
        for name, expression in self.scope.statements(text or "", "reset"):
            form = self.form(expression, f"reset '{name} = {expression}'")
            for read in names_in(form):
                unread.pop(read, None)
            if name not in self.scope.variables:
                self.known[name] = Name(f"_{name}")
                unread[f"_{name}"] = name, expression
                name = f"_{name}"
            found.append(Assign(name, form.text))
        self.known = outer
        for name, expression in unread.values():
            raise EquationError(
                f"{self.scope.whose}, reset '{name} = {expression}': {name!r} is no variable of "
                "the equations and is never read; correct the name or remove the statement"
            )
        return tuple(found)

    def refractory(self, value: Any) -> tuple[int | None, str | None, str | None]:
        """Refractory ticks, else seconds as an expression, else a condition."""
        scope = self.scope
        if value is None or value is False:
            return 0, None, None
        second = brian.dimensions("second")
        place = f"refractory {value!r}"
        if value is True:
            raise EquationError(
                f"{scope.whose}, {place}: expected a time such as '5*ms', or a condition as text"
            )
        text = brian.with_product(value) if isinstance(value, str) else None
        if text is not None:
            if scope.is_boolean(text, place):
                scope.dimension(text, place)
                return None, None, self.form(text, place).text
            scope.expect(text, second, place, zero=True)
            form = self.form(text, place)
            if not isinstance(form, Number):
                return None, form.text, None
            seconds = form.value
        else:
            seconds, dimension = brian.quantity(value, scope.whose, place, {})
            if dimension is not second and isinstance(value, brian.brian().Quantity):
                raise EquationError(
                    f"{scope.whose}, {place}: the unit is {brian.unit_name(dimension)}, expected "
                    "a time such as '5*ms'"
                )
        if not 0 <= seconds < float("inf"):
            raise EquationError(
                f"{scope.whose}, {place}: got {seconds!r} s, expected a time of at least 0 s"
            )
        # As Brian2's `timestep`: whole steps, forgiving a thousandth of one. Its neurons are shut
        # from a spike to the next state update, however short their refractory time.
        return max(1, int((seconds + 1e-3 * scope.dt) / scope.dt)), None, None

    def check_stability(self, method: str) -> None:
        """Refuses a linear decay that an explicit updater turns into growing oscillations."""
        coefficients = STABILITY.get(method)
        if coefficients is None:
            return
        for name, form in self.derivatives().items():
            try:
                own = decay.affine(form, [name])[0].get(name)
            except ValueError:
                continue
            if not isinstance(own, Number) or own.value >= 0:
                continue
            slope = own.value
            z = slope * self.scope.dt
            growth = abs(sum(c * z**order for order, c in enumerate(coefficients)))
            if growth > 1 + 1e-9:
                line = next(x for x in self.lines if x.name == name)
                raise EquationError(
                    f"{self.scope.whose}, {line.place}: its time constant of {-1 / slope:.3g} s "
                    f"is too short for method {method!r} with steps of {self.scope.dt:.3g} s, "
                    "which is unstable; take a smaller step or method exact or exponential_euler"
                )


def assignments(code: str) -> list[tuple[str, str]]:
    """Statements as pairs of name and expression."""
    pairs = (line.split("=", 1) for line in code.splitlines())
    return [(name.strip(), expression.strip()) for name, expression in pairs]


def settled(statements: Sequence[tuple[str, str]], states: Sequence[str]) -> list[tuple[str, str]]:
    """The statements, temporaries in an order that depends on their names only.

    Brian2 walks over sets of noise terms, whose order changes from process to process.
    """
    waiting = dict(each for each in statements if each[0] not in states)
    found: list[tuple[str, str]] = []
    while waiting:
        free = [
            name
            for name, text in waiting.items()
            if not any(re.search(rf"\b{other}\b", text) for other in waiting if other != name)
        ]
        found += [(name, waiting.pop(name)) for name in sorted(free) or list(waiting)[:1]]
    return found + [each for each in statements if each[0] in states]
