"""Every data set by its name, and the one function that loads them."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import os
from collections.abc import Callable

import numpy as np

from biosim.errors import DataError
from scenarios.data.dataset import Dataset
from scenarios.data.digits import digits
from scenarios.data.mnist import fashion_mnist, mnist
from scenarios.data.nmnist import nmnist
from scenarios.data.split import RANDOM_STATE, stratified_split
from scenarios.data.user_file import user_file

# A loader that needs the user's file takes `file`; one that finds published files takes
# `directory`; `load` passes what the loader takes.
DATASETS: dict[str, Callable[..., Dataset]] = {
    "digits": digits,
    "mnist": mnist,
    "fashion_mnist": fashion_mnist,
    "nmnist": nmnist,
    "file": user_file,
}


def load(
    name: str,
    *,
    file: str | os.PathLike[str] | None = None,
    directory: str | os.PathLike[str] | None = None,
    validation: float = 0.0,
    samples: int | None = None,
) -> Dataset:
    """Load a data set by its name, the same way for every seed.

    Args:
        name: one of `DATASETS`.
        file: the user's own file, for the data set "file" and no other.
        directory: that must hold published files; data sets without any ignore it, so that one
            setting serves a comparison over several data sets.
        validation: fraction of the training samples to cut off for validation, at least 0 and
            below 1; stratified, and always the same samples. The test samples stay as they are.
        samples: how many training samples to keep, the first ones after the cut; None for all.

    Raises:
        DataError: no data set has that name; `file` is missing or not wanted; `validation` or
            `samples` is out of range; and what the data set's loader raises.
    """
    if name not in DATASETS:
        near = difflib.get_close_matches(name.lower(), DATASETS, n=1)
        raise DataError(
            f"no data set is called {name!r}, expected one of {', '.join(DATASETS)}: "
            + (f"did you mean {near[0]!r}?" if near else "give one of these names")
        )
    if not 0 <= validation < 1:
        raise DataError(
            f"validation is {validation}, expected at least 0 and less than 1: give the fraction "
            "of the training samples to cut off"
        )
    if samples is not None and samples < 1:
        raise DataError(f"samples is {samples}, expected at least 1: leave it out to use all")

    dataset = DATASETS[name](**_arguments(name, file, directory))
    if validation:
        dataset = _with_validation(dataset, validation)
    return dataset if samples is None else _with_samples(dataset, samples)


def _arguments(
    name: str,
    file: str | os.PathLike[str] | None,
    directory: str | os.PathLike[str] | None,
) -> dict[str, str | os.PathLike[str] | None]:
    takes = inspect.signature(DATASETS[name]).parameters
    if "file" in takes:
        if file is None:
            raise DataError(
                f"the data set {name!r} came without a file, expected the path of an .npz file "
                "or a Zarr directory: set `file`"
            )
        return {"file": file}
    if file is not None:
        raise DataError(
            f"the data set {name!r} came with the file {os.fspath(file)}, expected none: use the "
            "data set 'file' to load it"
        )
    return {"directory": directory} if "directory" in takes else {}


def _with_validation(dataset: Dataset, fraction: float) -> Dataset:
    kept, held_out = stratified_split(
        f"{dataset.name}: train", dataset.train.y, fraction, "change `validation` or add samples"
    )
    return dataclasses.replace(
        dataset,
        train=dataset.train.take(kept),
        validation=dataset.train.take(held_out),
        description=(
            f"{dataset.description}; {len(held_out)} of the training samples for validation, "
            f"stratified, random_state={RANDOM_STATE}"
        ),
    )


def _with_samples(dataset: Dataset, samples: int) -> Dataset:
    if samples > len(dataset.train):
        raise DataError(
            f"samples is {samples}, expected at most the {len(dataset.train)} training samples of "
            f"{dataset.name}: give fewer, or leave it out to use all"
        )
    return dataclasses.replace(
        dataset,
        train=dataset.train.take(np.arange(samples)),
        description=f"{dataset.description}; only the first {samples} training samples",
    )
