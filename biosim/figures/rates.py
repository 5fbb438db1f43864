"""Rates of populations over time, and their spectra."""

from __future__ import annotations

import xarray as xr
from matplotlib.figure import Figure

from biosim.analysis import binned_rate, population_spectrum
from biosim.errors import AnalysisError
from biosim.figures.selection import Selection, floor_round, spikes_of, spiking, stretch
from biosim.figures.style import colour, new_figure, plain_logs
from biosim.traces import spikes_between

MOST_SPIKES = 20_000_000
"""That are read for a figure."""
BINS, LEAST_BINS = 400, 20
SPIKES_A_BIN = 10
"""Of the busiest population, at least: fewer show nothing but their own number."""
LEAST_BIN_S = 1e-3
SEGMENTS = 8
"""That a spectrum is the mean of, about."""
SPECTRUM_BIN_S = 1e-3


def rate_figure(tree: xr.DataTree, selection: Selection) -> Figure:
    """Return the mean rate of the neurons of each population over time.

    Bins are a round width: at most 400 of them, and wider where spikes are few.

    Raises:
        AnalysisError: spikes were not stored, or not of that stretch.
    """
    names = spiking(tree, selection)
    start_s, stop_s = stretch(tree, names, selection, MOST_SPIKES)
    most = max(spikes_between(tree, name, start_s, stop_s).sizes["spike"] for name in names)
    dt_s = _dt_s(tree, names)
    bin_s = _bin_s(stop_s - start_s, min(BINS, max(LEAST_BINS, most // SPIKES_A_BIN)), dt_s)
    drawn = new_figure(selection.width_mm, 55)
    axes = drawn.subplots()
    for number, name in enumerate(names):
        rate = binned_rate(
            spikes_of(tree, name), bin_s, population=True, start_s=start_s, stop_s=stop_s
        )
        axes.stairs(
            rate.values,
            [*(rate.time.values - bin_s / 2), float(rate.time[-1]) + bin_s / 2],
            baseline=None,
            color=colour(number),
            label=name,
        )
    axes.set_xlim(start_s, stop_s)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("time (s)")
    axes.set_ylabel(f"rate (Hz), bins of {1e3 * bin_s:g} ms")
    if len(names) > 1:
        drawn.legend(loc="outside upper left", ncols=6)
    else:
        axes.set_title(names[0], loc="left")
    return drawn


def spectrum_figure(tree: xr.DataTree, selection: Selection) -> Figure:
    """Return the power spectrum of the rate of each population, bins of 1 ms, or of a tick.

    Raises:
        AnalysisError: spikes were not stored, or for too short a time.
    """
    names = spiking(tree, selection)
    start_s, stop_s = stretch(tree, names, selection, MOST_SPIKES)
    bin_s = max(SPECTRUM_BIN_S, _dt_s(tree, names))
    segment_s = min(1000 * bin_s, floor_round((stop_s - start_s) / SEGMENTS))
    if segment_s < 50 * bin_s:
        raise AnalysisError(
            f"a spectrum of {stop_s - start_s:g} s would be the mean of nothing; expected "
            f"{50 * SEGMENTS * bin_s:g} s or more of spikes"
        )
    drawn = new_figure(selection.width_mm, 60)
    axes = drawn.subplots()
    unit = ""
    for number, name in enumerate(names):
        power = population_spectrum(
            spikes_of(tree, name), bin_s, segment_s, start_s=start_s, stop_s=stop_s
        )
        some = power[1:]  # the mean rate is no rhythm
        unit = str(power.attrs["units"])
        if bool((some > 0).any()):
            axes.loglog(some["frequency"], some, color=colour(number), label=name)
    plain_logs(axes.xaxis)
    plain_logs(axes.yaxis)
    axes.set_xlabel("frequency (Hz)")
    axes.set_ylabel(f"power ({unit})")
    if axes.lines:  # populations without any rhythm have none
        axes.legend()
    return drawn


def _dt_s(tree: xr.DataTree, names: list[str]) -> float:
    """Return the length of a tick, 0 of times that are not in ticks."""
    return max(float(spikes_of(tree, name).attrs.get("dt_s", 0.0)) for name in names)


def _bin_s(duration_s: float, bins: int, dt_s: float) -> float:
    """Return the least round width, of a tick or more, that makes no more than so many bins."""
    least = max(duration_s / bins, min(LEAST_BIN_S, duration_s), dt_s)
    round_s = floor_round(least)
    return next(m * round_s for m in (1, 2, 2.5, 5, 10) if m * round_s >= least * (1 - 1e-9))
