"""The store of a run: a Zarr v3 group that opens as an xarray DataTree.

Layout, with dimensions in brackets:

    learning/             accuracy [epoch, split, way]
    timing/               learning [epoch], samples_per_second [epoch]
    weights/<projection>  weight [snapshot, post, pre], bias [snapshot, post], change [epoch]
    activity/<population> activity [snapshot, sample, neuron], label [sample]
    data/                 mean [feature]: of the learning samples
    ledger/projections    source, target, kind, tied, events, bytes_per_sample [projection]
    ledger/populations    updates, lag_ticks, lag_ticks_max, held_bytes_max, ... [population]

and of a spiking run:

    neurons/<population>          gid and parameters [neuron]
    spikes/<population>/by_time   step, id [spike], ordered by both; window_ptr [window_edge]
    spikes/<population>/by_neuron step [spike], ordered by (neuron, step); indptr [neuron_edge]
    spikes/<population>           recorded [recorded_neuron], if not all neurons are; attribute
                                  recorded_ticks, [from, until) of each stretch, if not all time
    traces/<population>           <variable> [time, neuron], with both coordinates; time_<variable>
                                  and neuron_<variable> where records of it differ
    weights/<projection>          <variable> [snapshot, synapse], source, target [synapse],
                                  snapshot_step [snapshot]

and, of a task, in learning/: end, hits, false_alarms, mean_latency [part]; start, latency
[presentation]; stimulus, right, spikes_left, spikes_right [trial].

Times are whole ticks with the CF attribute scale_factor, the length of a tick in seconds.
Neurons are numbered in their population. Spikes of the window of ticks [w n, w n + n), n being
the attribute `window_ticks`, lie from window_ptr[w] to window_ptr[w + 1], those of neuron i from
indptr[i] to indptr[i + 1].

The root's attributes hold the resolved scenario, the rule's card, the seed, versions, git state
and status. Names along a dimension are CF flags (integers with `flag_meanings`), because Zarr v3
has no settled type for text; `biosim.open_run` turns them into coordinates.

Of a layered run, how long every dimension gets is known before, so every array is made whole,
filled with NaN, and its coordinates are written once: a store can be opened at any moment. What
is stored is there up to the attribute `committed_epoch`.

Of a spiking run it is not known. While it goes on, spikes, traces and weights grow in logs, one
for each owner of neurons, in `_raw` of their group; `_owners` at the root says who owns what and
has stored it up to which tick. At the end the logs become the arrays above, and go away
(`biosim.spiking.finalising`); a group is complete once it has the attribute `committed_tick`.
`biosim.open_run` shows both states alike.

At its end the root's attribute `arrays` lists what there is, and `whole` those of them that have
all of their chunks, so that what goes away is missed.
Every chunk carries a checksum (`biosim.damage`).

Every array has one writer: the rank that owns what it holds. Groups that several ranks write
into are made beforehand by rank 0. Arrays of a snapshot are chunked by snapshot, so that a
write never touches a chunk that is already there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec
from zarr.core.array_spec import ArrayConfigParams

from biosim.damage import is_whole, summed
from biosim.errors import OutputError
from biosim.processes import this_process

LAYOUT = "biosim-1"
STORE = "run.zarr"
PROGRESS = "progress.json"
GROUPS = ("learning", "timing", "weights", "activity", "ledger", "data")
CHUNK_BYTES = 4 << 20
"""Largest chunk: a row of weights is read without the rest of a large layer."""

EVERY_CHUNK: ArrayConfigParams = {"write_empty_chunks": True}
"""Chunks are stored also where they hold what a missing one would read as."""


def flags(names: Sequence[str]) -> dict[str, Any]:
    """Return the CF attributes of a coordinate that numbers these names."""
    return {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)}


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Say of what cannot be written that it cannot.

    Args:
        path: what is written into.

    Raises:
        OutputError: the system refuses.
    """
    try:
        yield
    except OSError as problem:
        raise OutputError(
            f"{path} cannot be written ({problem.strerror or problem}); what was committed before "
            "stays readable"
        ) from None


