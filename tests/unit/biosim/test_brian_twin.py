"""The twin against Brian2 written by hand, what it refuses, and how it tells where runs part."""

import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from biosim.brian_twin import Parting, check, checking, compare, nudged, run
from biosim.brian_twin.build import ON_POST_ORDER, ON_PRE_ORDER
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
    Uniform,
)
from biosim.spiking.recording import Spikes
from biosim.spiking.reference import simulate
from biosim.spiking.start import Joined, Outcome, Start, drawn_start, in_order
from biosim.wiring import FixedProbability, OneToOne, Pairs

DT = 1e-4

LIF = Spiking(
    "dv/dt = (g - v)/taum : volt (unless refractory)\ndg/dt = -g/taug : volt",
    threshold="v > 10*mV",
    reset="v = 0*mV",
    refractory="2*ms",
    method="exact",
    constants={"taum": "10*ms", "taug": "5*ms"},
)

STDP = SynapseModel(
    model="""
    w : 1
    dapre/dt = -apre/(20*ms) : 1 (event-driven)
    dapost/dt = -apost/(20*ms) : 1 (event-driven)
    """,
    on_pre="receptor += w*mV; apre += 0.01; w += apost",
    on_post="apost -= 0.012; w += apre",
)


def listed(*spikes: tuple[int, int]) -> SpikeList:
    at = np.array(spikes, dtype=np.int64).reshape(-1, 2)
    return SpikeList(indices=at[:, 1], ticks=at[:, 0])


def joined(*synapses: tuple[int, int, float, int]) -> Joined:
    pre, post, weight, delay = (np.array(column) for column in zip(*synapses, strict=True))
    return Joined(pre, post, weight.astype(float), delay)


def wired(weight: Any = "1*mV", synapse: SynapseModel | None = None) -> Sparse:
    return Sparse(OneToOne(), weight, synapse=synapse)


def feed(model: Spiking = LIF, size: int = 1, **changes: Any) -> Network:
    network = Network(
        populations=(
            Population("input", 3, listed((0, 0), (3, 1), (3, 2), (30, 0))),
            Population("output", size, model),
        ),
        projections=(
            Projection("in", "input", "output", "spikes", "g", Kind.SPIKE, weights=wired()),
        ),
        dt=DT,
    )
    return replace(network, **changes)


ONE = Start(synapses={"in": joined((0, 0, 0.02, 1), (1, 0, 0.05, 3), (2, 0, 0.08, 3))})


@pytest.fixture
def brian2() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import brian2

        before = brian2.prefs.codegen.target
        brian2.prefs.codegen.target = "numpy"
        yield brian2
        brian2.prefs.codegen.target = before


def test_a_recurrent_network_equals_the_one_written_by_hand(brian2: Any) -> None:
    b, n, ticks = brian2, 120, 600
    chance = np.random.default_rng(0)
    v = -0.060 + 0.010 * chance.random(n)
    pre, post = chance.integers(0, n, (2, 2000))
    weight, delay = chance.uniform(0, 3e-3, 2000), chance.integers(1, 30, 2000)
    equations = """
    dv/dt = (ge - (v + 49*mV))/(20*ms) : volt (unless refractory)
    dge/dt = -ge/(5*ms) : volt
    """

    b.start_scope()
    clock = b.Clock(dt=DT * b.second)
    group = b.NeuronGroup(
        n,
        equations,
        threshold="v > -50*mV",
        reset="v = -60*mV",
        refractory=5 * b.ms,
        method="exact",
        clock=clock,
    )
    group.v = v * b.volt
    synapses = b.Synapses(group, group, "w : volt", on_pre="ge += w", clock=clock)
    synapses.connect(i=pre, j=post)
    synapses.w = weight * b.volt
    synapses.delay = (delay - 1) * DT * b.second
    monitor, state = b.SpikeMonitor(group), b.StateMonitor(group, "v", record=True, clock=clock)
    b.Network(group, synapses, monitor, state).run(ticks * DT * b.second)

    model = Spiking(equations, "v > -50*mV", "v = -60*mV", refractory="5*ms", method="exact")
    network = Network(
        (Population("n", n, model),),
        (Projection("nn", "n", "n", "spikes", "ge", Kind.SPIKE, weights=wired()),),
        dt=DT,
    )
    start = Start({"n": {"v": v}}, {"nn": Joined(pre, post, weight, delay)})
    twin = run(network, start, ticks, sample={"n": ["v"]})

    at = in_order(np.rint(np.array(monitor.t_) / DT), np.array(monitor.i))
    assert len(at.ticks) > 200
    np.testing.assert_array_equal(twin.spikes["n"].ticks, at.ticks)
    np.testing.assert_array_equal(twin.spikes["n"].neurons, at.neurons)
    np.testing.assert_array_equal(twin.samples["n"]["v"], np.array(state.v_).T)


