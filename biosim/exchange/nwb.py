"""NWB: spikes as units and states as time series, for pynwb and whatever reads Neurodata.

Why a file is written by pynwb and read without it: the schema decides what is written, while
reading units needs three columns of one table, and pynwb would want every extension of the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from biosim.errors import DataError
from biosim.exchange.files import hdf5, required
from biosim.exchange.recording import Recording, Units, units_of
from biosim.exchange.stored import (
    StoredSpikes,
    Trains,
    even_s,
    provenance,
    stored_spikes,
    summary,
    title,
)

CHUNK = 1 << 16
BUFFER = 1 << 20
"""Values that are read and written at a time."""
OURS = "biosim"
"""Key of the notes, under which a file says that biosim wrote it."""


def write_nwb(tree: xr.DataTree, path: Path, populations: Sequence[str] | None = None) -> None:
    """Write the spikes of a run, and what was recorded of its states, as an NWB file.

    Every recorded neuron is a unit, in the columns `population` and `neuron`; the columns are
    written a part at a time. Each recorded variable is a time series in the module `states`,
    beside a table of its neurons.

    Args:
        tree: of `biosim.open_run`.
        path: of the file.
        populations: to export; all whose spikes were recorded if left out.

    Raises:
        OutputError: pynwb is missing, or no spikes were recorded.
    """
    spikes = stored_spikes(tree, populations)
    pynwb = required("pynwb", "nwb")
    data_utils = required("hdmf.data_utils", "nwb")
    file = pynwb.NWBFile(
        session_description=summary(tree),
        identifier=f"{title(tree)}-seed-{tree.attrs.get('seed')}-{tree.attrs.get('started')}",
        session_start_time=_start(tree),
        experiment_description="simulated spikes, written by biosim"
        if "recording" not in tree.attrs
        else "recorded spikes, written by biosim",
        notes=json.dumps({OURS: provenance(tree)}, sort_keys=True),
        keywords=["biosim", title(tree)],
        was_generated_by=[["biosim", tree.attrs.get("versions", {}).get("biosim", "unknown")]],
    )
    iterator = _iterator(data_utils)
    file.units = _units(pynwb, iterator, spikes)
    _states(pynwb, iterator, file, tree, populations)
    # By its path pynwb would warn of every other ending than .nwb.
    h5py = required("h5py", "hdf5")
    with h5py.File(path, "w") as hdf, pynwb.NWBHDF5IO(file=hdf, mode="w") as out:
        out.write(file)


def read_nwb(path: Path) -> Recording:
    """Read the units of an NWB file.

    Raises:
        DataError: it is no NWB file in HDF5, it has no units with spike times, or its columns
            do not fit each other.
    """
    with hdf5(path) as file:
        if "nwb_version" not in file.attrs:
            raise DataError(f"{path} is an HDF5 file, but no NWB file: it has no nwb_version")
        table = file.get("units")
        if table is None or "spike_times" not in table or "spike_times_index" not in table:
            raise DataError(f"{path} has no units with spike_times; nothing can be imported")
        times = np.asarray(table["spike_times"][:], np.float64)
        ends = np.asarray(table["spike_times_index"][:], np.int64)
        counts = np.diff(ends, prepend=0)
        if (counts < 0).any() or (int(ends[-1]) if len(ends) else 0) != len(times):
            raise DataError(
                f"{path}: spike_times_index does not go with the {len(times)} spike_times"
            )
        ours = _notes(file)
        observed = _observed(path, table, len(counts))
        groups = _groups(path, table, times, counts, ours.get("populations", {}), observed)
        resolution = table["spike_times"].attrs.get("resolution")
        edges = np.concatenate([np.empty(0), *(part.ravel() for part in observed)])
        return Recording(
            path,
            "nwb",
            groups,
            start_s=max(0.0, float(edges.min())) if edges.size else 0.0,
            stop_s=float(edges.max()) if edges.size else None,
            tick_s=None if resolution is None else float(resolution),
            about=_about(file, ours),
        )


def _units(pynwb: Any, iterator: Any, spikes: Mapping[str, StoredSpikes]) -> Any:
    common = required("hdmf.common", "nwb")
    trains = [stored.trains() for stored in spikes.values()]
    starts = np.cumsum([0, *(len(stored) for stored in spikes.values())])
    ends = np.concatenate([t.ends + s for t, s in zip(trains, starts, strict=False)])
    counts = [len(stored.neurons) for stored in spikes.values()]
    neurons = np.concatenate([stored.neurons for stored in spikes.values()])
    names = np.repeat(np.array(list(spikes)), counts)
    intervals = np.concatenate(
        [np.tile(stored.recorded_s, (len(stored.neurons), 1)) for stored in spikes.values()]
    )
    stretches = np.repeat([len(stored.recorded_s) for stored in spikes.values()], counts)
    times = common.VectorData(
        name="spike_times",
        description="the spike times for each unit in seconds",
        data=_streamed(iterator, (int(starts[-1]),), np.float64, _joined(trains, starts)),
    )
    observed = common.VectorData(
        name="obs_intervals",
        description="the stretches of time that were recorded",
        data=intervals.astype(np.float64),
    )
    # An index comes before what it points into: the other way round hdmf takes a column that is
    # written a part at a time for missing.
    columns = [
        common.VectorIndex(name="spike_times_index", target=times, data=ends.astype(np.uint64)),
        times,
        common.VectorIndex(
            name="obs_intervals_index",
            target=observed,
            data=np.cumsum(stretches).astype(np.uint64),
        ),
        observed,
        common.VectorData(
            name="population", description="population of the neuron", data=names.tolist()
        ),
        common.VectorData(
            name="neuron", description="number of the neuron in its population", data=neurons
        ),
    ]
    return pynwb.misc.Units(
        name="units",
        description="neurons whose spikes were recorded",
        id=common.ElementIdentifiers(name="id", data=np.arange(len(neurons))),
        columns=columns,
        colnames=["spike_times", "obs_intervals", "population", "neuron"],
        resolution=min(stored.dt_s for stored in spikes.values()),
    )


def _joined(trains: Sequence[Trains], starts: npt.NDArray[np.int64]) -> Callable[..., Any]:
    """Return how to read spikes of all populations, one behind the other."""

    def read(part: tuple[slice, ...]) -> npt.NDArray[np.float64]:
        first, last = part[0].start, part[0].stop
        return np.concatenate(
            [
                train.read(max(first, lo) - lo, min(last, hi) - lo)
                for train, lo, hi in zip(trains, starts[:-1], starts[1:], strict=True)
                if max(first, lo) < min(last, hi)
            ]
        )

    return read


def _states(
    pynwb: Any,
    iterator: Any,
    file: Any,
    tree: xr.DataTree,
    populations: Sequence[str] | None,
) -> None:
    common = required("hdmf.common", "nwb")
    recorded = [
        (name, variable, array)
        for name, node in (tree["traces"].children.items() if "traces" in tree.children else ())
        for variable, array in node.to_dataset(inherit=False).data_vars.items()
        if array.ndim == 2 and (populations is None or name in populations)
    ]
    if not recorded:
        return
    module = file.create_processing_module(
        name="states", description="state variables of neurons, sampled during the simulation"
    )
    for population, variable, array in recorded:
        name = re.sub(r"[/:]", "_", f"{population}_{variable}")
        along, across = array.dims
        when = array[along].values.astype(np.float64)
        module.add(
            pynwb.TimeSeries(
                name=name,
                description=f"{variable} of neurons of population {population}",
                comments=f"the neurons of the columns are in the table {name}_neurons",
                data=_streamed(
                    iterator, array.shape, array.dtype, lambda part, of=array: of[part].values
                ),
                unit=str(array.attrs.get("units", "1")),
                **_clock(when),
            )
        )
        numbers = common.VectorData(
            name="neuron",
            description="number of the neuron in its population",
            data=array[across].values.astype(np.int64),
        )
        module.add(
            common.DynamicTable(
                name=f"{name}_neurons",
                description=f"the neurons of the columns of {name}",
                columns=[numbers],
            )
        )


def _clock(when: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Return what a time series says of its times: begin and rate, or each of them."""
    every_s = even_s(when)
    if every_s is None:
        return {"timestamps": when}
    return {"starting_time": float(when[0]), "rate": 1.0 / every_s}


