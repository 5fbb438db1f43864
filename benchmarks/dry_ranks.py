"""One rank of many, on its own: what the others would send is drawn at random.

The engine, the machine and the packets are those of a run; only what travels is made up. Other
ranks want as large a share of this rank's neurons as this rank wants of theirs, and theirs fire
as Poisson processes of one rate. Packets are drawn before the run, and used in turn; handing them
out is the network's work, whose time is told apart.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Sequence

import numpy as np
import torch

from biosim.events import NEVER, Event, Kind, Tick
from biosim.spiking.packets import HEAD, NOWHERE

WINDOWS = 7
"""Different windows that are drawn."""


class DryRanks:
    """The `Ranks` of rank 0 of so many.

    Args:
        size: ranks.
        neurons: that every rank owns.
        chance: of a spike of a neuron in a tick.
        ticks: of a window.
        until: tick at which the run ends.

    Attributes:
        travel_s: seconds spent on making up what arrives.
        sent_bytes, sent_packets, came_bytes, came_packets: of spikes.
        windows: that were exchanged.
    """

    rank = 0

    def __init__(self, size: int, neurons: int, chance: float, ticks: Tick, until: Tick) -> None:
        self.size = size
        self._neurons, self._chance, self._ticks, self._until = neurons, chance, ticks, until
        self._posted: deque[Tick] = deque()
        self._begun: Tick = 0
        self._drawn: list[tuple[list[Event], np.ndarray, np.ndarray]] = []
        self.travel_s, self.windows = 0.0, 0
        self.sent_bytes = self.sent_packets = self.came_bytes = self.came_packets = 0

    def connect(self, to: Collection[int]) -> None:
        pass

    def agree(self, flag: bool) -> bool:
        return flag

    def sum(self, counts: torch.Tensor) -> torch.Tensor:
        return counts

    def exchange(self, outgoing: Sequence[list[Event]], wake: Tick) -> tuple[list[Event], Tick]:
        """Take what this rank asks of each other one, and answer with what they ask of it."""
        generator = np.random.default_rng(1)
        answers, wanted = [], {}
        for r, events in enumerate(outgoing):
            for event in events:
                mask = np.unpackbits(event.payload.numpy(), count=self._neurons)
                wanted[r] = int(mask.sum())
                theirs = np.packbits(generator.random(self._neurons) < mask.mean())
                answers.append(
                    event._replace(
                        source=event.target, target=event.source, payload=torch.from_numpy(theirs)
                    )
                )
        first = answers[0].target if answers else 0
        self._drawn = [self._window(generator, wanted, first) for _ in range(WINDOWS)]
        return answers, NEVER

    def post(self, outgoing: Sequence[list[Event]], wake: Tick) -> None:
        for events in outgoing[1:]:
            for event in events:
                self.sent_packets += 1
                self.sent_bytes += event.payload.nbytes
        self._posted.append(self._begun)
        self._begun = min(self._begun + self._ticks, self._until)

    def collect(self) -> tuple[list[Event], Tick]:
        began = time.thread_time()
        start = self._posted.popleft()
        events, words, heads = self._drawn[self.windows % WINDOWS]
        if self._until - start < self._ticks:
            events = []  # the last window may be shorter
        words[heads] = start
        self.windows += 1
        self.came_packets += len(events)
        self.came_bytes += words.nbytes
        self.travel_s += time.thread_time() - began
        return list(events), NEVER

    def _window(
        self, generator: np.random.Generator, wanted: dict[int, int], first: int
    ) -> tuple[list[Event], np.ndarray, np.ndarray]:
        """Return packets of one window, the words that they lie in, and where each begins."""
        small = self._neurons <= 1 << 16
        packets, places, at = [], [], 0
        for r, n in wanted.items():
            counts = np.minimum(n, generator.poisson(n * self._chance, self._ticks))
            if not counts.any():
                continue
            # Like real ones by tick and neuron; that a neuron may spike twice matters to nobody.
            ids = [np.sort(generator.integers(n, size=count)) for count in counts]
            ids.append(np.zeros(counts.sum() % 2 if small else 0, dtype=np.int64))
            spikes = np.concatenate(ids).astype(np.uint16 if small else np.uint32)
            head = np.array([0, self._ticks, 2 if small else 4, *counts], dtype=np.int32)
            assert len(head) == HEAD + self._ticks
            packed = np.concatenate([head.view(np.uint8), spikes.view(np.uint8)])
            packets.append((r, packed))
            places.append(at)
            at += -(-len(packed) // 64) * 64
            assert len(packed) % 4 == 0
        words = np.zeros(at // 4, dtype=np.int32)
        whole = torch.from_numpy(words.view(np.uint8))
        events = []
        for (r, packed), place in zip(packets, places, strict=True):
            payload = whole[place : place + len(packed)]
            payload.copy_(torch.from_numpy(packed))
            events.append(Event(0, Kind.SPIKE, first + r, first, -1, NOWHERE, payload))
        return events, words, np.array(places, dtype=np.int64) // 4
