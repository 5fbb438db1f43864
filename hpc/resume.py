"""Going on with a run from its newest checkpoint, on any number of ranks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from biosim.checkpoints.directory import FOLDER, Checkpoint, newest
from biosim.contracts import Ranks
from biosim.errors import OutputError
from biosim.events import NEVER
from biosim.processes import BEAT_S, SILENT_S
from biosim.ranks import agreed_most
from biosim.store import STORE
from hpc.checkpointing import NEUTRAL, found_checkpoint, settled
from hpc.ending import check_not_written, said_by
from hpc.output import check_free
from hpc.progress import Watcher
from hpc.run import run_from
from hpc.stopping import asked as signals
from hpc.stored import told_run
from hpc.together import AlreadyCompleteError, by_first, failing_together, first, take_part
from scenarios.reading import AnyScenario, resolve_any

PATIENCE_S = SILENT_S + 2 * BEAT_S
"""After which a process on another machine that was killed is known to be gone."""


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
        _check_alike(checkpoint, take_part())
    return run_from(checkpoint, scenario, out, False, watcher)


def carry_on(scenario: AnyScenario, out: str | Path, watcher: Watcher | None = None) -> Any:
    """Run a scenario, or go on with it, or do nothing if that has been done: for jobs.

    A run that was killed before its first checkpoint begins anew. One that seems to be written
    is waited for, for a while: the job before this one may have been killed on another machine.

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
        # What there is, rank 0 says: another node may not see it yet, or see what there was.
        if _first_says(lambda: (out / STORE / "zarr.json").is_file()):
            stored = said_by(out).get("scenario")
            if stored is not None and settled(stored) != settled(asked):
                raise OutputError(f"{out} holds a run of another scenario; choose another --out")
            by_first(take_part(), lambda: _wait_until_over(out))
            if _first_says(lambda: said_by(out).get("status") == "complete"):
                return None
            if _first_says(lambda: newest(out / FOLDER) is not None):
                checkpoint = found_checkpoint(out, asked)
                _check_alike(checkpoint, take_part())
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
    for override in overrides:
        key = override.partition("=")[0]
        if key not in NEUTRAL and not key.startswith("checkpoint."):
            raise OutputError(
                f"got {override} to resume {out} with, which would change its result; expected "
                f"checkpoint.* or one of {', '.join(sorted(NEUTRAL))}"
            )
    if attributes.get("status") == "complete":
        raise AlreadyCompleteError(f"{out} is complete; there is nothing to go on with")
    by_first(take_part(), lambda: check_not_written(out))
    return resolve_any(attributes["scenario"], overrides)


def _attributes(out: Path) -> dict[str, Any]:
    return {str(name): value for name, value in told_run(out).attrs.items()}


def _first_says(answer: Callable[[], bool]) -> bool:
    return take_part().agree(first() and answer())


def _check_alike(checkpoint: Checkpoint, ranks: Ranks) -> None:
    """Check that all ranks see the same newest checkpoint.

    Raises:
        OutputError: they do not.
    """
    tick = checkpoint.tick
    if ranks.agree(agreed_most(ranks, tick, NEVER) != tick):
        raise OutputError(
            f"ranks do not see the same newest checkpoint in {checkpoint.path.parent}: it is on a "
            "disk that nodes do not share, or has just been written; wait a minute and run again"
        )


def _wait_until_over(out: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and not signals():
        try:
            check_not_written(out)
        except OutputError:
            time.sleep(min(1.0, PATIENCE_S))
        else:
            return
    check_not_written(out)
