"""The ledger: what learning costs, counted by the engine while it happens.

Bytes are those of the payloads really sent (their dtype, their rows), by projection; ticks are
between a layer's forward pass (where it settles: the end of its free phase) and its update;
held bytes are what a layer keeps while it waits for an error; arithmetic counts multiply-adds
of dense products. Only learning presentations are counted. All counts are integers, so that
summing over ranks cannot depend on an order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import torch

from biosim.contracts import Ranks
from biosim.events import Event, Mode
from biosim.network import Network

LEARN = Mode.LEARN
ARITHMETIC = ("forward", "feedback", "plasticity")
ALIKE = ("updates", "lag_ticks", "lag_ticks_max", "stale_updates", "stale_updates_max")
"""Counts that all replicas of a network have alike."""


@dataclass
class LayerCount:
    """What one population counts while it learns."""

    samples: int = 0
    updates: int = 0
    lag_ticks: int = 0
    lag_ticks_max: int = 0
    stale_updates: int = 0
    stale_updates_max: int = 0
    held_bytes_max: int = 0
    forward: int = 0
    feedback: int = 0
    plasticity: int = 0

    def updated(self, lag: int, stale: int = 0) -> None:
        """Count one update.

        Args:
            lag: ticks since the forward pass that it learns from.
            stale: updates of the same layer in between.
        """
        self.updates += 1
        self.lag_ticks += lag
        self.stale_updates += stale
        self.lag_ticks_max = max(self.lag_ticks_max, lag)
        self.stale_updates_max = max(self.stale_updates_max, stale)

    def held(self, held_bytes: int) -> None:
        """Note how many bytes are kept from one tick to the next."""
        if held_bytes > self.held_bytes_max:
            self.held_bytes_max = held_bytes


class Ledger:
    """Counts of one rank.

    Args:
        network: its populations and projections give the tables their rows.
        first: whether this is a rank of the first replica of the network, which counts for all
            what happens in each alike.
    """

    def __init__(self, network: Network, first: bool = True) -> None:
        self._first = first
        self.sent_bytes = [0] * len(network.projections)
        self.sent_events = [0] * len(network.projections)
        self.layers = [LayerCount() for _ in network.populations]

    def sent(self, event: Event) -> None:
        """Count an event that leaves its source."""
        if event.presentation.mode == LEARN and event.projection >= 0:
            self.sent_events[event.projection] += 1
            if event.payload is not None:
                self.sent_bytes[event.projection] += event.payload.nbytes

    def begin_with(self, totals: LedgerTotals, mine: Sequence[bool], share: float) -> None:
        """Go on counting from what was counted before.

        Args:
            totals: of all ranks.
            mine: for each population, whether this rank counts for it.
            share: of what replicas hold that this one holds.
        """
        here = self._first and mine[0]  # of what is sent, one rank goes on with all
        self.sent_bytes = [n if here else 0 for n in totals.sent_bytes]
        self.sent_events = [n if here else 0 for n in totals.sent_events]
        for layer, known, own in zip(self.layers, totals.layers, mine, strict=True):
            for name, count in asdict(known).items():
                if name == "held_bytes_max":
                    setattr(layer, name, round(count * share) if own else 0)
                else:
                    setattr(layer, name, count if own and self._first else 0)

    def gathered(self, ranks: Ranks) -> LedgerTotals:
        """Return the counts of all ranks; every rank gets the same."""
        # A population lives on one rank of each replica, all of which take the same updates and
        # hold their part of the most bytes at the same tick.
        layers = [
            count if self._first or name not in ALIKE else 0
            for layer in self.layers
            for name, count in asdict(layer).items()
        ]
        sums = ranks.sum(
            torch.tensor([*self.sent_bytes, *self.sent_events, *layers], dtype=torch.int64)
        ).tolist()
        n, width = len(self.sent_bytes), len(fields(LayerCount))
        rest = sums[2 * n :]
        return LedgerTotals(
            sent_bytes=sums[:n],
            sent_events=sums[n : 2 * n],
            layers=[
                LayerCount(*rest[width * i : width * (i + 1)]) for i in range(len(self.layers))
            ],
        )


@dataclass(frozen=True)
class LedgerTotals:
    """Counts of a whole run.

    Args:
        sent_bytes: bytes by projection.
        sent_events: events by projection.
        layers: counts by population.
    """

    sent_bytes: list[int]
    sent_events: list[int]
    layers: list[LayerCount]

    @property
    def samples(self) -> int:
        """Learning samples that were presented."""
        return sum(layer.samples for layer in self.layers)

    def bytes_per_sample(self, projection: int) -> float:
        """Return the bytes that crossed the projection for every learning sample."""
        return self.sent_bytes[projection] / max(1, self.samples)
