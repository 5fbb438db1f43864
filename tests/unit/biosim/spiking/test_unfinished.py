"""A run can be opened at any moment, and after it was killed at any moment."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest
import zarr

from biosim import traces
from biosim.errors import OutputError
from biosim.spiking import finalising
from biosim.spiking.finalising import finalise
from biosim.spiking.recording import MemorySink, Recording
from biosim.spiking.spike_store import StoreSink
from biosim.traces import open_run, spike_times, spikes_between
from tests.unit.biosim.spiking.made_up_run import (
    DT_S,
    RECORDING,
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


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("owners", [1, 3])
def test_a_killed_run_is_readable_up_to_what_was_committed(tmp_path: Path, owners: int) -> None:
    store = made(tmp_path)
    for share in shares(owners):
        sink = sink_at(store, share)
        Activity().play(sink, share, stop=405)
        sink.flush()
        Activity().play(sink, share, start=405, stop=600)  # and is killed without a word
    tree = open_run(store)
    assert tree.attrs["committed_tick"] == 405
    assert differences(tree, in_memory(405)) == []
    assert finalise(store) == 405
    assert differences(open_run(store), in_memory(405)) == []


def test_of_owners_that_committed_different_ticks_the_earliest_counts(tmp_path: Path) -> None:
    store = made(tmp_path)
    for share, stop in zip(shares(3), (600, 330, 450), strict=True):
        sink = sink_at(store, share)
        Activity().play(sink, share, stop=stop)
        sink.flush()
    assert differences(open_run(store), in_memory(330)) == []
    finalise(store)
    assert differences(open_run(store), in_memory(330)) == []


def test_nothing_counts_as_committed_before_every_owner_has_begun(tmp_path: Path) -> None:
    store = made(tmp_path)
    share = shares(2)[1]
    sink = sink_at(store, share)
    Activity().play(sink, share)
    sink.flush()
    tree = open_run(store)
    assert tree.attrs["committed_tick"] == 0
    assert tree["spikes/E"].sizes["spike"] == 0


@pytest.mark.parametrize("gone", ["_owners", "window_ptr", "step", "b0000000000"])
def test_a_run_that_is_just_beginning_can_be_opened(tmp_path: Path, gone: str) -> None:
    store = made(tmp_path)
    sink_at(store, shares(1)[0])
    for path in sorted(store.rglob(gone)):
        shutil.rmtree(path)
    if gone == "step":
        for path in sorted(store.rglob("window_ptr")):
            shutil.rmtree(path)
    tree = open_run(store)
    assert differences(tree, MemorySink()) == []
    if gone == "_owners":
        assert tree["spikes/E"].sizes["spike"] == 0


def test_a_process_that_is_killed_leaves_a_readable_run(tmp_path: Path) -> None:
    store = made(tmp_path)
    program = f"""
import os, signal, sys
sys.path[:0] = {sys.path!r}
from tests.unit.biosim.spiking.made_up_run import Activity, shares, sink_at
sink = sink_at({str(store)!r}, shares(1)[0], every_s=0.0)
commit = sink.commit
def counted(tick):
    commit(tick)
    if tick > 400:
        os.kill(os.getpid(), signal.SIGKILL)
