"""Brian2's parser, units and state updaters: the only module that touches its inner parts.

Why one module: `Variable`, state updaters and their like are not promised to stay. What
leaves it are texts, numbers and the dataclasses below. Quirks met here, all of Brian2 2.9: `dt`
must answer `get_value()[0]`; "(unless refractory)" is a flag of the equation, not part of the
code that a state updater returns; the import takes over `sys.excepthook` and the warnings'
output, writes a log file, and (with newer pyparsing) warns.
"""

from __future__ import annotations

import ast
import functools
import importlib
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from biosim.equations.code import FUNCTIONS, EquationError
from biosim.equations.wording import unknown, unreadable, with_product
from biosim.syntax import expression_of

__all__ = [
    "DEFAULT_METHODS",
    "METHODS",
    "Unsupported",
    "auxiliary",
    "blame",
    "brian",
    "constant",
    "dimension_of",
    "dimensions",
    "everywhere",
    "functions",
    "is_boolean",
    "parse_equations",
    "part",
    "quantity",
    "quiet",
    "split_statement",
    "step_code",
    "step_variable",
    "unit_name",
    "units",
    "unknown",
    "unreadable",
    "with_product",
    "with_refractoriness",
    "without_held",
]

METHODS = ("exact", "exponential_euler", "euler", "rk2", "rk4", "heun", "milstein")
"""The state updaters that kernels can be made from."""

DEFAULT_METHODS = ("exact", "euler", "heun")
"""What Brian2's `NeuronGroup` tries in turn where no method is given."""

STATEFUL = ("rand", "randn")
KINDS = ("differential equation", "subexpression", "parameter")


_ALONE = threading.RLock()


class Unsupported(EquationError):
    """A state updater cannot take the equations."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silences what Brian2 and its parser warn of on the way, none of it the user's doing.

    One thread at a time: what is silenced is so in the whole process.
    """
    with _ALONE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@functools.cache
def brian() -> Any:
    """Brian2's parts that are used here, imported without its side effects."""
    with _ALONE:
        return _imported()


def _imported() -> Any:
    fresh = "brian2" not in sys.modules
    hook, show, take_over = sys.excepthook, warnings.showwarning, signal.signal
    if fresh:  # it would take Ctrl-C too, which only the main thread can
        signal.signal = lambda *_: None
    with quiet():
        brian2 = importlib.import_module("brian2")
        functions = importlib.import_module("brian2.core.functions")
        equations = importlib.import_module("brian2.equations.equations")
        fundamental = importlib.import_module("brian2.units.fundamentalunits")
        updaters = importlib.import_module("brian2.stateupdaters.base")
        log = importlib.import_module("brian2.utils.logger").BrianLogger
    signal.signal = take_over
    if fresh:
        # It writes down everything it does, which takes time and fills the tests' output.
        logging.getLogger("brian2").setLevel(logging.WARNING)
        if log.file_handler is not None:
            log.file_handler.close()
            logging.getLogger("brian2").removeHandler(log.file_handler)
            log.file_handler = None
        for path in (log.tmp_log, log.tmp_script):
            if path is not None and os.path.exists(path):
                os.remove(path)
        log.tmp_log = log.tmp_script = None
        logging.captureWarnings(False)
        sys.excepthook, warnings.showwarning = hook, show
    return SimpleNamespace(
        Equations=brian2.Equations,
        Quantity=brian2.Quantity,
        Unsupported=updaters.UnsupportedEquationsException,
        constants=functions.DEFAULT_CONSTANTS,
        functions=functions.DEFAULT_FUNCTIONS,
        units=importlib.import_module("brian2.core.namespace").DEFAULT_UNITS,
        variables=importlib.import_module("brian2.core.variables"),
        fundamental=fundamental,
        equations=equations,
        refractory=importlib.import_module("brian2.equations.refractory"),
        expressions=importlib.import_module("brian2.parsing.expressions"),
        statements=importlib.import_module("brian2.parsing.statements"),
        sympytools=importlib.import_module("brian2.parsing.sympytools"),
        sympy=importlib.import_module("sympy"),
        updaters=updaters.StateUpdateMethod.stateupdaters,
        refused=(
            updaters.UnsupportedEquationsException,
            equations.EquationError,
            fundamental.DimensionMismatchError,
            SyntaxError,
            ValueError,
            KeyError,
            TypeError,
            NotImplementedError,
            AttributeError,
            ZeroDivisionError,
        ),
    )


