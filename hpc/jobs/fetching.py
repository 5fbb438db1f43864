"""From the runs of a submission to one comparison, in the layout of `biosim compare`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from biosim.checkpoints.directory import FOLDER
from biosim.errors import OutputError
from biosim.runs import COMPARISON
from biosim.store import STORE, writing
from hpc.jobs.progress import is_written
from hpc.jobs.status import COMPLETE, EntryStatus, SubmissionStatus, status
from hpc.output import OF_A_RUN, check_free, make

RUNS = "runs"


@dataclass(frozen=True)
class Fetched:
    """A comparison that was made of a submission.

    Args:
        directory: where it is.
        complete: how many runs are.
        incomplete: a line for each other one.
    """

    directory: Path
    complete: int
    incomplete: tuple[str, ...]


def fetch(out: Path, to: Path | None = None, overwrite: bool = False) -> Fetched:
    """Gather the runs of a submission into one comparison.

    Runs that are not complete are listed as missing where the runs are copied, and with what they
    have stored where they stay.

    Args:
        out: directory of the submission.
        to: directory to copy the runs into, without their checkpoints; if left out they stay, and
            the comparison is the directory that holds them.
        overwrite: replace a comparison that is in `to`.

    Raises:
        OutputError: there is no submission, no run of it has stored anything, or the comparison
            cannot be written.
    """
    found = status(out)
    # One that is still written is no copy of anything once it is copied.
    kept = [
        each
        for each in found.entries
        if (run := out / each.entry.path).joinpath(STORE).is_dir()
        and (each.state == COMPLETE or not (to is not None and _written(each, run)))
    ]
    if not kept:
        raise OutputError(
            f"no run of {out} has stored anything; see biosim status {out} for what became of them"
        )
    where = out / RUNS if to is None else to
    if to is not None:
        if to.resolve().is_relative_to(out.resolve()):
            raise OutputError(f"{to} is inside {out}; choose another --out, or leave it out")
        check_free(to, overwrite)
        make(to, overwrite)
        for each in kept:
            _copy(out / each.entry.path, to / _below_runs(each))
    _list(where, found)
    incomplete = tuple(_line(each) for each in found.entries if each.state != COMPLETE)
    return Fetched(where, len(found.entries) - len(incomplete), incomplete)


def _written(each: EntryStatus, run: Path) -> bool:
    return each.open or is_written(run)


def _below_runs(each: EntryStatus) -> str:
    """Return the directory of a run relative to that of all."""
    return str(PurePosixPath(each.entry.path).relative_to(RUNS))


def _copy(run: Path, to: Path) -> None:
    def left(directory: str, names: Sequence[str]) -> list[str]:
        kept = OF_A_RUN - {FOLDER}
        return [name for name in names if Path(directory) == run and name not in kept]

    with writing(to):
        shutil.copytree(run, to, ignore=left)


def _list(where: Path, found: SubmissionStatus) -> None:
    listed = [
        {
            "rule": each.entry.rule,
            "seed": each.entry.seed or 0,
            "path": _below_runs(each),
        }
        for each in found.entries
    ]
    about: dict[str, Any] = {"scenario": found.submission.scenario, "runs": listed}
    path, beside = where / COMPARISON, where / f".{COMPARISON}"
    with writing(path):
        beside.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        os.replace(beside, path)


def _line(each: EntryStatus) -> str:
    why = f": {each.why}" if each.why else ""
    return f"{each.entry.name}: {each.state}{why}"
