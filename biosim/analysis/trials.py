"""Spikes around repeated events: peri-stimulus time histograms (PSTH), counts by trial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from biosim.analysis.binning import refuse_large
from biosim.analysis.spikes import Float64s, Int64s, SpikeColumns, SpikeTrains, spike_trains
from biosim.errors import AnalysisError

MOST_HITS = 1 << 22


def psth(
    spikes: SpikeColumns,
    events_s: npt.ArrayLike,
    bin_s: float,
    *,
    before_s: float,
    after_s: float,
    population: bool = False,
    neurons: Sequence[int] | npt.NDArray[Any] | None = None,
) -> xr.DataArray:
    """Return the rate as a function of the time since an event, averaged over events.

    Windows may overlap: a spike counts for every event that it is near. An event whose window
    was not recorded as a whole is left out, since it would pull the rates down.

    Source: Gerstein and Kiang (1960), Biophysical Journal 1, 15-28.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        events_s: (n_trials,) times of the events in seconds, in any order.
        bin_s: width of a bin in seconds, of which a whole number makes up before_s + after_s.
        before_s: how long before an event the window begins, seconds.
        after_s: how long after it the window ends, seconds.
        population: the mean over neurons instead of every neuron's.
        neurons: that are looked at; by default all that were recorded.

    Returns:
        Rates in hertz (time, neuron), or (time); `time` is the middle of the bin in seconds since
        the event. The attribute `trials` says how many events were used; without one all is NaN.

    Raises:
        AnalysisError: an event's time is not finite, the bins do not fit, or as `spike_trains`.
    """
    trains = spike_trains(spikes, neurons, gaps=True)
    events = _events(trains, events_s, before_s, after_s)
    bins = round((before_s + after_s) / bin_s) if bin_s > 0 else 0
    if bins < 1 or abs(bins * bin_s - before_s - after_s) > trains.slack_s + 1e-9 * bins * bin_s:
        raise AnalysisError(
            f"got bins of {bin_s} s for a window of {before_s + after_s} s; "
            "expected a whole number of them"
        )
    width = 1 if population else len(trains.neurons)
    refuse_large(8 * bins * width, "the histogram", "choose wider bins, or population=True")
    counts = np.zeros(bins * width, np.int64)
    for since, rows, _ in _hits(trains, events, before_s, after_s):
        at = np.floor((since + before_s + trains.slack_s) / bin_s).astype(np.int64)
        at = np.clip(at, 0, bins - 1)
        flat = at if population else at * width + rows
        counts += np.bincount(flat, minlength=len(counts))
    sources = len(trains.neurons) if population else 1
    rates = counts.reshape(bins, width) / bin_s / (len(events) * sources or np.nan)
    since_event = xr.Variable(
        "time",
        -before_s + (np.arange(bins) + 0.5) * bin_s,
        {"units": "s", "long_name": "time since the event"},
    )
    attributes = {"units": "Hz", "long_name": "firing rate", "trials": len(events)}
    if population:
        return xr.DataArray(rates[:, 0], {"time": since_event}, name="rate", attrs=attributes)
    return xr.DataArray(
        rates,
        {"time": since_event, "neuron": trains.coordinate()},
        ("time", "neuron"),
        name="rate",
        attrs=attributes,
    )


def trial_counts(
    spikes: SpikeColumns,
    events_s: npt.ArrayLike,
    *,
    before_s: float = 0.0,
    after_s: float,
    neurons: Sequence[int] | npt.NDArray[Any] | None = None,
) -> xr.DataArray:
    """Return how often each neuron fired near each event, for selectivity, Fano factors, PCA.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        events_s: (n_trials,) times of the events in seconds.
        before_s: how long before an event counting begins, seconds.
        after_s: how long after it counting ends, seconds.
        neurons: that are looked at; by default all that were recorded.

    Returns:
        Counts (trial, neuron) as float64, NaN for a trial whose window was not recorded as
        a whole; `trial` holds the time of the event in seconds.

    Raises:
        AnalysisError: as `psth`.
    """
    trains = spike_trains(spikes, neurons, gaps=True)
    whole = np.asarray(events_s, np.float64)
    events = _events(trains, events_s, before_s, after_s)
    width = len(trains.neurons)
    refuse_large(16 * len(whole) * width, "the counts", "choose fewer trials or neurons")
    counts = np.zeros((len(events), width), np.int64)
    for _, rows, trial in _hits(trains, events, before_s, after_s):
        low, high = int(trial.min()), int(trial.max()) + 1
        found = np.bincount((trial - low) * width + rows, minlength=(high - low) * width)
        counts[low:high] += found.reshape(-1, width)
    result = np.full((len(whole), width), np.nan)
    inside = _inside(trains, whole, before_s, after_s)
    result[inside] = counts[np.searchsorted(events, whole[inside])]
    return xr.DataArray(
        result,
        {
            "trial": xr.Variable("trial", whole, {"units": "s", "long_name": "time of the event"}),
            "neuron": trains.coordinate(),
        },
        ("trial", "neuron"),
        name="count",
        attrs={"units": "1", "long_name": "spikes"},
    )


def _inside(
    trains: SpikeTrains, events: Float64s, before_s: float, after_s: float
) -> npt.NDArray[np.bool_]:
    """Return of which events (n,) the window was recorded as a whole."""
    found = np.zeros(len(events), np.bool_)
    for start_s, stop_s in trains.recorded_s:
        early = events - before_s >= start_s - trains.slack_s
        found |= early & (events + after_s <= stop_s + trains.slack_s)
    return found


def _events(
    trains: SpikeTrains, events_s: npt.ArrayLike, before_s: float, after_s: float
) -> Float64s:
    """Return the events whose windows are inside the recording, sorted."""
    events = np.asarray(events_s, np.float64)
    if events.ndim != 1 or not np.isfinite(events).all():
        raise AnalysisError("got events that are no list of finite times in seconds")
    if not (np.isfinite(before_s) and np.isfinite(after_s) and before_s + after_s > 0):
        raise AnalysisError(
            f"got a window from {before_s} s before to {after_s} s after an event; "
            "expected one with a length"
        )
    return np.sort(events[_inside(trains, events, before_s, after_s)])


def _hits(
    trains: SpikeTrains, events: Float64s, before_s: float, after_s: float
) -> Iterator[tuple[Float64s, Int64s, Int64s]]:
    """Yield the time since the event, the row and the event, (n,) each, of spikes near events."""
    slack = trains.slack_s
    for times, rows in trains.parts():
        # Events whose window [event - before, event + after) holds the spike.
        first = np.searchsorted(events, times - after_s + slack, side="right")
        last = np.searchsorted(events, times + before_s + slack, side="right")
        near = np.maximum(last - first, 0)
        totals = np.concatenate([[0], np.cumsum(near)])
        begin = 0
        while begin < len(times) and totals[-1] > totals[begin]:
            # At least one spike, however many events it is near.
            end = int(np.searchsorted(totals, totals[begin] + MOST_HITS, side="right")) - 1
            end = max(end, begin + 1)
            some = near[begin:end]
            spike = np.repeat(np.arange(begin, end), some)
            nth = np.arange(len(spike)) - np.repeat(totals[begin:end] - totals[begin], some)
            trial = first[spike] + nth
            if len(spike):
                yield times[spike] - events[trial], rows[spike], trial
            begin = end
