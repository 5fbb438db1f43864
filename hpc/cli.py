"""The command line: from words to one call of `hpc`, and from errors to one line.

Why errors are caught here and nowhere else: a `BiosimError` is for the user, one line, exit
code 2; anything else is a defect and keeps its traceback.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import biosim
import hpc
import hpc.cli_run as cli_run
import rules
import scenarios
from biosim.errors import BiosimError, OutputError, ScenarioError
from biosim.ranks import StoppedError
from hpc.cli_jobs import submit, work
from hpc.cli_jobs_after import cancel, fetch_results, logs, resubmit, status
from hpc.cli_run import Out, Overrides, Overwrite, ScenarioName
from hpc.cli_traces import traces
from hpc.compare import compare as compare_all
from hpc.compare import plan as plan_comparison
from hpc.exchange import check_simulated
from hpc.predict import predict as predict_all
from hpc.predict import write_prediction
from hpc.progress import Bar
from hpc.report import write_report
from hpc.report_ranks import balance_lines
from hpc.report_spiking import is_spiking, spiking_table, write_spiking_report
from hpc.show import (
    card_text,
    rules_text,
    scenarios_text,
    starter_text,
    synapse_card_text,
)
from hpc.show_spiking import (
    check_text,
    spiking_starter_text,
    task_validity_text,
    validity_text,
)
from hpc.spiking_comparison import are_spiking, spiking_comparison
from hpc.stopping import exit_code
from hpc.stored import check_start
from hpc.summary import collect, summarise
from hpc.table import table
from hpc.together import AlreadyCompleteError, check_alone
from hpc.world import speaks
from rules import RULES, SYNAPSE_RULES
from scenarios.complaints import nearest
from scenarios.disk import kept
from scenarios.reading import compared_rules, read_tree, resolve_any
from scenarios.scenario import Scenario
from scenarios.spiking.schema import SpikingScenario
from scenarios.tasks.schema import TaskScenario

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(traces, name="traces")
app.command()(cli_run.run)
for _command in (submit, status, logs, cancel, resubmit):
    app.command()(_command)
app.command("fetch-results")(fetch_results)
app.command(hidden=True)(work)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"biosim {biosim.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Simulate and compare networks that learn without backpropagation's shortcuts."""


@app.command()
def compare(
    scenario: ScenarioName,
    overrides: Overrides = None,
    rules: Annotated[str, typer.Option(help="names with commas between; all if left out")] = "",
    seeds: Annotated[int, typer.Option(help="runs of each rule, from run.seed up")] = 3,
    out: Out = None,
    overwrite: Overwrite = False,
    jobs: Annotated[int | None, typer.Option(help="runs at a time; one a core", min=1)] = None,
) -> None:
    """Run a scenario under several rules and seeds, print a table, write a report.

    Example: biosim compare digits --rules backprop,noprop --seeds 3 --out runs/two
    """
    check_alone("compare", "it starts its runs itself")
    tree = read_tree(scenario)
    names = [name.strip() for name in rules.split(",")] if rules else compared_rules(tree)
    entries = plan_comparison(tree, names, seeds, overrides or [])
    directory = out or Path("runs") / f"{entries[0].scenario.name}-comparison"
    with Bar(f"{len(entries)} runs") as bar:
        failures = compare_all(entries, directory, overwrite, jobs, bar)
    _report(directory)
    if failures:
        raise BiosimError("; ".join(failures))


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="directory of a run")],
    data: Annotated[Path, typer.Option(help=".npz or Zarr store with x, and y if known")],
    out: Annotated[Path | None, typer.Option(help=".npz for labels and scores")] = None,
) -> None:
    """Apply the trained weights of a run to new samples.

    Example: biosim predict runs/first --data new.npz --out answers.npz
    """
    prediction = predict_all(run, data)
    if out is not None:
        write_prediction(out, prediction)
        typer.echo(f"{len(prediction.labels)} answers in {out}")
    else:
        for label in prediction.labels.tolist():
            typer.echo(label)
    if prediction.accuracy is not None:
        typer.echo(f"accuracy {100 * prediction.accuracy:.2f} %", err=out is None)


@app.command("rules")
def list_rules() -> None:
    """List the learning rules.

    Example: biosim rules
    """
    typer.echo(rules_text())


@app.command("scenarios")
def list_scenarios() -> None:
    """List the built-in scenarios.

    Example: biosim scenarios
    """
    typer.echo(scenarios_text())


