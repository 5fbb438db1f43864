"""Inter-spike intervals and how regular neurons fire."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.figure import Figure

from biosim.analysis import interval_histogram, interval_statistics
from biosim.errors import AnalysisError
from biosim.figures.selection import Selection, spikes_of, spiking, stretch
from biosim.figures.style import colour, new_figure, plain_logs

MOST_SPIKES = 20_000_000
PER_DECADE = 12
CV_WIDTH = 0.05


def interval_figure(tree: xr.DataTree, selection: Selection) -> Figure:
    """Return how intervals are distributed, and the coefficients of variation of the neurons.

    Raises:
        AnalysisError: spikes were not stored, or no neuron fired twice.
    """
    names = spiking(tree, selection)
    start_s, stop_s = stretch(tree, names, selection, MOST_SPIKES)
    drawn = new_figure(selection.width_mm, 60)
    left, right = drawn.subplots(1, 2)
    some = False
    for number, name in enumerate(names):
        spikes = spikes_of(tree, name)
        edges = _edges(spikes.attrs["dt_s"], stop_s - start_s)
        found = interval_histogram(spikes, edges, start_s=start_s, stop_s=stop_s)
        counts, total = found.values, int(found.sum())
        if not total:
            continue
        some = True
        per_decade = 100 * counts / total / np.diff(np.log10(edges))
        label = f"{name} (n = {total:,})"
        there = np.flatnonzero(counts)
        seen = slice(max(0, there[0] - 1), there[-1] + 2)
        shown_ms = 1e3 * edges[seen.start : seen.stop + 1]
        left.stairs(per_decade[seen], shown_ms, color=colour(number), label=label, baseline=None)
        cv = interval_statistics(spikes, start_s=start_s, stop_s=stop_s).cv.values
        cv = cv[np.isfinite(cv)]
        if not len(cv):
            continue
        bins = np.arange(0, max(1.5, float(cv.max())) + 2 * CV_WIDTH, CV_WIDTH)
        share = 100 * np.histogram(cv, bins)[0] / len(cv)
        of = f"{name}: mean {cv.mean():.2f} (n = {len(cv):,})"
        right.stairs(share, bins, color=colour(number), label=of, baseline=None)
    if not some:
        raise AnalysisError(
            f"no neuron of {', '.join(names)} fired twice from {start_s:g} s to {stop_s:g} s; "
            "there is no interval to draw"
        )
    left.set_xscale("log")
    plain_logs(left.xaxis)
    left.set_xlabel("inter-spike interval (ms)")
    left.set_ylabel("intervals (% per decade)")
    left.set_ylim(bottom=0)
    right.set_xlabel("CV of a neuron's intervals")
    right.set_ylabel("neurons (%)")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    return drawn


def _edges(dt_s: float, longest_s: float) -> npt.NDArray[np.float64]:
    """Return edges in seconds, even on a logarithmic axis, between ticks and never within one."""
    decades = np.log10(max(2.0, longest_s / dt_s))
    ticks = np.unique(np.round(np.logspace(0, decades, int(PER_DECADE * decades) + 2)))
    return np.asarray((ticks - 0.5) * dt_s, np.float64)
