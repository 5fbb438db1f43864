"""Where results go: nothing is overwritten that was not asked for, or that is not ours."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from biosim.errors import OutputError
from biosim.store import STORE

COMPARISON = "comparison.json"
OURS = (STORE, COMPARISON)


def check_free(out: Path, overwrite: bool) -> None:
    """Check that `out` can be made, without making it.

    Raises:
        OutputError: it exists and may not be overwritten, is not a directory of results, or
            its parent cannot be written.
    """
    if out.exists():
        if not out.is_dir():
            raise OutputError(f"{out} is a file; expected a directory to make")
        entries = [entry.name for entry in out.iterdir()]
        if entries and not overwrite:
            raise OutputError(f"{out} exists; choose another --out, or give --overwrite")
        if entries and not any(name in OURS for name in entries):
            raise OutputError(
                f"{out} holds no results of biosim, only {sorted(entries)[0]!r} and the like; "
                "it is not overwritten: choose another --out"
            )
    parent = out
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{parent} cannot be written; choose another --out")


def make(out: Path) -> None:
    """Make the directory `out`, empty; what `check_free` allowed to overwrite is removed.

    Raises:
        OutputError: the file system refuses.
    """
    try:
        if out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True)
    except OSError as problem:
        raise OutputError(
            f"{out} cannot be written ({problem.strerror}); choose another --out"
        ) from None
