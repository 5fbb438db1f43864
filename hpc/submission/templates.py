"""Scripts for PBS and LSF, from the same description; they are written, not submitted.

Why only written: no machine of those is at hand, and what was never run is not to be trusted with
a user's jobs unseen. Each script says so in its head.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import jinja2

import biosim
from hpc.jobs.record import LOGS
from hpc.stopping import INTERRUPTED
from hpc.submission.amounts import clock_text, mebibytes, seconds
from hpc.submission.command import mpiexec, preparation, program
from hpc.submission.description import Description

Batch = Literal["pbs", "lsf"]
DIRECTORY = Path(__file__).parents[1] / "templates"
SUBMITTED_BY = {"pbs": "qsub", "lsf": "bsub <"}


def path(out: Path, scheduler: str) -> Path:
    """Return where the script of a submission lies."""
    return out / "scripts" / f"job.{scheduler}"


def script(scheduler: str, out: Path, name: str, job: Description, entries: Sequence[int]) -> str:
    """Return the script.

    Args:
        scheduler: pbs or lsf.
        out: directory of the submission.
        name: of the job.
        job: described.
        entries: indices of those that it runs; several are an array.
    """
    several = len(entries) > 1
    place = {"pbs": "$PBS_ARRAY_INDEX", "lsf": "$((LSB_JOBINDEX - 1))"}[scheduler]
    index = f'"${{entries[{place}]}}"' if several else str(entries[0])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(DIRECTORY),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{scheduler}.sh.j2").render(
        job=job,
        name=name,
        out=out,
        logs=out / LOGS,
        written=path(out, scheduler),
        submitted_by=SUBMITTED_BY[scheduler],
        version=biosim.__version__,
        entries=list(entries),
        several=several,
        at_once=min(job.at_once or len(entries), len(entries)),
        cores=job.cpus_per_task or 1,
        memory_mib=mebibytes(job.memory) if job.memory else None,
        time=clock_text(seconds(job.time)) if job.time else None,
        time_s=seconds(job.time) if job.time else None,
        lead_s=seconds(job.lead),
        grace_s=seconds(job.grace),
        interrupted=INTERRUPTED,
        preparation=preparation(job),
        command=f"{mpiexec(job)} {program(job, out, index)}",
    )
