"""Expressions to syntax trees, one at a time.

Why a lock: CPython 3.11 counts the depth of the tree that it builds for all threads together, and
fails now and then where two of them parse at once, as pretend ranks do.
"""

from __future__ import annotations

import ast
import threading

_ALONE = threading.Lock()


def expression_of(text: str) -> ast.Expression:
    """Return the tree of an expression.

    Raises:
        SyntaxError: it is none.
    """
    with _ALONE:
        return ast.parse(text, mode="eval")