sink.commit = counted
Activity().play(sink, shares(1)[0])
"""
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    tree = open_run(store)
    committed = tree.attrs["committed_tick"]
    assert 0 < committed <= 405
    assert differences(tree, in_memory(committed)) == []


def test_a_running_run_can_be_opened_after_every_commit(tmp_path: Path) -> None:
    store = made(tmp_path)
    share = shares(1)[0]
    sink = sink_at(store, share, every_s=0.0)
    seen = []
    for tick in range(0, 90, 15):
        Activity().play(sink, share, tick, tick + 15)
        sink.flush()
        tree = open_run(store)
        seen.append(tree.attrs["committed_tick"])
        assert differences(tree, in_memory(tick + 15)) == []
    assert seen == [15, 30, 45, 60, 75, 90]


def test_a_run_that_moves_its_logs_meanwhile_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = recorded(tmp_path)
    looks = iter([OSError("moved"), KeyError("_raw"), OutputError("lacks rows"), None])
    look = traces._datasets

    def moving(*how: Any) -> Any:
        problem = next(looks)
        if problem is not None:
            raise problem
        return look(*how)

    monkeypatch.setattr(traces, "_datasets", moving)
    monkeypatch.setattr(traces, "LOOK_AGAIN_S", 0.001)
    assert differences(open_run(store), in_memory()) == []
    # Of a run that is over nothing moves: the first look tells.
    zarr.open_group(str(store), mode="r+").attrs["status"] = "complete"
    looks = iter([OSError("gone"), None])
    with pytest.raises(OutputError, match="is damaged: gone"):
        open_run(store)


def test_a_run_that_stays_damaged_is_not_looked_at_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = recorded(tmp_path)
    monkeypatch.setattr(traces, "LOOK_AGAIN_S", 0.001)
    (store / "spikes/E/zarr.json").write_text("{")
    with pytest.raises(OutputError, match="is damaged"):
        open_run(store)


class Forgetful(StoreSink):
    """Says that it stored everything, and keeps the tail to itself."""

    def flush(self) -> None:
        for log in self._spikes.values():
            log._spikes._dirty = False
        super().flush()


class Doubtful(StoreSink):
    """Never hands over the last window of spikes."""

    def spikes(self, population: str, ticks: npt.NDArray, neurons: npt.NDArray) -> None:
        if len(ticks) and ticks[-1] < 700:
            super().spikes(population, ticks, neurons)


def test_a_sink_that_forgets_its_tail_is_caught(tmp_path: Path) -> None:
    store = made(tmp_path / "forgetful")
    sink = Forgetful(store, RECORDING, SIZES, shares(1)[0], DT_S)
    Activity().play(sink, shares(1)[0])
    sink.flush()
    with pytest.raises(OutputError, match="lacks spikes that were committed"):
        differences(open_run(store), in_memory())
    with pytest.raises(OutputError, match="lacks spikes that were committed"):
        finalise(store)
    store = made(tmp_path / "doubtful")
    sink = Doubtful(store, RECORDING, SIZES, shares(1)[0], DT_S)
    Activity().play(sink, shares(1)[0])
    sink.flush()
    finalise(store)
    assert "spikes E time" in differences(open_run(store), in_memory())


def test_an_owner_that_lacks_samples_is_caught(tmp_path: Path) -> None:
    store = made(tmp_path)
    for share in shares(2):
        sink = sink_at(store, share)
        Activity().play(sink, share)
        sink.flush()
    last = sorted((store / "traces/E/_raw/v").glob("b*"))[-1]
    shutil.rmtree(last / "step" / "c")
    with pytest.raises(OutputError, match="lacks rows that were committed"):
        open_run(store)


# --- finalising, interrupted


def interrupted(path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> Path:
    store = made(path)
    for share in shares(2):
        sink = sink_at(store, share)
        Activity().play(sink, share)
        sink.flush()

    class KilledError(Exception):
        pass

    def killed(*arguments: object, **more: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        if where == "removing":
            patch.setattr(zarr.Group, "__delitem__", killed)
        else:
            patch.setattr(finalising, where, killed)
        with pytest.raises(KilledError):
            finalise(store)
    return store


@pytest.mark.parametrize("where", ["_by_neuron", "_columns", "_rows", "removing"])
def test_finalising_may_be_killed_and_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    store = interrupted(tmp_path / "killed", monkeypatch, where)
    assert differences(open_run(store), in_memory()) == []
    finalise(store)
    assert differences(open_run(store), in_memory()) == []
    assert files(store) == files(recorded(tmp_path / "whole"))


def test_finalising_again_changes_nothing(tmp_path: Path) -> None:
    store = recorded(tmp_path)
    before = files(store)
    assert finalise(store) == 0
    assert files(store) == before


# --- nothing to record


def test_a_run_that_was_killed_before_its_first_commit_is_empty(tmp_path: Path) -> None:
    store = made(tmp_path)
    sink = sink_at(store, shares(1)[0])
    Activity().play(sink, shares(1)[0], stop=30)
    for _ in range(2):
        tree = open_run(store)
        assert tree["spikes/E"].sizes["spike"] == 0
        assert spike_times(tree, "E", 3).size == 0
        assert spikes_between(tree, "E", 0, 1).sizes["spike"] == 0
        assert not tree["traces/E"].data_vars
        assert finalise(store) == 0


def test_an_owner_of_nothing_and_a_recording_of_nothing_store_nothing(tmp_path: Path) -> None:
    store = made(tmp_path)
    before = files(store)
    nothing = dict.fromkeys(SIZES, (0, 0))
    sink = sink_at(store, nothing)
    Activity().play(sink, nothing)
    sink.flush()
    assert files(store) == before
    everything = StoreSink(store, Recording(), SIZES, shares(1)[0], DT_S)
    everything.commit(100)
    everything.flush()
    assert finalise(store) == 100
    assert files(store) == before
