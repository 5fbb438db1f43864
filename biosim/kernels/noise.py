"""Random numbers of neurons, tick by tick: words, Poisson counts, normal numbers.

A draw is a function of (seed, purpose, neuron, tick) alone (`biosim.draws` has the why). Here
one Philox4x32-10 counter serves four neurons: the counter (64 b + c, stream, tick) gives its four
words to the neurons 256 b + c, + 64, + 128 and + 192 of the population, so that the words of a
block of 256 neurons, the unit of ownership, fill four contiguous stretches.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from biosim.kernels.decorators import compiled

BLOCK = 256
"""Neurons that are always owned together."""

MOST_EACH = 1000
"""Greatest count where neurons have means of their own, which stay below 100."""

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@compiled
def fill_words(key: Any, stream: Any, tick: Any, first: Any, words: Any) -> None:
    """Fill words (n,), n a multiple of 256, for the neurons from `first`, a multiple of 256."""
    low, high = np.uint64(tick) & _LOW, np.uint64(tick) >> _HALF
    for block in range(words.shape[0] // 256):
        base = np.uint64((first // 256 + block) * 64)
        a = words[block * 256 : block * 256 + 64]
        b = words[block * 256 + 64 : block * 256 + 128]
        c = words[block * 256 + 128 : block * 256 + 192]
        d = words[block * 256 + 192 : block * 256 + 256]
        for i in range(64):
            c0, c1, c2, c3 = base + np.uint64(i), np.uint64(stream), low, high
            k0, k1 = np.uint64(key[0]), np.uint64(key[1])
            for _ in range(10):
                p0, p1 = _M0 * c0, _M1 * c2
                c0 = (p1 >> _HALF) ^ c1 ^ k0
                c2 = (p0 >> _HALF) ^ c3 ^ k1
                c1 = p1 & _LOW
                c3 = p0 & _LOW
                k0 = (k0 + _W0) & _LOW
                k1 = (k1 + _W1) & _LOW
            a[i] = np.uint32(c0)
            b[i] = np.uint32(c1)
            c[i] = np.uint32(c2)
            d[i] = np.uint32(c3)


def poisson_table(mean: float) -> npt.NDArray[np.uint32]:
    """Return thresholds (m,): a uniform word has the Poisson count of how many it reaches.

    The tail beyond 2^-32 is cut off.

    Args:
        mean: expected count, at least 0.
    """
    thresholds = []
    log_chance, below, k = -mean, 0.0, 0
    while True:
        below += math.exp(log_chance)
        threshold = round(below * 2.0**32)
        if threshold >= 2**32 - 1 and k >= mean:
            break
        thresholds.append(min(threshold, 2**32 - 1))
        k += 1
        log_chance += math.log(mean / k) if mean > 0 else -math.inf
    return np.array(thresholds, dtype=np.uint32)


@compiled
def add_poisson(words: Any, thresholds: Any, weight: Any, acc: Any) -> None:
    """Add the Poisson count of each word times `weight` to acc (n,)."""
    m = thresholds.shape[0]
    n = acc.shape[0]
    if m <= 48:
        for lo in range(0, n, 256):
            u = words[lo : lo + 256]
            a = acc[lo : min(lo + 256, n)]
            for j in range(0, m - 3, 4):  # four at a time: a quarter of the loads and stores
                t0, t1 = thresholds[j], thresholds[j + 1]
                t2, t3 = thresholds[j + 2], thresholds[j + 3]
                for i in range(a.shape[0]):
                    word = u[i]
                    reached = np.int32(word >= t0) + np.int32(word >= t1)
                    reached += np.int32(word >= t2) + np.int32(word >= t3)
                    a[i] += weight * reached
            for j in range(m - m % 4, m):
                t0 = thresholds[j]
                for i in range(a.shape[0]):
                    a[i] += weight * np.int32(u[i] >= t0)
    else:
        for i in range(n):
            lo, hi = 0, m
            while lo < hi:
                mid = (lo + hi) // 2
                if words[i] >= thresholds[mid]:
                    lo = mid + 1
                else:
                    hi = mid
            acc[i] += weight * np.int32(lo)


@compiled
def add_poisson_each(words: Any, means: Any, weight: Any, acc: Any) -> None:
    """Add Poisson counts times `weight` to acc (n,), by inversion; means (n,) may differ."""
    for i in range(acc.shape[0]):
        u = (words[i] + 0.5) * 2.0**-32
        count = 0
        chance = math.exp(-means[i])
        below = chance
        while u > below and count < MOST_EACH:
            count += 1
            chance *= means[i] / count
            below += chance
        acc[i] += weight * np.int32(count)


@compiled
def fill_normal(key: Any, stream: Any, tick: Any, first: Any, words: Any, out: Any) -> None:
    """Fill out (n,) with standard normal numbers (Box and Muller 1958), from two words each."""
    scale = 2.0**-32
    fill_words(key, np.int64(2) * stream, tick, first, words)
    n = out.shape[0]
    for i in range(n):
        out[i] = math.sqrt(-2.0 * math.log((words[i] + 0.5) * scale))
    fill_words(key, np.int64(2) * stream + np.int64(1), tick, first, words)
    for i in range(n):
        out[i] *= math.cos(2.0 * math.pi * (words[i] + 0.5) * scale)


@compiled
def fill_uniform(key: Any, stream: Any, tick: Any, first: Any, words: Any, out: Any) -> None:
    """Fill out (n,) with numbers in the open interval (0, 1)."""
    fill_words(key, np.int64(2) * stream, tick, first, words)
    for i in range(out.shape[0]):
        out[i] = (words[i] + 0.5) * 2.0**-32
