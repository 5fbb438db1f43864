"""Python expressions to normal form and back, with equal subexpressions computed once.

Why temporaries are not simply put into what uses them: a Runge-Kutta stage that is used four
times would be computed four times, and stages within stages grow without bound. One that is
affine in names is put in, because then the coefficients of a linear update fold to one each.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence

from biosim.equations import algebra
from biosim.equations.code import FUNCTIONS, Assign, EquationError
from biosim.equations.nodes import (
    LARGEST_UNROLLED,
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
from biosim.syntax import expression_of

__all__ = ["block", "names_in", "parse", "simplified", "simultaneous"]

OPERATORS = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}


def parse(text: str, known: Mapping[str, Node | float | bool] | None = None) -> Node:
    """The normal form of a Python expression.

    Args:
        text: the expression.
        known: names -> what stands for them: numbers are folded, nodes put in.

    Raises:
        EquationError: what the expression uses has no counterpart in kernels.
    """
    try:
        tree = expression_of(text.strip()).body
    except SyntaxError as error:
        raise EquationError(f"{text!r} is not an expression: {error.msg}; correct it") from error
    return read(tree, {} if known is None else known)


def read(tree: ast.expr, known: Mapping[str, Node | float | bool]) -> Node:
    def go(child: ast.expr) -> Node:
        return read(child, known)

    match tree:
        case ast.Constant(value=bool(value)):
            return Truth(value)
        case ast.Constant(value=int(value) | float(value)):
            return Number(value)
        case ast.Name(id=name):
            found = known.get(name, Name(name))
            if isinstance(found, Node):
                return found
            return Truth(found) if isinstance(found, bool) else Number(found)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return algebra.negate(number(go(operand)))
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return go(operand)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return algebra.logic("not", [go(operand)])
        case ast.BoolOp(op=operator, values=values):
            return algebra.logic(
                "and" if isinstance(operator, ast.And) else "or", [go(value) for value in values]
            )
        case ast.Compare(left=left, ops=operators, comparators=comparators):
            sides = [go(left), *(go(each) for each in comparators)]
            links = [
                algebra.compare(OPERATORS[type(operator)], sides[at], sides[at + 1])
                for at, operator in enumerate(operators)
                if type(operator) in OPERATORS
            ]
            if len(links) == len(operators):
                return links[0] if len(links) == 1 else algebra.logic("and", links)
        case ast.BinOp(left=left, op=operator, right=right):
            return binary(operator, go(left), go(right), tree)
        case ast.Call(func=ast.Name(id=function), args=arguments, keywords=[]):
            if function in FUNCTIONS:
                return algebra.call(function, [go(each) for each in arguments])
    raise EquationError(
        f"{ast.unparse(tree)!r} cannot be turned into a kernel: use + - * / ** %, comparisons, "
        f"and, or, not, and the functions {', '.join(sorted(FUNCTIONS))}"
    )


def binary(operator: ast.operator, left: Node, right: Node, tree: ast.expr) -> Node:
    match operator:
        case ast.Add():
            return algebra.add(number(left), number(right))
        case ast.Sub():
            return algebra.add(number(left), algebra.negate(number(right)))
        case ast.Mult():
            return algebra.multiply(number(left), number(right))
        case ast.Div():
            return algebra.divide(number(left), number(right))
        case ast.Pow():
            return algebra.power(number(left), number(right))
        case ast.Mod():
            return algebra.call("%", [number(left), number(right)])
        case ast.FloorDiv():
            return algebra.call("floor", [algebra.divide(number(left), number(right))])
    raise EquationError(
        f"{ast.unparse(tree)!r} cannot be turned into a kernel: use + - * / // ** % between numbers"
    )


def number(node: Node) -> Node:
    """Truth values count as 0 and 1 in arithmetic."""
    if isinstance(node, Truth):
        return Number(float(node.value))
    if isinstance(node, Compare | Logic):
        return Call("int", [node])
    return node


def simplified(text: str, known: Mapping[str, Node | float | bool] | None = None) -> str:
    """The text of the normal form of a Python expression; see `parse`."""
    return parse(text, known).text


def children(node: Node) -> tuple[Node, ...]:
    """What a node's text is put together from, as often as it appears there."""
    match node:
        case Call() | Logic():
            return node.arguments
        case Compare():
            return (node.left, node.right)
        case Power():
            return (node.base, node.exponent)
        case Product():
            return tuple(base for base, e in node.factors for _ in range(times(e)))
        case Sum():
            return tuple(term for term, _ in node.terms)
    return ()


def times(exponent: float) -> int:
    size = abs(exponent)
    return int(size) if size == int(size) and size <= LARGEST_UNROLLED else 1


