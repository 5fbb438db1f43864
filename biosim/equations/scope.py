"""Equations together with what their names stand for: where units and names are checked."""

from __future__ import annotations

import ast
import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biosim.equations import brian
from biosim.equations.brian import DEFAULT_METHODS, METHODS, blame, unit_name, unknown
from biosim.equations.code import FUNCTIONS, EquationError
from biosim.equations.nodes import Node
from biosim.syntax import expression_of

__all__ = ["Equation", "Scope", "open_scope"]

KEPT = ("differential equation", "parameter")


@dataclass(frozen=True)
class Equation:
    """One line of a model.

    Args:
        name: of the variable.
        kind: "differential equation", "subexpression" or "parameter".
        number: "float", "integer" or "boolean".
        unit: of the variable, as `unit_name` prints it.
        flags: in parentheses behind the unit.
        expression: right-hand side as written; None for parameters.
    """

    name: str
    kind: str
    number: str
    unit: str
    flags: tuple[str, ...]
    expression: str | None

    @property
    def place(self) -> str:
        """The line, for errors."""
        if self.kind == "differential equation":
            return f"equation 'd{self.name}/dt = {self.expression}'"
        return f"equation '{self.name} = {self.expression}'"


@dataclass(frozen=True)
class Scope:
    """A model's equations with every name that they and their statements may use.

    Args:
        whose: "population 'E'", for errors.
        parsed: Brian2's `Equations`.
        variables: name -> Brian2's `Variable` or `Function`.
        numbers: constants and units -> value in SI units.
        writable: names from outside the equations that statements may write.
        dt: step in seconds.
    """

    whose: str
    parsed: Any
    variables: Mapping[str, Any]
    numbers: Mapping[str, float]
    writable: frozenset[str]
    dt: float

    @property
    def equations(self) -> tuple[Equation, ...]:
        """Line by line; subexpressions precede their users."""
        return tuple(
            Equation(
                name=line.varname,
                kind=line.type,
                number=line.var_type,
                unit=unit_name(line.dim),
                flags=tuple(line.flags),
                expression=None if line.expr is None else line.expr.code,
            )
            for line in self.parsed.ordered
        )

    def of(self, parsed: Any) -> Scope:
        """The same names for a variant of the equations."""
        return dataclasses.replace(self, parsed=parsed)

    def known(self) -> dict[str, Node | float | bool]:
        """What folds to a literal: constants, units, pi, e, inf and dt."""
        return {**self.numbers, "dt": self.dt}

    def resolve(self, expression: str, place: str) -> None:
        """Refuses names that nothing stands for."""
        with blame(self.whose, place):
            tree = expression_of(expression.strip())
        for node in ast.walk(tree):
            if not isinstance(node, ast.Name) or node.id in ("True", "False"):
                continue
            if node.id not in self.variables:
                mine = {name: 0 for name in self.variables if name not in brian.units()}
                raise unknown(node.id, mine, self.whose, place)

    def dimension(self, expression: str, place: str) -> Any:
        """The dimension of an expression.

        Raises:
            EquationError: a name is unknown, or units do not fit each other.
        """
        self.resolve(expression, place)
        with blame(self.whose, place):
            return brian.dimension_of(expression, self.variables)

    def expect(self, expression: str, dimension: Any, place: str, zero: bool = False) -> None:
        """Refuses an expression of another dimension than the one given.

        Args:
            expression: to check.
            dimension: that it should have.
            place: where it stands.
            zero: whether a bare 0 may stand for one with a unit: in values, not in equations
                and statements, where Brian2 refuses it.
        """
        found = self.dimension(expression, place)
        if found is not dimension and not (zero and is_zero(expression)):
            raise EquationError(
                f"{self.whose}, {place}: the unit of '{expression.strip()}' is "
                f"{unit_name(found)}, expected {unit_name(dimension)}; correct the expression or "
                "the unit (a constant given as a bare number has no unit)"
            )

    def is_boolean(self, expression: str, place: str) -> bool:
        """Whether an expression is true or false."""
        with blame(self.whose, place):
            return brian.is_boolean(expression, self.variables)

    def check_units(self) -> None:
        """Refuses equations whose two sides have different units, and unknown names."""
        second = brian.dimensions("second")
        for line in self.equations:
            if line.expression is None:
                continue
            expected = self.parsed[line.name].dim
            if line.kind == "differential equation":
                expected = expected / second
            self.expect(line.expression, expected, line.place)

    def statements(self, code: str, place: str) -> list[tuple[str, str]]:
        """Statements as pairs of name and expression; `x += a` becomes `x`, `x + (a)`.

        Args:
            code: statements, one a line or separated by ";".
            place: "reset", "on_pre", ..., for errors.

        Raises:
            EquationError: a statement cannot be parsed, its units do not fit, a name is unknown,
                or what is written is no variable.
        """
        found: list[tuple[str, str]] = []
        local = dict(self.variables)
        for line in re.split(r"[;\n]", code):
            text = line.split("#")[0].strip()
            if not text:
                continue
            here = f"{place} '{text}'"
            with blame(self.whose, here):
                name, operator, expression = brian.split_statement(text)
            if operator != "=":
                expression = f"{name} {operator[:-1]} ({expression})"
            scope = dataclasses.replace(self, variables=local)
            if name in self.variables:
                self.check_written(name, here)
                scope.expect(expression, self.variables[name].dim, here)
            elif operator != "=" and name not in local:
                raise unknown(name, self.variables, self.whose, here)
            else:
                local[name] = brian.auxiliary(name, scope.dimension(expression, here))
            found.append((name, expression))
        return found

    def check_written(self, name: str, place: str) -> None:
        """Refuses a write to what is not a variable of its own."""
        line = self.parsed.get(name)
        if name in self.writable or (line is not None and line.type in KEPT):
            return
        what = "a subexpression" if line is not None else "not a variable of the equations"
        raise EquationError(
            f"{self.whose}, {place}: {name!r} is {what} and cannot be written; write to a "
            "variable of the equations"
        )

    def integrate(self, method: str | None) -> tuple[str, str]:
        """The code of one step and the state updater that made it.

        Args:
            method: one of `METHODS`; None for the first of Brian2's defaults that can.

        Raises:
            EquationError: no such method, or it cannot take these equations.
        """
        method = "exact" if method == "linear" else method
        if method is not None and method not in METHODS:
            raise EquationError(
                f"{self.whose}, method: got {method!r}, expected one of {', '.join(METHODS)}, or "
                "none for Brian2's own choice"
            )
        if not self.parsed.diff_eq_names:
            return "", method or DEFAULT_METHODS[0]
        reasons = []
        for each in DEFAULT_METHODS if method is None else (method,):
            try:
                return brian.step_code(self.parsed, self.variables, each, self.whose), each
            except brian.Unsupported as error:
                reasons.append(f"{each!r} ({str(error).rstrip('.')})")
        lines = [line.place for line in self.equations if line.kind == "differential equation"]
        raise brian.Unsupported(
            f"{self.whose}, {', '.join(lines)}: cannot be integrated by {' or '.join(reasons)}; "
            "choose another method: exponential_euler, euler, rk2, rk4, or with noise euler, "
            "heun, milstein"
        )


