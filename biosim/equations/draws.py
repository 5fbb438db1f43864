"""Random numbers in equations: each call becomes a name, which whoever runs the code fills."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

__all__ = ["DrawNames"]


@dataclass
class DrawNames:
    """Gives every `rand()` and `randn()` in a text a name of its own.

    Args:
        uniform: names given to `rand()` so far.
        noise: names given to `randn()` so far.
    """

    DRAW: ClassVar = "_draw"

    uniform: list[str] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)

    @staticmethod
    def silent(text: str) -> str:
        """The text with one name in place of every call, for looking at it only."""
        return re.sub(r"\brandn?\s*\(\s*\)", DrawNames.DRAW, text)

    def named(self, text: str) -> str:
        """The text with a name in place of every call."""

        def name(found: re.Match[str]) -> str:
            which, label = (self.noise, "noise") if found.group(1) else (self.uniform, "uniform")
            which.append(f"_{label}_{len(which)}")
            return which[-1]

        return re.sub(r"\brand(n?)\s*\(\s*\)", name, text)
