"""How weights are spread at each snapshot, over bins that are the same at all of them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from biosim.analysis.slices import require_dimensions
from biosim.analysis.spikes import Float64s
from biosim.analysis.weights import weight_histogram, weight_statistics

MOST_BINS, LEAST_BINS = 60, 12
FINER = 32
"""Parts of a bin in which weights are counted for the quantiles."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def weight_distribution(weights: xr.DataArray, *, snapshot: str = "snapshot") -> xr.Dataset:
    """Return how many weights are how large at each snapshot, and what divides them in shares.

    Bins are equally wide, reach from the least weight to the greatest, and are as many as the root
    of the number of weights, within 12 to 60. Weights are read twice, in parts.

    Args:
        weights: (snapshot, ...).
        snapshot: name of the dimension of time.

    Returns:
        `count` (snapshot, weight), where `weight` is the middle of a bin; `edge` (edge), the edges
        of the bins; `quantile_weight` (snapshot, quantile), right to a 32nd of a bin; and over
        (snapshot) what `weight_statistics` returns. At a snapshot with a weight that is not finite
        nothing is counted and all else is NaN; without any other snapshot the edges are NaN too.

    Raises:
        AnalysisError: the weights have no such dimension.
    """
    require_dimensions(weights, (snapshot,))
    with np.errstate(invalid="ignore", over="ignore"):  # of weights that are infinite
        statistics = weight_statistics(weights, snapshot=snapshot)
    finite = np.isfinite(statistics.minimum.values) & np.isfinite(statistics.maximum.values)
    statistics = statistics.where(xr.DataArray(finite, dims=snapshot))
    a_snapshot = weights.size // max(1, weights.sizes[snapshot])
    bins = int(np.clip(np.sqrt(a_snapshot), LEAST_BINS, MOST_BINS))
    edges = np.full(bins + 1, np.nan)
    counts = np.zeros((weights.sizes[snapshot], bins), np.int64)
    quantiles = np.full((len(counts), len(QUANTILES)), np.nan)
    if finite.any():
        low = float(statistics.minimum.min())
        high = float(statistics.maximum.max())
        room = 0.5 * (abs(low) or 1.0) if low == high else 0.0
        fine = np.linspace(low - room, high + room, bins * FINER + 1)
        found = weight_histogram(weights, fine, snapshot=snapshot).values[finite]
        edges = fine[::FINER]
        counts[finite] = found.reshape(len(found), bins, FINER).sum(axis=-1)
        quantiles[finite] = [_quantiles(row, fine) for row in found]
    unit = {"units": weights.attrs.get("units", "1")}
    return statistics.assign(
        count=((snapshot, "weight"), counts, {"units": "1", "long_name": "weights"}),
        quantile_weight=((snapshot, "quantile"), quantiles, unit),
    ).assign_coords(
        weight=("weight", (edges[1:] + edges[:-1]) / 2, unit),
        edge=("edge", edges, unit),
        quantile=("quantile", np.array(QUANTILES)),
    )


def _quantiles(counts: Float64s, edges: Float64s) -> Float64s:
    """Return the weights below which the shares `QUANTILES` of them lie."""
    below = np.concatenate([[0], np.cumsum(counts)])
    # Empty bins before the first weight and after the last have no share.
    rising = np.append(True, np.diff(below) > 0)
    rising[:-1] |= rising[1:]
    found: Float64s = np.interp(np.array(QUANTILES) * below[-1], below[rising], edges[rising])
    return found
