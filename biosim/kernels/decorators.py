"""numba's decorators as they are used here: with types, and with the same options everywhere.

Why not numba's own: they have no types, so that whatever they wrap would have none either, and
options that differ from kernel to kernel would give a neuron other bits in another place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numba.extending

Function = TypeVar("Function", bound=Callable[..., Any])

_ONLY_FROM_PYTHON: dict[str, Any] = {"no_cfunc_wrapper": True}
"""No way in from C, which would take time to compile; numba's types do not know the option."""


def compiled(function: Function) -> Function:
    """Compile a function that gives the interpreter's lock away; division by 0 gives inf."""
    return cast(Function, numba.njit(nogil=True, error_model="numpy")(function))


def cached(function: Function) -> Function:
    """Compile a function in the same way, and keep the machine code on disk."""
    options = {"nogil": True, "cache": True, **_ONLY_FROM_PYTHON}
    return cast(Function, numba.njit(error_model="numpy", **options)(function))


def part(function: Function) -> Function:
    """Compile a function that only compiled ones call: without a way in, it takes less time."""
    options = {"no_cpython_wrapper": True, **_ONLY_FROM_PYTHON}
    return cast(Function, numba.njit(error_model="numpy", **options)(function))


def inlined(function: Function) -> Function:
    """Put a function's code where it is called, so that the loop around it vectorises."""
    return cast(Function, numba.njit(inline="always", error_model="numpy")(function))


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that writes its own machine code; callers leave out `typingctx`."""
    return cast(Callable[..., Any], numba.extending.intrinsic(function))
