"""Neurons that spike without equations: at random, or when they are told."""

from __future__ import annotations

from typing import Any

import numpy as np

from biosim.kernels.decorators import compiled


@compiled
def emit_random(words: Any, thresholds: Any, first: Any, ids: Any) -> int:
    """Emit the sources whose word is below their threshold; return how many.

    Args:
        words: (n,) uniform 32-bit words of this tick.
        thresholds: (n,) uint32, 2^32 times the chance of a spike.
        first: number of the first source.
        ids: where the numbers of those that spike go.
    """
    m = 0
    for i in range(thresholds.shape[0]):
        if words[i] < thresholds[i]:
            ids[m] = first + i
            m += 1
    return m


@compiled
def may_fire(thresholds: Any) -> bool:
    """Return whether any of the thresholds (n,) is above 0; if not, nobody needs to draw."""
    together = np.uint32(0)
    for i in range(thresholds.shape[0]):
        together |= thresholds[i]
    return bool(together != 0)


@compiled
def emit_listed(tick: Any, ticks: Any, listed: Any, position: Any, ids: Any) -> int:
    """Emit what is listed for this tick; return how many.

    Args:
        tick: now.
        ticks: (n_spikes,) in order.
        listed: (n_spikes,) numbers of the sources.
        position: (1,) the next one; moved on.
        ids: where the numbers go.
    """
    m, p = 0, position[0]
    while p < ticks.shape[0] and ticks[p] <= tick:
        if ticks[p] == tick:
            ids[m] = listed[p]
            m += 1
        p += 1
    position[0] = p
    return m
