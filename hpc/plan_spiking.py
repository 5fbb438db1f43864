"""What a network that spikes will need on so many ranks, from its description and a few rates.

Numbers of synapses are those that the wiring rules lead to expect. Ranks that own as much of
every population are alike, so that thousands of ranks are few cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biosim.network import Network
from biosim.simulation import WINDOW
from biosim.spiking.building import Wires
from biosim.spiking.description import Sparse
from biosim.spiking.layout import Layout
from biosim.spiking.numbers import owned_by_all
from biosim.spiking.packets import HEAD
from biosim.wiring import AllToAll, FixedProbability, OneToOne
from hpc.calibration import ExchangeSpeed, SpikeSpeed
from hpc.messages import HEAD as MESSAGE_HEAD
from hpc.messages import WORDS
from scenarios.spiking.memory import SPARE, other_bytes, synapses_held
from scenarios.spiking.rates import expected_rate

Floats = npt.NDArray[np.float64]

MESSAGE_BYTES = 8 * (MESSAGE_HEAD + WORDS)
"""Of a message with one packet, beside the packet."""

PACK_S = 1e-8
"""Of one spike for one rank, into a packet or out of it; as `benchmarks.weak_scaling` finds."""


@dataclass(frozen=True)
class SpikeShare:
    """What one rank has; what happens is for a second of biological time.

    Args:
        neurons: that it owns, sources too.
        synapses: that end there, expected.
        synapse_bytes: kept for them.
        total_bytes: of the process.
        spikes: of its neurons.
        events: of spikes at its synapses.
        arriving: spikes of other ranks.
        leaving: spikes to other ranks, each as often as ranks get it.
        messages: to other ranks.
        sent_bytes: in them.
        compute_s: without exchange.
        exchange_s: of packing, sending, waiting for the network, unpacking.
    """

    neurons: int
    synapses: float
    synapse_bytes: float
    total_bytes: float
    spikes: float
    events: float
    arriving: float
    leaving: float
    messages: float
    sent_bytes: float
    compute_s: float
    exchange_s: float


@dataclass(frozen=True)
class SpikePlan:
    """All ranks.

    Args:
        shares: one for all ranks that are alike.
        share_of: (ranks,) which one is a rank's.
        exchanges: in a second of biological time.
    """

    shares: list[SpikeShare]
    share_of: npt.NDArray[np.int64]
    exchanges: float

    @property
    def ranks(self) -> int:
        """How many there are."""
        return len(self.share_of)

    def column(self, of: Callable[[SpikeShare], float]) -> Floats:
        """Return a figure of every rank: (ranks,)."""
        return np.array([of(share) for share in self.shares])[self.share_of]

    @property
    def talks_more(self) -> bool:
        """Whether the rank with most to do takes longer to exchange than to compute."""
        compute = self.column(lambda share: share.compute_s).max()
        return bool(self.column(lambda share: share.exchange_s).max() > compute)


class SpikePlanner:
    """Plans one network for any number of ranks.

    Args:
        network: the description.
        seed: of the run.
        threads: of each rank.
        precision: "float32" or "float64".
        rate_hz: of neurons with equations, and of sources whose rate is told while they run.
        speed: of neurons and synapses.
        exchange: of messages.

    Raises:
        BiosimError: the network cannot be.
    """

    def __init__(
        self,
        network: Network,
        seed: int,
        threads: int,
        precision: str,
        rate_hz: float,
        speed: SpikeSpeed,
        exchange: ExchangeSpeed,
    ) -> None:
        self.layout = Layout(network)
        self._wires = Wires(self.layout, seed)
        self._threads, self._precision = threads, precision
        self._speed, self._exchange = speed, exchange
        self._network = network
        self._emitting = list(self.layout.first)
        self.rates_hz = {i: expected_rate(self.layout, i, rate_hz) for i in self._emitting}

    def plan(self, ranks: int) -> SpikePlan:
        """Return what each of so many ranks will need."""
        _, sizes = owned_by_all(self.layout, ranks)
        owns, share_of, alike = np.unique(sizes, axis=0, return_inverse=True, return_counts=True)
        lookahead = self._network.shortest_delay
        window = min(WINDOW, lookahead) if ranks > 1 else WINDOW
        window_s = window * self.layout.dt
        wanted = np.array([self._wanted(row) for row in owns])
        rates = np.array([self.rates_hz[i] for i in self._emitting])
        # Spikes in a window from a rank of one case to one of another; not to itself.
        passing = (owns * rates * window_s) @ wanted.T
        others = np.broadcast_to(alike, passing.shape) - np.eye(len(alike))
        talking = -np.expm1(-passing) * others
        leaving = (passing * others).sum(1) / window_s
        arriving = (passing.T * others).sum(1) / window_s
        shares = []
        index_bytes = 2 if owns.sum(1).max(initial=0) < 1 << 16 else 4
        head = MESSAGE_BYTES + 4 * (HEAD + window)
        for case, row in enumerate(owns):
            messages = float(talking[case].sum()) / window_s
            sent = messages * head + index_bytes * float(leaving[case])
            shares.append(
                self._share(
                    row, wanted[case], ranks, window_s, float(arriving[case]),
                    float(leaving[case]), messages, sent,
                )
            )  # fmt: skip
        return SpikePlan(shares, share_of.reshape(-1), 1.0 / window_s)

    def talks_more_from(self, most: int = 1 << 16) -> int | None:
        """Return the first power of two of ranks that exchange longer than they compute."""
        ranks = 2
        while ranks <= most:
            if self.plan(ranks).talks_more:
                return ranks
            ranks *= 2
        return None

    def _share(
        self,
        row: npt.NDArray[np.int64],
        wanted: Floats,
        ranks: int,
        window_s: float,
        arriving: float,
        leaving: float,
        messages: float,
        sent: float,
    ) -> SpikeShare:
        owned = {i: int(n) for i, n in zip(self._emitting, row, strict=True)}
        synapses, held = synapses_held(
            self.layout, self._wires, owned, self._threads, self._precision
        )
        sizes = np.array([self._network.populations[i].size for i in self._emitting])
        kept = float(self.layout.emitting if ranks == 1 else (row + wanted * (sizes - row)).sum())
        total = other_bytes(self.layout, owned, kept) + held * SPARE
        events, own = self._events(owned), dict(zip(self._emitting, row, strict=True))
        spikes = sum(float(own[i]) * self.rates_hz[i] for i in self._emitting)
        speed = self._speed
        # Spikes that have synapses here: those of other ranks, and of this one.
        at_rows = arriving + float((row * wanted * np.array(list(self.rates_hz.values()))).sum())
        compute = (
            float(row.sum()) / self.layout.dt * speed.neuron_s
            + at_rows * speed.spike_s
            + events * speed.synapse_s
        ) / self._threads + speed.window_s / window_s
        exchange = 0.0
        if ranks > 1:
            each = self._exchange.seconds(ranks, messages * window_s, sent * window_s)
            exchange = each / window_s + PACK_S * (arriving + leaving)
        return SpikeShare(
            int(row.sum()), synapses, held, total, spikes, events, arriving, leaving, messages,
            sent, compute, exchange,
        )  # fmt: skip

    def _sparse(self) -> list[tuple[int, int, Sparse]]:
        """Return source, target and synapses of every projection that spikes."""
        at = self._network.population_at
        return [
            (at[p.source], at[p.target], p.weights)
            for p in self._network.projections
            if isinstance(p.weights, Sparse)
        ]

    def _events(self, owned: Mapping[int, int]) -> float:
        total = 0.0
        for source, target, sparse in self._sparse():
            n_pre, n_post = (self._network.populations[i].size for i in (source, target))
            here = sparse.wiring.synapses(n_pre, n_post) * owned[target] / n_post
            total += here * self.rates_hz[source]
        return total

    def _wanted(self, row: npt.NDArray[np.int64]) -> Floats:
        """Return the chance that a neuron of each population has a synapse on a rank."""
        owned = {i: int(n) for i, n in zip(self._emitting, row, strict=True)}
        without = dict.fromkeys(self._emitting, 1.0)
        for source, target, sparse in self._sparse():
            n_pre, n_post = (self._network.populations[i].size for i in (source, target))
            without[source] *= 1.0 - joined(sparse.wiring, n_pre, n_post, owned[target])
        return np.array([1.0 - chance for chance in without.values()])


def joined(wiring: object, n_pre: int, n_post: int, here: int) -> float:
    """Return the chance that a source has a synapse on a rank that owns `here` of the targets."""
    if not here:
        return 0.0
    if isinstance(wiring, AllToAll):
        return 1.0
    if isinstance(wiring, OneToOne):
        return 0.0  # it lies on the same rank: populations of one size are cut alike
    if isinstance(wiring, FixedProbability):
        return -math.expm1(here * math.log1p(-wiring.p)) if wiring.p < 1.0 else 1.0
    synapses: float = wiring.synapses(n_pre, n_post)  # type: ignore[attr-defined]
    return -math.expm1(-synapses * here / n_post / n_pre)