@app.command()
def explain(rule: Annotated[str, typer.Argument(help="name of a rule")]) -> None:
    """Print a rule's card: equations, source, what it reads, pathways, parameters.

    Example: biosim explain equilibrium_propagation
    """
    if rule in SYNAPSE_RULES:
        typer.echo(synapse_card_text(rule, SYNAPSE_RULES[rule]))
    elif rule in RULES:
        typer.echo(card_text(rule, RULES[rule]))
    else:
        raise ScenarioError(f"no rule {rule!r}" + nearest(rule, [*RULES, *SYNAPSE_RULES]))


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="name of the scenario; its file is NAME.toml")],
    spiking: Annotated[bool, typer.Option("--spiking", help="a spiking network")] = False,
) -> None:
    """Write a commented scenario file to start from.

    Example: biosim new my_scenario
    """
    path = Path(name if name.endswith(".toml") else f"{name}.toml")
    try:
        with path.open("x", encoding="utf-8") as file:
            text = spiking_starter_text if spiking else starter_text
            file.write(text(path.stem))
    except FileExistsError:
        raise OutputError(f"{path} exists; choose another name") from None
    except OSError as problem:
        raise OutputError(f"{path} cannot be written ({problem.strerror})") from None
    typer.echo(f"wrote {path}")


@app.command()
def validate(scenario: ScenarioName, overrides: Overrides = None) -> None:
    """Check a scenario and its data without running it.

    Example: biosim validate my_scenario.toml run.epochs=5
    """
    settings = resolve_any(read_tree(scenario), overrides or [])
    if isinstance(settings, SpikingScenario):
        typer.echo(validity_text(settings))
        return
    if isinstance(settings, TaskScenario):
        typer.echo(task_validity_text(settings))
        return
    dataset = settings.data.load()
    network = settings.wire(dataset)
    if isinstance(settings, Scenario):
        check_start(settings, network)
    typer.echo(
        f"{settings.name} is valid: {settings.rule.name} on {dataset.name} "
        f"({len(dataset.train)} samples to learn from, {len(dataset.test)} for the test), "
        f"{len(network.populations)} populations, {len(network.projections)} projections; stores "
        f"{kept(settings, network, dataset).line()}"
    )


@app.command()
def plan(
    scenario: ScenarioName,
    overrides: Overrides = None,
    ranks: Annotated[int, typer.Option(help="to plan for", min=1, max=1 << 16)] = 1,
    rate: Annotated[
        float | None, typer.Option(help="expected of spiking neurons, in hertz; 10 if left out")
    ] = None,
) -> None:
    """Say what a scenario needs on so many ranks, and how long it takes, without running it.

    Example: biosim plan brunel --ranks 64 --rate 30
    """
    settings = resolve_any(read_tree(scenario), overrides or [])
    from hpc.plan import plan_text  # the parser and the compiler that it may need take seconds

    typer.echo(plan_text(settings, ranks, rate))


@app.command()
def check(
    scenario: ScenarioName,
    overrides: Overrides = None,
    against: Annotated[str, typer.Option(help="another simulator: brian2")] = "brian2",
    duration: Annotated[str, typer.Option(help="simulated time; the scenario's own")] = "",
) -> None:
    """Simulate a spiking network here and in another simulator; print where the two part.

    Example: biosim check cuba --against brian2 --duration "100 ms"
    """
    typer.echo(check_text(resolve_any(read_tree(scenario), overrides or []), against, duration))


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(help="directory of a comparison or a run")],
) -> None:
    """Write report.html from stored runs, and print their table; of many spiking runs the table.

    Example: biosim report runs/two
    """
    _report(directory)


def _report(directory: Path) -> None:
    check_simulated(directory)
    if is_spiking(directory):
        typer.echo(spiking_table(directory))
        typer.echo(f"\nreport in {write_spiking_report(directory)}")
        return
    if are_spiking(directory):
        typer.echo(spiking_comparison(directory))
        return
    rows = summarise(collect(directory))
    typer.echo(table(rows))
    for run in (run for row in rows for run in row.finished[:1]):
        for line in balance_lines(run.tree):
            typer.echo(line)
    typer.echo(f"\nreport in {write_report(directory, rows)}")


def check_one_place() -> None:
    """Check that all four packages come from one directory.

    The names `rules` and `scenarios` are common; another package of that name, found first,
    would fail later and obscurely.

    Raises:
        BiosimError: a package comes from elsewhere.
    """
    places = {
        package.__name__: Path(str(package.__file__)).parent.parent
        for package in (biosim, rules, scenarios, hpc)
    }
    home = places["biosim"]
    for name, place in places.items():
        if place != home:
            raise BiosimError(
                f"package {name!r} comes from {place}, biosim from {home}; "
                "install biosim into an environment of its own"
            )


# Typer brings its own click, from no public place but through the base of this class.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def main() -> None:
    """Run the command line; errors that the user can mend are one line and exit code 2."""
    try:
        check_one_place()
        code = app(standalone_mode=False)
    except StoppedError as problem:
        sys.exit(_refused(str(problem), exit_code(problem)))
    except AlreadyCompleteError as problem:  # so that of jobs in a chain the last ones end well
        sys.exit(_refused(str(problem), 0))
    except BiosimError as problem:
        sys.exit(_refused(str(problem)))
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except UsageError as problem:
        told = getattr(problem, "format_message", problem.__str__)()
        sys.exit(_refused(f"{told} (see --help)"))
    if isinstance(code, int):
        sys.exit(code)


def _refused(message: str, code: int = 2) -> int:
    if speaks():
        print(f"biosim: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
