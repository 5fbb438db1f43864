"""Which neurons can sleep between events: exact jumps, and bounds on what they do by themselves.

A neuron that is only looked at when something arrives needs two proofs. First, its state after
any time without input in closed form: the system is linear and autonomous, and its state updater
is exact, so that jumping and stepping agree. Second, that it will not fire meanwhile: an upper
bound of the threshold's variable over all of the future without input, its *ceiling*.

For x' = -a x + c + sum of m_j y_j with a > 0, x never exceeds max(x(0), (c + s) / a) where s
bounds the sum from above, because at that height x' <= 0. The bounds of y_j follow in the same
way; of y' = -b y they are max(y, 0) and min(y, 0). For a = 0 and c <= 0, x gains at most the
integrals of m_j y_j, which is m_j y_j / b_j for a y_j that decays by itself. Holding x for a
refractory time changes none of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from biosim.equations import decay
from biosim.equations.algebra import add, divide, multiply, negate
from biosim.equations.code import Assign
from biosim.equations.nodes import Call, Compare, Name, Node, Number
from biosim.equations.simplify import names_in, parse, simultaneous

__all__ = ["Solution", "solve"]


@dataclass(frozen=True)
class Solution:
    """What is known of a neuron without input; see `NeuronCode`."""

    jump: tuple[Assign, ...] | None
    ceiling: str | None
    reason: str


class Unbounded(Exception):
    """There is no bound, for the reason given."""


def solve(
    equations: Mapping[str, Node],
    method: str,
    *,
    threshold: Node | None,
    gated: Sequence[str],
    random: bool,
    timed: bool,
) -> Solution:
    """The exact solution and the ceiling of a model, where they can be proved.

    Args:
        equations: variable -> time derivative.
        method: name of the state updater that moves the neuron where it is not event-driven.
        threshold: the condition for a spike.
        gated: variables that stand still while the neuron is refractory.
        random: whether a tick draws random numbers.
        timed: whether the equations read the step.
    """
    if random:
        return Solution(None, None, "it draws random numbers at every tick")
    names = list(equations)
    matrix: dict[str, dict[str, Node]] = {}
    drive: dict[str, Node] = {}
    for name, form in equations.items():
        try:
            slopes, drive[name] = decay.affine(form, names)
        except ValueError as error:
            return Solution(None, None, f"its equations are not linear: {error}")
        matrix[name] = {column: slopes.get(column, Number(0.0)) for column in names}
    if timed or any({"t", "not_refractory"} & names_in(form) for form in equations.values()):
        return Solution(None, None, "its equations depend on time")
    if method != "exact" and not euler_is_exact(names, matrix, drive):
        return Solution(None, None, f"method {method!r} is not exact for its equations")
    for row in names:
        for column in gated:
            if row not in gated and not is_zero(matrix[row][column]):
                reason = f"{row!r} depends on {column!r}, which stands still while refractory"
                return Solution(None, None, reason)
    try:
        solution = decay.decayed(equations)
        forms = {name: parse(text) for name, text in solution.items()}
    except ValueError as error:
        return Solution(None, None, f"it has no closed form: {error}")
    jump = simultaneous(forms, names)
    try:
        bound = Bounds(matrix, drive).ceiling(threshold)
    except Unbounded as unbounded:
        return Solution(jump, None, str(unbounded))
    return Solution(jump, bound.text, "")


def is_zero(node: Node) -> bool:
    return isinstance(node, Number) and node.value == 0.0


def euler_is_exact(
    names: Sequence[str], matrix: Mapping[str, Mapping[str, Node]], drive: Mapping[str, Node]
) -> bool:
    """Whether every second derivative vanishes, so that one straight step is the solution."""
    for row in names:
        for other in (*({name: matrix[name][column] for name in names} for column in names), drive):
            if not is_zero(add(*(multiply(matrix[row][name], other[name]) for name in names))):
                return False
    return True


def larger(left: Node, right: Node) -> Node:
    if isinstance(left, Number) and isinstance(right, Number):
        return left if left.value > right.value else right
    return left if left == right else Call("where", [Compare(">", left, right), left, right])


def smaller(left: Node, right: Node) -> Node:
    return negate(larger(negate(left), negate(right)))


class Bounds:
    """Bounds of the variables of x' = matrix x + drive, for all times from now on.

    Args:
        matrix: row variable -> column variable -> coefficient.
        drive: variable -> constant term.
    """

    def __init__(self, matrix: Mapping[str, Mapping[str, Node]], drive: Mapping[str, Node]) -> None:
        self.matrix, self.drive = matrix, drive
        self.open: list[str] = []

    def ceiling(self, threshold: Node | None) -> Node:
        """The upper bound of a threshold's variable.

        Raises:
            Unbounded: there is none, or the threshold is not of the form `v > constant`.
        """
        if threshold is None:
            raise Unbounded("it has no threshold")
        if isinstance(threshold, Compare) and threshold.operator in (">", ">="):
            left, right = threshold.left, threshold.right
            if isinstance(left, Name) and not names_in(right) & {*self.matrix, "t"}:
                if left.text not in self.matrix:
                    return left
                return self.upper(left.text)
        raise Unbounded("its threshold does not compare a variable with what stays as it is")

    def upper(self, name: str) -> Node:
        """What the variable never exceeds."""
        return self.bound(name, 1.0)

    def bound(self, name: str, sign: float) -> Node:
        """The upper bound for sign 1, the lower one for sign -1."""
        if name in self.open:
            raise Unbounded(f"{' and '.join(map(repr, self.open))} act on each other")
        rate = negate(self.matrix[name][name])
        if not isinstance(rate, Number):
            raise Unbounded(f"the rate of {name!r} is not one number")
        if rate.value < 0:
            raise Unbounded(f"{name!r} grows by itself")
        inputs = [
            (other, coefficient)
            for other, coefficient in self.matrix[name].items()
            if other != name and not is_zero(coefficient)
        ]
        limit = larger if sign > 0 else smaller
        if rate.value == 0.0:
            return self.drift(name, inputs, sign)
        self.open.append(name)
        pushes = [self.push(other, coefficient, sign) for other, coefficient in inputs]
        self.open.pop()
        return limit(Name(name), divide(add(self.drive[name], *pushes), rate))

    def push(self, other: str, coefficient: Node, sign: float) -> Node:
        """The bound of coefficient times variable."""
        if isinstance(coefficient, Number):
            return multiply(
                coefficient, self.bound(other, sign if coefficient.value > 0 else -sign)
            )
        limit = larger if sign > 0 else smaller
        return limit(
            multiply(coefficient, self.bound(other, 1.0)),
            multiply(coefficient, self.bound(other, -1.0)),
        )

    def drift(self, name: str, inputs: Sequence[tuple[str, Node]], sign: float) -> Node:
        """The bound of a variable that does not leak."""
        drive = self.drive[name]
        if not isinstance(drive, Number) or drive.value * sign > 0:
            raise Unbounded(f"{name!r} does not leak and is driven without end")
        limit = larger if sign > 0 else smaller
        gains = []
        for other, coefficient in inputs:
            rate = negate(self.matrix[other][other])
            alone = all(is_zero(m) for x, m in self.matrix[other].items() if x != other)
            decays = isinstance(rate, Number) and rate.value > 0 and is_zero(self.drive[other])
            if not (alone and decays):
                raise Unbounded(f"{name!r} does not leak and {other!r} does not decay by itself")
            gains.append(limit(divide(multiply(coefficient, Name(other)), rate), Number(0.0)))
        return add(Name(name), *gains)
