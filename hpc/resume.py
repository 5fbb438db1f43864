"""Going on with a run from its newest checkpoint, on any number of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from biosim.checkpoints.directory import FOLDER, newest
from biosim.errors import OutputError
from biosim.store import STORE
from hpc.checkpointing import NEUTRAL, found_checkpoint, settled
from hpc.ending import writer
from hpc.output import check_free
from hpc.progress import Watcher
from hpc.run import run_from
from hpc.stored import told_run
from hpc.together import AlreadyCompleteError, by_first, failing_together, take_part
from scenarios.reading import AnyScenario, resolve_any


def resume(out: str | Path, overrides: Sequence[str] = (), watcher: Watcher | None = None) -> Any:
    """Go on with a run where its newest checkpoint stands.

    Args:
        out: its directory.
        overrides: settings on which no result depends, such as run.threads=2.
        watcher: is told how far it is.

    Returns:
        What `hpc.run.run` would have returned without an interruption.

    Raises:
        AlreadyCompleteError: it is complete.
        OutputError: there is no run or no checkpoint, it is still being written, or an override
            would change its result.
        StoppedError: as of `hpc.run.run`.
    """
    out = Path(out)
    with failing_together():
        scenario = stored_scenario(out, overrides)
        checkpoint = found_checkpoint(out, scenario.model_dump(mode="json"))
    return run_from(checkpoint, scenario, out, False, watcher)


def carry_on(scenario: AnyScenario, out: str | Path, watcher: Watcher | None = None) -> Any:
    """Run a scenario, or go on with it, or do nothing if that has been done: for jobs.

    A run that was killed before its first checkpoint begins anew.

    Args:
        scenario: to run.
        out: its directory.
        watcher: is told how far it is.

    Returns:
        What `hpc.run.run` returns; None where the run is complete.

    Raises:
        BiosimError: as of `resume` and `hpc.run.run`; the directory holds another run.
    """
    out = Path(out)
    asked = scenario.model_dump(mode="json")
    checkpoint = None
    with failing_together():
        if (out / STORE / "zarr.json").is_file():
            attributes = _attributes(out)
            stored = attributes.get("scenario")
            if stored is not None and settled(stored) != settled(asked):
                raise OutputError(f"{out} holds a run of another scenario; choose another --out")
            by_first(take_part(), lambda: _check_over(out, attributes))
            if attributes.get("status") == "complete":
                return None
            if newest(out / FOLDER) is not None:
                checkpoint = found_checkpoint(out, asked)
        else:
            by_first(take_part(), lambda: check_free(out, True))
    return run_from(checkpoint, scenario, out, checkpoint is None, watcher)


def stored_scenario(out: Path, overrides: Sequence[str] = ()) -> AnyScenario:
    """Return the scenario of a run that can be resumed.

    Args:
        out: directory of the run.
        overrides: settings on which no result depends.

    Raises:
        OutputError: as of `resume`.
        ScenarioError: an override is none.
    """
    attributes = _attributes(out)
    if attributes.get("status") == "complete":
        raise AlreadyCompleteError(f"{out} is complete; there is nothing to go on with")
    by_first(take_part(), lambda: _check_over(out, attributes))
    for override in overrides:
        key = override.partition("=")[0]
        if key not in NEUTRAL and not key.startswith("checkpoint."):
            raise OutputError(
                f"got {override} to resume {out} with, which would change its result; expected "
                f"checkpoint.* or one of {', '.join(sorted(NEUTRAL))}"
            )
    return resolve_any(attributes["scenario"], overrides)


def _attributes(out: Path) -> dict[str, Any]:
    return {str(name): value for name, value in told_run(out).attrs.items()}


def _check_over(out: Path, attributes: dict[str, Any]) -> None:
    running = attributes.get("status") == "running"
    process = writer(out / STORE, attributes) if running else None
    if process is not None:
        raise OutputError(
            f"{out} is still being written by process {process['pid']} on {process['host']}; "
            "wait until it ends, or end it"
        )
