"""Spikes for other ranks: only those that have synapses there, two bytes each where that is enough.

A packet holds the spikes of one window that one rank sends to another: 32-bit words (the lower half
of the start of the window, its length in ticks, bytes of an index), the number of spikes of each
tick, then for each spike the index of its neuron among those that the receiver wants of the sender.
Who wants whom is told once, at the beginning, so that the receiver finds its own number of the
neuron at once.

All packets of a window are made in one call: there are as many as ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from biosim.contracts import Ranks
from biosim.events import NEVER, Event, Kind, Mode, Presentation, Tick, Window
from biosim.kernels.decorators import cached
from biosim.spiking.layout import Layout
from biosim.spiking.numbers import Numbers, owned_by_all
from biosim.spiking.rings import Rings

HEAD = 3
"""Words before the counts."""

NOWHERE = Presentation(0, 0, 0, Mode.ANSWER)
"""What spikes belong to: no minibatch."""


class Packets:
    """What a rank sends to each other rank, and how it reads what comes.

    Every rank makes its own at the same time: they tell each other whose spikes they want.

    Args:
        layout: of the network.
        ranks: how this rank talks to the others.
        wanted: (emitting,) whether a neuron has synapses on this rank.
        numbers: of this rank.
    """

    def __init__(
        self, layout: Layout, ranks: Ranks, wanted: npt.NDArray[np.bool_], numbers: Numbers
    ) -> None:
        self._ranks = ranks
        self._actors = len(layout.network.populations)
        firsts, sizes = owned_by_all(layout, ranks.size)
        asked: list[list[Event]] = []
        for r in range(ranks.size):
            ends = zip(firsts[r], firsts[r] + sizes[r], strict=True)
            mask = np.concatenate([np.zeros(0, dtype=bool), *(wanted[lo:hi] for lo, hi in ends)])
            some = r != ranks.rank and mask.any()
            payload = torch.from_numpy(np.packbits(mask))
            asked.append([self._event(0, ranks.rank, r, payload)] if some else [])
        ranks.connect(range(ranks.size))  # a network before this one may have promised less
        arrived, _ = ranks.exchange(asked, NEVER)
        # Of what this rank owns: the first number, and the first index, by population.
        self._begins = numbers.begins[ranks.rank]
        self._bases = _before(sizes[ranks.rank])
        self._theirs = numbers.begins, _before(numbers.counts)
        mine = int(sizes[ranks.rank].sum())
        self._dtype: np.dtype[Any] = np.dtype(np.uint16 if mine < 1 << 16 else np.uint32)
        self._none = self._dtype.type((1 << 8 * self._dtype.itemsize) - 1)
        arrived.sort(key=lambda event: event.source)
        self.to = [event.source - self._actors for event in arrived]
        """The ranks that want spikes of this one."""
        self._places = np.full((mine, len(arrived)), self._none, dtype=self._dtype)
        for r, event in enumerate(arrived):
            assert event.payload is not None
            asks = np.flatnonzero(np.unpackbits(event.payload.numpy(), count=mine))
            self._places[asks, r] = np.arange(len(asks))
        self._sizes = np.zeros(len(arrived), dtype=np.int64)
        self._make_room(0)

    def sent(self, rings: Rings, window: Window) -> list[Event]:
        """Return what of the window's spikes other ranks want.

        Args:
            rings: of this rank's threads; the last one has spikes of other ranks.
            window: whose spikes they are.
        """
        if not self.to:
            return []
        of = self._begins, self._bases, self._places, self._none
        most = _pack(rings.ids, rings.counts, *window, *of, self._words, self._ids, self._sizes)
        if most > self._words.shape[1]:
            self._make_room(most)
            return self.sent(rings, window)
        here, tick = self._ranks.rank, window.end
        return [
            self._event(tick, here, r, torch.from_numpy(self._bytes[n, :size].copy()))
            for n, (r, size) in enumerate(zip(self.to, self._sizes.tolist(), strict=True))
            if size
        ]

    def put(self, events: Sequence[Event], rings: Rings, ring: int, now: Tick) -> None:
        """Add the spikes of packets, of windows before now, to a ring."""
        ids, counts = rings.ids[ring], rings.counts[ring]
        for event in events:
            assert event.payload is not None
            sender = event.source - self._actors
            _unpack(event.payload.numpy(), now, sender, *self._theirs, ids, counts)

    def _make_room(self, words: int) -> None:
        """Let packets have so many words, and some more."""
        self._words = np.empty((len(self.to), words + words // 2), dtype=np.int32)
        self._bytes, self._ids = self._words.view(np.uint8), self._words.view(self._dtype)

    def _event(self, tick: int, source: int, target: int, payload: Tensor) -> Event:
        first = self._actors
        return Event(tick, Kind.SPIKE, first + source, first + target, -1, NOWHERE, payload)


def _before(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return how many come before each, along the last axis."""
    return np.cumsum(sizes, axis=-1) - sizes


