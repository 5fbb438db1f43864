"""Reading what a run stored, by label."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr
import zarr.errors

from biosim.damage import opened
from biosim.errors import OutputError
from biosim.spiking.merged import OWNERS, RAW, committed_tick, streams
from biosim.spiking.unfinished import merged_dataset
from biosim.store import LAYOUT, STORE

SHOWN = {"step": "time", "id": "neuron", "snapshot_step": "time"}
"""What is stored as a whole number and seen in its unit, or more briefly -> how it is seen."""
LOOKS, LOOK_AGAIN_S = 5, 0.05
"""How often a run in progress is looked at, which moves its logs; the wait doubles each time."""
SCANNED = 1 << 20
"""Spikes that are looked through at a time."""
NAMED = 10
"""Neurons that a message lists at most."""

Chunks = Mapping[str, int] | Literal["auto"] | None
"""How dask cuts arrays: {dimension: length}, {} as they are stored, "auto", None for no dask."""


def open_run(path: str | Path, chunks: Chunks = None) -> xr.DataTree:
    """Open a run, finished or not, without reading its arrays.

    Args:
        path: the run's directory, or the `run.zarr` in it.
        chunks: for arrays of dask, which compute in pieces and in parallel.

    Returns:
        A tree with the groups of `biosim.store`: for example
        `tree["learning"].accuracy.sel(split="test")`. Attributes of the root hold the resolved
        scenario, seed, versions and status.

        Of a spiking run, `tree["spikes/E"]` has `time` in seconds and `neuron`, in the order
        of time, `tree["traces/E"].v` samples by time and neuron, and
        `tree["weights/E->E"].w` snapshots, of which `w.sel(time=0.5, method="nearest")` is the
        one at half a second. An unfinished or killed run looks the same, but for
        `spikes/E/by_neuron`, up to the attribute `committed_tick`.

    Raises:
        OutputError: there is no run, it is damaged, it has a layout that this version does not
            read, `chunks` is none, or dask is asked for and not installed.
    """
    check_chunks(chunks)
    store = store_of(path)
    found = _read_tree(store, chunks)
    ticks = [d.attrs["committed_tick"] for d in found.values() if "committed_tick" in d.attrs]
    if ticks:
        found["/"].attrs["committed_tick"] = min(ticks)
    return xr.DataTree.from_dict(dict(sorted(found.items())))


def _read_tree(store: Path, chunks: Chunks) -> dict[str, xr.Dataset]:
    """Return the groups by their paths, at a later look if a run in progress moves them."""
    for attempt in range(LOOKS):
        try:
            return {path: _named(dataset) for path, dataset in _datasets(store, chunks)}
        except PermissionError as problem:
            raise _unreadable(problem) from None
        except (ValueError, LookupError, OSError, OutputError) as problem:
            if attempt < LOOKS - 1 and _is_running(store):
                time.sleep(LOOK_AGAIN_S * 2**attempt)
            elif isinstance(problem, OutputError):
                raise
            else:
                raise OutputError(f"{_broken(store) or store} is damaged: {problem}") from None
    raise AssertionError


def _is_running(store: Path) -> bool:
    status = zarr.open_group(str(store), mode="r").attrs.get("status")
    return status == "running"


def store_of(path: str | Path) -> Path:
    """Return the store of a run, of a layout that this version reads, with all of its arrays.

    Args:
        path: the run's directory, or the `run.zarr` in it.

    Raises:
        OutputError: there is no run, it may not be read, it has another layout, or arrays that
            it had at its end are missing.
    """
    path = Path(path)
    store = path if path.suffix == ".zarr" else path / STORE
    try:
        if not store.is_dir():
            raise OutputError(f"{path} holds no run: expected a directory with {STORE} in it")
        attributes = zarr.open_group(str(store), mode="r").attrs.asdict()
    except PermissionError as problem:
        raise _unreadable(problem) from None
    except (zarr.errors.BaseZarrError, FileNotFoundError, ValueError, KeyError):
        raise OutputError(f"{store} is not a Zarr store of a run: it has no root group") from None
    _check_layout(store, str(attributes.get("Conventions", "")))
    listed = attributes.get("arrays", [])
    assert isinstance(listed, list)
    try:
        missing = _missing(store, [str(name) for name in listed])
    except PermissionError as problem:
        raise _unreadable(problem) from None
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise OutputError(
            f"{store} lacks {missing[0]!r}{more}, which it had when the run ended; take "
            "a copy of the run, or run it again"
        )
    return store


def _missing(store: Path, arrays: Sequence[str]) -> list[str]:
    """Return the arrays, and the groups around them, that are not described in the store."""
    groups = {str(above) for name in arrays for above in PurePosixPath(name).parents}
    return [
        name for name in (*sorted(groups), *arrays) if not (store / name / "zarr.json").is_file()
    ]


def _check_layout(store: Path, conventions: str) -> None:
    if LAYOUT in conventions.split():
        return
    number = next((w for w in conventions.split() if w.startswith("biosim-")), "")[7:]
    if number.isdecimal() and int(number) > int(LAYOUT.partition("-")[2]):
        raise OutputError(
            f"{store} has the layout 'biosim-{number}', which is newer than {LAYOUT}, the one that "
            "this version reads; install a newer biosim"
        )
    raise OutputError(
        f"{store} has the layout {conventions or 'of something else'!r}; this version reads "
        f"{LAYOUT}"
    )


def _broken(store: Path) -> Path | None:
    """Return the first file that should describe a group or an array and does not."""
    for described in sorted(store.rglob("zarr.json")):
        try:
            json.loads(described.read_text(encoding="utf-8"))["node_type"]
        except (ValueError, LookupError, TypeError, OSError):
            return described
    return None


def _unreadable(problem: OSError) -> OutputError:
    return OutputError(
        f"{problem.filename} cannot be read ({problem.strerror}); ask its owner for permission"
    )


def spikes_between(tree: xr.DataTree, population: str, start_s: float, stop_s: float) -> xr.Dataset:
    """Return the spikes of a population in [start_s, stop_s), without reading the others.

    Returns:
        `time` in seconds and `neuron`, (n,) each, ordered by (time, neuron); they are read when
        they are asked for.

    Raises:
        OutputError: no spikes of that population were recorded, or there is no such stretch.
    """
    if not (np.isfinite([start_s, stop_s]).all() and start_s <= stop_s):
        raise OutputError(
            f"got the stretch from {start_s} s to {stop_s} s; expected two times in seconds, the "
            "end not before the begin"
        )
    spikes = _spikes(tree, population).to_dataset(inherit=False)
    dt_s, window = spikes.attrs["dt_s"], spikes.attrs["window_ticks"]
    # Times given as decimals may lie a hair beside the tick that they mean.
    first, last = (int(np.ceil(at_s / dt_s - 1e-6)) for at_s in (start_s, stop_s))
    begins = spikes.window_ptr

    def position(tick: int) -> int:
        """Return where the first spike at this tick or later is."""
        at = int(np.clip(tick // window, 0, max(0, begins.size - 1)))
        around = begins[at : at + 2].values.astype(np.int64)
        if len(around) < 2 or tick <= at * window:
            return int(around[0]) if len(around) else 0
        times = spikes.time[slice(*around)].values
        return int(around[0] + np.searchsorted(np.rint(times / dt_s).astype(np.int64), tick))

    return spikes[["time", "neuron"]].isel(spike=slice(position(first), position(last)))


def spike_times(tree: xr.DataTree, population: str, neuron: int) -> npt.NDArray[np.float64]:
    """Return the times in seconds, (n,), at which a neuron fired.

    Of a finished run only that neuron's spikes are read.

    Raises:
        OutputError: no spikes of that population, or not of that neuron, were recorded, or it
            has no such neuron.
    """
    node = _spikes(tree, population)
    spikes = node.to_dataset(inherit=False)
    size = spikes.attrs["size"]
    if not isinstance(neuron, int | np.integer) or not 0 <= neuron < size:
        raise OutputError(
            f"got neuron {neuron} of {population!r}; expected 0 to {size - 1}, a whole number"
        )
    if "recorded" in spikes and neuron not in spikes.recorded.values:
        recorded = spikes.recorded.values.tolist()
        more = f" and {len(recorded) - NAMED} more" if len(recorded) > NAMED else ""
        raise OutputError(
            f"neuron {neuron} of {population!r} was not recorded; those that were: "
            f"{', '.join(map(str, recorded[:NAMED])) or 'none'}{more}"
        )
    if "by_neuron" in node.children:
        sorted_spikes = node.children["by_neuron"].to_dataset(inherit=False)
        ends = sorted_spikes.indptr[neuron : neuron + 2].values.astype(np.int64)
        found: npt.NDArray[np.float64] = sorted_spikes.time[slice(*ends)].values
        return found
    parts = [np.empty(0)]
    for start in range(0, spikes.sizes["spike"], SCANNED):
        part = spikes[["time", "neuron"]].isel(spike=slice(start, start + SCANNED)).load()
        parts.append(part.time.values[part.neuron.values == neuron])
    return np.concatenate(parts)


def _spikes(tree: xr.DataTree, population: str) -> xr.DataTree:
    known = tree.children["spikes"].children if "spikes" in tree.children else {}
    if population not in known:
        raise OutputError(
            f"the spikes of {population!r} were not recorded; "
            f"those that were: {', '.join(known) or 'none'}"
        )
    return known[population]


def check_chunks(chunks: Chunks) -> None:
    """Raise an `OutputError` if chunks are none, or dask is asked for and not installed."""
    lengths = chunks.values() if isinstance(chunks, Mapping) else ()
    if not (chunks is None or chunks == "auto" or isinstance(chunks, Mapping)) or not all(
        isinstance(n, int) and (n > 0 or n == -1) for n in lengths
    ):
        raise OutputError(
            f'got chunks={chunks!r}; expected None, "auto", {{}} for chunks as they are stored, or '
            "lengths by dimension, such as {'time': 1000}, -1 for all of it"
        )
    if chunks is not None and importlib.util.find_spec("dask") is None:
        raise OutputError(
            f"got chunks={chunks!r}, which needs dask: pip install 'biosim[dask]', or leave chunks "
            "out; arrays are read only where they are asked for either way"
        )


def _datasets(store: Path, chunks: Chunks) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield the path and the content of every group; of a run in progress, its logs merged."""
    root = zarr.open_group(str(store), mode="r")
    committed = committed_tick(root)
    listed = root.attrs.get("whole", [])
    assert isinstance(listed, list)
    whole = frozenset(str(name) for name in listed)
    begun = {f"/{path}": stream for path, stream in streams(root).items()}
    unfinished = {p: stream for p, stream in begun.items() if "committed_tick" not in stream.attrs}
    for path in _group_paths(store, "/"):
        if path in unfinished:
            merged = _shown(merged_dataset(unfinished[path], committed or 0))
            yield path, merged if chunks is None else _cut(merged, chunks)
        elif path.rpartition("/")[0] in unfinished or path.endswith("/by_time"):
            continue  # half made, or shown in its parent
        elif path not in begun and (store / path[1:] / RAW).is_dir():
            continue  # its owners have not begun
        else:
            dataset = _opened(store, path, chunks, whole)
            if (store / path[1:] / "by_time").is_dir():
                dataset = dataset.merge(_opened(store, f"{path}/by_time", chunks, whole))
            yield path, dataset


