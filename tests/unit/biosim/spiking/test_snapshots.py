import numpy as np
import pytest

from biosim.network import NetworkError
from biosim.spiking.recording import Recording, RecordingError, WeightRecord
from tests.unit.biosim.spiking.small import (
    SIZE,
    counting,
    growing,
    listed,
    of_weights,
    run,
)

# Not in order, and neurons of all owners.
SOURCES = np.array([4, 0, 599, 4, 17, 300, 299])
TARGETS = np.array([300, 599, 0, 5, 5, 5, 256])
WEIGHTS = np.array([1.0, 0.25, 0.125, 2.0, 0.5, 0.0, 1.5])
ORDER = np.lexsort((SOURCES, TARGETS))


def network(*spikes: tuple[int, int], gain: float = 0.0, share: float = 1.0):
    return growing(listed(*spikes), share * WEIGHTS, (SOURCES, TARGETS), gain)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_snapshots_are_by_target_and_source_whoever_owns_them(threads: int) -> None:
    sink, _ = run(network(), 21, of_weights(10), threads=threads)
    ticks, sources, targets, values = sink.weights["in>out"]
    assert ticks.tolist() == [0, 10, 20]
    assert sources.tolist() == SOURCES[ORDER].tolist()
    assert targets.tolist() == TARGETS[ORDER].tolist()
    np.testing.assert_array_equal(values["w"], np.tile(WEIGHTS[ORDER], (3, 1)))


def test_a_snapshot_due_at_the_end_is_taken_and_taken_once() -> None:
    sink, simulation = run(network(), 20, of_weights(10))
    assert sink.weights["in>out"].ticks.tolist() == [0, 10, 20]
    simulation.run_to(29)
    assert sink.weights["in>out"].ticks.tolist() == [0, 10, 20]
    simulation.run_to(30)
    assert sink.weights["in>out"].ticks.tolist() == [0, 10, 20, 30]


def test_a_snapshot_has_what_happened_before_its_tick() -> None:
    # Sent at tick 8, arrived at tick 10: after the snapshot of tick 10, before that of tick 11.
    sink, _ = run(network((8, 299), gain=0.25), 12, of_weights(1))
    at = int(np.flatnonzero(SOURCES[ORDER] == 299)[0])
    w = sink.weights["in>out"].values["w"][:, at]
    # It made its target spike at tick 10, which is dealt with at tick 11.
    assert w[:11].tolist() == [1.5] * 11
    assert w[11] == 1.75
    assert w[12] == pytest.approx(2.0, abs=0.01)


def test_snapshots_do_not_depend_on_each_other_or_on_windows() -> None:
    sent = [(tick, neuron) for tick in (0, 30, 60) for neuron in (4, 0, 17, 299)]
    often, _ = run(network(*sent, gain=0.02, share=0.4), 100, of_weights(1))
    seldom, simulation = run(network(*sent, gain=0.02, share=0.4), 0, of_weights(25))
    for tick in (13, 25, 26, 100):
        simulation.run_to(tick)
    got, expected = seldom.weights["in>out"], often.weights["in>out"]
    assert got.ticks.tolist() == [0, 25, 50, 75, 100]
    assert got.values["w"].tobytes() == expected.values["w"][::25].tobytes()
    assert len(np.unique(expected.values["w"])) > 12


def test_the_synapses_can_be_had_between_two_runs() -> None:
    _, simulation = run(network((3, 4)), 50, of_weights(), threads=2)
    sources, targets, values = simulation.machine.weights("in>out")
    assert sources.tolist() == SOURCES[ORDER].tolist()
    assert targets.tolist() == TARGETS[ORDER].tolist()
    values["w"][:] = 9.0  # a copy
    again = simulation.machine.weights("in>out")[2]["w"]
    assert (again < 3).all()
    with pytest.raises(NetworkError, match="'out>in' does not learn; those that do: in>out"):
        simulation.machine.weights("out>in")


def test_weights_that_never_change_are_not_recorded() -> None:
    wanted = Recording(weights=(WeightRecord("in>out", 5),))
    message = r"weights of 'in>out' are .* never change; projections that learn: none"
    with pytest.raises(NetworkError, match=message):
        run(counting(listed()), 1, wanted)
    with pytest.raises(RecordingError, match=r"of 'x' are .* projections with synapses: in"):
        run(counting(listed()), 1, Recording(weights=(WeightRecord("x", 5),)))


def test_a_projection_without_synapses_has_no_snapshots() -> None:
    nobody = growing(listed(), np.zeros(0), (np.zeros(0, int), np.zeros(0, int)))
    sink, _ = run(nobody, 20, of_weights(5))
    assert "in>out" not in sink.weights
    assert SIZE == 600
