"""Spikes and rates of a run over time, for its report: dots where they are few, else counts.

Why counts of neighbouring neurons beside the dots: the page must stay a few megabytes whatever the
run stored, and a choice of neurons and of a stretch hides what happens elsewhere. Spikes are read a
part at a time, and once for rates and counts.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from biosim.analysis import group_counts
from biosim.analysis.spikes import recorded_stretches, spike_trains
from biosim.traces import spikes_between
from hpc.plain import plain

MOST_DOTS = 20_000
"""Of more spikes, only some are dots; browsers are slow with more."""
RASTER_S = 0.5
"""Dots of some spikes show at most the last so many seconds."""
RASTER_NEURONS = 1000
"""Neurons of which some spikes are dots, shared out among populations by their size."""
BINS = 400
"""Of time, at most."""
BIN_MS = 5
"""Least width of a bin; wider ones have whole milliseconds too."""
GROUPS, LEAST_GROUPS = 200, 8
"""Of neurons: of all populations together, by their size; and of each, if it has as many."""
RATE_DIGITS, DIGITS = 9, 3
"""Of a rate over time, and of one in the map."""

Floats = npt.NDArray[np.float64]


def raster(tree: xr.DataTree) -> dict[str, Any]:
    """Return spikes and rates over time, as JSON takes them.

    Args:
        tree: of `biosim.open_run`.

    Returns:
        `populations`, for each: `name`, `size`; `recorded`, of how many neurons spikes were stored;
        `rate` over time in Hz, None where nothing was recorded; the dots `at_s` and `neuron`, the
        latter as its place among the recorded; and where `whole` is false `hz`, the rate of each
        `group` of neurons over time, neurons first. All are empty where no spikes were stored.
        `edge_s` has the edges of the bins, `bin_ms` their width; the last bin ends with the run,
        and is up to half a bin narrower or wider. `whole`: the dots are all spikes; else those in
        `raster_s`, of neurons at even distances if `thinned`. `most_hz`: where colours of the map
        should end.
    """
    said, stored = tree.attrs, tree.children.get("spikes")
    nodes = {} if stored is None else {str(k): node for k, node in stored.children.items()}
    ticks = min(
        said.get("committed_tick", said["ticks"]) if nodes else said["ticks"], said["ticks"]
    )
    end_s = max(ticks, 1) * said["dt_s"]
    least_ms = max(round(end_s * 1e3, 6) / BINS, round(said["dt_s"] * 1e3, 6))
    bin_ms = max(BIN_MS, math.ceil(least_ms))
    bins = math.ceil(round(end_s * 1e3 / bin_ms, 6))
    edges = np.append(np.arange(bins) * bin_ms * 1e-3, end_s)
    if bins > 1 and edges[-1] - edges[-2] < bin_ms * 0.5e-3:
        edges = np.delete(edges, -2)
    recorded = {
        name: len(spike_trains(node, None, 0.0, end_s, gaps=True).neurons)
        for name, node in nodes.items()
    }
    neurons = sum(recorded.values())
    whole = sum(node.sizes["spike"] for node in nodes.values()) <= MOST_DOTS
    every = {name: 1 for name, n in recorded.items() if n}
    if not whole and _late(tree, every, end_s) > MOST_DOTS:
        shown = {name: max(1, round(RASTER_NEURONS * recorded[name] / neurons)) for name in every}
        every = {name: math.ceil(recorded[name] / shown[name]) for name in every}
    begin_s = 0.0 if whole else _begin(tree, every, end_s)
    rows, most = [], [np.empty(0)]
    for name, size in said["populations"].items():
        row: dict[str, Any] = {"name": name, "size": size, "recorded": recorded.get(name, 0)}
        row |= {"rate": [], "at_s": [], "neuron": [], "hz": [], "group": 1}
        if name in every:
            groups = max(round(GROUPS * row["recorded"] / neurons), LEAST_GROUPS)
            width = math.ceil(row["recorded"] / groups)
            counts = group_counts(
                nodes[name],
                bin_ms * 1e-3,
                width,
                start_s=0.0,
                stop_s=bins * bin_ms * 1e-3,
                gaps=True,
            )
            begins = np.arange(len(edges) - 1)
            found = np.add.reduceat(counts.values, begins, axis=0).T
            recorded_s = _recorded(nodes[name], edges)
            seconds = np.where(recorded_s > 0, recorded_s, np.nan)
            row["rate"] = plain(found.sum(axis=0) / row["recorded"] / seconds, RATE_DIGITS)
            if not whole:
                of_group = np.diff([*range(0, row["recorded"], width), row["recorded"]])
                hz = found / of_group[:, None] / seconds
                most.append(hz[np.isfinite(hz)])
                row |= {"group": width, "hz": [plain(line, DIGITS) for line in hz]}
            row["at_s"], row["neuron"] = _dots(nodes[name], every[name], begin_s, end_s)
        rows.append(row)
    return {
        "populations": rows,
        "edge_s": np.round(edges, 9).tolist(),
        "bin_ms": bin_ms,
        "whole": whole,
        "thinned": any(step > 1 for step in every.values()),
        "raster_s": [begin_s, end_s],
        "most_hz": _most(np.concatenate(most)),
    }


def _begin(tree: xr.DataTree, every: dict[str, int], end_s: float) -> float:
    """Return from when on the dots of every so many neurons are few enough."""
    late_s, dots = min(RASTER_S, end_s), _late(tree, every, end_s)
    if dots > MOST_DOTS:
        late_s = max(1e-3, math.floor(1e3 * late_s * MOST_DOTS / dots) * 1e-3)
    return max(0.0, end_s - late_s)


def _late(tree: xr.DataTree, every: dict[str, int], end_s: float) -> float:
    """Return about how many of the last spikes are dots, of every so many neurons."""
    begin_s = max(0.0, end_s - RASTER_S)
    return sum(
        spikes_between(tree, name, begin_s, end_s).sizes["spike"] / step
        for name, step in every.items()
    )


def _dots(
    spikes: xr.DataTree, every: int, begin_s: float, end_s: float
) -> tuple[list[float], list[int]]:
    """Return when which neuron fired, of every so many; two lists (n,)."""
    at: list[float] = []
    who: list[int] = []
    for times, rows in spike_trains(spikes, None, begin_s, end_s, gaps=True).parts():
        some = rows % every == 0
        at += np.round(times[some], 6).tolist()
        who += rows[some].tolist()
    return at, who


def _recorded(spikes: xr.DataTree, edges: Floats) -> Floats:
    """Return the seconds of each bin in which spikes were recorded."""
    found = np.zeros(len(edges) - 1)
    for start, stop in recorded_stretches(dict(spikes.attrs)):  # type: ignore[arg-type]
        found += np.clip(np.minimum(stop, edges[1:]) - np.maximum(start, edges[:-1]), 0.0, None)
    return np.where(found > 1e-9, found, 0.0)


def _most(hz: Floats) -> float:
    """Return the rate that all but a few cells of the map stay below, above 0."""
    firing = hz[hz > 0]
    return float(f"{np.quantile(firing, 0.995):.2g}") if len(firing) else 1.0
