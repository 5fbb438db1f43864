"""How alike two representations of the same samples are: CKA, RSA, Procrustes.

None of them needs to know which neuron of one is which of the other; they may differ in number.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import scipy
import xarray as xr

from biosim.analysis.binning import refuse_large
from biosim.analysis.slices import labels_along, over_slices, require_dimensions
from biosim.analysis.spikes import Float64s
from biosim.errors import AnalysisError

Dissimilarity = Literal["correlation", "cosine", "euclidean"]
Comparison = Literal["spearman", "pearson"]


def linear_cka(
    first: xr.DataArray, second: xr.DataArray, *, sample: str = "sample", neuron: str = "neuron"
) -> xr.DataArray:
    """Return the linear centred kernel alignment of two representations.

    |Y^T X|^2 / (|X^T X| |Y^T Y|) with Frobenius norms and centred columns: 1 for representations
    that differ by a rotation and a scale, near 0 for unrelated ones if there are many more samples
    than neurons. It is the biased estimate of the paper.

    Source: Kornblith, Norouzi, Lee and Hinton (2019), ICML, arXiv:1905.00414, section 3.

    Args:
        first: (..., sample, neuron), for example `tree["activity/hidden1"].activity`.
        second: (..., sample, neuron), of the same samples. A dimension that both have, snapshots
            for one, is gone through once; rename it in one to compare all with all.
        sample: name of the dimension of the samples.
        neuron: name of the dimension of the neurons.

    Returns:
        Similarities from 0 to 1, without unit, for each slice of the other dimensions. NaN if one
        does not vary, there is a NaN, or fewer than two samples.

    Raises:
        AnalysisError: a dimension is missing, or the samples differ.
    """

    def of_slices(one: xr.DataArray, two: xr.DataArray) -> float:
        x, y = _centred(one), _centred(two)
        if x is None or y is None:
            return np.nan
        if len(x) <= max(x.shape[1], y.shape[1]):
            k, m = x @ x.T, y @ y.T
            shared, own, others = (k * m).sum(), np.linalg.norm(k), np.linalg.norm(m)
        else:
            shared = np.linalg.norm(y.T @ x) ** 2
            own, others = np.linalg.norm(x.T @ x), np.linalg.norm(y.T @ y)
        return float(np.minimum(shared / (own * others), 1.0))

    found = over_slices(of_slices, [first, second], [(sample, neuron)] * 2)
    return found.rename("cka").assign_attrs(units="1", long_name="linear CKA")


def procrustes_distance(
    first: xr.DataArray, second: xr.DataArray, *, sample: str = "sample", neuron: str = "neuron"
) -> xr.DataArray:
    """Return how far two representations are apart after the best rotation.

    Both are centred and scaled to a Frobenius norm of 1; the distance is then
    sqrt(2 - 2 |X^T Y|_*), with the nuclear norm. It is a metric: 0 for representations that differ
    by a rotation, a shift and a scale, sqrt(2) for ones at right angles.

    Source: Schönemann (1966), Psychometrika 31, 1-10; Williams, Kunz, Kornblith and Linderman
    (2021), NeurIPS 34, arXiv:2110.14739.

    Args:
        first: (..., sample, neuron).
        second: (..., sample, neuron), of the same samples; as in `linear_cka`.
        sample: name of the dimension of the samples.
        neuron: name of the dimension of the neurons.

    Returns:
        Distances from 0 to sqrt(2), without unit, for each slice of the other dimensions; NaN as
        for `linear_cka`.

    Raises:
        AnalysisError: a dimension is missing, or the samples differ.
    """

    def of_slices(one: xr.DataArray, two: xr.DataArray) -> float:
        x, y = _centred(one), _centred(two)
        if x is None or y is None:
            return np.nan
        # Of many neurons and few samples the product would be as large as its use is small.
        x, y = _turned(x / np.linalg.norm(x)), _turned(y / np.linalg.norm(y))
        shared = np.linalg.svd(x.T @ y, compute_uv=False)
        return float(np.sqrt(max(2.0 - 2.0 * shared.sum(), 0.0)))

    found = over_slices(of_slices, [first, second], [(sample, neuron)] * 2)
    return found.rename("procrustes").assign_attrs(units="1", long_name="Procrustes distance")


def dissimilarity(
    activity: xr.DataArray,
    metric: Dissimilarity = "correlation",
    *,
    sample: str = "sample",
    neuron: str = "neuron",
) -> xr.DataArray:
    """Return the representational dissimilarity matrix (RDM): how much samples' patterns differ.

    Source: Kriegeskorte, Mur and Bandettini (2008), Frontiers in Systems Neuroscience 2:4.

    Args:
        activity: (..., sample, neuron).
        metric: "correlation" and "cosine" are 1 minus those; "euclidean" has the activity's unit.
        sample: name of the dimension of the samples.
        neuron: name of the dimension of the neurons.

    Returns:
        (..., sample, other): symmetric, 0 on the diagonal. NaN between a sample and others where
        it has a NaN, is constant over neurons (correlation) or silent (cosine).

    Raises:
        AnalysisError: a dimension is missing, the metric is not known, or there are too many
            samples.
    """
    if metric not in get_args(Dissimilarity):
        known = ", ".join(get_args(Dissimilarity))
        raise AnalysisError(f"got the metric {metric!r}; expected {known}")
    samples = activity.sizes.get(sample, 0)
    refuse_large(24 * samples**2, "the matrix", "choose fewer samples")
    require_dimensions(activity, (sample, neuron))
    labels = labels_along(activity, sample)
    found = over_slices(
        lambda part: _dissimilarities(part.values.astype(np.float64), metric),
        [activity],
        [(sample, neuron)],
        {sample: labels, "other": labels},
    )
    unit = activity.attrs.get("units", "1") if metric == "euclidean" else "1"
    return found.rename("dissimilarity").assign_attrs(units=unit, metric=metric)


def representational_similarity(
    first: xr.DataArray,
    second: xr.DataArray,
    metric: Dissimilarity = "correlation",
    compare: Comparison = "spearman",
    *,
    sample: str = "sample",
    neuron: str = "neuron",
) -> xr.DataArray:
    """Return the correlation of two dissimilarity matrices above their diagonals (RSA).

    Source: Kriegeskorte, Mur and Bandettini (2008), Frontiers in Systems Neuroscience 2:4.

    Args:
        first: (..., sample, neuron).
        second: (..., sample, neuron), of the same samples; as in `linear_cka`.
        metric: as in `dissimilarity`.
        compare: "spearman", of ranks, or "pearson".
        sample: name of the dimension of the samples.
        neuron: name of the dimension of the neurons.

    Returns:
        Correlations from -1 to 1 for each slice of the other dimensions. NaN if a dissimilarity is
        NaN or all are the same, and with fewer than three samples.

    Raises:
        AnalysisError: as `dissimilarity`, the comparison is not known, or the samples differ.
    """
    if compare not in get_args(Comparison):
        known = ", ".join(get_args(Comparison))
        raise AnalysisError(f"got the comparison {compare!r}; expected {known}")
    if metric not in get_args(Dissimilarity):
        known = ", ".join(get_args(Dissimilarity))
        raise AnalysisError(f"got the metric {metric!r}; expected {known}")
    refuse_large(48 * first.sizes.get(sample, 0) ** 2, "the matrices", "choose fewer samples")

    def of_slices(one: xr.DataArray, two: xr.DataArray) -> float:
        above = np.triu_indices(one.sizes[sample], 1)
        x, y = (_dissimilarities(part.values.astype(float), metric)[above] for part in (one, two))
        if len(x) < 2 or not np.isfinite(x).all() or not np.isfinite(y).all():
            return np.nan
        if compare == "spearman":
            x, y = scipy.stats.rankdata(x), scipy.stats.rankdata(y)
        x, y = x - x.mean(), y - y.mean()
        scale = float(np.linalg.norm(x) * np.linalg.norm(y))
        return float(np.clip((x @ y) / scale, -1.0, 1.0)) if scale > 0 else np.nan

    found = over_slices(of_slices, [first, second], [(sample, neuron)] * 2)
    return found.rename("rsa").assign_attrs(units="1", long_name="representational similarity")


def _dissimilarities(patterns: Float64s, metric: Dissimilarity) -> Float64s:
    """Return the dissimilarities (n, n) of patterns (n, n_neurons)."""
    count = len(patterns)
    found: Float64s
    if metric == "euclidean":
        between = scipy.spatial.distance
        found = between.squareform(between.pdist(patterns)) if count > 1 else np.zeros((1, 1))
        np.fill_diagonal(found, np.where(np.isnan(patterns).any(axis=1), np.nan, 0.0))
        return found[:count, :count]
    if metric == "correlation" and patterns.size:
        largest = np.abs(patterns).max(axis=1, keepdims=True)
        patterns = patterns - patterns.mean(axis=1, keepdims=True)
        # What rounding leaves of a constant pattern has no direction.
        patterns = np.where(np.abs(patterns) > 1e-12 * largest, patterns, 0.0 * patterns)
    norms = np.linalg.norm(patterns, axis=1)
    units = patterns / np.where(norms > 0, norms, np.nan)[:, None]
    found = 1.0 - np.clip(units @ units.T, -1.0, 1.0)
    np.fill_diagonal(found, 0.0)
    # Also where there are no neurons, of which the product would be 0.
    known = norms > 0
    return np.where(known[:, None] & known, found, np.nan)


def _centred(part: xr.DataArray) -> Float64s | None:
    """Return the values with their mean over samples removed; None if nothing is left of them."""
    if part.shape[0] < 2 or part.shape[1] < 1:
        return None
    values = part.values.astype(np.float64)
    centred = values - values.mean(axis=0)
    # NaN compares as false, so it ends here, too.
    varies = np.abs(centred).max() > 1e-12 * np.abs(values).max()
    return centred if varies else None


def _turned(values: Float64s) -> Float64s:
    """Return values (n, n_neurons) turned into n dimensions, if those are fewer.

    Lengths and angles between samples stay as they are.
    """
    if values.shape[0] >= values.shape[1]:
        return values
    turned: Float64s = np.linalg.qr(values.T).R.T
    return turned