def _streamed(
    iterator: Any, shape: tuple[int, ...], dtype: npt.DTypeLike, read: Callable[..., Any]
) -> Any:
    """Return an array that is read as it is written, compressed; an empty one as it is."""
    pynwb = required("pynwb", "nwb")
    if 0 in shape:
        return np.empty(shape, dtype)
    rest = shape[1:]
    width = int(np.prod(rest, dtype=np.int64))
    chunk = (min(shape[0], max(1, CHUNK // width)), *rest)
    buffer = (min(shape[0], max(chunk[0], BUFFER // width // chunk[0] * chunk[0])), *rest)
    data = iterator(read, shape, np.dtype(dtype), buffer_shape=buffer, chunk_shape=chunk)
    return pynwb.H5DataIO(data=data, compression="gzip", shuffle=True)


def _iterator(data_utils: Any) -> Any:
    """Return the class of arrays that hdmf writes a part at a time."""

    class Parts(data_utils.GenericDataChunkIterator):  # type: ignore[misc]
        """An array that a function of slices reads."""

        def __init__(self, read: Any, shape: Any, dtype: Any, **sizes: Any) -> None:
            self._read, self._shape, self._kind = read, shape, dtype
            super().__init__(**sizes)

        def _get_data(self, selection: tuple[slice, ...]) -> Any:
            return self._read(selection)

        def _get_maxshape(self) -> tuple[int, ...]:
            return tuple(self._shape)

        def _get_dtype(self) -> Any:
            return self._kind

    return Parts


def _start(tree: xr.DataTree) -> datetime:
    """Return when a run was started, with a time zone, which NWB demands."""
    started = datetime.fromisoformat(str(tree.attrs.get("started", "1970-01-01T00:00:00+00:00")))
    return started if started.tzinfo else started.replace(tzinfo=UTC)


def _notes(file: Any) -> dict[str, Any]:
    """Return what biosim noted in a file that it wrote itself, else nothing."""
    try:
        return dict(json.loads(_text(file["general/notes"][()]))[OURS])
    except (KeyError, TypeError, ValueError):
        return {}


def _about(file: Any, ours: Mapping[str, Any]) -> dict[str, Any]:
    names = ("session_description", "identifier", "session_start_time")
    said = {name: _text(file[name][()]) for name in names if name in file}
    return {**said, **({"provenance": dict(ours)} if ours else {})}


def _groups(
    path: Path,
    table: Any,
    times: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
    sizes: Mapping[str, int],
    observed: Sequence[npt.NDArray[np.float64]],
) -> dict[str, Units]:
    """Return the units of each population; all are one where the file does not part them."""
    rows = units_of(counts)
    if not sizes or "population" not in table or "neuron" not in table:
        described = {}
        if "id" in table and len(table["id"]) == len(counts):
            described["unit_id"] = np.asarray(table["id"][:], np.int64)
        during_s = _common(observed)
        return {"units": Units(times, rows, len(counts), None, described, during_s=during_s)}
    population = np.array([_text(name) for name in table["population"][:]], object)
    neuron = np.asarray(table["neuron"][:], np.int64)
    if not len(population) == len(neuron) == len(counts):
        raise DataError(f"{path}: the columns population and neuron do not fit {len(counts)} units")
    groups = {}
    for name in dict.fromkeys(population.tolist()):
        mine = population == name
        here = mine[rows]
        numbers = np.sort(neuron[mine])
        size = max(int(sizes.get(name, 0)), int(numbers[-1]) + 1)
        recorded = None if len(numbers) == size else numbers
        during_s = _common([observed[unit] for unit in np.flatnonzero(mine)] if observed else [])
        groups[name] = Units(times[here], neuron[rows[here]], size, recorded, during_s=during_s)
    return groups


def _observed(path: Path, table: Any, count: int) -> list[npt.NDArray[np.float64]]:
    """Return the intervals (n, 2) in which each unit was observed; none where that is not said."""
    if "obs_intervals" not in table:
        return []
    intervals = np.asarray(table["obs_intervals"][:], np.float64).reshape(-1, 2)
    # Without an index each unit has one row, as in any other column.
    ends = np.arange(1, count + 1)
    if "obs_intervals_index" in table:
        ends = np.asarray(table["obs_intervals_index"][:], np.int64)
    wrong = ~np.isfinite(intervals).all(axis=1) | (intervals[:, 0] > intervals[:, 1])
    if wrong.any():
        raise DataError(
            f"{path}: got {intervals[wrong][0].tolist()} among obs_intervals; expected a begin and "
            "a later end in seconds"
        )
    counts = np.diff(ends, prepend=0)
    if len(ends) != count or (counts < 0).any() or counts.sum() != len(intervals):
        raise DataError(
            f"{path}: the index of obs_intervals does not go with {count} units and "
            f"{len(intervals)} intervals"
        )
    return np.split(intervals, ends[:-1])


def _common(observed: Sequence[npt.NDArray[np.float64]]) -> tuple[tuple[float, float], ...]:
    """Return the intervals in which all units were observed, if they are the same; else none."""
    if not observed or not all(np.array_equal(part, observed[0]) for part in observed):
        return ()
    return tuple((float(a), float(b)) for a, b in sorted(observed[0].tolist()))


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
