"""Where results go: nothing is overwritten that was not asked for, or that is not ours."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from biosim.checkpoints.directory import FOLDER
from biosim.errors import OutputError
from biosim.runs import COMPARISON
from biosim.store import STORE

REPORT = "report.html"
OF_A_RUN = {STORE, FOLDER, "progress.json", ".progress.json", REPORT, f".{REPORT}"}
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
    listed: set[str] = set()
    if COMPARISON in entries:
        about = json.loads((directory / COMPARISON).read_text(encoding="utf-8"))
        paths = [directory / run["path"] for run in about["runs"]]
        listed = {path.parent.name for path in paths}
        below = [
            f"{name}/{inner.name}"
            for name in sorted(listed & entries)
            for inner in (directory / name).iterdir()
            if inner not in paths or strangers(inner)
        ]
        return below + sorted(entries - listed - OF_A_COMPARISON)
    return sorted(entries - OF_A_RUN)


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
