"""`biosim run`: from words to one run, from its beginning or where a checkpoint stands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from biosim.errors import ScenarioError
from biosim.ranks import StoppedError
from biosim.traces import open_run
from hpc.launch import launch
from hpc.progress import Bar, Watcher
from hpc.report_learning import window_lines
from hpc.resume import resume as resume_one
from hpc.resume import stored_scenario
from hpc.run import run as run_one
from hpc.stopping import heeded
from hpc.together import failing_together, first, to_be_launched, wait_for_all
from hpc.world import allotted
from scenarios.reading import AnyScenario, read_tree, resolve_any
from scenarios.spiking.schema import SpikingScenario
from scenarios.tasks.schema import TaskScenario

ScenarioName = Annotated[str, typer.Argument(help="a built-in scenario, or a .toml or .yaml file")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="settings, such as run.epochs=5 rule.lr=0.01")
]
Out = Annotated[Path | None, typer.Option(help="directory to make for the results")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace results that are there")]


def run(
    scenario: Annotated[
        str | None, typer.Argument(help="a built-in scenario, or a .toml or .yaml file")
    ] = None,
    overrides: Overrides = None,
    out: Out = None,
    overwrite: Overwrite = False,
    ranks: Annotated[
        int | None, typer.Option(help="processes, started by mpiexec on this machine", min=1)
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="directory of a run to go on with from its checkpoint")
    ] = None,
) -> None:
    """Run a scenario and store what it does, or go on with a run that was interrupted.

    Example: biosim run digits rule.name=noprop rule.lr=0.01 run.epochs=5 --out runs/first
    """
    given = [*([scenario] if scenario is not None else []), *(overrides or [])]
    with failing_together():
        settings = _resumed(resume, given, out) if resume else _described(scenario, overrides)
    if to_be_launched(ranks):
        assert ranks is not None
        raise typer.Exit(launch(sys.argv[1:], ranks, getattr(settings.run, "threads", 1)))
    with heeded():
        if resume is not None:
            _show(settings, resume, lambda bar: resume_one(resume, given, bar))
            return
        settings = allotted(settings)
        directory = out or Path("runs") / _name(settings)
        _show(settings, directory, lambda bar: run_one(settings, directory, overwrite, bar))


def _described(scenario: str | None, overrides: list[str] | None) -> AnyScenario:
    if scenario is None:
        raise ScenarioError(
            "got no scenario to run; expected a built-in one, a file, or --resume with the "
            "directory of a run: see biosim scenarios"
        )
    return resolve_any(read_tree(scenario), overrides or [])


def _resumed(directory: Path, given: list[str], out: Path | None) -> AnyScenario:
    if out is not None or any("=" not in each for each in given):
        what = f"--out {out}" if out is not None else next(e for e in given if "=" not in e)
        raise ScenarioError(
            f"got {what} beside --resume {directory}, which has its scenario and its directory; "
            "leave it out"
        )
    return stored_scenario(directory, given)


def _name(scenario: AnyScenario) -> str:
    rule = "" if isinstance(scenario, SpikingScenario) else f"-{scenario.rule.name}"
    return f"{scenario.name}{rule}-seed-{scenario.run.seed}"


def _show(scenario: AnyScenario, directory: Path, go: Callable[[Watcher], Any]) -> None:
    """Run, and print what came out."""
    with Bar(_name(scenario)) as bar:
        try:
            result = go(bar)
        except StoppedError:
            wait_for_all()
            raise
    if not first():
        return
    typer.echo("\n".join([*_lines(scenario, result), f"results in {directory}"]))


def _lines(scenario: AnyScenario, result: Any) -> list[str]:
    if isinstance(scenario, SpikingScenario):
        from hpc.spiking_result import lines, summary  # only what spikes needs Brian2's parser

        return [*lines(summary(result)), *window_lines(open_run(result.path))]
    if isinstance(scenario, TaskScenario):
        from hpc.run_tasks import found_lines
        from hpc.spiking_result import lines, summary

        return [*found_lines(result.found), "", *lines(summary(result.network))]
    share = [f"test accuracy {100 * a:.2f} % ({way})" for way, a in result.accuracy.items()]
    return [*share, f"{result.samples_per_second:.0f} samples a second"]
