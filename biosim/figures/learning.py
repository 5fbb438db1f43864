"""Learning curves of a run of layers."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from biosim.errors import AnalysisError
from biosim.figures.selection import Selection
from biosim.figures.style import colour, new_figure, whole_ticks


def accuracy_figure(tree: xr.DataTree, selection: Selection) -> Figure:
    """Return accuracy over epochs, of each split, in the rule's own way of answering.

    Raises:
        AnalysisError: the run stored no accuracy, or not yet.
    """
    learning = tree.children.get("learning")
    if learning is None or "accuracy" not in learning.data_vars:
        raise AnalysisError("the run stored no accuracy over epochs; it is no run of layers")
    accuracy = learning.to_dataset(inherit=False).accuracy
    if "way" in accuracy.dims:
        accuracy = accuracy.isel(way=0)
    if not np.isfinite(accuracy.values).any():
        raise AnalysisError("the run has stored no accuracy yet; draw it later")
    drawn = new_figure(selection.width_mm, 60)
    axes = drawn.subplots()
    for number, split in enumerate(accuracy["split"].values):
        curve = 100 * accuracy.sel(split=split)
        axes.plot(curve["epoch"], curve, ".-", markersize=3, color=colour(number), label=str(split))
    whole_ticks(axes)
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy (%)")
    axes.set_ylim(0, 101)
    axes.legend(loc="lower right")
    return drawn
