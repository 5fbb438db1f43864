"""What became of a submission: what the scheduler knows, joined with what the runs wrote.

Why the run's own word comes first where it says that it is complete: a job may be killed after
that, or be one of a chain that had nothing left to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from biosim.errors import OutputError
from hpc.jobs import local, slurm
from hpc.jobs.logs import last_lines, log_path
from hpc.jobs.progress import RunProgress, is_written, read_progress
from hpc.jobs.reasons import ANEW, GO_ON, outcome
from hpc.jobs.record import SUBMISSION, Entry, Submission, load
from hpc.jobs.state import GONE, JobState

LINES = 50
"""Of what a job wrote as errors; those before may be of another attempt."""

DEPTH = 3
"""How far below a directory submissions are looked for."""

COMPLETE, WAITING, UNSUBMITTED = "complete", "waiting", "not submitted"
RUNNING, UNKNOWN = "running", "unknown"


@dataclass(frozen=True)
class EntryStatus:
    """One entry of a submission.

    Args:
        entry: what was submitted.
        state: "complete", "running", "waiting", "not submitted", "unknown", or how it ended:
            "failed", "cancelled", "out of memory", "time limit", "node failure", "pre-empted",
            "gone".
        why: it waits or ended, in a line; "" if there is nothing to say.
        job: its latest job of which anything is known.
        progress: of its run.
        jobs: all its jobs of which anything is known.
    """

    entry: Entry
    state: str
    why: str
    job: JobState | None
    progress: RunProgress
    jobs: tuple[JobState, ...] = ()

    @property
    def open(self) -> bool:
        """Whether it is still to come to its end by itself."""
        return self.state in (WAITING, RUNNING)

    @property
    def died(self) -> bool:
        """Whether it neither is complete nor will be by itself."""
        return not self.open and self.state not in (COMPLETE, UNKNOWN)

    def plain(self) -> dict[str, Any]:
        """Return all of it as JSON takes it."""
        job = self.job
        told = {} if job is None else {k: v for k, v in vars(job).items() if k != "job"}
        return {
            **self.entry.model_dump(mode="json"),
            "state": self.state,
            "why": self.why,
            "job": None if job is None else job.job,
            "scheduler": told,
            "progress": dict(self.progress.said),
        }


@dataclass(frozen=True)
class SubmissionStatus:
    """All entries of a submission.

    Args:
        out: its directory.
        submission: what was submitted.
        entries: one for each entry.
        note: why the states may not be all that there is to know, in a line; or "".
    """

    out: Path
    submission: Submission
    entries: tuple[EntryStatus, ...]
    note: str = ""

    def counts(self) -> Mapping[str, int]:
        """Return how many entries are in each state, most first."""
        return dict(Counter(entry.state for entry in self.entries).most_common())

    def plain(self) -> dict[str, Any]:
        """Return all of it as JSON takes it."""
        told = self.submission.model_dump(mode="json", exclude={"entries"})
        return {
            "directory": str(self.out),
            **told,
            "note": self.note,
            "counts": dict(self.counts()),
            "entries": [entry.plain() for entry in self.entries],
        }


def status(out: Path) -> SubmissionStatus:
    """Return what became of the entries of a submission.

    Raises:
        OutputError: there is none in that directory.
    """
    submission = load(out)
    jobs = [job for entry in submission.entries for job in entry.jobs]
    known: dict[str, JobState] = {}
    note = ""
    if submission.scheduler == "local":
        known = local.states(out)
    elif submission.scheduler == "slurm" and jobs:
        known, note = slurm.states(jobs)
    elif submission.scheduler in ("pbs", "lsf"):
        note = f"states are what the runs wrote; ask {submission.scheduler.upper()} for its jobs"
    memory = str(submission.resources.get("memory") or "")
    entries = tuple(_joined(out, entry, known, bool(note), memory) for entry in submission.entries)
    return SubmissionStatus(out, submission, entries, note)


def submissions(directory: Path) -> list[Path]:
    """Return the directories of all submissions in a directory or not far below, oldest first.

    Raises:
        OutputError: there is none.
    """
    paths = [directory]
    found: list[Path] = []
    for _ in range(DEPTH):
        found += [path for path in paths if (path / SUBMISSION).is_file()]
        paths = [
            inner
            for path in paths
            if path not in found and path.is_dir()
            for inner in _inside(path)
        ]
    if not found:
        raise OutputError(
            f"no submission in {directory}: expected a {SUBMISSION} in it or below it; give the "
            "directory that biosim submit has made"
        )
    return sorted(found, key=lambda path: ((path / SUBMISSION).stat().st_mtime, path))


def _inside(path: Path) -> Iterable[Path]:
    try:
        return sorted(at for at in path.iterdir() if at.is_dir() and not at.is_symlink())
    except OSError:
        return ()


def _joined(
    out: Path, entry: Entry, known: Mapping[str, JobState], unsure: bool, memory: str
) -> EntryStatus:
    """Return the status of an entry.

    Args:
        out: directory of the submission.
        entry: what was submitted.
        known: jobs of the scheduler.
        unsure: whether the scheduler could not be asked, so that it may know more.
        memory: that jobs asked for.
    """
    run = out / entry.path
    progress = read_progress(run)
    jobs = tuple(_jobs(entry, known))

    def found(state: str, why: str = "", job: JobState | None = None) -> EntryStatus:
        return EntryStatus(entry, state, why, job, progress, jobs)

    latest = next(iter(reversed(jobs)), None)
    advice = GO_ON if progress.can_go_on else ANEW
    if job := next((job for job in jobs if job.runs), None):
        return found(RUNNING, _restarts(job), job)
    if progress.status == COMPLETE:
        return found(COMPLETE, "", latest)
    if job := next((job for job in jobs if job.waits), None):
        return found(WAITING, _waiting(job), job)
    # Jobs of a chain that were cancelled, or had nothing to do, came after the one that matters.
    job = next((job for job in reversed(jobs) if job.begin), latest)
    if job is None or job.state == GONE:
        return found(*_by_itself(out, entry, job, progress, unsure), job)
    if job.state == "COMPLETED":
        return found(
            "failed", f"its job ended well, and {run} holds no complete run; {advice}", job
        )
    state, why = outcome(job, last_lines(log_path(out, job.job, "err"), LINES), memory, advice)
    if state == "failed" and progress.error and progress.status in ("failed", "diverged"):
        why = progress.error
    return found(state, why, job)


def _jobs(entry: Entry, known: Mapping[str, JobState]) -> Iterator[JobState]:
    """Yield all jobs of an entry of which anything is known, oldest first."""
    for name in entry.jobs:
        job = known.get(name)
        if name in entry.cancelled and (job is None or job.state == "CANCELLED"):
            yield replace(job or JobState(name, "CANCELLED"), reason="by biosim cancel")
        elif job is not None:
            yield job


def _restarts(job: JobState) -> str:
    return f"restarts so far: {job.restarts}" if job.restarts else ""


def _waiting(job: JobState) -> str:
    again = f"to go on; {_restarts(job)}" if job.restarts else ""
    reason = "" if job.reason == "None" else job.reason
    return "; ".join(filter(None, (again, reason)))


def _by_itself(
    out: Path, entry: Entry, job: JobState | None, progress: RunProgress, unsure: bool
) -> tuple[str, str]:
    """Return state and reason of an entry of whose jobs nobody knows, by what they wrote."""
    advice = GO_ON if progress.can_go_on else ANEW
    if progress.status == RUNNING and is_written(out / entry.path):
        return RUNNING, ""
    if progress.status in ("failed", "diverged"):
        return "failed", progress.error
    if progress.status == "interrupted":
        return "time limit", f"it was warned and has stored where it stands; {advice}"
    if progress.status == "stopped" and not (job and job.reason):
        return "cancelled", f"it was asked to end; {advice}"
    if unsure and not progress.status:
        return UNKNOWN, "its run has written nothing"
    if not (entry.jobs or progress.status):
        return UNSUBMITTED, "biosim resubmit submits it"
    gone = job or JobState(entry.jobs[-1] if entry.jobs else "", GONE)
    path = log_path(out, gone.job, "err")
    if not (progress.status or path.exists() or gone.reason):
        gone = replace(gone, reason="it never began and is not known any more, likely cancelled")
    return outcome(gone, last_lines(path, LINES), advice=advice)


def narrowed(found: SubmissionStatus, entries: Iterable[Entry]) -> SubmissionStatus:
    """Return the status of some of the entries."""
    kept = {entry.index for entry in entries}
    return replace(found, entries=tuple(e for e in found.entries if e.entry.index in kept))