def test_plastic_synapses_equal_those_written_by_hand(brian2: Any) -> None:
    b, ticks = brian2, 400
    chance = np.random.default_rng(1)
    at, who = np.nonzero(chance.random((ticks, 20)) < 0.02)
    pre, post = np.repeat(np.arange(20), 5), np.tile(np.arange(5), 20)
    weight, delay = chance.uniform(0, 8, 100), chance.integers(1, 12, 100)

    b.start_scope()
    clock = b.Clock(dt=DT * b.second)
    source = b.SpikeGeneratorGroup(20, who, at * DT * b.second, clock=clock)
    group = b.NeuronGroup(
        5,
        LIF.model,
        threshold="v > 1*mV",
        reset="v = 0*mV",
        refractory=2 * b.ms,
        method="exact",
        namespace={"taum": 10 * b.ms, "taug": 5 * b.ms},
        clock=clock,
    )
    synapses = b.Synapses(
        source,
        group,
        STDP.model,
        on_pre="g_post += w*mV; apre += 0.01; w += apost",
        on_post=STDP.on_post,
        clock=clock,
    )
    synapses.connect(i=pre, j=post)
    synapses.w = weight
    synapses.pre.delay = (delay - 1) * DT * b.second
    monitor = b.SpikeMonitor(group)
    b.Network(source, group, synapses, monitor).run(ticks * DT * b.second)

    model = replace(LIF, threshold="v > 1*mV")
    network = Network(
        (Population("input", 20, SpikeList(who, at)), Population("output", 5, model)),
        (Projection("in", "input", "output", "spikes", "g", Kind.SPIKE, weights=wired(1.0, STDP)),),
        dt=DT,
    )
    # One tick more: biosim deals with the events of the last step at the beginning of the next.
    twin = run(network, Start(synapses={"in": Joined(pre, post, weight, delay)}), ticks + 1)

    at_hand = in_order(np.rint(np.array(monitor.t_) / DT), np.array(monitor.i))
    same = twin.spikes["output"].ticks < ticks
    assert len(at_hand.ticks) > 20
    np.testing.assert_array_equal(twin.spikes["output"].ticks[same], at_hand.ticks)
    np.testing.assert_array_equal(twin.synapses["in"]["w"], np.array(synapses.w))
    assert not np.array_equal(twin.synapses["in"]["w"], weight)


def test_a_spike_acts_its_delay_later_and_not_before() -> None:
    found = run(feed(), ONE, 8, sample={"output": ["g"]}).samples["output"]["g"][:, 0]
    # The spike of tick 0 with a delay of 1 is in the state at the beginning of tick 1.
    assert found[0] == 0.0
    assert found[1] == pytest.approx(0.02)
    assert found[5] < 0.02
    assert found[6] == pytest.approx(0.02 * np.exp(-5 * DT / 5e-3) + 0.13)


def test_what_is_due_after_the_last_tick_is_not_delivered() -> None:
    for ticks, expected in ((1, 0.0), (2, 0.02 * np.exp(-DT / 5e-3))):
        found = run(feed(), ONE, ticks)
        assert found.variables["output"]["g"] == pytest.approx(expected)


def test_neurons_that_never_spike_have_no_spikes() -> None:
    passive = Spiking("dv/dt = -v/(10*ms) : volt\ng : volt", method="exact")
    found = run(feed(passive), ONE, 10, sample={"output": ["v"]}, every=3)
    assert len(found.spikes["output"].ticks) == 0
    assert found.samples["output"]["v"].shape == (4, 1)
    np.testing.assert_array_equal(found.spikes["input"].ticks, [0, 3, 3])


def test_a_step_current_holds_from_its_tick_on_until_the_end() -> None:
    model = Spiking("dv/dt = I/ms : 1\nI : 1\ng : volt", method="euler")
    current = StepCurrent("step", "output", "I", (2, 5), [1.0, -1.0])
    found = run(feed(model, stimuli=(current,)), ONE, 8, sample={"output": ["v", "I"]})
    np.testing.assert_array_equal(found.samples["output"]["I"][:, 0], [0, 0, 1, 1, 1, -1, -1, -1])
    assert found.samples["output"]["v"][5, 0] == pytest.approx(0.3)
    assert found.variables["output"]["v"][0] == pytest.approx(0.0)


