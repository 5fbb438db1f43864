"""How the store of a run is closed: by the run at its end, or after it was killed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer
import zarr

from biosim.errors import OutputError
from biosim.processes import lives, showing_life, this_process
from biosim.spiking.merged import OWNERS
from biosim.store import PROGRESS, STORE, RunStore, sign_of, write_progress
from biosim.traces import store_of
from hpc.provenance import now


def ended(path: Path, store: RunStore, said: Mapping[str, Any]) -> int | None:
    """Merge what was stored and say how the run ended.

    Args:
        path: the run's `run.zarr`.
        store: the same, open.
        said: attributes; `status` is how it ended.

    Returns:
        The tick before which everything is stored; None where it failed and cannot be merged
        either, as on a full disk: what it failed of is said by others.

    Raises:
        OutputError: the run went well, and what it stored cannot be merged.
    """
    from biosim.spiking.finalising import finalise  # its compiler takes seconds

    try:
        tick = finalise(path)
        store.finish(said)
        return tick
    except OutputError as problem:
        went_well = said["status"] == "complete"
        if went_well:
            said = {"status": "failed", "error": str(problem)}
        with suppress(OutputError):  # the logs stay readable all the same
            store.describe(said)
        with suppress(OutputError):
            _tell(path.parent, said["status"], None)
        if went_well:
            raise
        return None


def repair(run: Annotated[Path, typer.Argument(help="directory of a run")]) -> None:
    """Finish what a run that was killed has left: merge its logs, say how far it came.

    Example: biosim traces repair runs/first
    """
    typer.echo(repaired(run))


def repaired(run: Path) -> str:
    """Merge what a killed run stored, and say so in its store; return what was done as text.

    It may be done again, also where it was killed itself.

    Raises:
        OutputError: there is no run, it is still being written, is damaged or cannot be written.
    """
    from biosim.spiking.finalising import finalise

    path = store_of(run)
    root = zarr.open_group(str(path), mode="r")
    status = str(root.attrs.get("status", "running"))
    logs = (path / OWNERS).exists()
    if status != "running" and not logs:
        return f"{run} needs no repair: its status is {status}"
    if status == "running":
        _check_over(run, path, root.attrs)
    said: dict[str, Any] = {"finished": now()}
    if status == "running":
        status = "failed"
        said |= {"status": status, "error": "it was killed; biosim traces repair finished it"}
    with _alone(path, root.attrs.get("process")):
        # A write that was killed leaves what it had before it was given its name.
        for left in path.rglob("*.partial"):
            left.unlink()
        tick = finalise(path)
        RunStore(path).finish(said)
    if path.name == STORE:
        _tell(path.parent, status, tick if logs else None)
    stored = f"everything before tick {tick:,} is stored" if logs else "nothing was left to merge"
    return f"{run} is repaired: {stored}"


@contextmanager
def _alone(path: Path, before: object) -> Iterator[None]:
    """Say in a store that this process writes it: another repair meanwhile is refused.

    Args:
        path: the run's `run.zarr`.
        before: what is said there, and again where this fails, so that it may be done again.
    """
    store = RunStore(path)
    store.describe({"process": this_process()})
    try:
        with showing_life(sign_of(path)):
            yield
    except BaseException:
        with suppress(OutputError):
            store.describe({"process": before})
        raise


def said_by(out: Path) -> dict[str, Any]:
    """Return what the root of a run's store says, and nothing of what is in it is opened.

    Args:
        out: directory of the run.

    Raises:
        OutputError: it cannot be read.
    """
    path = sign_of(out / STORE)
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["attributes"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise OutputError(
            f"{path} cannot be read ({problem}): it is damaged; move {out} away, and run again"
        ) from None


def check_not_written(out: Path) -> None:
    """Check that no process writes a run.

    Args:
        out: directory of the run.

    Raises:
        OutputError: one does.
    """
    said = said_by(out)
    if said.get("status") == "running":
        _check_over(out, out / STORE, said)


def _check_over(run: Path, path: Path, attributes: Mapping[Any, Any]) -> None:
    """Check that nobody writes a run any more."""
    process = writer(path, attributes)
    if process is not None:
        raise OutputError(
            f"{run} is still being written by process {process['pid']} on {process['host']}; "
            "wait until it ends, or end it"
        )


def writer(path: Path, attributes: Mapping[Any, Any]) -> Mapping[str, Any] | None:
    """Return a process that still writes a run; None if there is none.

    Args:
        path: the run's `run.zarr`.
        attributes: of its root.
    """
    living = (process for process, sign in _writers(path, attributes) if lives(process, sign))
    return next(living, None)


def _writers(path: Path, attributes: Mapping[Any, Any]) -> Iterator[tuple[Mapping[str, Any], Path]]:
    """Yield the processes that write a run, and the file that each touches while it lives."""
    if attributes.get("process"):
        yield attributes["process"], path.parent / PROGRESS
        yield attributes["process"], sign_of(path)
    for described in (path / OWNERS).glob("*/zarr.json"):
        owner = json.loads(described.read_text(encoding="utf-8"))["attributes"]
        if "process" in owner:
            yield owner["process"], described


def _tell(directory: Path, status: str, tick: int | None) -> None:
    """Bring `progress.json` up to date, if there is one that can be read."""
    with suppress(OSError, ValueError):
        said = json.loads((directory / PROGRESS).read_text(encoding="utf-8"))
        said |= {"status": status, "seconds_left": None, "updated": now()}
        if tick is not None:
            said |= {"tick": tick, "percent": round(100 * tick / said["ticks"], 1)}
        write_progress(directory, said)
