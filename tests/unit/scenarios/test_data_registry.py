"""Loading a data set by its name."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biosim.errors import DataError
from scenarios.data import DATASETS, digits, load


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A file of 100 samples, 90 to learn from, that are told apart by their only feature."""
    x, y = np.arange(100.0).reshape(100, 1), np.arange(100) % 3
    np.savez(tmp_path / "own.npz", x=x[:90], y=y[:90], x_test=x[90:], y_test=y[90:])
    return tmp_path / "own.npz"


def test_a_name_loads_its_data_set() -> None:
    np.testing.assert_array_equal(load("digits").train.x, digits().train.x)


def test_a_file_loads_by_the_name_file(own: Path) -> None:
    assert load("file", file=own).name == "own.npz"


def test_a_directory_reaches_the_loader_that_takes_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: is no directory"):
        load("mnist", directory=tmp_path / "nowhere")


def test_one_directory_serves_data_sets_that_need_none(tmp_path: Path) -> None:
    assert load("digits", directory=tmp_path).name == "digits"


def test_no_split_depends_on_a_seed() -> None:
    takes = {
        name
        for loader in (load, *DATASETS.values())
        for name in inspect.signature(loader).parameters
    }
    assert takes == {"name", "file", "directory", "validation", "samples"}


def test_validation_is_cut_in_proportion_from_the_training_samples_only(own: Path) -> None:
    whole, cut = load("file", file=own), load("file", file=own, validation=0.2)
    assert np.bincount(cut.validation.y).tolist() == [6, 6, 6]
    np.testing.assert_array_equal(cut.test.x, whole.test.x)
    together = np.concatenate([cut.train.x, cut.validation.x])
    np.testing.assert_array_equal(np.sort(together, axis=0), whole.train.x)
    assert "18 of the training samples for validation" in cut.description


def test_validation_is_always_the_same_samples(own: Path) -> None:
    first, second = (load("file", file=own, validation=0.1).validation for _ in range(2))
    np.testing.assert_array_equal(first.x, second.x)


def test_samples_keeps_the_first_training_samples_only(own: Path) -> None:
    whole, few = load("file", file=own), load("file", file=own, samples=7)
    np.testing.assert_array_equal(few.train.x, whole.train.x[:7])
    np.testing.assert_array_equal(few.test.x, whole.test.x)
    assert "only the first 7 training samples" in few.description


def test_samples_does_not_touch_validation(own: Path) -> None:
    whole, few = (load("file", file=own, validation=0.2, samples=n) for n in (None, 7))
    np.testing.assert_array_equal(few.validation.x, whole.validation.x)
    np.testing.assert_array_equal(few.train.x, whole.train.x[:7])


@pytest.mark.parametrize(
    ("name", "near"), [("mnits", "mnist"), ("fashion-mnist", "fashion_mnist"), ("DIGITS", "digits")]
)
def test_an_unknown_name_gets_the_nearest_one_suggested(name: str, near: str) -> None:
    with pytest.raises(DataError, match=rf"called '{name}', .* did you mean '{near}'\?"):
        load(name)


def test_a_name_like_no_other_gets_all_of_them_listed() -> None:
    with pytest.raises(
        DataError, match="expected one of digits, mnist, fashion_mnist, nmnist, file: give"
    ):
        load("zzz")


@pytest.mark.parametrize("validation", [-0.1, 1.0, float("nan")])
def test_validation_must_be_a_fraction(validation: float) -> None:
    with pytest.raises(DataError, match=f"validation is {validation}, expected at least 0 and"):
        load("digits", validation=validation)


def test_validation_must_leave_samples_of_every_class(own: Path) -> None:
    with pytest.raises(DataError, match=r"own\.npz: train: cannot hold out 1 of .* `validation`"):
        load("file", file=own, validation=0.001)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (0, "samples is 0, expected at least 1"),
        (-3, "samples is -3, expected at least 1"),
        (1438, "samples is 1438, expected at most the 1437 training samples of digits"),
    ],
)
def test_samples_must_be_there(samples: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load("digits", samples=samples)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "file"}, "the data set 'file' came without a file, expected the path"),
        ({"name": "digits", "file": "own.npz"}, "'digits' came with the file own.npz, expected no"),
    ],
)
def test_a_file_is_needed_by_the_data_set_file_and_no_other(arguments: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(**arguments)
