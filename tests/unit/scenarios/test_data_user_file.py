"""The user's own data, as an `.npz` file and as a Zarr store of either version."""

import json
import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import zarr

from biosim.errors import DataError
from scenarios.data import encode_labels, load_inputs, user_file

Write = Callable[..., Path]

N = 20
X = np.arange(N * 6, dtype=np.float64).reshape(N, 2, 3)
Y = np.arange(N) % 2


def write_zarr(path: Path, version: Literal[2, 3], arrays: dict[str, np.ndarray]) -> Path:
    with warnings.catch_warnings():
        # Version 3 has no agreed way to store texts of fixed length.
        warnings.simplefilter("ignore")
        group = zarr.open_group(path, mode="w", zarr_format=version)
        for key, array in arrays.items():
            group.create_array(key, data=array)
    return path


@pytest.fixture(params=["npz", "zarr2", "zarr3"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    """Writes arrays under their names and returns the path."""

    def as_npz(**arrays: Any) -> Path:
        np.savez(tmp_path / "own.npz", **arrays)
        return tmp_path / "own.npz"

    def as_zarr(**arrays: Any) -> Path:
        return write_zarr(tmp_path / "own.zarr", 2 if request.param == "zarr2" else 3, arrays)

    return as_npz if request.param == "npz" else as_zarr


def test_a_file_without_test_samples_is_split_in_proportion(write: Write) -> None:
    dataset = user_file(write(x=X, y=Y))
    assert dataset.name.startswith("own.")
    assert dataset.shape == (2, 3)
    assert np.bincount(dataset.train.y).tolist() == [8, 8]
    assert np.bincount(dataset.test.y).tolist() == [2, 2]
    assert len(dataset.validation) == 0


def test_samples_keep_their_labels_through_the_split(write: Write) -> None:
    dataset = user_file(write(x=X, y=Y))
    for split in (dataset.train, dataset.test):
        # The first feature of sample k is 6 k.
        np.testing.assert_array_equal(split.x[:, 0] / 6 % 2, split.y)


def test_the_same_file_is_always_split_alike(write: Write) -> None:
    path = write(x=X, y=Y)
    np.testing.assert_array_equal(user_file(path).test.x, user_file(str(path)).test.x)


def test_given_test_samples_are_used_in_their_order(write: Write) -> None:
    dataset = user_file(write(x=X, y=Y, x_test=X[:3] + 1, y_test=Y[:3]))
    np.testing.assert_array_equal(dataset.train.x, X.reshape(N, 6))
    np.testing.assert_array_equal(dataset.test.x, X[:3].reshape(3, 6) + 1)
    np.testing.assert_array_equal(dataset.test.y, [0, 1, 0])


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (np.array([-7, 40]), (-7, 40)),
        (np.array([3, 2**63 + 1], np.uint64), (3, 2**63 + 1)),
        (np.array([False, True]), (0, 1)),
        (np.array(["chat", "été"]), ("chat", "été")),
        (np.array([b"cat", b"dog"]), ("cat", "dog")),
    ],
)
def test_any_integers_or_texts_are_labels(
    write: Write, names: np.ndarray, labels: tuple[int | str, ...]
) -> None:
    dataset = user_file(write(x=X, y=names[Y], x_test=X, y_test=names[Y]))
    assert dataset.labels == labels
    assert [type(label) for label in dataset.labels] == [type(label) for label in labels]
    np.testing.assert_array_equal(dataset.test.y, Y)


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_texts_of_any_length_are_labels(version: Literal[2, 3], tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "own.zarr", version, {"x": X})
    y = zarr.open_group(path, mode="a").create_array("y", shape=(N,), dtype=str)
    y[:] = np.array(["cat", "sea urchin"], dtype=object)[Y]
    assert user_file(path).labels == ("cat", "sea urchin")


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float16, np.float64])
def test_any_real_inputs_become_float32(write: Write, dtype: type) -> None:
    x: np.ndarray = (X % 2).astype(dtype)
    dataset = user_file(write(x=x, y=Y, x_test=x, y_test=Y))
    assert dataset.train.x.dtype == np.float32
    np.testing.assert_array_equal(dataset.train.x, X.reshape(N, 6) % 2)


