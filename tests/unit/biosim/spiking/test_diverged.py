"""A state that leaves the finite numbers stops the run, and says who and when."""

import re
from dataclasses import replace

import numpy as np
import pytest

from biosim.errors import DivergedError
from biosim.ranks import PretendRanks
from biosim.simulation import Simulation
from biosim.spiking.recording import MemorySink, Recording
from tests.unit.biosim.spiking.small import (
    DT,
    SIZE,
    counter,
    counting,
    listed,
    of_states,
    pairs_of,
    run,
)

FACTOR = 1e5
"""By which x grows in a tick, from 1: beyond any float32 in the eighth."""

SPIKES = [(tick, neuron) for tick in range(0, 40) for neuron in range(tick % 3, SIZE, 7)]


def growing_at(*neurons: int):
    """A network in which x grows for some, and many others spike."""
    grow = np.zeros(SIZE)
    grow[list(neurons)] = FACTOR / DT
    return counting(listed(*SPIKES), counter(grow=grow))


def tick_by_hand(start: float = 1.0, dtype: type = np.float32) -> int:
    """The tick whose update makes x infinite."""
    x = dtype(start)
    for tick in range(1000):
        with np.errstate(over="ignore"):
            x = dtype(x + dtype(FACTOR) * x)
        if not np.isfinite(x):
            return tick
    raise AssertionError("it stays finite")


def said(neuron: int, tick: int, what: str = "x is inf") -> str:
    time = f"{tick * DT:g}"
    return "^" + re.escape(
        f"population 'out', neuron {neuron}: {what} at tick {tick} ({time} s); what was recorded "
        "until then is kept: check the equations, or take a shorter dt"
    )


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize("neuron", [0, 437, 599])
def test_who_when_and_what(threads: int, neuron: int) -> None:
    simulation = Simulation(growing_at(neuron), threads=threads, recording=of_states([0]))
    assert tick_by_hand() == 7
    with pytest.raises(DivergedError, match=said(neuron, 7)):
        simulation.run_to(100)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_the_first_neuron_is_named_whoever_owns_it(threads: int) -> None:
    # All in the same tick, on three owners.
    simulation = Simulation(growing_at(580, 300, 7, 290), threads=threads, recording=of_states([0]))
    with pytest.raises(DivergedError, match=said(7, 7)):
        simulation.run_to(100)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_the_first_tick_counts_whoever_comes_to_it_first(threads: int) -> None:
    grow, start = np.zeros(SIZE), np.ones(SIZE)
    grow[[7, 590]] = FACTOR / DT
    start[590] = 1e12
    described = counting(listed(*SPIKES), counter(grow=grow, x=start))
    assert tick_by_hand(1e12) == 5
    for _ in range(10):
        simulation = Simulation(described, threads=threads, recording=of_states([0]))
        with pytest.raises(DivergedError, match=said(590, 5)):
            simulation.run_to(100)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_what_was_recorded_until_then_is_kept(threads: int) -> None:
    expected, _ = run(counting(listed(*SPIKES)), 40, of_states(every=2))
    # Stopped in the midst of a window, again and again: all owners come to the same tick.
    for _ in range(5):
        sink = MemorySink()
        described = growing_at(400)
        simulation = Simulation(described, threads=threads, recording=of_states(every=2), sink=sink)
        with pytest.raises(DivergedError):
            simulation.run_to(40)
        assert pairs_of(sink) == [pair for pair in pairs_of(expected) if pair[0] < 7]
        assert len(pairs_of(sink)) > 100
        assert sink.committed_tick == 7
        ticks, neurons, values = sink.states["out", "x"]
        assert ticks.tolist() == [0, 2, 4, 6]
        assert neurons.tolist() == list(range(SIZE))
        np.testing.assert_allclose(values[:, 400], [1, 1e10, 1e20, 1e30], rtol=1e-3)
        assert (np.delete(values, 400, axis=1) == 1).all()


def test_a_later_window_is_as_exact() -> None:
    sink, simulation = run(counting(listed((1234, 9))), 1230, of_states([0]))
    grow = np.zeros(SIZE)
    grow[5] = FACTOR / DT
    simulation.machine.set("out", "grow", grow)
    with pytest.raises(DivergedError, match=said(5, 1237)):
        simulation.run_to(5000)
    assert pairs_of(sink) == []
    assert sink.committed_tick == 1237


def test_what_is_no_number_is_told_like_what_is_infinite() -> None:
    start = np.ones(SIZE)
    start[11] = np.nan
    with pytest.raises(DivergedError, match=said(11, 0, "x is nan")):
        run(counting(listed(), counter(x=start)), 10, of_states([0]))


def test_a_run_that_stays_finite_is_not_stopped() -> None:
    start = np.full(SIZE, 3e38)
    sink, _ = run(counting(listed((1, 1)), counter(x=start)), 100, of_states([0]))
    assert sink.committed_tick == 100


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_error_of_one_rank_is_that_of_all(ranks: int) -> None:
    def program(rank) -> None:
        Simulation(growing_at(437), ranks=rank, recording=of_states([0])).run_to(100)

    with pytest.raises(DivergedError, match=said(437, 7)):
        PretendRanks(ranks, 60).run(program)


def test_an_event_driven_neuron_is_told_as_well() -> None:
    # It has to be woken before anything can be wrong with it.
    neuron = replace(
        counter(),
        model="dv/dt = -v/(10*ms) : 1\nn : integer",
        method="exact",
        reset="v = 1e30*v*v; n += 1",
        initial={},
        integration="event",
    )
    with pytest.raises(DivergedError, match=r"'out', neuron 300: v is (inf|nan) at tick \d+ "):
        run(counting(listed((4, 300), (5, 300)), neuron), 100, Recording())
