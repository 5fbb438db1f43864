"""Fano factors against numpy and closed forms."""

import numpy as np
import pytest
import xarray as xr

from biosim.analysis import fano_factor, fano_factor_of_counts, spike_columns
from biosim.errors import AnalysisError
from tests.unit.biosim.analysis.trains import clock, columns, poisson


@pytest.mark.parametrize("small", [True, False])
def test_it_is_variance_by_mean_of_the_counts(request: pytest.FixtureRequest, small: bool) -> None:
    if small:
        request.getfixturevalue("small_parts")
    found = fano_factor(columns(poisson()), 0.4)
    for neuron, train in enumerate(poisson()[:6]):
        counts = np.histogram(train, np.linspace(0, 20, 51))[0]
        assert float(found[neuron]) == pytest.approx(counts.var() / counts.mean(), rel=1e-12)


def test_a_clock_has_exactly_none_and_a_poisson_process_about_one() -> None:
    process = np.sort(np.random.default_rng(4).uniform(0, 2000, 20_000))
    found = fano_factor(columns([clock(0.1, 2000.0), process], 2000), 1.0)
    assert float(found[0]) == 0.0
    assert float(found[1]) == pytest.approx(1.0, abs=0.1)
    bursts = np.repeat(clock(10.0, 2000.0), 10)  # the negative control
    assert float(fano_factor(columns([bursts], 2000), 1.0)[0]) == pytest.approx(9.0)


def test_it_is_undefined_without_spikes_and_with_one_window() -> None:
    assert np.isnan(fano_factor(spike_columns([], [], 1.0, size=2), 0.1)).all()
    assert np.isnan(fano_factor(columns(poisson()), 20.0)).all()
    one = fano_factor(spike_columns([0.25], [1], 1.0), 0.1)
    np.testing.assert_allclose(one, [np.nan, 0.9])


def test_of_counts_it_goes_along_the_dimension_that_is_named() -> None:
    counts = np.random.default_rng(5).poisson(3.0, (40, 6)).astype(float)
    counts[:, 2] = 0.0
    counts[3, 4] = np.nan
    found = fano_factor_of_counts(xr.DataArray(counts, dims=("trial", "neuron")))
    expected = counts.var(axis=0) / np.where(counts.mean(axis=0) > 0, counts.mean(axis=0), np.nan)
    np.testing.assert_allclose(found, expected)
    assert np.isnan(found[[2, 4]]).all()
    single = xr.DataArray(counts[:1], dims=("trial", "neuron"))
    assert np.isnan(fano_factor_of_counts(single)).all()
    with pytest.raises(AnalysisError, match=r"^the counts have no dimension 'run'; they have "):
        fano_factor_of_counts(single, "run")
