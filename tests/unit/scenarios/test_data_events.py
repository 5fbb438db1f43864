"""Recordings of events are cut, chosen and counted without losing track of whose they are."""

import numpy as np

from scenarios.data import Events, Split
from scenarios.data.events import joined

LENGTHS = (3, 0, 5, 1)


def recordings() -> Events:
    draws = np.random.default_rng(0)
    return joined(
        [
            (
                np.sort(draws.integers(0, 1000, n)).astype(np.int32),
                draws.integers(0, 6, n).astype(np.uint16),
            )
            for n in LENGTHS
        ]
    )


def test_recordings_come_back_as_they_were_joined() -> None:
    events = recordings()
    assert len(events) == len(LENGTHS)
    assert [len(events.of(k)[0]) for k in range(4)] == list(LENGTHS)
    assert np.array_equal(events.of(3)[1], events.address[-1:])


def test_taken_recordings_are_those_asked_for_in_that_order() -> None:
    events = recordings()
    which = np.array([2, 1, 0, 2])
    taken = events.take(which)
    assert len(taken) == len(which)
    for place, sample in enumerate(which):
        for found, expected in zip(taken.of(place), events.of(sample), strict=True):
            assert np.array_equal(found, expected)


def test_counts_are_those_of_each_recording() -> None:
    counts = recordings().counts(6)
    assert counts.sum(axis=1).tolist() == list(LENGTHS)
    times, addresses = recordings().of(2)
    assert counts[2].tolist() == [float((addresses == k).sum()) for k in range(6)]
    assert len(times) == 5


def test_samples_taken_of_a_split_keep_their_recordings() -> None:
    events = recordings()
    split = Split(events.counts(6), np.arange(4), events)
    taken = split.take(np.array([3, 0]))
    assert taken.events is not None
    assert np.array_equal(taken.events.counts(6), taken.x)
