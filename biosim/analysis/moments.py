"""Means and scatter of rows that come in bands, so that not all are held at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import xarray as xr

from biosim.analysis.spikes import Float64s

BLOCK_VALUES = 1 << 22
"""Values of an array that are read at a time."""


def scatter(bands: Iterable[npt.NDArray[np.number]]) -> tuple[int, Float64s, Float64s]:
    """Return the number of rows, their mean (n,) and their scatter matrix (n, n).

    The scatter is the sum of (x - mean)(x - mean)^T: n_rows times the covariance.

    Source: Chan, Golub and LeVeque (1979), Stanford report STAN-CS-79-773: how the figures of two
    groups make up those of both, without cancellation.

    Args:
        bands: (some rows, n) each, one at least.
    """
    count, mean, whole = 0, np.empty(0), np.empty(0)
    for band in bands:
        rows = np.asarray(band, np.float64)
        new, here = len(rows), rows.mean(axis=0)
        centred = rows - here
        if count == 0:
            count, mean, whole = new, here, centred.T @ centred
            continue
        step = here - mean
        whole += centred.T @ centred + np.outer(step, step) * (count * new / (count + new))
        mean = mean + step * (new / (count + new))
        count += new
    return count, mean, whole


def spread(bands: Iterable[npt.NDArray[np.number]]) -> tuple[int, Float64s, Float64s]:
    """Return the number of rows, their mean (n,) and their sum of squares about it (n,).

    As `scatter`, of which it is the diagonal.
    """
    count, mean, squares = 0, np.empty(0), np.empty(0)
    for band in bands:
        rows = np.asarray(band, np.float64)
        new, here = len(rows), rows.mean(axis=0)
        own = ((rows - here) ** 2).sum(axis=0)
        if count == 0:
            count, mean, squares = new, here, own
            continue
        step = here - mean
        squares += own + step**2 * (count * new / (count + new))
        mean = mean + step * (new / (count + new))
        count += new
    return count, mean, squares


def row_bands(array: xr.DataArray, height: int | None = None) -> Iterator[Float64s]:
    """Yield the rows of an array (rows, ...), some at a time, each band read when it is due.

    Args:
        array: with one dimension at least.
        height: rows of a band; by default as many as `BLOCK_VALUES` make up.
    """
    rows = array.shape[0]
    if height is None:
        height = max(1, BLOCK_VALUES // max(1, array.size // max(1, rows)))
    for first in range(0, rows, height):
        yield array[first : first + height].values.astype(np.float64)
