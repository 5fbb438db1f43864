"""The process that runs the jobs of a submission on this machine, a few at a time.

Why it heeds nothing but the files of `hpc.jobs.local_record`: whoever cancels or adds a job may
be another user's terminal, or come after this process was killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from biosim.processes import process_of, showing_life, this_process
from hpc.jobs.local_record import (
    JOBS,
    LOCAL,
    LocalJob,
    asked_to_cancel,
    cancellation,
    locked,
    moment,
    read_job,
    write_job,
    write_supervisor,
)

AGAIN = 75
"""Exit code of a run that was warned: it has stored where it stands, and is to go on."""

LOOKED_EVERY_S = 0.1

LAUNCHER = "BIOSIM_LAUNCHER"
"""As `hpc.stopping` has it: a run asks itself to end once the process of that number is gone."""


@dataclass
class Running:
    """A job's process.

    Args:
        job: what is known of it.
        process: its own group.
        began_s: when, by the monotonic clock.
        cancelled: why it was asked to end, or "".
        warned: whether it got the warning signal.
        asked_s: when it got SIGTERM; None before.
        overran: whether its time was up.
    """

    job: LocalJob
    process: subprocess.Popen[bytes]
    began_s: float = field(default_factory=time.monotonic)
    cancelled: str = ""
    warned: bool = False
    asked_s: float | None = None
    overran: bool = False


class Supervisor:
    """Runs the jobs of a submission until none is left.

    Args:
        out: directory of the submission.
        at_once: how many at a time.
    """

    def __init__(self, out: Path, at_once: int) -> None:
        self._out, self._at_once = out, at_once
        self._queue: dict[str, LocalJob] = {}
        self._running: dict[str, Running] = {}
        self._seen: set[str] = set()
        self._ending = False

    def run(self, ready: Callable[[], None]) -> None:
        """Run all jobs, also those that come meanwhile; return when there are none left.

        Args:
            ready: is called once this process is known to be there.
        """
        write_supervisor(self._out, this_process(), self._at_once)
        ready()
        with showing_life(self._out / LOCAL):
            while True:
                self._look()
                if not (self._queue or self._running):
                    with locked(self._out):  # a job may be added right now
                        self._find()
                        if not self._queue:
                            write_supervisor(self._out, None, self._at_once)
                            return
                time.sleep(LOOKED_EVERY_S)

    def end(self) -> None:
        """Cancel all jobs, and return once they have ended: also for a handler of signals."""
        self._ending = True

    def _look(self) -> None:
        for each in list(self._running.values()):
            code = each.process.poll()
            if code is None:
                self._hold_to_limit(each)
            else:
                self._ended(each, code)
        self._find()
        self._cancel()
        while self._queue and len(self._running) < self._at_once:
            self._start(self._queue.pop(next(iter(self._queue))))

    def _find(self) -> None:
        found = []
        for entry in os.scandir(self._out / JOBS):
            if entry.name.endswith(".json") and entry.name not in self._seen:
                if entry.name.startswith("."):
                    continue
                self._seen.add(entry.name)
                job = read_job(Path(entry.path))
                if job is not None and job.state == "PENDING":
                    found.append(job)
        for job in sorted(found, key=lambda job: job.number):
            self._queue[job.job] = job

    def _cancel(self) -> None:
        if self._ending:
            for name in [*self._queue, *self._running]:
                self._cancel_one(name, "the process that ran the jobs was asked to end")
        for name in asked_to_cancel(self._out):
            self._cancel_one(name, "by biosim cancel")
            if name not in self._running:
                cancellation(self._out, name).unlink(missing_ok=True)

    def _cancel_one(self, name: str, why: str) -> None:
        if (job := self._queue.pop(name, None)) is not None:
            write_job(self._out, job.now(state="CANCELLED", reason=why, end=moment()))
        elif (each := self._running.get(name)) is not None and not each.cancelled:
            each.cancelled = why
            self._ask_to_end(each)

    def _start(self, job: LocalJob) -> None:
        known = {
            "BIOSIM_WARNING_S": f"{job.warning_s:g}",
            "BIOSIM_GRACE_S": f"{job.grace_s:g}",
            LAUNCHER: str(os.getpid()),
        }
        logs = self._out / "logs"
        # A job that goes on adds to what it said before, as under a scheduler.
        with (
            (logs / f"{job.job}.out").open("ab") as out,
            (logs / f"{job.job}.err").open("ab") as err,
        ):
            try:
                process = subprocess.Popen(
                    job.command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    cwd=job.directory,
                    env=os.environ | known,
                    start_new_session=True,
                )
            except OSError as problem:
                err.write(f"biosim: the job cannot be started ({problem})\n".encode())
                ended = job.now(state="FAILED", code=2, begin=moment(), end=moment())
                write_job(self._out, ended)
                return
        begun = job.now(
            state="RUNNING", begin=moment(), end="", process=process_of(process.pid), reason=""
        )
        self._running[job.job] = Running(begun, process)
        write_job(self._out, begun)

    def _hold_to_limit(self, each: Running) -> None:
        job, now_s = each.job, time.monotonic()
        if each.asked_s is not None:
            if now_s - each.asked_s > job.grace_s:
                with suppress(ProcessLookupError):
                    os.killpg(each.process.pid, signal.SIGKILL)
            return
        if job.time_s is None:
            return
        spent_s = now_s - each.began_s
        if not each.warned and spent_s > job.time_s - job.warning_s:
            each.warned = True
            each.process.send_signal(signal.Signals[job.warning])
        if spent_s > job.time_s:
            each.overran = True
            self._ask_to_end(each)

    def _ask_to_end(self, each: Running) -> None:
        if each.asked_s is None:
            each.asked_s = time.monotonic()
            each.process.send_signal(signal.SIGTERM)

    def _ended(self, each: Running, code: int) -> None:
        del self._running[each.job.job]
        job = each.job.now(
            end=moment(), code=code if code >= 0 else None, signal=-code if code < 0 else 0
        )
        # Python takes a second to start, in which a warning ends it: nothing is lost by another go,
        # and nothing won by more than one, for its time is as short.
        unheeded = each.warned and job.signal == signal.Signals[job.warning]
        job, again = job.now(unheeded=unheeded), unheeded and not each.job.unheeded
        if code == 0:
            job = job.now(state="COMPLETED")
        elif each.cancelled:
            job = job.now(state="CANCELLED", reason=each.cancelled)
        elif job.requeue and (code == AGAIN or again):
            job = job.now(state="PENDING", restarts=job.restarts + 1, queued=moment())
            self._queue[job.job] = job
        elif each.overran:
            job = job.now(state="TIMEOUT", reason=f"limit of {job.time_s:g} s")
        elif unheeded:
            job = job.now(
                state="TIMEOUT", reason=f"limit of {job.time_s:g} s, too short to begin in"
            )
        else:
            job = job.now(state="FAILED")
        write_job(self._out, job)
