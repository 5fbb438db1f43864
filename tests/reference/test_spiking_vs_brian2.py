"""The compiled machine against Brian2, both in float64: every spike, every weight.

Brian2 gets the connectivity, the start values and the random spikes that biosim drew. Where a
test says that two things are equal, another one shows what would part them.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from biosim.brian_twin import Parting, build, compare, nudged, run
from biosim.brian_twin.checking import drawn_counts, simulated
from biosim.network import Network
from biosim.simulation import Simulation
from biosim.spiking import machine
from biosim.spiking.binding import agreed_scales
from biosim.spiking.description import (
    PoissonSource,
    Sparse,
    Spiking,
    StepCurrent,
    SynapseModel,
)
from biosim.spiking.start import Outcome, Start, drawn_start
from rules.stdp import Stdp
from rules.triplet_stdp import TripletStdp
from tests.reference import spiking_networks

SEED = 3

RESOLUTION_V = 2.0**-63
"""Unit in which CUBA's synaptic input is summed, in volt: 1e-19."""
MARGIN = 2.0**20
"""How much coarser it may be with every spike of 0.3 s still equal."""
TOO_COARSE = 2.0**42
"""How much coarser it is when rounding decides spikes: 2^-12 of an excitatory weight."""
NUDGE = 1e-12
"""Share by which Brian2's start and weights are changed, to see how far it is one with itself."""


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


def assert_equal(network: Network, ticks: int, spikes: int) -> None:
    """Assert that all spikes are Brian2's, and that there are so many that it means something."""
    _, ours, brian2s = both(network, ticks)
    parting = compare(ours, brian2s)
    assert parting.same_spikes, parting.lines()
    assert parting.spikes[0] >= spikes


# --- CUBA: currents, exact solution, sums in fixed point


def test_every_spike_of_cuba_is_brian2s() -> None:
    assert_equal(spiking_networks.cuba(1000), ticks=2000, spikes=1000)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_spike_of_4000_neurons_is_brian2s_for_five_seconds(seed: int) -> None:
    assert_equal(spiking_networks.cuba(4000, seed), ticks=50_000, spikes=100_000)


def test_synaptic_input_is_summed_in_units_that_the_page_tells() -> None:
    found = Simulation(spiking_networks.cuba(4000), seed=SEED, dtype=torch.float64)
    assert found.machine is not None
    assert max(found.machine.scales.values()) <= RESOLUTION_V


@pytest.mark.parametrize(("coarser", "equal"), [(MARGIN, True), (TOO_COARSE, False)])
def test_a_fixed_point_that_is_too_coarse_parts_them(
    coarser: float, equal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = spiking_networks.cuba(1000)
    start = drawn_start(network, SEED)
    fine = simulated(network, start, SEED, 3000)
    monkeypatch.setattr(machine, "agreed_scales", lambda *of: coarsened(coarser, *of))
    coarse = simulated(network, start, SEED, 3000)
    assert compare(fine, coarse).same_spikes == equal


def coarsened(times: float, *of: Any) -> dict[Any, float]:
    return {receptor: times * unit for receptor, unit in agreed_scales(*of).items()}


def test_a_delay_that_is_a_tick_off_parts_them() -> None:
    network = spiking_networks.cuba(1000)
    start = drawn_start(network, SEED)
    later = {n: joined._replace(delays=joined.delays + 1) for n, joined in start.synapses.items()}
    ours = simulated(network, start, SEED, 1000)
    parting = compare(ours, theirs(network, Start(start.variables, later), ours))
    assert parting.tick is not None
    assert parting.tick < 500


# --- COBAHH: as far as rounding decides nothing


def horizon(network: Network, start: Start, of: Outcome, nudge: float) -> int:
    """Return the first tick at which Brian2 parts from itself; the end if it does not.

    All start values and all weights are greater by a share of `nudge`: the start alone is
    forgotten within milliseconds, for high conductances pull all states together.
    """
    parting = compare(of, run(network, nudged(start, nudge), of.ticks))
    return of.ticks if parting.tick is None else parting.tick


def equal_within_the_horizon(network: Network, ticks: int, spikes: int) -> None:
    start, ours, brian2s = both(network, ticks)
    end = horizon(network, start, brian2s, NUDGE)
    parting = compare(ours, brian2s)
    assert parting.tick is None or parting.tick >= end, parting.lines()
    assert sum(int((s.ticks < end).sum()) for s in brian2s.spikes.values()) >= spikes


@pytest.mark.slow
def test_every_spike_of_cobahh_is_brian2s_until_rounding_decides() -> None:
    equal_within_the_horizon(spiking_networks.cobahh(400), ticks=500, spikes=400)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_spike_of_4000_hodgkin_huxley_neurons_is_brian2s_until_rounding_decides() -> None:
    equal_within_the_horizon(spiking_networks.cobahh(4000), ticks=10_000, spikes=100_000)


@pytest.mark.slow
def test_the_horizon_is_near_where_the_nudge_is_large() -> None:
    network = spiking_networks.cobahh(400)
    start, _, brian2s = both(network, 300)
    assert horizon(network, start, brian2s, 1e-3) < 100


# --- plasticity: delays, coincidences, weights


def test_every_weight_is_brian2s_through_a_thousand_coincidences() -> None:
    start, ours, brian2s = both(learning(ticks=6000), 6000)
    parting = compare(ours, brian2s)
    assert parting.same_spikes, parting.lines()
    assert coincidences(start, ours) >= 1000
    assert len(np.unique(start.synapses["plastic"].delays)) == 20
    assert parting.weight_difference < 1e-9
    moved = np.abs(ours.synapses["plastic"]["w"] - start.synapses["plastic"].weights)
    assert np.median(moved) > 0.05


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(
            Stdp(w_max="3 mV", weights="multiplicative", pairing="nearest"),
            marks=pytest.mark.slow,
        ),
        pytest.param(Stdp(w_max="3 mV", pairing="immediate"), marks=pytest.mark.slow),
        TripletStdp(w_max="3 mV", w_ref="3 mV"),
    ],
    ids=lambda rule: f"{rule.name}-{rule.pairing}",
)
def test_rules_give_brian2s_spikes_and_weights(rule: Stdp | TripletStdp) -> None:
    start, ours, brian2s = both(learning(rule.synapse(), 3000), 3000)
    parting = compare(ours, brian2s)
    assert parting.same_spikes, parting.lines()
    assert parting.weight_difference < 3e-3 * 1e-9
    assert np.ptp(ours.synapses["plastic"]["w"] - start.synapses["plastic"].weights) > 1e-5