@contextmanager
def blame(whose: str, place: str) -> Iterator[None]:
    """Turns what Brian2 raises into one line that says whose equations, and where."""
    try:
        with quiet():
            yield
    except EquationError:
        raise
    except brian().refused as error:
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        if isinstance(error, SyntaxError) and error.msg:
            text = error.msg
        raise EquationError(f"{whose}, {place}: {text.rstrip('.')}; correct it") from error


def dimensions(unit: str) -> Any:
    """The dimension of a unit's text: "V", "volt", "1", "m^2 kg s^-3 A^-1", "nS/cm**2".

    Raises:
        EquationError: it is no unit.
    """
    b = brian()
    if unit in ("1", "", "bool", "boolean", "integer"):
        return b.fundamental.DIMENSIONLESS
    spelled = re.sub(r"(?<=[\w)])\s+(?=[A-Za-z(])", "*", unit.replace("^", "**"))
    symbols = {str(u.dispname): u for u in b.units.values() if hasattr(u, "dispname")}
    base = {"V": "volt", "A": "amp", "F": "farad", "S": "siemens", "s": "second", "C": "coulomb"}
    base |= {"m": "metre", "kg": "kilogram", "K": "kelvin", "mol": "mole", "W": "watt"}
    names = {**symbols, **b.units, **{short: b.units[full] for short, full in base.items()}}
    try:
        with quiet():
            return b.fundamental.get_dimensions(eval(spelled, {"__builtins__": {}}, names))
    except Exception as error:
        raise EquationError(f"{unit!r} is not a unit; write one such as 'mV' or 'nS'") from error


def unit_name(dimension: Any) -> str:
    """What Brian2 prints for a dimension's base unit, such as "V"; "1" without dimension."""
    with quiet():
        return str(brian().fundamental.get_unit_for_display(dimension))


PREFIXES = "fpnumkM"
SYMBOLS = {"V": "volt", "A": "amp", "S": "siemens", "F": "farad", "C": "coulomb"}
SYMBOLS |= {"s": "second", "Hz": "hertz"}


@functools.cache
def units() -> dict[str, Any]:
    """Units that a value may name: Brian2's, and prefixes with symbols that it leaves out (uV)."""
    known = brian().units
    both = ((p + symbol, p + SYMBOLS[symbol]) for p in PREFIXES for symbol in SYMBOLS)
    return {**{short: known[full] for short, full in both}, **known}


def quantity(value: Any, whose: str, place: str, known: Mapping[str, Any]) -> tuple[float, Any]:
    """A scalar value in SI units and its dimension.

    Args:
        value: text such as "20*ms" or "20 ms", a Brian2 quantity, or a number without dimension.
        whose: "population 'E'", for errors.
        place: where in it, for errors.
        known: other constants -> their quantities, which a text may use.

    Raises:
        EquationError: it cannot be evaluated, or is not one number.
    """
    b = brian()
    if isinstance(value, str):
        names = {**units(), **{n: c.get_value() for n, c in b.constants.items()}, **known}
        functions = {n: f.pyfunc for n, f in b.functions.items() if n not in STATEFUL}
        with blame(whose, place):
            text = with_product(value)
            tree = expression_of(text.strip())
            for node in ast.walk(tree):
                if isinstance(node, ast.Name) and node.id not in names | functions:
                    raise unknown(node.id, {**known, **units()}, whose, place)
                if isinstance(node, ast.Attribute | ast.Subscript | ast.Lambda | ast.Starred):
                    raise EquationError(f"{whose}, {place}: {value!r} is not a value with a unit")
            value = eval(text.strip(), {"__builtins__": {}}, {**functions, **names})
    if isinstance(value, bool | np.bool_):
        return float(value), b.fundamental.DIMENSIONLESS
    number = np.asarray(value)
    if number.ndim != 0 or number.dtype.kind not in "fiu":
        raise EquationError(
            f"{whose}, {place}: got {value!r}, expected one number, such as '20*ms'; what differs "
            "between neurons is a parameter of the equations, set in `initial`"
        )
    return float(number), b.fundamental.get_dimensions(value)


