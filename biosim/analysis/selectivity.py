"""What a neuron answers to: tuning, class selectivity, sparseness."""

from __future__ import annotations

import numpy as np
import xarray as xr

from biosim.analysis.slices import labels_along, over_slices, require_agreement, require_dimensions
from biosim.errors import AnalysisError


def tuning(
    activity: xr.DataArray,
    labels: xr.DataArray,
    *,
    sample: str = "sample",
    neuron: str = "neuron",
) -> xr.DataArray:
    """Return each neuron's mean activity for each label.

    Args:
        activity: (..., sample, neuron), for example `tree["activity/hidden1"].activity` or what
            `trial_counts` gives (with sample="trial").
        labels: (sample) of each sample: classes, stimuli, orientations.
        sample: name of the dimension of the samples.
        neuron: name of the dimension of the neurons.

    Returns:
        Means in the unit of the activity (..., label, neuron), labels in increasing order. NaN
        for a label with a NaN among its samples.

    Raises:
        AnalysisError: a dimension is missing, or the two differ in their samples.
    """
    require_dimensions(labels, (sample,))
    require_dimensions(activity, (sample, neuron))
    require_agreement([activity, labels])
    if labels.dims != (sample,):
        raise AnalysisError(f"got labels with {list(labels.dims)}; expected {[sample]} alone")
    kinds, which = np.unique(labels.values, return_inverse=True)
    counts = np.bincount(which, minlength=len(kinds))
    # One matrix product instead of a pass for each label.
    member = (which == np.arange(len(kinds))[:, None]).astype(np.float64)

    def of_slice(part: xr.DataArray) -> np.ndarray:
        values = part.values.astype(np.float64)
        missing = np.isnan(values)
        means = member @ np.where(missing, 0.0, values) / counts[:, None]
        return np.where(member @ missing > 0, np.nan, means)

    found = over_slices(
        of_slice,
        [activity],
        [(sample, neuron)],
        {"label": kinds, neuron: labels_along(activity, neuron)},
    )
    return found.rename("tuning").assign_attrs(activity.attrs)


def class_selectivity(
    activity: xr.DataArray,
    labels: xr.DataArray,
    *,
    sample: str = "sample",
    neuron: str = "neuron",
) -> xr.DataArray:
    """Return how much more a neuron answers to its best label than to the others.

    (m_best - m_others) / (m_best + m_others), with m_best the largest of the mean activities by
    label and m_others the mean of the rest.

    Source: Morcos, Barrett, Rabinowitz and Botvinick (2018), ICLR, arXiv:1803.06959.

    Args:
        activity: (..., sample, neuron), not negative: rates, counts, rectified units.
        labels: (sample), of two kinds or more.
        sample: name of the dimension of the samples.
        neuron: name of the dimension of the neurons.

    Returns:
        From 0, the same for all, to 1, for one label only (..., neuron), without unit. NaN for a
        neuron that is silent, has a negative mean or a NaN, and if there are not two labels.

    Raises:
        AnalysisError: as `tuning`.
    """
    means = tuning(activity, labels, sample=sample, neuron=neuron)
    kinds = means.sizes["label"]
    # Of no samples there is no largest mean.
    best = means.max("label", skipna=False) if kinds else means.sum("label") * np.nan
    others = (means.sum("label", skipna=False) - best) / (kinds - 1 or np.nan)
    defined = (best + others > 0) & (means >= 0).all("label")
    found = ((best - others) / (best + others).where(defined)).rename("selectivity")
    return found.drop_attrs().assign_attrs(units="1", long_name="class selectivity")


def sparseness(activity: xr.DataArray, dim: str = "sample") -> xr.DataArray:
    """Return how few of the values along a dimension make up the activity.

    (1 - (mean r)^2 / mean(r^2)) / (1 - 1/n): 0 if all are the same, 1 if one alone is not 0. Along
    samples it is a neuron's lifetime sparseness, along neurons the population's.

    Source: Treves and Rolls (1991), Network 2, 371-397; in this form Vinje and Gallant (2000),
    Science 287, 1273-1276.

    Args:
        activity: not negative, with the dimension `dim` and any others.
        dim: along which activity is compared.

    Returns:
        From 0 to 1 (the other dimensions), without unit. NaN where all are 0, one is negative or
        NaN, or there is only one.

    Raises:
        AnalysisError: the activity has no such dimension.
    """
    require_dimensions(activity, (dim,))
    rest = [str(other) for other in activity.dims if other != dim]
    # All at once but for one dimension, which stays outside so that it is read slice by slice.
    kept = (dim, *rest[1:]) if len(rest) > 1 else (dim, *rest)

    def of_slice(part: xr.DataArray) -> np.ndarray:
        values = part.values.astype(np.float64)
        count = len(values)
        if count < 2:
            return np.full(values.shape[1:], np.nan)
        squares = (values**2).mean(axis=0)
        defined = (squares > 0) & (values.min(axis=0) >= 0)
        ratio = values.mean(axis=0) ** 2 / np.where(defined, squares, np.nan)
        found: np.ndarray = np.clip((1.0 - ratio) / (1.0 - 1.0 / count), 0.0, 1.0)
        return found

    inner = kept[1:]
    labels = {name: labels_along(activity, name) for name in inner}
    found = over_slices(of_slice, [activity], [kept], labels)
    return found.rename("sparseness").assign_attrs(units="1", long_name="sparseness")