class RunStore:
    """Writes one run's store.

    Args:
        path: the directory `run.zarr`.
        mode: "w" makes it, on rank 0; "r+" opens what rank 0 made.
        groups: that are made with it, whether or not anything is written into them.

    Raises:
        OutputError: the directory cannot be written.
    """

    def __init__(
        self, path: Path, mode: Literal["w", "r+"] = "r+", groups: Sequence[str] = GROUPS
    ) -> None:
        self._path = Path(path)
        try:
            if mode == "w":
                # In one write: whoever opens it, after whatever happens, finds all or nothing.
                self._root = zarr.create_group(
                    str(path),
                    overwrite=True,
                    zarr_format=3,
                    attributes={
                        "Conventions": f"CF-1.12 {LAYOUT}",
                        "status": "running",
                        "committed_epoch": -1,
                        "process": this_process(),
                    },
                )
                for name in groups:
                    self._root.require_group(name)
            else:
                self._root = zarr.open_group(str(path), mode="r+", zarr_format=3)
        except OSError as problem:
            raise OutputError(
                f"{path} cannot be written ({problem.strerror or problem}); choose another --out"
            ) from None

    def describe(self, attributes: Mapping[str, Any]) -> None:
        """Add to the attributes of the run."""
        with writing(self._path):
            self._root.attrs.update(attributes)

    def go_on(self, ranks: int) -> None:
        """Note that this process goes on with a run, on so many ranks."""
        process = this_process()
        resumed = [*self._root.attrs.get("resumed", []), {"ranks": ranks, "host": process["host"]}]  # type: ignore[misc]
        self.describe({"status": "running", "process": process, "resumed": resumed})

    def finish(self, attributes: Mapping[str, Any]) -> None:
        """Add how the run ended, and what there is, so that what goes away is missed."""
        arrays = list(array_paths(self._path))
        whole = [name for name in arrays if is_whole(self._array(name))]
        self.describe({**attributes, "arrays": arrays, "whole": whole})

    def write(
        self,
        name: str,
        values: npt.ArrayLike,
        dimensions: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a whole array, or overwrite one of the same name."""
        array = np.asarray(values)
        with writing(self._path):
            self._root.create_array(
                name,
                shape=array.shape,
                dtype=array.dtype,
                chunks=_chunks(array.shape, array.dtype.itemsize),
                compressors=summed(ZstdCodec()),
                dimension_names=dimensions,
                attributes=dict(attributes or {}),
                fill_value=_fill(array.dtype),
                config=EVERY_CHUNK,
                overwrite=True,
            )[...] = array

    def write_names(self, name: str, names: Sequence[str], dimension: str) -> None:
        """Write a coordinate whose values are names."""
        self.write(name, np.arange(len(names), dtype=np.int16), [dimension], flags(names))

    def allocate(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        dimensions: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Make an array that `fill` writes row by row; floats are NaN until then.

        One that is there, because the run is resumed, stays.
        """
        if name in self._root:
            return
        kind = np.dtype(dtype)
        with writing(self._path):
            self._root.create_array(
                name,
                shape=shape,
                dtype=kind,
                chunks=_chunks(shape, kind.itemsize),
                compressors=summed(ZstdCodec()),
                dimension_names=dimensions,
                attributes=dict(attributes or {}),
                fill_value=_fill(kind),
                config=EVERY_CHUNK,
            )

    def fill(self, name: str, row: int, values: npt.ArrayLike) -> None:
        """Write one row along the first dimension."""
        with writing(self._path):
            self._array(name)[row] = np.asarray(values)

    def overwrite(self, name: str, values: npt.ArrayLike) -> None:
        """Write all values of an array that is there."""
        with writing(self._path):
            self._array(name)[...] = np.asarray(values)

    def _array(self, name: str) -> zarr.Array[Any]:
        found = self._root[name]
        assert isinstance(found, zarr.Array)
        return found

    def group(self, name: str, attributes: Mapping[str, Any] | None = None) -> None:
        """Make a group, or add to its attributes."""
        with writing(self._path):
            self._root.require_group(name).attrs.update(dict(attributes or {}))


def sign_of(store: Path) -> Path:
    """Return the file of a store that its writer touches, for who asks whether it still lives."""
    return store / "zarr.json"


def write_progress(directory: Path, progress: Mapping[str, Any]) -> None:
    """Replace `progress.json` in one step, so that a reader never sees half of it."""
    path = directory / PROGRESS
    beside = directory / f".{PROGRESS}"
    with writing(path):
        beside.write_text(json.dumps(progress, indent=1) + "\n", encoding="utf-8")
        os.replace(beside, path)


def array_paths(store: Path) -> Iterator[str]:
    """Yield the paths of all arrays in a store, sorted within each group."""
    for child in sorted(store.iterdir()):
        described = child / "zarr.json"
        if not described.is_file() or child.name.startswith("_"):
            continue
        if json.loads(described.read_text(encoding="utf-8"))["node_type"] == "array":
            yield child.name
        else:
            yield from (f"{child.name}/{inner}" for inner in array_paths(child))


def _chunks(shape: tuple[int, ...], item_bytes: int) -> tuple[int, ...]:
    """Return whole arrays up to two dimensions; else one snapshot, cut to `CHUNK_BYTES`."""
    if len(shape) < 3:
        return tuple(max(1, n) for n in shape)
    row_bytes = max(1, int(np.prod(shape[2:], dtype=np.int64)) * item_bytes)
    rows = max(1, min(shape[1], CHUNK_BYTES // row_bytes))
    return (1, rows, *(max(1, n) for n in shape[2:]))


def _fill(dtype: np.dtype[Any]) -> Any:
    return np.nan if dtype.kind == "f" else 0
