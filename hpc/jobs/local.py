"""The local executor: the jobs of a submission on this machine, a few at a time.

Why a process of its own runs them: it outlives the terminal, as a scheduler's jobs do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from biosim.errors import BiosimError, OutputError
from biosim.processes import lives
from biosim.store import writing
from hpc.jobs.detached import READY
from hpc.jobs.local_record import (
    JOBS,
    LOCAL,
    LOG,
    LocalJob,
    at_once_now,
    cancellation,
    locked,
    moment,
    read_jobs,
    supervisor,
    write_job,
)
from hpc.jobs.record import LOGS, Submission, append_jobs, load
from hpc.jobs.state import GONE, JobState
from hpc.world import cores

STARTS_S = 30.0
"""How long the supervisor may take to say that it is there; 0.2 s were measured."""


def submit(
    out: Path, at_once: int | None = None, indices: Iterable[int] | None = None
) -> list[str]:
    """Let the entries of a submission run on this machine; return the ids of their jobs.

    Each has a process of its own, several under mpiexec where it asks for ranks. They go on when
    this process ends.

    Args:
        out: directory of the submission.
        at_once: jobs at a time; as many as there are cores for if left out. Where jobs of this
            submission are running already, that stays as it was said then.
        indices: of the entries; all if left out.

    Raises:
        BiosimError: fewer than one at once.
        OutputError: there is no submission, the directory cannot be written, or the jobs cannot be
            started.
    """
    submission = load(out)
    out = out.resolve()
    if at_once is not None and at_once < 1:
        raise BiosimError(f"got {at_once} jobs at once; expected at least 1")
    wanted = range(len(submission.entries)) if indices is None else list(indices)
    at_once = at_once or at_once_now(out) or _fitting(submission)
    with writing(out):
        (out / JOBS).mkdir(exist_ok=True)
        (out / LOGS).mkdir(exist_ok=True)
        with locked(out):
            known = read_jobs(out)
            if supervisor(out) is None:
                _settle(out, known)
            first = max((job.number for job in known), default=-1) + 1
            jobs = [
                _job(out, submission, index, f"local-{first + n}") for n, index in enumerate(wanted)
            ]
            append_jobs(out, {job.index: [job.job] for job in jobs})
            for job in jobs:
                write_job(out, job)
            if supervisor(out) is None:
                _supervise(out, at_once)
    return [job.job for job in jobs]


def states(out: Path) -> dict[str, JobState]:
    """Return the states of all jobs of a submission, by id.

    Where the process that runs them was killed, what it can no longer begin or say the end of is
    `GONE`.
    """
    supervised = supervisor(out) is not None
    jobs = read_jobs(out)
    if not supervised and any(not job.over for job in jobs) and supervisor(out) is not None:
        jobs = read_jobs(out)  # another one has begun meanwhile
        supervised = True
    return {job.job: _state(out, job, supervised) for job in jobs}


def cancel(out: Path, jobs: Sequence[str]) -> None:
    """Ask the supervisor to end jobs, or to drop them; where there is none, end them from here.

    Args:
        out: directory of the submission.
        jobs: that have not ended.

    Raises:
        OutputError: the directory cannot be written.
    """
    with writing(out / JOBS):
        for name in jobs:
            cancellation(out, name).touch()
        if supervisor(out) is not None:
            return
        for job in read_jobs(out):
            if job.job in jobs and not job.over:
                with suppress(ProcessLookupError):
                    if _living(out, job):
                        assert job.process is not None
                        os.kill(job.process["pid"], signal.SIGTERM)
                ended = job.now(state="CANCELLED", reason="by biosim cancel", end=moment())
                write_job(out, ended)
            cancellation(out, job.job).unlink(missing_ok=True)


def _fitting(submission: Submission) -> int:
    """Return for how many jobs at once there are cores."""
    told = submission.resources
    return max(1, cores() // (int(told.get("ranks", 1)) * int(told.get("threads", 1))))


def _job(out: Path, submission: Submission, index: int, name: str) -> LocalJob:
    told = submission.resources
    ranks, threads = int(told.get("ranks", 1)), int(told.get("threads", 1))
    work = ["hpc.submission.work", str(out), str(index)]
    if ranks > 1:
        work = ["hpc.jobs.ranked_work", str(out), str(index), str(ranks), str(threads)]
    return LocalJob(
        job=name,
        index=index,
        command=[sys.executable, "-P", "-m", *work],
        directory=str(out),
        time_s=told.get("time_s"),
        warning_s=float(told.get("warning_s", 60)),
        grace_s=float(told.get("grace_s", 30)),
        warning=f"SIG{told.get('signal', 'USR1')}",
        requeue=bool(told.get("requeue", True)),
        queued=moment(),
    )


def _settle(out: Path, jobs: Iterable[LocalJob]) -> None:
    """Write down of jobs that a killed supervisor has left what became of them."""
    for job in jobs:
        if not job.over and not _living(out, job):
            write_job(out, job.now(state=GONE, reason=_gone(job)))


def _gone(job: LocalJob) -> str:
    what = "before it began" if job.state == "PENDING" else "and it with that"
    return f"the process that ran the jobs was killed, {what}"


def _living(out: Path, job: LocalJob) -> bool:
    running = job.state == "RUNNING" and job.process is not None
    return running and lives(job.process or {}, out / LOCAL)


def _state(out: Path, job: LocalJob, supervised: bool) -> JobState:
    state, reason = job.state, job.reason
    if not supervised and not job.over and not _living(out, job):
        state, reason = GONE, _gone(job)
    return JobState(
        job=job.job,
        state=state,
        code=job.code,
        signal=job.signal,
        reason=reason,
        begin=job.begin,
        end=job.end,
        restarts=job.restarts,
        node=str((job.process or {}).get("host", "")),
        source="local",
    )


def _supervise(out: Path, at_once: int) -> None:
    """Start the process that runs the jobs, and wait until it says that it is there."""
    here = Path(__file__)
    paths = [str(here.parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment: Mapping[str, str] = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    script = [sys.executable, "-P", str(here.with_name("detached.py")), str(out), str(at_once)]
    with (out / LOG).open("ab") as log:
        try:
            said = subprocess.run(
                script,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,
                timeout=STARTS_S,
                check=False,
            ).stdout
        except subprocess.TimeoutExpired:
            said = b""
    if said != READY.encode():
        lines = (out / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise OutputError(f"the jobs cannot be started ({lines[-1] if lines else 'no answer'})")
