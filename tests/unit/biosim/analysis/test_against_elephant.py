"""The statistics that Elephant has as well, on the same spikes."""

import numpy as np
import pytest

from biosim.analysis import (
    binned_rate,
    cross_correlogram,
    fano_factor,
    fano_factor_of_counts,
    interval_statistics,
    intervals,
    kernel_rate,
    mean_rate,
    pairwise_correlation,
    population_spectrum,
    psth,
    tiling_coefficient,
    trial_counts,
)
from tests.unit.biosim.analysis.trains import DURATION_S, SIZE, Train, columns, poisson

conversion = pytest.importorskip("elephant.conversion", reason="pip install '.[test]'")
correlation = pytest.importorskip("elephant.spike_train_correlation")
kernels = pytest.importorskip("elephant.kernels")
spectral = pytest.importorskip("elephant.spectral")
statistics = pytest.importorskip("elephant.statistics")
neo = pytest.importorskip("neo")
pq = pytest.importorskip("quantities")

# Elephant itself calls quantities in an old way.
pytestmark = pytest.mark.filterwarnings("ignore:The 'copy' argument in Quantity is deprecated")

TRAINS = poisson()[:5]
SPIKES = columns(poisson())


def elephants(train: Train, stop_s: float = DURATION_S) -> object:
    return neo.SpikeTrain(train * pq.s, t_start=0 * pq.s, t_stop=stop_s * pq.s)


def binned(bin_s: float) -> object:
    return conversion.BinnedSpikeTrain([elephants(t) for t in TRAINS], bin_size=bin_s * pq.s)


def test_rates_intervals_and_their_variation_are_elephants() -> None:
    rates, found = mean_rate(SPIKES), interval_statistics(SPIKES)
    every = intervals(SPIKES)
    for neuron, train in enumerate(TRAINS):
        theirs = elephants(train)
        own = every.interval[every.neuron.values == neuron]
        lengths = statistics.isi(theirs)
        np.testing.assert_allclose(own, lengths.magnitude, atol=1e-12)
        assert float(rates[neuron]) == pytest.approx(
            float(statistics.mean_firing_rate(theirs).rescale("Hz"))
        )
        assert float(found.cv[neuron]) == pytest.approx(float(statistics.cv(lengths)), rel=1e-9)
        assert float(found.lv[neuron]) == pytest.approx(float(statistics.lv(lengths)), rel=1e-9)
    # The negative control: LV of a neighbour is another one.
    other = float(statistics.lv(statistics.isi(elephants(TRAINS[3]))))
    assert float(found.lv[4]) != pytest.approx(other, rel=1e-3)


def test_histograms_over_trials_and_their_fano_factor_are_elephants() -> None:
    starts = np.arange(0.0, 20.0, 2.0)
    train = TRAINS[4]
    trials = [elephants(train[(train >= s) & (train < s + 2)] - s, 2.0) for s in starts]
    theirs = statistics.time_histogram(trials, bin_size=0.1 * pq.s, output="rate")
    found = psth(SPIKES, starts, 0.1, before_s=0.0, after_s=2.0).sel(neuron=4)
    np.testing.assert_allclose(found, theirs.rescale("Hz").magnitude[:, 0], rtol=1e-9)
    counts = trial_counts(SPIKES, starts, after_s=2.0)
    expected = statistics.fanofactor(trials)
    assert float(fano_factor_of_counts(counts)[4]) == pytest.approx(expected, rel=1e-9)
    assert float(fano_factor(SPIKES, 2.0)[4]) == pytest.approx(expected, rel=1e-9)


def test_binned_counts_and_their_correlations_are_elephants() -> None:
    theirs = binned(0.05)
    np.testing.assert_allclose(
        binned_rate(SPIKES, 0.05)[:, :5] * 0.05, theirs.to_array().T, atol=1e-9
    )
    expected = correlation.correlation_coefficient(theirs)
    found = pairwise_correlation(SPIKES, 0.05)[:5, :5]
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_a_gaussian_rate_is_elephants_to_two_percent_of_its_peak() -> None:
    theirs = statistics.instantaneous_rate(
        elephants(TRAINS[2]),
        sampling_period=1 * pq.ms,
        kernel=kernels.GaussianKernel(sigma=50 * pq.ms),
        cutoff=6,
    ).magnitude[:, 0]
    found = kernel_rate(SPIKES, 0.05, 0.001)[:, 2].values
    assert np.abs(found - theirs).max() < 0.02 * theirs.max()
    other = kernel_rate(SPIKES, 0.06, 0.001)[:, 2].values
    assert np.abs(other - theirs).max() > 0.05 * theirs.max()


def test_a_correlogram_of_times_in_the_middles_of_bins_is_elephants() -> None:
    middles = [np.unique(np.floor(train / 0.005)) * 0.005 + 0.0025 for train in TRAINS]
    spikes = columns(middles)
    one, two = (
        conversion.BinnedSpikeTrain(elephants(middles[k]), bin_size=0.005 * pq.s) for k in (1, 4)
    )
    theirs, lags = correlation.cross_correlation_histogram(one, two, window=[-20, 20])
    found = cross_correlogram(spikes, 1, 4, 0.005, 0.1)
    np.testing.assert_array_equal(found, theirs.magnitude[:, 0])
    np.testing.assert_array_equal(np.rint(found.lag / 0.005), lags)


def test_tiling_coefficients_are_elephants() -> None:
    # Whole milliseconds, and a window between two: Elephant's reaches 1e-5 of the time further.
    trains = [np.unique(np.rint(train * 1000)) / 1000 for train in poisson()]
    trains = [train[train < DURATION_S] for train in trains]
    found = tiling_coefficient(columns(trains), 0.0205)
    for i in range(SIZE):
        for j in range(SIZE):
            theirs = correlation.spike_time_tiling_coefficient(
                elephants(trains[i]), elephants(trains[j]), dt=0.0205 * pq.s
            )
            np.testing.assert_allclose(found[i, j], theirs, atol=1e-9)


def test_the_populations_spectrum_is_elephants() -> None:
    rate = binned_rate(SPIKES, 0.005, population=True).values
    frequency, power = spectral.welch_psd(
        rate[None], fs=200.0, len_segment=100, overlap=0.5, window="hann"
    )
    found = population_spectrum(SPIKES, 0.005, 0.5)
    np.testing.assert_allclose(found.frequency, frequency)
    np.testing.assert_allclose(found, power[0], rtol=1e-9)