def names_in(node: Node) -> frozenset[str]:
    """Every name that a node reads."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Name):
            found.add(each.text)
        waiting.extend(children(each))
    return frozenset(found)


def is_affine(node: Node) -> bool:
    """Whether a node is a literal, a name, or literals times names."""
    if isinstance(node, Sum):
        return all(isinstance(term, Name) for term, _ in node.terms)
    return isinstance(node, Name | Number | Truth)


def block(
    statements: Iterable[tuple[str, str]],
    known: Mapping[str, Node | float | bool],
    states: Sequence[str],
) -> dict[str, Node]:
    """Straight-line code as one normal form a state, over the values before the code.

    Temporaries that cannot be put into their users without repeating work remain as names, and
    their own forms are in the result, before those of the states.

    Args:
        statements: name and expression, in order.
        known: names -> what stands for them.
        states: names whose assignments are the outcome.
    """
    order = list(statements)
    uses: dict[str, int] = {}
    for _, text in order:
        for each in ast.walk(expression_of(text.strip())):
            if isinstance(each, ast.Name):
                uses[each.id] = uses.get(each.id, 0) + 1
    scope: dict[str, Node | float | bool] = dict(known)
    kept: dict[str, Node] = {}
    outcome: dict[str, Node] = {}
    for name, text in order:
        form = parse(text, scope)
        if name in states:
            outcome[name] = form
        elif is_affine(form) or uses.get(name, 0) <= 1:
            scope[name] = form
        else:
            fresh = name if name.startswith("_") else f"_{name}"
            scope[name] = Name(fresh)
            kept[fresh] = form
    return {**kept, **{name: outcome[name] for name in states if name in outcome}}


def simultaneous(forms: Mapping[str, Node], states: Sequence[str]) -> tuple[Assign, ...]:
    """Statements with the effect of assigning to all states at once.

    Args:
        forms: temporaries, in order, then states; see `block`.
        states: which of `forms` are states.

    Returns:
        Temporaries first, whose names begin with "_", then one assignment to each state.
    """
    forms = Sharing(forms).written()
    final = {name: forms[name] for name in states if name in forms}
    temporaries = [(name, form) for name, form in forms.items() if name not in final]
    last: list[tuple[str, Node]] = []
    waiting = dict(final)
    while waiting:
        # A state is written once no other that still waits reads its old value.
        free = next(
            (
                name
                for name in waiting
                if not any(
                    name in names_in(form) for other, form in waiting.items() if other != name
                )
            ),
            None,
        )
        if free is None:
            free = next(iter(waiting))
            fresh = f"_next_{free}"
            temporaries.append((fresh, waiting.pop(free)))
            last.append((free, Name(fresh)))
        else:
            last.append((free, waiting.pop(free)))
    # What waits for its temporary only is written at the very end, after all readers.
    moved = [(name, form) for name, form in last if form.text == f"_next_{name}"]
    direct = [(name, form) for name, form in last if form.text != f"_next_{name}"]
    return tuple(Assign(name, form.text) for name, form in [*temporaries, *direct, *moved])


def is_read(name: str, forms: Mapping[str, Node]) -> bool:
    """Whether another form than its own reads a name."""
    return any(name in names_in(form) for other, form in forms.items() if other != name)


class Sharing:
    """Finds the parts that several forms have in common, and writes them once.

    Sums that differ by a factor, or by rounding, count as equal: the second is the first one
    times the factor. Sums that come from one subexpression differ so once literals are folded.

    Args:
        forms: name -> normal form, in an order in which none reads a later one.
    """

    def __init__(self, forms: Mapping[str, Node]) -> None:
        self.forms = forms
        self.first: dict[tuple[str, ...], Node] = {}
        self.count: dict[Node, int] = {}
        self.names: dict[Node, Node] = {}
        self.result: dict[str, Node] = {}

    def written(self) -> dict[str, Node]:
        """The same forms, with shared parts as temporaries before their first user."""
        for form in self.forms.values():
            self.visit(form)
        for name, form in self.forms.items():
            self.settle(form)
            self.result[name] = self.replaced(form)
        return self.result

    def shape(self, node: Node) -> tuple[float, Node]:
        """A factor, and the node that stands for all that are equal but for a factor."""
        factor, shape = algebra.shape(node)
        if not isinstance(shape, Sum):
            return factor, shape
        key = [f"{shape.constant:.13e}"]
        key += [part for term, c in shape.terms for part in (term.text, f"{c:.13e}")]
        return factor, self.first.setdefault(tuple(key), shape)

    def visit(self, node: Node) -> None:
        """Counts the uses of a node and, the first time, of its parts."""
        _, shape = self.shape(node)
        self.count[shape] = self.count.get(shape, 0) + 1
        if self.count[shape] == 1:
            for child in children(shape):
                self.visit(child)

    def settle(self, node: Node) -> None:
        """Names the shared parts of a node, innermost first."""
        _, shape = self.shape(node)
        if shape in self.names:
            return
        for child in children(shape):
            self.settle(child)
        if self.count[shape] > 1 and not isinstance(shape, Name | Number | Truth):
            fresh = Name(f"_common_{len(self.names)}")
            self.result[fresh.text] = self.rebuilt(shape)
            self.names[shape] = fresh

    def replaced(self, node: Node) -> Node:
        """The node with shared parts written by name."""
        factor, shape = self.shape(node)
        if shape in self.names:
            return algebra.scale(self.names[shape], factor)
        return self.rebuilt(node)

    def rebuilt(self, node: Node) -> Node:
        """The node with shared parts written by name, itself excepted."""
        go = self.replaced
        match node:
            case Call():
                return Call(node.function, [go(each) for each in node.arguments])
            case Logic():
                return Logic(node.operator, [go(each) for each in node.arguments])
            case Compare():
                return Compare(node.operator, go(node.left), go(node.right))
            case Power():
                return Power(go(node.base), go(node.exponent))
            case Product():
                return Product([(go(base), e) for base, e in node.factors])
            case Sum():
                return Sum(node.constant, [(go(term), c) for term, c in node.terms])
        return node
