"""The one way in which samples are held out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biosim.errors import DataError
from scenarios.data.split import stratified_split


@given(
    counts=st.lists(st.integers(10, 40), min_size=2, max_size=5),
    fraction=st.floats(0.2, 0.8),
)
def test_a_split_is_a_partition_in_proportion(counts: list[int], fraction: float) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    kept, held_out = stratified_split("toy", y, fraction)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held_out])), np.arange(len(y)))
    assert len(held_out) == np.ceil(fraction * len(y))
    assert np.abs(np.bincount(y[held_out]) - fraction * np.array(counts)).max() <= 1


def test_the_split_never_changes() -> None:
    np.random.seed(7)
    y = np.arange(100) % 10
    first, second = stratified_split("toy", y, 0.2), stratified_split("toy", y, 0.2)
    np.testing.assert_array_equal(first[1], second[1])
    # Written down, so that a release of scikit-learn that draws differently is noticed.
    assert np.sort(first[1]).tolist() == [
        0,
        5,
        6,
        8,
        28,
        33,
        34,
        41,
        43,
        45,
        47,
        49,
        50,
        69,
        71,
        72,
        87,
        92,
        94,
        96,
    ]


@pytest.mark.parametrize(
    ("y", "fraction", "message"),
    [
        ([0, 1, 1, 1, 1, 1], 0.4, r"hold out 3 of 6 samples of 2 classes .* rarest class has 1"),
        ([0, 0, 1, 1, 2, 2], 0.2, "hold out 2 of 6 samples of 3 classes"),
        ([0, 0, 1, 1, 2, 2], 0.8, "hold out 5 of 6 samples of 3 classes"),
        ([], 0.2, "hold out 0 of 0 samples of 0 classes"),
    ],
)
def test_too_few_samples_are_refused(y: list[int], fraction: float, message: str) -> None:
    with pytest.raises(DataError, match=f"^toy: cannot {message}.*: buy more$"):
        stratified_split("toy", np.array(y, np.int64), fraction, "buy more")
