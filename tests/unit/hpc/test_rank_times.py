"""What ranks spend their time on is counted, gathered and stored."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import biosim
from biosim.contracts import Ranks
from biosim.ranks import OneRank, PretendRanks
from biosim.store import STORE, RunStore
from hpc.rank_times import NAMES, Clock, RankTimes, write_times
from hpc.stopping import Heeding

MS = 1_000_000


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the time in nanoseconds, to be changed."""
    clock = [5 * MS]
    monkeypatch.setattr(time, "perf_counter_ns", lambda: clock[0])
    return clock


class Counting(OneRank):
    """A rank that counts what it exchanges."""

    def __init__(self) -> None:
        super().__init__()
        self.times = RankTimes()


def test_only_what_happens_while_running_is_counted(now: list[int]) -> None:
    ranks = Counting()
    ranks.times = RankTimes(run=0, exchange=9, wait=9, bytes=9, messages=9, exchanges=9)
    clock = Clock(ranks)
    ranks.times.bytes += 100  # before
    for _ in range(2):
        with clock.running():
            now[0] += 3 * MS
            ranks.times.exchange += MS
            ranks.times.wait += 2 * MS
            ranks.times.bytes += 10
            ranks.times.messages += 2
            ranks.times.exchanges += 1
        now[0] += 7 * MS
        ranks.times.bytes += 1000
    assert clock.total == RankTimes(6 * MS, 2 * MS, 4 * MS, 20, 4, 2)


def test_what_fails_is_counted_too(now: list[int]) -> None:
    clock = Clock(OneRank())

    def fail() -> None:
        with clock.running():
            now[0] += MS
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert clock.total == RankTimes(run=MS)


def test_counts_go_through_what_heeds_signals(now: list[int]) -> None:
    ranks = Counting()
    clock = Clock(Heeding(ranks))
    with clock.running():
        ranks.times.bytes += 10
    assert clock.total.bytes == 10


@pytest.mark.parametrize("size", [1, 3])
def test_every_rank_gathers_the_counts_of_all(size: int) -> None:
    def program(ranks: Ranks) -> np.ndarray:
        clock = Clock(ranks)
        clock.total = RankTimes(*(10 * ranks.rank + i for i in range(len(NAMES))))
        return clock.gathered()

    expected = [[10 * rank + i for i in range(6)] for rank in range(size)]
    for found in PretendRanks(size).run(program):
        assert found.dtype == np.int64
        assert found.tolist() == expected


def test_counts_are_stored_by_rank_in_their_units(tmp_path: Path) -> None:
    assert NAMES == ("run", "exchange", "wait", "bytes", "messages", "exchanges")
    table = np.array(
        [[9 * MS, 2 * MS, 3 * MS, 1 << 40, 7, 5], [8 * MS, 0, 0, 0, 0, 4]], dtype=np.int64
    )
    store = RunStore(tmp_path / STORE, "w")
    write_times(store, table)
    stored = biosim.open_run(tmp_path)["timing/ranks"]
    assert stored.attrs["exchanges"] == 5
    # By name: `.compute` is a method.
    np.testing.assert_allclose(stored["compute"], [4e-3, 8e-3])
    np.testing.assert_allclose(stored["exchange"], [2e-3, 0])
    np.testing.assert_allclose(stored["wait"], [3e-3, 0])
    assert stored["bytes"].values.tolist() == [1 << 40, 0]
    assert stored["messages"].values.tolist() == [7, 0]
    units = {str(name): array.attrs["units"] for name, array in stored.data_vars.items()}
    seconds = dict.fromkeys(("compute", "exchange", "wait"), "s")
    assert units == seconds | {"bytes": "byte", "messages": "1"}
    assert all(array.dims == ("rank",) for array in stored.data_vars.values())
    assert all(array.attrs["long_name"] for array in stored.data_vars.values())
