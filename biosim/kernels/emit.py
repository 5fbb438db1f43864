"""Scalar code printed as numba source."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Literal

from biosim.syntax import expression_of

Precision = Literal["float32", "float64"]

_OWN = {"exp": "exp", "exprel": "exprel"}
"""Functions that have a vectorising form of their own in `kernels.functions`."""

_NUMPY = frozenset(
    {"log", "log10", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh"}
    | {"arcsin", "arccos", "arctan", "floor", "ceil", "sign"}
)


class _Printer(ast.NodeVisitor):
    """Prints an expression; floats become literals of the precision."""

    def __init__(self, precision: Precision, names: Mapping[str, str]) -> None:
        self._bits = precision[-2:]
        self._names = names

    def visit_Expression(self, node: ast.Expression) -> str:
        return str(self.visit(node.body))

    def visit_Constant(self, node: ast.Constant) -> str:
        if isinstance(node.value, bool):
            return repr(node.value)
        if isinstance(node.value, int | float):
            # Infinity is written as 1e999, whose repr is a name.
            value = float(node.value)
            return "F(np.inf)" if value == float("inf") else f"F({value!r})"
        raise ValueError(f"{node.value!r} is no number")

    def visit_Name(self, node: ast.Name) -> str:
        if node.id == "inf":
            return "F(np.inf)"
        return self._names.get(node.id, node.id)

    def visit_BinOp(self, node: ast.BinOp) -> str:
        left, right = self.visit(node.left), self.visit(node.right)
        signs = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%"}
        if isinstance(node.op, ast.Pow):
            return f"F(({left}) ** ({right}))"
        return f"({left} {signs[type(node.op)]} {right})"

    def visit_UnaryOp(self, node: ast.UnaryOp) -> str:
        inner = self.visit(node.operand)
        if isinstance(node.op, ast.Not):
            return f"(not {inner})"
        return f"(-{inner})" if isinstance(node.op, ast.USub) else inner

    def visit_BoolOp(self, node: ast.BoolOp) -> str:
        # Without short circuits, which are branches.
        sign = " & " if isinstance(node.op, ast.And) else " | "
        # A name of the statements' own may hold what is true as a number, which & does not take.
        truths = (
            f"({self.visit(value)}{' != 0' if isinstance(value, ast.Name) else ''})"
            for value in node.values
        )
        return "(" + sign.join(truths) + ")"

    def visit_Compare(self, node: ast.Compare) -> str:
        signs = {
            ast.Lt: "<",
            ast.LtE: "<=",
            ast.Gt: ">",
            ast.GtE: ">=",
            ast.Eq: "==",
            ast.NotEq: "!=",
        }
        parts, left = [], self.visit(node.left)
        for sign, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.visit(comparator)
            parts.append(f"({left} {signs[type(sign)]} {right})")
            left = right
        return parts[0] if len(parts) == 1 else "(" + " & ".join(parts) + ")"

    def visit_IfExp(self, node: ast.IfExp) -> str:
        body, test, other = (self.visit(part) for part in (node.body, node.test, node.orelse))
        return f"({body} if {test} else {other})"

    def visit_Call(self, node: ast.Call) -> str:
        assert isinstance(node.func, ast.Name)
        name, args = node.func.id, [self.visit(argument) for argument in node.args]
        if name in _OWN:
            return f"{_OWN[name]}{self._bits}({args[0]})"
        if name in _NUMPY:
            return f"F(np.{name}({args[0]}))"
        if name == "abs":
            return f"abs({args[0]})"
        if name == "int":
            return f"F(np.int64({args[0]}))"
        if name == "where":
            return f"({args[1]} if {args[0]} else {args[2]})"
        if name == "clip":
            return f"min(max({args[0]}, {args[1]}), {args[2]})"
        raise ValueError(f"no function {name}")

    def generic_visit(self, node: ast.AST) -> str:
        raise ValueError(f"{ast.dump(node)} cannot be compiled")


def printed(expression: str, precision: Precision, names: Mapping[str, str] | None = None) -> str:
    """Return the expression as numba source.

    Args:
        expression: scalar code (`biosim.equations.code`).
        precision: of every number in it.
        names: names to print in place of others.
    """
    return str(_Printer(precision, names or {}).visit(expression_of(expression)))


def names_in(expression: str) -> set[str]:
    """Return the names that an expression uses, functions left out."""
    tree = expression_of(expression)
    calls = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in calls
    }


def renamed(expression: str, names: Mapping[str, str]) -> str:
    """Return the scalar code with other names, or numbers, in place of names."""
    tree = expression_of(expression)
    return ast.unparse(_Renaming(names).visit(tree))


class _Renaming(ast.NodeTransformer):
    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id not in self._names:
            return node
        return expression_of(self._names[node.id]).body
