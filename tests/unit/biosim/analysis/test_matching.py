"""Matching neurons of two networks."""

import itertools

import numpy as np
import pytest
import xarray as xr

from biosim.analysis import match_neurons
from biosim.errors import AnalysisError


def activity(samples: int = 60, neurons: int = 5, seed: int = 0) -> xr.DataArray:
    values = np.random.default_rng(seed).normal(size=(samples, neurons)) + 10
    return xr.DataArray(values, dims=("sample", "neuron"))


@pytest.mark.parametrize("small", [True, False])
def test_correlations_are_numpys(request: pytest.FixtureRequest, small: bool) -> None:
    if small:
        request.getfixturevalue("small_parts")
    one, two = activity(), activity(neurons=7, seed=1)
    expected = np.corrcoef(one.values.T, two.values.T)[:5, 5:]
    np.testing.assert_allclose(match_neurons(one, two).correlation, expected, atol=1e-12)


def test_a_shuffled_network_is_found_again() -> None:
    one = activity()
    order = np.array([3, 0, 4, 1, 2])
    noise = np.random.default_rng(2).normal(scale=0.1, size=one.shape)
    shuffled = one.copy(data=2 * one.values[:, order] + noise)
    found = match_neurons(one, shuffled)
    np.testing.assert_array_equal(order[found.partner], np.arange(5))
    np.testing.assert_array_equal(found.best, found.partner)
    assert float(found.partner_correlation.min()) > 0.95
    # The negative control: another network has no such neurons.
    assert float(match_neurons(one, activity(seed=9)).partner_correlation.max()) < 0.5


def test_one_to_one_has_the_largest_sum_of_all_pairings() -> None:
    one, two = activity(samples=8), activity(samples=8, seed=3)
    found = match_neurons(one, two)
    sums = [
        found.correlation.values[np.arange(5), list(pairing)].sum()
        for pairing in itertools.permutations(range(5))
    ]
    assert float(found.partner_correlation.sum()) == pytest.approx(max(sums))
    assert sorted(found.partner.values) == [0, 1, 2, 3, 4]


def test_the_best_partner_may_be_shared() -> None:
    one = activity()
    one[:, 1] = one[:, 0] * 2
    other = activity(neurons=2, seed=4)
    other[:, 1] = one[:, 0]
    found = match_neurons(one, other)
    np.testing.assert_array_equal(found.best[:2], [1, 1])
    np.testing.assert_allclose(found.best_correlation[:2], 1.0)
    # Two of five have a partner of their own.
    assert np.count_nonzero(found.partner >= 0) == 2
    assert np.isnan(found.partner_correlation).sum() == 3


def test_neurons_that_do_not_vary_have_no_partner() -> None:
    one, two = activity(), activity(seed=5)
    one[:, 2] = 0.1
    one[4, 3] = np.nan
    two[:, 0] = 0.0
    found = match_neurons(one, two)
    np.testing.assert_array_equal(found.best[[2, 3]], -1)
    np.testing.assert_array_equal(found.partner[[2, 3]], -1)
    assert np.isnan(found.best_correlation[[2, 3]]).all()
    assert 0 not in found.best
    assert np.isnan(found.correlation[:, 0]).all()
    for empty in (match_neurons(activity(1), activity(1)), match_neurons(one, activity(60, 0))):
        np.testing.assert_array_equal(empty.partner, -1)
        np.testing.assert_array_equal(empty.best, -1)


def test_what_cannot_be_matched_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"^got 60 and 59 along 'sample'"):
        match_neurons(activity(), activity(59))
    with pytest.raises(AnalysisError, match=r"expected \['sample', 'neuron'\]: select one of the"):
        match_neurons(activity(), activity().expand_dims("snapshot"))
    with pytest.raises(AnalysisError, match=r"expected \['time', 'neuron'\]: rename yours"):
        match_neurons(activity(), activity(), sample="time")
