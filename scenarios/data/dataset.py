"""What every data set is: three splits of flat samples with labels, checked when made.

Why checked when made: a NaN or a label out of range surfaces, if at all, hours later as a
diverged run or an accuracy that is slightly too low.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biosim.errors import DataError
from scenarios.data.events import Events

Float32s = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]


# Compared by identity: arrays have no single truth value. They stay writable, because torch
# warns of a tensor that shares memory with a read-only array.
@dataclass(frozen=True, eq=False)
class Split:
    """Samples with their labels.

    Attributes:
        x: (n_samples, n_features) inputs, dimensionless.
        y: (n_samples,) labels 0..classes-1.
        events: of an event camera, where the samples are its recordings; x then counts them.
    """

    x: Float32s
    y: Int64s
    events: Events | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.y)

    def take(self, which: Int64s) -> Split:
        """Return copies of the samples at the positions (n_taken,), in that order."""
        events = None if self.events is None else self.events.take(which)
        return Split(self.x[which], self.y[which], events)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification task.

    Attributes:
        name: what messages and reports call it.
        train: samples to learn from; at least one.
        validation: samples to choose parameters by; possibly none.
        test: samples to report an accuracy on; at least one.
        classes: the number of classes, at least two.
        shape: of one sample before it was made flat, such as (28, 28).
        description: where the samples come from and how they are split.
        labels: (classes,) what the file called each class; 0..classes-1 when left out.

    Raises:
        DataError: see `check_dataset`.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    classes: int
    shape: tuple[int, ...]
    description: str
    labels: tuple[int | str, ...] = ()

    @property
    def features(self) -> int:
        """Features of one sample."""
        return int(self.train.x.shape[1])

    def __post_init__(self) -> None:
        """Fill in the default labels and check everything."""
        if not self.labels:
            object.__setattr__(self, "labels", tuple(range(self.classes)))
        check_dataset(self)


def no_samples(n_features: int) -> Split:
    """Return the split (0, n_features) of a data set that has none of that kind."""
    return Split(np.empty((0, n_features), np.float32), np.empty(0, np.int64))


def check_dataset(dataset: Dataset) -> None:
    """Check that the splits fit together and hold what `Dataset` promises.

    Raises:
        DataError: a split is empty that must not be; its arrays have the wrong type, shape or
            length; an input is not finite; a label is not in 0..classes-1; there are fewer
            than two classes or not one label name for each; the shape does not multiply to
            the number of features.
    """
    name, classes, shape = dataset.name, dataset.classes, dataset.shape
    if classes < 2:
        raise DataError(
            f"{name}: has {classes} class, expected at least 2: "
            "there is nothing to tell apart; add samples of another class"
        )
    if len(dataset.labels) != classes:
        raise DataError(
            f"{name}: {len(dataset.labels)} label names for {classes} classes: "
            "give one name for each class"
        )
    for part in ("train", "validation", "test"):
        split: Split = getattr(dataset, part)
        _check_split(f"{name}: {part}", split, classes)
        if split.x.shape[1] != math.prod(shape):
            raise DataError(
                f"{name}: {part}.x has {split.x.shape[1]} features, expected "
                f"{math.prod(shape)} for samples of shape {shape}: give every split samples "
                "of that shape"
            )
        if len(split) == 0 and part != "validation":
            raise DataError(f"{name}: {part} has no samples, expected at least one: add some")


def check_finite(where: str, x: Float32s) -> None:
    """Check that every input is a finite number.

    Args:
        where: what to call the array in the message.
        x: (n_samples, n_features).

    Raises:
        DataError: names the first sample and feature that is not finite.
    """
    if np.isfinite(x).all():
        return
    sample, feature = np.argwhere(~np.isfinite(x))[0]
    raise DataError(
        f"{where} is {x[sample, feature]} at sample {sample}, feature {feature}, expected finite "
        "numbers: mend or remove that sample"
    )


def _check_split(where: str, split: Split, classes: int) -> None:
    x, y = split.x, split.y
    for array, axis, dtype, ndim in ((x, "x", np.float32, 2), (y, "y", np.int64, 1)):
        if array.dtype != dtype or array.ndim != ndim:
            shape = "(n_samples, n_features)" if ndim == 2 else "(n_samples,)"
            raise DataError(
                f"{where}.{axis} is {array.dtype} {array.shape}, expected "
                f"{np.dtype(dtype)} {shape}: convert it with astype and reshape"
            )
    if len(x) != len(y):
        raise DataError(
            f"{where} has {len(x)} samples in x but {len(y)} labels in y: give one label a sample"
        )
    if split.events is not None and len(split.events) != len(y):
        raise DataError(
            f"{where} has {len(y)} samples but {len(split.events)} recordings of events: give one "
            "recording a sample"
        )
    check_finite(f"{where}.x", x)
    wrong = np.flatnonzero((y < 0) | (y >= classes))
    if len(wrong):
        raise DataError(
            f"{where}.y is {y[wrong[0]]} at sample {wrong[0]}, expected 0..{classes - 1}: "
            "number the classes from 0"
        )
