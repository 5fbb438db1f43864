"""Append logs: columns of a Zarr group that grow while a run goes on.

Why a log for every owner: a chunk that two processes write loses data without a word, and where
an owner's neurons begin depends on how many owners there are. A log belongs to one owner; logs
are merged at the end, or by whoever reads before (`biosim.spiking.merged`), into arrays that do
not show how many there were.

Only whole chunks are written. What a log holds of an incomplete chunk is written with the rest
of the chunk unused, and again when there is more of it: nothing that was stored ever goes away.
The arrays are longer than any run; what was not written reads as `NEVER` in a column of steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BloscCodec

from biosim.damage import summed
from biosim.store import writing

NEVER = int(np.iinfo(np.int64).max)
ENDLESS = 1 << 40
CHUNK_VALUES = 1 << 18
# A log is read once and then removed: speed counts, and steps shrink tenfold all the same.
FAST = BloscCodec(cname="lz4", clevel=1, shuffle="shuffle")


class AppendLog:
    """Columns that are appended to together.

    Args:
        group: where its arrays are made; what is there of the same name is replaced.
        columns: name -> (dtype, width): (rows,), or (rows, width) if there is a width.
        rows: rows of a chunk, and of the buffer.
    """

    def __init__(
        self,
        group: zarr.Group,
        columns: Mapping[str, tuple[npt.DTypeLike, int | None]],
        rows: int,
    ) -> None:
        self._rows = rows
        self._held = 0
        self._whole = 0
        self._dirty = False
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._buffers: dict[str, npt.NDArray[Any]] = {}
        for name, (dtype, width) in columns.items():
            beside = () if width is None else (width,)
            self._arrays[name] = group.create_array(
                name,
                shape=(ENDLESS, *beside),
                chunks=(rows, *(min(w, max(256, CHUNK_VALUES // rows)) for w in beside)),
                dtype=dtype,
                compressors=summed(FAST),
                fill_value=NEVER if name == "step" else 0,
                overwrite=True,
            )
            # Memory is taken up only as the buffer fills.
            self._buffers[name] = np.empty((rows, *beside), dtype)

    @property
    def rows(self) -> int:
        """How many rows were appended."""
        return self._whole + self._held

    @property
    def buffer_bytes(self) -> int:
        """Most that it ever holds in memory."""
        return sum(buffer.nbytes for buffer in self._buffers.values())

    def append(self, **values: npt.NDArray[Any]) -> None:
        """Add the same number of rows to every column.

        Raises:
            OutputError: the store cannot be written.
        """
        count = len(next(iter(values.values())))
        taken = 0
        while taken < count:
            # Whole chunks go from the caller's array to the store, past the buffer.
            direct = (count - taken) // self._rows * self._rows if self._held == 0 else 0
            n = direct or min(count - taken, self._rows - self._held)
            for name, column in values.items():
                part = column[taken : taken + n]
                if direct:
                    self._write(name, part)
                else:
                    self._buffers[name][self._held : self._held + n] = part
            taken += n
            if direct:
                self._whole += n
                continue
            self._held += n
            self._dirty = True
            if self._held == self._rows:
                self.flush()
                self._whole += self._rows
                self._held = 0

    def flush(self) -> None:
        """Write what is held, so that everything appended is in the store.

        Raises:
            OutputError: the store cannot be written.
        """
        if not self._dirty:
            return
        for name, buffer in self._buffers.items():
            buffer[self._held :] = self._arrays[name].fill_value
            self._write(name, buffer)
        self._dirty = False

    def _write(self, name: str, values: npt.NDArray[Any]) -> None:
        assert len(values) % self._rows == 0, "only whole chunks are written, each by one writer"
        with writing(str(self._arrays[name].store_path).removeprefix("file://")):
            self._arrays[name][self._whole : self._whole + len(values)] = values
