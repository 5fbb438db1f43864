"""Expressions and values in plain Python: for the slow reference, starts, weights and delays."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

import numpy as np
import numpy.typing as npt

from biosim.equations import brian
from biosim.equations.code import EquationError
from biosim.equations.draws import DrawNames
from biosim.equations.scope import Scope, evaluated
from biosim.equations.simplify import parse
from biosim.syntax import expression_of

__all__ = ["evaluate", "evaluate_value"]

Values = float | npt.NDArray[Any]


def exprel(x: Any) -> Any:
    """(exp(x) - 1) / x, and 1 at 0."""
    safe = np.where(x == 0, 1.0, x)
    return np.where(x == 0, 1.0, np.expm1(safe) / safe)[()]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("exp", "log", "log10", "log1p", "expm1", "sqrt")},
    **{name: getattr(np, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{name: getattr(np, name) for name in ("arcsin", "arccos", "arctan", "abs", "floor")},
    **{name: getattr(np, name) for name in ("ceil", "sign", "clip", "where")},
    "exprel": exprel,
    "int": lambda x: np.asarray(x).astype(np.int64)[()],
    "all_of": lambda *x: functools.reduce(np.logical_and, x),
    "any_of": lambda *x: functools.reduce(np.logical_or, x),
    "none_of": np.logical_not,
}


class Elementwise(ast.NodeTransformer):
    """`and`, `or` and `not` as functions, which arrays have and operators have not."""

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        name = "all_of" if isinstance(node.op, ast.And) else "any_of"
        return ast.Call(ast.Name(name, ast.Load()), node.values, [])

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not):
            return ast.Call(ast.Name("none_of", ast.Load()), [node.operand], [])
        return node


@functools.lru_cache(maxsize=4096)
def executable(code: str) -> CodeType:
    tree = Elementwise().visit(expression_of(code.strip()))
    return compile(ast.fix_missing_locations(tree), "<equation>", "eval")


def evaluate(code: str, names: Mapping[str, Any]) -> Any:
    """The value of an expression of scalar code.

    Args:
        code: an expression as in `NeuronCode` or `SynapseCode`.
        names: what its names stand for: numbers, or arrays of one shape.

    Returns:
        A numpy scalar, or an array of that shape. Overflow and division by zero give inf or nan.
    """
    found = {
        name: np.float64(value) if isinstance(value, float) else value
        for name, value in names.items()
    }
    with np.errstate(all="ignore"):
        return eval(executable(code), {"__builtins__": {}, **FUNCTIONS}, found)


def evaluate_value(
    value: Any,
    unit: str,
    *,
    whose: str,
    place: str,
    constants: Mapping[str, Any] | None = None,
    names: Mapping[str, Any] | None = None,
    units: Mapping[str, str] | None = None,
) -> Values:
    """A value of a description in SI units, its unit checked.

    Args:
        value: text with units, a Brian2 quantity, numbers in SI units, or an array of either.
        unit: expected, as in `Variable.unit`: "V", "1".
        whose: "population 'E'", for errors.
        place: such as "initial 'v'", for errors.
        constants: name -> value, which a text may use.
        names: what else a text may use: numbers or arrays in SI units; `rand` and `randn` are
            functions without arguments that give one draw an element, called once for every time
            that the text calls them.
        units: unit of each of `names`; without unit if it is missing here.

    Returns:
        A float, or an array of the shape of what came or of what the text reads.

    Raises:
        EquationError: the unit is another one, a name is unknown, or it is no value at all.
    """
    expected = brian.dimensions(unit)
    if isinstance(value, str):
        return evaluate_text(value, unit, whose, place, constants or {}, names or {}, units or {})
    if hasattr(value, "dim"):
        if value.dim is not expected:
            raise EquationError(
                f"{whose}, {place}: the unit of {value!r} is {brian.unit_name(value.dim)}, "
                f"expected {brian.unit_name(expected)}; correct it"
            )
        value = np.asarray(value)
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise EquationError(
            f"{whose}, {place}: got {value!r}, expected a number, an array of numbers, or text "
            "with a unit such as '20*ms'"
        )
    return float(array) if array.ndim == 0 else array


def evaluate_text(
    value: str,
    unit: str,
    whose: str,
    place: str,
    constants: Mapping[str, Any],
    names: Mapping[str, Any],
    units: Mapping[str, str],
) -> Values:
    """`evaluate_value` of a text."""
    place = f"{place} {value.strip()!r}"
    text = brian.with_product(value)
    variables, numbers = (dict(each) for each in brian.everywhere(values=True))
    for name, (number, dimension) in evaluated(constants, whose).items():
        variables[name] = brian.constant(name, number, dimension)
        numbers[name] = number
    functions = brian.functions()
    for name in names:
        if name in brian.STATEFUL:
            continue
        numbers.pop(name, None)
        functions.pop(name, None)
        variables[name] = brian.auxiliary(name, brian.dimensions(units.get(name, "1")))
    scope = Scope(whose, None, {**variables, **functions}, numbers, frozenset(), 0.0)
    draws = DrawNames()
    named = draws.named(text)
    drawn: dict[str, Any] = {}
    for function, made in (("rand", draws.uniform), ("randn", draws.noise)):
        if made and function not in names:
            raise EquationError(
                f"{whose}, {place}: {function}() cannot be used here; give a fixed value"
            )
        drawn.update({name: names[function]() for name in made})
    scope.expect(text, brian.dimensions(unit), place, zero=True)
    try:
        form = parse(named, numbers)
    except EquationError as error:
        raise EquationError(f"{whose}, {place}: {error}") from error
    result = np.asarray(evaluate(form.text, {**names, **drawn}))
    return float(result) if result.ndim == 0 else result
