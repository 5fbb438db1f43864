"""What equations say in text, read leniently, and what to answer where they cannot be read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from biosim.equations.code import EquationError

__all__ = ["unknown", "unreadable", "with_product"]


def with_product(text: str) -> str:
    """The text with a product between a leading number and its unit: 20*ms for 20 ms."""
    number = r"^(\s*[-+]?[\d.]+(?:[eE][-+]?\d+)?)"
    return re.sub(number + r"\s+(?=[A-Za-z_(])(?!or\b|and\b)", r"\1*", text)


def unknown(name: str, candidates: Mapping[str, Any], whose: str, place: str) -> EquationError:
    """What to tell of a name that stands for nothing."""
    close = difflib.get_close_matches(name, list(candidates), 1)
    hint = f"did you mean {close[0]!r}?" if close else "add it to the equations or to `constants`"
    return EquationError(f"{whose}, {place}: the name {name!r} is unknown; {hint}")


def unreadable(model: str, error: Exception, whose: str) -> EquationError:
    """What to tell of a model that Brian2 could not parse."""
    text = str(error)
    at = re.search(r"\(line:\s*(\d+)", text)
    lines = model.splitlines()
    if text.startswith("Parsing failed") and at and int(at.group(1)) <= len(lines):
        line = lines[int(at.group(1)) - 1].strip()
        return EquationError(
            f"{whose}, equation {line!r} cannot be read; write 'dx/dt = ... : unit', "
            "'x = ... : unit' or 'x : unit', one a line"
        )
    return EquationError(f"{whose}, equations: {text.rstrip('.')}; correct the equations")
