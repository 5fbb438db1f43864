"""Synchrony: how much of what neurons do they do together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from biosim.analysis.binning import count_bands, whole_bins
from biosim.analysis.moments import row_bands, spread
from biosim.analysis.slices import over_slices
from biosim.analysis.spikes import SpikeColumns, spike_trains

CHI = {"units": "1", "long_name": "synchrony chi"}


def synchrony(
    activity: xr.DataArray, *, time: str = "time", neuron: str = "neuron"
) -> xr.DataArray:
    """Return chi: the spread in time of the neurons' mean over that of the neurons themselves.

    chi^2 = variance of the mean over neurons / mean over neurons of the variance. 1 for identical
    neurons; about 1 / sqrt(n) for n independent ones.

    Source: Golomb and Rinzel (1994), Physica D 72, 259-282; Golomb (2007), Scholarpedia 2(1),
    1347.

    Args:
        activity: (..., time, neuron), for example `tree["traces/E"].v`; read some rows at a time.
        time: name of the dimension along which activity varies.
        neuron: name of the dimension of the neurons.

    Returns:
        chi from 0 to 1, without unit, for each slice of the other dimensions. NaN if nothing
        varies, there is a NaN, or there are no neurons.

    Raises:
        AnalysisError: the activity lacks a dimension.
    """

    def of_slice(part: xr.DataArray) -> float:
        return _chi(lambda: row_bands(part)) if part.size else np.nan

    return over_slices(of_slice, [activity], [(time, neuron)]).rename("chi").assign_attrs(CHI)


def spike_synchrony(
    spikes: SpikeColumns,
    bin_s: float,
    *,
    neurons: Sequence[int] | npt.NDArray[Any] | None = None,
    start_s: float | None = None,
    stop_s: float | None = None,
) -> xr.DataArray:
    """Return chi, as `synchrony`, of the spike counts in bins; silent neurons have variance 0.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        bin_s: width of the bins in which spikes are counted, seconds.
        neurons: that are looked at; by default all that were recorded.
        start_s: begin of the first bin; by default of the recording.
        stop_s: end; by default of the recording.

    Returns:
        chi from 0 to 1, one number. NaN without spikes.

    Raises:
        AnalysisError: as `spike_counts`.
    """
    trains = spike_trains(spikes, neurons, start_s, stop_s)
    whole_bins(trains, bin_s)
    chi = _chi(lambda: count_bands(trains, bin_s)) if len(trains.neurons) else np.nan
    return xr.DataArray(chi, name="chi", attrs={**CHI, "bin_s": bin_s})


def _chi(bands: Callable[[], Iterable[npt.NDArray[Any]]]) -> float:
    # The neurons' mean goes along as one more neuron, so that all is read once.
    beside = (np.column_stack([band, band.mean(axis=1)]) for band in bands())
    _, mean, squares = spread(beside)
    own = float(squares[:-1].mean())
    # A trace that stays at -65 mV has a spread of rounding errors.
    constant = own <= 1e-24 * float((mean**2).max())
    return np.nan if constant or np.isnan(own) else float(np.sqrt(squares[-1] / own))
