"""Cancelling and submitting again: what is done, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from biosim.errors import BiosimError, OutputError
from hpc.jobs import local, slurm
from hpc.jobs.cancelling import cancel
from hpc.jobs.record import append_job, append_jobs, load, save
from hpc.jobs.resubmitting import resubmit
from hpc.jobs.slurm import SlurmError
from hpc.jobs.state import JobState
from tests.unit.hpc.jobs.test_record import submission
from tests.unit.hpc.jobs.test_status import wrote

STATES = (
    JobState("7_0", "RUNNING"),
    JobState("7_1", "FAILED", 1, begin="a"),
    JobState("7_2", "PENDING"),
    JobState("8_2", "PENDING"),
)


class Asked:
    """What was asked of schedulers."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []
        self.submitted: list[int] = []


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    noted = Asked()

    def again(out: Path, indices: list[int]) -> None:
        noted.submitted += indices
        append_jobs(out, {index: [f"9_{index}"] for index in indices})

    monkeypatch.setattr(slurm, "states", lambda ids: ({job.job: job for job in STATES}, ""))
    monkeypatch.setattr(slurm, "cancel", lambda jobs: noted.cancelled.extend(j.job for j in jobs))
    monkeypatch.setattr("hpc.submission.submit.submit_again", again)
    return noted


@pytest.fixture
def out(tmp_path: Path) -> Path:
    save(tmp_path, submission(4))
    append_jobs(tmp_path, {0: ["7_0"], 1: ["7_1"], 2: ["7_2", "8_2"], 3: ["7_3"]})
    wrote(tmp_path, 3, status="complete")
    return tmp_path


def test_all_jobs_of_an_entry_are_cancelled_and_those_that_ended_are_said(
    out: Path, asked: Asked
) -> None:
    assert cancel(out) == [
        "frozen/seed-0: asked to end, it stores where it stands",
        "frozen/seed-1: failed, there is nothing to cancel",
        "frozen/seed-2: will not begin",
        "frozen/seed-3: complete, there is nothing to cancel",
    ]
    assert asked.cancelled == ["7_0", "7_2", "8_2"]
    noted = [entry.cancelled for entry in load(out).entries]
    assert noted == [("7_0",), (), ("7_2", "8_2"), ()]


def test_only_the_entries_that_are_named_are_cancelled(out: Path, asked: Asked) -> None:
    cancel(out, ["frozen/seed-2"])
    assert asked.cancelled == ["7_2", "8_2"]
    cancel(out, ["frozen/seed-1", "3"])
    assert asked.cancelled == ["7_2", "8_2"]


def test_an_unknown_entry_cancels_nothing(out: Path, asked: Asked) -> None:
    with pytest.raises(OutputError, match="did you mean 'frozen/seed-0'"):
        cancel(out, ["frozen/sed-0"])
    assert asked.cancelled == []


def test_nothing_is_cancelled_where_slurm_cannot_be_asked(
    out: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "states", lambda ids: ({}, "no Slurm on this machine"))
    with pytest.raises(SlurmError, match="no Slurm on this machine"):
        cancel(out)
    with pytest.raises(SlurmError, match="no Slurm on this machine"):
        resubmit(out, failed=True)


def test_jobs_that_biosim_did_not_submit_are_cancelled_by_hand(out: Path) -> None:
    save(out, load(out).model_copy(update={"scheduler": "pbs"}))
    with pytest.raises(BiosimError, match="biosim has no jobs of PBS; cancel them by qdel"):
        cancel(out)


def test_what_failed_is_submitted_again_and_nothing_else(out: Path, asked: Asked) -> None:
    again = resubmit(out, failed=True)
    assert [(entry.name, entry.jobs[-1]) for entry in again] == [("frozen/seed-1", "9_1")]
    assert asked.submitted == [1]


def test_what_was_never_submitted_is_submitted(tmp_path: Path, asked: Asked) -> None:
    save(tmp_path, submission(2))
    append_job(tmp_path, 0, "7_0")
    resubmit(tmp_path, failed=True)
    assert asked.submitted == [1]


def test_entries_can_be_named(out: Path, asked: Asked) -> None:
    resubmit(out, ["frozen/seed-1"])
    resubmit(out, ["0", "1"], failed=True)
    assert asked.submitted == [1, 1]


def test_what_needs_no_other_attempt_is_refused(out: Path, asked: Asked) -> None:
    with pytest.raises(BiosimError, match="nothing to resubmit; give --failed, or names"):
        resubmit(out)
    with pytest.raises(BiosimError, match="frozen/seed-0 is running; cancel it first"):
        resubmit(out, ["0", "1"])
    with pytest.raises(BiosimError, match="frozen/seed-3 is complete; submit it anew"):
        resubmit(out, ["3"])
    with pytest.raises(BiosimError, match=r"no entry of .* has failed \(1 running, 1 complete\)"):
        resubmit(out, ["0", "3"], failed=True)
    assert asked.submitted == []


def test_jobs_of_this_machine_are_submitted_here(
    out: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(out, load(out).model_copy(update={"scheduler": "local"}))
    calls: list[tuple[int | None, list[int]]] = []
    monkeypatch.setattr(local, "states", lambda out: {job.job: job for job in STATES})
    monkeypatch.setattr(local, "submit", lambda out, at_once, i: calls.append((at_once, i)))
    monkeypatch.setattr(local, "cancel", lambda out, jobs: asked.cancelled.extend(jobs))
    resubmit(out, failed=True, at_once=3)
    assert calls == [(3, [1])]
    cancel(out)
    assert asked.cancelled == ["7_0", "7_2", "8_2"]
