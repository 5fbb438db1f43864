"""How alike the layers of a network represent the same samples."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from biosim.analysis import (
    linear_cka,
    population_dissimilarities,
    population_similarities,
    representational_similarity,
)
from biosim.figures.populations import chosen_activity
from biosim.figures.selection import Selection
from biosim.figures.style import DIVERGING, SEQUENTIAL, colour_bar, new_figure, panels

MOST_SAMPLES = 400


def cka_figure(tree: xr.DataTree, selection: Selection) -> Figure:
    """Return linear CKA between all pairs of layers.

    Raises:
        AnalysisError: the run stored the activity of fewer than two populations.
    """
    names = chosen_activity(tree, selection)
    found = population_similarities(tree, linear_cka, names)
    return _matrix(found, "linear CKA", 0.0, selection)


def rsa_figure(tree: xr.DataTree, selection: Selection) -> Figure:
    """Return the representational similarity of all pairs of layers, by rank correlation.

    Raises:
        AnalysisError: as `cka_figure`.
    """
    names = chosen_activity(tree, selection)
    found = population_similarities(tree, representational_similarity, names)
    low = -1.0 if float(found.min()) < 0 else 0.0
    return _matrix(found, "RSA (Spearman)", low, selection)


def dissimilarity_figure(tree: xr.DataTree, selection: Selection) -> Figure:
    """Return how much the patterns of samples differ in each layer, samples ordered by label.

    Raises:
        AnalysisError: the run stored no activity.
    """
    names = chosen_activity(tree, selection)
    found = population_dissimilarities(tree, MOST_SAMPLES, names)
    drawn, axes = panels(len(found), selection.width_mm, 55)
    known = np.concatenate([m.values[np.isfinite(m.values)] for m in found.values()])
    most = float(known.max()) if len(known) else 1.0
    for here, (name, matrix) in zip(axes, found.items(), strict=False):
        ordered = matrix["label"].values if "label" in matrix.coords else None
        image = here.imshow(matrix.values, cmap=SEQUENTIAL, vmin=0, vmax=most or 1.0)
        if ordered is None:
            here.set_xlabel("sample")
        else:
            begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
            middles = (begins + np.append(begins[1:], len(ordered))) / 2 - 0.5
            for set_ticks in (here.set_xticks, here.set_yticks):
                set_ticks(middles, [f"{ordered[at]:g}" for at in begins])
            here.tick_params(length=0)
            here.set_xlabel("sample, by label")
        here.set_title(name, loc="left")
        colour_bar(here, image, "1 − correlation")
    return drawn


def _matrix(found: xr.DataArray, label: str, low: float, selection: Selection) -> Figure:
    names = [str(name) for name in found.population.values]
    side_mm = min(selection.width_mm, 46 + 11 * len(names))
    drawn = new_figure(side_mm, side_mm - 14)
    axes = drawn.subplots()
    cmap = SEQUENTIAL if low == 0 else DIVERGING
    image = axes.imshow(found.values, cmap=cmap, vmin=low, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if len(names) <= 12:
        for (i, j), value in np.ndenumerate(found.values):
            text = "–" if np.isnan(value) else f"{value:.2f}"
            dark = value < 0.55 if low == 0 else abs(value) > 0.6
            ink = "white" if dark else "black"
            axes.text(j, i, text, ha="center", va="center", fontsize=6.5, color=ink)
    colour_bar(axes, image, label)
    return drawn
