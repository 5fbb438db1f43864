"""Made-up spikes, and the naive loops that the analysis is compared with."""

import numpy as np
import numpy.typing as npt
import xarray as xr

from biosim.analysis import spike_columns

DURATION_S = 20.0
SIZE = 7
"""Neuron 5 fires once, neuron 6 not at all."""

Train = npt.NDArray[np.float64]


def poisson(seed: int = 0, rate_hz: float = 8.0) -> list[Train]:
    """Times of each neuron's spikes in seconds, each neuron faster than the one before."""
    chance = np.random.default_rng(seed)
    trains = []
    for neuron in range(SIZE - 2):
        count = chance.poisson(rate_hz * (neuron + 1) * DURATION_S / 3)
        trains.append(np.sort(chance.uniform(0.0, DURATION_S, count)))
    return [*trains, np.array([3.25]), np.empty(0)]


def columns(trains: list[Train], stop_s: float = DURATION_S) -> xr.Dataset:
    times = np.concatenate([np.empty(0), *trains])
    who = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    mixed = np.random.default_rng(1).permutation(len(times))
    return spike_columns(times[mixed], who[mixed], stop_s, size=len(trains))


def clock(period_s: float, stop_s: float = DURATION_S, first_s: float = 0.0) -> Train:
    return np.arange(first_s, stop_s, period_s)
