"""Ending jobs before their time, for good."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from biosim.errors import BiosimError
from hpc.jobs import local, slurm
from hpc.jobs.record import chosen, note_cancelled
from hpc.jobs.status import narrowed, status


def cancel(out: Path, names: Sequence[str] = ()) -> list[str]:
    """Cancel the jobs of entries; return a line for what was done to each.

    A job that runs is asked to end by SIGTERM, stores where it stands and is not run again.

    Args:
        out: directory of the submission.
        names: of entries, their indices, or ids of their jobs; all entries if empty.

    Raises:
        OutputError: there is no submission or no such entry.
        BiosimError: the scheduler cannot be asked, refuses, or is none that biosim submits to.
    """
    whole = status(out)
    scheduler = whole.submission.scheduler
    if scheduler in ("pbs", "lsf"):
        command = {"pbs": "qdel", "lsf": "bkill"}[scheduler]
        raise BiosimError(f"biosim has no jobs of {scheduler.upper()}; cancel them by {command}")
    found = narrowed(whole, chosen(whole.submission, names))
    if found.note:
        raise slurm.SlurmError(found.note)
    lines, jobs = [], []
    for each in found.entries:
        there = [job for job in each.jobs if not job.over]
        jobs += there
        if not there:
            lines.append(f"{each.entry.name}: {each.state}, there is nothing to cancel")
        elif any(job.runs for job in there):
            lines.append(f"{each.entry.name}: asked to end, it stores where it stands")
        else:
            lines.append(f"{each.entry.name}: will not begin")
    if jobs and scheduler == "local":
        local.cancel(out, [job.job for job in jobs])
    elif jobs:
        slurm.cancel(jobs)
    if jobs:
        note_cancelled(out, {job.job for job in jobs})
    return lines
