"""What scalar code means: Python, one number at a time, in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import CodeType
from typing import Any

import numpy as np

from biosim.equations import Assign, Variable
from biosim.equations.code import FUNCTIONS

Scope = dict[str, Any]
"""Names -> numbers. Real numbers are numpy's, whose division by zero is infinite as in kernels."""

_OWN: dict[str, Any] = {
    "clip": lambda x, low, high: min(max(x, low), high),
    "where": lambda condition, yes, no: yes if condition else no,
    "exprel": lambda x: np.expm1(x) / x if x != 0.0 else 1.0,
    "int": lambda x: np.float64(int(x)),
}

NAMESPACE: dict[str, Any] = {
    "__builtins__": {},
    "inf": np.inf,
    **{name: getattr(np, name) for name in FUNCTIONS - set(_OWN)},
    **_OWN,
}
"""What may stand in scalar code beside its names."""

CASTS: Mapping[str, Any] = {"float": np.float64, "integer": int, "boolean": bool}


@cache
def _compiled(expression: str) -> CodeType:
    return compile(expression, "<scalar code>", "eval")


def evaluate(expression: str, scope: Scope) -> Any:
    """Return the value of an expression over the names of `scope`."""
    return eval(_compiled(expression), NAMESPACE, scope)


def execute(statements: Sequence[Assign], scope: Scope, casts: Mapping[str, Any]) -> None:
    """Carry out statements one after the other, in `scope`.

    Args:
        statements: in order.
        scope: changed.
        casts: names -> their type of number; float64 if not named.
    """
    for statement in statements:
        cast = casts.get(statement.name)
        found = evaluate(statement.expression, scope)
        scope[statement.name] = found if cast is None else cast(found)


def casts(variables: Sequence[Variable]) -> dict[str, Any]:
    """Return variables -> their type of number."""
    return {variable.name: CASTS[variable.kind] for variable in variables}
