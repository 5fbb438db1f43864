"""Spikes counted in bins."""

import numpy as np
import pytest

from biosim.analysis import binned_rate, binning, group_counts, spike_counts
from biosim.analysis.binning import count_bands, population_counts
from biosim.analysis.spikes import spike_columns, spike_trains
from biosim.errors import AnalysisError
from tests.unit.biosim.analysis.trains import SIZE, clock, columns, poisson


def histograms(bin_s: float, start_s: float, stop_s: float) -> np.ndarray:
    edges = np.arange(start_s, stop_s + bin_s / 2, bin_s)
    return np.stack([np.histogram(train, edges)[0] for train in poisson()], axis=1)


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize(("bin_s", "start_s", "stop_s"), [(0.05, 0, 20), (0.25, 3, 7), (4, 0, 20)])
def test_counts_are_numpys_histograms(
    request: pytest.FixtureRequest, small: bool, bin_s: float, start_s: float, stop_s: float
) -> None:
    if small:
        request.getfixturevalue("small_parts")
    spikes = columns(poisson())
    found = spike_counts(spikes, bin_s, start_s=start_s, stop_s=stop_s)
    expected = histograms(bin_s, start_s, stop_s)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found.time, start_s + (np.arange(len(expected)) + 0.5) * bin_s)
    view = spike_trains(spikes, None, start_s, stop_s)
    np.testing.assert_array_equal(population_counts(view, bin_s), expected.sum(axis=1))


@pytest.mark.usefixtures("small_parts")
def test_bands_come_also_where_nothing_happens() -> None:
    spikes = spike_columns([0.5, 8.5], [0, 1], 10.0)
    bands = [band.copy() for band in count_bands(spike_trains(spikes), 0.1)]
    assert len(bands) == 5
    assert np.concatenate(bands).sum() == 2
    assert np.concatenate(bands)[85, 1] == 1


def test_a_spike_on_an_edge_belongs_to_the_bin_that_begins_there() -> None:
    # Of these multiples of 0.1, as of all decimals, many lie a hair beside the edges.
    spikes = columns([clock(0.1)])
    np.testing.assert_array_equal(spike_counts(spikes, 0.1), np.ones((200, 1)))


def test_what_is_left_at_the_end_is_no_bin() -> None:
    spikes = spike_columns([0.1, 0.95], [0, 0], 1.0)
    np.testing.assert_array_equal(spike_counts(spikes, 0.3).values[:, 0], [1, 0, 0])


def test_neurons_come_in_the_order_in_which_they_are_named() -> None:
    spikes = columns(poisson())
    some = spike_counts(spikes, 0.5, neurons=[4, 0])
    np.testing.assert_array_equal(some.neuron, [4, 0])
    np.testing.assert_array_equal(some, spike_counts(spikes, 0.5).values[:, [4, 0]])


def test_without_spikes_or_neurons_counts_are_none() -> None:
    assert spike_counts(spike_columns([], [], 1.0, size=3), 0.1).values.sum() == 0
    assert spike_counts(spike_columns([], [], 1.0, size=0), 0.1).shape == (10, 0)
    one = spike_counts(spike_columns([0.35], [1], 1.0), 0.1)
    assert one.values.sum() == one.values[3, 1] == 1
    assert spike_counts(columns(poisson()), 20.0).shape == (1, SIZE)


@pytest.mark.parametrize(
    ("bin_s", "message"),
    [
        (0.0, "^got bins of 0.0 s; expected a width above 0"),
        (np.nan, "^got bins of nan s; expected a width above 0"),
        (30.0, "^got bins of 30.0 s for a stretch of 20.0 s; expected narrower ones"),
    ],
)
def test_bins_that_do_not_fit_are_refused(bin_s: float, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        spike_counts(columns(poisson()), bin_s)


def test_a_result_too_large_for_memory_is_refused_with_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(binning, "MOST_BYTES", 1 << 30)
    with pytest.raises(AnalysisError, match=r"^the counts would take 5.2 GiB; expected at most 1"):
        spike_counts(columns(poisson()), 1e-7)


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("width", [1, 2, 3, 100])
def test_counts_of_groups_are_sums_over_neighbours(
    request: pytest.FixtureRequest, small: bool, width: int
) -> None:
    if small:
        request.getfixturevalue("small_parts")
    spikes = columns(poisson())
    found = group_counts(spikes, 0.25, width, start_s=3, stop_s=7)
    single = histograms(0.25, 3, 7)
    begins = np.arange(0, single.shape[1], width)
    np.testing.assert_array_equal(found, np.add.reduceat(single, begins, axis=1))
    np.testing.assert_array_equal(found.neuron, begins)
    np.testing.assert_allclose(found.time, spike_counts(spikes, 0.25, start_s=3, stop_s=7).time)


def test_groups_are_of_the_neurons_that_were_recorded() -> None:
    spikes = spike_columns([0.1, 0.2, 0.3], [2, 7, 9], 1.0, size=10)
    spikes["recorded"] = ("recorded_neuron", np.array([2, 7, 9]))
    found = group_counts(spikes, 0.5, 2)
    assert found.values.tolist() == [[2, 1], [0, 0]]
    assert found.neuron.values.tolist() == [2, 9]


def test_groups_without_spikes_or_neurons_count_nothing() -> None:
    assert group_counts(spike_columns([], [], 1.0, size=3), 0.5, 2).values.tolist() == [[0, 0]] * 2
    assert group_counts(spike_columns([], [], 1.0, size=0), 0.5, 2).shape == (2, 0)


def test_groups_of_nobody_are_refused() -> None:
    with pytest.raises(AnalysisError, match="got groups of 0 neurons; expected 1 or more"):
        group_counts(columns(poisson()), 0.5, 0)


@pytest.mark.parametrize("width", ["a", None, np.array([0.1, 0.2])])
def test_a_width_that_is_no_number_is_refused(width: object) -> None:
    with pytest.raises(AnalysisError, match=r"got bins of .* s; expected a width above 0"):
        binned_rate(columns(poisson()), width)  # type: ignore[arg-type]


def test_bins_are_no_narrower_than_a_tick() -> None:
    spikes = spike_columns([0.01, 0.02], [0, 1], 0.1, dt_s=1e-3)
    assert spike_counts(spikes, 1e-3).sizes["time"] == 100
    assert spike_counts(spikes, 1e-3 * (1 - 1e-12)).sizes["time"] == 100
    with pytest.raises(AnalysisError, match=r"got bins of 0\.0005 s; expected at least a tick, "):
        spike_counts(spikes, 5e-4)
