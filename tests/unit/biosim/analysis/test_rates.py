"""Rates against naive sums, and where nothing fires."""

import numpy as np
import pytest
from scipy import stats

from biosim.analysis import binned_rate, kernel_rate, mean_rate, spike_columns
from biosim.errors import AnalysisError
from tests.unit.biosim.analysis.trains import DURATION_S, clock, columns, poisson


def test_the_mean_rate_is_spikes_by_time() -> None:
    found = mean_rate(columns(poisson()))
    np.testing.assert_allclose(found, [len(train) / DURATION_S for train in poisson()])
    assert found.attrs["units"] == "Hz"
    part = mean_rate(columns(poisson()), neurons=[5], start_s=3.0, stop_s=5.0)
    np.testing.assert_allclose(part, [0.5])


def test_binned_rates_are_counts_by_width() -> None:
    found = binned_rate(columns(poisson()), 0.5)
    for neuron, train in enumerate(poisson()):
        counts = np.histogram(train, np.linspace(0, 20, 41))[0]
        np.testing.assert_allclose(found.sel(neuron=neuron), counts / 0.5)
    together = binned_rate(columns(poisson()), 0.5, population=True)
    np.testing.assert_allclose(together, found.mean("neuron"))


DENSITIES = {
    "gaussian": stats.norm(scale=0.1),
    "exponential": stats.expon(scale=0.1),
    "boxcar": stats.uniform(loc=-0.05, scale=0.1),
}


def naive(train: np.ndarray, kernel: str, edges: np.ndarray) -> np.ndarray:
    """The mean over each bin of the sum of kernels at the spikes' own times."""
    rate = np.zeros(len(edges) - 1)
    for spike in train:
        rate += np.diff(DENSITIES[kernel].cdf(edges - spike)) / (edges[1] - edges[0])
    return rate


@pytest.mark.parametrize("kernel", DENSITIES)
@pytest.mark.parametrize("sample_s", [0.05, 0.002])
def test_a_kernel_rate_is_the_sum_of_kernels(kernel: str, sample_s: float) -> None:
    edges = np.arange(round(DURATION_S / sample_s) + 1) * sample_s
    # In the middles of bins the naive sum is met exactly, at other times to the width of a bin.
    middles = [np.floor(train / sample_s) * sample_s + sample_s / 2 for train in poisson()]
    found = kernel_rate(columns(middles), 0.1, sample_s, kernel=kernel)
    for neuron, train in enumerate(middles):
        expected = naive(train, kernel, edges)
        np.testing.assert_allclose(found.sel(neuron=neuron), expected, atol=1e-9)
    assert found.sizes["time"] == len(edges) - 1


def test_spikes_between_the_samples_move_a_smooth_rate_by_less_than_a_sample() -> None:
    edges = np.arange(10_001) * 0.002
    found = kernel_rate(columns(poisson()), 0.1, 0.002)
    expected = naive(poisson()[4], "gaussian", edges)
    assert abs(found.sel(neuron=4) - expected).max() < 0.01 * expected.max()
    # The negative control: another width is noticed.
    other = kernel_rate(columns(poisson()), 0.11, 0.002)
    assert abs(other.sel(neuron=4) - expected).max() > 0.02 * expected.max()


def test_a_kernel_rate_keeps_the_spikes_and_the_rate_of_a_clock() -> None:
    spikes = columns([clock(0.01, first_s=0.005), np.array([10.0])])
    found = kernel_rate(spikes, 0.1, 0.001)
    np.testing.assert_allclose(found.sel(neuron=0)[2000:-2000], 100.0, rtol=1e-6)
    assert float(found.sel(neuron=1).sum() * 0.001) == pytest.approx(1.0, abs=1e-9)
    together = kernel_rate(spikes, 0.1, 0.001, population=True)
    np.testing.assert_allclose(together, found.mean("neuron"), atol=1e-9)


def test_an_exponential_kernel_reaches_into_the_future_only() -> None:
    found = kernel_rate(columns([np.array([10.0])]), 0.5, 0.1, kernel="exponential")
    assert float(found.sel(time=slice(0, 9.9)).max()) < 1e-12
    assert float(found.sel(time=10.15, method="nearest")[0]) > 1.0


@pytest.mark.parametrize("population", [True, False])
def test_without_spikes_rates_are_zero_and_without_neurons_there_are_none(population: bool) -> None:
    silent = spike_columns([], [], 1.0, size=2)
    nobody = spike_columns([], [], 1.0, size=0)
    np.testing.assert_array_equal(mean_rate(silent), [0.0, 0.0])
    assert mean_rate(nobody).shape == (0,)
    for rate in (
        lambda spikes: binned_rate(spikes, 0.1, population=population),
        lambda spikes: kernel_rate(spikes, 0.1, 0.001, population=population),
    ):
        assert float(abs(rate(silent)).max()) == 0.0
        if population:
            assert np.isnan(rate(nobody)).all()
        else:
            assert rate(nobody).sizes["neuron"] == 0


def test_kernels_that_make_no_sense_are_refused() -> None:
    with pytest.raises(AnalysisError, match=r"^got a kernel of 0.0 s; expected a width above 0"):
        kernel_rate(columns(poisson()), 0.0, 0.001)
    with pytest.raises(AnalysisError, match=r"^got the kernel 'alpha'; expected gaussian, exponen"):
        kernel_rate(columns(poisson()), 0.1, 0.001, kernel="alpha")  # type: ignore[arg-type]
