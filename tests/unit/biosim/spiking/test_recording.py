"""Recordings are checked before a run; the sink in memory joins what its owners hand over."""

import numpy as np
import pytest

from biosim.spiking.recording import (
    MemorySink,
    NullSink,
    Recording,
    RecordingError,
    Sink,
    SpikeRecord,
    StateRecord,
    WeightRecord,
)

SIZES = {"E": 8, "I": 2}


def hand_over(sink: Sink, lo: int, hi: int) -> None:
    """One owner's share of what two windows of five ticks bring."""
    for window in range(2):
        ticks = np.arange(window * 5, window * 5 + 5)
        neurons = np.arange(lo, hi)
        sink.spikes(
            "E",
            np.repeat(ticks, hi - lo),
            np.tile(neurons, len(ticks)).astype(np.uint32),
        )
        sink.states("E", "v", ticks, neurons, ticks[:, None] * 100.0 + neurons)
        targets = neurons.astype(np.uint32)
        sink.weights("E->E", window * 5, targets + 1, targets, {"w": neurons + 0.5 * window})
        sink.commit(window * 5 + 5)


def test_what_goes_in_comes_out() -> None:
    sink = MemorySink()
    hand_over(sink, 0, 8)
    ticks, neurons = sink.spikes["E"]
    assert ticks.tolist() == [tick for tick in range(10) for _ in range(8)]
    assert neurons.tolist() == list(range(8)) * 10
    states = sink.states[("E", "v")]
    assert states.ticks.tolist() == list(range(10))
    assert states.values[3].tolist() == [300 + i for i in range(8)]
    weights = sink.weights["E->E"]
    assert weights.ticks.tolist() == [0, 5]
    assert (weights.sources - weights.targets == 1).all()
    assert weights.values["w"][:, 2].tolist() == [2, 2.5]
    assert sink.committed_tick == 10


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_what_comes_out_does_not_show_how_many_owners_handed_it_over(order: tuple[int]) -> None:
    one, three = MemorySink(), MemorySink()
    hand_over(one, 0, 8)
    for owner in order:
        hand_over(three, *[(0, 3), (3, 3), (3, 8)][owner])
    for a, b in zip(one.spikes["E"], three.spikes["E"], strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(one.states["E", "v"], three.states["E", "v"], strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(one.weights["E->E"][:3], three.weights["E->E"][:3], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(
        one.weights["E->E"].values["w"], three.weights["E->E"].values["w"]
    )


def test_the_caller_may_use_its_arrays_again() -> None:
    sink = MemorySink()
    ticks, neurons, values = np.array([1]), np.array([2], np.uint32), np.array([[3.0]])
    sink.spikes("E", ticks, neurons)
    sink.states("E", "v", ticks, np.array([2]), values)
    sink.weights("E->E", 1, neurons, neurons, {"w": values[0]})
    ticks[:], neurons[:], values[:] = 7, 7, 7
    assert sink.spikes["E"].ticks.tolist() == [1]
    assert sink.states["E", "v"].values.tolist() == [[3]]
    assert sink.weights["E->E"].sources.tolist() == [2]
    assert sink.weights["E->E"].values["w"].tolist() == [[3]]


def test_a_silent_population_is_known_and_an_unknown_one_is_not() -> None:
    sink = MemorySink()
    sink.spikes("I", np.empty(0, np.int64), np.empty(0, np.uint32))
    assert [len(part) for part in sink.spikes["I"]] == [0, 0]
    assert list(sink.spikes) == ["I"]
    assert len(sink.spikes) == 1
    with pytest.raises(KeyError):
        sink.spikes["i"]


def test_the_null_sink_takes_everything() -> None:
    hand_over(NullSink(), 0, 8)


def test_neurons_to_record_may_come_in_any_order() -> None:
    record = SpikeRecord("E", [5, 1, 3, 1])
    assert record.owned(0, 8).tolist() == [1, 3, 5]
    assert record.owned(2, 5).tolist() == [3]
    assert StateRecord("E", ("v",)).owned(2, 5).tolist() == [2, 3, 4]


def test_a_recording_of_what_is_there_passes() -> None:
    Recording(
        (SpikeRecord("E"), SpikeRecord("I", [1])),
        (StateRecord("E", ("v", "ge")), StateRecord("E", ("w",), [7], every=10)),
        (WeightRecord("E->E", 100),),
    ).check(SIZES, ["E->E"])


@pytest.mark.parametrize(
    ("recording", "message"),
    [
        (Recording((SpikeRecord("X"),)), r"population 'X' is to be recorded; .* has E, I"),
        (Recording((SpikeRecord("I", [2]),)), r"neuron 2 of 'I' .* expected indices below 2"),
        (
            Recording(states=(StateRecord("E", ("v",), every=0),)),
            r"'E' is to be recorded every 0 ticks; expected a whole number, at least 1",
        ),
        (
            Recording(weights=(WeightRecord("E->E", 0.5),)),  # type: ignore[arg-type]
            r"'E->E' is to be recorded every 0.5 ticks",
        ),
        (
            Recording(weights=(WeightRecord("E->I", 1),)),
            r"weights of 'E->I' are to be recorded; projections with synapses: E->E",
        ),
        (
            Recording(states=(StateRecord("E", ("v",)), StateRecord("E", ("v",), [1]))),
            r"got 'v' of 'E' twice to record",
        ),
        (Recording((SpikeRecord("E"), SpikeRecord("E"))), r"got the spikes of 'E' twice"),
    ],
)
def test_a_recording_of_what_is_not_there_is_refused(recording: Recording, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        recording.check(SIZES, ["E->E"])


@pytest.mark.parametrize("neurons", [[], [-1, 2], [0.5], [True, False]])
def test_neurons_that_are_no_indices_are_refused(neurons: list[float]) -> None:
    with pytest.raises(RecordingError, match=r"as neurons of 'E' to record; expected at least one"):
        SpikeRecord("E", neurons)