def test_the_input_of_a_tick_is_in_the_state_of_that_tick() -> None:
    drive = PoissonInput("drive", "output", "g", rate="10*Hz", weight="1*mV")
    counts = {"drive": np.array([[1], [0], [2], [0]])}
    found = run(
        feed(stimuli=(drive,)),
        Start({"output": {"g": np.array([0.5])}}, ONE.synapses),
        4,
        counts=counts,
        sample={"output": ["g"]},
    )
    decay = np.exp(-DT / 5e-3)
    expected = [0.501, 0.501 * decay + 0.02]
    expected += [expected[1] * decay + 0.002, (expected[1] * decay + 0.002) * decay]
    assert found.samples["output"]["g"][:, 0] == pytest.approx(expected)


def test_random_sources_are_replayed() -> None:
    network = feed()
    random = Population("input", 3, PoissonSource("10*Hz"))
    network = replace(network, populations=(random, network.populations[1]))
    replay = {"input": Spikes(np.array([1, 4]), np.array([2, 0], dtype=np.uint32))}
    found = run(network, ONE, 8, replay=replay)
    np.testing.assert_array_equal(found.spikes["input"].ticks, [1, 4])
    np.testing.assert_array_equal(found.spikes["input"].neurons, [2, 0])
    with pytest.raises(NetworkError, match=r"'input' fires at random.* give the twin the spikes"):
        run(network, ONE, 8)


def test_brian2s_settings_are_as_before(brian2: Any) -> None:
    brian2.prefs.codegen.target = "auto"
    try:
        run(feed(), ONE, 2)
        assert brian2.prefs.codegen.target == "auto"
        with pytest.raises(NetworkError):
            run(feed(), Start(), 2)
        assert brian2.prefs.codegen.target == "auto"
    finally:
        brian2.prefs.codegen.target = "numpy"


def test_importing_the_twin_does_not_import_brian2() -> None:
    program = "import sys, biosim.brian_twin; sys.exit('brian2' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "error", "-c", program]).returncode == 0


def test_running_the_twin_warns_of_nothing() -> None:
    program = (
        "from tests.unit.biosim.test_brian_twin import ONE, feed\n"
        "from biosim.brian_twin import run\n"
        "run(feed(), ONE, 2)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("network", "start", "says"),
    [
        (feed(dt=None), ONE, "has no dt"),
        (feed(), Start(), "no synapses for projection 'in'"),
        (
            feed(),
            Start(synapses={"in": joined((0, 0, 1.0, 0))}),
            "'in' has a delay of 0 ticks; expected at least 1",
        ),
        (feed(), Start({"output": {"u": np.ones(1)}}, ONE.synapses), "'u'; Brian2 has g, v"),
        (feed(), Start({"nobody": {"u": np.ones(1)}}, ONE.synapses), "none of that name"),
        (
            feed(),
            Start(synapses={"in": ONE.synapses["in"]._replace(others={"u": np.ones(3)})}),
            "variable 'u'; its equations have w",
        ),
        (
            feed(replace(LIF, model="dv/dt = -v/taum + mV*taum**-0.5*xi : volt\ng : volt")),
            ONE,
            "'output' draws xi in its model",
        ),
        (feed(replace(LIF, reset="v = rand()*mV")), ONE, "draws rand in its reset"),
        (feed(replace(LIF, threshold="v > 1*amp")), ONE, "Brian2 refuses the network: "),
        (
            feed(stimuli=(PoissonInput("drive", "output", "g", "1*Hz", "1*mV"),)),
            ONE,
            "'drive' is drawn, and Brian2 draws otherwise",
        ),
    ],
)
def test_what_brian2_cannot_be_given_is_refused(network: Network, start: Start, says: str) -> None:
    with pytest.raises(NetworkError, match=says):
        run(network, start, 3)


def test_graded_populations_are_refused() -> None:
    class Graded:
        def check(self, *_: Any) -> None: ...

    network = feed(populations=(Population("x", 1, Graded()),), projections=())  # type: ignore[arg-type]
    with pytest.raises(NetworkError, match="'x' is a Graded, which has no twin in Brian2"):
        run(network, Start(), 1)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_standalone_gives_the_same() -> None:
    network = recurrent()
    start = drawn_start(network, 4)
    ours = simulate(network, start, 200, seed=4)
    replay = {"source": ours.spikes["source"]}
    counts = checking.drawn_counts(network, 4, 200)
    theirs = run(network, start, 200, codegen="cpp_standalone", replay=replay, counts=counts)
    assert compare(ours, theirs).same_spikes
    assert len(ours.spikes["n"].ticks) > 100
    # The device is put back: the next run needs no compiler.
    assert compare(ours, run(network, start, 200, replay=replay, counts=counts)).same_spikes