# --- what is refused


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "has no array y (of those looked for it has x), expected x and y"),
        ({"z": X}, "has no array x and no array y (of those looked for it has none)"),
        ({"x": X, "y": Y, "x_test": X}, "has no array y_test"),
        ({"x": X, "y": Y, "y_test": Y}, "has no array x_test"),
        ({"x": X[:, 0, 0], "y": Y}, "x has the shape (20,), expected (n_samples, n_features)"),
        ({"x": X[:0], "y": Y[:0]}, "x has the shape (0, 2, 3), expected"),
        ({"x": X, "y": Y[:-1]}, "y has the shape (19,), expected (20,)"),
        ({"x": X, "y": np.eye(2)[Y].astype(int)}, "y has the shape (20, 2), expected (20,)"),
        ({"x": X * 1j, "y": Y}, "x holds complex128, expected real numbers"),
        ({"x": X, "y": Y / 2}, "y holds float64, expected integers or texts"),
        ({"x": X * 1e38, "y": Y}, "x is inf at sample 0, feature 4, expected finite numbers"),
        ({"x": np.where(X == 13, np.nan, X), "y": Y}, "x is nan at sample 2, feature 1"),
        (
            {"x": X, "y": Y, "x_test": np.where(X == 6, np.nan, X), "y_test": Y},
            "x_test is nan at sample 1, feature 0",
        ),
        (
            {"x": X, "y": Y, "x_test": X.reshape(N, 3, 2), "y_test": Y},
            "x_test has samples of shape (3, 2), expected (2, 3) as in x",
        ),
        (
            {"x": X, "y": Y, "x_test": X, "y_test": Y + 1},
            "y_test is 2 at sample 1, expected one of the labels trained on (0, 1)",
        ),
        ({"x": X, "y": Y * 0, "x_test": X, "y_test": Y * 0}, "has 1 class, expected at least 2"),
        ({"x": X[:3], "y": Y[:3]}, "cannot hold out 1 of 3 samples of 2 classes"),
    ],
)
def test_what_cannot_be_used_is_refused(write: Write, arrays: Any, message: str) -> None:
    path = write(**arrays)
    with pytest.raises(DataError, match=rf"^(?:.*/)?{path.name}: .*{re.escape(message)}") as caught:
        user_file(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"own\.npz: does not exist, expected an \.npz file or"):
        user_file(tmp_path / "own.npz")


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", X)
    with pytest.raises(DataError, match=r"own\.npy: holds a single array, expected an \.npz file"):
        user_file(tmp_path / "own.npy")


class RunsWhenUnpickled:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return Path.touch, (Path("ran"),)  # type: ignore[return-value]


def test_an_npz_with_objects_is_refused_and_never_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("own.npz", x=X, y=np.array([RunsWhenUnpickled()] * N, dtype=object))
    with pytest.raises(DataError, match=r"own\.npz: cannot be read \(ValueError: Object arrays"):
        user_file("own.npz")
    assert not Path("ran").exists()


@pytest.mark.parametrize("dtype", ["<f8", "|O"])
@pytest.mark.parametrize("filters", [["pickle"], ["vlen-utf8", "pickle"]])
def test_a_zarr_with_objects_is_refused_and_never_unpickled(
    dtype: str, filters: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_zarr(tmp_path / "own.zarr", 2, {"y": Y})
    (path / "x").mkdir()
    array = {
        "zarr_format": 2,
        "shape": [1, 1],
        "chunks": [1, 1],
        "dtype": dtype,
        "compressor": None,
        "fill_value": None,
        "order": "C",
        "filters": [{"id": name} for name in filters],
    }
    (path / "x" / ".zarray").write_text(json.dumps(array))
    (path / "x" / "0.0").write_bytes(pickle.dumps(RunsWhenUnpickled()))
    with pytest.raises(DataError, match=r"own\.zarr: cannot be read"):
        user_file(path)
    assert not Path("ran").exists()


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"PK\x03\x04 and no more"])
def test_a_file_of_another_kind_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "own.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"own\.npz: cannot be read \(\w+: .*, expected an \.npz"):
        user_file(tmp_path / "own.npz")


def test_a_truncated_npz_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=X, y=Y)
    (tmp_path / "own.npz").write_bytes((tmp_path / "own.npz").read_bytes()[:-30])
    with pytest.raises(DataError, match=r"own\.npz: cannot be read"):
        user_file(tmp_path / "own.npz")


def test_a_directory_that_is_no_zarr_group_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read \(GroupNotFoundError: No group found"):
        user_file(tmp_path)


def test_a_group_in_the_place_of_an_array_is_refused(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "own.zarr", 3, {"y": Y})
    zarr.open_group(path, mode="a").create_group("x")
    with pytest.raises(DataError, match=r"own\.zarr: x is a group, expected an array"):
        user_file(path)


# --- inputs to predict


def test_inputs_come_with_their_labels_as_stored(write: Write) -> None:
    names = np.array(["cat", "dog"])[Y]
    x, y = load_inputs(write(x=X, y=names))
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, X.reshape(N, 6))
    np.testing.assert_array_equal(y, names)


def test_inputs_need_no_labels(write: Write) -> None:
    x, y = load_inputs(write(x=X[:1]))
    assert x.shape == (1, 6)
    assert y is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": Y}, r"has no array x \(of those looked for it has y\), expected x:"),
        ({"x": X * np.nan}, "x is nan at sample 0, feature 0"),
        ({"x": X, "y": Y[:2]}, r"y has the shape \(2,\), expected \(20,\)"),
    ],
)
def test_inputs_that_cannot_be_used_are_refused(write: Write, arrays: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_inputs(write(**arrays))


def test_labels_become_their_position() -> None:
    y = np.array(["dog", "cat", "dog"])
    np.testing.assert_array_equal(encode_labels("y", y, ("cat", "dog")), [1, 0, 1])


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(DataError, match=r"^own: y is 3 at sample 1, .* \(0, 1, 2, 4, .*, \.\.\.\)"):
        encode_labels("own: y", np.array([0, 3]), [0, 1, 2, *range(4, 20)])
