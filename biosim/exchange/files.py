"""Files of other formats: the library that each needs, and writing one whole or not at all."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from biosim.errors import DataError, OutputError


def required(library: str, extra: str) -> Any:
    """Return an optional library.

    Args:
        library: name of the module.
        extra: of biosim, which brings it along.

    Raises:
        OutputError: it is not installed.
    """
    try:
        return importlib.import_module(library)
    except ImportError:
        package = library.partition(".")[0]
        raise OutputError(
            f"{package} is not installed, which {extra} files need: pip install 'biosim[{extra}]'"
        ) from None


def check_free(out: Path, overwrite: bool) -> None:
    """Check that a file can be made, without making it.

    Raises:
        OutputError: it exists and may not be replaced, is a directory, or its place cannot be
            written.
    """
    if out.is_dir():
        raise OutputError(f"{out} is a directory; expected the name of a file to make")
    if (out.exists() or out.is_symlink()) and not overwrite:
        raise OutputError(f"{out} exists; choose another --out, or give --overwrite")
    if not out.parent.is_dir():
        raise OutputError(f"{out.parent} is no directory; make it, or choose another --out")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{out.parent} cannot be written; choose another --out")


@contextmanager
def whole(out: Path, overwrite: bool) -> Iterator[Path]:
    """Give a place to write a file to, which gets its name only once it is whole.

    A file that is replaced stays until then, and stays if anything fails.

    Raises:
        OutputError: the file exists and may not be replaced, or it cannot be written.
    """
    check_free(out, overwrite)
    # Some libraries choose what they write by how the name ends.
    beside = out.with_name(f".{os.getpid()}.{out.name}")
    try:
        yield beside
        check_free(out, overwrite)  # another may have come first
        os.replace(beside, out)
    except OSError as problem:
        raise OutputError(
            f"{out} cannot be written ({problem.strerror or problem}); choose another --out"
        ) from None
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def hdf5(path: Path) -> Iterator[Any]:
    """Open an HDF5 file to read.

    Args:
        path: of the file.

    Raises:
        DataError: it is not there, is no HDF5 file, is damaged, or what is read of it has the
            wrong type.
    """
    h5py = required("h5py", "hdf5")
    if not path.is_file():
        raise DataError(f"{path} is no file; expected an HDF5 file to import")
    try:
        file = h5py.File(path, "r")
    except OSError as problem:
        raise DataError(f"{path} is not a whole HDF5 file ({_first(problem)})") from None
    with file:
        try:
            yield file
        except (OSError, RuntimeError, KeyError) as problem:
            raise DataError(f"{path} is damaged ({_first(problem)})") from None
        except (TypeError, ValueError) as problem:
            # Text where numbers belong, for one.
            raise DataError(
                f"{path} holds something else than it should ({_first(problem)})"
            ) from problem


def _first(problem: Exception) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0]
