"""SONATA: spikes of populations in HDF5, as the SONATA data format describes spike files.

Source: Dai et al. 2020, doi:10.1371/journal.pcbi.1007696, and the format's developer guide:
`/spikes/POPULATION/{timestamps, node_ids}`, times in milliseconds, with the attribute `sorting`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from biosim.errors import DataError
from biosim.exchange.files import hdf5, required
from biosim.exchange.recording import Recording, Units
from biosim.exchange.stored import provenance_text, stored_spikes, summary

MAGIC = 0x0A7A
VERSION = (0, 1)
SORTING = {"none": 0, "by_id": 1, "by_time": 2}
PER_SECOND = {"ms": 1e3, "s": 1.0, "us": 1e6, "milliseconds": 1e3, "seconds": 1.0}
ABOUT = "biosim"
"""Group, beside the spikes, that says where they come from."""


def write_sonata(tree: xr.DataTree, path: Path, populations: Sequence[str] | None = None) -> None:
    """Write the spikes of a run as a SONATA spike file, sorted by time, a part at a time.

    Args:
        tree: of `biosim.open_run`.
        path: of the file.
        populations: to export; all whose spikes were recorded if left out.

    Raises:
        OutputError: h5py is missing, or no spikes were recorded.
    """
    spikes = stored_spikes(tree, populations)
    h5py = required("h5py", "hdf5")
    sorting = h5py.enum_dtype(SORTING, basetype="u1")
    with h5py.File(path, "w") as file:
        file.attrs["magic"] = np.uint32(MAGIC)
        file.attrs["version"] = np.array(VERSION, np.uint32)
        about = file.create_group(ABOUT)
        about.attrs["description"] = summary(tree)
        # An attribute holds 64 kB at most, and a scenario may list every synapse.
        about.create_dataset("provenance", data=provenance_text(tree))
        for name, stored in spikes.items():
            group = file.create_group(f"spikes/{name}")
            group.attrs.create("sorting", SORTING["by_time"], dtype=sorting)
            group.attrs["size"] = stored.size
            group.attrs["dt_s"] = stored.dt_s
            group.attrs["start_s"] = stored.start_s
            group.attrs["stop_s"] = stored.stop_s
            group.create_dataset("recorded_s", data=np.array(stored.recorded_s))
            if len(stored.neurons) < stored.size:
                group.create_dataset("recorded", data=stored.neurons.astype(np.uint64))
            # Not compressed: the HDF5 inside libsonata has no filters.
            times = group.create_dataset("timestamps", (len(stored),), np.float64)
            times.attrs["units"] = "ms"
            nodes = group.create_dataset("node_ids", (len(stored),), np.uint64)
            at = 0
            for ticks, neurons in stored.parts():
                part = slice(at, at + len(ticks))
                times[part] = ticks * (stored.dt_s * PER_SECOND["ms"])
                nodes[part] = neurons
                at = part.stop


def read_sonata(path: Path) -> Recording:
    """Read a SONATA spike file, in any sorting.

    Raises:
        DataError: it has no spikes as SONATA lays them out, or its columns do not fit.
    """
    with hdf5(path) as file:
        spikes = file.get("spikes")
        if spikes is None or not hasattr(spikes, "items"):
            raise DataError(f"{path} has no group /spikes; expected a SONATA spike file")
        # Files from before populations had names have the columns right there.
        found = (
            {"All": spikes}
            if "timestamps" in spikes
            else {name: group for name, group in spikes.items() if hasattr(group, "items")}
        )
        if not found:
            raise DataError(f"{path} has no population in /spikes; expected a SONATA spike file")
        groups = {name: _units(path, name, group) for name, group in found.items()}
        stops = [group.attrs["stop_s"] for group in found.values() if "stop_s" in group.attrs]
        starts = [group.attrs["start_s"] for group in found.values() if "start_s" in group.attrs]
        ticks = [group.attrs["dt_s"] for group in found.values() if "dt_s" in group.attrs]
        about = {}
        if f"{ABOUT}/provenance" in file:
            about["provenance"] = json.loads(file[f"{ABOUT}/provenance"][()])
        return Recording(
            path,
            "sonata",
            groups,
            start_s=float(min(starts, default=0.0)),
            stop_s=float(max(stops)) if stops else None,
            tick_s=float(min(ticks)) if ticks else None,
            about=about,
        )


def _units(path: Path, name: str, group: Any) -> Units:
    nodes = "node_ids" if "node_ids" in group else "gids"
    for column in ("timestamps", nodes):
        if column not in group:
            raise DataError(f"{path}: the spikes of {name!r} have no {column}")
    unit = group["timestamps"].attrs.get("units", "ms")
    unit = unit.decode() if isinstance(unit, bytes) else str(unit)
    if unit not in PER_SECOND:
        raise DataError(
            f"{path}: the times of {name!r} are in {unit!r}; expected one of "
            f"{', '.join(PER_SECOND)}"
        )
    times = np.asarray(group["timestamps"][:], np.float64) / PER_SECOND[unit]
    who = np.asarray(group[nodes][:])
    if len(who) and who.dtype.kind not in "iu":
        raise DataError(f"{path}: {nodes} of {name!r} are {who.dtype}; expected whole numbers")
    who = who.astype(np.int64)
    size = int(group.attrs.get("size", who.max() + 1 if len(who) else 0))
    recorded = np.asarray(group["recorded"][:], np.int64) if "recorded" in group else None
    during_s: tuple[tuple[float, float], ...] = ()
    if "recorded_s" in group:
        stretches = np.asarray(group["recorded_s"][:], np.float64).reshape(-1, 2)
        if not np.isfinite(stretches).all():
            raise DataError(f"{path}: recorded_s of {name!r} is not finite; expected seconds")
        during_s = tuple((float(a), float(b)) for a, b in stretches)
    return Units(times, who, size, recorded, during_s=during_s)