def _opened(store: Path, path: str, chunks: Chunks, whole: frozenset[str]) -> xr.Dataset:
    return _shown(opened(store, path, chunks, whole))


def _cut(merged: xr.Dataset, chunks: Chunks) -> xr.Dataset:
    """Return logs as arrays of dask; how the logs are stored is no good way to cut them."""
    if isinstance(chunks, Mapping) and chunks:
        return merged.chunk({name: n for name, n in chunks.items() if name in merged.dims})
    return merged.chunk("auto")


def _shown(stored: xr.Dataset) -> xr.Dataset:
    return stored.rename({old: new for old, new in SHOWN.items() if old in stored.variables})


def _group_paths(store: Path, path: str) -> Iterator[str]:
    """Yield the paths of a group and of those in it, without the logs of a run in progress."""
    yield path
    for child in sorted((store / path[1:]).iterdir()):
        described = child / "zarr.json"
        if child.name in (RAW, OWNERS) or not described.is_file():
            continue
        if json.loads(described.read_text(encoding="utf-8"))["node_type"] == "group":
            yield from _group_paths(store, f"{path.rstrip('/')}/{child.name}")


def _named(dataset: xr.Dataset) -> xr.Dataset:
    """Return the dataset with names instead of CF flags along its dimensions."""
    names: dict[str, Any] = {}
    for name, variable in dataset.variables.items():
        meanings = variable.attrs.get("flag_meanings")
        if meanings is not None and variable.dims == (name,):
            names[str(name)] = (name, str(meanings).split(" "))
    found = dataset.assign_coords(names).set_coords(
        [n for n in ("epoch", "snapshot", "sample", "label") if n in dataset.variables]
    )
    if "time" in found and found["time"].dims == ("snapshot",):
        return found.set_coords("time").set_xindex("time")
    return found
