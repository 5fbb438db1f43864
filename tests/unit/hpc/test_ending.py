"""A run that was killed, or whose disk filled up, is finished afterwards, and only then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zarr

import biosim
from biosim import processes
from biosim.errors import OutputError
from biosim.spiking import finalising
from biosim.store import RunStore, sign_of, write_progress
from hpc.ending import ended, repaired
from hpc.run import run
from tests.unit.biosim.spiking.made_up_run import (
    Activity,
    differences,
    files,
    in_memory,
    made,
    recorded,
    shares,
    sink_at,
)
from tests.unit.hpc.test_run_spiking import scenario

ROOT = Path(__file__).parents[3]


def gone() -> dict[str, object]:
    """A process that is no more."""
    child = subprocess.Popen(["true"])
    child.wait()
    return processes.this_process() | {"pid": child.pid}


@pytest.fixture
def killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run by a process that is no more, which committed 405 ticks."""
    process = gone()
    for module in ("biosim.store", "biosim.spiking.spike_store"):
        monkeypatch.setattr(f"{module}.this_process", lambda: process)
    store = made(tmp_path)
    for share in shares(2):
        sink = sink_at(store, share)
        Activity().play(sink, share, stop=405)
        sink.flush()
        Activity().play(sink, share, start=405, stop=600)
    (store / "spikes/E/.zarr.json.0af.partial").write_text("{")
    write_progress(tmp_path, {"status": "running", "tick": 590, "ticks": 730, "seconds_left": 3})
    return tmp_path


def test_what_a_killed_run_left_is_merged_and_may_be_merged_again(killed: Path) -> None:
    assert repaired(killed) == f"{killed} is repaired: everything before tick 405 is stored"
    tree = biosim.open_run(killed)
    assert differences(tree, in_memory(405)) == []
    assert tree.attrs["status"] == "failed"
    assert tree.attrs["error"] == "it was killed; biosim traces repair finished it"
    assert "spikes/E/by_neuron/step" in tree.attrs["arrays"]
    said = json.loads((killed / "progress.json").read_text())
    assert (said["status"], said["tick"], said["percent"]) == ("failed", 405, 55.5)
    left = [path for path in killed.rglob("*") if path.name.startswith("_")]
    assert left + list(killed.rglob("*.partial")) == []
    before = files(killed)
    assert repaired(killed) == f"{killed} needs no repair: its status is failed"
    assert files(killed) == before


def test_the_store_itself_may_be_given(killed: Path) -> None:
    assert "everything before tick 405 is stored" in repaired(killed / "run.zarr")


