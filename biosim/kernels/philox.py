"""Philox4x32-10 compiled: the words of `biosim.draws`, bit for bit.

Words live in uint64 variables with their upper half zero: numba turns shifts and products of
uint32 into 64 bits anyway, and so nothing is carried where it does not belong.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from biosim.kernels.decorators import cached, inlined

_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _HALF_WORD = np.uint64(0xFFFFFFFF), np.uint64(32)


@inlined
def words(k0: Any, k1: Any, c0: Any, c1: Any, c2: Any, c3: Any) -> Any:
    """Return four uint32 words of the counter (c0, c1, c2, c3) under the key (k0, k1).

    Each argument is any integer; its low 32 bits count.
    """
    a, b = np.uint64(c0) & _LOW, np.uint64(c1) & _LOW
    c, d = np.uint64(c2) & _LOW, np.uint64(c3) & _LOW
    x, y = np.uint64(k0) & _LOW, np.uint64(k1) & _LOW
    for _ in range(10):
        p, q = _MULTIPLIER_0 * a, _MULTIPLIER_1 * c
        a, b = (q >> _HALF_WORD) ^ b ^ x, q & _LOW
        c, d = (p >> _HALF_WORD) ^ d ^ y, p & _LOW
        x, y = (x + _WEYL_0) & _LOW, (y + _WEYL_1) & _LOW
    return np.uint32(a), np.uint32(b), np.uint32(c), np.uint32(d)


@cached
def fill_planes(k0: Any, k1: Any, entity: Any, counter: Any, first: Any, planes: Any) -> None:
    """Fill planes, uint32 (4, n): word 4 (first + i) + k of an entity stands at [k, i].

    Four planes, since a loop that writes them vectorises. The entity's words are those of
    `Draws.words(entity, ..., counter)`.
    """
    low, high = np.uint64(entity) & _LOW, np.uint64(entity) >> _HALF_WORD
    o0, o1, o2, o3 = planes[0], planes[1], planes[2], planes[3]
    for i in range(planes.shape[1]):
        o0[i], o1[i], o2[i], o3[i] = words(k0, k1, low, high, first + i, counter)
