"""The user's own data: an `.npz` file or a Zarr store (version 2 or 3) with arrays x and y.

Why no pickles: a data file that someone sends must not be able to run code.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biosim.errors import DataError
from scenarios.data.dataset import (
    Dataset,
    Float32s,
    Int64s,
    Split,
    check_finite,
    no_samples,
)
from scenarios.data.split import RANDOM_STATE, stratified_split


def user_file(file: str | os.PathLike[str]) -> Dataset:
    """Return the data set in the user's own file.

    The inputs x, of shape (n_samples, ...) and any real type, are used as they are: scale them
    before. The labels y, of shape (n_samples,), are integers or texts. The samples to test on
    are x_test and y_test; without them 20 % are held out, stratified and always the same.

    Args:
        file: an `.npz` file or the directory of a Zarr group.

    Raises:
        DataError: the file is missing or of another kind; x or y is missing, or one of x_test
            and y_test; an array holds objects, has the wrong shape or type, or is not finite;
            y_test holds a label that y does not; there are fewer than two classes, or too few
            samples to hold some out.
    """
    path = Path(file).expanduser()
    arrays = _read(path, ("x", "y", "x_test", "y_test"))
    _require(path, arrays, ("x", "y"))
    tested = sorted({"x_test", "y_test"} & arrays.keys())
    if tested:
        _require(path, arrays, ("x_test", "y_test"))

    x, shape = _inputs(path, "x", arrays["x"])
    y = _labels(path, "y", arrays["y"], len(x))
    labels = tuple(sorted(set(y.tolist())))
    train = Split(x, encode_labels(f"{path}: y", y, labels))
    if tested:
        x_test, shape_test = _inputs(path, "x_test", arrays["x_test"])
        if shape_test != shape:
            raise DataError(
                f"{path}: x_test has samples of shape {shape_test}, expected {shape} as in x: "
                "give both the same shape"
            )
        y_test = _labels(path, "y_test", arrays["y_test"], len(x_test))
        test = Split(x_test, encode_labels(f"{path}: y_test", y_test, labels))
        how = "with its own test samples"
    else:
        kept, held_out = stratified_split(
            str(path), train.y, 0.2, "add samples, or give x_test and y_test"
        )
        train, test = train.take(kept), train.take(held_out)
        how = f"20 % held out for the test, stratified, random_state={RANDOM_STATE}"
    return Dataset(
        name=path.name,
        train=train,
        validation=no_samples(x.shape[1]),
        test=test,
        classes=len(labels),
        shape=shape,
        description=f"the file {path.name}, {how}",
        labels=labels,
    )


def load_inputs(file: str | os.PathLike[str]) -> tuple[Float32s, npt.NDArray[Any] | None]:
    """Return the inputs in the user's own file, and their labels where it has some.

    Args:
        file: an `.npz` file or the directory of a Zarr group, with x and possibly y.

    Returns:
        x (n_samples, n_features), and y (n_samples,) as the file has them, integers or texts,
        or None; `encode_labels` turns them into class numbers.

    Raises:
        DataError: the file is missing or of another kind; x is missing; an array holds
            objects, has the wrong shape or type, or is not finite.
    """
    path = Path(file).expanduser()
    arrays = _read(path, ("x", "y"))
    _require(path, arrays, ("x",))
    x, _ = _inputs(path, "x", arrays["x"])
    return x, _labels(path, "y", arrays["y"], len(x)) if "y" in arrays else None


def encode_labels(where: str, y: npt.NDArray[Any], labels: Sequence[int | str]) -> Int64s:
    """Return each label's class number, its position in `Dataset.labels`.

    Args:
        where: what to call y in the message.
        y: (n_samples,) labels, integers or texts.
        labels: (classes,) the label of each class.

    Returns:
        (n_samples,) class numbers.

    Raises:
        DataError: y holds a label that is not one of the classes'.
    """
    number = {label: k for k, label in enumerate(labels)}
    values = y.tolist()
    for sample, value in enumerate(values):
        if value not in number:
            shown = ", ".join(repr(label) for label in labels[:10])
            raise DataError(
                f"{where} is {value!r} at sample {sample}, expected one of the labels trained "
                f"on ({shown}{', ...' if len(labels) > 10 else ''}): remove that sample, or "
                "train with its class"
            )
    return np.array([number[value] for value in values], dtype=np.int64)


def _require(path: Path, arrays: dict[str, npt.NDArray[Any]], keys: tuple[str, ...]) -> None:
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise DataError(
            f"{path}: has no array {' and no array '.join(missing)} (of those looked for it has "
            f"{', '.join(arrays) or 'none'}), expected {' and '.join(keys)}: store the arrays "
            "under these names"
        )


def _read(path: Path, keys: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """Return those of the named arrays that the file has."""
    try:
        if not path.exists():
            raise DataError(
                f"{path}: does not exist, expected an .npz file or a Zarr directory: check the path"
            )
        return _read_zarr(path, keys) if path.is_dir() else _read_npz(path, keys)
    except DataError:
        raise
    # Damaged files and refused object arrays surface as errors of the zip, the codecs or the
    # JSON reader: whatever it is, the file is what has to be mended.
    except Exception as error:
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}: {error}), expected an .npz file or "
            "a Zarr group with arrays of numbers or texts, no objects: write it with "
            "numpy.savez(path, x=..., y=...)"
        ) from error


def _read_npz(path: Path, keys: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    # Opened here, because numpy leaves a damaged archive open.
    with path.open("rb") as stream:
        stored = np.load(stream, allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise DataError(
                f"{path}: holds a single array, expected an .npz file with x and y: write it "
                "with numpy.savez(path, x=..., y=...)"
            )
        return {key: stored[key] for key in keys if key in stored}


def _read_zarr(path: Path, keys: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    # Not at the head of the file: it is slow to load, and an .npz does without.
    import zarr

    arrays = {}
    with warnings.catch_warnings():
        # Zarr warns of each way to store texts in version 3, which is the writer's concern.
        warnings.simplefilter("ignore")
        group = zarr.open_group(path, mode="r")
        for key in keys:
            if key not in group:
                continue
            array = group[key]
            if not isinstance(array, zarr.Array):
                raise DataError(
                    f"{path}: {key} is a group, expected an array: store the array under that name"
                )
            arrays[key] = np.asarray(array[...])
    return arrays


def _inputs(path: Path, key: str, array: npt.NDArray[Any]) -> tuple[Float32s, tuple[int, ...]]:
    """Return (n_samples, n_features) and the shape of one sample."""
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{path}: {key} holds {array.dtype}, expected real numbers: convert it with astype"
        )
    if array.ndim < 2 or 0 in array.shape:
        raise DataError(
            f"{path}: {key} has the shape {array.shape}, expected (n_samples, n_features) or "
            "(n_samples, height, width, ...), none of them 0: reshape it"
        )
    # A number too large for float32 becomes inf, which is then reported with its place.
    with np.errstate(over="ignore"):
        x = array.reshape(len(array), math.prod(array.shape[1:])).astype(np.float32)
    check_finite(f"{path}: {key}", x)
    return x, array.shape[1:]


def _labels(path: Path, key: str, array: npt.NDArray[Any], n_samples: int) -> npt.NDArray[Any]:
    """Return labels whose `tolist` gives plain integers or texts."""
    if array.dtype.kind not in "biuUST":
        raise DataError(
            f"{path}: {key} holds {array.dtype}, expected integers or texts: convert it with "
            "astype(int) or astype(str)"
        )
    if array.shape != (n_samples,):
        raise DataError(
            f"{path}: {key} has the shape {array.shape}, expected ({n_samples},), one label for "
            "each sample: for one-hot rows take argmax(axis=1)"
        )
    if array.dtype.kind == "b":
        return array.astype(np.int64)
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "backslashreplace")
    return array
