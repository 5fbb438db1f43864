"""Nodes of expressions and how they are written.

Nodes are immutable and are equal if their texts are; a text is Python and reads back as the same
numbers. Make them with the functions of `algebra`, which keep the normal form.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from biosim.equations.code import EquationError

__all__ = [
    "LARGEST_UNROLLED",
    "Call",
    "Compare",
    "Logic",
    "Name",
    "Node",
    "NotANumber",
    "Number",
    "Power",
    "Product",
    "Sum",
    "Truth",
]

LARGEST_UNROLLED = 4
"""Integer powers up to here are written as products."""


class Node:
    """An expression. `text` is Python; `strength` its outermost operator's binding."""

    __slots__ = ("strength", "text")
    text: str
    strength: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return self.text

    def within(self, strength: int) -> str:
        """The text, in parentheses if an operator of this strength would tear it apart."""
        return self.text if self.strength >= strength else f"({self.text})"


OR, AND, NOT, COMPARE, SUM, PRODUCT, POWER, ATOM = range(8)


class NotANumber(EquationError):
    """What literals come to is no number, and would not be one in any neuron at any time."""


def literal(value: float) -> str:
    """A number that reads back as the same double; 1e999 is infinite, "inf" would be a name."""
    if math.isnan(value):
        raise NotANumber(
            "constants come to what is no number, such as 0/0 or the root of -1; correct them"
        )
    return repr(float(value)).replace("inf", "1e999")


class Number(Node):
    """A literal."""

    __slots__ = ("value",)

    def __init__(self, value: float) -> None:
        self.value = float(value)
        self.text = literal(self.value)
        self.strength = ATOM if self.value >= 0 else SUM


class Truth(Node):
    """True or False."""

    __slots__ = ("value",)

    def __init__(self, value: bool) -> None:
        self.value = value
        self.text = str(value)
        self.strength = ATOM


class Name(Node):
    """A variable, a temporary or a draw."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        self.text = name
        self.strength = ATOM


class Call(Node):
    """A function of arguments; `%` counts as one."""

    __slots__ = ("arguments", "function")

    def __init__(self, function: str, arguments: Sequence[Node]) -> None:
        self.function = function
        self.arguments = tuple(arguments)
        if function == "%":
            left, right = self.arguments
            self.text = f"{left.within(POWER)} % {right.within(POWER)}"
            self.strength = PRODUCT
        else:
            self.text = f"{function}({', '.join(each.text for each in self.arguments)})"
            self.strength = ATOM


class Power(Node):
    """A base to an exponent that is no literal."""

    __slots__ = ("base", "exponent")

    def __init__(self, base: Node, exponent: Node) -> None:
        self.base, self.exponent = base, exponent
        self.text = f"{base.within(ATOM)} ** {exponent.within(ATOM)}"
        self.strength = POWER


class Compare(Node):
    """Two numbers compared."""

    __slots__ = ("left", "operator", "right")

    def __init__(self, operator: str, left: Node, right: Node) -> None:
        self.operator, self.left, self.right = operator, left, right
        self.text = f"{left.within(SUM)} {operator} {right.within(SUM)}"
        self.strength = COMPARE


class Logic(Node):
    """`and`, `or` or `not`."""

    __slots__ = ("arguments", "operator")

    def __init__(self, operator: str, arguments: Sequence[Node]) -> None:
        self.operator, self.arguments = operator, tuple(arguments)
        if operator == "not":
            self.text = f"not {self.arguments[0].within(COMPARE)}"
            self.strength = NOT
        else:
            self.strength = AND if operator == "and" else OR
            self.text = f" {operator} ".join(
                each.within(self.strength + 1) for each in self.arguments
            )


class Product(Node):
    """Bases to literal exponents, none of them a number; a coefficient belongs to a `Sum`."""

    __slots__ = ("factors",)

    def __init__(self, factors: Iterable[tuple[Node, float]]) -> None:
        self.factors = tuple(sorted(factors, key=lambda each: each[0].text))
        self.text = product_text(1.0, self.factors)
        self.strength = PRODUCT
        if len(self.factors) == 1 and self.factors[0][1] == 0.5:
            self.strength = ATOM


class Sum(Node):
    """`constant` + sum of coefficient times term; no term is a number or a sum."""

    __slots__ = ("constant", "terms")

    def __init__(self, constant: float, terms: Iterable[tuple[Node, float]]) -> None:
        self.constant = constant
        self.terms = tuple(sorted(terms, key=lambda each: each[0].text))
        alone = self.constant == 0.0 and len(self.terms) == 1 and self.terms[0][1] > 0.0
        self.strength = PRODUCT if alone else SUM
        self.text = sum_text(self.constant, self.terms)


def power_text(base: Node, exponent: float) -> list[str]:
    if exponent == 0.5:
        return [f"sqrt({base.text})"]
    if exponent == int(exponent) and exponent <= LARGEST_UNROLLED:
        return [base.within(POWER)] * int(exponent)
    if exponent == int(exponent):
        return [f"{base.within(ATOM)} ** {int(exponent)}"]
    return [f"{base.within(ATOM)} ** {literal(exponent)}"]


def product_text(coefficient: float, factors: Sequence[tuple[Node, float]]) -> str:
    above = [text for base, e in factors if e > 0 for text in power_text(base, e)]
    below = [text for base, e in factors if e < 0 for text in power_text(base, -e)]
    if coefficient != 1.0 or not above:
        above.insert(0, literal(coefficient))
    numerator = " * ".join(above)
    if not below:
        return numerator
    return (
        f"{numerator} / {below[0]}" if len(below) == 1 else f"{numerator} / ({' * '.join(below)})"
    )


def sum_text(constant: float, terms: Sequence[tuple[Node, float]]) -> str:
    signed: list[tuple[float, str]] = []
    for term, coefficient in terms:
        factors = term.factors if isinstance(term, Product) else ((term, 1.0),)
        size = abs(coefficient)
        signed.append((coefficient, product_text(size, factors)))
    if constant != 0.0 or not signed:
        signed.append((constant, literal(abs(constant))))
    # A leading minus would cost an operation.
    lead = next((at for at, (sign, _) in enumerate(signed) if sign > 0), 0)
    signed.insert(0, signed.pop(lead))
    text = signed[0][1] if signed[0][0] > 0 else f"-{signed[0][1]}"
    for sign, term_text in signed[1:]:
        text += f" + {term_text}" if sign > 0 else f" - {term_text}"
    return text