def test_the_other_order_at_coincidences_parts_weights_and_spikes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(build, "ON_PRE_ORDER", 1)
    monkeypatch.setattr(build, "ON_POST_ORDER", -1)
    parting = parted(learning(), 3000)
    assert parting.weight_difference > 1e-3
    assert not parting.same_spikes


@pytest.mark.slow
def test_a_delay_of_on_post_that_is_a_tick_off_parts_the_weights() -> None:
    network = learning()
    plastic, forcing = network.projections
    assert isinstance(plastic.weights, Sparse)
    assert plastic.weights.synapse is not None
    late = replace(plastic.weights, synapse=replace(plastic.weights.synapse, delay_post=1))
    other = replace(network, projections=(replace(plastic, weights=late), forcing))
    start, ours, brian2s = both(other, 3000)
    parting = compare(ours, brian2s)
    assert parting.same_spikes, parting.lines()
    assert parting.weight_difference < 1e-9
    assert compare(ours, theirs(network, start, ours)).weight_difference > 1e-3


# --- other synapses, input and ways to integrate


@pytest.mark.parametrize(
    ("name", "ticks", "spikes"),
    [
        # alpha currents, random sources
        pytest.param("alpha", 1000, 300, marks=pytest.mark.slow),
        ("conductance", 1000, 200),  # conductances, Euler
        # steps of current, refractory times of their own
        pytest.param("adaptive", 1100, 150, marks=pytest.mark.slow),
    ],
)
def test_every_spike_of_other_networks_is_brian2s(name: str, ticks: int, spikes: int) -> None:
    assert_equal(spiking_networks.SMALL[name](), ticks, spikes)


def test_delta_synapses_give_brian2s_spikes_by_events_and_by_ticks() -> None:
    network = spiking_networks.brunel()
    start, by_ticks, brian2s = both(network, 1000)
    event_driven = simulated(by_events(network), start, SEED, 1000)
    assert compare(by_ticks, event_driven).same_spikes
    parting = compare(event_driven, brian2s)
    assert parting.same_spikes, parting.lines()
    assert parting.spikes[0] >= 1500


def test_a_step_of_current_that_is_a_tick_late_parts_them() -> None:
    network = spiking_networks.adaptive()
    (current,) = network.stimuli
    assert isinstance(current, StepCurrent)
    late = replace(current, ticks=tuple(tick + 1 for tick in current.ticks))
    start = drawn_start(network, SEED)
    ours = simulated(network, start, SEED, 1500)
    assert not compare(ours, theirs(replace(network, stimuli=(late,)), start, ours)).same_spikes
