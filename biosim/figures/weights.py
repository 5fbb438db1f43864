"""Weights over time: how they are distributed, and how far they turned from their start."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from biosim.analysis import layer_rotation, weight_distribution
from biosim.analysis.stored import stored_weights
from biosim.errors import AnalysisError
from biosim.figures.selection import Selection, chosen
from biosim.figures.style import (
    COLOURS,
    SEQUENTIAL,
    colour,
    colour_bar,
    new_figure,
    panels,
    plain_logs,
    prefixed,
    unit_label,
    whole_ticks,
)

FEW_SNAPSHOTS = 3
"""So many are drawn as lines, more as a map."""
MOST_SNAPSHOTS = 200


def chosen_weights(tree: xr.DataTree, selection: Selection) -> dict[str, xr.DataArray]:
    """Return the snapshots of weights that are there, by projection, read lazily.

    Raises:
        AnalysisError: the run stored none, or not of what is chosen.
    """
    found = stored_weights(tree)
    names = chosen(
        list(found),
        selection,
        "snapshots of weights",
        "run it again with record.weights=every, or for spiking networks with a list of records",
    )
    return {name: found[name] for name in names}


def when(weights: xr.DataArray) -> tuple[npt.NDArray[Any], str]:
    """Return when snapshots were taken, (n,), and what that is called."""
    if "time" in weights.coords:
        return weights["time"].values, "time (s)"
    return weights["snapshot"].values, "epoch"


def weight_figure(tree: xr.DataTree, selection: Selection) -> Figure:
    """Return the distribution of weights: of few snapshots as lines, of many as a map over time.

    On a map, the line is the mean and the dotted ones are a standard deviation off it.

    Raises:
        AnalysisError: the run stored no weights, or not of what is chosen.
    """
    found = chosen_weights(tree, selection)
    drawn, axes = panels(len(found), selection.width_mm, 50)
    for here, (name, stored) in zip(axes, found.items(), strict=False):
        count = stored.sizes["snapshot"]
        at = np.unique(np.linspace(0, count - 1, MOST_SNAPSHOTS).round().astype(int))
        weights = stored.isel(snapshot=at)
        distribution = weight_distribution(weights)
        edges = distribution.edge.values
        if not np.isfinite(distribution["mean"].values).all():
            raise AnalysisError(
                f"weights of {name} are not finite at some snapshot; the run diverged: "
                "draw others with a choice of projections"
            )
        counts = distribution["count"].values
        share = 100 * counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        factor, unit = prefixed(edges, str(weights.attrs.get("units", "1")))
        draw = _lines if len(at) <= FEW_SNAPSHOTS else _map
        draw(here, weights, share, edges * factor, distribution[["mean", "std"]] * factor, unit)
        here.set_title(name, loc="left")
    legends = [here.get_legend_handles_labels() for here in axes]
    same = all(labels == legends[0][1] for _, labels in legends)
    if same and legends[0][1]:
        drawn.legend(*legends[0], loc="outside upper left", ncols=FEW_SNAPSHOTS)
    else:
        for here, (handles, labels) in zip(axes, legends, strict=True):
            if labels:
                here.legend(handles, labels)
    return drawn


def rotation_figure(tree: xr.DataTree, selection: Selection) -> Figure:
    """Return how far the weights of each projection have turned from their first snapshot.

    Raises:
        AnalysisError: there are fewer than two snapshots.
    """
    found = {
        name: weights
        for name, weights in chosen_weights(tree, selection).items()
        if weights.sizes["snapshot"] > 1
    }
    if not found:
        raise AnalysisError(
            "the run stored one snapshot of weights and no second one to compare; "
            "run it again with weights recorded at several times"
        )
    columns = -(-len(found) // len(COLOURS))
    drawn = new_figure(selection.width_mm, 60)
    axes = drawn.subplots()
    label = ""
    for number, (name, weights) in enumerate(found.items()):
        at, label = when(weights)
        rotation = layer_rotation(weights)
        line = (".-", ".--", ".:")[number // len(COLOURS) % 3]
        axes.plot(at, rotation, line, markersize=3, color=colour(number), label=name)
    if label == "epoch":
        whole_ticks(axes)
    axes.set_xlabel(label)
    axes.set_ylabel("1 − cosine to the start")
    axes.set_ylim(bottom=0)
    if len(found) > 1:
        drawn.legend(loc="outside right upper", ncols=columns, columnspacing=1.0)
    else:
        axes.set_title(next(iter(found)), loc="left")
    return drawn


def _lines(
    axes: Axes, weights: xr.DataArray, share: Any, edges: Any, statistics: xr.Dataset, unit: str
) -> None:
    at, label = when(weights)
    for k, counts in enumerate(share):
        where = f"epoch {at[k]:g}" if label == "epoch" else f"{at[k]:.4g} s"
        last = k == len(share) - 1
        axes.stairs(
            counts,
            edges,
            color="#0072B2" if last else ("#999999", "#56B4E9")[min(k, 1)],
            baseline=None,
            label=where,
        )
    axes.set_xlabel(unit_label("weight", unit))
    axes.set_ylabel("weights (%)")
    axes.set_ylim(bottom=0)


def _map(
    axes: Axes, weights: xr.DataArray, share: Any, edges: Any, statistics: xr.Dataset, unit: str
) -> None:
    at, label = when(weights)
    middles = (at[1:] + at[:-1]) / 2
    sides = [at[0] - (middles[0] - at[0]), *middles, at[-1] + (at[-1] - middles[-1])]
    shown = np.where(share > 0, share, np.nan).T
    least = float(np.nanmin(shown))
    image = axes.pcolormesh(
        sides,
        edges,
        shown,
        cmap=SEQUENTIAL,
        norm=LogNorm(least, max(float(np.nanmax(shown)), least * 1.01)),
        rasterized=True,
    )
    mean, std = statistics["mean"].values, statistics["std"].values
    axes.plot(at, mean, color="#D55E00")
    for line in (mean - std, mean + std):
        axes.plot(at, line, ":", color="#D55E00", linewidth=0.8)
    axes.set_xlim(sides[0], sides[-1])
    axes.set_ylim(edges[0], edges[-1])
    if label == "epoch":
        whole_ticks(axes)
    axes.set_xlabel(label)
    axes.set_ylabel(unit_label("weight", unit))
    plain_logs(colour_bar(axes, image, "weights (%)").ax.yaxis)
