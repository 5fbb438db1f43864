"""What a directory holds decides whether a run goes on, begins anew or is refused."""

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import biosim
from biosim.checkpoints import arrays
from biosim.checkpoints.directory import FOLDER, Checkpoint, CheckpointError, begin, complete
from biosim.contracts import Ranks
from biosim.errors import OutputError
from biosim.processes import this_process
from biosim.ranks import PretendRanks
from biosim.store import STORE, RunStore
from hpc import resume as module
from hpc import stopping
from hpc.resume import carry_on, resume, stored_scenario
from hpc.together import AlreadyCompleteError
from scenarios.reading import AnyScenario, read_tree, resolve_any

GONE = {"host": socket.gethostname(), "pid": 1 << 30, "began": "long ago"}
ELSEWHERE = {"host": "another-machine", "pid": 7, "began": "today"}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk, and not for long for other machines."""
    monkeypatch.setattr(arrays, "_synced", lambda path: None)
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """How runs were begun, in place of runs: checkpoint, whether what is there is replaced."""
    found: list[tuple[Any, ...]] = []

    def run_from(checkpoint: Any, scenario: Any, out: Path, overwrite: bool, watcher: Any) -> str:
        found.append((checkpoint and checkpoint.path, overwrite, scenario))
        return "a result"

    monkeypatch.setattr(module, "run_from", run_from)
    return found


def scenario(*overrides: str) -> AnyScenario:
    return resolve_any(read_tree("digits"), ["run.epochs=1", *overrides])


def run_at(out: Path, status: str, process: Any = GONE, **said: Any) -> None:
    """What a run has left."""
    about = {
        "scenario": scenario().model_dump(mode="json"),
        **dict.fromkeys(("started", "host", "ranks", "rule", "data"), "said"),
        "seed": 0,
    }
    RunStore(out / STORE, "w").describe({**about, "status": status, "process": process, **said})


def kept(out: Path, tick: int = 5, **said: Any) -> Path:
    about = {"scenario": scenario().model_dump(mode="json"), "biosim": biosim.__version__}
    return complete(begin(out / FOLDER, tick), {**about, "now": tick, **said}, 2)


# --- resume


def test_a_directory_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nothing"):
        resume(tmp_path / "nothing")


def test_a_complete_run_is_not_gone_on_with(tmp_path: Path) -> None:
    run_at(tmp_path, "complete")
    with pytest.raises(AlreadyCompleteError, match="is complete; there is nothing to go on with"):
        resume(tmp_path)


def test_a_run_that_is_written_is_refused(tmp_path: Path) -> None:
    run_at(tmp_path, "running", this_process())
    kept(tmp_path)
    with pytest.raises(OutputError, match=f"still being written by process {os.getpid()} on"):
        resume(tmp_path)


def test_a_run_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    run_at(tmp_path, "failed")
    with pytest.raises(CheckpointError, match="has no checkpoint to go on from"):
        resume(tmp_path)


@pytest.mark.parametrize("status", ["running", "failed", "stopped", "interrupted"])
def test_a_run_that_was_ended_goes_on(
    tmp_path: Path, status: str, ran: list[tuple[Any, ...]]
) -> None:
    run_at(tmp_path, status)
    path = kept(tmp_path)
    assert resume(tmp_path, ["run.threads=2", "checkpoint.minutes=1"]) == "a result"
    ((checkpoint, overwrite, settings),) = ran
    assert (checkpoint, overwrite) == (path, False)
    assert (settings.run.threads, settings.checkpoint.minutes) == (2, 1)


@pytest.mark.parametrize("override", ["rule.lr=0.2", "run.seed=3", "run.device=cuda", "record.x=1"])
def test_a_setting_that_would_change_the_result_is_refused(tmp_path: Path, override: str) -> None:
    run_at(tmp_path, "failed")
    kept(tmp_path)
    with pytest.raises(OutputError, match=f"got {override} to resume .* would change its result"):
        stored_scenario(tmp_path, [override])


# --- jobs


def test_a_job_runs_what_is_not_there(tmp_path: Path, ran: list[tuple[Any, ...]]) -> None:
    assert carry_on(scenario(), tmp_path / "new") == "a result"
    assert ran[0][:2] == (None, True)


def test_a_job_does_nothing_where_all_is_done(tmp_path: Path, ran: list[tuple[Any, ...]]) -> None:
    run_at(tmp_path, "complete")
    assert carry_on(scenario(), tmp_path) is None
    assert ran == []


@pytest.mark.parametrize("status", ["running", "failed", "stopped", "interrupted"])
def test_a_job_goes_on_from_the_newest_checkpoint_or_the_beginning(
    tmp_path: Path, status: str, ran: list[tuple[Any, ...]]
) -> None:
    run_at(tmp_path, status)
    carry_on(scenario(), tmp_path)
    kept(tmp_path, 5)
    path = kept(tmp_path, 9)
    carry_on(scenario("run.threads=2"), tmp_path)
    assert [how[:2] for how in ran] == [(None, True), (path, False)]


def test_a_job_begins_anew_what_was_killed_before_it_said_what_it_is(
    tmp_path: Path, ran: list[tuple[Any, ...]]
) -> None:
    store = RunStore(tmp_path / STORE, "w")
    store.describe({"process": GONE})
    carry_on(scenario(), tmp_path)
    assert ran[0][:2] == (None, True)


def test_a_job_does_not_touch_another_run(tmp_path: Path) -> None:
    run_at(tmp_path, "failed")
    with pytest.raises(OutputError, match="holds a run of another scenario; choose another --out"):
        carry_on(scenario("rule.lr=0.3"), tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").touch()
    with pytest.raises(OutputError, match=r"holds 'letter.txt', which is no result of biosim"):
        carry_on(scenario(), other)


@pytest.mark.parametrize("text", ["", "{}", "[]"])
def test_a_store_that_is_damaged_is_refused(tmp_path: Path, text: str) -> None:
    run_at(tmp_path, "failed")
    (tmp_path / STORE / "zarr.json").write_text(text)
    with pytest.raises(OutputError, match=r"cannot be read .* it is damaged; move .* away"):
        carry_on(scenario(), tmp_path)


def test_a_job_waits_for_the_one_before_it_on_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: list[tuple[Any, ...]]
) -> None:
    run_at(tmp_path, "running", ELSEWHERE)
    with pytest.raises(OutputError, match="still being written by process 7 on another-machine"):
        carry_on(scenario(), tmp_path)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        old_s = time.time() - 1000
        os.utime(tmp_path / STORE / "zarr.json", (old_s, old_s))

    monkeypatch.setattr(module.time, "sleep", sleep)
    monkeypatch.setattr(module, "PATIENCE_S", 60.0)
    assert carry_on(scenario(), tmp_path) == "a result"
    assert slept == [1.0]


def test_a_job_that_is_asked_to_end_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_at(tmp_path, "running", ELSEWHERE)
    monkeypatch.setattr(module, "PATIENCE_S", 60.0)
    monkeypatch.setitem(stopping._asked, 15, 0.0)
    with pytest.raises(OutputError, match="still being written"):
        carry_on(scenario(), tmp_path)


def test_ranks_that_see_different_checkpoints_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Checkpoint(kept(tmp_path / str(n), n)) for n in (5, 5, 9)]

    def program(pair: tuple[int, int]) -> Callable[[Ranks], str]:
        def of_rank(ranks: Ranks) -> str:
            try:
                module._check_alike(found[pair[ranks.rank]], ranks)
            except OutputError as failure:
                return str(failure)
            return ""

        return of_rank

    assert PretendRanks(2, 30).run(program((0, 1))) == ["", ""]
    for said in PretendRanks(2, 30).run(program((1, 2))):
        assert "ranks do not see the same newest checkpoint" in said


# --- runs


def test_a_run_in_which_little_happens_is_stored_and_ends(tmp_path: Path) -> None:
    """The engine stands before the tick at which a checkpoint was due, until something happens."""
    more = ("run.batch_size=512", "run.period=40", "checkpoint.ticks=15", "checkpoint.keep=50")
    module.run_from(None, scenario(*more), tmp_path / "one", False, None)
    ticks = [int(path.name[5:]) for path in (tmp_path / "one" / FOLDER).glob("tick-*")]
    assert len(ticks) >= 2


def test_two_that_resume_at_once_do_not_both_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = scenario("run.batch_size=512", "checkpoint.ticks=3")
    module.run_from(None, settings, tmp_path / "one", False, None)
    path = tmp_path / "one" / STORE / "zarr.json"
    said = json.loads(path.read_text())
    said["attributes"]["status"] = "stopped"
    path.write_text(json.dumps(said))
    found = module.found_checkpoint

    def meanwhile(out: Path, asked: Any) -> Checkpoint:
        RunStore(out / STORE).go_on(1)  # another one comes first
        return found(out, asked)

    monkeypatch.setattr(module, "found_checkpoint", meanwhile)
    with pytest.raises(OutputError, match="is still being written by process"):
        resume(tmp_path / "one")
