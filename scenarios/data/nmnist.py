"""N-MNIST: MNIST's images, moved before an event camera; 34x34 pixels, two polarities.

Two forms are read. The published one has a directory for each class, `Train/0` to `Test/9`, and
a file for each recording. The small one is one file, `nmnist_small.npz`, with the events of the
first recordings.

Source: Orchard, Jayawant, Cohen & Thakor 2015, "Converting static image datasets to spiking
neuromorphic datasets using saccades", Frontiers in Neuroscience 9:437.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from biosim.errors import DataError
from scenarios.data.dataset import Dataset, Split, no_samples
from scenarios.data.events import Events, joined
from scenarios.data.published import CHECKOUT_DATA, VARIABLE

WIDTH = 34
SHAPE = (2, WIDTH, WIDTH)
CLASSES = 10
SMALL = "nmnist_small.npz"
PARTS = ("Train", "Test")
_FEATURES = 2 * WIDTH * WIDTH
_BYTES = 5
_OVERFLOW_Y, _OVERFLOW_US = 240, 1 << 13
_MOST = 16.0
"""Few pixels have more events in a recording."""

Times = npt.NDArray[np.int32]
Addresses = npt.NDArray[np.uint16]


def nmnist(directory: str | os.PathLike[str] | None = None) -> Dataset:
    """Return N-MNIST: its own training and test parts, each split with its events.

    Inputs are the events of a pixel and polarity, counted over the recording, / 16. A feature is
    (polarity, y, x), polarity 1 where the pixel became brighter.

    Args:
        directory: that must hold `Train` and `Test`, or the small file, or a folder `nmnist`
            with them; without it `$BIOSIM_DATA`, then `../shared/data` beside the checkout, are
            looked at. Nothing is downloaded.

    Raises:
        DataError: the files are missing or damaged.
    """
    found = _located(directory)
    if found.is_file():
        parts = _small(found)
        what = "the first recordings of each part"
    else:
        parts = [_published(found / part) for part in PARTS]
        what = "the published training and test parts"
    train, test = parts
    return Dataset(
        name="nmnist",
        train=train,
        validation=no_samples(_FEATURES),
        test=test,
        classes=CLASSES,
        shape=SHAPE,
        description=(
            "MNIST before an event camera, 34x34, two polarities, inputs: events of a recording "
            f"/ 16 (Orchard et al. 2015); {what}"
        ),
    )


def read_recording(path: Path) -> tuple[Times, Addresses]:
    """Return the times in microseconds and the addresses of a recording in the published form.

    Five bytes an event, the most significant first: x, y, then 24 bits of which the first is the
    polarity and the others are the time.

    Raises:
        DataError: the file is missing, is not of whole events, or one is outside the picture or
            earlier than the one before.
    """
    try:
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}), expected a recording of N-MNIST: fetch "
            "it again"
        ) from error
    if len(content) % _BYTES:
        raise DataError(
            f"{path}: has {len(content)} bytes, expected 5 for each event: it is truncated, fetch "
            "it again"
        )
    x, y, high, middle, low = content.reshape(-1, _BYTES).T.astype(np.int32)
    time = (high & 0x7F) << 16 | middle << 8 | low
    # The authors' reader takes an event at y = 240 for a mark: the clock went over its end.
    marks = y == _OVERFLOW_Y
    time = (time + _OVERFLOW_US * np.cumsum(marks))[~marks]
    return _checked(path, time, x[~marks], y[~marks], (high >> 7)[~marks])


def write_recording(path: Path, time_us: Times, address: Addresses) -> None:
    """Write a recording in the published form; see `read_recording`.

    Raises:
        DataError: a time does not fit 23 bits.
    """
    time = np.asarray(time_us, dtype=np.int64)
    if len(time) and (time.min() < 0 or time.max() >= 1 << 23):
        raise DataError(
            f"{path}: has times from {time.min()} to {time.max()} us, expected 0 to {(1 << 23) - 1}"
            ": cut the recording"
        )
    polarity, y, x = np.unravel_index(np.asarray(address, dtype=np.int64), SHAPE)
    columns = (x, y, polarity << 7 | time >> 16, time >> 8 & 0xFF, time & 0xFF)
    path.write_bytes(np.stack(columns, axis=1).astype(np.uint8).tobytes())


def _located(directory: str | os.PathLike[str] | None) -> Path:
    """Return the small file, or the directory that holds `Train` and `Test`."""
    roots = [Path(directory).expanduser()] if directory is not None else []
    if directory is None and os.environ.get(VARIABLE):
        roots.append(Path(os.environ[VARIABLE]).expanduser())
    if directory is None:
        roots.append(CHECKOUT_DATA)
    for root in roots:
        for folder in (root / "nmnist", root):
            if all((folder / part).is_dir() for part in PARTS):
                return folder
            if (folder / SMALL).is_file():
                return folder / SMALL
    looked = ", ".join(map(str, roots))
    raise DataError(
        f"nmnist: neither Train/ and Test/ nor {SMALL} in {looked}, or in a folder nmnist there: "
        f"place them, and name the directory by data.directory or {VARIABLE}"
    )


def _published(part: Path) -> Split:
    """Return a part of the published form, in the order of the recordings' numbers."""
    found = sorted(_files(part))
    if not found:
        raise DataError(
            f"{part}: holds no recordings, expected folders 0 to 9 with .bin files: unpack the "
            "archive there"
        )
    events = joined([read_recording(path) for _, _, path in found])
    return _split(events, np.array([label for _, label, _ in found], dtype=np.int64))


