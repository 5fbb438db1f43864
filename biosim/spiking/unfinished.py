"""An unfinished run's logs as xarray sees them: labelled, read only where they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr
from xarray.backends import BackendArray
from xarray.core import indexing

from biosim.spiking.merged import (
    WINDOW_TICKS,
    MergedRows,
    MergedSpikes,
    row_logs,
    spike_logs,
    time_attributes,
)


def merged_dataset(stream: zarr.Group, committed: int) -> xr.Dataset:
    """Return what the logs of a group hold up to a tick, as if they had been finalised.

    Args:
        stream: a group that has logs: spikes/E, traces/E or weights/E->E.
        committed: only what was recorded before this tick is seen.

    Raises:
        OutputError: a log lacks what its owner committed.
    """
    kind = stream.path.partition("/")[0]
    found = _spikes(stream, committed) if kind == "spikes" else _rows(stream, committed)
    return xr.decode_cf(found.assign_attrs(committed_tick=committed))


def _spikes(stream: zarr.Group, committed: int) -> xr.Dataset:
    logs = spike_logs(stream)
    merged = MergedSpikes(logs, committed)
    attributes: dict[str, Any] = {**logs[0].attrs, "window_ticks": WINDOW_TICKS}
    when = time_attributes(attributes["dt_s"], "time of the spike")
    shape = (len(merged),)

    def steps(at: slice) -> npt.NDArray[Any]:
        return merged.read(at.start, at.stop)[0]

    def ids(at: slice) -> npt.NDArray[Any]:
        return merged.read(at.start, at.stop)[1]

    found = {
        "step": _lazy("spike", shape, np.int64, steps, when),
        "id": _lazy("spike", shape, np.uint32, ids, {"long_name": "neuron that fired"}),
        "window_ptr": xr.Variable("window_edge", merged.window_ptr.astype(np.uint64)),
    }
    if merged.recorded is not None:
        found["recorded"] = xr.Variable("recorded_neuron", merged.recorded.read(slice(None)))
    return xr.Dataset(found, attrs=attributes)


def _rows(stream: zarr.Group, committed: int) -> xr.Dataset:
    found: dict[str, xr.Variable] = {}
    dt_s = None
    for variable, logs in row_logs(stream).items():
        merged = MergedRows(logs, committed)
        if not len(merged.steps):
            continue
        dt_s = merged.attributes["dt_s"]
        along, across = merged.attributes["dimensions"]
        values = merged.values
        found[variable] = _lazy(
            (along, across),
            values.shape,
            values.dtype,
            values.read,
            {"units": merged.attributes["units"], "long_name": variable},
        )
        name = "snapshot_step" if along == "snapshot" else along
        found[name] = xr.Variable(along, merged.steps, time_attributes(dt_s, "time of the sample"))
        for column, beside in merged.columns.items():
            name = across if column == "neuron" else column
            found[name] = _lazy(across, beside.shape, beside.dtype, beside.read, {})
    return xr.Dataset(found, attrs={} if dt_s is None else {"dt_s": dt_s})


class _Merged(BackendArray):
    """An array that is read by a function of one slice, without a step, for each dimension."""

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        read: Callable[..., npt.NDArray[Any]],
    ) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._read = read

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._basic
        )

    def _basic(self, key: tuple[int | slice, ...]) -> npt.NDArray[Any]:
        places = [
            range(n)[k] if isinstance(k, slice) else range(int(k), int(k) + 1)
            for k, n in zip(key, self.shape, strict=True)
        ]
        hull = [slice(min(p[0], p[-1]), max(p[0], p[-1]) + 1) if p else slice(0, 0) for p in places]
        # The hull begins and ends at what is asked for, whichever way the step goes.
        inside = (
            slice(None, None, p.step) if isinstance(k, slice) else 0
            for k, p in zip(key, places, strict=True)
        )
        return self._read(*hull)[tuple(inside)]


def _lazy(
    dimensions: str | tuple[str, ...],
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    read: Callable[..., npt.NDArray[Any]],
    attributes: dict[str, Any],
) -> xr.Variable:
    data = indexing.LazilyIndexedArray(_Merged(shape, dtype, read))
    return xr.Variable(dimensions, data, attributes)
