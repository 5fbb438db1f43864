"""`biosim status`, `logs`, `cancel`, `resubmit`, `fetch-results` on jobs of this machine."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import biosim
from hpc.jobs.local_record import read_jobs, supervisor
from hpc.jobs.progress import read_progress
from hpc.jobs.record import append_job, save
from hpc.summary import collect, summarise
from tests.unit.hpc.jobs.test_record import submission
from tests.unit.hpc.test_cli import QUICK, Command, biosim_command

__all__ = ["biosim_command"]

LONG = ["run.epochs=100000", "run.batch_size=8", "record.samples=3"]


def until(true: Callable[[], object], limit_s: float = 120.0) -> None:
    end_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.1)


@pytest.fixture
def ended_afterwards() -> Iterator[list[Path]]:
    """Yield a list of submissions whose jobs are ended afterwards, whatever happens."""
    submissions: list[Path] = []
    yield submissions
    for out in submissions:
        if (process := supervisor(out)) is not None:
            os.kill(process["pid"], signal.SIGTERM)
            until(lambda out=out: supervisor(out) is None)  # type: ignore[misc]


def over(out: Path) -> bool:
    return all(job.over for job in read_jobs(out))


def said(run: Path) -> dict[str, Any]:
    """Return the attributes of a store, also while it is being made."""
    try:
        return dict(json.loads((run / "run.zarr/zarr.json").read_text())["attributes"])
    except (OSError, ValueError):
        return {}


def submitted(home: Path) -> Path:
    out = home / "runs/some"
    out.mkdir(parents=True)
    save(out, submission(2).model_copy(update={"scheduler": "local"}))
    for index in range(2):
        append_job(out, index, f"local-{index}")
    (out / "logs").mkdir()
    for ending in ("out", "err"):
        (out / f"logs/local-1.{ending}").write_text("".join(f"{ending} {i}\n" for i in range(9)))
    return out


def test_without_a_directory_all_submissions_under_runs_are_told_of(
    biosim_command: Command,
) -> None:
    submitted(biosim_command.home)
    done = biosim_command("status")
    assert done.code == 0, done.err
    assert "runs/some: digits, local, submitted 2026-01-01" in done.out
    assert "2 entries: 2 gone" in done.out
    plain = json.loads(biosim_command("status", "--json", "runs/some").out)
    assert [each["name"] for each in plain[0]["entries"]] == ["frozen/seed-0", "frozen/seed-1"]


def test_logs_are_the_last_lines_of_an_entry_or_of_all(biosim_command: Command) -> None:
    submitted(biosim_command.home)
    one = biosim_command("logs", "runs/some", "frozen/seed-1", "--lines", "2")
    assert one.out.splitlines() == [
        "==> runs/some/logs/local-1.out <==", "out 7", "out 8",
        "==> runs/some/logs/local-1.err <==", "err 7", "err 8",
    ]  # fmt: skip
    assert biosim_command("logs", "runs/some", "--err", "--lines", "1").out == "err 8\n"
    assert biosim_command("logs", "runs/some", "local-1", "--err").out.startswith("err 0\n")
    followed = biosim_command("logs", "runs/some", "1", "--follow", "--lines", "1")
    assert followed.out.splitlines() == ["err 8", "1 entry: 1 gone"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("status", "no submission in runs: expected a submission.json"),
        ("status nowhere", "no submission in nowhere"),
        ("logs nowhere", "nowhere holds no submission"),
        ("cancel nowhere", "nowhere holds no submission"),
        ("resubmit nowhere --failed", "nowhere holds no submission"),
        ("fetch-results nowhere", "nowhere holds no submission"),
        ("logs mine frozn/seed-1", "no entry 'frozn/seed-1'; did you mean 'frozen/seed-1'?"),
        ("cancel mine 7", "no entry '7'"),
        ("logs mine 1", "no job was submitted for frozen/seed-1; see biosim status mine"),
        ("resubmit mine", "nothing to resubmit; give --failed, or names of entries"),
        ("fetch-results mine", "no run of mine has stored anything; see biosim status mine"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line(
    words: str, why: str, biosim_command: Command
) -> None:
    Path("mine").mkdir()
    save(Path("mine"), submission(3).model_copy(update={"scheduler": "local"}))
    append_job(Path("mine"), 0, "local-0")
    done = biosim_command(*words.split())
    assert (done.code, done.out) == (2, "")
    assert why in done.err
    assert len(done.err.splitlines()) == 1


def test_a_job_that_has_written_nothing_yet_is_no_mistake(biosim_command: Command) -> None:
    Path("mine").mkdir()
    save(Path("mine"), submission(1).model_copy(update={"scheduler": "local"}))
    append_job(Path("mine"), 0, "local-0")
    done = biosim_command("logs", "mine", "0")
    assert (done.code, done.out) == (0, "")
    assert done.err == "frozen/seed-0 has written nothing yet; see biosim status mine\n"


def test_several_entries_cannot_be_followed(biosim_command: Command) -> None:
    submitted(biosim_command.home)
    done = biosim_command("logs", "runs/some", "--follow")
    assert (done.code, "such as 'frozen/seed-0'" in done.err) == (2, True)


@pytest.mark.slow
def test_runs_of_this_machine_end_as_the_same_ones_compared(
    biosim_command: Command, ended_afterwards: list[Path]
) -> None:
    out = Path("runs/two").absolute()
    ended_afterwards.append(out)
    words = ("digits", *QUICK, "--rules", "frozen,noprop", "--seeds", "2")
    done = biosim_command("submit", *words, "--scheduler", "local", "--out", str(out))
    assert done.code == 0, done.err
    until(lambda: over(out))
    assert "4 entries: 4 complete" in biosim_command("status", str(out)).out
    fetched = biosim_command("fetch-results", str(out), "--out", "fetched")
    assert "4 of 4 runs are complete; results in fetched" in fetched.out
    assert biosim_command("compare", *words, "--out", "compared").code == 0
    tables = [
        [line.split()[:5] for line in biosim_command("report", name).out.splitlines()[3:5]]
        for name in ("fetched", "compared")
    ]
    assert tables[0] == tables[1]
    assert [row.seeds for row in summarise(collect(Path("fetched")))] == ["2/2", "2/2"]
    done = biosim_command("resubmit", "--failed", str(out))
    assert (done.code, "nothing to resubmit" in done.err) == (2, True)


@pytest.mark.slow
def test_a_job_is_cancelled_stays_so_and_can_be_resubmitted(
    biosim_command: Command, ended_afterwards: list[Path]
) -> None:
    out = Path("runs/long").absolute()
    ended_afterwards.append(out)
    words = ["submit", "digits", *LONG, "--seeds", "2", "--at-once", "1"]
    done = biosim_command(*words, "--scheduler", "local", "--out", str(out))
    assert done.code == 0, done.err
    until(lambda: (out / "runs/backprop/seed-0/run.zarr").exists())
    assert "1 running, 1 waiting" in biosim_command("status", str(out)).out
    done = biosim_command("cancel", str(out))
    assert done.out.splitlines() == [
        "backprop/seed-0: asked to end, it stores where it stands",
        "backprop/seed-1: will not begin",
    ]
    until(lambda: over(out))
    told = biosim_command("status", str(out)).out
    assert "2 entries: 2 cancelled" in told
    assert "cancelled by biosim cancel" in told
    assert said(out / "runs/backprop/seed-0")["status"] == "stopped"
    assert not (out / "runs/backprop/seed-1").exists()
    again = biosim_command("resubmit", "--failed", str(out))
    assert again.out == "backprop/seed-0: job local-2\nbackprop/seed-1: job local-3\n"
    until(lambda: read_jobs(out)[2].state == "RUNNING")
    biosim_command("cancel", str(out))
    until(lambda: over(out))


@pytest.mark.slow
@pytest.mark.mpi
def test_a_job_of_two_ranks_ends_with_the_process_that_runs_the_jobs(
    biosim_command: Command, ended_afterwards: list[Path]
) -> None:
    out = Path("runs/long").absolute()
    ended_afterwards.append(out)
    words = ["submit", "digits", *LONG, "--tasks", "2", "--scheduler", "local"]
    assert biosim_command(*words, "--out", str(out)).code == 0
    run = out / "runs/backprop/seed-0"
    until(lambda: said(run).get("ranks") == 2)
    process = supervisor(out)
    assert process is not None
    os.kill(process["pid"], signal.SIGKILL)
    until(lambda: "1 gone" in biosim_command("status", str(out)).out)
    assert "the process that ran the jobs was killed" in biosim_command("status", str(out)).out
    until(lambda: said(run)["status"] == "stopped")


def warned(out: Path, run: Path, epoch: int) -> None:
    """Warn a job as a scheduler does before its time is up, once its run has come so far."""
    until(lambda: read_progress(run).said.get("epoch", 0) >= epoch)
    before = read_jobs(out)[0]
    assert before.process is not None
    os.kill(before.process["pid"], signal.SIGUSR1)
    until(lambda: read_jobs(out)[0].restarts > before.restarts)


@pytest.mark.slow
def test_a_job_that_is_warned_twice_ends_with_the_bits_of_one_that_is_not(
    biosim_command: Command, ended_afterwards: list[Path]
) -> None:
    out = Path("runs/warned").absolute()
    ended_afterwards.append(out)
    words = ["digits", "run.epochs=40", "run.batch_size=8", "record.samples=3"]
    done = biosim_command("submit", *words, "--scheduler", "local", "--out", str(out))
    assert done.code == 0, done.err
    run = out / "runs/backprop/seed-0"
    warned(out, run, 2)
    warned(out, run, int(read_progress(run).said["epoch"]) + 2)
    until(lambda: over(out))
    assert [(job.state, job.restarts) for job in read_jobs(out)] == [("COMPLETED", 2)]
    assert biosim_command("run", *words, "--out", "whole").code == 0
    assert differing(biosim.open_run(run), biosim.open_run("whole")) == []
    other = biosim_command("run", *words, "run.seed=1", "--out", "other")
    assert other.code == 0
    assert differing(biosim.open_run(run), biosim.open_run("other"))


def differing(one: xr.DataTree, other: xr.DataTree) -> list[str]:
    """Return the arrays in which two runs differ, but for those that say how long they took."""
    names = [
        f"{node.path}/{name}"
        for node in one.subtree
        if not node.path.startswith(("/timing", "/ranks"))
        for name in node.to_dataset(inherit=False).data_vars
    ]
    assert len(names) > 10
    return [name for name in names if not one[name].equals(other[name])]


@pytest.mark.slow
def test_a_run_that_fails_says_why(biosim_command: Command, ended_afterwards: list[Path]) -> None:
    out = Path("runs/wrong").absolute()
    ended_afterwards.append(out)
    words = ["submit", "digits", *QUICK, "rule.lr=1e30", "--scheduler", "local"]
    assert biosim_command(*words, "--out", str(out)).code == 0
    until(lambda: over(out))
    told = biosim_command("status", str(out)).out
    assert "backprop/seed-0: failed: " in told
    assert "infinite or not a number" in " ".join(told.split())
