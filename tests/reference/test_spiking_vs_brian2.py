"""The compiled machine against Brian2, both in float64: every spike, every weight.

Brian2 gets the connectivity, the start values and the random spikes that biosim drew. Where a
test says that two things are equal, another one shows what would part them.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from biosim.brian_twin import Parting, compare, run
from biosim.brian_twin.checking import drawn_counts, simulated
from biosim.network import Network
from biosim.spiking.description import (
    PoissonSource,
    Sparse,
    Spiking,
    SynapseModel,
)
from biosim.spiking.start import Outcome, Start, drawn_start
from tests.reference import spiking_networks

SEED = 3

RESOLUTION_V = 2.0**-63
"""Unit in which CUBA's synaptic input is summed, in volt: 1e-19."""
MARGIN = 2.0**20
"""How much coarser it may be with every spike of 0.3 s still equal."""
TOO_COARSE = 2.0**40
"""How much coarser it is when rounding decides spikes."""


def theirs(network: Network, start: Start, ours: Outcome, **options: Any) -> Outcome:
    """Run Brian2 on what biosim drew."""
    replay = {
        population.name: ours.spikes[population.name]
        for population in network.populations
        if isinstance(population.model, PoissonSource)
    }
    counts = drawn_counts(network, SEED, ours.ticks)
    return run(network, start, ours.ticks, replay=replay, counts=counts, **options)


def both(network: Network, ticks: int) -> tuple[Start, Outcome, Outcome]:
    start = drawn_start(network, SEED)
    ours = simulated(network, start, SEED, ticks)
    return start, ours, theirs(network, start, ours)


def parted(network: Network, ticks: int) -> Parting:
    _, ours, brian2s = both(network, ticks)
    return compare(ours, brian2s)


def by_events(network: Network) -> Network:
    """Return the network with all neurons event-driven."""
    return replace(
        network,
        populations=tuple(
            replace(p, model=replace(p.model, integration="event"))
            if isinstance(p.model, Spiking)
            else p
            for p in network.populations
        ),
    )


def coincidences(start: Start, ours: Outcome, name: str = "plastic") -> int:
    """How often a spike arrives at a plastic synapse in the tick of its target's on_post."""
    pre, post, _, delay, _ = start.synapses[name]
    sent = np.zeros((ours.ticks + 1, int(pre.max()) + 1), dtype=bool)
    sent[ours.spikes["input"].ticks, ours.spikes["input"].neurons] = True
    fired = np.zeros((ours.ticks + 1, int(post.max()) + 1), dtype=bool)
    # on_post of a spike of tick k is at tick k + 1.
    fired[ours.spikes["output"].ticks + 1, ours.spikes["output"].neurons] = True
    return sum(
        int((sent[: len(sent) - d, i] & fired[d:, j]).sum())
        for i, j, d in zip(pre, post, delay, strict=True)
    )


def learning(synapse: SynapseModel | None = None, ticks: int = 3000) -> Network:
    """Return the feed-forward network with weights that make its targets fire: up to 3 mV.

    Args:
        synapse: whose `w` is in volt; None for the network's own, of weights up to 1.
        ticks: how long the inputs fire.
    """
    network = spiking_networks.feed_forward_stdp(ticks=ticks, forced=100)
    plastic, forcing = network.projections
    assert isinstance(plastic.weights, Sparse)
    if synapse is None:
        own = plastic.weights.synapse
        synapse = replace(own, constants={**own.constants, "unit": "3*mV"})
        weights = replace(plastic.weights, synapse=synapse)
    else:
        weights = replace(plastic.weights, weight=plastic.weights.weight * 3e-3, synapse=synapse)
    return replace(network, projections=(replace(plastic, weights=weights), forcing))
