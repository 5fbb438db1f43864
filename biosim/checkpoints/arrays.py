"""Arrays of a checkpoint: each rank writes its stretch of the rows of one array, without a gather.

Why no compression: what an uncompressed chunk holds lies in its file in the order of the array, so
that several processes may write their own bytes of one file, wherever their stretches begin. The
arrays are Zarr all the same, and any program reads them.

The check sum of an array is the sum, modulo 2^64, of its numbers' bits, each times an odd number
that tells its place. So every rank sums its own stretch, and the sums of all ranks add up to the
same, however many there are. One value that is another always changes it; several do by all but
chance.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import zarr

from biosim.contracts import Ranks

Array = npt.NDArray[Any]

CHUNK_BYTES = 64 << 20
"""Of a file, at most; a row of its own may be longer."""
SYNCING = 16
"""Files that are seen onto the disk at a time."""
SUMMED = 1 << 18
"""Numbers that are summed at a time: they stay in the cache."""


Read = Callable[[str, int, int | None], Array]
"""Reads rows of an array: its path, the first row, and how many; None for all from there on."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """Rows of an array that one rank has; all ranks name the same arrays.

    Args:
        path: of the array.
        values: (n, ...) rows, none where the rank owns none.
        first: position of the first row in the array.
        rows: of the whole array.
        total: the check sum of the rows, where it is known.
    """

    path: str
    values: Array
    first: int
    rows: int
    total: int | None = None

    @property
    def sum(self) -> int:
        """The check sum of the rows."""
        return summed(self.values, self.first) if self.total is None else self.total


def before(ranks: Ranks, rows: int) -> tuple[int, int]:
    """Return how many rows the ranks before this one have, and all together; all ranks call it."""
    counts = torch.zeros(ranks.size, dtype=torch.int64)
    counts[ranks.rank] = rows
    every = ranks.sum(counts)
    return int(every[: ranks.rank].sum()), int(every.sum())


def describe(directory: Path, stretch: Stretch) -> None:
    """Make the array of a stretch, without its values; one process only.

    By hand, because there are many, and making one by the library takes as long as a checkpoint
    of a small network; the format is that of the Zarr specification, version 3.
    """
    dtype = stretch.values.dtype
    beside = stretch.values.shape[1:]
    order = {} if dtype.itemsize == 1 else {"configuration": {"endian": sys.byteorder}}
    about = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [stretch.rows, *beside],
        "data_type": dtype.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [_chunk_rows(stretch), *(max(1, n) for n in beside)]},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": False if dtype.kind == "b" else 0,
        "codecs": [{"name": "bytes", **order}],
        "attributes": {},
    }
    path = directory / stretch.path
    path.mkdir(parents=True, exist_ok=True)
    (path / "zarr.json").write_text(json.dumps(about), encoding="utf-8")


def write(directory: Path, stretch: Stretch) -> set[Path]:
    """Write a rank's rows of an array, whether or not it is there; return the files.

    Args:
        directory: of the checkpoint.
        stretch: what to write.
    """
    values, first = stretch.values, stretch.first
    if not values.size:
        return set()
    rows, row_bytes = _chunk_rows(stretch), values[:1].nbytes
    folder = directory / stretch.path / "c"
    written = set()
    for n in range(first // rows, -(-(first + len(values)) // rows)):
        begin, end = max(first, n * rows), min(first + len(values), (n + 1) * rows)
        # Arrays are cut along their rows only.
        path = folder.joinpath(str(n), *["0"] * (values.ndim - 1))
        path.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            # A chunk is stored whole, also one that goes beyond the array. It is as long from the
            # first: at the end of a file, NFS writes whole pages, and with them others' bytes.
            if os.fstat(number).st_size < rows * row_bytes:
                os.ftruncate(number, rows * row_bytes)
            part = np.ascontiguousarray(values[begin - first : end - first])
            data, offset = part.reshape(-1).view(np.uint8).data, (begin - n * rows) * row_bytes
            while data:
                done = os.pwrite(number, data, offset)
                data, offset = data[done:], offset + done
        finally:
            os.close(number)
        written.add(path)
    return written


def read(directory: Path, path: str, first: int = 0, rows: int | None = None) -> Array:
    """Return rows of an array, as the machine numbers them.

    Args:
        directory: of the checkpoint.
        path: of the array.
        first: position of the first row.
        rows: how many; None for all from there on.
    """
    array = zarr.open_array(str(directory / path), mode="r", zarr_format=3)
    if not array.ndim:
        return np.asarray(array[...])
    stop = array.shape[0] if rows is None else first + rows
    return np.asarray(array[first:stop])


def rows(directory: Path, path: str) -> int:
    """Return how many rows an array has.

    Raises:
        FileNotFoundError: a file of it is missing.
        ValueError: a file of it is too short.
    """
    array = zarr.open_array(str(directory / path), mode="r", zarr_format=3)
    if not array.ndim:  # one number, which is read whole
        return 1
    total = int(array.shape[0])
    size = math.prod(array.chunks) * array.dtype.itemsize
    for n in range(-(-total // array.chunks[0]) if array.size else 0):
        file = (directory / path / "c").joinpath(str(n), *["0"] * (array.ndim - 1))
        if file.stat().st_size < size:
            raise ValueError(f"{path} is cut off")
    return total


def summed(values: Array, first: int) -> int:
    """Return the check sum of rows of an array, in [0, 2^64).

    Args:
        values: (n, ...) rows.
        first: position of the first row.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    words = flat.view(f"u{flat.dtype.itemsize}")
    width = math.prod(values.shape[1:])
    total = 0
    for start in range(0, len(words), SUMMED):
        part = words[start : start + SUMMED].astype(np.uint64)
        begin = first * width + start
        places = np.arange(begin, begin + len(part), dtype=np.uint64)
        part *= 2 * places + np.uint64(1)
        total += int(part.sum())
    return total % (1 << 64)


def _chunk_rows(stretch: Stretch) -> int:
    row_bytes = math.prod(stretch.values.shape[1:]) * stretch.values.dtype.itemsize
    return max(1, min(stretch.rows, CHUNK_BYTES // max(1, row_bytes)))


def synced(paths: Iterable[Path]) -> None:
    """See files and directories onto the disk."""
    # A disk takes what comes from several at once together.
    with ThreadPoolExecutor(SYNCING) as pool:
        deque(pool.map(_synced, paths), maxlen=0)


def _synced(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
