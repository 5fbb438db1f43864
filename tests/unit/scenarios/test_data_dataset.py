"""A data set is checked when it is made."""

import re
from typing import Any

import numpy as np
import pytest

from biosim.errors import DataError
from scenarios.data.dataset import Dataset, Split, no_samples

FEATURES = 6


def split(n_samples: int = 4, n_features: int = FEATURES) -> Split:
    y = np.arange(n_samples, dtype=np.int64) % 2
    return Split(np.ones((n_samples, n_features), np.float32), y)


def dataset(**changes: Any) -> Dataset:
    parts: dict[str, Any] = {
        "name": "toy",
        "train": split(),
        "validation": no_samples(FEATURES),
        "test": split(2),
        "classes": 2,
        "shape": (2, 3),
        "description": "made for a test",
    }
    return Dataset(**{**parts, **changes})


def test_labels_are_the_class_numbers_unless_given() -> None:
    assert dataset().labels == (0, 1)
    assert dataset(labels=("cat", "dog")).labels == ("cat", "dog")


def test_features_are_those_of_one_flat_sample() -> None:
    assert dataset().features == FEATURES


def test_validation_may_be_empty() -> None:
    assert len(dataset().validation) == 0


def test_taken_samples_keep_their_order_and_their_labels() -> None:
    whole = Split(np.arange(8, dtype=np.float32).reshape(4, 2), np.array([0, 1, 2, 3]))
    taken = whole.take(np.array([3, 1]))
    np.testing.assert_array_equal(taken.x, [[6, 7], [2, 3]])
    np.testing.assert_array_equal(taken.y, [3, 1])
    assert not np.shares_memory(taken.x, whole.x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_the_first_input_that_is_not_finite_is_named(part: str, bad: float) -> None:
    damaged = split()
    damaged.x[2, 4] = damaged.x[3, 1] = bad
    with pytest.raises(DataError, match=rf"toy: {part}\.x is {bad} at sample 2, feature 4"):
        dataset(**{part: damaged})


@pytest.mark.parametrize("label", [-1, 2])
def test_the_first_label_out_of_range_is_named(label: int) -> None:
    damaged = split()
    damaged.y[1] = damaged.y[3] = label
    with pytest.raises(DataError, match=rf"toy: train\.y is {label} at sample 1, expected 0\.\.1"):
        dataset(train=damaged)


def test_samples_and_labels_must_be_as_many() -> None:
    damaged = Split(split(4).x, split(3).y)
    with pytest.raises(DataError, match="toy: test has 4 samples in x but 3 labels in y"):
        dataset(test=damaged)


@pytest.mark.parametrize("part", ["train", "test"])
def test_there_must_be_samples_to_learn_from_and_to_test_on(part: str) -> None:
    with pytest.raises(DataError, match=f"toy: {part} has no samples"):
        dataset(**{part: no_samples(FEATURES)})


def test_every_split_must_have_samples_of_the_stated_shape() -> None:
    message = r"toy: validation\.x has 5 features, expected 6 for samples of shape \(2, 3\)"
    with pytest.raises(DataError, match=message):
        dataset(validation=no_samples(5))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (split().x.astype(np.float64), split().y, "x is float64 (4, 6), expected float32"),
        (split().x.ravel(), split().y, "x is float32 (24,), expected float32 (n_samples, n_feat"),
        (split().x, split().y.astype(np.int32), "y is int32 (4,), expected int64 (n_samples,)"),
        (split().x, split().y[:, None], "y is int64 (4, 1), expected int64 (n_samples,)"),
    ],
)
def test_arrays_must_have_the_promised_type_and_shape(x: Any, y: Any, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        dataset(train=Split(x, y))


def test_one_class_is_too_few() -> None:
    with pytest.raises(DataError, match="toy: has 1 class, expected at least 2"):
        dataset(classes=1)


def test_every_class_needs_its_label() -> None:
    with pytest.raises(DataError, match="toy: 3 label names for 2 classes"):
        dataset(labels=("a", "b", "c"))