def is_zero(expression: str) -> bool:
    """Whether an expression is a literal zero."""
    try:
        return float(expression) == 0.0
    except ValueError:
        return False


def evaluated(constants: Mapping[str, Any], whose: str) -> dict[str, tuple[float, Any]]:
    """Constants -> value in SI units and dimension; texts may name other constants."""
    b = brian.brian()
    done: dict[str, tuple[float, Any]] = {}
    quantities: dict[str, Any] = {}
    waiting = dict(constants)
    while waiting:
        ready = [name for name, value in waiting.items() if not reads(value, waiting, name)]
        if not ready:
            raise EquationError(
                f"{whose}, constants: {', '.join(map(repr, waiting))} need each other; give one "
                "of them a value"
            )
        for name in ready:
            place = f"constant {name!r}"
            if not name.isidentifier() or name.startswith("_") or name in RESERVED:
                raise EquationError(f"{whose}, {place}: this name is taken; choose another")
            value, dimension = brian.quantity(waiting.pop(name), whose, place, quantities)
            if math.isnan(value):
                raise EquationError(f"{whose}, {place}: got nan, expected a number; correct it")
            done[name] = value, dimension
            quantities[name] = b.Quantity.with_dimensions(value, dimension)
    return done


RESERVED = frozenset({"t", "dt", "i", "j", "N", "xi", "not_refractory", "lastspike", "elapsed"})


def reads(value: Any, names: Mapping[str, Any], own: str) -> bool:
    """Whether a constant's text names another that has no value yet."""
    if not isinstance(value, str):
        return False
    return any(found in names and found != own for found in re.findall(r"[A-Za-z_]\w*", value))


def open_scope(
    model: str,
    constants: Mapping[str, Any],
    dt: float,
    whose: str,
    *,
    flags: Mapping[str, Sequence[str]],
    extra: Mapping[str, tuple[str, str]] | None = None,
    writable: Sequence[str] = (),
) -> Scope:
    """Parses a model and finds what its names stand for.

    Args:
        model: equations in Brian2's language.
        constants: name -> value; see `brian.quantity`. Texts may use other constants.
        dt: step in seconds.
        whose: "population 'E'", for errors.
        flags: "differential equation", "subexpression", "parameter" -> flags allowed.
        extra: names from outside the equations -> (unit, "float" | "integer" | "boolean").
        writable: which of `extra` statements may write.

    Raises:
        EquationError: the model cannot be parsed, or a constant cannot be evaluated.
    """
    if not (math.isfinite(dt) and dt > 0):
        raise EquationError(f"{whose}: the step is {dt!r} s, expected a positive time; correct it")
    parsed = brian.parse_equations(model, flags, whose)
    for name in sorted({*RESERVED, *FUNCTIONS} & set(parsed.names)):
        raise EquationError(
            f"{whose}, equations: the name {name!r} is taken; choose another for the variable"
        )
    variables, numbers = (dict(each) for each in brian.everywhere())
    for name, (value, dimension) in evaluated(constants, whose).items():
        if name in parsed:
            raise EquationError(
                f"{whose}, constant {name!r}: the equations have a variable of this name; rename "
                "one of them"
            )
        variables[name] = brian.constant(name, value, dimension)
        numbers[name] = value
    second = brian.dimensions("second")
    changing = {"t": brian.auxiliary("t", second), "dt": brian.step_variable(dt)}
    for name, (unit, number) in (extra or {}).items():
        changing[name] = brian.auxiliary(name, brian.dimensions(unit), number)
    for line in parsed.values():
        changing[line.varname] = brian.auxiliary(line.varname, line.dim, line.var_type)
    for name in parsed.stochastic_variables:
        changing[name] = brian.auxiliary(name, second**-0.5)
    return Scope(
        whose=whose,
        parsed=parsed,
        variables={**variables, **brian.functions(), **changing},
        numbers={name: value for name, value in numbers.items() if name not in changing},
        writable=frozenset(writable),
        dt=dt,
    )
