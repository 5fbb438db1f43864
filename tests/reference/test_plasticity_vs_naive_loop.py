"""Every rule in the machine equals a loop over synapses and events.

Trains are random, delays are mixed, some sources are silent for longer than anything the machine
remembers, and more than a thousand arrivals fall into the tick of their target's own spike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from biosim import Simulation
from biosim.network import Network
from biosim.ranks import PretendRanks
from biosim.spiking.description import Sparse, Spiking, SynapseModel
from biosim.spiking.recording import MemorySink, Recording, SpikeRecord, WeightRecord
from biosim.wiring import AllToAll, Pairs
from rules.bcm import Bcm
from rules.clopath import Clopath
from rules.homeostasis import Homeostasis
from rules.inhibitory_stdp import InhibitoryStdp
from rules.reward_stdp import RewardStdp
from rules.stdp import Stdp
from rules.triplet_stdp import TripletStdp
from tests.reference import naive_synapses as naive
from tests.reference import taught

DT = naive.DT
SOURCES, TARGETS = 16, 10
LONGEST, DENSE_DELAY = 20, 5
PAIR = {"a_plus": 0.02, "a_minus": 0.021, "tau_plus_ms": 17.0, "tau_minus_ms": 34.0}
AMPLITUDES = {"a2_plus": 0.005, "a3_plus": 0.062, "a2_minus": 0.07, "a3_minus": 0.023}
TIMES = {"tau_x_ms": 101.0, "tau_y_ms": 125.0}
OWN = SynapseModel(
    model="""w : 1
    dr/dt = -r/(20*ms) : 1 (event-driven)
    dattention/dt = -attention/(300*ms) : 1 (clock-driven, shared)""",
    on_pre="receptor += w; r += 1",
    on_post="w = clip(w + 0.05*attention*r - 0.02, 0, 1)",
    bounds={"w": (0, 1)},
)


@dataclass(frozen=True)
class Case:
    """A rule in the machine and by hand; `ticks` is how long both can take."""

    synapse: Callable[[], SynapseModel]
    by_hand: naive.Naive
    ticks: int = 9000
    modulator: str | None = None
    neuron: Callable[[Spiking], Spiking] = lambda model: model
    swap_shows: bool = True


def additive(pairing: str) -> Case:
    rule = Stdp(pairing=pairing, **PAIR)  # type: ignore[arg-type]
    return Case(rule.synapse, naive.pair(lambda w: 0.02, lambda w: 0.021, pairing))


def of_triplets(pairing: str) -> Case:
    rule = TripletStdp(pairing=pairing, w_max=1.0, **AMPLITUDES, **TIMES)  # type: ignore[arg-type]
    return Case(rule.synapse, naive.triplet(pairing))


CASES = {
    "stdp additive": additive("all"),
    "stdp nearest": additive("nearest"),
    "stdp immediate": additive("immediate"),
    "stdp multiplicative": Case(
        Stdp(weights="multiplicative", **PAIR).synapse,
        naive.pair(lambda w: 0.02 * (1 - w), lambda w: 0.021 * w, "all"),
    ),
    "stdp power law": Case(
        Stdp(weights="power_law", mu=0.4, w_ref=0.1, **PAIR).synapse,
        naive.pair(lambda w: 0.002 * (w / 0.1) ** 0.4, lambda w: 0.021 * w, "all"),
    ),
    "triplet_stdp": of_triplets("all"),
    "triplet_stdp nearest": of_triplets("nearest"),
    "inhibitory_stdp": Case(
        InhibitoryStdp(eta=0.02, rho0_hz=12.0).synapse,
        naive.inhibitory(),
        swap_shows=False,  # symmetric: a coincidence counts the same either way
    ),
    "bcm": Case(Bcm(a3_plus=0.065, rho0_hz=30.0, tau_rate_ms=500.0).synapse, naive.bcm()),
    "reward_stdp": Case(
        RewardStdp(rate_hz=2.0, tau_c_ms=400.0, tau_minus_ms=25.0, baseline=0.1).synapse,
        naive.reward(),
        ticks=4000,
        modulator="dopamine",
    ),
    "homeostasis": Case(
        Homeostasis(rho0_hz=30.0, tau_w_ms=2000.0, tau_rate_ms=500.0).synapse,
        naive.scaling(),
        ticks=4000,
        swap_shows=False,  # a post spike changes nothing that an arrival reads
    ),
    "clopath": Case(
        Clopath().synapse,
        naive.voltage(),
        ticks=4000,
        neuron=lambda model: replace(
            Clopath().neuron(model), initial=dict.fromkeys(("v", "u_minus", "u_plus"), "-70*mV")
        ),
        swap_shows=False,  # a post spike does nothing
    ),
    "five lines of one's own": Case(lambda: OWN, naive.own(), ticks=4000, modulator="attention"),
}


@dataclass(frozen=True)
class Trains:
    """Spikes and synapses of a run."""

    pre: list[np.ndarray]
    post: list[np.ndarray]
    synapses: list[tuple[int, int, int, float]]
    ticks: int
    modulated: dict[int, float]


def trains(ticks: int, targets: int = TARGETS, dense: bool = False, seed: int = 3) -> Trains:
    draw = np.random.default_rng(seed)
    pre = [np.flatnonzero(draw.random(ticks) < 0.06) for _ in range(SOURCES)]
    # The neurons of the post population spike together now and then.
    together = np.flatnonzero(draw.random(ticks) < 0.02)
    post = [np.union1d(np.flatnonzero(draw.random(ticks) < 0.05), together) for _ in range(targets)]
    pre[0] = pre[0][:1]
    pre[1] = pre[1][(pre[1] < 200) | (pre[1] > ticks - 200)]  # silent for longer than REACH
    pre[2] = pre[2][::20]  # dozens of post spikes between two arrivals
    post = [spikes[(spikes > 2) & (spikes < ticks - 2)] for spikes in post]
    synapses = [
        (i, j, int(draw.integers(1, LONGEST + 1)), float(draw.uniform(0.2, 0.8)))
        for j in range(targets)
        for i in range(SOURCES)
        if dense or draw.random() < 0.8
    ]
    if dense:
        synapses = [(i, j, DENSE_DELAY, 0.5) for i, j, _, _ in synapses]
    modulated = {k: float(draw.uniform(0.2, 1.0)) for k in range(150, ticks, 377)}
    return Trains(pre, post, synapses, ticks, modulated)


def network(case: Case, run: Trains, dense: bool = False) -> Network:
    i, j, delays, weights = (np.array(column) for column in zip(*run.synapses, strict=True))
    sparse = Sparse(Pairs(i, j), weights, delays * DT, case.synapse())
    if dense:
        sparse = Sparse(AllToAll(), 0.5, None, case.synapse())
    return taught.network(
        sparse, run.pre, run.post, DT, DENSE_DELAY, neuron=case.neuron, kick="60*mV"
    )


@dataclass(frozen=True)
class Found:
    """What the machine made of it: weights by (target, source), and what targets got."""

    weights: np.ndarray
    got: np.ndarray
    spikes: list[np.ndarray]


def in_machine(
    case: Case, run: Trains, dense: bool = False, ranks: int = 1, threads: int = 1
) -> Found:
    sink = MemorySink()
    described = network(case, run, dense)
    recording = Recording(
        spikes=(SpikeRecord("post"),), weights=(WeightRecord(taught.LEARNS, run.ticks),)
    )

    def program(mine: Any) -> np.ndarray:
        sim = Simulation(
            described,
            dtype=torch.float64,
            ranks=mine,
            threads=threads,
            recording=recording,
            sink=sink,
        )
        assert sim.machine is not None
        for binding in sim.machine.bindings:
            assert binding.plastic[0].code.dense == dense
        if case.modulator is not None:
            for tick, amount in run.modulated.items():
                sim.run_to(tick)
                sim.machine.modulate(taught.LEARNS, case.modulator, amount)
        sim.run_to(run.ticks)
        return np.concatenate([shard.variable(2, "got") for shard in sim.machine.shards])

    got = PretendRanks(ranks).run(program)
    spikes = sink.spikes["post"]
    return Found(
        sink.weights[taught.LEARNS].values["w"][-1],
        np.concatenate(got),
        [np.asarray(spikes.ticks[spikes.neurons == j]) for j in range(len(run.post))],
    )


def by_hand(case: Case, run: Trains, swapped: bool = False) -> naive.Learnt:
    return naive.simulate(
        case.by_hand,
        run.synapses,
        run.pre,
        run.post,
        run.ticks,
        kick=0.06,
        modulated=run.modulated,
        swapped=swapped,
    )


@cache
def sparse(name: str) -> tuple[Case, Trains, Found]:
    case = CASES[name]
    run = trains(case.ticks)
    return case, run, in_machine(case, run)


def assert_equal(found: Found, learnt: naive.Learnt, run: Trains) -> None:
    for spikes, asked in zip(found.spikes, run.post, strict=True):
        np.testing.assert_array_equal(spikes, asked)
    np.testing.assert_allclose(found.weights, learnt.weights, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.got, learnt.got, rtol=1e-9)


@pytest.mark.parametrize("name", list(CASES))
def test_the_machine_equals_the_loop(name: str) -> None:
    case, run, found = sparse(name)
    learnt = by_hand(case, run)
    assert learnt.coincidences >= 1000
    assert np.ptp(learnt.weights) > 0.1
    assert abs(learnt.weights - [w for *_, w in run.synapses]).max() > 0.1
    assert_equal(found, learnt, run)


SWAPPED = [name for name, case in CASES.items() if case.swap_shows]


@pytest.mark.parametrize(
    "name", [SWAPPED[0], *(pytest.param(name, marks=pytest.mark.slow) for name in SWAPPED[1:])]
)
def test_the_other_order_of_coincident_events_is_found(name: str) -> None:
    case, run, found = sparse(name)
    swapped = by_hand(case, run, swapped=True).weights
    assert abs(found.weights - swapped).max() > 1e-3


def test_delays_that_are_a_tick_off_are_found() -> None:
    case, run, found = sparse("stdp additive")
    late = replace(run, synapses=[(i, j, d + 1, w) for i, j, d, w in run.synapses])
    assert abs(found.weights - by_hand(case, late).weights).max() > 1e-3


@pytest.mark.parametrize("name", ["stdp additive", "stdp immediate", "five lines of one's own"])
def test_dense_projections_equal_the_loop(name: str) -> None:
    case = CASES[name]
    run = trains(3000, dense=True)
    assert_equal(in_machine(case, run, dense=True), by_hand(case, run), run)


@pytest.mark.parametrize(
    "name",
    [
        "stdp additive",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("stdp immediate", "reward_stdp")),
    ],
)
@pytest.mark.parametrize(("ranks", "threads"), [(1, 3), (2, 1), (2, 2)])
def test_ranks_and_threads_give_the_same_bits(name: str, ranks: int, threads: int) -> None:
    # More neurons than two blocks of 256, of which any shard owns whole ones.
    case, run = CASES[name], trains(400, targets=600)
    alone, shared = in_machine(case, run), in_machine(case, run, ranks=ranks, threads=threads)
    np.testing.assert_array_equal(alone.weights, shared.weights)
    np.testing.assert_array_equal(alone.got, shared.got)
    assert np.ptp(alone.weights) > 0.1
