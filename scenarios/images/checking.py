"""Everything about learning from images that can be refused, refused before anything is built."""

from __future__ import annotations

from biosim.network import Network
from scenarios.data import Dataset
from scenarios.images.network import wire
from scenarios.images.schema import ImagesScenario
from scenarios.spiking.checking import tried
from scenarios.spiking.memory import check_memory


def check(scenario: ImagesScenario, dataset: Dataset) -> Network:
    """Return the network for a data set, every equation and value of it tried.

    Raises:
        BiosimError: data, rule and network do not fit each other, an equation is impossible, or
            the network does not fit in memory.
    """
    network, run = wire(scenario, dataset), scenario.run
    _, needs = tried(network, run.seed, run.threads * run.pretend_ranks, run.dtype)
    check_memory(needs)
    return network
