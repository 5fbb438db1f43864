"""The naive reference against Brian2: every spike and every weight, and what must part them."""

from typing import Any

import numpy as np
import pytest

from biosim.brian_twin import Parting, build, compare, run
from biosim.network import Network
from biosim.spiking.description import PoissonInput, PoissonSource, Spiking
from biosim.spiking.reference import simulate
from biosim.spiking.start import Outcome, Start, drawn_start
from tests.reference import spiking_networks

SEED = 3

# Network, ticks, what it must have spiked for the comparison to mean anything, and how far a
# state may be off: Hodgkin and Huxley's equations amplify rounding.
CASES = [
    ("cuba", 500, 100, 1e-14),
    ("cobahh", 120, 50, 1e-10),
    ("brunel", 500, 500, 1e-14),
    ("alpha", 1000, 200, 1e-14),
    ("conductance", 1000, 100, 1e-14),
    ("adaptive", 1200, 150, 1e-14),
    ("feed_forward_stdp", 2000, 100, 1e-14),
]


def both(name: str, ticks: int, **size: Any) -> tuple[Start, Outcome, Outcome]:
    network: Network = spiking_networks.SMALL[name](**size)
    start = drawn_start(network, SEED)
    chance = np.random.default_rng(SEED)
    counts = {
        stimulus.name: chance.poisson(0.2, (ticks, network.size(stimulus.target)))
        for stimulus in network.stimuli
        if isinstance(stimulus, PoissonInput)
    }
    sample = {
        population.name: ["v"]
        for population in network.populations
        if isinstance(population.model, Spiking)
    }
    ours = simulate(network, start, ticks, seed=SEED, counts=counts, sample=sample, every=10)
    replay = {
        population.name: ours.spikes[population.name]
        for population in network.populations
        if isinstance(population.model, PoissonSource)
    }
    theirs = run(network, start, ticks, counts=counts, replay=replay, sample=sample, every=10)
    return start, ours, theirs


def coincidences(start: Start, ours: Outcome) -> int:
    """How often a spike arrives at a plastic synapse in the tick of its target's on_post."""
    pre, post, _, delay, _ = start.synapses["plastic"]
    sent = np.zeros((ours.ticks + 1, pre.max() + 1), dtype=bool)
    sent[ours.spikes["input"].ticks, ours.spikes["input"].neurons] = True
    found = 0
    for tick, neuron in zip(*ours.spikes["output"], strict=True):
        mine = (post == neuron) & (delay <= tick + 1)
        found += int(sent[tick + 1 - delay[mine], pre[mine]].sum())
    return found


QUICK = ("brunel", "adaptive")


@pytest.mark.parametrize(
    ("name", "ticks", "spikes", "tolerance"),
    [pytest.param(*case, marks=[pytest.mark.slow] * (case[0] not in QUICK)) for case in CASES],
)
def test_every_spike_equals_brian2s(name: str, ticks: int, spikes: int, tolerance: float) -> None:
    _, ours, theirs = both(name, ticks)
    parting = compare(ours, theirs)
    assert parting.same_spikes, parting.lines()
    assert parting.spikes[0] >= spikes
    for population, values in ours.variables.items():
        for variable, value in values.items():
            np.testing.assert_allclose(
                value, theirs.variables[population][variable], rtol=tolerance, atol=tolerance
            )
    for population, samples in ours.samples.items():
        np.testing.assert_allclose(
            samples["v"], theirs.samples[population]["v"], rtol=tolerance, atol=tolerance
        )


def test_a_state_that_was_never_reached_is_told_from_one_that_was() -> None:
    # The tolerances above mean something: a tick's change is far beyond them.
    _, ours, theirs = both("alpha", 200)
    assert np.abs(ours.samples["output"]["v"][1:] - theirs.samples["output"]["v"][:-1]).max() > 1e-6


def test_weights_equal_brian2s_through_forced_coincidences() -> None:
    start, ours, theirs = both("feed_forward_stdp", 3000)
    parting = compare(ours, theirs)
    assert parting.same_spikes, parting.lines()
    assert coincidences(start, ours) >= 100
    assert parting.weight_difference < 1e-9
    assert np.abs(ours.synapses["plastic"]["w"] - start.synapses["plastic"].weights).max() > 0.1


def test_the_other_order_at_coincidences_parts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "ON_PRE_ORDER", 1)
    monkeypatch.setattr(build, "ON_POST_ORDER", -1)
    assert parted("feed_forward_stdp", 3000).weight_difference > 1e-3


@pytest.mark.slow
def test_delays_that_are_not_mapped_part_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "steps", lambda delays: delays)
    assert not parted("cuba", 300).same_spikes
    assert parted("feed_forward_stdp", 1000).weight_difference > 1e-3


def parted(name: str, ticks: int) -> Parting:
    _, ours, theirs = both(name, ticks)
    return compare(ours, theirs)
