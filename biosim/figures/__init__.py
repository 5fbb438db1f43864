"""Figures of stored runs: functions from a run to a matplotlib figure, ready to be printed.

Each takes the tree of `biosim.open_run` and a `Selection`, computes with `biosim.analysis`, and
returns a `matplotlib.figure.Figure`; no global state of pyplot is touched. `save` writes one.
"""

from collections.abc import Callable, Mapping

import xarray as xr
from matplotlib import rc_context
from matplotlib.figure import Figure

from biosim.errors import AnalysisError
from biosim.figures.intervals import interval_figure
from biosim.figures.learning import accuracy_figure
from biosim.figures.populations import activity_figure
from biosim.figures.raster import raster_figure
from biosim.figures.rates import rate_figure, spectrum_figure
from biosim.figures.representations import cka_figure, dissimilarity_figure, rsa_figure
from biosim.figures.saving import SUFFIXES, save
from biosim.figures.selection import Selection
from biosim.figures.style import STYLE
from biosim.figures.weights import rotation_figure, weight_figure

FIGURES: Mapping[str, Callable[[xr.DataTree, Selection], Figure]] = {
    "raster": raster_figure,
    "rates": rate_figure,
    "isi": interval_figure,
    "spectrum": spectrum_figure,
    "weights": weight_figure,
    "rotation": rotation_figure,
    "activity": activity_figure,
    "cka": cka_figure,
    "rsa": rsa_figure,
    "rdm": dissimilarity_figure,
    "accuracy": accuracy_figure,
}


def figure(tree: xr.DataTree, what: str, selection: Selection | None = None) -> Figure:
    """Return a figure of a run.

    Args:
        tree: of `biosim.open_run`.
        what: one of `FIGURES`.
        selection: of what; by default of all there is, or of a share that can be drawn.

    Raises:
        AnalysisError: there is no such figure, or the run stored nothing, or not yet, to draw.
    """
    if what not in FIGURES:
        raise AnalysisError(f"got the figure {what!r}; expected one of {', '.join(FIGURES)}")
    with rc_context(STYLE):
        return FIGURES[what](tree, selection or Selection())


__all__ = ["FIGURES", "SUFFIXES", "Selection", "figure", "save"]
