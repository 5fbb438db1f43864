"""Spikes that a source is told to fire between two runs, held against the network."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from biosim.events import Tick
from biosim.network import Network, NetworkError
from biosim.spiking.description import SpikeList

Int64s = npt.NDArray[np.int64]


def checked_spikes(
    network: Network, population: str, indices: npt.ArrayLike, ticks: npt.ArrayLike, now: Tick
) -> tuple[int, Int64s, Int64s]:
    """Return the position of a list of spikes, and the neurons and ticks that it is told.

    Args:
        network: the population is of.
        population: its name.
        indices: (n_spikes,) neuron of each spike.
        ticks: (n_spikes,) when it fires.
        now: nothing fires before.

    Raises:
        NetworkError: it is no list of spikes, or a spike is in the past, out of order or of no
            neuron, or a neuron fires twice in a tick.
    """
    at = network.population_at.get(population, -1)
    if at < 0 or not isinstance(network.populations[at].model, SpikeList):
        raise NetworkError(f"{population!r} is no list of spikes; it cannot be told any")
    size = network.populations[at].size
    who, when = np.asarray(indices, dtype=np.int64), np.asarray(ticks, dtype=np.int64)
    said = f"spikes of {population!r}: got"
    if who.shape != when.shape or who.ndim != 1:
        raise NetworkError(
            f"{said} indices {who.shape} and ticks {when.shape}; expected (n_spikes,) of each"
        )
    if not who.size:
        return at, who, when
    if who.min() < 0 or who.max() >= size:
        raise NetworkError(
            f"{said} indices from {who.min()} to {who.max()}; expected 0 to {size - 1}"
        )
    if when[0] < now or np.any(np.diff(when) < 0):
        raise NetworkError(
            f"{said} ticks from {when.min()} on; expected them in order, from {now} on"
        )
    both = np.sort(when * size + who, kind="stable")  # fast, since it is nearly sorted
    if np.any(both[1:] == both[:-1]):
        raise NetworkError(
            f"{said} two spikes of a neuron in one tick; leave out one, or take shorter ticks"
        )
    return at, who, when
