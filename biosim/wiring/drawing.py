"""The compiled part of wiring: what is drawn for the synapses of a stretch of targets.

A target's synapses are numbered in the order of its list; synapse n of target t takes word n of
entity t (`biosim.draws`), so nothing depends on which targets are drawn together. Beyond words
there are only +, -, *, / and square roots, so that every machine gets the same bits: no libm.

`indptr`, int64 (n_targets + 1,), says where each target's list begins and ends.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import float64, int64, njit
from numba.extending import intrinsic

from biosim.kernels.philox import fill_planes, words

compiled = njit(cache=True, nogil=True, error_model="numpy")
inlined = njit(inline="always", error_model="numpy")

_UNIT = 2.0**-32
_FAR = 2.0**40
_HALF_WORD = np.uint64(32)
_SQRT_2 = math.sqrt(2.0)
_LN_2 = math.log(2.0)
_MANTISSA, _ONE = np.int64(0x000FFFFFFFFFFFFF), np.int64(0x3FF0000000000000)


def _as_bits(typingctx: Any, x: Any) -> Any:
    """Return the bits of a float64 as an int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return int64(float64), codegen


def _as_number(typingctx: Any, bits: Any) -> Any:
    """Return the float64 that has the bits of an int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return float64(int64), codegen


_bits: Any = intrinsic(_as_bits)
_from_bits: Any = intrinsic(_as_number)


@inlined
def log(x: Any) -> Any:
    """Return the natural logarithm of a normal, positive number; relative error below 1e-15."""
    bits = _bits(x)
    mantissa = _from_bits((bits & _MANTISSA) | _ONE)
    exponent = float((bits >> np.int64(52)) - np.int64(1023))
    high = mantissa > _SQRT_2
    mantissa = 0.5 * mantissa if high else mantissa
    exponent = exponent + 1.0 if high else exponent
    s = (mantissa - 1.0) / (mantissa + 1.0)
    z = s * s
    p = 1.0 / 21.0
    for n in range(19, 0, -2):
        p = p * z + 1.0 / n
    return exponent * _LN_2 + 2.0 * s * p


# --- words


@compiled
def draw_words(k0: Any, k1: Any, lo: Any, indptr: Any, counter: Any, planes: Any, out: Any) -> None:
    """Fill out, uint32 (n_synapses,), with one word a synapse of the targets from `lo`.

    `planes`, uint32 (4, 64), is where words are made.
    """
    for r in range(indptr.shape[0] - 1):
        row = out[indptr[r] : indptr[r + 1]]
        for start in range(0, row.shape[0], 256):
            part = row[start : start + 256]
            fill_planes(k0, k1, lo + r, counter, start // 4, planes)
            whole = part.shape[0] // 4
            a, b, c, d = planes[0], planes[1], planes[2], planes[3]
            for i in range(whole):
                part[4 * i] = a[i]
                part[4 * i + 1] = b[i]
                part[4 * i + 2] = c[i]
                part[4 * i + 3] = d[i]
            for rest in range(4 * whole, part.shape[0]):
                part[rest] = planes[rest - 4 * whole, whole]


@compiled
def choose(drawn: Any, indptr: Any, lo: Any, n_pre: Any, selves: Any) -> None:
    """Turn words (n_synapses,) into sources, in place; with repetition.

    A word picks source word x n / 2^32 (Lemire 2019, "Fast random integer generation in an
    interval"), without his rejection: chances differ by less than n / 2^32 of themselves.
    """
    for r in range(indptr.shape[0] - 1):
        own = lo + r
        row = drawn[indptr[r] : indptr[r + 1]]
        if selves or own >= n_pre:
            n = np.uint64(n_pre)
            for i in range(row.shape[0]):
                row[i] = np.uint32((np.uint64(row[i]) * n) >> _HALF_WORD)
        else:
            n = np.uint64(n_pre - 1)
            for i in range(row.shape[0]):
                source = np.int64((np.uint64(row[i]) * n) >> _HALF_WORD)
                row[i] = np.uint32(source + 1 if source >= own else source)


@compiled
def choose_distinct(drawn: Any, indptr: Any, lo: Any, n_pre: Any, selves: Any, taken: Any) -> None:
    """Turn words (n_synapses,) into sources, in place; none twice for a target.

    Robert Floyd's sampling (Bentley and Floyd 1987, "A sample of brilliance"): one word each.
    `taken`, bool (n_pre,), is all False before and after.
    """
    for r in range(indptr.shape[0] - 1):
        own = lo + r
        row = drawn[indptr[r] : indptr[r + 1]]
        apart = not selves and own < n_pre
        n = n_pre - 1 if apart else n_pre
        first = n - row.shape[0]
        for i in range(row.shape[0]):
            last = first + i
            source = np.int64((np.uint64(row[i]) * np.uint64(last + 1)) >> _HALF_WORD)
            if taken[source]:
                source = last
            taken[source] = True
            row[i] = np.uint32(source)
        for i in range(row.shape[0]):
            source = np.int64(row[i])
            taken[source] = False
            if apart and source >= own:
                row[i] = np.uint32(source + 1)


@compiled
def skip_through(
    k0: Any,
    k1: Any,
    lo: Any,
    n_pre: Any,
    selves: Any,
    per_log: Any,
    planes: Any,
    skips: Any,
    indptr: Any,
    out: Any,
) -> int:
    """Fill the sources of targets from `lo` by geometric skips; return how many there are.

    Args:
        k0: key.
        k1: its second word.
        lo: first target.
        n_pre: number of sources.
        selves: whether a neuron may be joined to itself.
        per_log: 1 / log(1 - p).
        planes: uint32 (4, n), where 4 n words are made at once.
        skips: int64 (4 n,), where they become skips.
        indptr: filled.
        out: uint32; what does not fit is counted and not written.
    """
    total = 0
    batch = planes.shape[1]
    indptr[0] = 0
    for r in range(indptr.shape[0] - 1):
        own = lo + r
        apart = not selves and own < n_pre
        n = n_pre - 1 if apart else n_pre
        position, first = np.int64(-1), np.int64(0)
        while position < n:
            fill_planes(k0, k1, own, np.int64(0), first, planes)
            first += batch
            for k in range(4):
                plane = planes[k]
                for i in range(batch):
                    # More than 2^40 sources there are not, and an int64 holds it.
                    skip = log((float(plane[i]) + 0.5) * _UNIT) * per_log
                    skips[4 * i + k] = np.int64(skip if skip < _FAR else _FAR)
            for i in range(4 * batch):
                position += 1 + skips[i]
                if position >= n:
                    break
                if total < out.shape[0]:
                    shift = 1 if apart and position >= own else 0
                    out[total] = np.uint32(position + shift)
                total += 1
        indptr[r + 1] = total
    return total


# --- how a total is shared out


@inlined
def _stirling(n: Any) -> Any:
    """Return log(n!) less Stirling's approximation, for n >= 16."""
    m = 1.0 / (n * n)
    return (1.0 / 12.0 - m * (1.0 / 360.0 - m * (1.0 / 1260.0 - m * (1.0 / 1680.0)))) / n


@inlined
def _deviance(x: Any, mean: Any) -> Any:
    """Return x log(x / mean) + mean - x, for x within one of the mean (Loader 2000)."""
    v = (x - mean) / (x + mean)
    total, term = (x - mean) * v, 2.0 * x * v
    for n in range(3, 15, 2):
        term *= v * v
        total += term / n
    return total


@compiled
def binomial(u: Any, n: Any, p: Any) -> Any:
    """Return the binomial number of n trials of chance p that the uniform u picks.

    By inversion from the mode outwards, in a number of steps like the standard deviation. The
    chance of the mode is Loader's saddle point ("Fast and accurate computation of binomial
    probabilities", 2000).
    """
    q = 1.0 - p
    mode = np.int64((n + 1) * p)
    if min(mode, n - mode) < 16:
        mode = np.int64(0)
        chance = 1.0
        for _ in range(n):
            chance *= q
    else:
        x, y = float(mode), float(n - mode)
        exponent = _stirling(float(n)) - _stirling(x) - _stirling(y)
        exponent -= _deviance(x, n * p) + _deviance(y, n * q)
        series, term = 1.0, 1.0
        for k in range(1, 12):
            term *= exponent / k
            series += term
        chance = series * math.sqrt(float(n) / (2.0 * math.pi * x * y))
    u -= chance
    up, down = mode, mode
    above, below = chance, chance
    while u >= 0.0 and (up < n or down > 0) and (max(above, below) > 1e-30 or up < n * p):
        if up < n:
            above *= float(n - up) / float(up + 1) * (p / q)
            up += 1
            u -= above
            if u < 0.0:
                return up
        if down > 0:
            below *= float(down) / float(n - down + 1) * (q / p)
            down -= 1
            u -= below
            if u < 0.0:
                return down
        else:
            below = 0.0
    return mode


@compiled
def share_out(k0: Any, k1: Any, total: Any, n: Any, lo: Any, stack: Any, numbers: Any) -> None:
    """Fill numbers, int64 (hi - lo,): how many of `total` fall on targets lo .. hi of n.

    The targets are halved again and again; how many of a stretch fall on its left half is
    binomial, drawn for the entity that the right half begins with. Only stretches that touch
    [lo, hi) are visited, and the whole always adds up to the total. `stack`, int64 (3, 64), is
    where stretches wait.
    """
    hi = lo + numbers.shape[0]
    begins, ends, shares = stack[0], stack[1], stack[2]
    begins[0], ends[0], shares[0] = 0, n, total
    depth = 1
    while depth:
        depth -= 1
        begin, end, share = begins[depth], ends[depth], shares[depth]
        if end <= lo or begin >= hi:
            continue
        if end - begin == 1:
            numbers[begin - lo] = share
            continue
        middle = (begin + end) // 2
        low, high = middle & np.int64(0xFFFFFFFF), middle >> np.int64(32)
        a, b, _, _ = words(k0, k1, low, high, 0, 0)
        u = (float(a) + (float(b) + 0.5) * _UNIT) * _UNIT
        left = binomial(u, share, float(middle - begin) / float(end - begin))
        begins[depth], ends[depth], shares[depth] = middle, end, share - left
        begins[depth + 1], ends[depth + 1], shares[depth + 1] = begin, middle, left
        depth += 2
