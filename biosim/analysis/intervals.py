"""Inter-spike intervals (ISI), and how regular they are: CV and LV.

All is summed up while the spikes go by; what is held is a few numbers a neuron.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from biosim.analysis.binning import refuse_large
from biosim.analysis.spikes import (
    Float64s,
    Int64s,
    SpikeColumns,
    SpikeTrains,
    neuron_order,
    spike_trains,
)
from biosim.errors import AnalysisError


class _Part(NamedTuple):
    """The intervals that end in a part of the spikes: (n,) each, neuron after neuron."""

    rows: Int64s
    ends: Float64s
    lengths: Float64s
    before: Float64s
    """The neuron's interval before, NaN for its first."""


def intervals(
    spikes: SpikeColumns,
    *,
    neurons: Sequence[int] | npt.NDArray[Any] | None = None,
    start_s: float | None = None,
    stop_s: float | None = None,
) -> xr.Dataset:
    """Return every interval between a spike and the same neuron's next.

    As long as the spikes are; `interval_histogram` and `interval_statistics` need no memory for
    each of them.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        neurons: that are looked at; by default all that were recorded.
        start_s: begin of the stretch; by default of the recording.
        stop_s: end; by default of the recording.

    Returns:
        `interval` in seconds, `neuron`, and `time`, of the spike that ends it, in seconds:
        (interval_number) each, in the order of time within about a million spikes and by neuron
        therein. None for neurons with fewer than two spikes.

    Raises:
        AnalysisError: they would take more than 4 GiB, or as `spike_trains`.
    """
    trains = spike_trains(spikes, neurons, start_s, stop_s)
    parts: list[_Part] = []
    size_bytes = 0
    for part in _parts(trains):
        size_bytes += sum(column.nbytes for column in part)
        refuse_large(size_bytes, "the intervals", "use interval_histogram, or choose less time")
        parts.append(part)
    rows = np.concatenate([np.empty(0, np.int64), *(part.rows for part in parts)])
    lengths = np.concatenate([np.empty(0), *(part.lengths for part in parts)])
    ends = np.concatenate([np.empty(0), *(part.ends for part in parts)])
    along = "interval_number"
    return xr.Dataset(
        {
            "interval": (along, lengths, {"units": "s", "long_name": "inter-spike interval"}),
            "neuron": (along, trains.neurons[rows], {"long_name": "number in the population"}),
            "time": (along, ends, {"units": "s", "long_name": "time of the later spike"}),
        }
    )


def interval_histogram(
    spikes: SpikeColumns,
    edges_s: npt.ArrayLike,
    *,
    each: bool = False,
    neurons: Sequence[int] | npt.NDArray[Any] | None = None,
    start_s: float | None = None,
    stop_s: float | None = None,
) -> xr.DataArray:
    """Return how many intervals are how long.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        edges_s: (n_bins + 1,) increasing, seconds; bins are half-open, also the last.
        each: every neuron's instead of all neurons' together.
        neurons: that are looked at; by default all that were recorded.
        start_s: begin of the stretch; by default of the recording.
        stop_s: end; by default of the recording.

    Returns:
        Counts (interval), or (neuron, interval); `interval` is the middle of a bin in seconds.

    Raises:
        AnalysisError: the edges do not increase, or as `spike_trains`.
    """
    edges = np.asarray(edges_s, np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0):
        raise AnalysisError(f"got the edges {edges.tolist()}; expected two or more that increase")
    trains = spike_trains(spikes, neurons, start_s, stop_s)
    bins = len(edges) - 1
    height = len(trains.neurons) if each else 1
    counts = np.zeros(height * bins, np.int64)
    for part in _parts(trains):
        at = np.searchsorted(edges, part.lengths + trains.slack_s, side="right") - 1
        inside = (at >= 0) & (at < bins)
        flat = at[inside] + (bins * part.rows[inside] if each else 0)
        counts += np.bincount(flat, minlength=len(counts))
    middles = xr.Variable("interval", (edges[1:] + edges[:-1]) / 2, {"units": "s"})
    attributes = {"units": "1", "long_name": "inter-spike intervals"}
    if not each:
        return xr.DataArray(counts, {"interval": middles}, name="count", attrs=attributes)
    return xr.DataArray(
        counts.reshape(height, bins),
        {"neuron": trains.coordinate(), "interval": middles},
        ("neuron", "interval"),
        name="count",
        attrs=attributes,
    )


