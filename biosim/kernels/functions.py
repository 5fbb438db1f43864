"""Functions of scalar code, inlined so that the loops around them vectorise.

Why not the C library's exp: it is a call, and a call ends vectorisation. These polynomials are
the same arithmetic in every lane and in the remainder of a loop, so that the bits of a neuron
do not depend on where it stands.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import float32, float64, int32, int64, types

from biosim.kernels.decorators import inlined, intrinsic

_LOG2_E = math.log2(math.e)
# ln 2 in two parts; the first has zeros at its end, so that n x LN2_HIGH is exact.
_LN2_HIGH_32, _LN2_LOW_32 = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LN2_HIGH_64 = float.fromhex("0x1.62e42fee00000p-1")
_LN2_LOW_64 = float.fromhex("0x1.a39ef35793c76p-33")


@intrinsic
def bits_as_float32(typingctx: Any, bits: Any) -> Any:
    """Return the float32 that has the bits of an int32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return float32(int32), codegen


@intrinsic
def bits_as_float64(typingctx: Any, bits: Any) -> Any:
    """Return the float64 that has the bits of an int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return float64(int64), codegen


@intrinsic
def nearest(typingctx: Any, x: Any) -> Any:
    """Return the nearest whole number, as a float of the same kind; halves go to even."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = args[0].type
        rint = builder.module.declare_intrinsic("llvm.nearbyint", [kind])
        return builder.call(rint, [args[0]])

    if x not in (types.float32, types.float64):
        return None
    return x(x), codegen


@inlined
def exp32(x: Any) -> Any:
    """Return exp(x) in float32; relative error below 1.3e-7 (Cephes' expf polynomial).

    Beyond the range of a float32 it stays at the range's ends, and is never infinite.
    """
    x = min(max(x, np.float32(-87.3)), np.float32(88.7))
    n = nearest(x * np.float32(_LOG2_E))
    r = (x - n * _LN2_HIGH_32) - n * _LN2_LOW_32
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = (p * (r * r) + r) + np.float32(1.0)
    # In two steps: n may be 128, whose power of two is no float32.
    half = np.int32(n) >> np.int32(1)
    rest = np.int32(n) - half
    p = p * bits_as_float32((half + np.int32(127)) << np.int32(23))
    return p * bits_as_float32((rest + np.int32(127)) << np.int32(23))


@inlined
def exp64(x: Any) -> Any:
    """Return exp(x) in float64; relative error below 3e-16 (Taylor of degree 13 on |r| < .35)."""
    x = min(max(x, -708.0), 709.7)
    n = nearest(x * _LOG2_E)
    r = (x - n * _LN2_HIGH_64) - n * _LN2_LOW_64
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = (p * (r * r) + r) + 1.0
    half = np.int64(n) >> np.int64(1)
    rest = np.int64(n) - half
    p = p * bits_as_float64((half + np.int64(1023)) << np.int64(52))
    return p * bits_as_float64((rest + np.int64(1023)) << np.int64(52))


@inlined
def exprel32(x: Any) -> Any:
    """Return (exp(x) - 1) / x, 1 at 0, in float32; relative error below 4e-7 for |x| < 80."""
    p = np.float32(1.0 / 40320.0)
    p = p * x + np.float32(1.0 / 5040.0)
    p = p * x + np.float32(1.0 / 720.0)
    p = p * x + np.float32(1.0 / 120.0)
    p = p * x + np.float32(1.0 / 24.0)
    p = p * x + np.float32(1.0 / 6.0)
    p = p * x + np.float32(0.5)
    p = p * x + np.float32(1.0)
    near = abs(x) < np.float32(0.5)
    far = (exp32(x) - np.float32(1.0)) / (np.float32(1.0) if near else x)
    return p if near else far


@inlined
def exprel64(x: Any) -> Any:
    """Return (exp(x) - 1) / x, 1 at 0, in float64; relative error below 1.4e-15."""
    p = 1.0 / 87178291200.0
    p = p * x + 1.0 / 6227020800.0
    p = p * x + 1.0 / 479001600.0
    p = p * x + 1.0 / 39916800.0
    p = p * x + 1.0 / 3628800.0
    p = p * x + 1.0 / 362880.0
    p = p * x + 1.0 / 40320.0
    p = p * x + 1.0 / 5040.0
    p = p * x + 1.0 / 720.0
    p = p * x + 1.0 / 120.0
    p = p * x + 1.0 / 24.0
    p = p * x + 1.0 / 6.0
    p = p * x + 0.5
    p = p * x + 1.0
    near = abs(x) < 0.5
    far = (exp64(x) - 1.0) / (1.0 if near else x)
    return p if near else far
