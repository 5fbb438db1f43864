"""Kernels of delivery against loops in Python over spikes, runs and synapses."""

from dataclasses import dataclass

import numpy as np
import pytest

from biosim.wiring.rows import Rows
from tests.unit.biosim.kernels.wrapped import kernel

SOURCES, SLOTS, TICKS, DEPTH = 60, 37, 150, 47
LONGEST = 40


def rows_of(delays: tuple[int, int], seed: int, dtype: type = np.int32) -> Rows:
    """Random rows: runs of a source in the order of their delays, some of them long."""
    chance = np.random.default_rng(seed)
    row, delay, start = [0], [], [0]
    for _ in range(SOURCES):
        least, most = delays
        taken = chance.permutation(np.arange(least, most + 1))[: chance.integers(0, 6)]
        for ticks in sorted(taken):
            delay.append(ticks)
            start.append(start[-1] + int(chance.choice([1, 2, 7, 40])))
        row.append(len(delay))
    return Rows(
        np.array(row),
        np.array(delay, np.uint16),
        np.array(start),
        chance.integers(0, SLOTS, start[-1]).astype(np.uint16),
        chance.integers(-1000, 1000, start[-1]).astype(dtype),
        chance.integers(-1000, 1000, len(delay)).astype(dtype),
    )


@dataclass
class Ringing:
    """Rings of three shards, and what was put there."""

    def __post_init__(self) -> None:
        chance = np.random.default_rng(11)
        self.ids = np.zeros((3, DEPTH, SOURCES), np.uint32)
        self.counts = np.zeros((3, DEPTH), np.int64)
        owner = np.arange(SOURCES) * 3 // SOURCES
        self.spikes = [np.flatnonzero(chance.random(SOURCES) < 0.1) for _ in range(TICKS)]
        self._owner = owner

    def emit(self, tick: int) -> None:
        """Put the spikes of a tick on the rings; each shard has those it owns."""
        for g in range(3):
            mine = self.spikes[tick][self._owner[self.spikes[tick]] == g]
            self.counts[g, tick % DEPTH] = len(mine)
            self.ids[g, tick % DEPTH, : len(mine)] = mine


def naive(rows: Rows, spikes: list[np.ndarray], tick: int, each: bool) -> tuple[list[int], int]:
    """The sums of a tick, and the synapses that were reached, one at a time."""
    sums, events = [0] * SLOTS, 0
    for emitted in range(max(0, tick - LONGEST), tick):
        for source in spikes[emitted]:
            for run in range(rows.row[source], rows.row[source + 1]):
                if emitted + rows.delay[run] != tick:
                    continue
                for synapse in range(rows.start[run], rows.start[run + 1]):
                    weight = rows.weight[synapse] if each else rows.run_weight[run]
                    sums[rows.slot[synapse]] += int(weight)
                    events += 1
    return sums, events


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_one_delay_for_all(each: bool, dtype: type) -> None:
    delay = 5
    rows, rings = rows_of((delay, delay), 0, dtype), Ringing()
    name, weights = ("each", rows.weight) if each else ("alike", rows.run_weight)
    found = 0
    for tick in range(TICKS):
        acc = np.zeros(SLOTS, dtype)
        events = kernel(f"deliver_{name}")(
            rings.ids, rings.counts, (tick - delay) % DEPTH, rows.row, rows.start, rows.slot,
            weights, acc,
        )  # fmt: skip
        assert (acc.tolist(), events) == naive(rows, rings.spikes, tick, each)
        rings.emit(tick)
        found += events
    assert found > 1000


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("width", [np.int32, np.int64])
def test_sources_of_one_run_need_no_rows(each: bool, width: type) -> None:
    delay = 5
    rows, rings = rows_of((delay, delay), 0), Ringing()
    assert rows.single
    assert not rows_of((delay, delay + 3), 0).single
    start, run_weight = rows.runs_of_sources()
    assert start.dtype == np.int32
    assert len(start) == SOURCES + 1
    name, weights = ("each", rows.weight) if each else ("alike", run_weight)
    found = 0
    for tick in range(TICKS):
        acc = np.zeros(SLOTS, np.int32)
        events = kernel(f"deliver_single_{name}")(
            rings.ids, rings.counts, (tick - delay) % DEPTH, start.astype(width), rows.slot,
            weights, acc,
        )  # fmt: skip
        assert (acc.tolist(), events) == naive(rows, rings.spikes, tick, each)
        rings.emit(tick)
        found += events
    assert found > 1000


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("delays", [(1, LONGEST), (3, 9), (1, 1)])
def test_delays_of_every_run(each: bool, delays: tuple[int, int]) -> None:
    rows, rings = rows_of(delays, 1), Ringing()
    name, weights = ("each", rows.weight) if each else ("alike", rows.run_weight)
    # What was not written yet may be anything.
    cursor = np.full(rings.ids.shape, 12345, np.int32)
    due, found = np.zeros(len(rows.delay), np.int64), 0
    for tick in range(TICKS):
        acc = np.zeros(SLOTS, np.int32)
        n = kernel("due_runs")(
            rings.ids, rings.counts, cursor, tick, *delays, rows.row, rows.delay, due
        )
        events = kernel(f"deliver_due_{name}")(n, due, rows.start, rows.slot, weights, acc)
        assert (acc.tolist(), events) == naive(rows, rings.spikes, tick, each)
        assert len(np.unique(due[:n])) == n
        rings.emit(tick)
        found += events
    assert found > 1000


