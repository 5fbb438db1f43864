"""Spike trains in which a short pattern comes back again and again, hidden in noise.

Every afferent fires at a rate of its own that wanders between 0 and 90 Hz, at least once in
50 ms. Now and then half of them do instead, jittered, what they did in one stretch of 50 ms. To
all spikes are added 10 Hz of noise. Neither rates nor their mean show where the pattern is.

Source: Masquelier, Guyonneau & Thorpe 2008, "Spike trains".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from biosim.draws import Draws
from biosim.kernels.decorators import cached
from biosim.kernels.philox import words
from scenarios.tasks.schema import SECTION_MS, PatternTask

TICKS_A_MS = 10
SOURCE_SECTION = 20
"""The section that the pattern is copied from: by then nothing is left of how rates began."""

MOST_HZ = 90.0
FASTEST_HZ_A_MS = 1.8
"""Of a rate: from nothing to 90 Hz in 50 ms."""

STEP_HZ_A_MS = 0.36
"""Greatest change of that speed in a millisecond."""

BYTES_A_SPIKE = 12
"""Neuron and tick, and what of both is kept."""


@dataclass(frozen=True, eq=False)
class PatternSpikes:
    """Input as drawn.

    Args:
        neurons: (n_spikes,) int32 afferents.
        ticks: (n_spikes,) int32 ticks of 0.1 ms, not decreasing; an afferent spikes once a tick.
        starts: (n,) tick at which each presentation of the pattern begins.
        length: ticks of the whole.
    """

    neurons: npt.NDArray[np.int32]
    ticks: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    length: int


def needed_bytes(of: PatternTask) -> int:
    """Return the memory that drawing takes."""
    return BYTES_A_SPIKE * _room(of.afferents, of.sections * SECTION_MS, of.noise_hz)


def drawn(of: PatternTask, seed: int) -> PatternSpikes:
    """Return the input that belongs to a seed."""
    shown = _shown(of, seed)
    neurons, ticks = _pattern(of, seed)
    starts = np.flatnonzero(shown) * SECTION_MS * TICKS_A_MS
    draws = Draws(seed, "pattern/jitter")
    jitter = draws.normal(np.arange(len(starts)), len(ticks)) * of.jitter_ms * TICKS_A_MS
    pasted = np.rint(starts[:, None] + ticks + jitter).astype(np.int64)
    length = of.sections * SECTION_MS * TICKS_A_MS
    who = np.broadcast_to(neurons, pasted.shape)[(pasted >= 0) & (pasted < length)]
    pasted = pasted[(pasted >= 0) & (pasted < length)]
    order = np.argsort(pasted, kind="stable")
    found_neurons, found_ticks = _spikes(of, seed, shown, who[order], pasted[order])
    return PatternSpikes(found_neurons, found_ticks, starts, length)


def _room(afferents: int, milliseconds: int, noise_hz: float) -> int:
    """Return more spikes than there will be, but for those of the pattern.

    Twice the mean of rates that wander over all of [0, 90 Hz] and of the noise is never reached.
    """
    return int(afferents * milliseconds * 2e-3 * (MOST_HZ + noise_hz)) + 1000


def _shown(of: PatternTask, seed: int) -> npt.NDArray[np.bool_]:
    """Return in which sections the pattern is, (sections,)."""
    shown = np.zeros(of.sections + 2, dtype=np.bool_)
    wanted = of.presentations
    for section in Draws(seed, "pattern/sections").order(of.sections) + 1:
        if wanted and not shown[section - 1 : section + 2].any():
            shown[section] = True
            wanted -= 1
    return shown[1:-1]


def _pattern(of: PatternTask, seed: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return afferents and ticks, from its start, of the pattern's spikes."""
    none = np.zeros(0, dtype=np.int64)
    shown = np.zeros(SOURCE_SECTION + 1, dtype=np.bool_)
    neurons, ticks = _spikes(of, seed, shown, none, none, noise_hz=0.0)
    since = ticks - SOURCE_SECTION * SECTION_MS * TICKS_A_MS
    chosen = (since >= 0) & (neurons < of.involved)
    return neurons[chosen], since[chosen]


def _spikes(
    of: PatternTask,
    seed: int,
    shown: npt.NDArray[np.bool_],
    pasted_neurons: npt.NDArray[Any],
    pasted_ticks: npt.NDArray[Any],
    noise_hz: float | None = None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    noise = of.noise_hz if noise_hz is None else noise_hz
    milliseconds = len(shown) * SECTION_MS
    room = _room(of.afferents, milliseconds, noise) + len(pasted_ticks)
    neurons, ticks = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
    start = Draws(seed, "pattern/start").uniform(np.arange(of.afferents), 2)
    n = _fill(
        *Draws(seed, "pattern/spikes").key,
        start[:, 0] * MOST_HZ,
        (2 * start[:, 1] - 1) * FASTEST_HZ_A_MS,
        shown,
        of.involved,
        noise * 1e-3 * 2.0**32,
        pasted_neurons,
        pasted_ticks,
        neurons,
        ticks,
    )
    return neurons[:n].copy(), ticks[:n].copy()


@cached
def _fill(
    k0: Any,
    k1: Any,
    rate: Any,
    speed: Any,
    shown: Any,
    involved: Any,
    noise: Any,
    pasted_neurons: Any,
    pasted_ticks: Any,
    neurons: Any,
    ticks: Any,
) -> int:
    """Draw all spikes, millisecond by millisecond, in the order of their ticks.

    The words of an afferent and a millisecond are: whether it spikes, in which ticks, how its
    rate's speed changes, whether noise spikes.
    """
    afferents, n, paste = rate.shape[0], 0, 0
    silent = np.zeros(afferents, np.int64)
    last = np.full(afferents, -1, np.int64)
    who = np.empty((TICKS_A_MS, 3 * afferents + 64), np.int32)
    held = np.zeros(TICKS_A_MS, np.int64)
    for ms in range(shown.shape[0] * SECTION_MS):
        replaced = shown[ms // SECTION_MS]
        held[:] = 0
        while paste < pasted_ticks.shape[0] and pasted_ticks[paste] < (ms + 1) * TICKS_A_MS:
            at = pasted_ticks[paste] - ms * TICKS_A_MS
            who[at, held[at]] = pasted_neurons[paste]
            held[at] += 1
            paste += 1
        for i in range(afferents):
            a, b, c, d = words(k0, k1, i, 0, ms, 0)
            silent[i] += 1
            if a < rate[i] * (1e-3 * 4294967296.0) or silent[i] >= SECTION_MS:
                silent[i] = 0
                if not (replaced and i < involved):
                    at = ((b & np.uint32(0xFFFF)) * np.uint32(TICKS_A_MS)) >> np.uint32(16)
                    who[at, held[at]] = i
                    held[at] += 1
            if d < noise:
                at = ((b >> np.uint32(16)) * np.uint32(TICKS_A_MS)) >> np.uint32(16)
                who[at, held[at]] = i
                held[at] += 1
            change = (c * (2.0 / 4294967296.0) - 1.0) * STEP_HZ_A_MS
            speed[i] = min(max(speed[i] + change, -FASTEST_HZ_A_MS), FASTEST_HZ_A_MS)
            rate[i] = min(max(rate[i] + speed[i], 0.0), MOST_HZ)
        for at in range(TICKS_A_MS):
            tick = ms * TICKS_A_MS + at
            for k in range(held[at]):
                i = who[at, k]
                if last[i] != tick:
                    last[i] = tick
                    neurons[n], ticks[n] = i, tick
                    n += 1
    return n
