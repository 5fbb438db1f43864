"""Correlation of spike counts against numpy."""

import numpy as np
import pytest

from biosim.analysis import pairwise_correlation, spike_columns
from tests.unit.biosim.analysis.trains import DURATION_S, clock, columns, poisson


@pytest.mark.parametrize("small", [True, False])
def test_it_is_numpys_correlation_of_counts(request: pytest.FixtureRequest, small: bool) -> None:
    if small:
        request.getfixturevalue("small_parts")
    found = pairwise_correlation(columns(poisson()), 0.1)
    counts = [np.histogram(train, np.linspace(0, 20, 201))[0] for train in poisson()[:6]]
    np.testing.assert_allclose(found[:6, :6], np.corrcoef(counts), atol=1e-12)
    assert np.isnan(found[6]).all()
    assert np.isnan(found[:, 6]).all()
    np.testing.assert_array_equal(np.diagonal(found)[:6], 1.0)


def test_a_shared_source_is_found_and_its_share_right() -> None:
    chance = np.random.default_rng(9)
    shared, own, other = (np.sort(chance.uniform(0, DURATION_S, n)) for n in (3000, 3000, 6000))
    both = [np.sort(np.concatenate([shared, own])), shared, other]
    found = pairwise_correlation(columns(both), 0.01)
    assert float(found[0, 1]) == pytest.approx(np.sqrt(0.5), abs=0.05)
    assert abs(float(found[0, 2])) < 0.07  # the negative control


def test_it_is_undefined_where_counts_do_not_vary() -> None:
    found = pairwise_correlation(columns([clock(0.1), poisson()[0], np.array([1.0])]), 0.1)
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1:, 1:]).all()
    assert np.isnan(pairwise_correlation(columns(poisson()), 20.0)).all()
    assert pairwise_correlation(spike_columns([], [], 1.0), 0.1).shape == (0, 0)
