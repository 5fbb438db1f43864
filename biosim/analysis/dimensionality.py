"""In how many directions activity varies: the participation ratio, principal components."""

from __future__ import annotations

import numpy as np
import xarray as xr

from biosim.analysis.binning import refuse_large
from biosim.analysis.moments import row_bands, scatter
from biosim.analysis.slices import over_slices, require_dimensions
from biosim.analysis.spikes import Float64s
from biosim.errors import AnalysisError


def participation_ratio(
    activity: xr.DataArray, *, sample: str = "sample", neuron: str = "neuron"
) -> xr.DataArray:
    """Return the effective number of directions in which activity varies.

    (sum of the eigenvalues of the covariance)^2 / sum of their squares: n if n directions vary
    alike, 1 if all varies along one.

    Source: Rajan, Abbott and Sompolinsky (2010), NeurIPS 23, equation for N_eff; Gao et al.
    (2017), bioRxiv 214262.

    Args:
        activity: (..., sample, neuron), for example `tree["activity/hidden1"].activity`; samples
            may be times. Read some rows at a time where there are more samples than neurons.
        sample: name of the dimension of the samples.
        neuron: name of the dimension of the neurons.

    Returns:
        Ratios from 1 to min(n_samples - 1, n_neurons), without unit, for each slice of the other
        dimensions, snapshots for one. NaN if nothing varies, there is a NaN, or fewer than two
        samples.

    Raises:
        AnalysisError: the activity lacks a dimension, or the covariance would be too large.
    """

    def of_slice(part: xr.DataArray) -> float:
        if part.sizes[sample] < 2 or part.sizes[neuron] < 1:
            return np.nan
        products, mean = _products(part)
        squares = float((products**2).sum())
        whole = float(np.trace(products))
        constant = whole <= 1e-24 * part.sizes[sample] * float((mean**2).sum())
        return np.nan if constant or not squares > 0 else whole**2 / squares

    found = over_slices(of_slice, [activity], [(sample, neuron)])
    attributes = {"units": "1", "long_name": "participation ratio"}
    return found.rename("participation_ratio").assign_attrs(attributes)


def principal_components(
    activity: xr.DataArray, components: int, *, sample: str = "sample", neuron: str = "neuron"
) -> xr.Dataset:
    """Return the directions in which activity varies most.

    Each direction has length 1, and its entry of largest size is positive.

    Source: Hotelling (1933), Journal of Educational Psychology 24, 417-441.

    Args:
        activity: (sample, neuron).
        components: how many; at most min(n_samples, n_neurons).
        sample: name of the dimension of the samples.
        neuron: name of the dimension of the neurons.

    Returns:
        `direction` (component, neuron), `score` (sample, component), the activity less its mean
        along the directions, `variance` (component), over n - 1, `share` of the whole variance
        (component), `mean` (neuron). All but labels is NaN if there is a NaN; `share` and
        `variance` are NaN with one sample.

    Raises:
        AnalysisError: there are other dimensions, more components than there can be, or the
            covariance would be too large.
    """
    require_dimensions(activity, (sample, neuron))
    if len(activity.dims) != 2:
        raise AnalysisError(
            f"got the dimensions {list(activity.dims)}; expected {[sample, neuron]}: select one "
            "of the others, a snapshot for one"
        )
    part = activity.transpose(sample, neuron)
    samples, neurons = part.shape
    if not 1 <= components <= min(samples, neurons):
        raise AnalysisError(
            f"got {components} components; expected 1 to {min(samples, neurons)}, the smaller "
            "number of samples and neurons"
        )
    values, directions, mean = _principal(part)
    whole = float(values.sum())
    values, directions = values[:components], directions[:components]
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.sign(directions[np.arange(components), largest])[:, None]
    scores = np.concatenate([(band - mean) @ directions.T for band in row_bands(part)])
    return xr.Dataset(
        {
            "direction": (("component", neuron), directions, {"units": "1"}),
            "score": ((sample, "component"), scores, dict(activity.attrs)),
            "variance": ("component", values / (samples - 1) if samples > 1 else values * np.nan),
            "share": ("component", values / (whole if samples > 1 and whole > 0 else np.nan)),
            "mean": (neuron, mean, dict(activity.attrs)),
        },
        coords={
            name: coordinate.variable
            for name, coordinate in activity.coords.items()
            if coordinate.dims in ((sample,), (neuron,))
        },
    )


def _products(part: xr.DataArray) -> tuple[Float64s, Float64s]:
    """Return the scatter matrix of neurons or of samples, whichever is smaller, and the mean.

    Both have the same eigenvalues, but for zeros.
    """
    samples, neurons = part.shape
    smaller = min(samples, neurons)
    refuse_large(16 * smaller**2, "the covariance", "choose fewer neurons or samples")
    if samples >= neurons:
        _, mean, products = scatter(row_bands(part))
        return products, mean
    values = part.values.astype(np.float64)
    centre = values.mean(axis=0)
    values = values - centre
    return values @ values.T, centre


def _principal(part: xr.DataArray) -> tuple[Float64s, Float64s, Float64s]:
    """Return all eigenvalues of the scatter matrix, largest first, directions and the mean."""
    samples, neurons = part.shape
    if samples >= neurons:
        products, mean = _products(part)
        if np.isnan(products).any():
            return np.full(neurons, np.nan), np.full((neurons, neurons), np.nan), mean
        values, vectors = np.linalg.eigh(products)
        return np.maximum(values[::-1], 0.0), vectors[:, ::-1].T, mean
    centred = part.values.astype(np.float64)
    mean = centred.mean(axis=0)
    centred = centred - mean
    if np.isnan(centred).any():
        return np.full(samples, np.nan), np.full(part.shape, np.nan), mean
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    return lengths**2, directions, mean
