"""Rasters: a dot for each spike, a row for each neuron, a band for each population."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.figure import Figure

from biosim.analysis.spikes import Stretches, recorded_stretches
from biosim.figures.selection import Selection, spikes_of, spiking, stretch
from biosim.figures.style import MM, colour, new_figure
from biosim.traces import spikes_between

MOST_DOTS = 30_000
"""More run into one another, and make a file that nobody can open."""
MANY_DOTS = 3_000
"""From so many on, dots are an image also in SVG and PDF."""
LEAST_NEURONS = 10
"""Of a population beside larger ones, if so many were recorded."""
GREY = "0.92"
LEAST_HEIGHT = 0.09
"""Of the figure, of a population: its name needs room."""


def raster_figure(tree: xr.DataTree, selection: Selection) -> Figure:
    """Return a raster of the chosen populations.

    Of many neurons, ones at even distances are drawn, as many of each population as is its share,
    and ten or so of a small one; of many spikes, the last ones, which the title says. Times in
    which a population was not recorded are grey.

    Raises:
        AnalysisError: their spikes were not stored, or not of that stretch.
    """
    names = spiking(tree, selection)
    recorded = {name: _recorded(tree, name) for name in names}
    total = sum(map(len, recorded.values()))
    least = min(LEAST_NEURONS, max(1, selection.neurons // len(names)))
    rows = {}
    for name, neurons in recorded.items():
        share = max(least, round(selection.neurons * len(neurons) / max(1, total)))
        count = min(len(neurons), share)
        rows[name] = neurons[np.arange(count) * len(neurons) // max(1, count)]
    shown = sum(map(len, rows.values()))
    start_s, stop_s = stretch(tree, names, selection, MOST_DOTS, shown / max(1, total))
    weights = [max(len(neurons) / max(1, shown), LEAST_HEIGHT) for neurons in rows.values()]
    height_mm = float(np.clip(16 + shown * 0.7, 24, 120))
    drawn = new_figure(selection.width_mm, max(height_mm, 14 + 9 * len(names)))
    axes = drawn.subplots(len(names), 1, sharex=True, squeeze=False, height_ratios=weights)[:, 0]
    for number, (name, neurons) in enumerate(rows.items()):
        spikes = spikes_between(tree, name, start_s, stop_s)
        who = spikes.neuron.values.astype(np.int64)
        row = np.searchsorted(neurons, who)
        row[row == len(neurons)] = 0
        dots = neurons[row] == who if len(neurons) else np.zeros(len(who), bool)
        of_height = weights[number] / sum(weights)
        points = 0.8 * drawn.get_figheight() * 72 * of_height / max(1, len(neurons))
        few = points > 3
        axes[number].plot(
            spikes.time.values[dots],
            row[dots],
            "|" if few else ".",
            color=colour(number),
            markersize=min(0.8 * points, 20) if few else 1.7,
            markeredgewidth=0.7 if few else 0,
            rasterized=bool(dots.sum() > MANY_DOTS),
        )
        for begin, end in _gaps(_stretches(tree, name), start_s, stop_s):
            axes[number].axvspan(begin, end, color=GREY, linewidth=0, zorder=0)
        axes[number].set_ylim(-1, len(neurons))
        axes[number].invert_yaxis()
        of = "" if len(neurons) == len(recorded[name]) else f" of {len(recorded[name]):,}"
        axes[number].set_yticks([(len(neurons) - 1) / 2], [f"{name}\n{len(neurons):,}{of}"])
        axes[number].tick_params("y", length=0)
        last = number == len(names) - 1
        axes[number].spines["bottom"].set_visible(last)
        axes[number].tick_params("x", bottom=last)
    axes[0].set_title(_said(tree, names, selection, start_s, stop_s), loc="left", fontsize=7)
    axes[-1].set_xlim(start_s, stop_s)
    axes[-1].set_xlabel("time (s)")
    drawn.supylabel("neurons", fontsize=8)
    drawn.set_layout_engine("constrained", hspace=0.02, h_pad=0.5 * MM)
    return drawn


def _recorded(tree: xr.DataTree, name: str) -> npt.NDArray[np.int64]:
    spikes = spikes_of(tree, name).to_dataset(inherit=False)
    if "recorded" in spikes:
        return np.asarray(spikes.recorded.values, np.int64)
    return np.arange(spikes.attrs["size"], dtype=np.int64)


def _said(
    tree: xr.DataTree, names: list[str], selection: Selection, start_s: float, stop_s: float
) -> str:
    """Return what has to be known of a raster that does not show all that was recorded."""
    known = {name: _stretches(tree, name) for name in names}
    first_s = min(stretches[0][0] for stretches in known.values())
    last_s = max(stretches[-1][1] for stretches in known.values())
    said = []
    later = selection.start_s is None and start_s > first_s * (1 + 1e-9)
    earlier = selection.stop_s is None and stop_s < last_s * (1 - 1e-9)
    if later or earlier:
        said.append(
            f"{start_s:g} to {stop_s:g} s, of {first_s:g} to {last_s:g} s in which spikes were "
            "recorded"
        )
    if any(_gaps(stretches, start_s, stop_s) for stretches in known.values()):
        said.append("grey: not recorded")
    return "; ".join(said)


def _stretches(tree: xr.DataTree, name: str) -> Stretches:
    attributes: Mapping[Any, Any] = spikes_of(tree, name).attrs
    return recorded_stretches(attributes)


def _gaps(recorded_s: Stretches, start_s: float, stop_s: float) -> list[tuple[float, float]]:
    """Return the parts of a stretch, in seconds, that are in none of those that were recorded."""
    edges = [start_s, *(edge for stretch in recorded_s for edge in stretch), stop_s]
    parts = [
        (max(a, start_s), min(b, stop_s)) for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]
    return [(a, b) for a, b in parts if b - a > 1e-9 * stop_s]