@cached
def _pack(
    ring_ids: Any,
    ring_counts: Any,
    start: Any,
    end: Any,
    begins: Any,
    bases: Any,
    places: Any,
    none: Any,
    words: Any,
    ids: Any,
    sizes: Any,
) -> int:
    """Make the packets of a window; return how many words one may need.

    If that is more than there are, nothing is made.

    Args:
        ring_ids: of all rings; the last one has spikes of other ranks.
        ring_counts: of them.
        start: first tick of the window.
        end: of the window.
        begins: (n_populations,) first number of what this rank owns.
        bases: (n_populations,) first index among all that it owns.
        places: (owned, n_packets) index among those that the receiver wants, or `none`.
        none: the receiver does not want the neuron.
        words: (n_packets, words) int32, of the packets.
        ids: the same memory, as indices.
        sizes: (n_packets,) bytes of each; 0 if it has no spikes.
    """
    depth, own = ring_ids.shape[1], ring_ids.shape[0] - 1
    most = 0
    for t in range(own):
        for tick in range(start, end):
            most += ring_counts[t, tick % depth]
    sizes[:] = 0
    if most == 0:
        return 0
    # One place more than there are spikes: what does not count is written, too.
    size = ids.itemsize
    first = HEAD + end - start
    needed = first + ((most + 1) * size + 3) // 4
    if needed > words.shape[1]:
        return int(needed)
    found = sizes
    skipped = first * 4 // size
    for r in range(found.shape[0]):
        words[r, 0], words[r, 1], words[r, 2] = start, end - start, size
    for k in range(end - start):
        place = (start + k) % depth
        for r in range(found.shape[0]):
            words[r, HEAD + k] = -found[r]
        for t in range(own):
            for s in range(ring_counts[t, place]):
                number = np.int64(ring_ids[t, place, s])
                p = begins.shape[0] - 1
                while begins[p] > number:
                    p -= 1
                index = places[number - begins[p] + bases[p]]
                for r in range(index.shape[0]):
                    # Written at once, and kept if it counts: a branch would often be guessed wrong.
                    ids[r, skipped + found[r]] = index[r]
                    found[r] += index[r] != none
        for r in range(found.shape[0]):
            words[r, HEAD + k] += found[r]
    for r in range(found.shape[0]):
        if found[r]:
            ids[r, skipped + found[r]] = 0  # what does not fill a word is sent, too
            sizes[r] = 4 * (first + (found[r] * size + 3) // 4)
    return int(needed)


@cached
def _unpack(
    packet: Any, now: Any, sender: Any, begins: Any, bases: Any, ring_ids: Any, ring_counts: Any
) -> None:
    """Put the spikes of a packet into a ring.

    Args:
        packet: uint8.
        now: a tick that is not before the window's.
        sender: its rank.
        begins: (ranks, n_populations) first number here of what a rank owns.
        bases: (ranks, n_populations) its index among those that are wanted of the rank.
        ring_ids: of the ring.
        ring_counts: of it.
    """
    words, small, large = packet.view(np.int32), packet.view(np.uint16), packet.view(np.uint32)
    length, size = words[1], words[2]
    start = now - ((now - words[0]) & 0xFFFFFFFF)
    begin, base = begins[sender], bases[sender]
    gaps = begin - base
    i = HEAD + length
    if size == 2:
        i *= 2
    for k in range(length):
        place = (start + k) % ring_ids.shape[0]
        ring, m = ring_ids[place], ring_counts[place]
        for _ in range(words[HEAD + k]):
            index = np.int64(small[i]) if size == 2 else np.int64(large[i])
            gap = gaps[0]
            for p in range(1, gaps.shape[0]):  # no branch, which would be guessed wrong
                gap = gaps[p] if index >= base[p] else gap
            ring[m] = index + gap
            m += 1
            i += 1
        ring_counts[place] = m
