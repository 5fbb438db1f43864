"""`biosim traces plot`: a figure of a stored run in a file."""

from __future__ import annotations

from pathlib import Path

from biosim.errors import OutputError
from biosim.figures import Selection, figure, save
from biosim.figures.saving import check_suffix
from biosim.traces import open_run


def draw(
    run: Path,
    what: str,
    out: Path,
    of: tuple[str, ...] = (),
    start_s: float | None = None,
    stop_s: float | None = None,
    neurons: int = 400,
    width_mm: float = 180.0,
    overwrite: bool = False,
) -> Path:
    """Write a figure of a run, and return its path.

    Args:
        run: its directory.
        what: one of `biosim.figures.FIGURES`.
        out: file to write, ending in .png, .svg or .pdf.
        of: populations or projections; all if empty.
        start_s: begin of the stretch.
        stop_s: its end.
        neurons: of a raster, at most.
        width_mm: of the figure.
        overwrite: replace the file if it is there.

    Raises:
        BiosimError: there is no run, no such figure or nothing to draw, or the file may not or
            cannot be written.
    """
    check_suffix(out)
    if (out.exists() or out.is_symlink()) and not overwrite:
        raise OutputError(f"{out} exists; choose another --out, or give --overwrite")
    selection = Selection(of, start_s, stop_s, neurons, width_mm)
    return save(figure(open_run(run), what, selection), out)
