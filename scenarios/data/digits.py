"""Handwritten digits, 8x8, from inside scikit-learn: the default, which needs no download."""

from __future__ import annotations

import numpy as np

from scenarios.data.dataset import Dataset, Split, no_samples
from scenarios.data.split import RANDOM_STATE, stratified_split


def digits() -> Dataset:
    """Return scikit-learn's 1,797 digits: 1,437 to learn from and 360 to test on.

    Inputs are the images / 16, so from 0 to 1. The split is stratified and always the same:
    scikit-learn's `train_test_split(test_size=0.2, stratify=y, random_state=0)`.

    Source: Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI, its
    test part.
    """
    # Not at the head of the file: it takes a second, and other data sets do without.
    from sklearn.datasets import load_digits

    stored = load_digits()
    # The largest value is 16: a pixel counts the black dots in a square of 4x4.
    x = (stored.data / 16).astype(np.float32)
    y = stored.target.astype(np.int64)
    everything = Split(x, y)
    kept, held_out = stratified_split("digits", y, 0.2)
    return Dataset(
        name="digits",
        train=everything.take(kept),
        validation=no_samples(x.shape[1]),
        test=everything.take(held_out),
        classes=10,
        shape=(8, 8),
        description=(
            "handwritten digits, 8x8, inputs 0..1 (UCI, as embedded in scikit-learn); "
            f"20 % held out for the test, stratified, random_state={RANDOM_STATE}"
        ),
    )
