"""Samples of a stored run are ordered by label before layers are looked at."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import biosim
from biosim.analysis import dissimilarity, population_dissimilarities
from biosim.errors import AnalysisError
from biosim.store import STORE, RunStore

LABELS = np.array([2, 0, 1, 0, 2, 1])


def activity(seed: int, neurons: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, len(LABELS), neurons))


@pytest.fixture
def tree(tmp_path: Path) -> xr.DataTree:
    tmp_path.joinpath("run").mkdir()
    store = RunStore(tmp_path / "run" / STORE, "w")
    for name, seed in (("first", 0), ("second", 1)):
        group = f"activity/{name}"
        store.write(f"{group}/snapshot", [0, 4], ["snapshot"])
        store.write(f"{group}/label", LABELS, ["sample"])
        values = activity(seed, 3 + seed)
        store.write(f"{group}/activity", values, ["snapshot", "sample", "neuron"])
    store.group("", {"committed_epoch": 4})
    return biosim.open_run(tmp_path / "run")


def test_dissimilarities_are_those_of_the_last_snapshot_by_label(tree: xr.DataTree) -> None:
    found = population_dissimilarities(tree, 10)
    assert list(found) == ["first", "second"]
    order = [1, 3, 2, 5, 0, 4]
    for seed, matrix in enumerate(found.values()):
        last = xr.DataArray(activity(seed, 3 + seed)[1], dims=("sample", "neuron"))
        expected = dissimilarity(last).values
        np.testing.assert_allclose(matrix.values, expected[np.ix_(order, order)])
        assert not np.allclose(matrix.values, expected)
        assert matrix["label"].values.tolist() == [0, 0, 1, 1, 2, 2]


def test_of_many_samples_some_are_taken_and_populations_can_be_chosen(tree: xr.DataTree) -> None:
    found = population_dissimilarities(tree, 4, ["second"])
    assert list(found) == ["second"]
    assert found["second"]["label"].values.tolist() == [0, 1, 2]


def test_no_samples_are_refused(tree: xr.DataTree) -> None:
    with pytest.raises(AnalysisError, match="got most=0 samples; expected 1 or more"):
        population_dissimilarities(tree, 0)