def test_synapses_that_draw_are_refused() -> None:
    chancy = replace(STDP, on_pre="receptor += w*mV*int(rand() < 0.5)")
    network = feed()
    network = replace(
        network, projections=(replace(network.projections[0], weights=wired(1.0, chancy)),)
    )
    with pytest.raises(NetworkError, match="projection 'in' draws rand in its on_pre"):
        run(network, ONE, 3)


def test_counts_of_the_wrong_shape_are_refused() -> None:
    drive = PoissonInput("drive", "output", "g", rate="10*Hz", weight="1*mV")
    with pytest.raises(NetworkError, match=r"counts of shape \(2, 1\); expected \(3, 1\)"):
        run(feed(stimuli=(drive,)), ONE, 3, counts={"drive": np.zeros((2, 1), dtype=np.int64)})


def test_input_and_synapses_end_on_variables() -> None:
    passive = replace(LIF, model="dv/dt = -v/taum : volt")
    with pytest.raises(NetworkError, match="'in' ends at receptor 'g'; population 'output' has v"):
        run(feed(passive), ONE, 3)
    drive = PoissonInput("drive", "output", "x", rate="10*Hz", weight="1*mV")
    with pytest.raises(NetworkError, match=r"'drive' ends at receptor 'x'; .* has g, v"):
        run(feed(stimuli=(drive,)), ONE, 3, counts={"drive": np.zeros((3, 1), dtype=np.int64)})


def test_two_spikes_of_a_neuron_in_a_tick_are_refused() -> None:
    network = feed()
    twice = Population("input", 3, listed((1, 2), (4, 0), (4, 0)))
    with pytest.raises(NetworkError, match="neuron 0 of population 'input' spikes twice at tick 4"):
        run(replace(network, populations=(twice, network.populations[1])), ONE, 5)


def test_what_arrives_comes_before_what_the_target_does() -> None:
    assert ON_PRE_ORDER < 0 < ON_POST_ORDER


# --- where two runs part


def outcome(
    a: list[tuple[int, int]], b: list[tuple[int, int]], weights: list[float] | None = None
) -> Outcome:
    spikes = {
        name: in_order([tick for tick, _ in of], [neuron for _, neuron in of])
        for name, of in (("a", a), ("b", b))
    }
    return Outcome(10, spikes, {}, {"ab": {"w": np.array(weights or [1.0, 2.0])}})


def test_equal_runs_do_not_part() -> None:
    one = outcome([(1, 0), (1, 2)], [(4, 4)])
    assert compare(one, one) == Parting(None, None, None, None, 3, (3, 3), 0.0, None)
    assert compare(one, one).lines() == ["every spike is equal: 3 in biosim and in Brian2"]


def test_the_first_spike_that_only_one_has_is_found() -> None:
    ours = outcome([(1, 0), (5, 1)], [(2, 3), (3, 3)])
    theirs = outcome([(1, 0), (4, 1)], [(2, 3), (5, 3)])
    found = compare(ours, theirs)
    assert (found.tick, found.population, found.neuron, found.only) == (3, "b", 3, "ours")
    assert (found.spikes_before, found.spikes) == (2, (4, 4))
    assert not found.same_spikes
    assert found.lines()[0].startswith(
        "the spikes part at tick 3: only biosim has a spike of neuron 3 of population 'b'"
    )


def test_a_spike_too_many_at_the_end_is_found() -> None:
    found = compare(outcome([(1, 0)], []), outcome([(1, 0), (7, 5)], []))
    assert (found.tick, found.population, found.neuron, found.only) == (7, "a", 5, "theirs")


def test_the_largest_difference_of_a_weight_is_found() -> None:
    found = compare(outcome([], [], [1.0, 2.0]), outcome([], [], [1.25, 1.5]))
    assert (found.weight_difference, found.weight_place) == (0.5, ("ab", "w", 1))
    assert "0.5 in 'w' of synapse 1 of projection 'ab'" in found.lines()[1]


def test_a_weight_that_is_no_number_on_one_side_is_infinitely_far() -> None:
    found = compare(outcome([], [], [1.0, np.nan]), outcome([], [], [1.0, 2.0]))
    assert found.weight_difference == np.inf
    both = outcome([], [], [1.0, np.nan])
    assert compare(both, both).weight_place is None


