"""`submission.json`: what was submitted, and the jobs that each entry ever had.

Why every change replaces the file under a lock: a job may read it at any moment, and two commands
that add jobs at once must not lose each other's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from biosim.errors import OutputError
from biosim.store import writing
from hpc.jobs.local_record import locked
from scenarios.complaints import complaints, nearest

SUBMISSION = "submission.json"
ENTRIES = "entries"
LOGS = "logs"
LOCK = f".{SUBMISSION}.lock"


class Entry(BaseModel):
    """One run of a submission.

    Args:
        index: its place in the list, from 0.
        name: what users call it, such as "backprop/seed-0".
        path: directory of its run, relative to the submission's.
        rule: its learning rule; "" for a scenario without one.
        seed: its seed.
        settings: what a sweep sets for it, by key.
        jobs: the ids of all jobs that it ever had, newest last.
        cancelled: those of them that biosim cancelled; Slurm forgets the tasks of an array that
            were cancelled before they began.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    index: int
    name: str
    path: str
    rule: str = ""
    seed: int | None = None
    settings: dict[str, Any] = {}
    jobs: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()


class Submission(BaseModel):
    """What `biosim submit` left in a directory.

    Args:
        version: of this layout.
        scenario: the scenario's name.
        scheduler: who runs the jobs.
        created: date, UTC.
        resources: what each job asks for. The local executor reads `ranks` and `threads` (1 if left
            out), and `time_s`, `warning_s`, `grace_s`: seconds a job may take, of them from the
            warning signal on, and from SIGTERM to SIGKILL.
        biosim: the version that submitted.
        cluster: what else is to be known of the scheduler.
        entries: its runs; `entries[i].index` is i.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    version: Literal[1] = 1
    scenario: str
    scheduler: Literal["slurm", "local", "pbs", "lsf"]
    created: str
    resources: dict[str, Any] = {}
    biosim: str = ""
    cluster: dict[str, Any] = {}
    entries: tuple[Entry, ...]


def load(out: Path) -> Submission:
    """Return the submission in a directory.

    Raises:
        OutputError: there is none, or it cannot be understood.
    """
    path = out / SUBMISSION
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise OutputError(
            f"{out} holds no submission: expected {SUBMISSION} in it; give the directory that "
            "biosim submit has made"
        ) from None
    except (OSError, UnicodeError) as problem:
        raise OutputError(f"{path} cannot be read ({_told(problem)})") from None
    try:
        found = Submission.model_validate(json.loads(text))
    except ValidationError as problem:
        raise _damaged(path, complaints(problem, (), Submission)) from None
    except ValueError as problem:
        raise _damaged(path, str(problem)) from None
    if [entry.index for entry in found.entries] != list(range(len(found.entries))):
        raise _damaged(path, "its entries are not counted from 0")
    return found


def save(out: Path, submission: Submission) -> None:
    """Write a submission into its directory, which is there, in one step.

    Raises:
        OutputError: it cannot be written.
    """
    path, beside = out / SUBMISSION, out / f".{SUBMISSION}"
    with writing(path):
        beside.write_text(submission.model_dump_json(indent=1) + "\n", encoding="utf-8")
        os.replace(beside, path)


def append_job(out: Path, index: int, job: str) -> None:
    """Take note of a new job of an entry.

    Raises:
        OutputError: there is no submission or no such entry, or it cannot be written.
    """
    append_jobs(out, {index: [job]})


def append_jobs(out: Path, jobs: Mapping[int, Iterable[str]]) -> None:
    """Take note of new jobs of several entries, in one step.

    Args:
        out: directory of the submission.
        jobs: ids by the index of the entry, newest last.

    Raises:
        OutputError: there is no submission or no such entry, or it cannot be written.
    """

    def longer(submission: Submission) -> Iterator[Entry]:
        unknown = next((i for i in jobs if not 0 <= i < len(submission.entries)), None)
        if unknown is not None:
            raise OutputError(
                f"{out} has no entry {unknown}; expected 0 to {len(submission.entries) - 1}"
            )
        for entry in submission.entries:
            new = tuple(jobs.get(entry.index, ()))
            yield entry.model_copy(update={"jobs": entry.jobs + new})

    _change(out, longer)


def note_cancelled(out: Path, jobs: Collection[str]) -> None:
    """Take note that jobs were cancelled, in one step.

    Raises:
        OutputError: there is no submission, or it cannot be written.
    """

    def noted(submission: Submission) -> Iterator[Entry]:
        for entry in submission.entries:
            new = tuple(job for job in entry.jobs if job in jobs and job not in entry.cancelled)
            yield entry.model_copy(update={"cancelled": entry.cancelled + new})

    _change(out, noted)


def _change(out: Path, entries: Callable[[Submission], Iterator[Entry]]) -> None:
    load(out)  # else the lock would be the first file of a directory that is none of ours
    with writing(out / SUBMISSION), locked(out, LOCK):
        submission = load(out)
        save(out, submission.model_copy(update={"entries": tuple(entries(submission))}))


def chosen(submission: Submission, names: Iterable[str]) -> list[Entry]:
    """Return the entries that are meant, each once, in their order.

    Args:
        submission: where they are.
        names: of entries, their indices, or ids of their jobs; all entries if empty.

    Raises:
        OutputError: there is no such entry.
    """
    found: set[int] = set()
    for name in names:
        meant = {
            entry.index
            for entry in submission.entries
            if name in (entry.name, str(entry.index), entry.path) or name in entry.jobs
        }
        if not meant:
            known = [entry.name for entry in submission.entries]
            near = nearest(name, known)
            if not near.startswith("; did"):
                near = f"; expected one of {len(known)}, such as {known[0]!r}" if known else ""
            raise OutputError(f"no entry {name!r}{near}")
        found |= meant
    return [entry for entry in submission.entries if entry.index in found or not found]


def _damaged(path: Path, why: str) -> OutputError:
    return OutputError(f"{path} is not a submission that this version knows: {why}")


def _told(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or str(problem)
