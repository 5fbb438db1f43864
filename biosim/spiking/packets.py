"""Spikes for other ranks: only those that have synapses there, two bytes each where that is enough.

A packet holds the spikes of one window that one rank sends to another: 32-bit words (start of the
window, its length in ticks, bytes of an index), the number of spikes of each tick, then for each
spike the index of its neuron among those that the receiver wants of the sender. Who wants whom is
told once, at the beginning, so that the receiver finds its own number of the neuron at once.

All packets of a window are made, and read, in one call: there are as many as ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from biosim.contracts import Ranks
from biosim.events import NEVER, Event, Kind, Mode, Presentation, Window
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

    def sent(self, rings: Rings, window: Window) -> list[Event]:
        """Return what of the window's spikes other ranks want.

        Args:
            rings: of this rank's threads; the last one has spikes of other ranks.
            window: whose spikes they are.
        """
        length = window.end - window.start
        most = int(rings.counts[:-1, np.arange(*window) % rings.depth].sum())
        if not most or not self.to:
            return []
        size = self._dtype.itemsize
        # One place more than there are spikes: what does not count is written, too.
        room = HEAD + length + -(-(most + 1) * size // 4)
        packed = np.zeros((len(self.to), room), dtype=np.int32)
        packed[:, :HEAD] = window.start, length, size
        ids = packed[:, HEAD + length :].view(self._dtype)
        found = np.zeros(len(self.to), dtype=np.int64)
        own = self._begins, self._bases
        _pack(rings.ids, rings.counts, *own, self._places, self._none, packed, ids, found)
        words = HEAD + length + -(-found * size // 4)
        here = self._ranks.rank
        return [
            self._event(window.end, here, r, torch.from_numpy(packed[n, : words[n]].view(np.uint8)))
            for n, r in enumerate(self.to)
            if found[n]
        ]

    def put(self, events: Sequence[Event], rings: Rings, ring: int) -> None:
        """Add the spikes of packets to a ring."""
        if not events:
            return
        packets = [event.payload.numpy() for event in events if event.payload is not None]
        words = np.concatenate(packets).view(np.int32)
        lengths = np.array([len(packet) for packet in packets], dtype=np.int64) // 4
        senders = np.array([event.source for event in events], dtype=np.int64) - self._actors
        _unpack(words, lengths, senders, *self._theirs, rings.ids[ring], rings.counts[ring])

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
    begins: Any,
    bases: Any,
    places: Any,
    none: Any,
    packed: Any,
    ids: Any,
    found: Any,
) -> None:
    """Fill in counts and indices of the packets, and how many spikes each has.

    Args:
        ring_ids: of all rings.
        ring_counts: of them.
        begins: (n_populations,) first number of what this rank owns.
        bases: (n_populations,) first index among all that it owns.
        places: (owned, n_packets) index among those that the receiver wants, or `none`.
        none: the receiver does not want the neuron.
        packed: (n_packets, words), int32, their heads filled in.
        ids: (n_packets, n_spikes) of the same memory.
        found: (n_packets,) zeros.
    """
    start, length = packed[0, 0], packed[0, 1]
    for k in range(length):
        place = (start + k) % ring_ids.shape[1]
        for r in range(found.shape[0]):
            packed[r, 3 + k] = -found[r]
        for t in range(ring_ids.shape[0] - 1):
            for s in range(ring_counts[t, place]):
                number = np.int64(ring_ids[t, place, s])
                p = begins.shape[0] - 1
                while begins[p] > number:
                    p -= 1
                index = places[number - begins[p] + bases[p]]
                for r in range(index.shape[0]):
                    # Written at once, and kept if it counts: a branch would often be guessed wrong.
                    ids[r, found[r]] = index[r]
                    found[r] += index[r] != none
        for r in range(found.shape[0]):
            packed[r, 3 + k] += found[r]


@cached
def _unpack(
    words: Any, lengths: Any, senders: Any, begins: Any, bases: Any, ring_ids: Any, ring_counts: Any
) -> None:
    """Put the spikes of packets that lie one behind the other into a ring.

    Args:
        words: int32, of all packets.
        lengths: (n_packets,) words of each.
        senders: (n_packets,) ranks.
        begins: (ranks, n_populations) first number here of what a rank owns.
        bases: (ranks, n_populations) its index among those that are wanted of the rank.
        ring_ids: of the ring.
        ring_counts: of it.
    """
    small, large = words.view(np.uint16), words.view(np.uint32)
    at = 0
    for n in range(lengths.shape[0]):
        start, length, size = words[at], words[at + 1], words[at + 2]
        own, base = begins[senders[n]], bases[senders[n]]
        gaps = own - base
        i = at + 3 + length
        if size == 2:
            i *= 2
        for k in range(length):
            place = (start + k) % ring_ids.shape[0]
            ring, m = ring_ids[place], ring_counts[place]
            for _ in range(words[at + 3 + k]):
                index = np.int64(small[i]) if size == 2 else np.int64(large[i])
                gap = gaps[0]
                for p in range(1, gaps.shape[0]):  # no branch, which would be guessed wrong
                    gap = gaps[p] if index >= base[p] else gap
                ring[m] = index + gap
                m += 1
                i += 1
            ring_counts[place] = m
        at += lengths[n]
