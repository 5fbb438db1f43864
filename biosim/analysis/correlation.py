"""Pairwise correlation of spike counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from biosim.analysis.binning import count_bands, refuse_large, whole_bins
from biosim.analysis.moments import scatter
from biosim.analysis.spikes import SpikeColumns, spike_trains


def pairwise_correlation(
    spikes: SpikeColumns,
    bin_s: float,
    *,
    neurons: Sequence[int] | npt.NDArray[Any] | None = None,
    start_s: float | None = None,
    stop_s: float | None = None,
) -> xr.DataArray:
    """Return Pearson's correlation of the counts of every pair of neurons.

    Memory: 8 bytes a pair and a band of counts, however long the recording.

    Source: Perkel, Gerstein and Moore (1967), Biophysical Journal 7, 419-440; for counts, Cohen
    and Kohn (2011), Nature Neuroscience 14, 811-819.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        bin_s: width of the bins in which spikes are counted, seconds.
        neurons: that are compared; by default all that were recorded.
        start_s: begin of the first bin; by default of the recording.
        stop_s: end; by default of the recording.

    Returns:
        Correlations from -1 to 1 (neuron, other), symmetric, 1 for a neuron with itself. NaN for
        neurons whose count does not vary, silent ones among them.

    Raises:
        AnalysisError: as `spike_counts`.
    """
    trains = spike_trains(spikes, neurons, start_s, stop_s)
    size = len(trains.neurons)
    refuse_large(24 * size * size, "the correlations", "choose fewer neurons")
    whole_bins(trains, bin_s)
    _, _, products = scatter(count_bands(trains, bin_s))
    return xr.DataArray(
        normalised(products),
        {"neuron": trains.coordinate(), "other": ("other", trains.neurons)},
        ("neuron", "other"),
        name="correlation",
        attrs={"units": "1", "long_name": "correlation of spike counts", "bin_s": bin_s},
    )


def normalised(products: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the correlations (n, n) that belong to a scatter matrix (n, n)."""
    size = len(products)
    diagonal = np.diagonal(products)
    # A count that is always the same has a scatter of rounding errors, not of variation.
    scale = np.sqrt(np.where(diagonal > 1e-12, diagonal, np.nan))
    found: npt.NDArray[np.float64] = np.clip(products / scale[:, None] / scale, -1.0, 1.0)
    found[np.arange(size), np.arange(size)] = np.where(np.isnan(scale), np.nan, 1.0)
    return found