def test_runs_of_different_length_are_not_compared() -> None:
    one = outcome([], [])
    with pytest.raises(NetworkError, match="cannot be compared; run the same network as long"):
        compare(one, replace(one, ticks=11))


def test_a_nudged_start_differs_in_every_number() -> None:
    start = Start({"e": {"v": np.array([-0.06, 0.01])}}, ONE.synapses)
    moved = nudged(start, 1e-13)
    assert (moved.variables["e"]["v"] != start.variables["e"]["v"]).all()
    assert (moved.synapses["in"].weights != ONE.synapses["in"].weights).all()
    np.testing.assert_allclose(moved.variables["e"]["v"], start.variables["e"]["v"], rtol=2e-13)


def recurrent(size: int = 60) -> Network:
    sparse = Sparse(FixedProbability(0.2), "1*mV")
    drive = PoissonInput("drive", "n", "v", rate="10*Hz", weight="1*mV", n=100)
    model = replace(LIF, initial={"v": "rand()*10*mV"})
    return Network(
        (Population("source", 20, PoissonSource("100*Hz")), Population("n", size, model)),
        (
            Projection("nn", "n", "n", "spikes", "v", Kind.SPIKE, 15, sparse),
            Projection("in", "source", "n", "spikes", "g", Kind.SPIKE, 2, sparse),
        ),
        dt=DT,
        stimuli=(drive,),
    )


def test_a_simulation_is_checked_with_what_it_drew() -> None:
    lines = check(recurrent(), seed=4, ticks=300)
    assert lines[0].startswith("delays: a delay of d ticks is one of d - 1 steps in Brian2")
    assert lines[1] == "replayed in Brian2, which draws otherwise: source, drive"
    assert lines[2].startswith("every spike is equal: ")
    assert int(lines[2].split(": ")[1].split()[0]) > 200


def test_what_cannot_be_checked_is_refused_before_it_is_simulated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(checking, "simulated")
    noisy = replace(LIF, model="dv/dt = -v/taum + mV*taum**-0.5*xi : volt\ng : volt")
    with pytest.raises(NetworkError, match="draws xi in its model"):
        check(feed(noisy), seed=0, ticks=10)


def test_a_plastic_simulation_is_checked_weight_by_weight() -> None:
    chance = np.random.default_rng(2)
    at, who = np.nonzero(chance.random((400, 20)) < 0.02)
    network = Network(
        (
            Population("input", 20, SpikeList(who, at)),
            Population("output", 5, replace(LIF, threshold="v > 1*mV")),
        ),
        (
            Projection(
                "in",
                "input",
                "output",
                "spikes",
                "g",
                Kind.SPIKE,
                weights=Sparse(
                    FixedProbability(0.7),
                    "4*rand()",
                    delay=Uniform("0.1*ms", "2*ms"),
                    synapse=replace(STDP, bounds={"w": (-10.0, 10.0)}),
                ),
            ),
        ),
        dt=DT,
    )
    start = drawn_start(network, 0)
    ours = checking.simulated(network, start, 0, 400)
    theirs = run(network, start, 400)
    parting = compare(ours, theirs)
    assert parting.same_spikes, parting.lines()
    assert parting.spikes[1] > len(at) + 20
    assert parting.weight_difference < 1e-12
    assert not np.array_equal(ours.synapses["in"]["w"], start.synapses["in"].weights)


def test_a_simulation_that_differs_is_told_with_brian2s_own_horizon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def other(network: Network, start: Start, seed: int, ticks: int) -> Outcome:
        return simulate(network, nudged(start, 0.5), ticks, seed=seed)

    monkeypatch.setattr(checking, "simulated", other)
    lines = check(recurrent(), seed=4, ticks=100)
    assert "the spikes part at tick" in lines[2]
    assert "no matter of rounding" in lines[-1]


def test_the_horizon_says_whether_rounding_may_be_the_cause() -> None:
    assert "parts from itself at tick 70" in checking._horizon(70)
    assert "no matter of rounding" in checking._horizon(None)


def test_pairs_that_are_listed_twice_are_two_synapses() -> None:
    twice = Start(synapses={"in": joined((0, 0, 0.02, 1), (0, 0, 0.03, 1))})
    network = feed()
    pairs = Sparse(Pairs([0, 0], [0, 0]), np.array([0.02, 0.03]))
    network = replace(network, projections=(replace(network.projections[0], weights=pairs),))
    found = run(network, twice, 2, sample={"output": ["g"]})
    assert found.samples["output"]["g"][1, 0] == pytest.approx(0.05)
