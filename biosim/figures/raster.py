"""Rasters: a dot for each spike, a row for each neuron, a band for each population."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.figure import Figure

from biosim.figures.selection import Selection, spikes_of, spiking, stretch
from biosim.figures.style import MM, colour, new_figure
from biosim.traces import spikes_between

MOST_DOTS = 30_000
"""More run into one another, and make a file that nobody can open."""
MANY_DOTS = 3_000
"""From so many on, dots are an image also in SVG and PDF."""
LEAST_HEIGHT = 0.09
"""Of the figure, of a population: its name needs room."""


def raster_figure(tree: xr.DataTree, selection: Selection) -> Figure:
    """Return a raster of the chosen populations.

    Of many neurons, ones at even distances are drawn, as many of each population as is its share;
    of many spikes, the last ones.

    Raises:
        AnalysisError: their spikes were not stored, or not of that stretch.
    """
    names = spiking(tree, selection)
    recorded = {name: _recorded(tree, name) for name in names}
    total = sum(map(len, recorded.values()))
    rows = {
        name: neurons[:: max(1, -(-len(neurons) // _share(len(neurons), total, selection)))]
        for name, neurons in recorded.items()
    }
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
        axes[number].set_ylim(-1, len(neurons))
        axes[number].invert_yaxis()
        of = "" if len(neurons) == len(recorded[name]) else f" of {len(recorded[name]):,}"
        axes[number].set_yticks([(len(neurons) - 1) / 2], [f"{name}\n{len(neurons):,}{of}"])
        axes[number].tick_params("y", length=0)
        last = number == len(names) - 1
        axes[number].spines["bottom"].set_visible(last)
        axes[number].tick_params("x", bottom=last)
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


def _share(size: int, total: int, selection: Selection) -> int:
    return max(1, round(selection.neurons * size / max(1, total)))
