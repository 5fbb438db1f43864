"""The default data set."""

import hashlib

import numpy as np

from scenarios.data import digits


def test_digits_has_1437_samples_to_learn_from_and_360_to_test_on() -> None:
    dataset = digits()
    assert dataset.train.x.shape == (1437, 64)
    assert dataset.test.x.shape == (360, 64)
    assert len(dataset.validation) == 0
    assert dataset.shape == (8, 8)
    assert dataset.classes == 10


def test_inputs_lie_between_0_and_1() -> None:
    x = digits().train.x
    assert x.dtype == np.float32
    assert (x.min(), x.max()) == (0, 1)


def test_every_class_is_held_out_in_proportion() -> None:
    dataset = digits()
    per_class = np.bincount(dataset.test.y)
    everything = per_class + np.bincount(dataset.train.y)
    assert np.abs(per_class - everything * 360 / 1797).max() < 1


def test_the_split_is_the_one_that_was_published() -> None:
    # Whoever compares accuracies compares them on these samples.
    dataset = digits()
    content = dataset.test.x.tobytes() + dataset.test.y.tobytes()
    assert hashlib.sha256(content).hexdigest() == (
        "8110e5c2c9d024b578f2c2692341cc0a635dc6f45899bb78b73bbee43d45a90f"
    )
