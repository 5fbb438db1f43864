"""The end of a recording: the owners' logs become arrays that do not show how many there were.

Any process can do it, for a run that has ended or was killed, and again where it was killed
itself: a group counts as done from the moment it has the attribute `committed_tick`, which comes
after its arrays and before its logs go away.

Memory is bounded: spikes are merged a shard at a time, and sorted by neuron in buckets.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
import zarr.errors
from numba import njit
from zarr.codecs import BloscCodec

from biosim.damage import summed
from biosim.errors import OutputError
from biosim.spiking.append_log import AppendLog
from biosim.spiking.merged import (
    OWNERS,
    RAW,
    WINDOW_TICKS,
    Beside,
    MergedRows,
    MergedSpikes,
    array_of,
    committed_tick,
    directory_of,
    row_logs,
    spike_logs,
    streams,
    time_attributes,
)
from biosim.store import EVERY_CHUNK

CHUNK = 1 << 16
SHARD = 1 << 20
BUCKET = 1 << 23
BUFFER_VALUES = 1 << 23
# Steps that grow slowly shrink best by bytes; everything else, a neuron's steps too, by bits.
STEPS = BloscCodec(cname="zstd", clevel=3, shuffle="shuffle")
VALUES = BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")

Int64s = npt.NDArray[np.int64]


def finalise(path: str | Path) -> int:
    """Merge what was recorded up to the last common commit, and remove the logs.

    No owner may still be writing. A store without logs is left as it is.

    Args:
        path: the directory `run.zarr`.

    Returns:
        The tick before which everything is stored; 0 if nothing was recorded.

    Raises:
        OutputError: the store is not there, is damaged or cannot be written.
    """
    try:
        root = zarr.open_group(str(path), mode="r+", zarr_format=3)
    except (OSError, zarr.errors.BaseZarrError) as problem:
        raise OutputError(f"{path} cannot be written ({problem}); expected a run.zarr") from None
    try:
        _sweep(root)
        committed = committed_tick(root)
        if committed is None:
            return 0
        for name, stream in streams(root).items():
            if "committed_tick" not in stream.attrs:
                build = _spikes if name.startswith("spikes/") else _rows
                stream.attrs.update({**build(stream, committed), "committed_tick": committed})
            del stream[RAW]
        del root[OWNERS]
    except OSError as problem:
        raise OutputError(
            f"{path} cannot be written ({problem.strerror or problem}); make room and do it again"
        ) from None
    return committed


def _spikes(stream: zarr.Group, committed: int) -> dict[str, Any]:
    logs = spike_logs(stream)
    merged = MergedSpikes(logs, committed)
    attributes: dict[str, Any] = {**logs[0].attrs, "window_ticks": WINDOW_TICKS}
    when = time_attributes(attributes["dt_s"], "time of the spike")
    total, size = len(merged), attributes["size"]
    step = _events(stream, "by_time/step", total, np.int64, STEPS, when)
    neuron = _events(
        stream, "by_time/id", total, np.uint32, VALUES, {"long_name": "neuron that fired"}
    )
    counts = np.zeros(size, np.int64)
    held = []
    # A shard is written while the next one is read and merged.
    with ThreadPoolExecutor(1) as beside:
        written: list[Future[None]] = []
        for start in range(0, total, SHARD):
            steps, ids = merged.read(start, min(start + SHARD, total))
            for each in written:
                each.result()
            written = [
                beside.submit(_put, step, steps, start),
                beside.submit(_put, neuron, ids, start),
            ]
            counts += np.bincount(ids, minlength=size)
            if total <= BUCKET:
                held.append((steps, ids))
        for each in written:
            each.result()
    _whole(
        stream,
        "by_time/window_ptr",
        merged.window_ptr.astype(np.uint64),
        "window_edge",
        {"long_name": "position of the first spike of each window"},
    )
    ends = np.concatenate([[0], np.cumsum(counts)])
    _whole(
        stream,
        "by_neuron/indptr",
        ends.astype(np.uint64),
        "neuron_edge",
        {"long_name": "position of the first spike of each neuron"},
    )
    sorted_step = _events(stream, "by_neuron/step", total, np.int64, VALUES, when)
    parts = held or (
        (np.asarray(step[start : start + SHARD]), np.asarray(neuron[start : start + SHARD]))
        for start in range(0, total, SHARD)
    )
    _put_all(sorted_step, _by_neuron(stream, parts, ends))
    recorded = merged.recorded
    if recorded is not None:
        _whole(stream, "recorded", recorded.read(slice(None)), "recorded_neuron", {})
    return attributes


def _by_neuron(
    stream: zarr.Group,
    parts: Iterable[tuple[Int64s, npt.NDArray[np.uint32]]],
    ends: Int64s,
) -> Iterator[Int64s]:
    """Yield the steps of the spikes, ordered by (neuron, step), in parts.

    Args:
        stream: where there is room for logs.
        parts: steps and neurons in the order of time.
        ends: (n_neurons + 1,) positions of the neurons' spikes.
    """
    total, size = int(ends[-1]), len(ends) - 1
    edges = [0]
    while edges[-1] < size:
        # At least one neuron, however much it fires.
        most = int(np.searchsorted(ends, ends[edges[-1]] + BUCKET, side="right")) - 1
        edges.append(max(most, edges[-1] + 1))
    if len(edges) == 2:
        at, sorted_steps = ends[:-1].copy(), np.empty(total, np.int64)
        for steps, ids in parts:
            _place(steps, ids, at, sorted_steps)
        yield sorted_steps
        return
    groups = [
        stream.create_group(f"{RAW}/sorting/{i:06}", overwrite=True) for i in range(len(edges) - 1)
    ]
    columns = {"step": (np.int64, None), "id": (np.uint32, None)}
    buckets = [AppendLog(group, columns, CHUNK) for group in groups]
    bucket_of = np.repeat(np.arange(len(buckets), dtype=np.uint32), np.diff(edges))
    for steps, ids in parts:
        which = bucket_of[ids]
        cuts = np.concatenate([[0], np.cumsum(np.bincount(which, minlength=len(buckets)))])
        grouped_steps, grouped_ids = np.empty_like(steps), np.empty_like(ids)
        _place(steps, which, cuts[:-1].copy(), grouped_steps)
        _place(ids, which, cuts[:-1].copy(), grouped_ids)
        for bucket, (lo, hi) in zip(buckets, pairwise(cuts), strict=True):
            bucket.append(step=grouped_steps[lo:hi], id=grouped_ids[lo:hi])
    for bucket, group, (lo, hi) in zip(buckets, groups, pairwise(edges), strict=True):
        bucket.flush()
        steps, ids = (np.asarray(array_of(group, name)[: bucket.rows]) for name in columns)
        sorted_steps = np.empty_like(steps)
        _place(steps, ids - np.uint32(lo), ends[lo:hi] - ends[lo], sorted_steps)
        del steps, ids  # or they were there while the next are read
        yield sorted_steps
        del sorted_steps


@njit(nogil=True, cache=True)
def _place(values: Any, rows: Any, at: Any, out: Any) -> None:
    """Put each value where its row goes on: a counting sort, five times as fast as numpy's.

    Args:
        values: (n,).
        rows: (n,) row of each.
        at: (n_rows,) where the next value of each row goes; moved on.
        out: (n,) written.
    """
    for k in range(len(values)):
        row = rows[k]
        out[at[row]] = values[k]
        at[row] += 1


def _rows(stream: zarr.Group, committed: int) -> dict[str, Any]:
    dt_s = 0.0
    for variable, logs in row_logs(stream).items():
        merged = MergedRows(logs, committed)
        rows, columns = merged.values.shape
        if not rows:
            continue
        along, across = merged.attributes["dimensions"]
        dt_s = merged.attributes["dt_s"]
        snapshots = along == "snapshot"
        grid = _Grid(rows, columns, 1, SHARD, 4 * SHARD) if snapshots else _Grid(rows, columns)
        array = stream.create_array(
            variable,
            shape=(rows, columns),
            chunks=grid.chunk,
            shards=grid.shard,
            dtype=merged.values.dtype,
            compressors=summed(VALUES),
            dimension_names=(along, across),
            attributes={"units": merged.attributes["units"], "long_name": variable},
            config=EVERY_CHUNK,
            overwrite=True,
        )
        height, width = grid.shard
        # Several shards beside each other, because a log's chunks are wider than a shard.
        band = width * max(1, BUFFER_VALUES // (height * width))
        for row in range(0, rows, height):
            for column in range(0, columns, band):
                part = slice(row, row + height), slice(column, column + band)
                _put(array, merged.values.read(*part), row, column)
        when = time_attributes(dt_s, "time of the sample")
        name = "snapshot_step" if snapshots else along
        _whole(stream, name, merged.steps, along, when)
        for name, beside in merged.columns.items():
            what = across if name == "neuron" else name
            _columns(stream, what, across, beside)
    return {"dt_s": dt_s}


class _Grid:
    """Chunks and shards of samples (rows, columns).

    Args:
        rows: of the array.
        columns: of the array.
        least: rows of a chunk; more where rows are short.
        wide: most columns of a chunk.
        wider: most columns of a shard.
    """

    def __init__(
        self, rows: int, columns: int, least: int = 1024, wide: int = 128, wider: int = 256
    ) -> None:
        width = min(wide, columns)
        height = min(max(least, CHUNK // width), max(1, rows))
        across = -(-min(wider, columns) // width) * width
        self.chunk = (height, width)
        self.shard = (height * max(1, SHARD // (4 * height * across)), across)


def _columns(stream: zarr.Group, name: str, dimension: str, beside: Beside) -> None:
    count = beside.shape[0]
    array = _events(stream, name, count, beside.dtype, VALUES, {}, dimension)
    for start in range(0, count, SHARD):
        part = slice(start, start + SHARD)
        _put(array, beside.read(part), start)


def _events(
    stream: zarr.Group,
    name: str,
    count: int,
    dtype: npt.DTypeLike,
    codec: BloscCodec,
    attributes: dict[str, Any],
    dimension: str = "spike",
) -> zarr.Array[Any]:
    """Make an array that is written shard by shard; a short one is one chunk."""
    return stream.create_array(
        name,
        shape=(count,),
        chunks=(min(CHUNK, max(1, count)),),
        shards=(SHARD,) if count > CHUNK else None,
        dtype=dtype,
        compressors=summed(codec),
        dimension_names=(dimension,),
        attributes=attributes,
        config=EVERY_CHUNK,
        overwrite=True,
    )


def _whole(
    stream: zarr.Group,
    name: str,
    values: npt.NDArray[Any],
    dimension: str,
    attributes: dict[str, Any],
) -> None:
    array = _events(stream, name, len(values), values.dtype, STEPS, attributes, dimension)
    _put(array, values, 0)


def _put(array: zarr.Array[Any], values: npt.NDArray[Any], *start: int) -> None:
    """Write whole shards from there on: a part of one would lose what another writer puts there.

    Args:
        array: of any shape.
        values: of as many dimensions.
        start: position of the first value.
    """
    shard = array.shards or array.chunks
    for at, count, size, length in zip(start, values.shape, shard, array.shape, strict=True):
        whole = at % size == 0 and (count % size == 0 or at + count == length)
        assert whole, f"{array.path}: {count} values from {at} on are no whole shards of {size}"
    if values.size:
        array[tuple(slice(a, a + n) for a, n in zip(start, values.shape, strict=True))] = values


def _put_all(array: zarr.Array[Any], parts: Iterator[Int64s]) -> None:
    """Write parts of any lengths (n,), one behind the other, in whole shards."""
    rest = np.empty(0, np.int64)
    at = 0
    while (part := next(parts, None)) is not None:
        missing = -len(rest) % SHARD
        rest = np.concatenate([rest, part[:missing]])
        if len(rest) == SHARD or not missing:
            _put(array, rest, at)
            at += len(rest)
            whole = missing + (len(part) - missing) // SHARD * SHARD
            _put(array, part[missing:whole], at)
            at += whole - missing
            rest = part[whole:].copy()
        del part  # or it was there while the next is made
    _put(array, rest, at)


def _sweep(root: zarr.Group) -> None:
    """Remove what is left of logs where removing them was killed."""
    directory = directory_of(root)
    for left in (*directory.glob(f"*/*/{RAW}"), directory / OWNERS):
        stream = left.parent.relative_to(directory).as_posix()
        done = left.name == OWNERS or "committed_tick" in getattr(root.get(stream), "attrs", {})
        if done and left.is_dir() and not (left / "zarr.json").exists():
            shutil.rmtree(left)
