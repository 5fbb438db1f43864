"""Recordings with arrays of electrodes in HDF5, as in the repository of retinal waves.

Source: Eglen et al. 2014, doi:10.1186/2047-217X-3-3: `spikes` has the times in seconds, train
after train; `sCount` the number of spikes of each train; `epos` where its electrode is, in
micrometres; `names`, `array` and `meta` are descriptions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biosim.errors import DataError
from biosim.exchange.files import hdf5
from biosim.exchange.recording import Recording, Units, units_of

GROUP = "units"
NEEDED = ("spikes", "sCount")


def read_electrodes(path: Path) -> Recording:
    """Read a recording of an electrode array; units are in the group `units`, with x and y.

    Raises:
        DataError: it has no spikes and counts, or they do not fit each other.
    """
    with hdf5(path) as file:
        missing = [name for name in NEEDED if not hasattr(file.get(name), "shape")]
        if missing:
            raise DataError(
                f"{path} has no {missing[0]}; expected the arrays spikes, sCount and epos of an "
                "electrode recording"
            )
        times = np.asarray(file["spikes"][()], np.float64).ravel()
        counts = np.asarray(file["sCount"][()]).ravel()
        if not np.array_equal(counts, np.rint(counts)) or (counts < 0).any():
            raise DataError(f"{path}: sCount has {counts.min():g}; expected whole numbers from 0")
        counts = counts.astype(np.int64)
        if counts.sum() != len(times):
            raise DataError(
                f"{path}: sCount adds up to {counts.sum()}, but there are {len(times)} spikes; "
                "expected the same number"
            )
        described, units = {}, {}
        if "epos" in file:
            described = _positions(path, np.asarray(file["epos"][()], np.float64), len(counts))
            units = dict.fromkeys(described, "um")
        return Recording(
            path,
            "hdf5-mea",
            {GROUP: Units(times, units_of(counts), len(counts), None, described, units)},
            stop_s=_stop(file, times),
            about=_about(file, len(counts)),
        )


def _positions(
    path: Path, epos: npt.NDArray[np.float64], count: int
) -> dict[str, npt.NDArray[np.float64]]:
    # Files written by R have the array (n, 2) in the order of columns, which reads as (2, n).
    rows = epos if epos.shape == (2, count) else epos.T
    if rows.shape != (2, count):
        raise DataError(
            f"{path}: epos has the shape {epos.shape}; expected two coordinates of {count} units"
        )
    return {"x": rows[0], "y": rows[1]}


def _stop(file: Any, times: npt.NDArray[np.float64]) -> float | None:
    """Return the end of the recording, where a file has a `recordingtime` that can be it."""
    if not hasattr(file.get("recordingtime"), "shape"):
        return None
    said = np.asarray(file["recordingtime"][()]).ravel()
    if said.dtype.kind not in "fiu" or not len(said):
        return None
    stop = float(said.max())
    return stop if np.isfinite(stop) and stop > (times.max() if len(times) else 0.0) else None


def _about(file: Any, count: int) -> dict[str, Any]:
    """Return what the file says in words."""
    said: dict[str, Any] = {}
    names = [name for name in ("array", "names") if hasattr(file.get(name), "shape")]
    meta = file.get("meta")
    if hasattr(meta, "items"):
        names += [f"meta/{name}" for name, item in meta.items() if hasattr(item, "shape")]
    for name in names:
        values = [_plain(value) for value in np.asarray(file[name][()]).ravel().tolist()]
        said[name] = values[0] if len(values) == 1 and name != "names" else values
    return said


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    # JSON has no NaN.
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
