"""Where results go: nothing is overwritten that was not asked for, or that is not ours."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Set
from pathlib import Path

from biosim.checkpoints.directory import FOLDER
from biosim.errors import OutputError
from biosim.runs import COMPARISON
from biosim.store import PROGRESS, STORE

REPORT = "report.html"
OF_A_RUN = {STORE, FOLDER, PROGRESS, f".{PROGRESS}", REPORT, f".{REPORT}"}
OF_A_COMPARISON = {COMPARISON, REPORT, f".{REPORT}"}


def check_free(out: Path, overwrite: bool) -> None:
    """Check that `out` can be made, without making it.

    Raises:
        OutputError: it exists and may not be overwritten, holds anything that biosim did not
            make, or its parent cannot be written.
    """
    try:
        _check_free(out, overwrite)
    except OSError as problem:
        raise _unwritable(out, problem) from None


def make(out: Path, overwrite: bool) -> None:
    """Make the directory `out`, empty.

    Raises:
        OutputError: as for `check_free`, which is asked again: another run may have come first.
    """
    check_free(out, overwrite)
    try:
        if out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True)
    except OSError as problem:
        raise _unwritable(out, problem) from None


def strangers(directory: Path) -> list[str]:
    """Return the names in a directory of results that biosim did not put there."""
    entries = {entry.name for entry in directory.iterdir()}
    if COMPARISON in entries:
        about = json.loads((directory / COMPARISON).read_text(encoding="utf-8"))
        runs = {directory / run["path"] for run in about["runs"]}
        return [str(path.relative_to(directory)) for path in _beside(directory, runs)]
    return sorted(entries - OF_A_RUN)


def _beside(comparison: Path, runs: Set[Path]) -> Iterator[Path]:
    """Yield what is in a comparison and is neither a run nor leads to one."""
    above = {parent for run in runs for parent in run.parents} | {comparison}
    looked = [comparison]
    while looked:
        here = looked.pop()
        for path in sorted(here.iterdir(), reverse=True):
            if path in runs:
                if strangers(path):
                    yield path
            elif path in above and path.is_dir():
                looked.append(path)
            elif here != comparison or path.name not in OF_A_COMPARISON:
                yield path


def _check_free(out: Path, overwrite: bool) -> None:
    if out.is_symlink():
        raise OutputError(f"{out} is a link; give --out the directory itself, or another one")
    if out.exists():
        if not out.is_dir():
            raise OutputError(f"{out} is a file; expected a directory to make")
        if any(out.iterdir()) and not overwrite:
            raise OutputError(f"{out} exists; choose another --out, or give --overwrite")
        foreign = strangers(out)
        if foreign:
            raise OutputError(
                f"{out} holds {foreign[0]!r}, which is no result of biosim; "
                "it is not overwritten: choose another --out, or move that away"
            )
    parent = out
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{parent} cannot be written; choose another --out")


def _unwritable(out: Path, problem: OSError) -> OutputError:
    return OutputError(f"{out} cannot be written ({problem.strerror}); choose another --out")
