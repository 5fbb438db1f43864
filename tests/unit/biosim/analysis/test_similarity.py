"""CKA, Procrustes and RSA against definitions spelt out, scipy and invariances."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from scipy import linalg, spatial, stats

from biosim.analysis import (
    dissimilarity,
    linear_cka,
    procrustes_distance,
    representational_similarity,
)
from biosim.analysis.similarity import Dissimilarity
from biosim.errors import AnalysisError
from tests.unit.biosim.analysis.test_memory import peak_bytes

Similarity = Callable[[xr.DataArray, xr.DataArray], xr.DataArray]
ALL: list[Similarity] = [linear_cka, procrustes_distance, representational_similarity]


def activity(samples: int = 40, neurons: int = 6, seed: int = 0) -> xr.DataArray:
    values = np.random.default_rng(seed).normal(size=(samples, neurons)) + 2.0
    return xr.DataArray(values, dims=("sample", "neuron"))


def turned(values: xr.DataArray) -> xr.DataArray:
    size = values.sizes["neuron"]
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(size, size)))[0]
    return values.copy(data=3.0 * values.values @ turn)


@pytest.mark.parametrize("samples", [40, 5])
def test_cka_is_the_normalised_independence_criterion_of_kernels(samples: int) -> None:
    one, two = activity(samples), activity(samples, 9, seed=2)
    centre = np.eye(samples) - 1 / samples
    k, m = (centre @ x.values @ x.values.T @ centre for x in (one, two))
    expected = np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m))
    assert float(linear_cka(one, two)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("samples", [40, 5])
def test_procrustes_is_what_the_best_rotation_leaves(samples: int) -> None:
    one, two = activity(samples), activity(samples, seed=2)
    x, y = ((a - a.mean("sample")).values for a in (one, two))
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    turn, _ = linalg.orthogonal_procrustes(x, y)
    expected = np.linalg.norm(x @ turn - y)
    assert float(procrustes_distance(one, two)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean"])
def test_dissimilarities_are_scipys(metric: Dissimilarity) -> None:
    found = dissimilarity(activity(), metric)
    expected = spatial.distance.squareform(spatial.distance.pdist(activity().values, metric))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_array_equal(np.diagonal(found), 0.0)


def test_rsa_is_the_correlation_of_the_upper_triangles() -> None:
    one, two = activity(), activity(neurons=9, seed=2) + activity(neurons=9)
    x, y = (spatial.distance.pdist(a.values, "correlation") for a in (one, two))
    rank = stats.spearmanr(x, y).statistic
    assert float(representational_similarity(one, two)) == pytest.approx(rank, rel=1e-10)
    plain = representational_similarity(one, two, compare="pearson")
    assert float(plain) == pytest.approx(stats.pearsonr(x, y).statistic, rel=1e-10)


def test_a_rotation_and_a_scale_make_no_difference_but_another_representation_does() -> None:
    one = activity(400)
    assert float(linear_cka(one, turned(one))) == pytest.approx(1.0)
    assert float(procrustes_distance(one, turned(one))) == pytest.approx(0.0, abs=1e-6)
    same = representational_similarity(one, turned(one), "euclidean")
    assert float(same) == pytest.approx(1.0)
    other = activity(400, seed=3)
    assert float(linear_cka(one, other)) < 0.1
    assert float(procrustes_distance(one, other)) > 1.0
    assert abs(float(representational_similarity(one, other))) < 0.1


def test_any_invertible_map_is_more_than_cka_forgives() -> None:
    one = activity(400)
    stretched = one * np.array([1, 1, 1, 1, 1, 30.0])
    assert float(linear_cka(one, stretched)) < 0.7


def test_shared_dimensions_are_gone_through_and_others_combined() -> None:
    both = xr.concat([activity(seed=k) for k in range(3)], dim="snapshot")
    both = both.assign_coords(snapshot=[0, 4, 8])
    paired = linear_cka(both, both)
    np.testing.assert_allclose(paired, 1.0)
    assert paired.snapshot.values.tolist() == [0, 4, 8]
    crossed = linear_cka(both, both.rename(snapshot="later"))
    assert crossed.dims == ("snapshot", "later")
    np.testing.assert_allclose(np.diagonal(crossed), 1.0)
    np.testing.assert_allclose(crossed, crossed.T)
    assert float(crossed[0, 1]) == pytest.approx(float(linear_cka(both[0], both[1])))
    assert dissimilarity(both).dims == ("snapshot", "sample", "other")


@pytest.mark.parametrize("statistic", ALL)
def test_it_is_undefined_where_nothing_varies_or_something_is_missing(
    statistic: Similarity,
) -> None:
    one = activity()
    broken, constant = one.copy(), one.copy(data=np.full(one.shape, 0.1))
    broken[3, 2] = np.nan
    for other in (broken, constant):
        assert np.isnan(statistic(one, other))
        assert np.isnan(statistic(other, one))
    assert np.isnan(statistic(activity(1), activity(1)))
    assert np.isnan(statistic(activity(0), activity(0)))
    assert np.isnan(statistic(one, activity(40, 0)))


def test_two_snapshots_of_one_run_are_of_the_same_samples() -> None:
    both = xr.concat([activity(seed=k) for k in range(2)], dim="snapshot")
    both = both.assign_coords(snapshot=[0, 5], sample=np.arange(40) + 7, label=("sample", [1] * 40))
    found = linear_cka(both[0], both[1])
    assert float(found) == pytest.approx(float(linear_cka(activity(), activity(seed=1))))
    assert "sample" in dissimilarity(both).coords


def test_a_dissimilarity_is_undefined_only_for_the_sample_that_is() -> None:
    values = activity(5)
    values[2] = 0.1
    values[4, 0] = np.nan
    found = dissimilarity(values)
    assert np.isnan(found[[2, 4]]).all()
    assert np.isfinite(found[:2, :2]).all()
    far = dissimilarity(values, "euclidean")
    assert np.isnan(far[4]).all()
    assert np.isfinite(far[:4, :4]).all()
    assert float(dissimilarity(activity(1), "euclidean")[0, 0]) == 0.0
    assert dissimilarity(activity(0)).shape == (0, 0)


def test_patterns_of_no_neurons_do_not_differ_by_anything() -> None:
    for metric in ("correlation", "cosine"):
        assert np.isnan(dissimilarity(activity(3, 0), metric)).all()


def test_procrustes_of_few_samples_holds_no_matrix_of_neurons() -> None:
    one, two = activity(10, 3000), activity(10, 2500, 1)
    assert peak_bytes(lambda _: procrustes_distance(one, two), one) < 5e6


def test_one_neuron_is_a_representation() -> None:
    one = activity(40, 1)
    assert float(linear_cka(one, -2 * one + 1)) == pytest.approx(1.0)
    assert float(procrustes_distance(one, -2 * one + 1)) == pytest.approx(0.0, abs=1e-7)
    assert np.isnan(dissimilarity(one)).all()


@pytest.mark.parametrize("statistic", ALL)
def test_samples_that_are_not_the_same_are_refused(statistic: Similarity) -> None:
    with pytest.raises(AnalysisError, match=r"^got 40 and 39 along 'sample'; expected the same"):
        statistic(activity(40), activity(39))
    first = activity().assign_coords(sample=np.arange(40))
    second = activity().assign_coords(sample=np.arange(1, 41))
    with pytest.raises(AnalysisError, match=r"^the two differ along 'sample': select the same in"):
        statistic(first, second)
    with pytest.raises(AnalysisError, match=r"^the array has the dimensions \['sample', 'unit'\];"):
        statistic(activity(), activity().rename(neuron="unit"))


def test_what_is_not_known_is_refused() -> None:
    one = activity()
    with pytest.raises(AnalysisError, match=r"^got the metric 'l1'; expected correlation, cosine"):
        dissimilarity(one, "l1")  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match=r"^got the metric 'l1'; expected correlation, cosine"):
        representational_similarity(one, one, "l1")  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match=r"^got the comparison 'tau'; expected spearman, pear"):
        representational_similarity(one, one, compare="tau")  # type: ignore[arg-type]
