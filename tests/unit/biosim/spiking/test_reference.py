"""The reference's claims, each against a number that can be worked out by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from biosim.equations import Assign, Effect, NeuronCode, SynapseCode, Trace, Variable
from biosim.events import Kind
from biosim.network import Network, NetworkError, Population, Projection
from biosim.spiking.description import (
    PoissonInput,
    PoissonSource,
    Sparse,
    SpikeList,
    Spiking,
    StepCurrent,
    SynapseModel,
)
from biosim.spiking.recording import Spikes
from biosim.spiking.reference import simulate
from biosim.spiking.reference.chance import Chance
from biosim.spiking.reference.parts import Neuron, Synapse
from biosim.spiking.reference.scalar import evaluate
from biosim.spiking.start import Joined, Outcome, Start
from biosim.wiring import OneToOne

DT = 1e-3

COUNTER = Spiking("v : 1\ng : 1", threshold="v > 0.5", reset="v = 0")
"""Spikes when something has arrived at v."""

PAIR = SynapseModel(
    model="""
    w : 1
    dx/dt = -x/(20*ms) : 1 (event-driven)
    dy/dt = -y/(20*ms) : 1 (event-driven)
    """,
    on_pre="x += 1; w += 10*y",
    on_post="y += 1; w += 100*x",
)


def joined(*synapses: tuple[int, int, float, int]) -> Joined:
    pre, post, weight, delay = (np.array(column) for column in zip(*synapses, strict=True))
    return Joined(pre, post, weight.astype(float), delay)


def feed(
    spikes: list[tuple[int, int]],
    model: Spiking = COUNTER,
    synapse: SynapseModel | None = None,
    receptor: str = "v",
    **changes: Any,
) -> Network:
    at = np.array(spikes, dtype=np.int64).reshape(-1, 2)
    sparse = Sparse(OneToOne(), 1.0, synapse=synapse)
    network = Network(
        populations=(
            Population("input", 4, SpikeList(at[:, 1], at[:, 0])),
            Population("output", 2, model),
        ),
        projections=(
            Projection("in", "input", "output", "spikes", receptor, Kind.SPIKE, weights=sparse),
        ),
        dt=DT,
    )
    return replace(network, **changes)


def ticks_of(outcome: Outcome, neuron: int = 0) -> list[int]:
    spikes = outcome.spikes["output"]
    return [int(t) for t in spikes.ticks[spikes.neurons == neuron]]


def test_a_spike_arrives_after_its_delay() -> None:
    start = Start(synapses={"in": joined((0, 0, 1.0, 1), (1, 0, 1.0, 5), (1, 1, 1.0, 300))})
    found = simulate(feed([(2, 0), (10, 1)]), start, 400)
    assert ticks_of(found) == [3, 15]
    assert ticks_of(found, 1) == [310]


def test_input_that_meets_a_reset_is_erased() -> None:
    # The spike of tick 3 is reset at the beginning of tick 4, after what arrives there.
    start = Start(synapses={"in": joined((0, 0, 1.0, 1))})
    assert ticks_of(simulate(feed([(2, 0), (3, 0), (4, 0)]), start, 10)) == [3, 5]


def test_refractory_neurons_hold_still_and_ignore_input_to_gated_variables() -> None:
    model = Spiking(
        "dv/dt = 1/ms : 1 (unless refractory)",
        threshold="v > 2.5",
        reset="v = 0",
        refractory="4*ms",
        method="euler",
    )
    start = Start(synapses={"in": joined((0, 0, 1.0, 1))})
    # Without input it is above threshold after tick 2, and starts again with tick 2 + 4.
    found = simulate(feed([(5, 0)], model), start, 20, sample={"output": ["v"]})
    assert ticks_of(found) == [2, 8, 14]
    assert found.samples["output"]["v"][:9, 0].tolist() == [0, 1, 2, 0, 0, 0, 0, 1, 2]
    # Arriving at tick 6 it meets a neuron that is refractory still; at tick 7 it counts.
    assert ticks_of(simulate(feed([(6, 0)], model), start, 20))[:2] == [2, 7]


def test_a_refractory_time_of_the_neuron_is_taken_at_its_spike() -> None:
    model = Spiking("v : 1\nrest : second", "v > 0.5", refractory="rest")
    start = Start(
        {"output": {"v": np.ones(2), "rest": np.array([0.003, 0.005])}},
        {"in": joined((0, 0, 0.0, 1))},
    )
    found = simulate(feed([], model), start, 12)
    assert ticks_of(found, 0) == [0, 3, 6, 9]
    assert ticks_of(found, 1) == [0, 5, 10]


def test_a_condition_keeps_a_neuron_refractory() -> None:
    model = Spiking("dv/dt = 1/ms : 1", "v > 1.5", refractory="v > 0.5", method="euler")
    start = Start(synapses={"in": joined((0, 0, -6.0, 1))})
    assert ticks_of(simulate(feed([(5, 0)], model), start, 12)) == [1, 7]


def test_a_reset_sees_the_time_of_its_spike() -> None:
    model = Spiking("v : 1\nlast : second", "v > 0.5", "v = 0; last = t")
    start = Start(synapses={"in": joined((0, 0, 1.0, 1))})
    found = simulate(feed([(4, 0)], model), start, 8)
    assert ticks_of(found) == [5]
    assert found.variables["output"]["last"][0] == pytest.approx(0.005)


def test_pre_before_post_at_a_coincidence() -> None:
    # The target spikes at tick 3, so that its on_post falls on tick 4, as does the second arrival.
    network = feed([(2, 0), (3, 1)], synapse=PAIR, receptor="g")
    force = Projection(
        "force", "input", "output", "spikes", "v", Kind.SPIKE, weights=Sparse(OneToOne(), 1.0)
    )
    network = replace(network, projections=(*network.projections, force))
    start = Start(synapses={"in": joined((1, 0, 0.0, 1)), "force": joined((0, 0, 1.0, 1))})
    found = simulate(network, start, 6)
    assert ticks_of(found) == [3]
    # on_pre finds y = 0 and makes x = 1, which on_post reads undecayed.
    assert found.synapses["in"]["w"][0] == pytest.approx(100.0)


@pytest.mark.parametrize(("wait", "decay"), [(0, 3), (2, 5)])
def test_traces_decay_by_the_ticks_between_events(wait: int, decay: int) -> None:
    network = feed([(1, 1), (3, 0)], synapse=replace(PAIR, delay_post=wait), receptor="g")
    force = Projection(
        "force", "input", "output", "spikes", "v", Kind.SPIKE, weights=Sparse(OneToOne(), 1.0)
    )
    network = replace(network, projections=(*network.projections, force))
    start = Start(synapses={"in": joined((1, 0, 0.0, 1)), "force": joined((0, 0, 1.0, 1))})
    # Arrival at tick 2, spike at tick 4, on_post at tick 5 or later.
    found = simulate(network, start, 5 + wait)
    assert found.synapses["in"]["w"][0] == 0.0
    found = simulate(network, start, 6 + wait)
    assert found.synapses["in"]["w"][0] == pytest.approx(100.0 * np.exp(-decay / 20))


def test_synapses_read_neurons_as_they_were_before_the_ticks_input() -> None:
    reading = SynapseModel("w : 1", on_pre="w = g_post; g_post += 1")
    network = feed([(0, 0), (0, 1), (4, 1)], synapse=reading, receptor="g")
    start = Start(synapses={"in": joined((0, 0, -1.0, 1), (1, 0, -1.0, 1))})
    assert simulate(network, start, 3).synapses["in"]["w"].tolist() == [0.0, 0.0]
    assert simulate(network, start, 6).synapses["in"]["w"].tolist() == [0.0, 2.0]


def test_input_is_rounded_to_the_resolution_and_summed_as_integers() -> None:
    start = Start(synapses={"in": joined((0, 0, 0.30, 1), (1, 0, 0.10, 1), (2, 0, -0.13, 1))})
    network = feed([(0, 0), (0, 1), (0, 2)], receptor="g")
    exact = simulate(network, start, 2).variables["output"]["g"][0]
    assert exact == pytest.approx(0.27, abs=1e-16)
    coarse = simulate(network, start, 2, resolution={("output", "g"): 0.25})
    # 0.30 -> 1, 0.10 -> 0 and -0.13 -> -1 quarters.
    assert coarse.variables["output"]["g"][0] == 0.0


def test_exact_sums_do_not_depend_on_the_order_of_synapses() -> None:
    chance = np.random.default_rng(0)
    weights = chance.standard_normal(60) * 10.0 ** chance.integers(-9, 9, 60)
    synapses = [(int(chance.integers(4)), 0, w, 1) for w in weights]
    network = feed([(0, 0), (0, 1), (0, 2), (0, 3)], receptor="g")
    found = [
        simulate(network, Start(synapses={"in": joined(*order)}), 2).variables["output"]["g"][0]
        for order in (synapses, synapses[::-1])
    ]
    assert found[0] == found[1]
    floats = [float(np.cumsum(weights[::step])[-1]) for step in (1, -1)]
    assert floats[0] != floats[1]


def test_step_currents_hold_from_their_tick_on() -> None:
    model = Spiking("dv/dt = I/ms : 1\nI : 1\ng : 1", method="euler")
    current = StepCurrent("step", "output", "I", (2, 4), [[1.0, 2.0], [0.0, -1.0]])
    start = Start(synapses={"in": joined((0, 0, 0.0, 1))})
    found = simulate(feed([], model, stimuli=(current,)), start, 6, sample={"output": ["v", "I"]})
    assert found.samples["output"]["I"][:, 1].tolist() == [0, 0, 2, 2, -1, -1]
    assert found.samples["output"]["v"][:, 1].tolist() == [0, 0, 0, 2, 4, 3]


def test_samples_are_taken_every_so_many_ticks_also_of_subexpressions() -> None:
    model = Spiking("dv/dt = 1/ms : 1\ntwice = 2*v : 1\ng : 1", method="euler")
    start = Start(synapses={"in": joined((0, 0, 0.0, 1))})
    found = simulate(feed([], model), start, 8, sample={"output": ["twice"]}, every=3)
    assert found.samples["output"]["twice"][:, 0].tolist() == [0, 6, 12]
    assert found.every == 3


def test_poisson_input_arrives_in_the_tick_of_its_count() -> None:
    drive = PoissonInput("drive", "output", "v", rate="100*Hz", weight=1.0)
    counts = np.zeros((6, 2), dtype=np.int64)
    counts[0, 0] = counts[4, 1] = 1
    start = Start(synapses={"in": joined((0, 0, 0.0, 1))})
    found = simulate(feed([], stimuli=(drive,)), start, 6, counts={"drive": counts})
    assert ticks_of(found) == [0]
    assert ticks_of(found, 1) == [4]


def test_random_sources_fire_at_their_rates_and_repeat_by_seed() -> None:
    network = feed([])
    rates = np.array([0.0, 50.0, 200.0, 1000.0])
    source = Population("input", 4, PoissonSource(rates))
    network = replace(network, populations=(source, network.populations[1]))
    start = Start(synapses={"in": joined((0, 0, 0.0, 1))})
    first, again, other = (simulate(network, start, 2000, seed=seed) for seed in (1, 1, 2))
    counts = np.bincount(first.spikes["input"].neurons, minlength=4)
    assert counts[0] == 0
    assert counts[3] == 2000
    assert counts[1:3] == pytest.approx([100, 400], rel=0.25)
    np.testing.assert_array_equal(first.spikes["input"].ticks, again.spikes["input"].ticks)
    assert len(first.spikes["input"].ticks) != len(other.spikes["input"].ticks)


def test_a_replay_takes_the_place_of_draws() -> None:
    network = feed([])
    source = Population("input", 4, PoissonSource("100*Hz"))
    network = replace(network, populations=(source, network.populations[1]))
    replay = {"input": Spikes(np.array([3]), np.array([0], dtype=np.uint32))}
    start = Start(synapses={"in": joined((0, 0, 1.0, 2))})
    assert ticks_of(simulate(network, start, 9, replay=replay)) == [5]


def test_noise_has_the_variance_of_its_equation() -> None:
    model = Spiking("dv/dt = -v/(10*ms) + (2/(10*ms))**0.5*xi : 1\ng : 1", method="euler")
    start = Start(synapses={"in": joined((0, 0, 0.0, 1))})
    network = feed([])
    many = Population("output", 50, model)
    network = replace(network, populations=(network.populations[0], many))
    found = simulate(network, start, 400, seed=4, sample={"output": ["v"]}, every=40)
    # Euler's method with step h and time constant tau has variance 1 / (1 - h / 2 tau).
    assert found.samples["output"]["v"][2:].var() == pytest.approx(1 / 0.95, rel=0.25)


def test_draws_are_standard_normal_and_poisson_and_each_neurons_own() -> None:
    chance = Chance(0, "noise/e", 1000)
    normal = np.stack([chance.normal(tick) for tick in range(20)])
    assert normal.mean() == pytest.approx(0.0, abs=0.03)
    assert normal.std() == pytest.approx(1.0, abs=0.03)
    assert len(np.unique(normal)) == normal.size
    assert not np.array_equal(chance.normal(0, 0), chance.normal(0, 1))
    counts = np.stack([chance.poisson(tick, np.full(1000, 3.0)) for tick in range(20)])
    assert counts.mean() == pytest.approx(3.0, abs=0.05)
    assert counts.var() == pytest.approx(3.0, abs=0.15)
    assert (chance.poisson(0, np.zeros(1000)) == 0).all()


def test_a_draw_does_not_depend_on_how_many_neurons_there_are() -> None:
    few, many = Chance(0, "noise/e", 300), Chance(0, "noise/e", 700)
    np.testing.assert_array_equal(few.normal(7), many.normal(7)[:300])
    np.testing.assert_array_equal(few.uniform(2**40), many.uniform(2**40)[:300])


def test_scalar_code_goes_on_where_python_would_stop() -> None:
    with np.errstate(all="ignore"):
        assert evaluate("v / (v - v)", {"v": np.float64(1.0)}) == np.inf
        assert np.isnan(evaluate("(-v) ** 0.5", {"v": np.float64(1.0)}))
    assert evaluate("exprel(v)", {"v": np.float64(0.0)}) == 1.0
    assert evaluate("exprel(v)", {"v": np.float64(1.0)}) == pytest.approx(np.e - 1)
    assert evaluate("where(v > 0, clip(v, 0.0, 0.5), -1.0)", {"v": np.float64(3.0)}) == 0.5
    assert evaluate("int(v)", {"v": np.float64(-2.7)}) == -2.0


def test_states_are_written_in_the_order_of_the_code_and_gated_ones_not_at_all() -> None:
    code = NeuronCode(
        variables=(
            Variable("v", "state", "float", "1", gated=True),
            Variable("u", "state", "float", "1"),
            Variable("k", "parameter", "integer", "1"),
        ),
        update=(Assign("_next_v", "u + 1.0"), Assign("u", "v"), Assign("v", "_next_v")),
        subexpressions={},
        threshold="u > 100.0",
        reset=(Assign("k", "k + 1.9"), Assign("v", "0.0")),
        refractory_ticks=3,
        refractory=None,
        refractory_condition=None,
        noise=(),
        uniform=(),
        method="euler",
        jump=None,
        ceiling=None,
        ceiling_reason="",
    )
    neuron = Neuron(code, {"v": np.float64(5.0), "u": np.float64(200.0), "k": 1})
    assert neuron.spikes(0, DT)
    neuron.reset()
    assert (neuron.scope["v"], neuron.scope["k"]) == (0.0, 2)
    neuron.scope["v"] = np.float64(7.0)
    neuron.update(1)
    assert (neuron.scope["v"], neuron.scope["u"]) == (7.0, 7.0)
    assert not neuron.spikes(1, DT)
    neuron.update(3)
    assert (neuron.scope["v"], neuron.scope["u"]) == (8.0, 7.0)


def test_versions_of_a_trace_are_read_where_the_code_says() -> None:
    code = SynapseCode(
        variables=(Variable("w", "parameter", "float", "1"),),
        pre_traces=(Trace("x", "x * exp(-elapsed)"),),
        pre_prelude=(Assign("x_1", "x + 1.0"), Assign("x_2", "2.0 * x_1")),
        pre_final={"x": "x_2"},
        on_pre=(Assign("w_1", "w + x"), Assign("w", "w_1 + 10.0 * x_1")),
        effects=(Effect("g", "w_1"), Effect("g", "x_2")),
    )
    synapse = Synapse(code, 0, 0, {"w": np.float64(0.0), "x": np.float64(4.0)})
    added = synapse.on_pre(1, np.log(2.0), {})
    assert added == {"g": pytest.approx(2.0 + 6.0)}
    assert synapse.values == {"w": pytest.approx(32.0), "x": pytest.approx(6.0)}


def test_clock_driven_variables_move_every_tick() -> None:
    synapse = SynapseModel("w : 1\ndu/dt = -u/(10*ms) : 1 (clock-driven)", on_pre="u += w")
    start = Start(synapses={"in": joined((0, 0, 1.0, 1))})
    found = simulate(feed([(0, 0)], synapse=synapse, receptor="g"), start, 6)
    # Arrives at tick 1, then five ticks pass.
    assert found.synapses["in"]["u"][0] == pytest.approx(np.exp(-5 / 10))


@pytest.mark.parametrize(
    ("network", "start", "says"),
    [
        (feed([], dt=None), Start(), "the network has no dt"),
        (feed([]), Start(), "'in' has no synapses at the start"),
    ],
)
def test_what_it_cannot_run_is_refused(network: Network, start: Start, says: str) -> None:
    with pytest.raises(NetworkError, match=says):
        simulate(network, start, 1)


def test_other_populations_are_refused() -> None:
    class Graded:
        def check(self, *_: Any) -> None: ...

    network = feed([], populations=(Population("x", 1, Graded()),), projections=())  # type: ignore[arg-type]
    with pytest.raises(NetworkError, match="'x' is a Graded; the reference runs Spiking"):
        simulate(network, Start(), 1)
