"""Asking Slurm, with commands of a few lines in its place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc.jobs import slurm
from hpc.jobs.slurm import SlurmError, cancel, states
from hpc.jobs.state import JobState

Fake = Callable[[str, str], None]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Return what puts a command on the path; it notes its calls in `calls` beside it."""
    place = tmp_path / "bin"
    place.mkdir()
    for tool in ("seq", "sleep"):
        found = shutil.which(tool)
        assert found is not None
        (place / tool).symlink_to(found)
    monkeypatch.setenv("PATH", str(place))  # a Slurm that is installed here is not found

    def put(name: str, script: str) -> None:
        path = place / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {place}/calls\n{script}\n')
        path.chmod(0o755)

    return put


def calls(tmp_path: Path) -> list[str]:
    path = tmp_path / "bin/calls"
    return path.read_text().splitlines() if path.exists() else []


def test_one_call_of_sacct_tells_of_an_array_of_hundreds(fake: Fake, tmp_path: Path) -> None:
    fake("squeue", "exit 1")
    fake("sacct", 'for i in $(seq 0 299); do echo "7_$i|COMPLETED|0:0|a|b|n1|None"; done')
    found, note = states([f"7_{i}" for i in range(300)])
    assert (len(found), note) == (300, "")
    assert len(calls(tmp_path)) == 1
    assert "--jobs 7" in calls(tmp_path)[0]


def test_without_accounting_squeue_and_scontrol_tell(fake: Fake, tmp_path: Path) -> None:
    fake("sacct", "echo Slurm accounting storage is disabled >&2; exit 1")
    fake(
        "squeue",
        "echo '7_0|FAILED|a|b|n1|NonZeroExitCode'\necho '7_1|RUNNING|a|b|n1|None'\n"
        "echo '7_2|PENDING|a|b||Resources'\necho '7_3|COMPLETED|a|b|n1|None'\n"
        "echo '8|PENDING|a|b||Priority'",
    )
    fake(
        "scontrol",
        "echo 'JobId=1 ArrayJobId=7 ArrayTaskId=0 JobName=x JobState=FAILED Restarts=1 '"
        "'ExitCode=2:0'\n"
        "echo 'JobId=2 ArrayJobId=7 ArrayTaskId=1 JobName=x JobState=RUNNING Restarts=3'",
    )
    found, note = states(["7_0", "7_1", "7_2", "7_3", "8"])
    assert note == ""
    assert (found["7_0"].code, found["7_0"].restarts) == (2, 1)
    assert (found["7_1"].state, found["7_1"].restarts) == ("RUNNING", 3)
    assert [found[job].state for job in ("7_2", "7_3", "8")] == ["PENDING", "COMPLETED", "PENDING"]
    assert [call.split()[0] for call in calls(tmp_path)] == ["sacct", "squeue", "scontrol"]


def test_what_the_controller_has_forgotten_is_in_the_file_of_ended_jobs(
    fake: Fake, tmp_path: Path
) -> None:
    ended = tmp_path / "ended"
    ended.write_text("JobId=5 Name=x JobState=NODE_FAIL ExitCode=1:0\n" * 3 + "nonsense\n")
    fake("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    fake("scontrol", f"echo 'JobCompType = jobcomp/filetxt'; echo 'JobCompLoc = {ended}'")
    found, note = states(["5", "6"])
    assert (set(found), note) == ({"5"}, "")
    assert found["5"].state == "NODE_FAIL"
    ended.unlink()
    assert states(["5"]) == ({}, "")


def test_other_jobs_than_those_asked_for_are_left_out(fake: Fake) -> None:
    fake("squeue", "echo '7_0|RUNNING|a|b|n1|None'; echo '7_1|RUNNING|a|b|n1|None'")
    fake("scontrol", "true")
    assert set(states(["7_1"])[0]) == {"7_1"}


def test_a_machine_without_slurm_is_said(fake: Fake) -> None:
    found, note = states(["7"])
    assert found == {}
    assert "no Slurm on this machine: squeue is not on the path" in note


def test_a_controller_that_is_down_is_said_in_its_own_words(fake: Fake) -> None:
    fake("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    found, note = states(["7"])
    assert found == {}
    assert note.startswith("Slurm does not tell of jobs: slurm_load_jobs error: Unable to contact")


def test_a_controller_that_does_not_answer_is_given_up(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "LIMIT_S", 0.2)
    fake("squeue", "exec sleep 30")
    assert "squeue did not answer in 0.2 s" in states(["7"])[1]


def test_waiting_jobs_are_cancelled_before_those_that_run(fake: Fake, tmp_path: Path) -> None:
    fake("scancel", "true")
    jobs = [JobState("7_0", "RUNNING"), JobState("7_1", "PENDING"), JobState("7_2", "PENDING")]
    cancel(jobs)
    assert calls(tmp_path) == ["scancel 7_[1-2]", "scancel 7_[0]"]


def test_a_job_that_has_just_ended_is_no_reason_to_fail(fake: Fake) -> None:
    fake("scancel", "echo 'scancel: error: Kill job error on job id 7: "
         "Job/step already completing or completed' >&2; exit 1")  # fmt: skip
    cancel([JobState("7", "RUNNING")])


def test_what_slurm_does_not_let_cancel_is_said_in_its_own_words(fake: Fake) -> None:
    fake("scancel", "echo 'scancel: error: Access/permission denied' >&2; exit 1")
    with pytest.raises(SlurmError, match="refuses to cancel: Access/permission denied"):
        cancel([JobState("7", "RUNNING")])


def test_jobs_cannot_be_cancelled_where_there_is_no_slurm(fake: Fake) -> None:
    with pytest.raises(SlurmError, match="no Slurm on this machine: scancel is not on the path"):
        cancel([JobState("7", "RUNNING")])
