"""MNIST and Fashion-MNIST: 60,000 and 10,000 images of 28x28, from their four IDX files.

Checksums: those that the authors publish; the mirrors hold the same files.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from biosim.errors import DataError
from scenarios.data.dataset import Dataset, Split, no_samples
from scenarios.data.idx import read_idx
from scenarios.data.published import Published, locate

_CLASSES = 10
_SHAPE = (28, 28)

MNIST = Published(
    name="mnist",
    md5={
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)

FASHION_MNIST = Published(
    name="fashion_mnist",
    md5={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    mirrors=(
        # The authors' own server speaks no TLS; the checksum guards what it sends.
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
)

# Both data sets use the same four file names, and an unzipped file has no published checksum.
# The first training and test labels tell one set placed for the other.
_FIRST_LABELS = {
    "mnist": ((5, 0, 4, 1, 9, 2, 1, 3, 1, 4), (7, 2, 1, 0, 4, 1, 4, 9, 5, 9)),
    "fashion_mnist": ((9, 0, 0, 3, 0, 2, 7, 2, 5, 5), (9, 2, 1, 1, 6, 1, 4, 6, 5, 7)),
}


def mnist(directory: str | os.PathLike[str] | None = None) -> Dataset:
    """Return MNIST: 60,000 handwritten digits to learn from and 10,000 to test on.

    Inputs are the pixels / 255, so from 0 to 1.

    Args:
        directory: that must hold the four files, or a folder `mnist` with them, each `.gz` or
            unzipped; see `scenarios.data.published.locate` for where they are looked for
            otherwise.

    Raises:
        DataError: the files are missing or damaged, or cannot be downloaded.

    Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
    """
    return _load(MNIST, directory, "handwritten digits (LeCun, Cortes and Burges)")


def fashion_mnist(directory: str | os.PathLike[str] | None = None) -> Dataset:
    """Return Fashion-MNIST: 60,000 pictures of clothes to learn from and 10,000 to test on.

    Inputs are the pixels / 255, so from 0 to 1.

    Args:
        directory: as for `mnist`, with a folder `fashion_mnist`.

    Raises:
        DataError: the files are missing or damaged, or cannot be downloaded.

    Source: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747.
    """
    return _load(FASHION_MNIST, directory, "pictures of clothes (Xiao, Rasul and Vollgraf 2017)")


def _load(published: Published, directory: str | os.PathLike[str] | None, what: str) -> Dataset:
    paths = locate(published, directory)
    train, test = (_split(published.name, paths, part) for part in ("train", "t10k"))
    return Dataset(
        name=published.name,
        train=train,
        validation=no_samples(math.prod(_SHAPE)),
        test=test,
        classes=_CLASSES,
        shape=_SHAPE,
        description=f"{what}, 28x28, inputs 0..1; the published training and test parts",
    )


def _split(name: str, paths: dict[str, Path], part: str) -> Split:
    images = read_idx(paths[f"{part}-images-idx3-ubyte.gz"], n_dimensions=3)
    labels_path = paths[f"{part}-labels-idx1-ubyte.gz"]
    labels = read_idx(labels_path, n_dimensions=1)
    first = tuple(labels[:10].tolist())
    for other, theirs in _FIRST_LABELS.items():
        if other != name and first in theirs:
            raise DataError(
                f"{labels_path}: holds the labels of {other}, expected those of {name}: place "
                f"each data set in a folder of its own name, {other}/ and {name}/"
            )
    x = images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float32)
    # In place: the training images take 188 MB, and a quotient would take them twice.
    x /= np.float32(255)
    return Split(x, labels.astype(np.int64))
