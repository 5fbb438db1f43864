"""Weights over time against numpy; rotation and alignment where the angle is known."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from biosim.analysis import (
    alignment,
    layer_rotation,
    layer_rotations,
    update_alignment,
    weight_histogram,
    weight_statistics,
)
from biosim.errors import AnalysisError
from biosim.traces import open_run
from tests.unit.biosim.spiking.made_up_run import recorded


def weights(snapshots: int = 4, seed: int = 0) -> xr.DataArray:
    values = np.random.default_rng(seed).normal(0.5, size=(snapshots, 7, 9)).cumsum(axis=0)
    return xr.DataArray(
        values,
        dims=("snapshot", "post", "pre"),
        coords={"snapshot": np.arange(snapshots) * 10},
        attrs={"units": "nS"},
    )


@pytest.fixture(params=[True, False])
def _parts(request: pytest.FixtureRequest) -> None:
    if request.param:
        request.getfixturevalue("small_parts")


@pytest.mark.usefixtures("_parts")
def test_rotation_is_the_cosine_distance_to_the_start() -> None:
    found = layer_rotation(weights())
    flat = weights().values.reshape(4, -1)
    cosines = flat @ flat[0] / np.linalg.norm(flat, axis=1) / np.linalg.norm(flat[0])
    np.testing.assert_allclose(found, 1 - cosines, atol=1e-12)
    assert float(found[0]) == 0.0
    assert found.snapshot.values.tolist() == [0, 10, 20, 30]
    last = layer_rotation(weights(), start=-1)
    assert float(last[0]) == pytest.approx(float(found[3]))


def test_a_quarter_turn_is_one_a_reversal_two_and_a_scale_none() -> None:
    turned = np.array([[1.0, 0.0], [5.0, 0.0], [0.0, 3.0], [-2.0, 0.0], [1.0, 1.0]])
    found = layer_rotation(xr.DataArray(turned, dims=("snapshot", "synapse")))
    np.testing.assert_allclose(found, [0, 0, 1, 2, 1 - np.sqrt(0.5)], atol=1e-12)


def test_every_layer_of_a_run_turns_in_one_table(tmp_path: Path) -> None:
    tree = open_run(recorded(tmp_path))["weights"]
    found = layer_rotations(tree, "w")
    assert found.dims == ("projection", "snapshot")
    assert found.projection.values.tolist() == ["E->E"]
    np.testing.assert_allclose(found[0], layer_rotation(tree["E->E"].w))
    with pytest.raises(AnalysisError, match=r"^no projection has snapshots of 'weight'; record so"):
        layer_rotations(tree)


def test_layers_with_other_snapshots_share_no_table() -> None:
    layers = {
        "/a": weights(4).to_dataset(name="weight"),
        "/b": weights(3).to_dataset(name="weight"),
    }
    with pytest.raises(AnalysisError, match=r"^got 4 and 3 along 'snapshot'; expected the same"):
        layer_rotations(xr.DataTree.from_dict(layers))
    layers["/b"] = weights(4, seed=2).to_dataset(name="weight")
    found = layer_rotations(xr.DataTree.from_dict(layers))
    np.testing.assert_allclose(found.sel(projection="b"), layer_rotation(weights(4, seed=2)))
    assert found.snapshot.values.tolist() == [0, 10, 20, 30]


@pytest.mark.usefixtures("_parts")
def test_alignment_is_the_angle_between_vectors() -> None:
    one, two = weights(seed=1), weights(seed=2)
    found = alignment(one, two, ("post", "pre"))
    for k in range(4):
        a, b = one.values[k].ravel(), two.values[k].ravel()
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        assert float(found.cosine[k]) == pytest.approx(cosine)
        assert float(found.angle[k]) == pytest.approx(np.degrees(np.arccos(cosine)))
    assert found.angle.attrs["units"] == "degree"
    crossed = alignment(one, two.rename(snapshot="later"), ("post", "pre"))
    assert dict(crossed.sizes) == {"snapshot": 4, "later": 4}


@pytest.mark.usefixtures("_parts")
def test_an_update_down_the_gradient_is_aligned_and_one_up_it_reversed() -> None:
    start, gradients = weights(), weights(seed=3)
    steps = [start[0].values]
    for k, sign in enumerate([-1.0, 1.0, -1.0]):
        steps.append(steps[-1] + sign * 0.1 * gradients.values[k])
    found = update_alignment(start.copy(data=np.stack(steps)), gradients)
    np.testing.assert_allclose(found.cosine, [1.0, -1.0, 1.0])
    np.testing.assert_allclose(found.angle, [0.0, 180.0, 0.0], atol=1e-4)
    assert found.snapshot.values.tolist() == [0, 10, 20]
    # The negative control: random directions in 63 dimensions are near a right angle.
    noise = start.copy(data=np.random.default_rng(5).normal(size=start.shape))
    assert abs(update_alignment(start.copy(data=np.stack(steps)), noise).angle - 90).max() < 30
    shorter = update_alignment(start.copy(data=np.stack(steps)), gradients[:3])
    xr.testing.assert_allclose(shorter, found)


@pytest.mark.usefixtures("_parts")
def test_statistics_are_numpys() -> None:
    values = weights()
    values[1, 2, 3] = 0.0
    found = weight_statistics(values, lowest=0.0, highest=2.0)
    flat = values.values.reshape(4, -1)
    np.testing.assert_allclose(found["mean"], flat.mean(axis=1))
    np.testing.assert_allclose(found["std"], flat.std(axis=1))
    np.testing.assert_allclose(found["minimum"], flat.min(axis=1))
    np.testing.assert_allclose(found["maximum"], flat.max(axis=1))
    np.testing.assert_allclose(found["norm"], np.linalg.norm(flat, axis=1))
    np.testing.assert_allclose(found["share_zero"], (flat == 0).mean(axis=1))
    np.testing.assert_allclose(found["share_lowest"], (flat <= 0).mean(axis=1))
    np.testing.assert_allclose(found["share_highest"], (flat >= 2).mean(axis=1))
    assert found["mean"].attrs["units"] == "nS"
    assert found.share_zero.attrs["units"] == "1"
    assert "share_lowest" not in weight_statistics(values)


@pytest.mark.usefixtures("_parts")
def test_a_histogram_counts_every_weight_inside_once() -> None:
    found = weight_histogram(weights(), [-1.0, 0.0, 0.5, 3.0])
    for k in range(4):
        expected = np.histogram(weights().values[k], [-1.0, 0.0, 0.5, 3.0])[0]
        np.testing.assert_array_equal(found[k], expected)
    np.testing.assert_allclose(found.weight, [-0.5, 0.25, 1.75])
    for edges in ([0.0], [1.0, 0.0], [0.0, np.nan]):
        with pytest.raises(AnalysisError, match=r"^got the edges \[.*; expected two or more"):
            weight_histogram(weights(), edges)


def test_zeros_and_what_is_missing_have_no_direction() -> None:
    values = weights()
    values[1] = 0.0
    values[2, 0, 0] = np.nan
    rotation = layer_rotation(values)
    np.testing.assert_array_equal(np.isnan(rotation), [False, True, True, False])
    angles = alignment(values, weights(seed=1), ["post", "pre"]).angle
    np.testing.assert_array_equal(np.isnan(angles), [False, True, True, False])
    statistics = weight_statistics(values)
    assert float(statistics.share_zero[1]) == 1.0
    assert float(statistics["std"][1]) == 0.0
    assert all(np.isnan(column[2]) for column in statistics.data_vars.values())
    assert int(weight_histogram(values, [-100.0, 100.0])[2, 0]) == 62
    still = xr.concat([weights()[:1]] * 2, dim="snapshot")
    assert np.isnan(update_alignment(still, still).angle).all()


def test_without_weights_statistics_are_undefined_and_one_weight_is_enough() -> None:
    none = weights()[:, :0]
    assert np.isnan(weight_statistics(none)["mean"]).all()
    assert np.isnan(layer_rotation(none)).all()
    assert int(weight_histogram(none, [0.0, 1.0]).sum()) == 0
    single = weights()[:, 0, 0]
    np.testing.assert_allclose(weight_statistics(single)["mean"], single)
    np.testing.assert_allclose(weight_statistics(single)["std"], 0.0)


def test_what_cannot_be_compared_is_refused() -> None:
    values = weights()
    with pytest.raises(AnalysisError, match=r"^got snapshot 4 to start from; expected 0 to 3"):
        layer_rotation(values, start=4)
    with pytest.raises(AnalysisError, match=r"^got snapshot 0 to start from; the weights ha"):
        layer_rotation(values[:0])
    for statistic in (layer_rotation, weight_statistics):
        with pytest.raises(AnalysisError, match=r"expected \['snapshot'\]: rename yours"):
            statistic(values.rename(snapshot="epoch"))
    with pytest.raises(AnalysisError, match=r"^got 1 snapshots of weights and 1 of gradients; exp"):
        update_alignment(values[:1], values[:1])
    with pytest.raises(AnalysisError, match=r"^got 4 snapshots of weights and 2 of gradients; exp"):
        update_alignment(values, values[:2])
    with pytest.raises(AnalysisError, match=r"and gradients with \['snapshot', 'post'\]; expected"):
        update_alignment(values, values[:, :, 0])
    with pytest.raises(AnalysisError, match=r"^the two differ along 'snapshot': select the same"):
        update_alignment(values, values.assign_coords(snapshot=np.arange(4)))
    with pytest.raises(AnalysisError, match=r"^got 7 and 6 along 'post'"):
        alignment(values, values[:, :6], ["post", "pre"])
