"""Activity: of layers by sample and neuron, of spiking populations the recorded variables."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.figure import Figure

from biosim.analysis.stored import stored_activity, stored_names
from biosim.errors import AnalysisError
from biosim.figures.selection import Selection, chosen
from biosim.figures.style import (
    DIVERGING,
    SEQUENTIAL,
    colour,
    colour_bar,
    panels,
    prefixed,
    unit_label,
    whole_ticks,
)

Times = npt.NDArray[np.float64]

MOST_NEURONS = 300
MOST_LINES = 5
MOST_TIMES = 5_000
HINT = "run it again with record.activity=ends for layers, or record.states for spiking networks"
OF_SAMPLES = (
    "a run that learns from data does so with record.activity=ends; states of neurons over time, "
    "of record.states, are no answers to samples"
)


def chosen_activity(tree: xr.DataTree, selection: Selection) -> dict[str, xr.DataArray]:
    """Return the activity (sample, neuron) at the last snapshot, by population, read lazily.

    Raises:
        AnalysisError: the run stored none, or not of what is chosen.
    """
    found = stored_activity(tree)
    names = chosen(list(found), selection, "activity for test samples", OF_SAMPLES)
    return {name: found[name] for name in names}


def activity_figure(tree: xr.DataTree, selection: Selection) -> Figure:
    """Return the activity of layers at the last snapshot, or traces of spiking neurons.

    Raises:
        AnalysisError: the run stored neither, or not of what is chosen.
    """
    if stored_names(tree, "traces"):
        return _traces(tree, selection)
    chosen(stored_names(tree, "activity"), selection, "activity", HINT)
    found = chosen_activity(tree, selection)
    drawn, axes = panels(len(found), selection.width_mm, 62)
    for here, (name, activity) in zip(axes, found.items(), strict=False):
        every = -(-activity.sizes["neuron"] // MOST_NEURONS)
        values = activity.isel(neuron=slice(None, None, every)).values
        labels = activity["label"].values if "label" in activity.coords else None
        order = np.arange(len(values)) if labels is None else np.argsort(labels, kind="stable")
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        diverging = low < 0 < high
        bound = max(-low, high)
        image = here.imshow(
            values[order],
            aspect="auto",
            interpolation="nearest",
            cmap=DIVERGING if diverging else SEQUENTIAL,
            vmin=-bound if diverging else low,
            vmax=bound if diverging else high,
            extent=(-0.5, activity.sizes["neuron"] - 0.5, len(values), 0),
        )
        here.set_xlabel("neuron" if every == 1 else f"neuron (every {every}th)")
        whole_ticks(here)
        if labels is None:
            here.set_ylabel("sample")
        else:
            ordered = labels[order]
            begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
            ends = np.append(begins[1:], len(ordered))
            here.set_yticks((begins + ends) / 2, [f"{ordered[at]:g}" for at in begins])
            here.tick_params("y", length=0)
            here.set_ylabel("sample, by label")
            for at in begins[1:]:
                here.axhline(at, color="white", linewidth=0.5)
        epoch = f", epoch {int(activity['snapshot'])}" if "snapshot" in activity.coords else ""
        here.set_title(f"{name}{epoch}", loc="left")
        colour_bar(here, image, unit_label("activity", activity.attrs.get("units")))
    return drawn


def _traces(tree: xr.DataTree, selection: Selection) -> Figure:
    populations = {name: tree["traces"].children[name] for name in stored_names(tree, "traces")}
    names = chosen(list(populations), selection, "traces", HINT)
    rows = []
    for name in names:
        stored = populations[name].to_dataset(inherit=False)
        for variable in stored.data_vars:
            along, across = stored[variable].dims
            time = stored[along].values
            start = -np.inf if selection.start_s is None else selection.start_s
            stop = np.inf if selection.stop_s is None else selection.stop_s
            at = np.flatnonzero((time >= start) & (time < stop))
            if len(at):
                thinned = slice(int(at[0]), int(at[-1]) + 1, -(-len(at) // MOST_TIMES))
                breaks = _breaks(time, np.arange(len(time))[thinned])
                some = np.linspace(0, stored.sizes[across] - 1, MOST_LINES).round()
                part = stored[variable].isel({along: thinned, across: np.unique(some).astype(int)})
                rows.append((name, str(variable), part, breaks))
    if not rows:
        raise AnalysisError(
            f"no trace of {', '.join(names)} was stored in the chosen stretch; choose another"
        )
    drawn, axes = panels(len(rows), selection.width_mm, 38, across=1)
    for here, (name, variable, part, breaks) in zip(axes, rows, strict=False):
        along, across = part.dims
        # A line over a time in which nothing was recorded would be made up.
        values = np.insert(part.values.astype(np.float64), breaks, np.nan, axis=0)
        times = np.insert(part[along].values, breaks, np.nan)
        factor, unit = prefixed(values, str(part.attrs.get("units", "1")))
        for k, line in enumerate(factor * values.T):
            number = int(part[across].values[k])
            here.plot(times, line, color=colour(k), linewidth=0.7, label=f"{number}")
        here.set_xlim(float(part[along][0]), float(part[along][-1]))
        here.set_ylabel(unit_label(variable, unit))
        here.set_title(name, loc="left")
        here.legend(title="neuron", loc="center left", bbox_to_anchor=(1.0, 0.5), title_fontsize=7)
    axes[-1].set_xlabel("time (s)")
    return drawn


def _breaks(time: Times, shown: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return before which of the samples that are shown there are times without samples.

    Args:
        time: (n,) of all samples, which are at even distances but for gaps.
        shown: (k,) positions of some of them, in order.
    """
    steps = np.diff(time)
    gaps = np.append(0, np.cumsum(steps > 1.5 * steps.min())) if len(steps) else np.zeros(1)
    return np.flatnonzero(np.diff(gaps[shown])) + 1
