"""Firing rates: over a whole stretch, in bins, and smoothed with a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import scipy
import xarray as xr

from biosim.analysis.binning import (
    bin_times,
    count_bands,
    population_counts,
    refuse_large,
    spike_counts,
    whole_bins,
)
from biosim.analysis.spikes import Float64s, SpikeColumns, spike_trains
from biosim.errors import AnalysisError

Kernel = Literal["gaussian", "exponential", "boxcar"]
BLOCK_VALUES = 1 << 22
HERTZ = {"units": "Hz", "long_name": "firing rate"}


def mean_rate(
    spikes: SpikeColumns,
    *,
    neurons: Sequence[int] | npt.NDArray[Any] | None = None,
    start_s: float | None = None,
    stop_s: float | None = None,
) -> xr.DataArray:
    """Return each neuron's number of spikes over the length of the stretch.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        neurons: that are looked at; by default all that were recorded.
        start_s: begin of the stretch; by default of the recording.
        stop_s: end; by default of the recording.

    Returns:
        Rates in hertz (neuron); 0 for a neuron that did not fire.

    Raises:
        AnalysisError: as `spike_trains`.
    """
    trains = spike_trains(spikes, neurons, start_s, stop_s)
    counts = np.zeros(len(trains.neurons), np.int64)
    for _, rows in trains.parts():
        counts += np.bincount(rows, minlength=len(counts))
    return xr.DataArray(
        counts / trains.duration_s,
        dims="neuron",
        coords={"neuron": trains.coordinate()},
        name="rate",
        attrs=HERTZ,
    )


def binned_rate(
    spikes: SpikeColumns,
    bin_s: float,
    *,
    population: bool = False,
    neurons: Sequence[int] | npt.NDArray[Any] | None = None,
    start_s: float | None = None,
    stop_s: float | None = None,
) -> xr.DataArray:
    """Return the rates in consecutive bins.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        bin_s: width of a bin in seconds.
        population: the mean over neurons instead of every neuron's.
        neurons: that are looked at; by default all that were recorded.
        start_s: begin of the first bin; by default of the recording.
        stop_s: end; by default of the recording.

    Returns:
        Rates in hertz (time, neuron), or (time) for the population, which is NaN if it has no
        neurons.

    Raises:
        AnalysisError: as `spike_counts`.
    """
    if not population:
        counts = spike_counts(spikes, bin_s, neurons=neurons, start_s=start_s, stop_s=stop_s)
        refuse_large(8 * counts.size, "the rates", "choose wider bins, or population=True")
        return (counts / bin_s).rename("rate").assign_attrs(HERTZ, bin_s=bin_s)
    trains = spike_trains(spikes, neurons, start_s, stop_s)
    return xr.DataArray(
        population_counts(trains, bin_s) / bin_s / (len(trains.neurons) or np.nan),
        dims="time",
        coords={"time": bin_times(trains, bin_s)},
        name="rate",
        attrs={**HERTZ, "bin_s": bin_s},
    )


def kernel_rate(
    spikes: SpikeColumns,
    width_s: float,
    sample_s: float,
    *,
    kernel: Kernel = "gaussian",
    population: bool = False,
    neurons: Sequence[int] | npt.NDArray[Any] | None = None,
    start_s: float | None = None,
    stop_s: float | None = None,
) -> xr.DataArray:
    """Return the rates as a sum of kernels, one at each spike.

    Spikes are counted in bins of `sample_s` and treated as lying in their middles; a value is the
    mean over its bin. A spike's kernel therefore keeps its area, 1, but for what lies beyond the
    ends of the stretch: there the rates fall off, as long as the kernel reaches.

    Source: Nawrot, Aertsen and Rotter (1999), Journal of Neuroscience Methods 94, 81-92.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        width_s: standard deviation of the Gaussian, time constant of the exponential, which
            reaches only into the future, or full width of the boxcar; seconds.
        sample_s: time between two values in seconds.
        kernel: "gaussian", "exponential" or "boxcar".
        population: the mean over neurons instead of every neuron's.
        neurons: that are looked at; by default all that were recorded.
        start_s: begin of the stretch; by default of the recording.
        stop_s: end; by default of the recording.

    Returns:
        Rates in hertz (time, neuron), or (time) for the population.

    Raises:
        AnalysisError: the width is not above 0, the kernel is not known, or as `spike_counts`.
    """
    if not (np.isfinite(width_s) and width_s > 0):
        raise AnalysisError(f"got a kernel of {width_s} s; expected a width above 0")
    if kernel not in get_args(Kernel):
        raise AnalysisError(f"got the kernel {kernel!r}; expected {', '.join(get_args(Kernel))}")
    trains = spike_trains(spikes, neurons, start_s, stop_s)
    bins = whole_bins(trains, sample_s)
    weights = _kernel(kernel, width_s, sample_s, bins)
    coords = {"time": bin_times(trains, sample_s)}
    attributes = {**HERTZ, "kernel": kernel, "width_s": width_s}
    if population:
        counts = population_counts(trains, sample_s) / (len(trains.neurons) or np.nan)
        smooth = _smoothed(counts[:, None], weights)[:, 0]
        return xr.DataArray(smooth, coords, dims="time", name="rate", attrs=attributes)
    width = len(trains.neurons)
    refuse_large(8 * bins * width, "the rates", "choose a longer sample_s, or population=True")
    rates = np.empty((bins, width))
    row = 0
    for band in count_bands(trains, sample_s):
        rates[row : row + len(band)] = band
        row += len(band)
    block = max(1, BLOCK_VALUES // bins)
    for first in range(0, width, block):
        rates[:, first : first + block] = _smoothed(rates[:, first : first + block], weights)
    coords["neuron"] = trains.coordinate()
    return xr.DataArray(rates, coords, dims=("time", "neuron"), name="rate", attrs=attributes)


def _kernel(kernel: Kernel, width_s: float, sample_s: float, bins: int) -> Float64s:
    """Return the kernel's mean over each sample, (odd,), the spike in the middle of the middle."""
    reach_s = {"gaussian": 9.0, "exponential": 40.0, "boxcar": 0.5}[kernel] * width_s
    reach = min(bins, int(np.ceil(reach_s / sample_s + 0.5)))
    edges = (np.arange(-reach, reach + 2) - 0.5) * sample_s / width_s
    if kernel == "gaussian":
        area = scipy.special.ndtr(edges)
    elif kernel == "exponential":
        area = -np.expm1(-np.maximum(edges, 0.0))
    else:
        area = np.clip(edges + 0.5, 0.0, 1.0)
    return np.diff(area) / sample_s


def _smoothed(counts: Float64s, weights: Float64s) -> Float64s:
    """Return counts (n_bins, k) convolved with weights (odd,), as long as they were."""
    if len(weights) <= 64:
        short: Float64s = scipy.ndimage.convolve1d(counts, weights, axis=0, mode="constant")
        return short
    half = len(weights) // 2
    # By Fourier transform, whose rounding may leave a hair below 0.
    smooth = scipy.signal.oaconvolve(counts, weights[:, None], axes=0)[half : half + len(counts)]
    long: Float64s = np.maximum(smooth, 0.0)
    return long
