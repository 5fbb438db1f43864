"""Spikes counted in bins of time: what most statistics of spikes start from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from biosim.analysis.spikes import Int64s, SpikeColumns, SpikeTrains, spike_trains
from biosim.errors import AnalysisError

BAND_VALUES = 1 << 22
"""Counts that are held at a time."""
MOST_BYTES = 4 << 30
"""Largest result that is made without being asked for in smaller pieces."""


def spike_counts(
    spikes: SpikeColumns,
    bin_s: float,
    *,
    neurons: Sequence[int] | npt.NDArray[Any] | None = None,
    start_s: float | None = None,
    stop_s: float | None = None,
) -> xr.DataArray:
    """Return how often each neuron fired in each bin.

    Bin k is [start_s + k bin_s, start_s + (k + 1) bin_s). What is left at the end and is shorter
    than a bin is left out.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        bin_s: width of a bin in seconds.
        neurons: that are looked at; by default all that were recorded.
        start_s: begin of the first bin; by default of the recording.
        stop_s: end; by default of the recording.

    Returns:
        Counts (time, neuron), 4 bytes each; `time` is the middle of the bin in seconds. Without
        spikes all are 0.

    Raises:
        AnalysisError: no bin fits into the stretch, a bin is narrower than a tick, or the result
            would be larger than 4 GiB.
    """
    trains = spike_trains(spikes, neurons, start_s, stop_s)
    bins = whole_bins(trains, bin_s)
    width = len(trains.neurons)
    refuse_large(4 * bins * width, "the counts", "choose wider bins, fewer neurons or less time")
    counts = np.empty((bins, width), np.uint32)
    row = 0
    for band in count_bands(trains, bin_s):
        counts[row : row + len(band)] = band
        row += len(band)
    return xr.DataArray(
        counts,
        dims=("time", "neuron"),
        coords={"time": bin_times(trains, bin_s), "neuron": trains.coordinate()},
        name="count",
        attrs={"units": "1", "long_name": "spikes", "bin_s": bin_s},
    )


def population_counts(trains: SpikeTrains, bin_s: float) -> Int64s:
    """Return the spikes of all neurons together in each bin, (n_bins,)."""
    counts = np.zeros(whole_bins(trains, bin_s), np.int64)
    for at, _ in _binned(trains, bin_s):
        if len(at):
            counts[at[0] : at[-1] + 1] += np.bincount(at - at[0])
    return counts


def group_counts(
    spikes: SpikeColumns,
    bin_s: float,
    width: int,
    *,
    start_s: float | None = None,
    stop_s: float | None = None,
    gaps: bool = False,
) -> xr.DataArray:
    """Return how often neighbouring neurons fired together in each bin: a raster seen from afar.

    Spikes are read a part at a time; what is held is one part and the result.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        bin_s: width of a bin in seconds; bins are those of `spike_counts`.
        width: recorded neurons in a group; the last group has what is left.
        start_s: begin of the first bin; by default of the recording.
        stop_s: end; by default of the recording.
        gaps: whether bins may lie where nothing was recorded, of which they count nothing.

    Returns:
        Counts (time, group); `time` is the middle of the bin in seconds, `neuron` (group) the first
        of the group.

    Raises:
        AnalysisError: the width is below 1, no bin fits into the stretch, or the result would be
            larger than 4 GiB.
    """
    if width < 1:
        raise AnalysisError(f"got groups of {width} neurons; expected 1 or more")
    trains = spike_trains(spikes, None, start_s, stop_s, gaps=gaps)
    bins, groups = whole_bins(trains, bin_s), -(-len(trains.neurons) // width)
    refuse_large(8 * bins * groups, "the counts", "choose wider bins or groups, or less time")
    counts = np.zeros((bins, groups), np.int64)
    for at, rows in _binned(trains, bin_s):
        if len(at):
            first, last = int(at[0]), int(at[-1]) + 1
            flat = (at - first) * groups + rows // width
            found = np.bincount(flat, minlength=(last - first) * groups)
            counts[first:last] += found.reshape(-1, groups)
    return xr.DataArray(
        counts,
        dims=("time", "group"),
        coords={
            "time": bin_times(trains, bin_s),
            "neuron": ("group", trains.neurons[::width], trains.coordinate().attrs),
        },
        name="count",
        attrs={"units": "1", "long_name": "spikes", "bin_s": bin_s},
    )


def count_bands(trains: SpikeTrains, bin_s: float) -> Iterator[Int64s]:
    """Yield the counts of every neuron, (some bins, n_neurons), until all bins have come.

    Memory: 16 bytes for each of `BAND_VALUES` counts, or for each of one bin's. What is yielded is
    overwritten by the next.
    """
    bins, width = whole_bins(trains, bin_s), len(trains.neurons)
    height = min(bins, max(1, BAND_VALUES // max(1, width)))
    band = np.zeros((height, width), np.int64)
    first = 0
    for at, rows in _binned(trains, bin_s):
        while len(at):
            here = int(np.searchsorted(at, first + height))
            # Only the bins that this part reaches, since parts may be much shorter than a band.
            if here:
                low = int(at[0])
                high = int(at[here - 1]) + 1
                flat = (at[:here] - low) * width + rows[:here]
                found = np.bincount(flat, minlength=(high - low) * width)
                band[low - first : high - first] += found.reshape(-1, width)
            at, rows = at[here:], rows[here:]
            if len(at):
                yield band
                band[:] = 0
                first += height
    while first < bins:
        yield band[: bins - first]
        band[:] = 0
        first += height


def whole_bins(trains: SpikeTrains, bin_s: float) -> int:
    """Return how many whole bins fit into the stretch.

    Raises:
        AnalysisError: none does, the width is no number above 0, or it is less than a tick.
    """
    if not (isinstance(bin_s, int | float | np.number) and np.isfinite(bin_s) and bin_s > 0):
        raise AnalysisError(f"got bins of {bin_s!r} s; expected a width above 0")
    dt_s = trains.columns.attrs.get("dt_s", 0.0)
    # Most of them could hold no spike, the others too many.
    if bin_s < dt_s * (1 - 1e-9):
        raise AnalysisError(
            f"got bins of {bin_s} s; expected at least a tick, {dt_s} s: spikes are known to a tick"
        )
    # A stretch given in decimals may be a hair shorter than the bins that it means.
    bins = int(trains.duration_s / bin_s * (1 + 1e-12) + 1e-9)
    if bins < 1:
        raise AnalysisError(
            f"got bins of {bin_s} s for a stretch of {trains.duration_s} s; expected narrower ones"
        )
    return bins


def bin_times(trains: SpikeTrains, bin_s: float) -> xr.Variable:
    """Return the middle of each bin in seconds, along `time`."""
    middles = trains.start_s + (np.arange(whole_bins(trains, bin_s)) + 0.5) * bin_s
    return xr.Variable("time", middles, {"units": "s", "long_name": "middle of the bin"})


def refuse_large(size_bytes: int, what: str, instead: str) -> None:
    """Raise an `AnalysisError` if a result would be larger than 4 GiB."""
    if size_bytes > MOST_BYTES:
        raise AnalysisError(
            f"{what} would take {size_bytes / 2**30:.1f} GiB; "
            f"expected at most {MOST_BYTES / 2**30:.0f} GiB: {instead}"
        )


def _binned(trains: SpikeTrains, bin_s: float) -> Iterator[tuple[Int64s, Int64s]]:
    """Yield the bin and the row of spikes, (n,) each, in the order of time."""
    bins = whole_bins(trains, bin_s)
    for times, rows in trains.parts():
        at = np.floor((times - trains.start_s + trains.slack_s) / bin_s).astype(np.int64)
        inside = int(np.searchsorted(at, bins))
        yield at[:inside], rows[:inside]
