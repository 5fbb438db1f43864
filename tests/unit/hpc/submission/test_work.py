"""What a job does with an entry, and the exit code by which it says how that ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from biosim.checkpoints.directory import name_of
from biosim.errors import BiosimError, OutputError
from biosim.ranks import StoppedError
from hpc.jobs.record import load
from hpc.stopping import InterruptedRunError
from hpc.submission import work as module
from hpc.submission.command import BEGIN
from hpc.submission.description import Description
from hpc.submission.entries import planned
from hpc.submission.submit import submit
from hpc.submission.work import entry, work
from scenarios.reading import built_in, read_tree, resolve_any
from tests.unit.hpc.submission.conftest import Cluster

QUICK = ["run.epochs=1", "run.batch_size=256", "network.hidden=[4]", "record.samples=3"]


@pytest.fixture
def out(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A submission of two runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BIOSIM_LINK", raising=False)
    runs = planned(read_tree("digits"), QUICK, seeds=2)
    submit(tmp_path / "there", runs, Description(time="1 h"), "slurm")
    return tmp_path / "there"


def raising(problem: Exception, calls: list[Path]):
    def carry_on(scenario, path, watcher=None):
        calls.append(path)
        raise problem

    return carry_on


def progress(out: Path, status: str) -> None:
    run = out / "runs" / "backprop" / "seed-1"
    run.mkdir(parents=True, exist_ok=True)
    (run / "progress.json").write_text(json.dumps({"status": status}))


def test_an_entry_is_run_by_a_program_from_any_directory(out: Path) -> None:
    command = [sys.executable, "-P", "-c", BEGIN, str(out), "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"results in {out}/runs/backprop/seed-1\n"
    assert not (out / "runs" / "backprop" / "seed-0").exists()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at blocked signals")
def test_a_warning_that_comes_while_biosim_is_imported_pauses_the_run(out: Path) -> None:
    command = [sys.executable, "-P", "-c", BEGIN, str(out), "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        blocked = re.compile(r"^SigBlk:.*a00$", re.MULTILINE)  # signals 10 and 12
        while not blocked.search(Path(f"/proc/{process.pid}/status").read_text()):
            time.sleep(0.001)
        process.send_signal(signal.SIGUSR1)
        _, said = process.communicate()
    assert process.returncode == 75, said
    assert "the run was asked to end by SIGUSR1" in said


@pytest.mark.parametrize("name", sorted(built_in()))
def test_a_stored_entry_is_the_scenario_that_was_submitted(name: str) -> None:
    scenario = resolve_any(read_tree(name))
    told = json.loads(json.dumps(scenario.model_dump(mode="json")))
    assert resolve_any(told) == scenario


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (BiosimError("no such data"), 2),
        (StoppedError("asked to end"), 143),
        (InterruptedRunError("the time is up"), 75),
    ],
)
def test_how_a_run_ends_is_an_exit_code_and_one_line(
    out: Path,
    problem: Exception,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls: list[Path] = []
    monkeypatch.setattr(module, "carry_on", raising(problem, calls))
    assert work(out, 1) == code
    assert calls == [out / "runs" / "backprop" / "seed-1"]
    assert capsys.readouterr().err == f"biosim: {problem}\n"


def test_a_defect_keeps_its_traceback(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "carry_on", raising(ZeroDivisionError("a defect"), []))
    with pytest.raises(ZeroDivisionError, match="a defect"):
        work(out, 1)


def test_only_one_rank_says_what_all_would_say(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "carry_on", raising(BiosimError("no such data"), []))
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert work(out, 1) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("status", "code"), [("stopped", 143), ("failed", 1), ("diverged", 2)])
def test_the_next_job_of_a_chain_leaves_what_is_over(
    out: Path,
    status: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls: list[Path] = []
    monkeypatch.setattr(module, "carry_on", raising(BiosimError("taken up"), calls))
    progress(out, status)
    monkeypatch.setenv("BIOSIM_LINK", "1")
    assert (work(out, 1), calls) == (code, [])
    assert f"is {status}: this job of its chain does nothing" in capsys.readouterr().err
    # A job that was submitted anew, and one that Slurm has put back, do take it up.
    monkeypatch.setenv("BIOSIM_LINK", "0")
    work(out, 1)
    monkeypatch.setenv("BIOSIM_LINK", "1")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    work(out, 1)
    assert len(calls) == 2


@pytest.mark.parametrize("status", ["running", "interrupted", "complete", None])
def test_the_next_job_of_a_chain_takes_up_what_is_not_over(
    out: Path, status: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []
    monkeypatch.setattr(module, "carry_on", raising(BiosimError("taken up"), calls))
    monkeypatch.setenv("BIOSIM_LINK", "1")
    if status is not None:
        progress(out, status)
    work(out, 1)
    assert len(calls) == 1


def warned_at(run: Path, ticks: Iterator[int]):
    """Return what stands for a run that is warned and stores a checkpoint of the next tick."""

    def carry_on(scenario, path, watcher=None):
        (run / "checkpoints" / name_of(next(ticks))).mkdir(parents=True, exist_ok=True)
        (run / "progress.json").write_text('{"status": "interrupted"}')
        raise InterruptedRunError("the time is up")

    return carry_on


def test_a_run_that_gets_no_further_is_not_warned_for_ever(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = out / "runs" / "backprop" / "seed-1"
    monkeypatch.setattr(module, "carry_on", warned_at(run, iter([0, 0])))
    assert work(out, 1) == 75  # the first one may have compiled
    capsys.readouterr()
    assert work(out, 1) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"came no further than {name_of(0)} in this job, which was warned" in line
    assert "give more --time, or a shorter --lead" in line


def test_a_run_without_checkpoints_is_not_begun_anew_for_ever(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    progress(out, "interrupted")
    monkeypatch.setattr(module, "carry_on", raising(InterruptedRunError("the time is up"), []))
    assert work(out, 1) == 2
    assert "came no further than its beginning" in capsys.readouterr().err


def test_a_run_that_gets_further_is_warned_as_often_as_it_takes(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = out / "runs" / "backprop" / "seed-1"
    monkeypatch.setattr(module, "carry_on", warned_at(run, iter([0, 5, 6, 6])))
    assert [work(out, 1) for _ in range(4)] == [75, 75, 75, 2]


def test_a_job_that_is_cancelled_where_it_began_is_no_failure(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress(out, "interrupted")
    monkeypatch.setattr(module, "carry_on", raising(StoppedError("asked to end"), []))
    assert work(out, 1) == 143


def test_a_directory_that_the_job_does_not_see_is_named_with_the_node(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"0000\.json cannot be read on .*; submit with an --out"):
        entry(tmp_path / "elsewhere", 0)


def test_a_damaged_entry_is_refused(out: Path) -> None:
    (out / "entries" / "0000.json").write_text("{")
    with pytest.raises(OutputError, match=r"0000\.json is damaged: .*; submit again"):
        entry(out, 0)


def test_a_directory_that_the_job_may_not_write_is_named_with_the_node(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match=r"cannot be written on .*; submit with an --out that"):
        entry(out, 0)


def test_paths_of_data_are_those_of_the_directory_that_submitted(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    entry(out, 0)
    assert Path.cwd() == tmp_path
    assert load(out).cluster["directory"] == str(tmp_path)
