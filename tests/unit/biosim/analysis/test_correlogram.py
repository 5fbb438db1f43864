"""Cross-correlograms against all differences."""

import numpy as np
import pytest

from biosim.analysis import cross_correlogram, spike_columns
from biosim.errors import AnalysisError
from tests.unit.biosim.analysis.trains import DURATION_S, clock, columns, poisson


def naive(one: np.ndarray, two: np.ndarray, bin_s: float, half: int, itself: bool) -> np.ndarray:
    lags = two[None, :] - one[:, None]
    if itself:
        lags = lags[~np.eye(len(one), dtype=bool)]
    edges = (np.arange(-half, half + 2) - 0.5) * bin_s
    return np.histogram(lags, edges)[0]


@pytest.mark.parametrize(("one", "two"), [(1, 4), (4, 1), (3, 3), (5, 4), (6, 4)])
def test_it_counts_all_differences_but_a_spikes_own(one: int, two: int) -> None:
    found = cross_correlogram(columns(poisson()), one, two, 0.01, 0.1)
    expected = naive(poisson()[one], poisson()[two], 0.01, 10, one == two)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found.lag, np.arange(-10, 11) * 0.01)
    assert found.attrs["reference_spikes"] == len(poisson()[one])
    assert found.attrs["other_spikes"] == len(poisson()[two])


def test_of_groups_it_is_the_sum_over_pairs() -> None:
    spikes = columns(poisson())
    found = cross_correlogram(spikes, [1, 2], [2, 4], 0.01, 0.05)
    pairs = [cross_correlogram(spikes, i, j, 0.01, 0.05) for i in (1, 2) for j in (2, 4)]
    np.testing.assert_array_equal(found, sum(pair.values for pair in pairs))
    assert found.attrs["expected"] == pytest.approx(sum(pair.attrs["expected"] for pair in pairs))


def test_an_echo_shows_at_its_delay_and_independence_at_the_expected_count() -> None:
    chance = np.random.default_rng(7)
    first = np.sort(chance.uniform(0, DURATION_S - 1, 3000))
    unrelated = np.sort(chance.uniform(0, DURATION_S, 3000))
    spikes = columns([first, first + 0.0124, unrelated])
    echo = cross_correlogram(spikes, 0, 1, 0.002, 0.05)
    assert float(echo.idxmax("lag")) == pytest.approx(0.012)
    backwards = cross_correlogram(spikes, 1, 0, 0.002, 0.05)
    np.testing.assert_array_equal(backwards[::-1], echo)
    chance_level = cross_correlogram(spikes, 0, 2, 0.002, 0.05)
    assert float(chance_level.mean()) == pytest.approx(chance_level.attrs["expected"], rel=0.05)


def test_lags_of_whole_ticks_lie_in_the_middles_of_their_bins() -> None:
    spikes = columns([clock(0.1), clock(0.1)])
    found = cross_correlogram(spikes, 0, 1, 0.1, 0.3)
    np.testing.assert_array_equal(found, [197, 198, 199, 200, 199, 198, 197])


def test_another_population_is_another_neuron_of_the_same_number() -> None:
    spikes, others = columns(poisson(0)), columns(poisson(1))
    found = cross_correlogram(spikes, 3, 3, 0.01, 0.1, spikes_of_other=others)
    expected = naive(poisson(0)[3], poisson(1)[3], 0.01, 10, False)
    np.testing.assert_array_equal(found, expected)
    same = cross_correlogram(spikes, 3, 3, 0.01, 0.1, spikes_of_other=spikes)
    itself = cross_correlogram(spikes, 3, 3, 0.01, 0.1)
    assert int(same[10]) - int(itself[10]) == len(poisson()[3])


def test_without_spikes_all_counts_are_zero() -> None:
    silent = spike_columns([0.5], [0], 1.0, size=2)
    for one, two in ((0, 1), (1, 0), (1, 1), (0, 0)):
        assert int(cross_correlogram(silent, one, two, 0.01, 0.1).sum()) == 0


@pytest.mark.parametrize(("bin_s", "reach_s"), [(0.0, 0.1), (0.1, -1.0), (np.nan, 1.0)])
def test_bins_that_make_no_sense_are_refused(bin_s: float, reach_s: float) -> None:
    with pytest.raises(AnalysisError, match=r"^got bins of .* s to lags of .* expected widths abo"):
        cross_correlogram(columns(poisson()), 0, 1, bin_s, reach_s)
