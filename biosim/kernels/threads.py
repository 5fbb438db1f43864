"""The barrier at which the threads of one process meet, inside compiled code.

Why not the interpreter's: a network with delays of one tick meets ten thousand times a second of
biological time. Threads spin, and give their core away when a wait is long, so that more threads
than cores are slow but never stuck.

The barrier is an array of 32 int64: [0] how many have come, [8] how often all have met,
[16] whether anyone gave up for good.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import int32, int64, types

from biosim.kernels.decorators import compiled, intrinsic

PATIENCE = 20_000
"""Looks at the barrier before the core is given away."""

_yield = types.ExternalFunction("sched_yield", int32())


def _pointer(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.gep(array.data, [args[1]])


@intrinsic
def add_atomic(typingctx: Any, array: Any, index: Any, amount: Any) -> Any:
    """Add to `array[index]` in one step; return the value before."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature, args)
        return builder.atomic_rmw("add", pointer, args[2], "seq_cst")

    return int64(types.Array(int64, 1, "C"), int64, int64), codegen


@intrinsic
def load_atomic(typingctx: Any, array: Any, index: Any) -> Any:
    """Return `array[index]` as the other threads have left it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature, args)
        return builder.load_atomic(pointer, "seq_cst", 8)

    return int64(types.Array(int64, 1, "C"), int64), codegen


@intrinsic
def store_atomic(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Set `array[index]` for all threads to see."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature, args)
        builder.store_atomic(args[2], pointer, "seq_cst", 8)
        return ir.Constant(ir.IntType(64), 0)

    return int64(types.Array(int64, 1, "C"), int64, int64), codegen


@compiled
def meet(barrier: Any, threads: Any) -> bool:
    """Wait for the other threads; return whether one of them will never come.

    If all came, it is False, even if one gave up since: what was begun together is done by all,
    so that where a run stops does not depend on who is slow.
    """
    meeting = load_atomic(barrier, 8)
    if add_atomic(barrier, 0, 1) == threads - 1:
        store_atomic(barrier, 0, 0)
        add_atomic(barrier, 8, 1)
        return False
    looks = 0
    while load_atomic(barrier, 8) == meeting and load_atomic(barrier, 16) == 0:
        looks += 1
        if looks > PATIENCE:
            _yield()
    alone: bool = load_atomic(barrier, 8) == meeting
    return alone


@compiled
def give_up(barrier: Any) -> None:
    """Let the others go: this thread does not come any more."""
    store_atomic(barrier, 16, 1)
