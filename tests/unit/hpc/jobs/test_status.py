"""What becomes of entries: jobs of a scheduler, joined with what runs wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from biosim.errors import OutputError
from biosim.processes import this_process
from hpc.jobs import local, slurm
from hpc.jobs.record import append_jobs, load, note_cancelled, save
from hpc.jobs.state import GONE, JobState
from hpc.jobs.status import EntryStatus, SubmissionStatus, narrowed, status, submissions
from hpc.jobs.status_table import duration, status_text
from tests.unit.hpc.jobs.test_record import submission

Slurm = Callable[..., None]


@pytest.fixture
def slurm_says(monkeypatch: pytest.MonkeyPatch) -> Slurm:
    """Return what puts the answers of Slurm in place."""

    def put(*jobs: JobState, note: str = "") -> None:
        monkeypatch.setattr(slurm, "states", lambda ids: ({job.job: job for job in jobs}, note))

    return put


def submitted(out: Path, jobs: Mapping[int, list[str]] | None = None, **more: Any) -> None:
    save(out, submission(**more))
    append_jobs(out, {0: ["7_0"], 1: ["7_1"], 2: ["7_2"]} if jobs is None else jobs)


def wrote(out: Path, index: int, **said: Any) -> Path:
    run = out / load(out).entries[index].path
    run.mkdir(parents=True)
    (run / "progress.json").write_text(json.dumps(said))
    return run


def stored(run: Path, **attributes: Any) -> None:
    (run / "run.zarr").mkdir(parents=True)
    (run / "run.zarr/zarr.json").write_text(json.dumps({"attributes": attributes}))


def entries(out: Path) -> tuple[EntryStatus, ...]:
    return status(out).entries


def test_each_entry_has_the_state_of_its_job_and_the_progress_of_its_run(
    tmp_path: Path, slurm_says: Slurm
) -> None:
    submitted(tmp_path)
    slurm_says(JobState("7_0", "RUNNING"), JobState("7_1", "PENDING", reason="Resources"))
    wrote(tmp_path, 0, status="running", epoch=3, epochs=8, percent=37.5, samples_per_second=5200.4,
          seconds_left=300, accuracy={"softmax": 0.875})  # fmt: skip
    running, waiting, gone = entries(tmp_path)
    assert [each.state for each in (running, waiting, gone)] == ["running", "waiting", "gone"]
    assert (running.open, waiting.open, gone.died) == (True, True, True)
    assert running.progress.done == "epoch 3 of 8"
    assert waiting.why == "Resources"
    text = status_text(status(tmp_path))
    rows = {line.split()[0]: line.split() for line in text.splitlines()[2:5]}
    assert rows["frozen/seed-0"] == [
        "frozen/seed-0", "7_0", "running", "38", "%", "5,200", "samples/s", "5", "min", "87.50", "%"
    ]  # fmt: skip
    assert "3 entries: 1 running, 1 waiting, 1 gone" in text
    assert "frozen/seed-1: waiting: Resources" in text


def test_a_spiking_run_says_its_ticks(tmp_path: Path, slurm_says: Slurm) -> None:
    submitted(tmp_path)
    slurm_says(JobState("7_0", "RUNNING"))
    wrote(tmp_path, 0, status="running", tick=5000, ticks=10000, percent=50.0,
          ticks_per_second=1234.5, seconds_left=None)  # fmt: skip
    progress = entries(tmp_path)[0].progress
    assert (progress.done, progress.speed) == ("tick 5,000 of 10,000", "1,234 ticks/s")


def test_a_complete_run_is_complete_whatever_became_of_its_job(
    tmp_path: Path, slurm_says: Slurm
) -> None:
    submitted(tmp_path)
    slurm_says(JobState("7_0", "COMPLETED", 0), JobState("7_1", "CANCELLED"))
    for index in range(3):
        wrote(tmp_path, index, status="complete", percent=100.0)
    assert {each.state for each in entries(tmp_path)} == {"complete"}


def test_a_job_that_ended_well_without_a_complete_run_has_failed(
    tmp_path: Path, slurm_says: Slurm
) -> None:
    submitted(tmp_path)
    slurm_says(JobState("7_0", "COMPLETED", 0))
    assert entries(tmp_path)[0].state == "failed"
    assert "holds no complete run" in entries(tmp_path)[0].why


def test_a_failure_says_its_last_line(tmp_path: Path, slurm_says: Slurm) -> None:
    submitted(tmp_path)
    slurm_says(
        JobState("7_0", "FAILED", 2, begin="a"),
        JobState("7_1", "FAILED", 2, begin="a"),
        JobState("7_2", "OUT_OF_MEMORY", begin="a"),
    )
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/7_0.err").write_text("Traceback\nKeyError: 'a'\n")
    wrote(tmp_path, 1, status="diverged", error="weights became infinite in epoch 2")
    first, second, third = entries(tmp_path)
    assert (first.state, first.why) == ("failed", "KeyError: 'a'")
    assert (second.state, second.why) == ("failed", "weights became infinite in epoch 2")
    assert third.state == "out of memory"


def test_an_error_that_only_the_store_has_is_found(tmp_path: Path, slurm_says: Slurm) -> None:
    submitted(tmp_path)
    slurm_says(JobState("7_0", "FAILED", 2))
    stored(wrote(tmp_path, 0, status="failed"), status="failed", error="the disk\nis full")
    assert entries(tmp_path)[0].why == "the disk is full"
    (tmp_path / "runs/frozen/seed-0/progress.json").unlink()
    assert entries(tmp_path)[0].why == "the disk is full"


def test_whether_there_is_a_checkpoint_to_go_on_from_is_said(
    tmp_path: Path, slurm_says: Slurm
) -> None:
    submitted(tmp_path)
    slurm_says(*(JobState(f"7_{i}", "TIMEOUT", begin="a") for i in range(3)))
    wrote(tmp_path, 0, status="interrupted", checkpoint=500)
    wrote(tmp_path, 1, status="running", checkpoint=None)
    told = [each.why for each in entries(tmp_path)]
    assert ["goes on from its newest checkpoint" in why for why in told] == [True, False, False]
    assert ["begins it anew" in why for why in told] == [False, True, True]


def test_a_chain_is_as_far_as_the_job_that_runs_or_waits(tmp_path: Path, slurm_says: Slurm) -> None:
    submitted(tmp_path, {0: ["1", "2", "3"], 1: ["4", "5"], 2: ["6", "7"]})
    slurm_says(
        JobState("1", "TIMEOUT", begin="a"), JobState("2", "RUNNING"), JobState("3", "PENDING"),
        JobState("4", "FAILED", 75, begin="a"), JobState("5", "PENDING", reason="Dependency"),
        JobState("6", "FAILED", 1, begin="a"), JobState("7", "CANCELLED"),
    )  # fmt: skip
    found = [(each.state, each.job and each.job.job) for each in entries(tmp_path)]
    assert found == [("running", "2"), ("waiting", "5"), ("failed", "6")]


def test_jobs_that_slurm_has_forgotten_are_judged_by_what_they_wrote(
    tmp_path: Path, slurm_says: Slurm
) -> None:
    save(tmp_path, submission(7))
    append_jobs(tmp_path, {index: [f"7_{index}"] for index in range(6)})
    slurm_says()
    assert "it never began and is not known any more" in entries(tmp_path)[0].why
    wrote(tmp_path, 0, status="failed", error="so it is")
    wrote(tmp_path, 1, status="interrupted", error="warned")
    wrote(tmp_path, 2, status="stopped", error="asked")
    wrote(tmp_path, 3, status="running", percent=50.0)
    stored(wrote(tmp_path, 4, status="running"), status="running", process=this_process())
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/7_5.err").write_text("slurmstepd: CANCELLED AT x DUE TO TIME LIMIT ***\n")
    found = [each.state for each in entries(tmp_path)]
    assert found == [
        "failed", "time limit", "cancelled", "gone", "running", "time limit", "not submitted",
    ]  # fmt: skip


def test_a_job_that_was_cancelled_before_it_began_is_not_gone(
    tmp_path: Path, slurm_says: Slurm
) -> None:
    submitted(tmp_path)
    slurm_says(JobState("7_1", "CANCELLED", signal=15, begin="a"), JobState("7_2", "RUNNING"))
    note_cancelled(tmp_path, ["7_0", "7_1", "7_2"])
    found = entries(tmp_path)
    assert [each.state for each in found] == ["cancelled", "cancelled", "running"]
    assert "it was cancelled by biosim cancel;" in found[0].why


def test_where_slurm_cannot_be_asked_nothing_is_taken_for_dead(
    tmp_path: Path, slurm_says: Slurm
) -> None:
    submitted(tmp_path)
    slurm_says(note="no Slurm on this machine")
    wrote(tmp_path, 0, status="complete")
    found = status(tmp_path)
    assert [each.state for each in found.entries] == ["complete", "unknown", "unknown"]
    assert not any(each.died for each in found.entries)
    assert "note: no Slurm on this machine" in status_text(found)


def test_of_pbs_only_what_runs_wrote_is_known(tmp_path: Path) -> None:
    submitted(tmp_path, {}, entries=1)
    found = load(tmp_path).model_copy(update={"scheduler": "pbs"})
    save(tmp_path, found)
    assert "ask PBS for its jobs" in status(tmp_path).note
    assert entries(tmp_path)[0].state == "unknown"


def test_jobs_of_the_local_executor_are_asked_for_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(tmp_path)
    save(tmp_path, load(tmp_path).model_copy(update={"scheduler": "local"}))
    gone = JobState("7_1", GONE, reason="the process that ran the jobs was killed")
    states = {"7_0": JobState("7_0", "RUNNING", restarts=2), "7_1": gone}
    monkeypatch.setattr(local, "states", lambda out: states)
    wrote(tmp_path, 1, status="stopped")
    running, killed, _ = entries(tmp_path)
    assert (running.state, running.why) == ("running", "restarts so far: 2")
    assert (killed.state, "was killed" in killed.why) == ("gone", True)


def test_damaged_progress_hides_no_state(tmp_path: Path, slurm_says: Slurm) -> None:
    submitted(tmp_path)
    slurm_says(*(JobState(f"7_{i}", "RUNNING") for i in range(3)))
    for index, text in enumerate(("{", "[]", '{"percent": "x", "accuracy": [1], "epoch": null}')):
        (wrote(tmp_path, index) / "progress.json").write_text(text)
    assert [each.progress.percent for each in entries(tmp_path)] == [None] * 3
    assert "3 running" in status_text(status(tmp_path))


def test_everything_is_there_for_programs(tmp_path: Path, slurm_says: Slurm) -> None:
    submitted(tmp_path)
    slurm_says(JobState("7_0", "RUNNING", node="n1"))
    wrote(tmp_path, 0, status="running", percent=5.0)
    plain = json.loads(json.dumps(status(tmp_path).plain()))
    assert plain["counts"] == {"gone": 2, "running": 1}
    first = plain["entries"][0]
    assert (first["name"], first["state"], first["job"]) == ("frozen/seed-0", "running", "7_0")
    assert (first["progress"]["percent"], first["scheduler"]["node"]) == (5.0, "n1")


def test_reasons_that_many_share_are_said_once(tmp_path: Path, slurm_says: Slurm) -> None:
    save(tmp_path, submission(9))
    append_jobs(tmp_path, {index: [f"7_{index}"] for index in range(9)})
    slurm_says(*(JobState(f"7_{i}", "TIMEOUT", begin="a") for i in range(9)))
    text = status_text(status(tmp_path))
    assert text.count("its time was over") == 1
    assert "frozen/seed-0, frozen/seed-1, frozen/seed-2 and 6 more: time limit" in text
    assert "9 entries: 9 time limit" in text
    few = narrowed(status(tmp_path), load(tmp_path).entries[:1])
    assert "1 entry: 1 time limit" in status_text(few)


def test_submissions_are_found_below_a_directory_but_not_in_runs(tmp_path: Path) -> None:
    for name in ("one", "deep/two", "deep/er/three"):
        (tmp_path / name).mkdir(parents=True)
        save(tmp_path / name, submission())
    (tmp_path / "one/runs/inner").mkdir(parents=True)
    save(tmp_path / "one/runs/inner", submission())
    found = {path.name for path in submissions(tmp_path)}
    assert found == {"one", "two"}
    assert submissions(tmp_path / "deep/er/three") == [tmp_path / "deep/er/three"]


def test_no_submission_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no submission in .*: expected a submission\.json"):
        submissions(tmp_path)
    with pytest.raises(OutputError, match="no submission in"):
        submissions(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="holds no submission"):
        status(tmp_path)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (45.4, "45 s"),
        (720, "12 min"),
        (3 * 3600 + 300, "3 h 05 min"),
        (2 * 86400 + 4 * 3600, "2 d 4 h"),
    ],
)
def test_times_are_said_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_table_of_nothing_but_names_has_one_column(tmp_path: Path, slurm_says: Slurm) -> None:
    save(tmp_path, submission(1))
    slurm_says()
    found: SubmissionStatus = status(tmp_path)
    assert "frozen/seed-0  not submitted" in status_text(found)
