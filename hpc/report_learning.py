"""What a spiking run has learnt, for its report and its table: weights, windows, tasks.

Read from the store only, like everything in a report; see `hpc.report` for why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

WEIGHT_BINS = 40
RUNNING_TRIALS = 20
"""Over which the share of right choices is a mean."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """Points, a line or bars.

    Args:
        name: for the legend.
        x: (n,).
        y: (n,).
        kind: how they are drawn.
    """

    name: str
    x: list[float]
    y: list[float]
    kind: str = "lines"


@dataclass(frozen=True)
class Plot:
    """One figure.

    Args:
        title: its heading.
        text: what it shows.
        x: title of the axis.
        y: title of the axis.
        traces: what is drawn; at least one.
    """

    title: str
    text: str
    x: str
    y: str
    traces: list[Trace]


def plots(tree: xr.DataTree) -> list[Plot]:
    """Return the figures of what a run has learnt; none where it stored nothing of the kind."""
    task = {"hidden_pattern": _pattern, "reward_choice": _choices}.get(tree.attrs.get("task", ""))
    found = [] if task is None else task(tree.children["learning"].to_dataset(inherit=False))
    found += [_window(name, *pairs) for name, pairs in windows(tree).items()]
    found += [plot for name in _learning(tree) if (plot := _weights(tree, name)) is not None]
    return [plot for plot in found if any(trace.x for trace in plot.traces)]


def windows(tree: xr.DataTree) -> dict[str, tuple[Floats, Floats]]:
    """Return what single pairs of spikes have done: of projections where nothing else happened.

    That is where both neurons of each synapse fired once.

    Returns:
        projection -> (differences in ms, after minus before, increasing; changes of the weight).
    """
    found = {}
    projections = tree.attrs["scenario"].get("projections", {})
    for name in _learning(tree):
        ends = projections.get(name, {})
        times = [_single(tree, str(ends.get(end))) for end in ("source", "target")]
        stored = tree["weights"].children[name].to_dataset(inherit=False)
        if times[0] is None or times[1] is None or stored.sizes["snapshot"] < 2:
            continue
        difference = 1e3 * (times[1][stored.target.values] - times[0][stored.source.values])
        change = stored.w.values[-1].astype(np.float64) - stored.w.values[0]
        order = np.argsort(difference, kind="stable")
        found[name] = np.round(difference[order], 6), change[order]
    return found


def window_lines(tree: xr.DataTree) -> list[str]:
    """Return the windows as a table for a terminal; nothing where there are none."""
    lines = []
    for name, (difference, change) in windows(tree).items():
        unit = tree["weights"].children[name].to_dataset(inherit=False).w.attrs["units"]
        column = "change of w" + ("" if unit == "1" else f", {unit}")
        lines += ["", f"{name}: {'after - before, ms':>20}{column:>20}"]
        wide = len(name) + 1
        for ms, w in zip(difference, change, strict=True):
            lines.append(f"{'':{wide}} {ms:>20.6g}{w:>+20.4g}")
    return lines


def _learning(tree: xr.DataTree) -> list[str]:
    """Return the projections of which snapshots of a weight were stored."""
    weights = tree.children.get("weights")
    names = weights.children if weights is not None else {}
    return [str(name) for name in names if "w" in names[name].data_vars]


def _single(tree: xr.DataTree, population: str) -> Floats | None:
    """Return when each neuron fired in seconds, (size,); None if not every one did once."""
    spikes = tree.children.get("spikes")
    if spikes is None or population not in spikes.children:
        return None
    stored = spikes.children[population].to_dataset(inherit=False)
    size = stored.attrs["size"]
    if stored.sizes["spike"] != size:
        return None
    who = stored.neuron.values.astype(np.int64)
    times = np.full(size, np.nan)
    times[who] = stored.time.values
    return None if np.isnan(times).any() else times


def _window(name: str, difference: Floats, change: Floats) -> Plot:
    return Plot(
        f"Window of {name}",
        "What one pair of spikes did to each synapse. Left of zero the post-synaptic neuron fired "
        "before the pre-synaptic one.",
        "post-synaptic spike after the pre-synaptic one, ms",
        "change of the weight",
        [Trace(name, difference.tolist(), change.tolist(), "lines+markers")],
    )


def _weights(tree: xr.DataTree, name: str) -> Plot | None:
    """Return how the weights of a projection were spread at the first and the last snapshot."""
    stored = tree["weights"].children[name].to_dataset(inherit=False)
    if stored.sizes["snapshot"] < 2:
        return None
    weight = [stored.w.isel(snapshot=k).values.astype(np.float64) for k in (0, -1)]
    at_s = [float(stored.time.values[k]) for k in (0, -1)]
    # Of a run that diverged some are not finite.
    low = min(float(w.min(where=np.isfinite(w), initial=np.inf)) for w in weight)
    high = max(float(w.max(where=np.isfinite(w), initial=-np.inf)) for w in weight)
    if low > high:
        return None
    room = 0.5 * (abs(low) or 1.0) if low == high else 0.0
    edges = np.linspace(low - room, high + room, WEIGHT_BINS + 1)
    parts = {f"at {at_s[0]:.4g} s": weight[0]}
    involved = tree.attrs["scenario"].get("task", {}).get("involved")
    if involved is None:
        parts[f"at {at_s[1]:.4g} s"] = weight[1]
    else:
        within = stored.source.values < involved
        parts[f"at {at_s[1]:.4g} s, of the pattern"] = weight[1][within]
        parts[f"at {at_s[1]:.4g} s, others"] = weight[1][~within]
    middle = ((edges[1:] + edges[:-1]) / 2).tolist()
    unit = stored.w.attrs["units"]
    return Plot(
        f"Weights of {name}",
        f"How many of the {stored.sizes['synapse']:,} synapses have which weight.",
        "weight" + ("" if unit == "1" else f", {unit}"),
        "synapses",
        [
            Trace(which, middle, np.histogram(w, edges)[0].tolist(), "bars")
            for which, w in parts.items()
        ],
    )


def _pattern(stored: xr.Dataset) -> list[Plot]:
    columns = ("end", "hits", "false_alarms", "mean_latency", "start", "latency")
    end, hits, alarms, mean, start, latency = (stored[name].values for name in columns)
    return [
        Plot(
            "Hits",
            "Share of presentations of the pattern in which the neuron fired, part by part.",
            "time, s",
            "hits, %",
            [_line("hits", end, 100 * hits)],
        ),
        Plot(
            "False alarms",
            "Spikes outside of presentations of the pattern, part by part.",
            "time, s",
            "false alarms, Hz",
            [_line("false alarms", end, alarms)],
        ),
        Plot(
            "Latency",
            "Time from the beginning of a presentation to the first spike in it.",
            "time, s",
            "latency, ms",
            [
                _line("presentation", start, latency, "markers"),
                _line("mean of a part", end, mean),
            ],
        ),
    ]


def _choices(stored: xr.Dataset) -> list[Plot]:
    right = stored.right.values
    right = right[np.isfinite(right)]
    sums = np.concatenate([[0.0], np.cumsum(right)])
    n = min(RUNNING_TRIALS, max(1, len(right)))
    trial = np.arange(n, len(right) + 1, dtype=np.float64)
    share = 100 * (sums[n:] - sums[: len(sums) - n]) / n
    return [
        Plot(
            "Right choices",
            f"Share of right choices, mean over the last {n} trials; 50 % is chance.",
            "trial",
            "right, %",
            [
                _line("right", trial, share),
                _line("chance", trial, np.full(len(trial), 50.0)),
            ],
        )
    ]


def _line(name: str, x: Floats, y: Floats, kind: str = "lines") -> Trace:
    known = np.isfinite(x) & np.isfinite(y)
    return Trace(name, x[known].tolist(), y[known].tolist(), kind)
