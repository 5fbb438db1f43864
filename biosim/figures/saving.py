"""A figure as a file: the same bytes each time that the same figure is drawn."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from biosim.errors import OutputError
from biosim.figures.style import STYLE

SUFFIXES: dict[str, dict[str, Any]] = {
    # What a format would say of when it was written is left out.
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}


def check_suffix(path: Path) -> None:
    """Raise an `OutputError` if the type of a file is not one that can be written."""
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(
            f"{path} ends with {path.suffix!r}; expected one of {', '.join(SUFFIXES)}"
        )


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, SVG or PDF, by the end of its name, and return its path.

    The folder must be there. A file of that name is replaced, in one step.

    Raises:
        OutputError: the type is not known, or the file cannot be written.
    """
    path = Path(path)
    check_suffix(path)
    beside = path.with_name(f".{path.name}")
    try:
        with rc_context(STYLE):
            figure.savefig(
                beside,
                format=path.suffix.lower()[1:],
                metadata=SUFFIXES[path.suffix.lower()],
            )
        os.replace(beside, path)
    except OSError as problem:
        beside.unlink(missing_ok=True)
        raise OutputError(
            f"{path} cannot be written ({problem.strerror or problem}); choose another file"
        ) from None
    return path
