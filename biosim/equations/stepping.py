"""Steps of the two updaters for which the structure of the equations matters.

Why beside Brian2's own: its exponential Euler multiplies everything out, so that a rate used
twice is computed from its pieces, with more divisions and differences of large numbers; its exact
updater takes sympy half a second for what is a short sum of exponentials. The formulas are the
same, and what Brian2 refuses is refused by asking it.
"""

from __future__ import annotations

from collections.abc import Mapping

from biosim.equations import decay
from biosim.equations.algebra import add, call, divide, multiply, negate
from biosim.equations.nodes import Name, Node, Number
from biosim.equations.simplify import names_in

__all__ = ["exact", "exponential_euler", "has_plain_solution"]

DT = Name("dt")


def has_plain_solution(equations: Mapping[str, Node]) -> bool:
    """Whether a system is linear with literal rates, none of them zero, and without circles.

    Brian2's exact updater takes all of these, and its solution is the one of `exact`.

    Args:
        equations: variable -> time derivative.
    """
    reads: dict[str, set[str]] = {}
    for name, form in equations.items():
        try:
            slopes, rest = decay.affine(form, list(equations))
        except ValueError:
            return False
        if not all(isinstance(slope, Number) for slope in slopes.values()):
            return False
        own = slopes.get(name, Number(0.0))
        if own == Number(0.0) or {"t", "dt"} & names_in(rest):
            return False
        reads[name] = {x for x, slope in slopes.items() if x != name and slope != Number(0.0)}
    while reads:
        free = [name for name, others in reads.items() if not others & set(reads)]
        if not free:
            return False
        for name in free:
            del reads[name]
    return True


def exact(equations: Mapping[str, Node]) -> str | None:
    """The code of an exact step of linear, autonomous equations, also of those without rest.

    Args:
        equations: variable -> time derivative.

    Returns:
        Statements as Brian2's updaters write them; None if there is no real closed form.
    """
    if any({"t", "dt", "not_refractory"} & names_in(form) for form in equations.values()):
        return None
    try:
        return code({}, decay.decayed(equations, "dt"))
    except ValueError:
        return None


def exponential_euler(equations: Mapping[str, Node]) -> str | None:
    """The code of a step of x' = a x + b, with a and b as they are at its start.

    Args:
        equations: variable -> time derivative.

    Returns:
        Statements as Brian2's updaters write them; None if one is not linear in its own variable.
    """
    rests: dict[str, str] = {}
    steps: dict[str, str] = {}
    for name, form in equations.items():
        try:
            slopes, constant = decay.affine(form, [name])
        except ValueError:
            return None
        slope = slopes.get(name, Number(0.0))
        state = Name(name)
        if slope == Number(0.0):
            steps[name] = add(state, multiply(DT, constant)).text
            continue
        factor = call("exp", [multiply(slope, DT)])
        if constant == Number(0.0):
            steps[name] = multiply(state, factor).text
            continue
        rest = Name(f"_rest_{name}")
        rests[rest.text] = negate(divide(constant, slope)).text
        steps[name] = add(multiply(add(state, negate(rest)), factor), rest).text
    return code(rests, steps)


def code(temporaries: Mapping[str, str], steps: Mapping[str, str]) -> str:
    """Statements that assign to all states at once."""
    lines = [f"{name} = {text}" for name, text in temporaries.items()]
    lines += [f"_{name} = {text}" for name, text in steps.items()]
    return "\n".join([*lines, *(f"{name} = _{name}" for name in steps)])
