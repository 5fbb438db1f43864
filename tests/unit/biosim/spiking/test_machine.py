"""What can be done to a machine between two runs, and what it says of itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from biosim.network import Network, NetworkError, Population
from biosim.ranks import PretendRanks
from biosim.simulation import Simulation
from biosim.spiking.description import Normal, Sparse, Spiking, SynapseModel
from biosim.spiking.recording import Recording, SpikeRecord, StateRecord
from biosim.spiking.reference import simulate
from biosim.spiking.start import drawn_start
from biosim.wiring import OneToOne, Pairs
from tests.unit.biosim.spiking.small import (
    COUNTER,
    DOUBLE,
    DT,
    GROWING,
    SIZE,
    counting,
    growing,
    listed,
    of_states,
    of_weights,
    pairs_of,
    run,
    spikes,
)

# --- statements at a spike

DRAWING = Spiking(
    """
    dv/dt = 1/ms + 0.1*xi*ms**-0.5 : 1 (unless refractory)
    x : 1
    """,
    threshold="v > 0.3 + 0.1*rand()",
    reset="high = int(v > 0.35); half = v/2; x = half*(2*high - 1) + randn(); v = 0.1*rand()",
    refractory="(0.2 + rand())*ms",
)


@pytest.mark.parametrize("threads", [1, 2])
def test_what_a_spike_draws_and_keeps_for_its_statements_is_that_of_the_reference(
    threads: int,
) -> None:
    network = Network((Population("out", SIZE, DRAWING),), (), dt=DT)
    record = Recording((SpikeRecord("out"),), (StateRecord("out", ("v", "x")),))
    sink, _ = run(network, 40, record, dtype=DOUBLE, seed=3, threads=threads)
    expected = simulate(network, drawn_start(network, 3), 40, seed=3, sample={"out": ("v", "x")})
    found = sink.spikes["out"]
    assert len(found.ticks) > SIZE
    np.testing.assert_array_equal(found.ticks, expected.spikes["out"].ticks)
    np.testing.assert_array_equal(found.neurons, expected.spikes["out"].neurons)
    for name, values in expected.samples["out"].items():
        np.testing.assert_allclose(sink.states["out", name].values, values, rtol=1e-12)
    assert len(np.unique(values)) > SIZE


# --- variables


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_variable_is_set_for_all_neurons_whoever_owns_them(threads: int) -> None:
    sink, simulation = run(counting(listed()), 2, of_states(), threads=threads)
    each = np.arange(SIZE, dtype=float)
    simulation.machine.set("out", "x", each)
    simulation.machine.set("out", "n", 7)
    simulation.run_to(4)
    assert sink.states["out", "x"].values[:, 599].tolist() == [1, 1, 599, 599]
    np.testing.assert_array_equal(sink.states["out", "x"].values[3], each.astype("f4"))
    assert sink.states["out", "n"].values[:, 5].tolist() == [0, 0, 7, 7]


ASLEEP = replace(
    COUNTER, model="dv/dt = -v/(10*ms) : 1\nn : integer", method="exact", integration="event",
    initial={},
)  # fmt: skip


@pytest.mark.parametrize(
    ("population", "variable", "values", "message"),
    [
        ("in", "v", 1.0, "'in' has no variables; populations with equations: out"),
        ("nobody", "v", 1.0, "'nobody' has no variables; populations with equations: out"),
        ("out", "u", 1.0, r"'out' has no variable 'u', only \['v', 'x'"),
        ("out", "v", [1.0, 2.0], r"'v' of 'out': got shape \(2,\); expected one number or \(600,"),
    ],
)
def test_what_cannot_be_set_is_refused(population, variable, values, message: str) -> None:
    _, simulation = run(counting(listed()), 0, of_states([0]))
    with pytest.raises(NetworkError, match=message):
        simulation.machine.set(population, variable, values)


def test_neurons_that_sleep_are_not_set() -> None:
    _, simulation = run(counting(listed(), ASLEEP), 0, Recording())
    simulation.machine.set("out", "v", 0.25)
    assert (simulation.machine.shards[0].variable(1, "v") == 0.25).all()
    simulation.run_to(3)
    with pytest.raises(NetworkError, match="'v' of 'out' cannot be set while its neurons sleep"):
        simulation.machine.set("out", "v", 0.5)


def test_what_synapses_keep_a_copy_of_is_not_set() -> None:
    synapse = SynapseModel("w : 1", "v_post += w*I_pre", bounds={"w": (0, 1), "I_pre": (0, 5)})
    network = Network(
        (Population("in", 3, COUNTER), Population("out", 3, COUNTER)),
        (spikes("p", "in", "out", "v", Sparse(OneToOne(), 1.0, synapse=synapse)),),
        dt=DT,
    )
    simulation = Simulation(network)
    simulation.machine.set("out", "I", 1.0)
    message = "'I' of 'in' cannot be set: the synapses of projection 'p' read it and keep a copy"
    with pytest.raises(NetworkError, match=message):
        simulation.machine.set("in", "I", 1.0)


def test_synapses_read_the_parameters_of_their_source() -> None:
    synapse = SynapseModel("w : 1", "v_post += w*I_pre", bounds={"w": (0, 1), "I_pre": (0, 5)})
    source = replace(COUNTER, initial={"I": "i", "v": "1.0*(i > 1)"})
    network = Network(
        (Population("in", 5, source), Population("out", 5, replace(COUNTER, threshold="v > 9"))),
        (spikes("p", "in", "out", "v", Sparse(OneToOne(), 0.5, synapse=synapse), 2),),
        dt=DT,
    )
    simulation = Simulation(network)
    simulation.run_to(3)
    assert simulation.machine.shards[0].variable(1, "v").tolist() == [0, 0, 1.0, 1.5, 2.0]


# --- synapses that learn


def test_a_shared_variable_is_changed_for_all_and_not_for_what_was() -> None:
    described = growing(listed((1, 7), (10, 7), (1, 300), (10, 300)), 1.0)
    found = []
    for threads in (1, 3):
        _, simulation = run(described, 6, of_weights(), threads=threads)
        simulation.machine.modulate("in>out", "gain", 0.125)
        simulation.run_to(12)
        found.append(simulation.machine.weights("in>out")[2]["w"])
    w = found[0]
    assert w.tobytes() == found[1].tobytes()
    # 1 at tick 3, on_post adds a quarter of the trace; only from then on an arrival adds anything.
    assert w[7] == w[300] == pytest.approx(1 + 0.25 * np.exp(-0.01), rel=1e-6)
    simulation.run_to(14)
    later = simulation.machine.weights("in>out")[2]["w"]
    on_post = 0.25 * np.exp(-0.01) * (1 + np.exp(-0.09))
    assert later[7] == pytest.approx(w[7] + 0.125 + on_post, rel=1e-6)
    assert (np.delete(later, [7, 300]) == 1).all()


@pytest.mark.parametrize(
    ("projection", "variable", "message"),
    [
        ("in>out", "w", "projection 'in>out' has no shared variable 'w'; it has gain"),
        ("out>in", "gain", "projection 'out>in' does not learn; those that do: in>out"),
    ],
)
def test_what_is_not_shared_cannot_be_modulated(projection, variable, message: str) -> None:
    _, simulation = run(growing(listed()), 0, of_weights())
    with pytest.raises(NetworkError, match=message):
        simulation.machine.modulate(projection, variable, 1.0)


def test_static_synapses_do_not_learn() -> None:
    _, simulation = run(counting(listed()), 0, of_states([0]))
    with pytest.raises(NetworkError, match="'in>out' does not learn; those that do: none"):
        simulation.machine.weights("in>out")


def test_on_post_may_be_later_than_any_arrival_and_any_window() -> None:
    made = counting(listed((2, 7)))
    late = SynapseModel("w : 1", on_post="w += 1", delay_post=1500)
    learns = spikes("late", "in", "out", "v", Sparse(OneToOne(), 0.0, synapse=late))
    network = replace(made, projections=(*made.projections, learns))
    _, simulation = run(network, 0, Recording())
    # It spikes at tick 5.
    for tick, expected in ((600, 0), (1506, 0), (1507, 1), (3100, 1)):
        simulation.run_to(tick)
        assert simulation.machine.weights("late")[2]["w"].sum() == expected


def test_synapses_are_scaled_target_by_target() -> None:
    chance = np.random.default_rng(0)
    pre, post = chance.integers(0, SIZE, (2, 3000))
    post[post == 17] = 18  # a neuron that gets nothing
    weights = chance.random(3000)
    weights[post == 300] = 0.0  # and one whose synapses add up to nothing
    described = growing(listed((1, 5), (4, 9)), weights, (pre, post))
    found = []
    for threads in (1, 2, 3):
        _, simulation = run(described, 20, of_weights(), threads=threads)
        before = simulation.machine.weights("in>out")[2]["w"]
        simulation.machine.scale_to("in>out", 1.5)
        _, targets, values = simulation.machine.weights("in>out")
        found.append(values["w"])
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()
    sums = np.bincount(targets, values["w"], minlength=SIZE)
    there = np.setdiff1d(np.unique(post), [300])
    np.testing.assert_allclose(sums[there], 1.5, rtol=1e-5)
    assert sums[17] == 0
    np.testing.assert_array_equal(values["w"][targets == 300], before[targets == 300])
    ratio = values["w"][targets == 5] / before[targets == 5]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)
    with pytest.raises(NetworkError, match="'out>in' does not learn"):
        simulation.machine.scale_to("out>in", 1.0)


def test_scaling_takes_what_spikes_have_done_until_now() -> None:
    # The spike of neuron 7 at tick 3 has added 0.25 to its synapse, whose row has not caught up.
    _, simulation = run(growing(listed((1, 7)), 1.0), 20, of_weights())
    simulation.machine.scale_to("in>out", 1.25)
    assert (simulation.machine.weights("in>out")[2]["w"] == 1.25).all()


def test_traces_start_where_they_are_told() -> None:
    synapse = SynapseModel(
        """
        w : 1
        dx/dt = (1 - x)/(10*ms) : 1 (event-driven)
        dy/dt = -y/(10*ms) : 1 (event-driven)
        """,
        on_pre="v_post += w*x; x -= 0.5*x; w = clip(w + y, 0, 1)",
        on_post="y += 0",
        bounds={"w": (0, 1), "x": (0, 1)},
        initial={"x": 1.0, "y": 0.25},
    )
    network = Network(
        (Population("in", 2, listed((1, 0), (2, 0))), Population("out", 2, COUNTER)),
        (spikes("p", "in", "out", "v", Sparse(OneToOne(), 0.125, synapse=synapse)),),
        dt=DT,
    )
    simulation = Simulation(network)
    simulation.run_to(3)
    assert simulation.machine.shards[0].variable(1, "v")[0] == pytest.approx(0.125, rel=1e-6)
    simulation.run_to(4)
    w = 0.125 + 0.25 * np.exp(-0.02)
    assert simulation.machine.weights("p")[2]["w"][0] == pytest.approx(
        w + 0.25 * np.exp(-0.03), rel=1e-5
    )


def test_what_synapses_start_with_may_have_units_and_use_constants() -> None:
    model = """
    w : 1
    y : 1
    dx/dt = -x/(10*ms) : volt (event-driven)
    """
    synapse = SynapseModel(
        model,
        on_pre="w = y*x/mV",
        constants={"half": 0.5},
        initial={"y": "half*(j + 1)", "x": "2*half*mV"},
    )
    populations = (Population("in", 2, listed((1, 0), (1, 1))), Population("out", 2, COUNTER))
    projection = spikes("p", "in", "out", "v", Sparse(OneToOne(), 0.0, synapse=synapse))
    _, simulation = run(Network(populations, (projection,), dt=DT), 4, Recording())
    w = simulation.machine.weights("p")[2]["w"]
    np.testing.assert_allclose(w, np.array([0.5, 1.0]) * np.exp(-0.02), rtol=1e-5)


def test_statements_of_a_synapse_may_keep_what_is_true() -> None:
    model = "w : 1\ndx/dt = -x/(10*ms) : 1 (event-driven)"
    synapse = SynapseModel(model, on_pre="hit = x > 0.5; w += int(hit and w < 2); x += 1")
    populations = (Population("in", 2, listed((1, 0), (3, 0), (5, 1))),)
    populations += (Population("out", 2, COUNTER),)
    projection = spikes("p", "in", "out", "v", Sparse(OneToOne(), 1.0, synapse=synapse))
    _, simulation = run(Network(populations, (projection,), dt=DT), 8, Recording())
    assert simulation.machine.weights("p")[2]["w"].tolist() == [2, 1]


def test_shared_variables_may_have_a_term_in_common() -> None:
    model = """
    w : 1
    dd/dt = -exp(-d)*z/(10*ms) : 1 (shared)
    dz/dt = exp(-d)*d/(10*ms) : 1 (shared)
    """
    synapse = SynapseModel(model, on_pre="w = d + 10*z", initial={"d": 1.0, "z": 0.5})
    sparse = Sparse(OneToOne(), 0.0, synapse=synapse)
    populations = (Population("in", 3, listed((50, 1))), Population("out", 3, COUNTER))
    network = Network(populations, (spikes("p", "in", "out", "v", sparse),), dt=DT)
    _, simulation = run(network, 60, Recording(), dtype=torch.float64)
    d, z = 1.0, 0.5
    for _ in range(51):  # it arrives at tick 51, before that tick's update
        share = DT * np.exp(-d) / 10e-3
        d, z = d - share * z, z + share * d
    w = simulation.machine.weights("p")[2]["w"]
    np.testing.assert_allclose(w, [0.0, d + 10 * z, 0.0], rtol=1e-12)


def test_what_synapses_share_starts_with_one_number() -> None:
    synapse = replace(GROWING, initial={"gain": Normal(0.0, 1.0)})
    wired = Sparse(OneToOne(), 1.0, synapse=synapse)
    network = Network(
        (Population("in", 9, listed()), Population("out", 9, COUNTER)),
        (spikes("p", "in", "out", "v", wired),),
        dt=DT,
    )
    message = "initial 'gain' of projection 'p' differs from synapse to synapse, .*; give one numb"
    with pytest.raises(NetworkError, match=message):
        Simulation(network)


# --- what it says of itself


@pytest.mark.parametrize("threads", [1, 3])
def test_synapses_and_events_are_counted(threads: int) -> None:
    pre, post = np.array([0, 0, 1, 599]), np.array([1, 599, 2, 300])
    described = growing(listed((0, 0), (5, 0), (5, 599)), 0.1, (pre, post))
    _, simulation = run(described, 7, of_weights(), threads=threads)
    assert simulation.machine.synapses == 4
    assert simulation.machine.synaptic_events == 2
    simulation.run_to(8)
    assert simulation.machine.synaptic_events == 5


def test_ranks_count_their_own() -> None:
    described = growing(listed((0, 0)), 0.1, (np.array([0, 0]), np.array([1, 599])))

    def program(ranks) -> tuple[int, int]:
        simulation = Simulation(described, ranks=ranks, recording=of_weights())
        simulation.run_to(10)
        return simulation.machine.synapses, simulation.machine.synaptic_events

    assert PretendRanks(2).run(program) == [(1, 1), (1, 1)]


def test_a_machine_wakes_at_every_tick_and_has_no_layered_parts() -> None:
    _, simulation = run(counting(listed()), 5, of_states([0]))
    assert simulation.machine.next_wake() == 5
    assert simulation.machine.parameters() == {}
    assert simulation.machine.activity() is None


@pytest.mark.parametrize("threads", [0, -1])
def test_fewer_than_one_thread_is_refused(threads: int) -> None:
    with pytest.raises(NetworkError, match=f"got {threads} threads; expected at least 1"):
        Simulation(counting(listed()), threads=threads)


@pytest.mark.parametrize("recorded", [None, [5, 300], [599]])
@pytest.mark.parametrize("threads", [1, 2])
def test_spikes_of_chosen_neurons_are_recorded(recorded, threads: int) -> None:
    told = [(tick, neuron) for tick in (1, 2, 3) for neuron in (5, 6, 300)]
    wanted = of_states([0])
    wanted = replace(wanted, spikes=(replace(wanted.spikes[0], neurons=recorded),))
    sink, _ = run(counting(listed(*told)), 20, wanted, threads=threads)
    # What arrives at ticks 4 and 6 spikes; what arrives at tick 5 meets the reset.
    expected = [(t, n) for t in (4, 6) for n in (5, 6, 300)]
    assert pairs_of(sink) == [p for p in expected if recorded is None or p[1] in recorded]
    assert "in" not in sink.spikes


def test_a_network_without_spikes_has_no_machine() -> None:
    assert Pairs is not None
    simulation = Simulation(Network((), ()))
    assert simulation.machine is None
