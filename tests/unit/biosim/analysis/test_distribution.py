"""How weights are spread at each snapshot agrees with numpy."""

import numpy as np
import pytest
import xarray as xr

from biosim.analysis import weight_distribution, weight_statistics
from biosim.analysis.distribution import FINER, QUANTILES
from biosim.errors import AnalysisError


def weights(values: object) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, np.float32), dims=("snapshot", "synapse")).assign_attrs(
        units="V"
    )


@pytest.fixture
def spread() -> xr.DataArray:
    chance = np.random.default_rng(0)
    return weights([chance.normal(k, 1 + k, size=2000) for k in range(3)])


def test_every_weight_is_counted_once_between_least_and_greatest(
    spread: xr.DataArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biosim.analysis.moments.BLOCK_VALUES", 300)
    found = weight_distribution(spread)
    edges = found.edge.values
    assert len(edges) == np.floor(np.sqrt(2000)) + 1
    assert (edges[0], edges[-1]) == pytest.approx((spread.values.min(), spread.values.max()))
    for k in range(3):
        expected = np.histogram(spread.values[k].astype(np.float64), edges)[0]
        np.testing.assert_array_equal(found["count"].values[k], expected)
    xr.testing.assert_allclose(found["std"].variable, weight_statistics(spread)["std"].variable)
    assert found.weight.attrs["units"] == found.quantile_weight.attrs["units"] == "V"


def test_quantiles_are_numpys_to_a_part_of_a_bin(spread: xr.DataArray) -> None:
    found = weight_distribution(spread)
    part = float(np.diff(found.edge.values)[0]) / FINER
    expected = np.quantile(spread.values.astype(np.float64), QUANTILES, axis=1).T
    np.testing.assert_allclose(found.quantile_weight.values, expected, atol=1.01 * part)
    assert np.abs(found.quantile_weight.values - expected[:, ::-1]).max() > 10 * part


def test_quantiles_of_two_values_jump_over_the_empty_bins_between() -> None:
    found = weight_distribution(weights([[0.0] * 90 + [1.0] * 10]))
    part = 1.0 / 12 / FINER
    np.testing.assert_allclose(found.quantile_weight.values[0], [0, 0, 0, 0, 1], atol=part)


def test_equal_weights_have_a_bin_of_their_own() -> None:
    for value in (0.0, 1e-4, -3.0):
        found = weight_distribution(weights([[value] * 50] * 2))
        assert found["count"].values.max(axis=1).tolist() == [50, 50]
        middle = found.weight.values[found["count"].values[0].argmax()]
        width = float(np.diff(found.edge.values)[0])
        assert abs(middle - value) <= 0.51 * width
        np.testing.assert_allclose(found.quantile_weight.values, value, atol=width)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_snapshot_that_is_not_finite_counts_for_nothing(bad: float) -> None:
    found = weight_distribution(weights([[0.0, 1.0], [bad, 5.0], [0.0, 2.0]]))
    assert found["count"].sum("weight").values.tolist() == [2, 0, 2]
    assert (found.edge.values[0], found.edge.values[-1]) == (0.0, 2.0)
    assert np.isfinite(found["mean"].values).tolist() == [True, False, True]
    assert np.isfinite(found.quantile_weight.values).all(axis=1).tolist() == [True, False, True]


def test_without_a_finite_snapshot_there_are_no_edges() -> None:
    for empty in (weights([[np.nan, 1.0]]), weights(np.empty((2, 0)))):
        found = weight_distribution(empty)
        assert np.isnan(found.edge.values).all()
        assert not found["count"].values.any()


def test_weights_without_snapshots_are_refused() -> None:
    with pytest.raises(AnalysisError, match=r"has the dimensions .* expected \['snapshot'\]"):
        weight_distribution(xr.DataArray([1.0], dims="synapse"))
