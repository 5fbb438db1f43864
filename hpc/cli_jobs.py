"""`biosim submit`: from options of the command line to jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hpc.submission.preparing import Prepared, Wanted, prepared
from hpc.submission.site import SubmissionError, options_of, read_site, settled, site_path
from hpc.submission.submit import scripts
from hpc.submission.submit import submit as submit_all
from hpc.submission.templates import SUBMITTED_BY, path
from hpc.submission.work import work as work_on
from hpc.together import check_alone
from scenarios.reading import read_tree


def _option(what: str, *names: str, least: int | None = None) -> Any:
    return typer.Option(*names, help=what, min=least)


def submit(
    scenario: Annotated[
        str | None, typer.Argument(help="a built-in scenario, or a .toml or .yaml file")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="settings, such as run.epochs=5 rule.lr=0.01")
    ] = None,
    out: Annotated[Path | None, _option("directory to make for the runs of all jobs")] = None,
    array: Annotated[bool, _option("of runs, by what follows; several are one", "--array")] = False,
    rules: Annotated[str, _option("names with commas between, or all; each has own runs")] = "",
    seeds: Annotated[int, _option("runs of each setting, from run.seed up", least=1)] = 1,
    sweep: Annotated[
        list[str] | None, _option("key=a,b,c: a run with each; several: every combination")
    ] = None,
    nodes: Annotated[int | None, _option("machines", "--nodes", "-N", least=1)] = None,
    tasks: Annotated[int | None, _option("ranks, on all nodes", "--tasks", "-n", least=1)] = None,
    tasks_per_node: Annotated[int | None, _option("ranks on each node", least=1)] = None,
    cpus_per_task: Annotated[int | None, _option("cores of each rank", least=1)] = None,
    gpus_per_node: Annotated[int | None, _option("GPUs on each node", least=0)] = None,
    memory: Annotated[str | None, _option("of each node, such as '4 GiB'")] = None,
    time: Annotated[str | None, _option("limit, such as '90 min' or 1-12:00:00")] = None,
    partition: Annotated[str | None, _option("or queue", "--partition", "-p")] = None,
    account: Annotated[str | None, _option("that pays", "--account", "-A")] = None,
    constraint: Annotated[str | None, _option("features of nodes", "--constraint", "-C")] = None,
    qos: Annotated[str | None, _option("quality of service")] = None,
    module: Annotated[list[str] | None, _option("to load first; may be repeated")] = None,
    setup: Annotated[list[str] | None, _option("line of shell to run first; repeated")] = None,
    mpi: Annotated[str | None, _option("'srun --mpi=pmix', 'srun --mpi=pmi2', mpiexec")] = None,
    container: Annotated[str | None, _option("image that apptainer runs biosim in")] = None,
    lead: Annotated[str | None, _option("from the warning signal to the end of a job")] = None,
    requeue: Annotated[bool | None, _option("after a warning", "--requeue/--no-requeue")] = None,
    at_once: Annotated[int | None, _option("jobs that run at a time", least=1)] = None,
    option: Annotated[list[str] | None, _option("of the scheduler: key=value; repeated")] = None,
    chain: Annotated[int, _option("jobs, each after the last, for long runs", least=1)] = 1,
    scheduler: Annotated[str | None, _option("slurm, local, pbs or lsf")] = None,
    site: Annotated[Path | None, _option("site file, in place of ~/.config/biosim/")] = None,
    show_site: Annotated[bool, _option("print the defaults and their places")] = False,
    dry_run: Annotated[bool, _option("print the script, write nothing", "--dry-run")] = False,
) -> None:
    """Give runs to a scheduler, as one job or an array; what is not said is proposed.

    Example: biosim submit digits --array --rules all --seeds 5 --time "1 h" --dry-run
    """
    check_alone("submit", "it starts jobs itself")
    where = site_path(site)
    given = {
        "nodes": nodes, "tasks": tasks, "tasks_per_node": tasks_per_node,
        "cpus_per_task": cpus_per_task, "gpus_per_node": gpus_per_node, "memory": memory,
        "time": time, "partition": partition, "account": account, "constraint": constraint,
        "qos": qos, "modules": module, "setup": setup, "mpi": mpi, "container": container,
        "lead": lead, "requeue": requeue, "at_once": at_once, "options": options_of(option or []),
    }  # fmt: skip
    job = settled(read_site(where) if where else None, where, given, scheduler)
    if show_site:
        typer.echo("\n".join(job.lines()))
        return
    if scenario is None:
        raise SubmissionError("no scenario; expected biosim submit SCENARIO, as for biosim run")
    wanted = Wanted(read_tree(scenario), overrides or [], rules, sweep or [], seeds, array, chain)
    found = prepared(wanted, job, out, dry_run)
    for line in found.said:
        typer.echo(line, err=True)
    name = found.runs[0].scenario.name
    if dry_run:
        if found.scheduler == "local":
            _say_local(found)
            return
        typer.echo(
            "\n".join(scripts(found.out, name, found.job, len(found.runs), found.scheduler, chain)),
            nl=False,
        )
        return
    done = submit_all(found.out, found.runs, found.job, found.scheduler, chain)
    shown = found.out if out is None or out.is_absolute() else out
    if found.scheduler in SUBMITTED_BY:
        by = f"{SUBMITTED_BY[found.scheduler]} {path(shown, found.scheduler)}"
        typer.echo(f"biosim submits nothing to {found.scheduler}; submit it by: {by}")
        return
    jobs = [job for entry in done.entries for job in entry.jobs]
    numbers = list(dict.fromkeys(job.partition("_")[0] for job in jobs))
    told = f", job {', '.join(numbers)}" if found.scheduler == "slurm" else " on this machine"
    runs = "1 run" if len(done.entries) == 1 else f"{len(done.entries)} runs"
    typer.echo(f"submitted {runs}{told}; results will be in {shown}")
    typer.echo(f"see biosim status {shown}")


def work(
    out: Annotated[Path, typer.Argument(help="directory of a submission")],
    index: Annotated[int, typer.Argument(help="of the entry", min=0)],
) -> None:
    """Do what a job does: go on with one entry of a submission.

    Example: biosim work runs/digits-jobs 0
    """
    raise typer.Exit(work_on(out.absolute(), index))


def _say_local(found: Prepared) -> None:
    ranks = "1 rank" if found.job.ranks == 1 else f"{found.job.ranks} ranks"
    for run in found.runs:
        typer.echo(f"{run.name}: {ranks} on this machine")