@pytest.mark.parametrize("where", ["_by_neuron", "_columns", "_rows", "_put"])
def test_a_repair_that_is_killed_may_be_done_again(
    killed: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def dies(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(finalising, where, dies)
        with pytest.raises(KeyboardInterrupt):
            repaired(killed)
    repaired(killed)
    assert differences(biosim.open_run(killed), in_memory(405)) == []


@pytest.mark.parametrize("what", ["_raw", "_owners"])
def test_a_repair_that_is_killed_while_it_removes_logs_may_be_done_again(
    killed: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    delete = zarr.Group.__delitem__

    def dies(self: zarr.Group, name: str) -> None:
        if name == what:
            (killed / "run.zarr" / self.path / name / "zarr.json").unlink()
            raise KeyboardInterrupt
        delete(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(zarr.Group, "__delitem__", dies)
        with pytest.raises(KeyboardInterrupt):
            repaired(killed)
    repaired(killed)
    assert differences(biosim.open_run(killed), in_memory(405)) == []
    assert [path for path in killed.rglob("*") if path.name in ("_raw", "_owners")] == []


def test_a_run_that_was_killed_while_it_made_its_logs_is_finished(killed: Path) -> None:
    (killed / "run.zarr/spikes/later/_raw/b0000000000").mkdir(parents=True)
    repaired(killed)
    tree = biosim.open_run(killed)
    assert differences(tree, in_memory(405)) == []
    assert "later" not in tree["spikes"].children


def test_a_run_that_is_still_being_written_is_refused(tmp_path: Path) -> None:
    store = made(tmp_path)
    sink = sink_at(store, shares(1)[0])
    Activity().play(sink, shares(1)[0], stop=30)
    before = files(tmp_path)
    with pytest.raises(OutputError, match=rf"is still being written by process {os.getpid()} on"):
        repaired(tmp_path)
    assert files(tmp_path) == before


def test_an_owner_that_lives_longer_than_the_first_one_is_waited_for(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biosim.spiking.spike_store.this_process", processes.this_process)
    sink_at(killed / "run.zarr", shares(3)[2])
    with pytest.raises(OutputError, match="is still being written"):
        repaired(killed)


def test_a_writer_on_another_machine_lives_while_it_shows_so(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes.socket, "gethostname", lambda: "elsewhere")
    with pytest.raises(OutputError, match=r"is still being written by process \d+ on "):
        repaired(killed)
    old_s = time.time() - 2 * processes.SILENT_S
    signs = [killed / "progress.json", sign_of(killed / "run.zarr")]
    for path in (*killed.glob("run.zarr/_owners/*/zarr.json"), *signs):
        os.utime(path, (old_s, old_s))
    for sign in signs:
        os.utime(sign)
        with pytest.raises(OutputError, match="is still being written"):
            repaired(killed)
        os.utime(sign, (old_s, old_s))
    assert "is repaired" in repaired(killed)


def test_a_run_shows_that_it_lives_also_while_nothing_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "BEAT_S", 0.01)
    old_s, seen = round(time.time() - 2 * processes.SILENT_S), []

    finalise = finalising.finalise

    def slow(path: Path) -> int:
        sign = sign_of(path)
        os.utime(sign, (old_s, old_s))
        until = time.monotonic() + 10
        while sign.stat().st_mtime == old_s and time.monotonic() < until:
            time.sleep(0.01)
        seen.append(sign.stat().st_mtime)
        return finalise(path)

    monkeypatch.setattr(finalising, "finalise", slow)
    run(scenario("run.duration=1 ms"), tmp_path / "run")
    assert seen[0] > old_s + processes.SILENT_S


def test_two_repairs_at_a_time_are_refused(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = []

    def meanwhile(path: Path) -> int:
        with pytest.raises(OutputError, match=rf"still being written by process {os.getpid()} on"):
            repaired(killed)
        said.append(path)
        return finalise(path)

    finalise = finalising.finalise
    monkeypatch.setattr(finalising, "finalise", meanwhile)
    assert "is repaired" in repaired(killed)
    assert said == [killed / "run.zarr"]


def test_numbers_of_processes_that_are_used_again_are_told_apart(tmp_path: Path) -> None:
    process = processes.this_process()
    assert processes.lives(process, tmp_path)
    assert not processes.lives(process | {"began": "another day"}, tmp_path)
    assert not processes.lives(gone(), tmp_path)
    assert not processes.lives(process | {"host": "elsewhere"}, tmp_path / "missing")


def test_a_process_that_has_ended_and_was_not_waited_for_is_gone(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = processes.this_process()
    process |= {"pid": child.pid, "began": processes._began(child.pid)}
    assert processes.lives(process, tmp_path)
    os.kill(child.pid, signal.SIGKILL)
    until = time.monotonic() + 10
    while processes.lives(process, tmp_path) and time.monotonic() < until:
        time.sleep(0.01)
    assert not processes.lives(process, tmp_path)
    child.communicate()


def test_a_run_of_layers_that_was_killed_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = gone()
    monkeypatch.setattr("biosim.store.this_process", lambda: process)
    RunStore(tmp_path / "run.zarr", "w")
    assert repaired(tmp_path) == f"{tmp_path} is repaired: nothing was left to merge"
    assert biosim.open_run(tmp_path).attrs["status"] == "failed"


def test_what_is_whole_or_no_run_is_not_repaired(tmp_path: Path) -> None:
    done = run(scenario("run.duration=1 ms"), tmp_path / "done").path
    before = files(done)
    assert repaired(done) == f"{done} needs no repair: its status is complete"
    assert files(done) == before
    with pytest.raises(OutputError, match="holds no run"):
        repaired(tmp_path)


# --- a disk that fills up


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """A disk that has room for so many bytes of files."""
    room = {"bytes": float("inf")}
    put = zarr.storage._local._put

    def limited(path: Path, value: object, exclusive: bool = False) -> int:
        room["bytes"] -= len(value)  # type: ignore[arg-type]
        if room["bytes"] < 0:
            raise OSError(28, "No space left on device", str(path))
        return put(path, value, exclusive=exclusive)

    monkeypatch.setattr(zarr.storage._local, "_put", limited)
    return room


@pytest.mark.parametrize("room_bytes", [20_000, 60_000, 110_000])
def test_a_disk_that_fills_up_ends_the_run_with_one_line_and_what_it_has_is_readable(
    tmp_path: Path, disk: dict[str, float], room_bytes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(scenario(), tmp_path / "whole").path
    monkeypatch.setattr("biosim.spiking.spike_store.COMMIT_SHARE", 1e9)
    disk["bytes"] = room_bytes
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\)") as said:
        run(scenario(), tmp_path / "run")
    assert "\n" not in str(said.value)
    disk["bytes"] = float("inf")
    tree, expected = (biosim.open_run(tmp_path / name) for name in ("run", "whole"))
    assert whole.exists()
    until_s = tree.attrs.get("committed_tick", 0) * 1e-4
    if "spikes" in tree.children and "I" in tree["spikes"].children:
        stored, all_times = tree["spikes/I"].time.values, expected["spikes/I"].time.values
        assert stored.tolist() == all_times[all_times < until_s - 1e-9].tolist()


def test_a_disk_that_fills_up_at_the_end_leaves_the_logs_to_be_merged_later(
    tmp_path: Path, disk: dict[str, float]
) -> None:
    store = made(tmp_path)
    share = shares(1)[0]
    sink = sink_at(store, share)
    Activity().play(sink, share)
    sink.flush()
    root = RunStore(store)
    write_progress(tmp_path, {"status": "running", "tick": 590, "ticks": 730, "seconds_left": 3})
    disk["bytes"] = 3000
    with pytest.raises(OutputError, match=r"No space left on device\); make room and do it again"):
        ended(store, root, {"status": "complete"})
    said = json.loads((tmp_path / "progress.json").read_text())
    assert (said["status"], said["tick"], said["seconds_left"]) == ("failed", 590, None)
    assert ended(store, root, {"status": "stopped", "error": "first"}) is None
    assert json.loads((tmp_path / "progress.json").read_text())["status"] == "stopped"
    disk["bytes"] = float("inf")
    assert differences(biosim.open_run(store), in_memory()) == []
    root.describe({"status": "failed"})
    assert repaired(tmp_path) == f"{tmp_path} is repaired: everything before tick 730 is stored"
    assert differences(biosim.open_run(store), in_memory()) == []


def test_a_run_that_ended_well_is_merged(tmp_path: Path) -> None:
    store = made(tmp_path)
    sink = sink_at(store, shares(1)[0])
    Activity().play(sink, shares(1)[0])
    sink.flush()
    assert ended(store, RunStore(store), {"status": "complete"}) == 730
    assert files(store / "spikes") == files(recorded(tmp_path / "other") / "spikes")