def test_runs_of_one_delay_are_those_of_the_spikes() -> None:
    rows, rings = rows_of((4, 4), 2), Ringing()
    due = np.zeros(len(rows.delay), np.int64)
    for tick in range(30):
        rings.emit(tick)
        n = kernel("runs_at")(rings.ids, rings.counts, tick % DEPTH, rows.row, due)
        expected = [run for s in rings.spikes[tick] for run in range(rows.row[s], rows.row[s + 1])]
        assert sorted(due[:n]) == sorted(expected)


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("neurons", [SLOTS, 13])
def test_who_is_reached_is_awake_once(each: bool, neurons: int) -> None:
    """Slots lie receptor after receptor: 13 neurons here have three."""
    rows, rings = rows_of((1, LONGEST), 3), Ringing()
    name, weights = ("each", rows.weight) if each else ("alike", rows.run_weight)
    cursor, due = np.zeros(rings.ids.shape, np.int32), np.zeros(len(rows.delay), np.int64)
    for tick in range(60):
        acc = np.zeros(SLOTS, np.int32)
        touched, awake = np.full(neurons, -1), np.zeros(1, np.int64)
        mark = np.full(neurons, tick - 1)
        # Who was awake before is not noted again.
        mark[3], touched[0], awake[0] = tick, 3, 1
        wakes = touched, awake, mark, neurons
        n = kernel("due_runs")(
            rings.ids, rings.counts, cursor, tick, 1, LONGEST, rows.row, rows.delay, due
        )
        events = kernel(f"wake_{name}")(n, due, rows.start, rows.slot, weights, acc, wakes, tick)
        assert (acc.tolist(), events) == naive(rows, rings.spikes, tick, each)
        reached = {3}
        for run in due[:n]:
            reached |= {int(s) % neurons for s in rows.slot[rows.start[run] : rows.start[run + 1]]}
        assert sorted(touched[: awake[0]]) == sorted(reached)
        assert set(np.flatnonzero(mark == tick)) == reached
        rings.emit(tick)


def test_who_got_poisson_input_is_awake() -> None:
    acc = np.array([0, 5, 0, -2, 0], np.int32)
    touched, awake, mark = np.zeros(8, np.int64), np.zeros(1, np.int64), np.full(8, -1)
    kernel("wake_driven")(acc, 10, (touched, awake, mark, 8), 4)
    # Slots 11 and 13 belong to the second receptor of 8 neurons.
    assert touched[: awake[0]].tolist() == [3, 5]
    assert np.flatnonzero(mark == 4).tolist() == [3, 5]
