"""Statistics of activity and of weights beside NEST's: means within the spread of NEST's seeds.

Both simulate the networks of benchmarks/peers/NETWORKS.md, each with its own random numbers, so
only distributions over seeds can be equal. The criterion: neither the means over seeds (Welch's t)
nor the spreads between seeds (F) differ so much as would happen by chance with `CHANCE` if both
came from one distribution. Networks that are a little different must not pass.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from statistics import variance
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.peers.biosim_networks import build, of_recorded
from benchmarks.peers.environments import Missing
from benchmarks.peers.measure import nest_measure
from benchmarks.peers.networks import COMPARED, DT_MS, Brunel, Cuba, Network
from biosim.simulation import Simulation
from biosim.spiking.recording import MemorySink, Recording, SpikeRecord, WeightRecord

pytestmark = [pytest.mark.peers, pytest.mark.timeout(1800)]

SEEDS = {"cuba": 16, "brunel_small": 8, "brunel_stdp_small": 8}
"""CUBA's rate differs by 4 % from seed to seed, so it takes more."""
CHANCE = 0.002
ACTIVITY = ("steady_rate_hz", "cv", "correlation")
WEIGHTS = ("weight_mean_mv", "weight_sd_mv")

Found = Sequence[dict[str, Any]]


@cache
def of_nest(name: str) -> Found:
    try:
        return [nest_measure(name, "--record", seed=seed) for seed in range(1, SEEDS[name] + 1)]
    except Missing as reason:
        pytest.skip(f"NEST cannot be had: {reason}")


def of_biosim(network: Network, as_nest: bool = True) -> Found:
    return [one_of_biosim(network, as_nest, seed) for seed in range(1, SEEDS[network.name] + 1)]


def one_of_biosim(network: Network, as_nest: bool, seed: int) -> dict[str, Any]:
    described = build(network, True, as_nest)
    ticks = round(network.seconds * 1000 / DT_MS)
    learns = isinstance(network, Brunel) and network.stdp is not None
    recording = Recording(
        spikes=(SpikeRecord("e"), SpikeRecord("i")),
        weights=(WeightRecord("e to e", ticks - 1),) if learns else (),
    )
    sink = MemorySink()
    Simulation(described, seed=seed, recording=recording, sink=sink).run_to(ticks)
    return dict(of_recorded(sink, network, network.seconds))


def of_means(nest: Sequence[float], own: Sequence[float]) -> float:
    """Return the chance of means so far apart."""
    return float(stats.ttest_ind(nest, own, equal_var=False).pvalue)


def of_spreads(nest: Sequence[float], own: Sequence[float]) -> float:
    """Return the chance of variances so far apart, in either direction."""
    ratio, freedom = variance(own) / variance(nest), (len(own) - 1, len(nest) - 1)
    return float(2 * min(stats.f.cdf(ratio, *freedom), stats.f.sf(ratio, *freedom)))


def chances(nest: Found, own: Found, keys: Iterable[str]) -> dict[str, float]:
    found = {}
    for key in keys:
        sides = [[one[key] for one in side] for side in (nest, own)]
        found[key], found[f"spread of {key}"] = of_means(*sides), of_spreads(*sides)
    return found


def distances(nest: Found, own: Found) -> tuple[list[float], list[float]]:
    """Return how far each seed's weights are from NEST's others: Kolmogorov and Smirnov's."""
    shares, others = (np.array([one["weight_shares"] for one in side]) for side in (nest, own))
    among = np.abs(shares[:, None] - shares[None]).max(axis=2)
    across = np.abs(others[:, None] - shares[None]).max(axis=2)
    # None of NEST's is compared with itself.
    return list(among.sum(axis=1) / (len(nest) - 1)), list(across.mean(axis=1))


def inhibited(network: Network, times: float) -> Network:
    """Return the network with other inhibition."""
    if isinstance(network, Cuba):
        return replace(network, wi_mv=network.wi_mv * times)
    assert isinstance(network, Brunel)
    return replace(network, g=network.g * times)


@pytest.mark.parametrize("name", ["cuba", "brunel_small"])
def test_rate_irregularity_and_correlation_are_nests(name: str) -> None:
    found = chances(of_nest(name), of_biosim(COMPARED[name]), ACTIVITY)
    assert min(found.values()) >= CHANCE, found


@pytest.mark.parametrize(("name", "times"), [("cuba", 1.1), ("brunel_small", 1.05)])
def test_a_little_more_inhibition_is_not_nests(name: str, times: float) -> None:
    other = inhibited(COMPARED[name], times)
    found = chances(of_nest(name), of_biosim(other), ACTIVITY)
    assert min(found.values()) < CHANCE, found


def test_stdp_with_matched_coincidences_gives_nests_weights() -> None:
    name = "brunel_stdp_small"
    nest, own = of_nest(name), of_biosim(COMPARED[name])
    found = chances(nest, own, (*ACTIVITY, *WEIGHTS))
    assert min(found.values()) >= CHANCE, found
    assert of_means(*distances(nest, own)) >= CHANCE


def test_stdp_in_biosims_own_convention_does_not_give_nests_weights() -> None:
    name = "brunel_stdp_small"
    nest, own = of_nest(name), of_biosim(COMPARED[name], as_nest=False)
    found = chances(nest, own, WEIGHTS)
    assert max(found[key] for key in WEIGHTS) < CHANCE, found
    assert of_means(*distances(nest, own)) < CHANCE


@pytest.mark.parametrize("chance", [of_means, of_spreads])
def test_the_criterion_finds_differences_where_there_are_none_as_seldom_as_it_says(
    chance: Callable[[list[float], list[float]], float],
) -> None:
    draws = np.random.default_rng(0).standard_normal((2, 5000, 8))
    seldom = sum(chance(list(a), list(b)) < CHANCE for a, b in zip(*draws, strict=True))
    assert stats.binomtest(seldom, 5000, CHANCE).pvalue > 0.001
    # Ten times the spread, and four times the spread away.
    often = sum(chance(list(a / 10), list(b + 4)) < CHANCE for a, b in zip(*draws, strict=True))
    assert often > 4500
