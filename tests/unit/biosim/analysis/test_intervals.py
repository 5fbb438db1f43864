"""Inter-spike intervals against naive loops and closed forms."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biosim.analysis import (
    binning,
    interval_histogram,
    interval_statistics,
    intervals,
    spike_columns,
)
from biosim.errors import AnalysisError
from tests.unit.biosim.analysis.trains import clock, columns, poisson


def naive_cv_lv(train: np.ndarray) -> tuple[float, float]:
    lengths = np.diff(train)
    if len(lengths) < 2:
        return np.nan, np.nan
    ratios = [((a - b) / (a + b)) ** 2 for a, b in pairwise(lengths)]
    return float(lengths.std() / lengths.mean()), 3 * sum(ratios) / len(ratios)


@pytest.fixture(params=[True, False])
def _parts(request: pytest.FixtureRequest) -> None:
    if request.param:
        request.getfixturevalue("small_parts")


@pytest.mark.usefixtures("_parts")
def test_intervals_are_the_differences_of_each_neurons_times() -> None:
    found = intervals(columns(poisson()))
    for neuron, train in enumerate(poisson()):
        own = found.isel(interval_number=found.neuron == neuron)
        np.testing.assert_allclose(own.interval, np.diff(train), atol=1e-15)
        np.testing.assert_array_equal(own.time, train[1:])


@pytest.mark.usefixtures("_parts")
def test_cv_and_lv_are_those_of_the_naive_loop() -> None:
    found = interval_statistics(columns(poisson()))
    expected = np.array([naive_cv_lv(train) for train in poisson()])
    np.testing.assert_allclose(found.cv, expected[:, 0], rtol=1e-10)
    np.testing.assert_allclose(found.lv, expected[:, 1], rtol=1e-10)
    np.testing.assert_array_equal(found["count"], [max(len(t) - 1, 0) for t in poisson()])
    for neuron in range(5):
        mean = np.diff(poisson()[neuron]).mean()
        assert float(found["mean"][neuron]) == pytest.approx(mean, rel=1e-10)


@pytest.mark.usefixtures("_parts")
def test_a_histogram_counts_every_interval_once() -> None:
    edges = [0.0, 0.01, 0.1, 0.5, 100.0]
    found = interval_histogram(columns(poisson()), edges, each=True)
    for neuron, train in enumerate(poisson()):
        expected = np.histogram(np.diff(train), edges)[0]
        np.testing.assert_array_equal(found.sel(neuron=neuron), expected)
    together = interval_histogram(columns(poisson()), edges)
    np.testing.assert_array_equal(together, found.sum("neuron"))
    beyond = interval_histogram(columns(poisson()), [0.01, 0.1])
    assert int(beyond.sum()) < int(together.sum())


def test_a_clock_has_no_variation_and_a_poisson_process_one() -> None:
    chance = np.random.default_rng(2)
    process = np.sort(chance.uniform(0, 2000, 20_000))
    found = interval_statistics(columns([clock(0.1, 2000), process], 2000))
    np.testing.assert_allclose(found.cv, [0.0, 1.0], atol=0.03)
    np.testing.assert_allclose(found.lv, [0.0, 1.0], atol=0.03)
    assert float(found.cv[0]) < 1e-9


def test_a_drift_of_the_rate_raises_cv_but_not_lv() -> None:
    chance = np.random.default_rng(3)
    drifting = np.cumsum(chance.exponential(np.repeat([0.01, 0.1, 1.0], 3000)))
    found = interval_statistics(columns([drifting], 4000))
    assert float(found.cv[0]) > 1.5
    assert float(found.lv[0]) == pytest.approx(1.0, abs=0.05)


def test_too_few_spikes_have_no_variation_to_speak_of() -> None:
    trains = [[], [0.5], [0.5, 0.7], [0.5, 0.7, 0.8], [0.5, 0.5, 0.5]]
    found = interval_statistics(columns([np.array(train) for train in trains], 1.0))
    np.testing.assert_array_equal(found["count"], [0, 0, 1, 2, 2])
    np.testing.assert_allclose(found["mean"], [np.nan, np.nan, 0.2, 0.15, 0.0])
    np.testing.assert_allclose(found.cv, [np.nan, np.nan, np.nan, 1 / 3, np.nan])
    np.testing.assert_allclose(found.lv, [np.nan, np.nan, np.nan, 1 / 3, 0.0])
    silent = spike_columns([], [], 1.0)
    assert intervals(silent).sizes["interval_number"] == 0
    assert int(interval_histogram(silent, [0.0, 1.0]).sum()) == 0
    assert interval_statistics(silent).sizes["neuron"] == 0


@pytest.mark.parametrize("edges", [[0.0], [0.0, 0.0], [1.0, 0.5], [0.0, np.nan]])
def test_edges_that_do_not_increase_are_refused(edges: list[float]) -> None:
    with pytest.raises(AnalysisError, match=r"^got the edges \[.*; expected two or more that inc"):
        interval_histogram(columns(poisson()), edges)


@settings(max_examples=40)
@given(
    spikes=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=40, unique=True),
    part=st.integers(1, 10),
)
def test_any_spikes_in_any_parts_have_the_intervals_of_the_naive_loop(
    spikes: list[tuple[int, int]], part: int
) -> None:
    times = np.array([tick * 0.01 for tick, _ in spikes])
    who = np.array([neuron for _, neuron in spikes], int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("biosim.analysis.spikes.PART", part)
        found = interval_statistics(spike_columns(times, who, 1.0, size=4))
    expected = np.array([naive_cv_lv(np.sort(times[who == neuron])) for neuron in range(4)])
    np.testing.assert_allclose(found.cv, expected[:, 0], atol=1e-9)
    np.testing.assert_allclose(found.lv, expected[:, 1], atol=1e-9)


def test_populations_beyond_16_bits_are_sorted_as_well() -> None:
    who = np.tile([3, 65_536 + 3], 3)
    spikes = spike_columns([0.1, 0.15, 0.2, 0.35, 0.4, 0.95], who, 1.0)
    found = interval_statistics(spikes, neurons=np.arange(65_540))
    assert float(found["mean"][3]) == pytest.approx(0.15)
    assert float(found["mean"][65_539]) == pytest.approx(0.4)
    assert int(found["count"].sum()) == 4


def test_intervals_that_are_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binning, "MOST_BYTES", 1000)
    with pytest.raises(AnalysisError, match=r"^the intervals would take .* use interval_histogram"):
        intervals(columns(poisson()))
