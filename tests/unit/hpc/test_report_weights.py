"""What a report says of weights over time is what numpy makes of the snapshots."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from hpc import report_weights
from hpc.report_weights import turning, weight_maps


def layers(*, committed: int = 100, **weights: np.ndarray) -> xr.DataTree:
    """The tree of a run of layers with these snapshots of weights, (snapshot, post, pre)."""
    found = {"/": xr.Dataset(attrs={"committed_epoch": committed})}
    for name, values in weights.items():
        found[f"/weights/{name}"] = xr.Dataset(
            {"weight": (("snapshot", "post", "pre"), values)},
            coords={"snapshot": 2 * np.arange(len(values))},
        )
    return xr.DataTree.from_dict(found)


def synapses(**weights: np.ndarray) -> xr.DataTree:
    """The tree of a spiking run with these snapshots of weights, (snapshot, synapse)."""
    found = {"/": xr.Dataset()}
    for name, values in weights.items():
        found[f"/weights/{name}"] = xr.Dataset(
            {
                "w": (("snapshot", "synapse"), values, {"units": "V"}),
                "time": ("snapshot", 0.5 * np.arange(len(values))),
            }
        )
    return xr.DataTree.from_dict(found)


def walk(snapshots: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=(snapshots, *shape)), axis=0)


# --- layers


def test_rotation_and_growth_are_numpys() -> None:
    weights = {"first": walk(4, 5, 6), "second": walk(4, 3, 5, seed=1)}
    found = turning(layers(**weights))
    assert found is not None
    assert found["epoch"] == [0, 2, 4, 6]
    assert list(found["rotation"]) == list(found["growth"]) == ["first", "second"]
    for name, values in weights.items():
        flat = values.reshape(4, -1)
        norm = np.linalg.norm(flat, axis=1)
        cosine = flat @ flat[0] / norm / norm[0]
        np.testing.assert_allclose(found["rotation"][name], 1 - cosine, rtol=1e-4, atol=1e-9)
        np.testing.assert_allclose(found["growth"][name], norm / norm[0], rtol=1e-4)
    assert found["rotation"]["first"] != found["rotation"]["second"]


def test_what_never_changes_is_left_out() -> None:
    fixed = np.repeat(walk(1, 5, 6), 4, axis=0)
    found = turning(layers(fixed=fixed, learns=walk(4, 5, 6)))
    assert found is not None
    assert list(found["rotation"]) == ["learns"]
    assert turning(layers(fixed=fixed)) is None
    grown = turning(layers(grows=fixed * np.array([1, 1, 1, 2.0])[:, None, None]))
    assert grown is not None
    assert grown["growth"]["grows"] == [1, 1, 1, 2]


def test_without_two_snapshots_there_is_nothing() -> None:
    assert turning(None) is None
    assert turning(layers()) is None
    assert turning(layers(learns=walk(1, 5, 6))) is None
    assert turning(layers(learns=walk(4, 5, 6), committed=1)) is None
    assert turning(synapses(learns=walk(4, 9))) is None


def test_of_a_killed_run_there_are_the_epochs_that_it_reached() -> None:
    found = turning(layers(learns=walk(4, 5, 6), committed=5))
    assert found is not None
    assert found["epoch"] == [0, 2, 4]
    assert len(found["rotation"]["learns"]) == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_none(bad: float) -> None:
    values = walk(3, 5, 6)
    values[1, 0, 0] = bad
    found = turning(
        layers(learns=values, from_nothing=walk(3, 2, 2) * np.array([[[0]], [[1]], [[1]]]))
    )
    json.dumps(found, allow_nan=False)
    assert found is not None
    assert [v is None for v in found["rotation"]["learns"]] == [False, True, False]
    assert [v is None for v in found["growth"]["learns"]] == [False, True, False]
    assert found["growth"]["from_nothing"] == found["rotation"]["from_nothing"] == [None] * 3


def test_of_many_snapshots_some_are_read_the_first_and_the_last_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report_weights, "MOST_SNAPSHOTS", 4)
    found = turning(layers(learns=walk(10, 5, 6)))
    assert found is not None
    assert found["epoch"] == [0, 6, 12, 18]
    monkeypatch.setattr(report_weights, "MOST_VALUES", 1)
    (drawn,) = weight_maps(synapses(learns=walk(10, 500)))
    assert drawn["at_s"] == [0.0, 2.0, 4.5]


# --- synapses


def test_the_map_of_weights_is_numpys_histogram() -> None:
    values = walk(5, 2000)
    (drawn,) = weight_maps(synapses(learns=values))
    json.dumps(drawn, allow_nan=False)
    assert (drawn["name"], drawn["unit"]) == ("learns", "V")
    assert drawn["at_s"] == [0.0, 0.5, 1.0, 1.5, 2.0]
    for k in range(5):
        expected = np.histogram(values[k], drawn["edge"])[0] / 20.0
        shares = np.array([0.0 if row[k] is None else row[k] for row in drawn["share"]])
        np.testing.assert_allclose(shares, expected, rtol=5e-3)
        assert [row[k] is None for row in drawn["share"]] == (expected == 0).tolist()
    width = np.diff(drawn["edge"])[0]
    expected = np.quantile(values, drawn["quantiles"], axis=1)
    np.testing.assert_allclose(drawn["below"], expected, atol=width / 16)
    assert 0.5 in drawn["quantiles"]


def test_a_map_needs_three_snapshots() -> None:
    assert weight_maps(synapses()) == []
    assert weight_maps(synapses(learns=walk(2, 50))) == []
    assert weight_maps(layers(learns=walk(5, 3, 4))) == []
    maps = weight_maps(synapses(a=walk(3, 50), b=walk(1, 50), c=walk(4, 50)))
    assert [drawn["name"] for drawn in maps] == ["a", "c"]


def test_a_snapshot_that_is_not_finite_is_empty() -> None:
    values = walk(4, 50)
    values[2, 7] = np.nan
    (drawn,) = weight_maps(synapses(learns=values))
    json.dumps(drawn, allow_nan=False)
    assert all(row[2] is None for row in drawn["share"])
    assert [line[2] for line in drawn["below"]] == [None] * len(drawn["quantiles"])
    assert any(row[3] is not None for row in drawn["share"])
    assert weight_maps(synapses(learns=np.full((4, 50), np.nan))) == []
    assert weight_maps(synapses(learns=np.empty((4, 0)))) == []
