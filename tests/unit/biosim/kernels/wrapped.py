"""Kernels as generated code calls them: compiled once, and kept with all that was compiled."""

import functools
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from biosim.kernels import delivery, noise, sources
from biosim.kernels.compiled import module_of

DT = 1e-4


def written(text: str, precision: str = "float64") -> ModuleType:
    """The module of a text: functions marked `@compiled`."""
    return module_of(text, precision, DT)


@functools.cache
def kernel(name: str, precision: str = "float64") -> Callable[..., Any]:
    """A kernel of `biosim.kernels`, by name."""
    home = next(module for module in (delivery, noise, sources) if hasattr(module, name))
    names = ", ".join(inspect.signature(getattr(home, name)).parameters)
    text = f"@compiled\ndef called({names}):\n    return {name}({names})\n"
    return written(text, precision).called
