"""A store is written behind the computation: in order, in bounded memory, and failing aloud."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from biosim.errors import OutputError
from biosim.spiking.finalising import finalise
from biosim.spiking.recording import MemorySink
from biosim.spiking.write_behind import JOB_BYTES, WriteBehind
from biosim.traces import open_run
from tests.unit.biosim.spiking.made_up_run import (
    SIZES,
    Activity,
    differences,
    files,
    in_memory,
    made,
    recorded,
    shares,
    sink_at,
)

EVERYTHING = {name: (0, size) for name, size in SIZES.items()}


class Kept(MemorySink):
    """A store in memory, as slow as it is told to be."""

    def __init__(self, pause_s: float = 0.0) -> None:
        super().__init__()
        self.pause_s = pause_s
        self.threads: set[str] = set()
        self.flushed = self.beats = 0

    def commit(self, tick: int) -> None:
        time.sleep(self.pause_s)
        self.threads.add(threading.current_thread().name)
        super().commit(tick)

    def flush(self) -> None:
        self.flushed += 1

    def beat(self) -> None:
        self.beats += 1


def same(found: MemorySink, expected: MemorySink) -> bool:
    return all(
        np.array_equal(mine, theirs)
        for name in expected.spikes
        for mine, theirs in zip(found.spikes[name], expected.spikes[name], strict=True)
    ) and all(
        np.array_equal(found.states[name].values, expected.states[name].values)
        for name in expected.states
    )


@pytest.mark.parametrize("backlog", [4096, 1 << 26])
def test_what_is_handed_over_arrives_in_order_in_another_thread(backlog: int) -> None:
    sink = Kept()
    with WriteBehind(sink, backlog) as behind:
        Activity().play(behind, EVERYTHING)
    assert same(sink, in_memory())
    assert sink.committed_tick == 730
    assert sink.flushed == 1
    assert sink.threads == {"store"}


def test_arrays_may_be_used_again_after_they_were_handed_over() -> None:
    sink, ticks = Kept(0.05), np.arange(3)
    with WriteBehind(sink) as behind:
        behind.commit(0)
        behind.spikes("E", ticks, np.arange(3, dtype=np.uint32))
        ticks[...] = 7
    assert sink.spikes["E"].ticks.tolist() == [0, 1, 2]


@pytest.mark.parametrize("owners", [1, 3])
def test_the_bytes_of_a_store_do_not_show_who_wrote_when(tmp_path: Path, owners: int) -> None:
    store = made(tmp_path / "behind")
    for share in shares(owners):
        with WriteBehind(sink_at(store, share, every_s=0.0), 1 << 14) as behind:
            Activity().play(behind, share)
    finalise(store)
    assert differences(open_run(store), in_memory()) == []
    assert files(store) == files(recorded(tmp_path / "in line"))


def test_a_slow_store_slows_the_run_and_does_not_fill_memory() -> None:
    backlog = 40_000
    began = time.monotonic()
    with WriteBehind(Kept(0.02), backlog) as behind:
        for window in range(40):
            ticks = np.full(1000, window)
            behind.spikes("E", ticks, np.zeros(1000, np.uint32))
            behind.commit(window + 1)
        handed_s = time.monotonic() - began
    assert behind.most_bytes <= backlog
    assert handed_s > 30 * 0.02  # all but what fits into the backlog had to be stored before
    assert behind.waited_s > 20 * 0.02


def test_a_store_that_keeps_up_is_not_waited_for() -> None:
    sink = Kept(0.02)
    with WriteBehind(sink, 1 << 26) as behind:
        for window in range(10):
            behind.spikes("E", np.full(1000, window), np.zeros(1000, np.uint32))
            behind.commit(window + 1)
        assert behind.waited_s < 0.1
        assert sink.committed_tick < 10


def test_what_is_larger_than_the_backlog_is_waited_for_and_not_copied() -> None:
    seen: list[np.ndarray] = []
    sink = Kept()
    sink.weights = lambda projection, tick, sources, targets, values: seen.append(values["w"])
    ends, w = np.zeros(1000, np.uint32), np.zeros(1000)
    with WriteBehind(sink, 2000) as behind:
        behind.weights("E->E", 0, ends, ends, {"w": w})
        assert seen[0] is w
    with WriteBehind(sink, 1 << 20) as behind:
        behind.weights("E->E", 0, ends, ends, {"w": w})
    assert seen[1] is not w


def test_what_the_store_fails_with_reaches_the_run_and_nothing_is_stored_after_it() -> None:
    class Full(Kept):
        def commit(self, tick: int) -> None:
            if tick > 100:
                raise OutputError("the disk is full")
            super().commit(tick)

    sink = Full()
    behind = WriteBehind(sink, 1 << 14)
    with pytest.raises(OutputError, match="the disk is full"), behind:
        Activity().play(behind, EVERYTHING)
    assert sink.committed_tick <= 100
    assert sink.flushed == 0
    assert max(sink.spikes["E"].ticks) < 130
    with pytest.raises(OutputError, match="the disk is full"):
        behind.flush()


def test_what_comes_after_the_end_is_not_lost_without_a_word() -> None:
    with WriteBehind(Kept()) as behind:
        behind.commit(1)
    with pytest.raises(AssertionError, match="handed over after the end"):
        behind.commit(2)


def test_a_defect_of_the_store_reaches_the_run_as_it_is() -> None:
    class Broken(Kept):
        def commit(self, tick: int) -> None:
            raise ZeroDivisionError("a defect")

    with pytest.raises(ZeroDivisionError, match="a defect"), WriteBehind(Broken()) as behind:
        behind.commit(1)


def test_a_store_that_does_nothing_is_not_waited_for_without_end() -> None:
    gate = threading.Event()

    class Hangs(Kept):
        def commit(self, tick: int) -> None:
            gate.wait()

    behind = WriteBehind(Hangs(), JOB_BYTES, patience_s=0.2)
    behind.commit(1)
    with pytest.raises(OutputError, match=r"has taken nothing for 0.2 s; see whether its disk"):
        behind.commit(2)
    gate.set()


def test_a_process_shows_that_it_lives_while_nothing_is_stored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("biosim.spiking.write_behind.BEAT_S", 0.01)
    sink = Kept()
    with WriteBehind(sink):
        time.sleep(0.2)
    assert sink.beats > 2
    store = made(tmp_path)
    written = sink_at(store, shares(1)[0])
    (described,) = (store / "_owners").glob("*/zarr.json")
    before = described.stat().st_mtime_ns
    time.sleep(0.02)
    written.beat()
    assert described.stat().st_mtime_ns > before
