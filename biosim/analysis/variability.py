"""How much counts of spikes vary: the Fano factor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from biosim.analysis.binning import count_bands, whole_bins
from biosim.analysis.spikes import SpikeColumns, spike_trains
from biosim.errors import AnalysisError

FANO = {"units": "1", "long_name": "Fano factor"}


def fano_factor(
    spikes: SpikeColumns,
    window_s: float,
    *,
    neurons: Sequence[int] | npt.NDArray[Any] | None = None,
    start_s: float | None = None,
    stop_s: float | None = None,
) -> xr.DataArray:
    """Return the variance of the counts in consecutive windows over their mean.

    The variance is over n, not n - 1. 1 for a Poisson process, 0 for a clock in step with the
    windows.

    Source: Fano (1947), Physical Review 72, 26-29.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        window_s: width of a window in seconds.
        neurons: that are looked at; by default all that were recorded.
        start_s: begin of the first window; by default of the recording.
        stop_s: end; by default of the recording.

    Returns:
        Fano factors (neuron), NaN for neurons that did not fire and where only one window fits.

    Raises:
        AnalysisError: as `spike_counts`.
    """
    trains = spike_trains(spikes, neurons, start_s, stop_s)
    windows = whole_bins(trains, window_s)
    total = np.zeros(len(trains.neurons), np.int64)
    squares = np.zeros(len(trains.neurons), np.int64)
    for band in count_bands(trains, window_s):
        total += band.sum(axis=0)
        squares += (band**2).sum(axis=0)
    # In whole numbers until here: a clock has exactly 0.
    spread = windows * squares - total**2 if windows > 1 else np.full(total.shape, np.nan)
    return xr.DataArray(
        spread / np.where(total > 0, windows * total, np.nan),
        {"neuron": trains.coordinate()},
        name="fano_factor",
        attrs={**FANO, "window_s": window_s},
    )


def fano_factor_of_counts(counts: xr.DataArray, dim: str = "trial") -> xr.DataArray:
    """Return the variance of counts along a dimension over their mean: Fano factors over trials.

    Args:
        counts: of `trial_counts`, for example (trial, neuron).
        dim: along which they vary.

    Returns:
        The other dimensions, for example (neuron). NaN where there is no spike, fewer than two
        values, or a NaN.

    Raises:
        AnalysisError: the counts have no such dimension.
    """
    if dim not in counts.dims:
        raise AnalysisError(f"the counts have no dimension {dim!r}; they have {list(counts.dims)}")
    mean = counts.mean(dim, skipna=False)
    if counts.sizes[dim] < 2:
        return xr.full_like(mean, np.nan, np.float64).rename("fano_factor").assign_attrs(FANO)
    spread = counts.astype(np.float64).var(dim, skipna=False)
    return (spread / mean.where(mean > 0)).rename("fano_factor").assign_attrs(FANO)
