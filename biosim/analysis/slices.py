"""Repeating a statistic over the dimensions that it is not about, snapshots for one.

A slice is read when it is due, so that a run's activity at all snapshots is never held at once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from biosim.errors import AnalysisError


def over_slices(
    statistic: Callable[..., Any],
    arrays: Sequence[xr.DataArray],
    kept: Sequence[Sequence[str]],
    out: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Apply a statistic to every slice of arrays that share their other dimensions.

    Args:
        statistic: takes a slice of each array, unread, its dimensions in the order of `kept`, and
            returns a number, or an array with the dimensions of `out`.
        arrays: labelled, read lazily or in memory.
        kept: for each array the dimensions that a slice has.
        out: dimensions of what the statistic returns -> their labels, of `labels_along`; for a
            dimension without labels, its size.

    Returns:
        The other dimensions of the arrays, then those of `out`, float64. A dimension that only
        one of them has is combined with everything.

    Raises:
        AnalysisError: an array lacks a dimension, or the arrays disagree along one.
    """
    for array, dims in zip(arrays, kept, strict=True):
        require_dimensions(array, dims)
    require_agreement(arrays)
    others = {
        dim: array
        for array, dims in zip(arrays, kept, strict=True)
        for dim in array.dims
        if dim not in dims
    }
    shape = tuple(array.sizes[dim] for dim, array in others.items())
    results = []
    for index in np.ndindex(shape):
        at = dict(zip(others, index, strict=True))
        slices = [
            array.isel({dim: k for dim, k in at.items() if dim in array.dims}).transpose(*dims)
            for array, dims in zip(arrays, kept, strict=True)
        ]
        results.append(np.asarray(statistic(*slices), np.float64))
    inner = {
        name: label if isinstance(label, int) else len(label) for name, label in (out or {}).items()
    }
    values = np.stack(results) if results else np.empty((0, *inner.values()))
    coords: dict[Hashable, Any] = {
        name: coordinate.variable
        for dim, array in others.items()
        for name, coordinate in array.coords.items()
        if coordinate.dims == (dim,)
    }
    return xr.DataArray(
        values.reshape((*shape, *inner.values())),
        coords
        | {
            name: (name, np.asarray(label))
            for name, label in (out or {}).items()
            if not isinstance(label, int)
        },
        (*others, *inner),
    )


def labels_along(array: xr.DataArray, dim: str) -> Any:
    """Return the labels of a dimension, or its size if it has none."""
    return array[dim].values if dim in array.coords else array.sizes[dim]


def require_dimensions(array: xr.DataArray, dims: Sequence[str]) -> None:
    """Raise an `AnalysisError` if an array lacks one of the dimensions."""
    missing = [dim for dim in dims if dim not in array.dims]
    if missing:
        raise AnalysisError(
            f"{array.name or 'the array'} has the dimensions {list(array.dims)}; "
            f"expected {list(dims)}: rename yours, or name them in the call"
        )


def require_agreement(arrays: Sequence[xr.DataArray], but: Sequence[str] = ("neuron",)) -> None:
    """Raise an `AnalysisError` if arrays have a dimension in common, but not its size and labels.

    Args:
        arrays: that are compared.
        but: dimensions that need not agree: the neurons of two networks.
    """
    seen: dict[Hashable, xr.DataArray] = {}
    for array in arrays:
        for dim in array.dims:
            if dim in but:
                continue
            first = seen.setdefault(dim, array)
            if first.sizes[dim] != array.sizes[dim]:
                raise AnalysisError(
                    f"got {first.sizes[dim]} and {array.sizes[dim]} along {dim!r}; "
                    "expected the same ones in both"
                )
            if dim not in first.coords or dim not in array.coords:
                continue
            # The labels alone: a coordinate also carries which snapshot it was taken from.
            if not np.array_equal(first[dim].values, array[dim].values):
                raise AnalysisError(f"the two differ along {dim!r}: select the same in both first")
