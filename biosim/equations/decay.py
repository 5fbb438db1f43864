"""Closed forms of linear differential equations over the time between two events.

Why not Brian2's exact updater: it declines systems without a unique rest, such as `dx/dt = 1/tau`,
and between events much time can pass, for which its products exp(a t) exp(-b t) overflow factor by
factor. Here every term has one exponential, which cannot overflow in a stable system.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

from biosim.equations import algebra, simplify
from biosim.equations.nodes import Name, Node, Number, Product, Sum

__all__ = ["affine", "coupled", "decayed"]


def decayed(equations: Mapping[str, Node], elapsed: str = "elapsed") -> dict[str, str]:
    """Solve linear differential equations.

    Args:
        equations: variable -> its time derivative; other names are constants.
        elapsed: name of the time that passes, in seconds.

    Returns:
        variable -> its value after that time, over the values before it.

    Raises:
        ValueError: the equations are not linear, or have no real solution that can be written.
    """
    solution: dict[str, Node] = {}
    for together in coupled({name: simplify.names_in(node) for name, node in equations.items()}):
        system = {name: affine(equations[name], together) for name in together}
        if len(together) == 1:
            ((name, (slopes, constant)),) = system.items()
            solution[name] = alone(name, slopes.get(name, Number(0.0)), constant, elapsed)
        else:
            solution |= joined(system, elapsed)
    return {name: solution[name].text for name in equations}


def coupled(equations: Mapping[str, Set[str]]) -> list[tuple[str, ...]]:
    """Group variables whose equations read each other, directly or through others.

    Args:
        equations: variable -> names that its equation reads.
    """
    groups: list[set[str]] = []
    for name, read in equations.items():
        mine = {name} | (set(read) & set(equations))
        for group in [group for group in groups if group & mine]:
            groups.remove(group)
            mine |= group
        groups.append(mine)
    return [tuple(name for name in equations if name in group) for group in groups]


def affine(node: Node, states: Sequence[str]) -> tuple[dict[str, Node], Node]:
    """Write a node as a sum of coefficient times state, and the rest.

    Raises:
        ValueError: it is not linear in the states.
    """
    zero = Number(0.0)
    if simplify.names_in(node).isdisjoint(states):
        return {}, node
    if isinstance(node, Name):
        return {node.text: Number(1.0)}, zero
    slopes: dict[str, Node] = {}
    if isinstance(node, Sum):
        rest: Node = Number(node.constant)
        for term, factor in node.terms:
            its_slopes, its_rest = affine(term, states)
            rest = algebra.add(rest, algebra.scale(its_rest, factor))
            for name, slope in its_slopes.items():
                more = algebra.scale(slope, factor)
                slopes[name] = algebra.add(slopes.get(name, zero), more)
        return slopes, rest
    if isinstance(node, Product):
        inside = [f for f in node.factors if not simplify.names_in(f[0]).isdisjoint(states)]
        outside = [f for f in node.factors if f not in inside]
        if len(inside) == 1 and inside[0][1] == 1.0:
            by = algebra.multiply(*(algebra.power(base, Number(e)) for base, e in outside))
            slopes, rest = affine(inside[0][0], states)
            return (
                {name: algebra.multiply(slope, by) for name, slope in slopes.items()},
                algebra.multiply(rest, by),
            )
    raise ValueError(f"{node.text!r} is not linear in {', '.join(states)}")


def alone(name: str, slope: Node, constant: Node, elapsed: str) -> Node:
    """Solve x' = slope x + constant."""
    start, time = Name(name), Name(elapsed)
    if slope == Number(0.0):
        return algebra.add(start, algebra.multiply(constant, time))
    factor = algebra.call("exp", [algebra.multiply(slope, time)])
    rest = algebra.negate(algebra.divide(constant, slope))
    return algebra.add(
        algebra.multiply(algebra.add(start, algebra.negate(rest)), factor),
        rest,
    )


def joined(system: Mapping[str, tuple[dict[str, Node], Node]], elapsed: str) -> dict[str, Node]:
    """Solve x' = M x + b as y' = M' y, where y has a 1 and M' has the column b.

    In Jordan's form M' = P J P^-1 time enters only as t^k exp(a t), one factor a term.
    """
    sympy = importlib.import_module("sympy")

    stand_ins: dict[str, Node] = {}

    def symbol(node: Node) -> Any:
        # Rationals of 15 digits, because equal time constants must be seen to be equal, also
        # where they come from different roundings.
        if isinstance(node, Number):
            return sympy.Rational(f"{node.value:.14e}")
        name = next((name for name, known in stand_ins.items() if known == node), None)
        if name is None:
            name = f"k_{len(stand_ins)}"
            stand_ins[name] = node
        return sympy.Symbol(name, real=True)

    def node(form: Any) -> Node:
        if form.is_number:
            return Number(float(sympy.N(form, 30)))
        return simplify.parse(sympy.sstr(sympy.cancel(form)), stand_ins)

    names = list(system)
    size = len(names)
    matrix = sympy.zeros(size + 1)
    for row, (slopes, constant) in enumerate(system.values()):
        for name, slope in slopes.items():
            matrix[row, names.index(name)] = symbol(slope)
        matrix[row, size] = symbol(constant)
    if matrix[:, size].is_zero_matrix:
        matrix = matrix[:size, :size]
    try:
        basis, jordan = matrix.jordan_form()
    except sympy.matrices.exceptions.MatrixError as error:
        raise ValueError(f"the solution of {', '.join(names)} cannot be written") from error
    if jordan.has(sympy.I):
        raise ValueError(f"the solution of {', '.join(names)} oscillates")
    inverse = basis.inv()
    time = Name(elapsed)
    starts = [*map(Name, names), Number(1.0)]
    terms: dict[str, list[Node]] = {name: [] for name in names}
    block = 0
    for at in range(matrix.rows):
        if at and jordan[at - 1, at] == 0:
            block = at
        rate = algebra.call("exp", [algebra.multiply(node(jordan[at, at]), time)])
        for before in range(block, at + 1):
            power = at - before
            passed = algebra.scale(
                algebra.multiply(rate, *([time] * power)), 1.0 / math.factorial(power)
            )
            for row, name in enumerate(names):
                for column in range(matrix.rows):
                    share = node(basis[row, before] * inverse[at, column])
                    terms[name].append(algebra.multiply(share, passed, starts[column]))
    return {name: algebra.add(*parts) for name, parts in terms.items()}
