"""Expressions in normal form: sums of coefficient times product, constants folded in double.

Why a form of our own beside sympy's: sympy expands and reorders for human eyes and at arbitrary
precision; kernels want few operations, one literal a term, products that are not multiplied out,
and the same text on every machine. Only literals are distributed over sums, so that a linear
update becomes `c0*v + c1*ge + c2`, while the structure of a nonlinear one stays as written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from biosim.equations.nodes import (
    Call,
    Compare,
    Logic,
    Name,
    Node,
    Number,
    Power,
    Product,
    Sum,
    Truth,
)

__all__ = [
    "Name",
    "Node",
    "Number",
    "add",
    "call",
    "compare",
    "divide",
    "logic",
    "multiply",
    "negate",
    "power",
    "scale",
    "shape",
]

SAFE_RANGE: Final = (1e-18, 1e18)
"""Coefficients in here neither overflow nor vanish in float32 when a few are multiplied."""


def parts(node: Node) -> tuple[float, tuple[tuple[Node, float], ...]]:
    """A node as constant and terms."""
    if isinstance(node, Number):
        return node.value, ()
    if isinstance(node, Sum):
        return node.constant, node.terms
    return 0.0, ((node, 1.0),)


def total(constant: float, terms: dict[Node, float]) -> Node:
    kept = [(term, coefficient) for term, coefficient in terms.items() if coefficient != 0.0]
    if not kept:
        return Number(constant)
    if constant == 0.0 and len(kept) == 1 and kept[0][1] == 1.0:
        return kept[0][0]
    return Sum(constant, kept)


def add(*nodes: Node) -> Node:
    """The sum, like terms joined."""
    constant = 0.0
    terms: dict[Node, float] = {}
    for node in nodes:
        here, its_terms = parts(node)
        constant += here
        for term, coefficient in its_terms:
            terms[term] = terms.get(term, 0.0) + coefficient
    return total(constant, terms)


def scale(node: Node, factor: float) -> Node:
    """`factor` times the node, distributed over a sum."""
    constant, terms = parts(node)
    # Infinity times what is not there would be no number.
    constant = constant * factor if constant else 0.0
    return total(constant, {term: c * factor for term, c in terms})


def negate(node: Node) -> Node:
    """Minus the node."""
    return scale(node, -1.0)


def shape(node: Node) -> tuple[float, Node]:
    """A sum as a factor times one whose first coefficient is 1 (or -1, if 1 is out of range)."""
    if not isinstance(node, Sum):
        return 1.0, node
    first = node.terms[0][1]
    if node.constant == 0.0 and len(node.terms) == 1:
        return first, node.terms[0][0]
    low, high = SAFE_RANGE
    sizes = [abs(c / first) for _, c in node.terms] + [abs(node.constant / first), abs(first)]
    if not all(size == 0.0 or low < size < high for size in sizes):
        first = math.copysign(1.0, first)
    return first, Sum(node.constant / first, [(term, c / first) for term, c in node.terms])


def split(node: Node) -> tuple[float, dict[Node, float]]:
    """A node as coefficient and factors."""
    if isinstance(node, Number):
        return node.value, {}
    coefficient, rest = shape(node)
    if isinstance(rest, Product):
        return coefficient, dict(rest.factors)
    return coefficient, {rest: 1.0}


def multiply(*nodes: Node) -> Node:
    """The product; literals are distributed over sums, sums are not over each other."""
    coefficient = 1.0
    factors: dict[Node, float] = {}
    several = [node for node in nodes if not isinstance(node, Number)]
    for node in nodes:
        if isinstance(node, Number):
            coefficient *= node.value
    if coefficient == 0.0:
        return Number(0.0)
    if len(several) == 1:
        return scale(several[0], coefficient)
    for node in several:
        its_coefficient, its_factors = split(node)
        coefficient *= its_coefficient
        for base, exponent in its_factors.items():
            factors[base] = factors.get(base, 0.0) + exponent
    return assemble(coefficient, factors)


def assemble(coefficient: float, factors: dict[Node, float]) -> Node:
    """Coefficient times bases to exponents; exponentials are merged."""
    exponents = [(base, e) for base, e in factors.items() if is_exp(base)]
    if len(exponents) > 1 or any(e != 1.0 for _, e in exponents):
        merged = add(*(scale(argument(base), e) for base, e in exponents))
        factors = {base: e for base, e in factors.items() if not is_exp(base)}
        its_coefficient, its_factors = split(call("exp", [merged]))
        coefficient *= its_coefficient
        factors.update(its_factors)
    kept = [(base, e) for base, e in factors.items() if e != 0.0]
    if not kept:
        return Number(coefficient)
    if len(kept) == 1 and kept[0][1] == 1.0:
        return scale(kept[0][0], coefficient)
    return scale(Product(kept), coefficient)


def is_exp(node: Node) -> bool:
    return isinstance(node, Call) and node.function == "exp"


def argument(node: Node) -> Node:
    assert isinstance(node, Call)
    return node.arguments[0]


def power(base: Node, exponent: Node) -> Node:
    """The base to the exponent; exp(a)**b is exp(a*b), also where exp(a) would underflow."""
    if is_exp(base):
        return call("exp", [multiply(argument(base), exponent)])
    if not isinstance(exponent, Number):
        if isinstance(base, Number) and base.value > 0:
            return call("exp", [scale(exponent, math.log(base.value))])
        return Power(base, exponent)
    e = exponent.value
    if e == 0.0:
        return Number(1.0)
    if e == 1.0:
        return base
    if isinstance(base, Number):
        return Number(real_power(base.value, e))
    coefficient, factors = split(base)
    whole = e.is_integer()
    if math.isinf(real_power(coefficient, e)):
        # Too large by itself, and perhaps not with what it multiplies.
        return Product([(base, e)])
    if not whole and coefficient < 0:
        # The root of a product is the product of the roots for positive factors only.
        return Product([(base, e)])
    if not whole and len(factors) > 1:
        return scale(Product([(assemble(1.0, factors), e)]), real_power(coefficient, e))
    if not whole and any(f != 1.0 for f in factors.values()):
        return Product([(base, e)])
    return assemble(real_power(coefficient, e), {node: f * e for node, f in factors.items()})


def real_power(base: float, exponent: float) -> float:
    if base == 0.0 and exponent < 0:
        return math.inf
    if base < 0 and not exponent.is_integer():
        return math.nan
    try:
        return float(base**exponent)
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 else math.inf


def divide(left: Node, right: Node) -> Node:
    """The quotient; a literal divisor becomes a factor."""
    if isinstance(left, Number) and isinstance(right, Number) and right.value != 0.0:
        return Number(left.value / right.value)
    if isinstance(right, Number) and right.value != 0.0:
        constant, terms = parts(left)
        return total(constant / right.value, {term: c / right.value for term, c in terms})
    return multiply(left, power(right, Number(-1.0)))


def exprel(x: float) -> float:
    return math.expm1(x) / x if x != 0.0 else 1.0


FOLDED = {
    **{name: getattr(math, name) for name in ["log", "log10", "log1p", "expm1", "sqrt"]},
    **{name: getattr(math, name) for name in ["exp", "sin", "cos", "tan", "sinh", "cosh", "tanh"]},
    **{f"arc{name}": getattr(math, f"a{name}") for name in ("sin", "cos", "tan")},
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "sign": lambda x: math.copysign(1.0, x) if x else 0.0,
    "clip": lambda x, low, high: min(max(x, low), high),
    "exprel": exprel,
    "int": int,
}


def call(function: str, arguments: Sequence[Node]) -> Node:
    """The function of the arguments, folded where all are literals and the value is finite."""
    values = [each.value for each in arguments if isinstance(each, Number | Truth)]
    if function == "sqrt":
        return power(Number(values[0]) if values else arguments[0], Number(0.5))
    if function == "where" and isinstance(arguments[0], Truth):
        return arguments[1] if arguments[0].value else arguments[2]
    if len(values) < len(arguments) or function == "where":
        return Call(function, arguments)
    if function == "%":
        return Number(values[0] % values[1]) if values[1] else Call(function, arguments)
    try:
        value = float(FOLDED[function](*values))
    except (ValueError, OverflowError):
        return Call(function, arguments)
    return Number(value) if math.isfinite(value) else Call(function, arguments)


COMPARISONS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def compare(operator: str, left: Node, right: Node) -> Node:
    """The comparison, folded between literals."""
    if isinstance(left, Number | Truth) and isinstance(right, Number | Truth):
        return Truth(bool(COMPARISONS[operator](left.value, right.value)))
    return Compare(operator, left, right)


def logic(operator: str, arguments: Sequence[Node]) -> Node:
    """`and`, `or`, `not` of the arguments, without what decides nothing."""
    truths = [Truth(each.value != 0) if isinstance(each, Number) else each for each in arguments]
    if operator == "not":
        (only,) = truths
        if isinstance(only, Truth):
            return Truth(not only.value)
        if isinstance(only, Logic) and only.operator == "not":
            return only.arguments[0]
        return Logic("not", [only])
    decides = operator == "or"
    if any(isinstance(each, Truth) and each.value is decides for each in truths):
        return Truth(decides)
    kept = list(dict.fromkeys(each for each in truths if not isinstance(each, Truth)))
    if not kept:
        return Truth(not decides)
    return kept[0] if len(kept) == 1 else Logic(operator, kept)
