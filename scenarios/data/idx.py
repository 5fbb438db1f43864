"""IDX files, the format of MNIST: a big-endian header, then bytes in C order.

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", file formats.
Only unsigned bytes: nothing that biosim loads uses the format's other types.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from biosim.errors import DataError

_UNSIGNED_BYTE = 0x08
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path, n_dimensions: int) -> npt.NDArray[np.uint8]:
    """Return the array in an IDX file of unsigned bytes, gzipped or not.

    Args:
        path: the file; whether it is gzipped is read from its first bytes, not from its name.
        n_dimensions: that the array must have.

    Raises:
        DataError: the file is missing or damaged, has another type or number of dimensions,
            or is longer or shorter than its header says.
    """
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP_MAGIC):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        # gzip.BadGzipFile is an OSError.
        raise DataError(
            f"{path}: cannot be read ({error}), expected an IDX file, gzipped or not: "
            "fetch it again"
        ) from error

    expected = bytes((0, 0, _UNSIGNED_BYTE, n_dimensions))
    if content[:4] != expected:
        raise DataError(
            f"{path}: starts with 0x{content[:4].hex()}, expected 0x{expected.hex()} "
            f"(IDX, unsigned bytes, {n_dimensions} dimensions): is it another file?"
        )
    start = 4 + 4 * n_dimensions
    if len(content) < start:
        raise DataError(
            f"{path}: ends after {len(content)} bytes, expected a header of {start}: "
            "it is truncated, fetch it again"
        )
    shape = struct.unpack_from(f">{n_dimensions}I", content, offset=4)
    size = start + math.prod(shape)
    if len(content) != size:
        what = "truncated" if len(content) < size else "followed by other bytes"
        raise DataError(
            f"{path}: has {len(content)} bytes, expected {size} for an array of shape {shape}: "
            f"it is {what}, fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def write_idx(path: Path, array: npt.NDArray[np.uint8]) -> None:
    """Write an array of unsigned bytes as an IDX file, gzipped if the name ends in `.gz`.

    The same array gives the same bytes: the gzip header holds neither time nor name.

    Raises:
        DataError: the array does not hold unsigned bytes.
    """
    if array.dtype != np.uint8:
        raise DataError(
            f"{path}: the array holds {array.dtype}, expected uint8: convert it with astype"
        )
    header = bytes((0, 0, _UNSIGNED_BYTE, array.ndim))
    content = header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