def _files(part: Path) -> Iterator[tuple[str, int, Path]]:
    for label in range(CLASSES):
        for path in (part / str(label)).glob("*.bin"):
            yield path.stem, label, path


def _small(path: Path) -> list[Split]:
    names = ("dt_us", "x", "y", "p", "offsets", "labels")
    try:
        with np.load(path, allow_pickle=False) as stored:
            parts = [{key: stored[f"{part.lower()}_{key}"] for key in names} for part in PARTS]
    except Exception as error:  # a damaged zip, a missing array, an object array
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}: {error}), expected arrays "
            f"train_ and test_ {', '.join(names)}: fetch it again"
        ) from error
    return [_of_small(path, part) for part in parts]


def _of_small(path: Path, part: dict[str, npt.NDArray[Any]]) -> Split:
    offsets = part["offsets"].astype(np.int64)
    n = len(part["dt_us"])
    polarity = np.unpackbits(part["p"])[:n].astype(np.int32)
    ends = (offsets[0], offsets[-1], len(part["x"]), len(part["y"]), len(polarity))
    if ends != (0, n, n, n, n) or np.any(np.diff(offsets) < 0):
        raise DataError(f"{path}: its offsets do not fit its {n} events: fetch it again")
    elapsed = np.concatenate([[0], np.cumsum(part["dt_us"], dtype=np.int64)])
    began = np.repeat(elapsed[offsets[:-1]], np.diff(offsets))
    time = elapsed[1:] - began
    x, y = part["x"].astype(np.int32), part["y"].astype(np.int32)
    _, address = _checked(path, np.zeros(0, np.int32), x, y, polarity)
    return _split(Events(time.astype(np.int32), address, offsets), part["labels"].astype(np.int64))


def _checked(path: Path, time: Times, x: Any, y: Any, polarity: Any) -> tuple[Times, Addresses]:
    outside = np.flatnonzero((x >= WIDTH) | (y >= WIDTH))
    if len(outside):
        k = outside[0]
        raise DataError(
            f"{path}: event {k} is at x {x[k]}, y {y[k]}, expected below {WIDTH}: is it another "
            "file?"
        )
    back = np.flatnonzero(np.diff(time) < 0)
    if len(back):
        k = back[0] + 1
        raise DataError(
            f"{path}: event {k} is at {time[k]} us, before the one at {time[k - 1]} us, expected "
            "them in the order of time: fetch it again"
        )
    return time.astype(np.int32), ((polarity * WIDTH + y) * WIDTH + x).astype(np.uint16)


def _split(events: Events, labels: npt.NDArray[np.int64]) -> Split:
    x = events.counts(_FEATURES)
    x /= np.float32(_MOST)
    return Split(x, labels, events)
