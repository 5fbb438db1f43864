"""From planned runs and a settled description to a directory and its jobs."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import biosim
from hpc.jobs.local import submit as submit_locally
from hpc.jobs.record import ENTRIES, LOGS, Entry, Submission, append_jobs, load, save
from hpc.output import make
from hpc.provenance import now
from hpc.submission import slurm, templates
from hpc.submission.description import Description, Scheduler
from hpc.submission.entries import PlannedRun
from hpc.submission.site import SubmissionError
from hpc.submission.work import DIRECTORY

CHAIN = "chain"
"""Of `cluster` in `submission.json`: jobs that follow each other for every entry."""


def job_name(scenario: str) -> str:
    """Return the name of a scenario as schedulers take one."""
    return re.sub(r"[^\w.-]+", "-", scenario).strip("-") or "biosim"


def scripts(
    out: Path, name: str, job: Description, entries: int, scheduler: Scheduler, chain: int = 1
) -> list[str]:
    """Return the scripts that would be submitted, or all that differ; nothing is written.

    Args:
        out: directory of the submission.
        name: of the scenario.
        job: described.
        entries: how many runs there are.
        scheduler: slurm, pbs or lsf.
        chain: jobs one after the other.
    """
    indices, name = range(entries), job_name(name)
    if scheduler == "slurm":
        return [
            slurm.Sbatch(out, name, job, indices, link, str(link) if link else None, chain > 1)
            .text()
            .replace(f"afterany:{link}", "afterany:THE_JOB_BEFORE")
            for link in range(chain)
        ]
    return [templates.script(scheduler, out, name, job, indices)]


def submit(
    out: Path,
    runs: Sequence[PlannedRun],
    job: Description,
    scheduler: Scheduler,
    chain: int = 1,
) -> Submission:
    """Make the directory of a submission and give its jobs to the scheduler.

    Args:
        out: to make; absolute.
        runs: its entries.
        job: described.
        scheduler: that runs them; of PBS and LSF only the script is written.
        chain: jobs one after the other, for runs longer than the time limit.

    Returns:
        The submission with the numbers of its jobs.

    Raises:
        BiosimError: the scheduler refuses; then nothing is left.
    """
    submission = Submission(
        scenario=runs[0].scenario.name,
        scheduler=scheduler,
        created=now(),
        resources=job.stored(),
        biosim=biosim.__version__,
        cluster={DIRECTORY: os.getcwd(), CHAIN: chain},
        entries=tuple(
            Entry(
                index=i, name=run.name, path=run.path, rule=run.rule, seed=run.seed,
                settings=run.settings,
            )
            for i, run in enumerate(runs)
        ),
    )  # fmt: skip
    with _whole(out):
        for name in (ENTRIES, LOGS, slurm.SCRIPTS):
            (out / name).mkdir()
        for i, run in enumerate(runs):
            tables = json.dumps(run.scenario.model_dump(mode="json"), indent=1)
            (out / ENTRIES / f"{i:04d}.json").write_text(tables + "\n", encoding="utf-8")
        save(out, submission)
        _start(out, job_name(submission.scenario), job, range(len(runs)), scheduler, chain)
    return load(out)


def submit_again(out: Path, entries: Sequence[int]) -> None:
    """Give entries of a submission to its scheduler once more; their new jobs are noted.

    Args:
        out: directory of the submission.
        entries: indices.

    Raises:
        BiosimError: the scheduler refuses, or is none that biosim submits to.
    """
    submission = load(out)
    keys = set(Description.model_fields)
    kept = {key: value for key, value in submission.resources.items() if key in keys}
    job = Description.model_validate(kept)
    chain = int(submission.cluster.get(CHAIN, 1))
    if submission.scheduler in ("pbs", "lsf"):
        path = templates.path(out, submission.scheduler)
        raise SubmissionError(
            f"biosim submits nothing to {submission.scheduler}; submit {path} by hand: runs that "
            "are complete end at once"
        )
    _start(out.absolute(), job_name(submission.scenario), job, entries, submission.scheduler, chain)


def _start(
    out: Path, name: str, job: Description, entries: Sequence[int], scheduler: Scheduler, chain: int
) -> None:
    if scheduler == "slurm":
        _chained(out, name, job, entries, chain)
    elif scheduler == "local":
        submit_locally(out, job.at_once, entries)
    else:
        text = templates.script(scheduler, out, name, job, entries)
        templates.path(out, scheduler).write_text(text, encoding="utf-8")


def _chained(out: Path, name: str, job: Description, entries: Sequence[int], chain: int) -> None:
    slurm.check_there()
    numbers: list[str] = []
    try:
        for link in range(chain):
            after = numbers[-1] if numbers else None
            numbers.append(slurm.Sbatch(out, name, job, entries, link, after, chain > 1).give())
            if link == 0 and (reason := slurm.hopeless(numbers[0])) is not None:
                raise SubmissionError(
                    f"Slurm takes the job and will never start it: {reason}; ask for what the "
                    f"partition has, see scontrol show partition {job.partition or ''}".rstrip()
                )
        several = len(entries) > 1
        append_jobs(
            out,
            {
                entry: [f"{number}_{task}" if several else number for number in numbers]
                for task, entry in enumerate(entries)
            },
        )
    except BaseException:
        if numbers:
            slurm.cancel(numbers)
        raise


@contextmanager
def _whole(out: Path) -> Iterator[None]:
    """Make a directory; leave nothing of it, nor of those above it, where it is not filled."""
    top = out
    while not top.exists() and not top.parent.exists():
        top = top.parent
    empty = out.exists()
    make(out, False)
    try:
        yield
    except BaseException:
        shutil.rmtree(top, ignore_errors=True)
        if empty:
            out.mkdir()
        raise
