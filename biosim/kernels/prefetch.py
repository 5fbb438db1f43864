"""Fetching memory before it is needed.

Why: the synapses of a spike lie anywhere in gigabytes; asked for a few spikes ahead, they arrive
while others are being delivered.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from biosim.kernels.decorators import intrinsic


@intrinsic
def prefetch(typingctx: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of `array[index]`; the index may lie one behind the end."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        laid_out = context.make_array(kind)(context, builder, args[0])
        at = builder.sext(args[1], ir.IntType(64)) if signature.args[1].bitwidth < 64 else args[1]
        pointer = builder.bitcast(builder.gep(laid_out.data, [at]), cgutils.voidptr_t)
        word = ir.IntType(32)
        declared = builder.module.declare_intrinsic(
            "llvm.prefetch.p0",
            (),
            ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, word, word, word]),
        )
        builder.call(declared, [pointer, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.none(array, index), codegen
