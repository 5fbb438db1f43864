"""What is wrong with an array that cannot be read, named by its file.

Every chunk carries a checksum (crc32c), which zarr compares when it reads; but it does not say
where it was. A chunk that is not there zarr takes for one that was never written, and fills it: so
a store says at its end which arrays have all of theirs.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from xarray.backends import BackendArray, ZarrStore
from xarray.core import indexing
from zarr.abc.codec import BytesBytesCodec
from zarr.abc.store import ByteRequest
from zarr.codecs import Crc32cCodec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.errors import ZarrUserWarning
from zarr.storage import LocalStore

from biosim.errors import OutputError

UNREADABLE = (ValueError, RuntimeError, OSError)
"""What zarr and its codecs raise at bytes that are not those that were written."""


def summed(codec: BytesBytesCodec) -> tuple[BytesBytesCodec, BytesBytesCodec]:
    """Return compressors whose output carries a checksum."""
    return codec, Crc32cCodec()


def opened(
    store: Path, group: str, chunks: Any = None, whole: Collection[str] = frozenset()
) -> xr.Dataset:
    """Open a group, without reading its arrays, which name what is damaged when they are read.

    Args:
        store: the directory `run.zarr`.
        group: path in it.
        chunks: as of `xarray.open_dataset`; None for no dask.
        whole: arrays of the store all of whose chunks were stored: one that is missing is damage.
    """
    with warnings.catch_warnings():
        # A process that was killed leaves files which are neither group nor array.
        warnings.simplefilter("ignore", ZarrUserWarning)
        found = _Store.open_group(_Whole(store, whole), mode="r", group=group, consolidated=False)
        return xr.open_dataset(found, chunks=chunks)


def is_whole(array: zarr.Array[Any]) -> bool:
    """Return whether every chunk of an array is stored, by counting its files."""
    needed = 1
    for length, size in zip(array.shape, array.shards or array.chunks, strict=True):
        needed *= -(-length // size)
    found = _directory(array) / "c"
    return sum(path.is_file() for path in (found, *found.rglob("*"))) == needed


@contextmanager
def named(array: zarr.Array[Any], *region: slice) -> Iterator[None]:
    """Name the chunk that is damaged, where reading fails.

    Args:
        array: is read.
        region: of it that is read, a slice without a step for each of the first dimensions.

    Raises:
        OutputError: a chunk is damaged, or a file may not be read.
    """
    try:
        yield
    except UNREADABLE as problem:
        said = _said(array, region, problem)
        if said is None:
            raise
        raise OutputError(said) from None


class _Store(ZarrStore):
    """Opens arrays that name what is damaged."""

    def open_store_variable(self, name: str) -> xr.Variable:
        found = super().open_store_variable(name)  # type: ignore[no-untyped-call]
        data = indexing.LazilyIndexedArray(_Array(self.members[name]))
        return xr.Variable(found.dims, data, found.attrs, found.encoding)


class _Whole(LocalStore):
    """Misses the chunks of arrays that had all of them.

    Args:
        root: the directory `run.zarr`.
        arrays: their paths.
    """

    def __init__(
        self, root: Path, arrays: Collection[str] = frozenset(), *, read_only: bool = True
    ) -> None:
        super().__init__(root, read_only=read_only)
        self.arrays = frozenset(arrays)

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        found = await super().get(key, prototype, byte_range)
        # The last /c/, because populations and parameters may be called c too.
        array = key.removesuffix("/c") if key.endswith("/c") else key.rpartition("/c/")[0]
        if found is None and array in self.arrays:
            raise OutputError(
                f"{self.root / key} is missing: it holds a part of {array!r}, and was there when "
                "the run ended; take a copy of the run, or run it again"
            )
        return found


class _Array(BackendArray):
    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape = array.shape
        self.dtype = array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        ways = {
            indexing.OuterIndexer: self._array.oindex,
            indexing.VectorizedIndexer: self._array.vindex,
        }
        way = ways.get(type(key), self._array)
        with named(self._array):
            return indexing.explicit_indexing_adapter(
                key, self.shape, indexing.IndexingSupport.VECTORIZED, way.__getitem__
            )


def _said(array: zarr.Array[Any], region: Sequence[slice], problem: Exception) -> str | None:
    """Return what is wrong, with the first chunk that cannot be read; None if all can."""
    directory = _directory(array)
    if isinstance(problem, OSError):
        place = problem.filename or directory
        return f"{place} cannot be read ({problem.strerror or problem}); ask who wrote it"
    for at in itertools.product(*_chunks(array, region)):
        part = tuple(
            slice(n * size, (n + 1) * size) for n, size in zip(at, array.chunks, strict=True)
        )
        try:
            np.asarray(array[part])
        except UNREADABLE as reason:
            file = array.metadata.encode_chunk_key(
                tuple(p.start // s for p, s in zip(part, array.shards or array.chunks, strict=True))
            )
            where = ", ".join(
                f"{p.start:,} to {min(p.stop, n) - 1:,}"
                for p, n in zip(part, array.shape, strict=True)
            )
            what = "its checksum is another" if "checksum" in str(reason) else str(reason)
            return (
                f"{directory / file} is damaged ({what}): it holds [{where}] of "
                f"{array.path!r}; take a copy of the run, or run it again"
            )
    return None


def _directory(array: zarr.Array[Any]) -> Path:
    return Path(str(array.store_path).removeprefix("file://"))


def _chunks(array: zarr.Array[Any], region: Sequence[slice]) -> Iterator[range]:
    """Yield the numbers of the chunks along each dimension."""
    wanted = [*region, *(slice(None) for _ in array.shape[len(region) :])]
    for part, length, size in zip(wanted, array.shape, array.chunks, strict=True):
        start, stop, _ = part.indices(length)
        yield range(start // size, -(-stop // size))
