"""Histograms and counts around events against naive loops."""

import numpy as np
import pytest

from biosim.analysis import psth, spike_columns, trial_counts
from biosim.errors import AnalysisError
from tests.unit.biosim.analysis.trains import columns, poisson

# Windows overlap, events are out of order, and the last one reaches beyond the end.
EVENTS = [7.0, 1.0, 1.05, 12.3, 19.9]
INSIDE = EVENTS[:4]


def naive(train: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return sum(np.histogram(train - event, edges)[0] for event in INSIDE)


@pytest.fixture(params=[True, False])
def _parts(request: pytest.FixtureRequest) -> None:
    if request.param:
        request.getfixturevalue("small_parts")


@pytest.mark.usefixtures("_parts")
def test_a_psth_is_the_mean_over_events_of_shifted_histograms() -> None:
    found = psth(columns(poisson()), EVENTS, 0.02, before_s=0.2, after_s=0.4)
    edges = np.linspace(-0.2, 0.4, 31)
    for neuron, train in enumerate(poisson()):
        np.testing.assert_allclose(found.sel(neuron=neuron), naive(train, edges) / 4 / 0.02)
    assert found.attrs["trials"] == 4
    np.testing.assert_allclose(found.time, (edges[1:] + edges[:-1]) / 2, atol=1e-12)
    together = psth(columns(poisson()), EVENTS, 0.02, before_s=0.2, after_s=0.4, population=True)
    np.testing.assert_allclose(together, found.mean("neuron"))


@pytest.mark.usefixtures("_parts")
def test_trial_counts_are_those_of_the_windows() -> None:
    found = trial_counts(columns(poisson()), EVENTS, before_s=0.1, after_s=0.6)
    np.testing.assert_array_equal(found.trial, EVENTS)
    for trial, event in enumerate(INSIDE):
        for neuron, train in enumerate(poisson()):
            expected = np.count_nonzero((train >= event - 0.1) & (train < event + 0.6))
            assert found.values[trial, neuron] == expected
    assert np.isnan(found[4]).all()


def test_a_response_stands_out_of_the_psth() -> None:
    chance = np.random.default_rng(6)
    events = np.arange(1.0, 90.0, 1.0)
    answers = np.sort(events + 0.05 + chance.normal(0, 0.002, len(events)))
    found = psth(columns([answers], 100), events, 0.01, before_s=0.1, after_s=0.2)
    assert float(found[:, 0].idxmax("time")) == pytest.approx(0.05, abs=0.01)
    elsewhere = psth(columns([answers + 0.1], 100), events, 0.01, before_s=0.1, after_s=0.2)
    assert float(elsewhere.sel(time=slice(0.03, 0.07)).max()) == 0.0


def test_a_spike_at_the_begin_of_a_window_counts_and_one_at_its_end_does_not() -> None:
    # 0.3 - 0.1 and 0.3 + 0.4 lie a hair beside the decimals that they mean.
    spikes = spike_columns([0.2, 0.7], [0, 0], 1.0)
    assert trial_counts(spikes, [0.3], before_s=0.1, after_s=0.4).values.tolist() == [[1.0]]


def test_without_spikes_rates_are_zero_and_without_events_undefined() -> None:
    silent = spike_columns([], [], 10.0, size=2)
    around = {"before_s": 0.1, "after_s": 0.1}
    assert float(psth(silent, [5.0], 0.1, **around).sum()) == 0.0
    assert float(trial_counts(silent, [5.0], **around).sum()) == 0.0
    assert np.isnan(psth(columns(poisson()), [], 0.1, **around)).all()
    assert trial_counts(columns(poisson()), [], **around).shape == (0, 7)
    assert float(psth(spike_columns([5.0], [0], 10.0), [5.0], 0.1, **around).sum()) == 10.0


def test_events_and_bins_that_make_no_sense_are_refused() -> None:
    spikes = columns(poisson())
    with pytest.raises(AnalysisError, match=r"^got events that are no list of finite times"):
        psth(spikes, [1.0, np.nan], 0.1, before_s=0.1, after_s=0.1)
    with pytest.raises(AnalysisError, match=r"^got bins of 0.03 s for a window of 0.2 s; expected"):
        psth(spikes, [1.0], 0.03, before_s=0.1, after_s=0.1)
    with pytest.raises(AnalysisError, match=r"^got bins of 0.0 s for a window"):
        psth(spikes, [1.0], 0.0, before_s=0.1, after_s=0.1)
    with pytest.raises(AnalysisError, match=r"^got a window from 0.0 s before to 0.0 s after an "):
        trial_counts(spikes, [1.0], after_s=0.0)


def test_events_are_used_whose_windows_were_recorded_as_a_whole() -> None:
    times = np.array([0.05, 0.15, 0.55, 0.65, 0.75])
    spikes = spike_columns(times, np.zeros(5, int), 1.0, dt_s=1e-3)
    spikes.attrs["recorded_ticks"] = [[0, 200], [500, 800]]
    events = [0.0, 0.1, 0.15, 0.3, 0.45, 0.5, 0.7, 0.75]
    counts = trial_counts(spikes, events, after_s=0.1)[:, 0]
    np.testing.assert_array_equal(counts, [1, 1, np.nan, np.nan, np.nan, 1, 1, np.nan])
    found = psth(spikes, events, 0.1, before_s=0.0, after_s=0.1, population=True)
    assert found.values == pytest.approx([10.0])
    assert found.attrs["trials"] == 4
