"""What drives a network from outside: lists, random sources, Poisson input, steps."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from biosim.network import Network, NetworkError, Population
from biosim.spiking.description import PoissonInput, PoissonSource, SpikeList, StepCurrent
from biosim.spiking.recording import Recording, SpikeRecord
from biosim.spiking.reference.chance import Chance
from tests.unit.biosim.spiking.small import (
    COUNTER,
    DT,
    SIZE,
    counter,
    counting,
    listed,
    of_states,
    pairs_of,
    run,
)


def sources(rate, size: int = SIZE) -> Network:
    return Network((Population("in", size, PoissonSource(rate)),), (), dt=DT)


def fired(rate, ticks: int = 400, **more) -> list[tuple[int, int]]:
    sink, _ = run(sources(rate), ticks, Recording((SpikeRecord("in"),)), **more)
    return pairs_of(sink, "in")


def test_a_source_fires_when_its_word_says_so() -> None:
    rates = np.linspace(0, 2000, SIZE)
    chance = Chance(3, "poisson/in", SIZE)
    expected = [
        (tick, int(neuron))
        for tick in range(400)
        for neuron in np.flatnonzero(chance.uniform(tick) < rates * DT)
    ]
    assert fired(rates, seed=3) == expected
    assert fired("2*kHz*i/(N - 1)", seed=3) == expected
    assert fired(rates, seed=4) != expected


def test_sources_fire_at_their_rates() -> None:
    counts = np.bincount([n for _, n in fired("400*Hz*(i >= 300)", 2000)], minlength=SIZE)
    assert counts[:300].sum() == 0
    assert stats.binomtest(int(counts.sum()), 300 * 2000, 0.04).pvalue > 1e-3
    assert stats.binomtest(int(counts.sum()), 300 * 2000, 0.042).pvalue < 1e-3


def test_rates_may_be_set_between_two_runs() -> None:
    sink, simulation = run(sources(0.0), 100, Recording((SpikeRecord("in"),)), threads=2)
    each = np.zeros(SIZE)
    each[[7, 400]] = 1 / DT
    simulation.machine.rates("in", each)
    simulation.run_to(103)
    simulation.machine.rates("in", 0.0)
    simulation.run_to(200)
    assert pairs_of(sink, "in") == [(t, n) for t in (100, 101, 102) for n in (7, 400)]


def test_rates_that_were_set_are_part_of_a_snapshot() -> None:
    _, first = run(sources(0.0), 10, Recording())
    first.machine.rates("in", 500.0)
    snapshot = first.snapshot()
    sink, second = run(sources(0.0), 0, Recording((SpikeRecord("in"),)))
    second.restore(snapshot)
    second.run_to(60)
    expected, again = run(sources(0.0), 10, Recording((SpikeRecord("in"),)))
    again.machine.rates("in", 500.0)
    again.run_to(60)
    assert pairs_of(sink, "in") == pairs_of(expected, "in")
    assert len(pairs_of(sink, "in")) > 1000


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (-1.0, r"'in' spikes with a chance of -0\.0001 a tick \(rate x dt\); expected 0 to 1"),
        ("20*kHz", r"'in' spikes with a chance of 2 a tick .* lower the rate or take shorter"),
        (np.nan, "spikes with a chance of nan a tick"),
        (np.ones(3), r"population 'in': its rate has shape \(3,\); expected one number, or one"),
        ("5*mV", r"population 'in', rate '5\*mV': .*expected "),
    ],
)
def test_a_rate_that_is_no_chance_is_refused(rate, message: str) -> None:
    with pytest.raises(Exception, match=message) as raised:
        fired(rate)
    assert type(raised.value).__name__ in ("NetworkError", "EquationError")


@pytest.mark.parametrize(
    ("population", "hz", "message"),
    [
        ("in", np.ones(3), r"rates of 'in': got shape \(3,\); expected one number or \(600,\)"),
        ("in", 1e5, "'in' spikes with a chance of 10 a tick"),
        ("nobody", 1.0, "'nobody' is no Poisson source; its rates cannot be set"),
    ],
)
def test_rates_that_cannot_be_set_are_refused(population: str, hz, message: str) -> None:
    _, simulation = run(sources(1.0), 0, Recording())
    with pytest.raises(NetworkError, match=message):
        simulation.machine.rates(population, hz)


def test_a_list_has_no_rates() -> None:
    _, simulation = run(counting(listed((1, 1))), 0, of_states([0]))
    with pytest.raises(NetworkError, match="'in' is no Poisson source; its rates cannot be set"):
        simulation.machine.rates("in", 1.0)


# --- lists of spikes


@pytest.mark.parametrize("threads", [1, 3])
def test_a_list_spikes_as_it_says(threads: int) -> None:
    told = [(0, 599), (3, 0), (3, 300), (3, 599), (40, 256)]
    wanted = replace(of_states([0]), spikes=(SpikeRecord("in"), SpikeRecord("out")))
    sink, _ = run(counting(listed(*told)), 50, wanted, threads=threads)
    assert pairs_of(sink, "in") == told
    assert pairs_of(sink) == [(tick + 3, neuron) for tick, neuron in told]


def test_a_list_may_be_told_other_spikes_between_two_runs() -> None:
    sink, simulation = run(counting(listed((1, 5), (30, 6))), 20, of_states([0]), threads=2)
    simulation.machine.fire("in", [300, 2], [20, 22])
    simulation.run_to(50)
    # The spike of tick 30 was forgotten.
    assert pairs_of(sink) == [(4, 5), (23, 300), (25, 2)]


def test_spikes_that_were_told_are_part_of_a_snapshot() -> None:
    described = counting(listed((1, 5), (30, 6)))
    _, first = run(described, 20, of_states([0]))
    first.machine.fire("in", [300, 2, 2], [20, 22, 35])
    first.run_to(21)
    told = first.snapshot()
    sink, second = run(described, 0, of_states([0]))
    before = second.snapshot()
    second.restore(told)
    second.run_to(50)
    assert pairs_of(sink) == [(23, 300), (25, 2), (38, 2)]
    # What was never told anything has the list of the description.
    second.restore(before)
    second.run_to(50)
    assert pairs_of(sink)[:2] == [(4, 5), (23, 300)]
    assert (33, 6) in pairs_of(sink)


BAD_LISTS = [
    ([0, 1], [5], r"spikes of 'in': got indices \(2,\) and ticks \(1,\); expected \(n_spikes,\)"),
    ([0, 600], [1, 2], r"spikes of 'in': got indices from 0 to 600; expected 0 to 599"),
    ([-1], [1], "got indices from -1 to -1; expected 0 to 599"),
    ([1, 2], [5, 4], "spikes of 'in': got ticks from 4 on; expected them in order, from 0 on"),
    ([1], [-1], "got ticks from -1 on; expected them in order, from 0 on"),
    ([1, 2, 1], [4, 4, 4], "spikes of 'in': got two spikes of a neuron in one tick; leave out one"),
]


@pytest.mark.parametrize(("indices", "ticks", "message"), BAD_LISTS)
def test_a_list_that_cannot_be_is_refused(indices, ticks, message: str) -> None:
    source = SpikeList(np.array(indices), np.array(ticks))
    with pytest.raises(NetworkError, match=message):
        run(counting(source), 0, of_states([0]))
    _, simulation = run(counting(listed()), 0, of_states([0]))
    with pytest.raises(NetworkError, match=message):
        simulation.machine.fire("in", indices, ticks)


def test_nothing_fires_in_the_past_and_only_lists_are_told() -> None:
    _, simulation = run(counting(listed()), 10, of_states([0]))
    with pytest.raises(NetworkError, match="got ticks from 9 on; expected them in order, from 10"):
        simulation.machine.fire("in", [1], [9])
    for name in ("out", "nobody"):
        with pytest.raises(NetworkError, match=f"'{name}' is no list of spikes"):
            simulation.machine.fire(name, [1], [20])


# --- Poisson input and steps


def driven(**changes) -> Network:
    drive = PoissonInput("drive", "out", "x", rate="1000*Hz", weight=0.5, n=8)
    return counting(listed(), counter(x=0.0), stimuli=(replace(drive, **changes),))


def counts_by_hand(mean, ticks: int, name: str = "drive", seed: int = 0):
    chance = Chance(seed, f"input/{name}", SIZE)
    return sum(chance.poisson(tick, np.full(SIZE, mean)) for tick in range(ticks))


@pytest.mark.parametrize("threads", [1, 3])
def test_every_neuron_gets_spikes_of_its_own(threads: int) -> None:
    _, simulation = run(driven(), 50, of_states(every=1000), threads=threads)
    x = np.concatenate([shard.variable(1, "x") for shard in simulation.machine.shards])
    np.testing.assert_allclose(x, 0.5 * counts_by_hand(0.8, 50), rtol=1e-6)


def test_inputs_and_seeds_draw_differently_and_neurons_may_have_rates_of_their_own() -> None:
    def x_after(**changes):
        _, simulation = run(driven(**changes), 50, of_states(every=1000), seed=2)
        return simulation.machine.shards[0].variable(1, "x").copy()

    np.testing.assert_allclose(x_after(), 0.5 * counts_by_hand(0.8, 50, seed=2), rtol=1e-6)
    other = 0.5 * counts_by_hand(0.8, 50, "other", 2)
    np.testing.assert_allclose(x_after(name="other"), other, rtol=1e-6)
    rate = np.where(np.arange(SIZE) < 300, 1000.0, 250.0)
    expected = np.where(np.arange(SIZE) < 300, *(counts_by_hand(m, 50, seed=2) for m in (0.8, 0.2)))
    np.testing.assert_allclose(x_after(rate=rate), 0.5 * expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": -5.0}, "input 'drive' has a rate of -5 Hz; expected 0 or more"),
        ({"rate": np.ones(3)}, r"input 'drive': its rate has shape \(3,\); expected one number"),
        ({"weight": "i*0.1"}, "'drive' has weights from 0 to 59.9; expected one finite weight"),
        ({"weight": np.inf}, "'drive' has weights from inf to inf; expected one finite weight"),
        ({"n": -1.0}, "input 'drive' has a rate of 1000 Hz; expected 0 or more"),
    ],
)
def test_an_input_that_cannot_be_is_refused(changes, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        run(driven(**changes), 0, of_states([0]))


def stepped(*steps: StepCurrent) -> Network:
    return counting(listed(), counter(grow="1/ms"), stimuli=steps)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("stops", [(), (4, 5, 6), (8,)])
def test_a_step_holds_from_its_tick_on(threads: int, stops) -> None:
    each = np.linspace(0, 0.4, SIZE)
    step = StepCurrent("step", "out", "I", (0, 5, 8), np.stack([0 * each, each, -each]))
    sink, simulation = run(stepped(step), 0, of_states(), threads=threads)
    for tick in (*stops, 12):
        simulation.run_to(tick)
    current = sink.states["out", "I"].values
    expected = [0 * each] * 5 + [each] * 3 + [-each] * 4
    np.testing.assert_array_equal(current, np.array(expected, "f4"))
    moved = np.diff(sink.states["out", "v"].values, axis=0)
    np.testing.assert_allclose(moved, 0.1 * current[:-1], atol=1e-7)


def test_one_value_a_step_is_for_all_neurons() -> None:
    step = StepCurrent("step", "out", "I", (3,), (0.25,))
    sink, _ = run(stepped(step), 5, of_states())
    assert sink.states["out", "I"].values[:, [0, 599]].tolist() == [[0, 0]] * 3 + [[0.25] * 2] * 2


STEP = StepCurrent("step", "out", "I", (1, 2), (0.0, 1.0))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (replace(STEP, target="in"), "step current 'step' goes to 'in'; expected neurons with equ"),
        (replace(STEP, target="x"), "step current 'step' goes to 'x'; expected neurons with"),
        (replace(STEP, variable="v"), r"sets 'v' of 'out'; its parameters are I, grow, n: declare"),
        (replace(STEP, ticks=(2, 2)), r"got ticks \[2, 2\]; expected increasing, from 0"),
        (replace(STEP, ticks=(-1, 2)), r"got ticks \[-1, 2\]; expected increasing, from 0"),
        (
            replace(STEP, values=(1.0,)),
            r"values of shape \(1,\); expected \(2,\) or \(2, 600\)",
        ),
    ],
)
def test_a_step_that_cannot_be_is_refused(step: StepCurrent, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        run(stepped(step), 0, of_states([0]))


def test_populations_of_sources_alone_run() -> None:
    assert COUNTER.threshold is not None
    assert fired(0.0, 10) == []
