"""MNIST and Fashion-MNIST, from real files where there are some and from generated ones."""

import dataclasses
import hashlib
import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from biosim.errors import DataError
from scenarios.data import Dataset, fashion_mnist, mnist
from scenarios.data.idx import read_idx, write_idx
from scenarios.data.published import Published

# `scenarios.data.mnist` as an attribute is the function of that name.
module = importlib.import_module("scenarios.data.mnist")

LOADERS = {"mnist": mnist, "fashion_mnist": fashion_mnist}
COUNTS = {"train": 30, "t10k": 20}


def images(part: str) -> np.ndarray:
    pixels = np.arange(COUNTS[part] * 28 * 28) % 256
    return pixels.astype(np.uint8).reshape(-1, 28, 28)


def labels(part: str) -> np.ndarray:
    return (np.arange(COUNTS[part]) % 10).astype(np.uint8)


def place(folder: Path, ending: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part in COUNTS:
        write_idx(folder / f"{part}-images-idx3-ubyte{ending}", images(part))
        write_idx(folder / f"{part}-labels-idx1-ubyte{ending}", labels(part))
    return folder


@pytest.fixture(params=LOADERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def zipped(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of generated files that are, for this test, the published ones."""
    folder = place(tmp_path / name, ".gz")
    original: Published = getattr(module, name.upper())
    md5 = {file: hashlib.md5((folder / file).read_bytes()).hexdigest() for file in original.md5}
    monkeypatch.setattr(module, name.upper(), dataclasses.replace(original, md5=md5))
    return tmp_path


def holds_what_was_placed(dataset: Dataset) -> bool:
    return all(
        np.array_equal(split.x, images(part).reshape(-1, 784).astype(np.float32) / 255)
        and np.array_equal(split.y, labels(part))
        for split, part in ((dataset.train, "train"), (dataset.test, "t10k"))
    )


def test_zipped_files_are_loaded(name: str, zipped: Path) -> None:
    dataset = LOADERS[name](zipped)
    assert holds_what_was_placed(dataset)
    assert dataset.name == name
    assert (dataset.classes, dataset.shape) == (10, (28, 28))
    assert dataset.train.x.dtype == np.float32
    assert dataset.train.x.max() == 1
    assert len(dataset.validation) == 0


def test_unzipped_files_are_loaded_without_a_checksum(name: str, tmp_path: Path) -> None:
    assert holds_what_was_placed(LOADERS[name](place(tmp_path, "")))


def test_the_variable_names_the_directory(
    name: str, zipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOSIM_DATA", str(zipped))
    assert holds_what_was_placed(LOADERS[name]())


def test_zipped_files_that_were_not_published_are_refused(name: str, tmp_path: Path) -> None:
    expected = getattr(module, name.upper()).md5["train-images-idx3-ubyte.gz"]
    with pytest.raises(DataError, match=f"train-images-idx3-ubyte.gz: has .* expected {expected}"):
        LOADERS[name](place(tmp_path, ".gz"))


def test_truncated_unzipped_files_are_refused(name: str, tmp_path: Path) -> None:
    path = place(tmp_path, "") / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte: has 27 bytes, expected 28"):
        LOADERS[name](tmp_path)


def test_images_of_another_size_are_refused(name: str, tmp_path: Path) -> None:
    place(tmp_path, "")
    write_idx(tmp_path / "t10k-images-idx3-ubyte", np.zeros((20, 27, 28), np.uint8))
    with pytest.raises(DataError, match=rf"{name}: test\.x has 756 features, expected 784"):
        LOADERS[name](tmp_path)


def test_files_without_samples_are_refused(name: str, tmp_path: Path) -> None:
    place(tmp_path, "")
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((0, 28, 28), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(0, np.uint8))
    with pytest.raises(DataError, match=f"{name}: train has no samples"):
        LOADERS[name](tmp_path)


@pytest.mark.parametrize(
    ("loader", "other", "first"),
    [
        (mnist, "fashion_mnist", [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]),
        (fashion_mnist, "mnist", [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]),
    ],
)
def test_one_data_set_placed_for_the_other_is_refused(
    loader: Callable[[Path], Dataset], other: str, first: list[int], tmp_path: Path
) -> None:
    place(tmp_path, "")
    swapped = labels("t10k")
    swapped[:10] = first
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", swapped)
    with pytest.raises(DataError, match=f"t10k-labels-idx1-ubyte: holds the labels of {other}"):
        loader(tmp_path)


def test_the_two_data_sets_share_no_file() -> None:
    assert not set(module.MNIST.md5.values()) & set(module.FASHION_MNIST.md5.values())


def test_the_real_files_have_the_published_checksums(shared_data: Path) -> None:
    if not (shared_data / "mnist").is_dir():
        pytest.skip(f"no folder mnist in {shared_data}: place the four published files there")
    dataset = mnist(shared_data)
    assert dataset.train.x.shape == (60_000, 784)
    assert dataset.test.x.shape == (10_000, 784)
    # Published: the mean and the standard deviation of the training pixels.
    assert dataset.train.x.mean(dtype=np.float64) == pytest.approx(0.1307, abs=1e-4)
    assert dataset.train.x.std(dtype=np.float64) == pytest.approx(0.3081, abs=1e-4)
    assert np.bincount(dataset.test.y).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


def test_the_real_files_unzipped_are_no_fashion_mnist(shared_data: Path, tmp_path: Path) -> None:
    if not (shared_data / "mnist").is_dir():
        pytest.skip(f"no folder mnist in {shared_data}: place the four published files there")
    for file in module.MNIST.md5:
        array = read_idx(shared_data / "mnist" / file, 3 if "images" in file else 1)
        write_idx(tmp_path / file.removesuffix(".gz"), array)
    with pytest.raises(DataError, match="train-labels-idx1-ubyte: holds the labels of mnist"):
        fashion_mnist(tmp_path)
