from dataclasses import replace

import numpy as np
import pytest

from biosim.equations.code import EquationError
from biosim.spiking.recording import Recording, RecordingError, SpikeRecord, StateRecord
from tests.unit.biosim.spiking.small import (
    COUNTER,
    SIZE,
    counter,
    counting,
    listed,
    of_states,
    run,
)

# Neuron 5 gets spikes at ticks 4, 5 and 13, neuron 300 at tick 5. What comes at tick 5 to neuron
# 5 meets its reset.
SOURCE = listed((1, 5), (2, 5), (10, 5), (2, 300))


def network():
    drive = np.linspace(0, 0.4, SIZE)
    return counting(SOURCE, counter(I=drive, grow="1/ms"))


def test_samples_are_taken_after_the_ticks_input_and_reset_and_before_its_update() -> None:
    sink, _ = run(network(), 20, of_states([5, 300]))
    ticks, neurons, v = sink.states["out", "v"]
    assert ticks.tolist() == list(range(20))
    assert neurons.tolist() == [5, 300]
    step = np.linspace(0, 0.4, SIZE)[[5, 300]] * 0.1
    # At a spike's arrival 1 is added; the tick after, reset to 0; in between, steps.
    by_hand, value = [], np.zeros(2)
    for tick in range(20):
        arrives = [tick in (4, 5, 13), tick == 5]
        resets = [tick in (5, 14), tick == 6]
        value = np.where(resets, 0.0, value + arrives)
        by_hand.append(value)
        value = value + step
    np.testing.assert_allclose(v, by_hand, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(sink.states["out", "twice"].values, 2 * v)
    assert sink.states["out", "n"].values[:, 0].tolist() == [0] * 5 + [1] * 9 + [2] * 6
    expected = np.broadcast_to(10 * step, (20, 2))
    np.testing.assert_allclose(sink.states["out", "I"].values, expected, rtol=1e-6)


def test_a_subexpression_may_be_all_that_asks_who_a_neuron_is() -> None:
    model = replace(COUNTER, model=f"{COUNTER.model}\nshare = i/N : 1")
    wanted = Recording(states=(StateRecord("out", ("share",), neurons=[5, 300]),))
    sink, _ = run(counting(SOURCE, model), 2, wanted)
    expected = np.broadcast_to(np.array([5, 300]) / SIZE, (2, 2))
    np.testing.assert_allclose(sink.states["out", "share"].values, expected, rtol=1e-6)


@pytest.mark.parametrize("every", [1, 3, 7, 50])
@pytest.mark.parametrize("stops", [(), (1,), (3, 4, 6, 21), (7, 14)])
@pytest.mark.parametrize("threads", [1, 3])
def test_samples_do_not_depend_on_where_windows_end(every: int, stops, threads: int) -> None:
    expected, _ = run(network(), 30, of_states(every=1))
    sink, simulation = run(network(), 0, of_states(every=every), threads=threads)
    for tick in (*stops, 30):
        simulation.run_to(tick)
    for name in ("v", "x", "twice", "I", "grow", "n"):
        got, all_of_them = sink.states["out", name], expected.states["out", name]
        assert got.ticks.tolist() == list(range(0, 30, every))
        assert got.neurons.tolist() == list(range(SIZE))
        assert got.values.tobytes() == all_of_them.values[::every].tobytes()


@pytest.mark.parametrize("neurons", [[300, 5], [599], [255, 256, 0]])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_chosen_neurons_come_in_order_whoever_owns_them(neurons, threads: int) -> None:
    expected, _ = run(network(), 20, of_states())
    sink, _ = run(network(), 20, of_states(neurons), threads=threads)
    got = sink.states["out", "v"]
    assert got.neurons.tolist() == sorted(neurons)
    np.testing.assert_array_equal(
        got.values, expected.states["out", "v"].values[:, sorted(neurons)]
    )


def recording(*variables: str, population: str = "out", **more) -> Recording:
    return Recording(states=(StateRecord(population, variables, **more),))


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        (recording("v", "u"), EquationError, "'u' of 'out' is to be recorded; its equations have"),
        (recording("v", population="in"), EquationError, "variables of 'in' are .* no equations"),
        (recording("v", population="x"), RecordingError, "'x' is to be recorded; the network has"),
        (recording("v", neurons=[SIZE]), RecordingError, "neuron 600 of 'out' is .* below 600"),
        (recording("v", every=0), RecordingError, "'out' is to be recorded every 0 ticks"),
        (Recording((SpikeRecord("y"),)), RecordingError, "population 'y' is to be recorded"),
    ],
)
def test_what_cannot_be_recorded_is_told(wanted: Recording, error, message: str) -> None:
    with pytest.raises(error, match=message):
        run(network(), 1, wanted)
