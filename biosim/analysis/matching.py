"""Matching the neurons of two networks: does one have a neuron for each of the other's?"""

from __future__ import annotations

import numpy as np
import scipy
import xarray as xr

from biosim.analysis.binning import refuse_large
from biosim.analysis.moments import BLOCK_VALUES, row_bands
from biosim.analysis.slices import require_agreement, require_dimensions
from biosim.errors import AnalysisError


def match_neurons(
    first: xr.DataArray, second: xr.DataArray, *, sample: str = "sample", neuron: str = "neuron"
) -> xr.Dataset:
    """Match each neuron of one network with one of another by the correlation of their activity.

    Two ways, as in the paper: the best partner for each, which several may share (semi-matching),
    and partners one to one whose correlations have the largest sum (bipartite matching). Where
    both agree for most neurons, the networks have learnt the same features.

    Source: Li, Yosinski, Clune, Lipson and Hopcroft (2015), "Convergent Learning: Do different
    neural networks learn the same representations?", arXiv:1511.07543.

    Args:
        first: (sample, neuron), for example of one run's last snapshot.
        second: (sample, neuron), of the same samples; its neurons may be more or fewer.
        sample: name of the dimension of the samples.
        neuron: name of the dimension of the neurons.

    Returns:
        Over the neurons of `first` (neuron): `best`, the position in `second` of the neuron that
        is most correlated, and `best_correlation`; `partner`, one to one, and
        `partner_correlation`. -1 and NaN for neurons without one: those that do not vary or have a
        NaN, and the rest where `second` has fewer. `correlation` (neuron, other), from -1 to 1,
        is NaN for those that do not vary.

    Raises:
        AnalysisError: there are other dimensions, the samples differ, or there are too many
            neurons.
    """
    for activity in (first, second):
        require_dimensions(activity, (sample, neuron))
        if len(activity.dims) != 2:
            raise AnalysisError(
                f"got the dimensions {list(activity.dims)}; expected {[sample, neuron]}: select "
                "one of the others, a snapshot for one"
            )
    require_agreement([first, second], but=(neuron,))
    here, there = first.sizes[neuron], second.sizes[neuron]
    refuse_large(32 * here * there, "the correlations", "choose fewer neurons")
    correlation = _correlations(first.transpose(sample, neuron), second.transpose(sample, neuron))
    # Below any correlation: such neurons are matched last, and then not at all.
    known = np.where(np.isnan(correlation), -2.0, correlation)
    rows = np.arange(here)
    best = known.argmax(axis=1) if there else np.full(here, -1)
    partner = np.full(here, -1)
    matched, partners = scipy.optimize.linear_sum_assignment(known, maximize=True)
    partner[matched] = partners
    columns = {}
    for name, found in (("best", best), ("partner", partner)):
        value = known[rows, found] if there else np.full(here, -2.0)
        real = (found >= 0) & (value >= -1.0)
        columns[name] = (neuron, np.where(real, found, -1), {"long_name": f"{name} in the other"})
        columns[f"{name}_correlation"] = (neuron, np.where(real, value, np.nan), {"units": "1"})
    labels = {neuron: first[neuron].variable} if neuron in first.coords else {}
    return xr.Dataset(
        {**columns, "correlation": ((neuron, "other"), correlation, {"units": "1"})},
        coords=labels,
    )


def _correlations(one: xr.DataArray, two: xr.DataArray) -> np.ndarray:
    """Return Pearson's correlations (n, m) of the columns of (samples, n) and (samples, m)."""
    shape = (one.shape[1], two.shape[1])
    if one.shape[0] < 2 or 0 in shape:
        return np.full(shape, np.nan)
    centres, scales = [], []
    for part in (one, two):
        centre = sum(band.sum(axis=0) for band in row_bands(part)) / part.shape[0]
        squares = sum(((band - centre) ** 2).sum(axis=0) for band in row_bands(part))
        # What rounding leaves of a neuron that is always the same is no variation.
        varies = squares > 1e-24 * part.shape[0] * centre**2
        centres.append(centre)
        scales.append(np.sqrt(np.where(varies, squares, np.nan)))
    # Bands of both must have the same rows.
    height = max(1, BLOCK_VALUES // max(shape))
    products = np.zeros(shape)
    for a, b in zip(row_bands(one, height), row_bands(two, height), strict=True):
        products += (a - centres[0]).T @ (b - centres[1])
    found: np.ndarray = np.clip(products / scales[0][:, None] / scales[1], -1.0, 1.0)
    return found
