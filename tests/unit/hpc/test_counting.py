"""Spikes are counted as they come, window by window, as they would be from a list of them all."""

from __future__ import annotations

import numpy as np
import pytest

from biosim.ranks import OneRank, PretendRanks
from biosim.spiking.recording import MemorySink, Recording, SpikeRecord
from hpc.counting import Activity, CountingSink

SIZE = 12


def trains(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ticks and neurons in order; neuron 0 is silent, neuron 1 fires once, neuron 2 regularly."""
    chance = np.random.default_rng(seed)
    fired = chance.random((500, SIZE)) < 0.05
    fired[:, :3] = False
    fired[17, 1] = True
    fired[::10, 2] = True
    ticks, neurons = np.nonzero(fired)
    return ticks.astype(np.int64), neurons.astype(np.uint32)


def by_hand(ticks: np.ndarray, neurons: np.ndarray, seconds: float) -> Activity:
    ratios = []
    for neuron in range(SIZE):
        intervals = np.diff(ticks[neurons == neuron])
        if len(intervals) >= 2:
            ratios.append(intervals.std() / intervals.mean())
    return Activity(SIZE, len(ticks), len(ticks) / SIZE / seconds, float(np.mean(ratios)))


@pytest.mark.parametrize("window", [1, 7, 500])
def test_windows_of_any_length_give_the_same(window: int) -> None:
    ticks, neurons = trains()
    sink = CountingSink(Recording(), {"E": SIZE})
    for start in range(0, 500, window):
        part = slice(*np.searchsorted(ticks, [start, start + window]))
        sink.spikes("E", ticks[part], neurons[part])
    found = sink.activity(OneRank(), 0.05)["E"]
    expected = by_hand(ticks, neurons, 0.05)
    assert (found.neurons, found.spikes, found.rate_hz) == (
        *(SIZE, expected.spikes),
        expected.rate_hz,
    )
    assert found.cv == pytest.approx(expected.cv, rel=1e-12)


def test_a_population_without_intervals_has_no_cv() -> None:
    sink = CountingSink(Recording(), {"E": 3})
    sink.spikes("E", np.array([4]), np.array([2], np.uint32))
    found = sink.activity(OneRank(), 1.0)["E"]
    assert (found.spikes, found.rate_hz) == (1, pytest.approx(1 / 3))
    assert np.isnan(found.cv)


def test_ranks_count_what_each_of_them_owns() -> None:
    ticks, neurons = trains()

    def program(ranks: object) -> Activity:
        sink = CountingSink(Recording(), {"E": SIZE})
        mine = neurons % 2 == ranks.rank  # type: ignore[attr-defined]
        sink.spikes("E", ticks[mine], neurons[mine])
        return sink.activity(ranks, 0.05)["E"]  # type: ignore[arg-type]

    for found in PretendRanks(2).run(program):
        assert found.spikes == len(ticks)
        assert found.cv == pytest.approx(by_hand(ticks, neurons, 0.05).cv)


def test_only_what_is_to_be_stored_is_passed_on() -> None:
    ticks, neurons = trains()
    recording = Recording(spikes=(SpikeRecord("E", [2, 5]), SpikeRecord("I")))
    sink = CountingSink(recording, {"E": SIZE, "I": SIZE, "other": SIZE})
    sink.store = kept = MemorySink()
    for name in ("E", "I", "other"):
        sink.spikes(name, ticks, neurons)
    assert set(kept.spikes) == {"E", "I"}
    assert set(kept.spikes["E"].neurons) == {2, 5}
    np.testing.assert_array_equal(kept.spikes["I"].ticks, ticks)
    assert {each.spikes for each in sink.activity(OneRank(), 1.0).values()} == {len(ticks)}


def test_samples_snapshots_and_commits_are_passed_on() -> None:
    sink = CountingSink(Recording(), {"E": 2})
    sink.store = kept = MemorySink()
    sink.states("E", "v", np.array([0]), np.array([0, 1]), np.array([[1.0, 2.0]]))
    sink.weights("ee", 0, np.array([0]), np.array([1]), {"w": np.array([0.5])})
    sink.commit(10)
    assert kept.states["E", "v"].values.tolist() == [[1.0, 2.0]]
    assert kept.weights["ee"].values["w"].tolist() == [[0.5]]
    assert kept.committed_tick == 10
