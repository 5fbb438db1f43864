"""The power spectrum of a population's activity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy
import xarray as xr

from biosim.analysis.binning import population_counts, whole_bins
from biosim.analysis.spikes import SpikeColumns, spike_trains
from biosim.errors import AnalysisError


def population_spectrum(
    spikes: SpikeColumns,
    bin_s: float,
    segment_s: float,
    *,
    neurons: Sequence[int] | npt.NDArray[Any] | None = None,
    start_s: float | None = None,
    stop_s: float | None = None,
) -> xr.DataArray:
    """Return the one-sided power spectral density of the mean rate of a population.

    Segments overlap by half, have a Hann window and lose their mean. For n independent Poisson
    neurons of rate r it is flat, 2 r / n; oscillation shows as a peak.

    Source: Welch (1967), IEEE Transactions on Audio and Electroacoustics 15, 70-73.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        bin_s: width of a bin in seconds: frequencies reach to 1 / (2 bin_s).
        segment_s: length of a segment in seconds: frequencies are 1 / segment_s apart.
        neurons: that are looked at; by default all that were recorded.
        start_s: begin of the stretch; by default of the recording.
        stop_s: end; by default of the recording.

    Returns:
        Densities in Hz^2 / Hz (frequency), `frequency` in hertz. 0 without spikes, NaN without
        neurons.

    Raises:
        AnalysisError: a segment has fewer than two bins or does not fit, or as `spike_trains`.
    """
    trains = spike_trains(spikes, neurons, start_s, stop_s)
    bins = whole_bins(trains, bin_s)
    length = round(segment_s / bin_s) if np.isfinite(segment_s) else 0
    if not 2 <= length <= bins:
        raise AnalysisError(
            f"got segments of {segment_s} s; expected from {2 * bin_s} s, two bins, "
            f"to {bins * bin_s} s, the whole stretch"
        )
    rate = population_counts(trains, bin_s) / bin_s / (len(trains.neurons) or np.nan)
    frequency, density = scipy.signal.welch(rate, 1.0 / bin_s, nperseg=length)
    return xr.DataArray(
        density,
        {"frequency": xr.Variable("frequency", frequency, {"units": "Hz"})},
        name="power",
        attrs={"units": "Hz", "long_name": "power spectral density of the rate, Hz^2 / Hz"},
    )
