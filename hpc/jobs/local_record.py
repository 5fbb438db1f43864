"""What the local executor writes down: who supervises, and a file for each job.

Why a file for each: one process writes them, any other may read them at any moment, and a
supervisor that is killed leaves whole ones. Nothing here loads what simulates.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from biosim.processes import lives

LOCAL = "local.json"
JOBS = "local"
LOCK = ".local.lock"
LOG = "local.log"


@dataclass(frozen=True)
class LocalJob:
    """A job of the local executor.

    Args:
        job: its id, "local-3".
        index: of its entry.
        command: what is run.
        directory: where.
        time_s: how long it may run; None without a limit.
        warning_s: seconds before that at which it is warned.
        grace_s: from SIGTERM to SIGKILL.
        warning: name of the warning signal.
        requeue: whether it is put back into the queue after a warning.
        state: a word of Slurm's.
        code: its exit code; None while it runs, or a signal has killed it.
        signal: that killed it, or 0.
        reason: how it ended, where the code does not tell.
        restarts: how often it was put back into the queue.
        unheeded: whether the warning signal ended its latest process, which could not heed it yet.
        queued: date of its latest queueing.
        begin: date of its latest begin, or "".
        end: date, or "".
        process: that runs it, as `biosim.processes.this_process` gives it; its latest.
    """

    job: str
    index: int
    command: list[str]
    directory: str
    time_s: float | None = None
    warning_s: float = 60.0
    grace_s: float = 30.0
    warning: str = "SIGUSR1"
    requeue: bool = True
    state: str = "PENDING"
    code: int | None = None
    signal: int = 0
    reason: str = ""
    restarts: int = 0
    unheeded: bool = False
    queued: str = ""
    begin: str = ""
    end: str = ""
    process: dict[str, Any] | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state not in ("PENDING", "RUNNING")

    @property
    def number(self) -> int:
        """The jobs are counted in the order of their submission."""
        return int(self.job.rpartition("-")[2])

    def now(self, **changes: Any) -> LocalJob:
        """Return the same with changes."""
        return replace(self, **changes)


@contextmanager
def locked(out: Path, name: str = LOCK) -> Iterator[None]:
    """Keep every other process out that asks for the same lock of a directory."""
    file = os.open(out / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        with suppress(OSError):  # some network disks have no locks; then there is only the rename
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def write_job(out: Path, job: LocalJob) -> None:
    """Write a job's file in one step."""
    _replace(out / JOBS / f"{job.job}.json", asdict(job))


def read_jobs(out: Path) -> list[LocalJob]:
    """Return all jobs, oldest first."""
    found = [job for path in (out / JOBS).glob("local-*.json") if (job := read_job(path))]
    return sorted(found, key=lambda job: job.number)


def read_job(path: Path) -> LocalJob | None:
    """Return the job of a file; None if it cannot be understood."""
    known = {field.name for field in fields(LocalJob)}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return LocalJob(**{key: value for key, value in said.items() if key in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def cancellation(out: Path, job: str) -> Path:
    """Return the file whose presence asks the supervisor to cancel a job."""
    return out / JOBS / f"{job}.cancel"


def write_supervisor(out: Path, process: Mapping[str, Any] | None, at_once: int) -> None:
    """Write down who supervises; None if nobody does any more."""
    _replace(out / LOCAL, {"supervisor": process, "at_once": at_once})


def supervisor(out: Path) -> Mapping[str, Any] | None:
    """Return the process that supervises the jobs; None if there is none, or no more."""
    try:
        process = json.loads((out / LOCAL).read_text(encoding="utf-8"))["supervisor"]
        return process if process and lives(process, out / LOCAL) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def at_once_now(out: Path) -> int | None:
    """Return how many jobs the latest supervisor runs at once; None if there was none."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return int(json.loads((out / LOCAL).read_text(encoding="utf-8"))["at_once"])
    return None


def moment() -> str:
    """Return the time, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def asked_to_cancel(out: Path) -> Iterator[str]:
    """Yield the jobs that are to be cancelled."""
    for path in sorted((out / JOBS).glob("local-*.cancel")):
        yield path.stem


def _replace(path: Path, said: Mapping[str, Any]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)
