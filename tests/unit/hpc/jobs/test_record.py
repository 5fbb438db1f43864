"""The file that says what was submitted."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from biosim.errors import OutputError
from hpc.jobs.record import (
    SUBMISSION,
    Entry,
    Submission,
    append_job,
    chosen,
    load,
    note_cancelled,
    save,
)


def submission(entries: int = 3, **more: Any) -> Submission:
    return Submission(
        scenario="digits",
        scheduler="slurm",
        created="2026-01-01T00:00:00+00:00",
        entries=tuple(
            Entry(index=i, name=f"frozen/seed-{i}", path=f"runs/frozen/seed-{i}", seed=i)
            for i in range(entries)
        ),
        **more,
    )


def test_what_was_written_is_read_with_what_others_add(tmp_path: Path) -> None:
    written = submission(resources={"time": "1:00:00"}, template="mine")
    save(tmp_path, written)
    assert load(tmp_path) == written
    assert json.loads((tmp_path / SUBMISSION).read_text())["template"] == "mine"


def test_a_job_is_the_newest_of_its_entry(tmp_path: Path) -> None:
    save(tmp_path, submission())
    append_job(tmp_path, 1, "7_1")
    append_job(tmp_path, 1, "9")
    assert [entry.jobs for entry in load(tmp_path).entries] == [(), ("7_1", "9"), ()]


def test_cancelled_jobs_are_noted_once(tmp_path: Path) -> None:
    save(tmp_path, submission())
    append_job(tmp_path, 1, "7_1")
    for _ in range(2):
        note_cancelled(tmp_path, {"7_1", "8"})
    assert [entry.cancelled for entry in load(tmp_path).entries] == [(), ("7_1",), ()]


def test_an_entry_that_is_not_there_is_refused(tmp_path: Path) -> None:
    save(tmp_path, submission())
    with pytest.raises(OutputError, match="has no entry 3; expected 0 to 2"):
        append_job(tmp_path, 3, "7")
    with pytest.raises(OutputError, match="has no entry -1"):
        append_job(tmp_path, -1, "7")


def test_jobs_that_are_added_at_once_are_all_kept(tmp_path: Path) -> None:
    save(tmp_path, submission())

    def appends(index: int) -> None:
        for job in range(20):
            append_job(tmp_path, index, f"{index}-{job}")

    # A lock is that of an open file, and keeps threads out as it does processes.
    threads = [threading.Thread(target=appends, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [len(entry.jobs) for entry in load(tmp_path).entries] == [20, 20, 0]


def test_a_directory_without_a_submission_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"holds no submission: expected submission\.json"):
        load(tmp_path)
    with pytest.raises(OutputError, match="holds no submission"):
        append_job(tmp_path, 0, "7")
    with pytest.raises(OutputError, match="holds no submission"):
        load(tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is not a submission that this version knows: Expecting"),
        ("[]", "is not a submission that this version knows"),
        ('{"version": 1}', "scenario: is missing"),
        ('{"version": 2}', "version: got 2; expected 1"),
    ],
)
def test_what_is_no_submission_is_refused(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / SUBMISSION).write_text(text)
    with pytest.raises(OutputError, match=re.escape(why)):
        load(tmp_path)


def test_entries_in_another_order_are_refused(tmp_path: Path) -> None:
    whole = submission()
    save(tmp_path, whole.model_copy(update={"entries": whole.entries[::-1]}))
    with pytest.raises(OutputError, match="its entries are not counted from 0"):
        load(tmp_path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / SUBMISSION).mkdir()
    with pytest.raises(OutputError, match=r"cannot be read \(Is a directory\)"):
        load(tmp_path)


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"submission\.json cannot be written"):
        save(tmp_path / "nowhere", submission())


def test_entries_are_found_by_name_index_path_or_job() -> None:
    entries = [e.model_copy(update={"jobs": (f"5_{e.index}",)}) for e in submission().entries]
    known = submission().model_copy(update={"entries": tuple(entries)})
    for word in ("frozen/seed-1", "1", "runs/frozen/seed-1", "5_1"):
        assert [entry.index for entry in chosen(known, [word])] == [1]
    assert [entry.index for entry in chosen(known, ["2", "0", "5_0"])] == [0, 2]
    assert [entry.index for entry in chosen(known, [])] == [0, 1, 2]


def test_an_unknown_entry_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(OutputError, match="no entry 'frozn/seed-1'; did you mean 'frozen/seed-1'"):
        chosen(submission(), ["frozn/seed-1"])
    with pytest.raises(OutputError, match="no entry 'xyz'; expected one of 3, such as 'frozen/"):
        chosen(submission(), ["xyz"])