def interval_statistics(
    spikes: SpikeColumns,
    *,
    neurons: Sequence[int] | npt.NDArray[Any] | None = None,
    start_s: float | None = None,
    stop_s: float | None = None,
) -> xr.Dataset:
    """Return the mean, the coefficient of variation and the local variation of the intervals.

    CV is the standard deviation (over n, not n - 1) by the mean: 0 for a clock, 1 for a Poisson
    process. LV = 3 / (n - 1) sum of ((I_k - I_(k+1)) / (I_k + I_(k+1)))^2 is the same for these
    two, but does not rise where the rate drifts. Two intervals of 0 s, one after the other, count
    as equal.

    Source: Softky and Koch (1993), Journal of Neuroscience 13, 334-350; Shinomoto, Shima and
    Tanji (2003), Neural Computation 15, 2823-2842.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        neurons: that are looked at; by default all that were recorded.
        start_s: begin of the stretch; by default of the recording.
        stop_s: end; by default of the recording.

    Returns:
        `count` of intervals, `mean` in seconds, `cv` and `lv` without unit: (neuron) each. `mean`
        is NaN without an interval, `cv` and `lv` with fewer than two.

    Raises:
        AnalysisError: as `spike_trains`.
    """
    trains = spike_trains(spikes, neurons, start_s, stop_s)
    size = len(trains.neurons)
    count, pairs = np.zeros(size), np.zeros(size)
    # Sums of differences from a neuron's first interval: squares of the intervals themselves
    # would cancel for a regular neuron.
    first = np.full(size, np.nan)
    total, squares, local = np.zeros(size), np.zeros(size), np.zeros(size)
    for rows, _, lengths, before in _parts(trains):
        new = np.isnan(before)
        first[rows[new]] = lengths[new]
        shifted = lengths - first[rows]
        both = lengths[~new] + before[~new]
        ratio = (lengths[~new] - before[~new]) / np.where(both > 0, both, 1.0)
        count += np.bincount(rows, minlength=size)
        pairs += np.bincount(rows[~new], minlength=size)
        total += np.bincount(rows, shifted, minlength=size)
        squares += np.bincount(rows, shifted**2, minlength=size)
        local += np.bincount(rows[~new], ratio**2, minlength=size)
    some = np.where(count > 0, count, np.nan)
    several = np.where(count > 1, count, np.nan)
    mean = first + total / some
    variance = np.maximum(squares / several - (total / several) ** 2, 0.0)
    cv = np.sqrt(variance) / np.where(mean > 0, mean, np.nan)
    lv = 3.0 * local / np.where(pairs > 0, pairs, np.nan)
    return xr.Dataset(
        {
            "count": ("neuron", count.astype(np.int64), {"units": "1", "long_name": "intervals"}),
            "mean": ("neuron", mean, {"units": "s", "long_name": "mean inter-spike interval"}),
            "cv": ("neuron", cv, {"units": "1", "long_name": "coefficient of variation"}),
            "lv": ("neuron", lv, {"units": "1", "long_name": "local variation"}),
        },
        coords={"neuron": trains.coordinate()},
    )


def _parts(trains: SpikeTrains) -> Iterator[_Part]:
    size = len(trains.neurons)
    last_time, last_length = np.full(size, np.nan), np.full(size, np.nan)
    for unsorted_times, unsorted_rows in trains.parts():
        order = neuron_order(unsorted_rows, size)
        times, rows = unsorted_times[order], unsorted_rows[order]
        begins = np.append(True, rows[1:] != rows[:-1])[: len(rows)]
        ends = np.append(rows[1:] != rows[:-1], True)[: len(rows)]
        lengths = times - _shifted(times, begins, last_time[rows])
        before = _shifted(lengths, begins, last_length[rows])
        last_time[rows[ends]] = times[ends]
        last_length[rows[ends]] = lengths[ends]
        real = ~np.isnan(lengths)
        yield _Part(rows[real], times[real], lengths[real], before[real])


def _shifted(values: Float64s, begins: npt.NDArray[np.bool_], carried: Float64s) -> Float64s:
    """Return for each value the one before it, or where a neuron begins what was carried."""
    found = carried.copy()
    inner = np.flatnonzero(~begins)
    found[inner] = values[inner - 1]
    return found
