"""The population's spectrum against scipy and the closed form of Poisson spikes."""

import numpy as np
import pytest
from scipy import signal

from biosim.analysis import population_spectrum, spike_columns
from biosim.errors import AnalysisError
from tests.unit.biosim.analysis.trains import DURATION_S, columns, poisson


def test_it_is_welchs_of_the_mean_rate() -> None:
    found = population_spectrum(columns(poisson()), 0.005, 0.5)
    counts = np.histogram(np.concatenate(poisson()), np.linspace(0, 20, 4001))[0]
    frequency, power = signal.welch(counts / 0.005 / 7, fs=200.0, nperseg=100)
    np.testing.assert_allclose(found, power, rtol=1e-10)
    np.testing.assert_allclose(found.frequency, frequency)


def test_of_poisson_neurons_it_is_flat_at_twice_the_rate_by_their_number() -> None:
    chance = np.random.default_rng(10)
    trains = [np.sort(chance.uniform(0, 200, chance.poisson(200 * 20.0))) for _ in range(10)]
    found = population_spectrum(columns(trains, 200), 0.002, 0.5)[2:-1]
    assert float(found.mean()) == pytest.approx(2 * 20.0 / 10, rel=0.03)
    assert float(found.std() / found.mean()) < 0.15


def test_a_rhythm_is_a_peak_at_its_frequency() -> None:
    chance = np.random.default_rng(11)
    times = np.sort(chance.uniform(0, DURATION_S, 20_000))
    kept = chance.random(20_000) < 0.5 + 0.5 * np.sin(2 * np.pi * 40.0 * times)
    found = population_spectrum(columns([times[kept]]), 0.001, 1.0)
    assert float(found.idxmax("frequency")) == 40.0
    flat = population_spectrum(columns([times]), 0.001, 1.0)
    assert float(flat.max()) < 0.05 * float(found.max())


def test_it_is_zero_without_spikes_and_undefined_without_neurons() -> None:
    assert float(population_spectrum(spike_columns([], [], 1.0, size=2), 0.01, 0.5).sum()) == 0.0
    assert np.isnan(population_spectrum(spike_columns([], [], 1.0), 0.01, 0.5)).all()
    assert float(population_spectrum(spike_columns([0.5], [0], 1.0), 0.01, 0.5).max()) > 0.0


@pytest.mark.parametrize("segment_s", [0.001, 30.0, np.nan])
def test_segments_that_do_not_fit_are_refused(segment_s: float) -> None:
    with pytest.raises(
        AnalysisError, match=r"^got segments of .* expected from 0.02 s, two bins, "
    ):
        population_spectrum(columns(poisson()), 0.01, segment_s)
