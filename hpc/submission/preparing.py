"""From what a user asks to what can be submitted: all checked, and proposed where it was open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc.submission.checking import (
    check_local,
    check_out,
    check_runs,
    local_to_a_node,
    unused_gpus,
    variants,
    without_device,
)
from hpc.submission.description import Description, Scheduler
from hpc.submission.entries import PlannedRun, planned, sweep
from hpc.submission.proposal import proposed
from hpc.submission.site import Settled, SubmissionError
from hpc.submission.slurm import check_there
from scenarios.reading import Tree, compared_rules

ALL = "all"
"""What `--rules` says for every rule under which a scenario is compared."""


@dataclass(frozen=True)
class Wanted:
    """What the command line asks to run.

    Args:
        tree: tables of the scenario.
        overrides: settings for all runs.
        rules: names with commas between; `ALL`; or none for the scenario's own.
        sweeps: as on the command line.
        seeds: of each setting.
        array: whether several runs are expected.
        chain: jobs one after the other.
    """

    tree: Tree
    overrides: Sequence[str] = ()
    rules: str = ""
    sweeps: Sequence[str] = ()
    seeds: int = 1
    array: bool = False
    chain: int = 1


@dataclass(frozen=True)
class Prepared:
    """What can be submitted.

    Args:
        out: directory to make.
        runs: its entries.
        job: described.
        scheduler: that runs them.
        chain: jobs one after the other.
        said: lines for the user: what was proposed, and why.
    """

    out: Path
    runs: list[PlannedRun]
    job: Description
    scheduler: Scheduler
    chain: int
    said: list[str]


def prepared(wanted: Wanted, known: Settled, out: Path | None, dry_run: bool) -> Prepared:
    """Return the runs and the job, after everything that can be refused was; nothing is written.

    Args:
        wanted: to run.
        known: of the job.
        out: directory to make; left out, named after the scenario.
        dry_run: whether the scheduler need not be there.

    Raises:
        BiosimError: something cannot be as asked.
    """
    runs = _runs(wanted)
    scheduler = known.scheduler or "slurm"
    _check_chain(wanted.chain, scheduler)
    if scheduler == "slurm" and not dry_run:
        check_there()
    directory = (out or Path("runs") / f"{runs[0].scenario.name}-jobs").absolute()
    check_out(directory)
    asked = variants(runs)
    scenarios = [without_device(each) for each in asked]
    known = known.proposed(
        {"cpus_per_task": max(each.run.threads for each in scenarios)}, "run.threads"
    )
    check_runs(scenarios, known.description.ranks, directory)
    if scheduler == "local":
        said: list[str] = []
        check_local(known)
    else:
        known, said = proposed(known, scenarios, scheduler, wanted.chain)
        if (line := local_to_a_node(directory)) is not None:
            said.append(line)
    known.check_limits()
    job = known.description
    if (line := unused_gpus(asked, job.gpus_per_node)) is not None:
        said.append(line)
    runs = [run.with_threads(job.cpus_per_task or 1) for run in runs]
    return Prepared(directory, runs, job, scheduler, wanted.chain, said)


def _runs(wanted: Wanted) -> list[PlannedRun]:
    if wanted.rules == ALL:
        rules = compared_rules(wanted.tree)
    else:
        rules = [name.strip() for name in wanted.rules.split(",")] if wanted.rules else []
    sweeps = [sweep(text) for text in wanted.sweeps]
    runs = planned(wanted.tree, wanted.overrides, rules, sweeps, wanted.seeds)
    if wanted.array and len(runs) == 1:
        raise SubmissionError(
            "--array: one run is asked for; expected several, by --seeds, --rules or --sweep"
        )
    return runs


def _check_chain(chain: int, scheduler: Scheduler) -> None:
    if chain == 1:
        return
    if scheduler == "local":
        raise SubmissionError(
            f"--chain {chain}: jobs on this machine have no time limit to outlast; leave it out"
        )
    if scheduler != "slurm":
        by_hand = "qsub -W depend=afterany:JOB" if scheduler == "pbs" else "bsub -w 'ended(JOB)'"
        raise SubmissionError(
            f"--chain {chain}: biosim chains jobs of Slurm only; submit the same script again, by "
            f"{by_hand}: it goes on where the run stands"
        )
