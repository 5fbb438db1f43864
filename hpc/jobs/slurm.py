"""Asking Slurm: what became of jobs, and to cancel some.

Why three sources: `sacct` alone knows every job for ever, and many clusters have none; `squeue`
knows what waits, runs, or ended some minutes ago; the file of ended jobs, where there is one, the
rest. Each is asked once for all jobs that the ones before it did not know.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from biosim.errors import BiosimError
from hpc.jobs.slurm_text import (
    SACCT_FIELDS,
    SQUEUE_FORMAT,
    completion_file,
    grouped,
    sacct_states,
    scontrol_states,
    squeue_states,
)
from hpc.jobs.state import JobState

LIMIT_S = 60.0
"""How long a command of Slurm's may take: a controller that is down answers never."""

AT_A_TIME = 200
"""Numbers of jobs in one command."""

TAIL_BYTES = 32 << 20
"""Of the file of ended jobs, which may hold years."""


class SlurmError(BiosimError):
    """Slurm is not there, does not answer, or refuses."""


def states(jobs: Iterable[str]) -> tuple[dict[str, JobState], str]:
    """Return what Slurm knows of jobs, by id, and in a line why that may be too little; or "".

    Args:
        jobs: ids; of an array with the task: "123_4".
    """
    wanted = set(jobs)
    found: dict[str, JobState] = {}
    try:
        if shutil.which("squeue") is None:
            raise _absent("squeue")
        for ask in (_by_sacct, _by_squeue, _by_completions):
            numbers = _numbers(wanted - found.keys())
            if numbers:
                found |= {job: state for job, state in ask(numbers).items() if job in wanted}
    except SlurmError as problem:
        return found, str(problem)
    return found, ""


def cancel(jobs: Sequence[JobState]) -> None:
    """Cancel jobs that have not ended: first those that wait, so that none begins in between.

    Raises:
        SlurmError: there is no Slurm here, it does not answer or refuses, in its own words.
    """
    for group in ([job for job in jobs if job.waits], [job for job in jobs if not job.waits]):
        names = grouped(job.job for job in group)
        for names_now in _parts(names):
            done = _asked("scancel", *names_now)
            # Others of them may have ended meanwhile; that is as good.
            said = [line for line in done.stderr.splitlines() if "already complet" not in line]
            if done.returncode and said:
                raise SlurmError("Slurm refuses to cancel: " + _plain("\n".join(said)))


def _by_sacct(numbers: Sequence[str]) -> dict[str, JobState]:
    if shutil.which("sacct") is None:
        return {}
    found: dict[str, JobState] = {}
    for part in _parts(numbers):
        options = ["--parsable2", "--noheader", f"--format={SACCT_FIELDS}"]
        done = _asked("sacct", *options, "--jobs", ",".join(part))
        if done.returncode:
            break  # most often: no accounting on this cluster
        found |= sacct_states(done.stdout)
    return found


def _by_squeue(numbers: Sequence[str]) -> dict[str, JobState]:
    found: dict[str, JobState] = {}
    for part in _parts(numbers):
        options = ["--array", "--states=all", "--noheader", f"--format={SQUEUE_FORMAT}"]
        done = _asked("squeue", *options, "--jobs", ",".join(part))
        # So it ends where it was asked for a single job that has ended long ago.
        if done.returncode and "Invalid job id" not in done.stderr:
            raise SlurmError(f"Slurm does not tell of jobs: {_plain(done.stderr)}")
        found |= squeue_states(done.stdout)
    # It tells neither exit codes nor how often a job has begun again.
    unclear = _numbers(
        job for job, state in found.items() if not state.waits and state.state != "COMPLETED"
    )
    for number in unclear:
        done = _asked("scontrol", "--oneliner", "show", "job", number)
        for job, state in scontrol_states(done.stdout).items():
            if job in found:
                begun = found[job].begin if state.begin == "" else state.begin
                found[job] = replace(state, begin=begun)
    return found


def _by_completions(numbers: Sequence[str]) -> dict[str, JobState]:
    if shutil.which("scontrol") is None:
        return {}
    name = completion_file(_asked("scontrol", "show", "config").stdout)
    if name is None:
        return {}
    try:
        with Path(name).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return {}  # on most clusters, for its administrators only
    return scontrol_states(text)


def _asked(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=LIMIT_S,
            check=False,
        )
    except FileNotFoundError:
        raise _absent(words[0]) from None
    except subprocess.TimeoutExpired:
        raise SlurmError(
            f"{words[0]} did not answer in {LIMIT_S:g} s: Slurm's controller is down or busy; try "
            "again later"
        ) from None


def _absent(command: str) -> SlurmError:
    return SlurmError(
        f"no Slurm on this machine: {command} is not on the path; ask on a login node of the "
        "cluster that has the jobs"
    )


def _numbers(jobs: Iterable[str]) -> list[str]:
    """Return the numbers of jobs, those of an array once, oldest first."""
    found = {job.partition("_")[0] for job in jobs}
    return sorted(found, key=lambda number: (len(number), number))


def _parts(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[i : i + AT_A_TIME] for i in range(0, len(names), AT_A_TIME)]


def _plain(said: str) -> str:
    lines = [re.sub(r"^\w+: (error|fatal): ", "", line).strip() for line in said.splitlines()]
    return "; ".join(filter(None, lines)) or "it gives no reason"
