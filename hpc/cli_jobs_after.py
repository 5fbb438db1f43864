"""`biosim status`, `logs`, `cancel`, `resubmit`, `fetch-results`: from words to one call each."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from biosim.errors import OutputError
from hpc.jobs.cancelling import cancel as cancel_jobs
from hpc.jobs.fetching import fetch
from hpc.jobs.logs import followed, last_lines, log_path
from hpc.jobs.record import Entry, chosen, load
from hpc.jobs.resubmitting import resubmit as resubmit_entries
from hpc.jobs.status import narrowed, submissions
from hpc.jobs.status import status as status_of
from hpc.jobs.status_table import status_text, summary_line
from hpc.report import write_report
from hpc.spiking_comparison import are_spiking, spiking_comparison
from hpc.summary import collect, summarise
from hpc.table import table
from hpc.together import check_alone

RUNS = Path("runs")
FOLLOWED_EVERY_S = {"local": 1.0}
"""How often it is asked whether a job has ended; a controller is asked less often."""
ASKED_EVERY_S = 15.0

Submitted = Annotated[Path, typer.Argument(help="directory of a submission")]
Entries = Annotated[
    list[str] | None, typer.Argument(help="names of entries, their numbers, or ids of their jobs")
]


def status(
    out: Annotated[
        list[Path] | None,
        typer.Argument(help="directories of submissions, or above them; runs if left out"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Say what became of what was submitted: states, progress, why jobs died.

    Example: biosim status runs/sweep
    """
    found = [status_of(path) for each in out or [RUNS] for path in submissions(each)]
    if as_json:
        typer.echo(json.dumps([each.plain() for each in found], indent=1))
        return
    typer.echo("\n\n".join(status_text(each) for each in found))


def logs(
    out: Submitted,
    entry: Annotated[
        str | None, typer.Argument(help="name of an entry, its number, or a job's id; all")
    ] = None,
    lines: Annotated[int, typer.Option(help="the last ones of each file", min=1)] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="what is added, too")] = False,
    err: Annotated[bool, typer.Option("--err", help="only what was written as errors")] = False,
) -> None:
    """Print the last lines that jobs wrote.

    Example: biosim logs runs/sweep backprop/seed-0 --lines 50
    """
    submission = load(out)
    entries = chosen(submission, [entry] if entry is not None else [])
    jobs = [(each, _asked_for(each, entry)) for each in entries if each.jobs]
    if not jobs:
        raise OutputError(f"no job was submitted for {entries[0].name}; see biosim status {out}")
    endings = ("err",) if err else ("out", "err")
    if follow:
        if len(jobs) > 1:
            raise OutputError(
                f"{len(jobs)} entries cannot be followed at once; give one of them, such as "
                f"{jobs[0][0].name!r}"
            )
        _follow(out, *jobs[0], lines)
        return
    files = [log_path(out, job, ending) for _, job in jobs for ending in endings]
    told = [(path, said) for path in files if (said := last_lines(path, lines))]
    if not told:
        waits = entries[0].name if entry else out
        typer.echo(f"{waits} has written nothing yet; see biosim status {out}", err=True)
    for path, said in told:
        if len(told) > 1:
            typer.echo(f"==> {path} <==")
        typer.echo("\n".join(said))


def cancel(out: Submitted, entries: Entries = None) -> None:
    """End jobs for good: they store where they stand, and are not run again.

    Example: biosim cancel runs/sweep backprop/seed-0
    """
    check_alone("cancel", "it cancels jobs itself")
    typer.echo("\n".join(cancel_jobs(out, entries or [])))


def resubmit(
    out: Submitted,
    entries: Entries = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="all that failed, died or were cancelled")
    ] = False,
    at_once: Annotated[
        int | None, typer.Option(help="on this machine, jobs at a time", min=1)
    ] = None,
) -> None:
    """Submit again what did not come to its end; it goes on from its checkpoints.

    Example: biosim resubmit --failed runs/sweep
    """
    check_alone("resubmit", "it starts jobs itself")
    for each in resubmit_entries(out, entries or [], failed, at_once):
        typer.echo(f"{each.name}: job {each.jobs[-1]}")


def fetch_results(
    directory: Submitted,
    out: Annotated[
        Path | None, typer.Option(help="directory to copy the runs into; they stay if left out")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace what is there")] = False,
) -> None:
    """Gather the runs of a submission into one comparison and print its table; of layers, a report.

    Example: biosim fetch-results runs/sweep --out results/sweep
    """
    check_alone("fetch-results", "it reads what others wrote")
    found = fetch(directory, out, overwrite)
    if are_spiking(found.directory):
        typer.echo(spiking_comparison(found.directory))
        typer.echo("\nbiosim report RUN draws each of them")
    else:
        rows = summarise(collect(found.directory))
        typer.echo(table(rows))
        typer.echo(f"\nreport in {write_report(found.directory, rows)}")
    for line in found.incomplete:
        typer.echo(f"not complete: {line}", err=True)
    total = found.complete + len(found.incomplete)
    typer.echo(f"{found.complete} of {total} runs are complete; results in {found.directory}")


def _asked_for(entry: Entry, name: str | None) -> str:
    return name if name in entry.jobs else entry.jobs[-1]


def _follow(out: Path, entry: Entry, job: str, lines: int) -> None:
    """Print what a job writes as errors, where runs say how far they are, until it ends."""
    every_s = FOLLOWED_EVERY_S.get(load(out).scheduler, ASKED_EVERY_S)
    asked_s, known = 0.0, False

    def over() -> bool:
        nonlocal asked_s, known
        if time.monotonic() - asked_s > every_s:
            known = not narrowed(status_of(out), [entry]).entries[0].open
            asked_s = time.monotonic()
        return known

    for said in followed(log_path(out, job, "err"), lines, over):
        typer.echo(said, nl=False)
    typer.echo(summary_line(narrowed(status_of(out), [entry])))
