"""What an analysis holds does not grow with how long the recording is."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from biosim.analysis import (
    binned_rate,
    fano_factor,
    group_counts,
    interval_histogram,
    interval_statistics,
    intervals,
    layer_rotation,
    mean_rate,
    pairwise_correlation,
    participation_ratio,
    spike_synchrony,
    synchrony,
    trial_counts,
    weight_distribution,
    weight_statistics,
)

NEURONS = 50
Spiking = Callable[[xr.Dataset], object]

BOUNDED: dict[str, Spiking] = {
    "rate": mean_rate,
    "population": lambda spikes: binned_rate(spikes, 1.0, population=True),
    "statistics": interval_statistics,
    "histogram": lambda spikes: interval_histogram(spikes, np.linspace(0, 1, 100)),
    "groups": lambda spikes: group_counts(spikes, 1.0, 7),
    "fano": lambda spikes: fano_factor(spikes, 0.01),
    "trials": lambda spikes: trial_counts(spikes, np.arange(10.0), after_s=0.5),
    "correlation": lambda spikes: pairwise_correlation(spikes, 0.01),
    "synchrony": lambda spikes: spike_synchrony(spikes, 0.01),
}


@pytest.fixture(autouse=True)
def _smaller_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biosim.analysis.spikes.PART", 1 << 14)
    monkeypatch.setattr("biosim.analysis.binning.BAND_VALUES", 1 << 14)
    monkeypatch.setattr("biosim.analysis.moments.BLOCK_VALUES", 1 << 14)


def recording(seconds: int) -> xr.Dataset:
    """Poisson neurons of 200 Hz."""
    count = 200 * NEURONS * seconds
    chance = np.random.default_rng(0)
    return xr.Dataset(
        {
            "time": ("spike", np.sort(chance.uniform(0, seconds, count))),
            "neuron": ("spike", chance.integers(0, NEURONS, count)),
        },
        attrs={"size": NEURONS, "stop_s": float(seconds)},
    )


def peak_bytes(statistic: Callable[[xr.Dataset], object], spikes: xr.Dataset) -> int:
    statistic(spikes)
    tracemalloc.start()
    try:
        statistic(spikes)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", BOUNDED)
def test_ten_times_the_spikes_need_no_more_memory(name: str) -> None:
    short, long = (peak_bytes(BOUNDED[name], recording(seconds)) for seconds in (20, 200))
    assert long < 1.2 * short + 100_000
    assert long < 8e6


def test_what_holds_every_interval_is_noticed() -> None:
    short, long = (peak_bytes(intervals, recording(seconds)) for seconds in (20, 200))
    assert long > 5 * short


def test_activity_and_weights_are_read_in_parts() -> None:
    wide = np.random.default_rng(0).normal(size=(4, 200_000)).astype(np.float32)
    weights = xr.DataArray(wide.reshape(4, 2000, 100), dims=("snapshot", "post", "pre"))
    long = xr.DataArray(wide.reshape(-1, 40), dims=("time", "neuron"))
    for statistic in (layer_rotation, weight_distribution, weight_statistics):
        assert peak_bytes(lambda _, f=statistic: f(weights), long) < 1e6  # type: ignore[misc]
    assert peak_bytes(synchrony, long) < 1e6
    assert peak_bytes(lambda x: participation_ratio(x, sample="time"), long) < 1e6
    assert wide.nbytes > 3e6