@functools.cache
def everywhere(values: bool = False) -> tuple[dict[str, Any], dict[str, float]]:
    """Units, pi, e and inf, as Brian2 wants them and as numbers in SI units.

    Args:
        values: whether the units are those of values, or of equations, which are Brian2's own.
    """
    b = brian()
    with quiet():
        variables = {
            name: constant(name, float(unit), b.fundamental.get_dimensions(unit))
            for name, unit in (units() if values else b.units).items()
        }
        variables |= {name: each for name, each in b.constants.items() if name.isidentifier()}
        return variables, {name: float(each.get_value()) for name, each in variables.items()}


def functions() -> dict[str, Any]:
    """The functions that kernels know, and random draws, as Brian2 wants them."""
    return {n: f for n, f in brian().functions.items() if n in FUNCTIONS or n in STATEFUL}


def auxiliary(name: str, dimension: Any, number: str = "float") -> Any:
    """A variable as Brian2 wants it, for what changes: "float", "integer" or "boolean"."""
    dtype = {"boolean": bool, "integer": np.int32}.get(number, float)
    return brian().variables.AuxiliaryVariable(name, dimensions=dimension, dtype=dtype)


def constant(name: str, value: float, dimension: Any) -> Any:
    """A variable as Brian2 wants it, for what never changes."""
    return brian().variables.Constant(name, value, dimensions=dimension)


def step_variable(dt: float) -> Any:
    """The step as Brian2's state updaters ask for it."""
    second = brian().units["second"].dim
    variable = brian().variables.AuxiliaryVariable(
        "dt", dimensions=second, dtype=float, scalar=True
    )
    variable.get_value = lambda: np.array([dt])
    return variable


def parse_equations(model: str, flags: Mapping[str, Sequence[str]], whose: str) -> Any:
    """Brian2's `Equations` of a model.

    Args:
        model: equations as text.
        flags: "differential equation", "subexpression", "parameter" -> flags allowed.
        whose: "population 'E'", for errors.

    Raises:
        EquationError: a line cannot be read.
    """
    b = brian()
    try:
        with quiet():
            parsed = b.Equations(model)
            parsed.check_flags({kind: tuple(flags.get(kind, ())) for kind in KINDS})
            _ = parsed.ordered
    except b.refused as error:
        raise unreadable(model, error, whose) from error
    return parsed


def with_refractoriness(parsed: Any) -> Any:
    """The equations with derivatives of "(unless refractory)" variables gated, as in Brian2."""
    b = brian()
    with quiet():
        gated = b.refractory.add_refractoriness(parsed)
        return b.Equations([line for line in gated.values() if line.varname in parsed])


def without_held(parsed: Any) -> Any:
    """The equations with "(constant over dt)" subexpressions as parameters."""
    with quiet():
        return brian().equations.extract_constant_subexpressions(parsed)[0]


def dimension_of(expression: str, variables: Mapping[str, Any]) -> Any:
    """The dimension of an expression whose units fit; call it inside `blame`."""
    return brian().fundamental.get_dimensions(
        brian().expressions.parse_expression_dimensions(expression, variables)
    )


def is_boolean(expression: str, variables: Mapping[str, Any]) -> bool:
    """Whether an expression is true or false; call it inside `blame`."""
    return bool(brian().expressions.is_boolean_expression(expression, variables))


def split_statement(text: str) -> tuple[str, str, str]:
    """A statement as name, operator and expression; call it inside `blame`."""
    name, operator, expression, _ = brian().statements.parse_statement(text)
    return name, operator, expression


def step_code(parsed: Any, variables: Mapping[str, Any], method: str, whose: str) -> str:
    """The code of one step by a state updater of Brian2.

    Args:
        parsed: the equations.
        variables: what their names stand for.
        method: name of the updater.
        whose: "population 'E'", for errors.

    Raises:
        Unsupported: it cannot take these equations.
    """
    b = brian()
    try:
        with quiet():
            return str(b.updaters[method](parsed, variables))
    except (b.Unsupported, NotImplementedError) as error:
        raise Unsupported(str(error)) from error
    except b.refused as error:
        raise EquationError(f"{whose}, method {method!r}: {error}; choose another") from error


def part(parsed: Any, names: Collection[str]) -> Any:
    """The equations of some of the variables."""
    with quiet():
        return brian().Equations([line for name, line in parsed.items() if name in names])
