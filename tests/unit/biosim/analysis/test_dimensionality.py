"""The participation ratio against its closed form, principal components against scikit-learn."""

import numpy as np
import pytest
import xarray as xr
from sklearn.decomposition import PCA

from biosim.analysis import participation_ratio, principal_components
from biosim.errors import AnalysisError


def activity(samples: int, neurons: int, seed: int = 0) -> xr.DataArray:
    chance = np.random.default_rng(seed)
    values = chance.normal(size=(samples, neurons)) @ chance.normal(size=(neurons, neurons)) + 3.0
    return xr.DataArray(values, dims=("sample", "neuron"), attrs={"units": "Hz"})


@pytest.fixture(params=[True, False])
def _parts(request: pytest.FixtureRequest) -> None:
    if request.param:
        request.getfixturevalue("small_parts")


@pytest.mark.usefixtures("_parts")
@pytest.mark.parametrize("shape", [(50, 6), (6, 50), (8, 8)])
def test_the_ratio_is_that_of_the_covariances_eigenvalues(shape: tuple[int, int]) -> None:
    values = activity(*shape)
    eigenvalues = np.linalg.eigvalsh(np.cov(values.values.T))
    expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert float(participation_ratio(values)) == pytest.approx(expected, rel=1e-10)


def test_it_counts_directions() -> None:
    chance = np.random.default_rng(1)
    turn = np.linalg.qr(chance.normal(size=(30, 30)))[0]
    for directions in (1, 5, 30):
        wide = np.zeros((50_000, 30))
        wide[:, :directions] = chance.normal(size=(50_000, directions))
        found = participation_ratio(xr.DataArray(wide @ turn + 7, dims=("sample", "neuron")))
        assert float(found) == pytest.approx(directions, rel=0.01)


@pytest.mark.usefixtures("_parts")
@pytest.mark.parametrize("shape", [(50, 6), (6, 50), (8, 8)])
def test_components_are_scikit_learns(shape: tuple[int, int]) -> None:
    values = activity(*shape)
    found = principal_components(values, 4)
    pca = PCA(4, svd_solver="full").fit(values.values)
    signs = np.sign((pca.components_ * found.direction.values).sum(axis=1))
    np.testing.assert_allclose(found.direction, pca.components_ * signs[:, None], atol=1e-8)
    np.testing.assert_allclose(found.score, pca.transform(values.values) * signs, atol=1e-8)
    np.testing.assert_allclose(found.variance, pca.explained_variance_, rtol=1e-8)
    np.testing.assert_allclose(found.share, pca.explained_variance_ratio_, rtol=1e-8)
    np.testing.assert_allclose(found["mean"], pca.mean_)
    assert found.score.attrs["units"] == "Hz"
    # The negative control: other data have other components.
    other = principal_components(activity(*shape, seed=5), 4)
    assert abs(other.direction - found.direction).max() > 0.1


def test_all_components_together_give_the_activity_back() -> None:
    values = activity(8, 8)
    found = principal_components(values, 8)
    again = found.score.dot(found.direction, dim="component") + found["mean"]
    np.testing.assert_allclose(again.transpose("sample", "neuron"), values, atol=1e-10)


def test_it_goes_through_snapshots_and_keeps_their_labels() -> None:
    values = xr.concat([activity(20, 4, seed) for seed in range(3)], dim="snapshot")
    values = values.assign_coords(snapshot=[0, 5, 9])
    values[1, 3, 2] = np.nan
    values[2] = 0.1
    found = participation_ratio(values)
    assert found.snapshot.values.tolist() == [0, 5, 9]
    assert found[0] == participation_ratio(values[0])
    assert np.isnan(found[1:]).all()


def test_what_does_not_vary_or_is_not_there_has_no_dimensionality() -> None:
    for shape in ((1, 4), (4, 0), (0, 4)):
        assert np.isnan(
            participation_ratio(xr.DataArray(np.ones(shape), dims=("sample", "neuron")))
        )
    one = activity(10, 1)
    assert float(participation_ratio(one)) == pytest.approx(1.0)
    for shape in ((10, 4), (4, 10)):
        broken = activity(*shape)
        broken[2, 1] = np.nan
        found = principal_components(broken, 2)
        assert np.isnan(found.direction).all()
        assert np.isnan(found.score).all()
        assert np.isnan(found.share).all()
    single = principal_components(activity(1, 3), 1)
    assert np.isnan(single.variance).all()
    assert np.isnan(single.share).all()


def test_components_that_cannot_be_are_refused() -> None:
    values = activity(5, 3)
    for count in (0, 4):
        with pytest.raises(
            AnalysisError, match=rf"^got {count} components; expected 1 to 3, the sm"
        ):
            principal_components(values, count)
    with pytest.raises(
        AnalysisError, match=r"^got the dimensions \['snapshot', 'sample', 'neuron'"
    ):
        principal_components(values.expand_dims("snapshot"), 2)
    with pytest.raises(AnalysisError, match=r"expected \['time', 'neuron'\]: rename yours"):
        participation_ratio(values, sample="time")
