"""Arrays of several runs as one, which reads from a run only what is asked of it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from biosim.traces import Chunks

Int64s = npt.NDArray[np.int64]
Places = dict[Hashable, Int64s | None]
"""Dimension -> where a run has each of the common labels, -1 where not; None if all in order."""


def stacked_dataset(
    cells: Sequence[xr.Dataset | None], sizes: Mapping[str, int], chunks: Chunks = None
) -> xr.Dataset:
    """Return datasets with the same names as one, with dimensions in front.

    Args:
        cells: for each place, in the order of the last dimension first; None where nothing is.
        sizes: the new dimensions and their lengths.
        chunks: how dask cuts the arrays; None for no dask.

    Returns:
        Labels are those of all datasets. Where a dataset has nothing there is NaN, or "" of
        text. Arrays that differ in their dimensions, or in lengths without labels, are named by
        the attribute `left_out`.
    """
    there = [cell for cell in cells if cell is not None]
    labels = _common_labels(there)
    # A run may be seen at several places, and is compared once.
    places = {id(cell): _places(cell, labels) for cell in there}
    names = list(dict.fromkeys(name for cell in there for name in cell.variables))
    found: dict[Hashable, xr.Variable] = {}
    along: dict[Hashable, xr.Variable] = {}
    left_out: list[str] = []
    lengths: dict[Hashable, set[int]] = {}
    for cell in there:
        for dim, length in cell.sizes.items():
            lengths.setdefault(dim, set()).add(length)
    ragged = {dim for dim, all_of in lengths.items() if len(all_of) > 1 and dim not in labels}
    for name in names:
        if name in labels:
            continue
        variables = [None if cell is None else cell.variables.get(name) for cell in cells]
        known = [variable for variable in variables if variable is not None]
        first = known[0]
        if any(variable.dims != first.dims for variable in known) or ragged & {*first.dims}:
            left_out.append(str(name))
            continue
        is_coordinate = any(name in cell.coords for cell in there)
        if is_coordinate and _all_equal(variables, cells, places):
            along[name] = first
            continue
        at = [None if cell is None else places[id(cell)] for cell in cells]
        shape = tuple(
            len(labels[dim]) if dim in labels else size for dim, size in first.sizes.items()
        )
        array = _Stacked(variables, at, first.dims, tuple(sizes.values()), shape)
        dims = (*sizes, *first.dims)
        stacked = xr.Variable(dims, indexing.LazilyIndexedArray(array), _shared(known))
        if chunks is not None and stacked.dtype != object:
            stacked = stacked.chunk(
                {dim: n for dim, n in chunks.items() if dim in dims}
                if isinstance(chunks, Mapping) and chunks
                else "auto"
            )
        (along if is_coordinate else found)[name] = stacked
    coords = {**along, **{dim: xr.Variable((dim,), v) for dim, v in labels.items()}}
    for dim in labels:
        coords[dim].attrs.update(_shared([cell.variables[dim] for cell in there if dim in cell]))
    attributes = _shared(there)
    if left_out:
        attributes["left_out"] = left_out
    return xr.Dataset(found, coords, attributes)


class _Stacked(BackendArray):
    """An array whose leading dimensions are over runs.

    Args:
        variables: of each place; None where there is nothing.
        places: of each place, where it has the common labels.
        dims: of each variable.
        grid: lengths of the dimensions over runs.
        shape: of what a run is seen to have.
    """

    def __init__(
        self,
        variables: Sequence[xr.Variable | None],
        places: Sequence[Places | None],
        dims: Sequence[Hashable],
        grid: tuple[int, ...],
        shape: tuple[int, ...],
    ) -> None:
        self._variables, self._places, self._dims, self._grid = variables, places, dims, grid
        self.shape = (*grid, *shape)
        known = [variable.dtype for variable in variables if variable is not None]
        partial = [own for at in places if at for dim in dims if (own := at.get(dim)) is not None]
        lacking = any(v is None for v in variables) or any(int(own.min()) < 0 for own in partial)
        self.dtype = np.result_type(*known) if known else np.dtype(np.float64)
        if self.dtype.kind in "OUS":
            self.dtype = np.dtype(object)
        elif self.dtype.kind not in "fc" and lacking:
            self.dtype = np.dtype(np.float64)
        self._fill: Any = "" if self.dtype == object else np.nan if self.dtype.kind in "fc" else 0

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._basic
        )

    def _basic(self, key: tuple[int | slice, ...]) -> npt.NDArray[Any]:
        asked = [
            np.arange(n)[k] if isinstance(k, slice) else np.array([int(k)])
            for k, n in zip(key, self.shape, strict=True)
        ]
        over, inner = asked[: len(self._grid)], asked[len(self._grid) :]
        found = np.full(tuple(map(len, asked)), self._fill, self.dtype)
        numbers = np.arange(int(np.prod(self._grid))).reshape(self._grid)[np.ix_(*over)]
        for place, number in np.ndenumerate(numbers):
            variable, at = self._variables[number], self._places[number]
            if variable is None or at is None:
                continue
            wanted = [
                here if (own := at.get(dim)) is None else own[here]
                for dim, here in zip(self._dims, inner, strict=True)
            ]
            present = [np.flatnonzero(part >= 0) for part in wanted]
            if not all(map(len, present)):
                continue
            source = {
                dim: _slice(part[there])
                for dim, part, there in zip(self._dims, wanted, present, strict=True)
            }
            values = variable.isel(source).values
            found[place][np.ix_(*present)] = values
        whole = tuple(slice(None) if isinstance(k, slice) else 0 for k in key)
        return found[whole]


def _slice(at: Int64s) -> Int64s | slice:
    """Return positions as a slice where they are one after the other: quicker to read."""
    if len(at) and at[-1] - at[0] == len(at) - 1 and np.all(np.diff(at) == 1):
        return slice(int(at[0]), int(at[-1]) + 1)
    return at


def _common_labels(datasets: Sequence[xr.Dataset]) -> dict[Hashable, npt.NDArray[Any]]:
    """Return the labels that any dataset has along each dimension that has some in all."""
    found: dict[Hashable, npt.NDArray[Any]] = {}
    for dim in dict.fromkeys(dim for each in datasets for dim in each.dims):
        having = [each for each in datasets if dim in each.dims]
        if not all(dim in each.coords for each in having):
            continue
        every = [each[dim].values for each in having]
        if all(np.array_equal(labels, every[0]) for labels in every):
            found[dim] = every[0]
        elif every[0].dtype.kind in "OUS":
            names = dict.fromkeys(name for labels in every for name in labels.tolist())
            found[dim] = np.array(list(names), dtype=object)
        else:
            found[dim] = np.unique(np.concatenate(every))
    return found


def _places(dataset: xr.Dataset, labels: Mapping[Hashable, npt.NDArray[Any]]) -> Places:
    found: Places = {}
    for dim in dataset.dims:
        if dim not in labels:
            continue
        own = dataset[dim].values
        if np.array_equal(own, labels[dim]):
            found[dim] = None
            continue
        position = {label: at for at, label in enumerate(own.tolist())}
        found[dim] = np.array([position.get(x, -1) for x in labels[dim].tolist()], np.int64)
    return found


def _all_equal(
    variables: Sequence[xr.Variable | None],
    cells: Sequence[xr.Dataset | None],
    places: Mapping[int, Places],
) -> bool:
    """Return whether all runs that have a coordinate have the same, at the same labels."""
    first: xr.Variable | None = None
    for variable, cell in zip(variables, cells, strict=True):
        if variable is None or cell is None:
            continue
        first = variable if first is None else first
        of_it = places[id(cell)]
        if any(of_it.get(dim) is not None for dim in variable.dims):
            return False
        if variable is not first and not np.array_equal(variable.values, first.values):
            return False
    return True


def _shared(of: Sequence[xr.Variable] | Sequence[xr.Dataset]) -> dict[str, Any]:
    """Return the attributes that all have and agree in."""
    if not of:
        return {}
    return {
        str(name): value
        for name, value in of[0].attrs.items()
        if all(name in other.attrs and _same(other.attrs[name], value) for other in of)
    }


def _same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one, other)) if isinstance(one, np.ndarray) else one == other
