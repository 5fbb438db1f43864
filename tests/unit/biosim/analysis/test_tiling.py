"""The spike-time tiling coefficient against its definition, spelt out."""

import numpy as np
import pytest

from biosim.analysis import spike_columns, tiling_coefficient
from biosim.errors import AnalysisError
from tests.unit.biosim.analysis.trains import DURATION_S, clock, columns, poisson


def naive(one: np.ndarray, two: np.ndarray, window_s: float) -> float:
    """On a grid of 0.5 ms for the time, pair by pair for the spikes."""
    if not len(one) or not len(two):
        return np.nan
    grid = np.arange(0, DURATION_S, 5e-4)[:, None] + 2.5e-4
    near = np.abs(one[:, None] - two) <= window_s
    terms = []
    for share, other in ((near.any(axis=1).mean(), two), (near.any(axis=0).mean(), one)):
        tiled = (np.abs(grid - other) <= window_s).any(axis=1).mean()
        terms.append(1.0 if share * tiled == 1 else (share - tiled) / (1 - share * tiled))
    return float(np.mean(terms))


def test_it_is_what_the_paper_defines() -> None:
    trains = [poisson()[k] for k in (0, 1, 5, 6)]
    found = tiling_coefficient(columns(trains), 0.03)
    for i, one in enumerate(trains):
        for j, two in enumerate(trains):
            np.testing.assert_allclose(found.values[i, j], naive(one, two, 0.03), atol=1e-3)
    np.testing.assert_array_equal(found, found.T)


def test_it_is_one_for_the_same_train_and_near_zero_for_unrelated_ones() -> None:
    chance = np.random.default_rng(8)
    first, unrelated = (np.sort(chance.uniform(0, DURATION_S, 400)) for _ in range(2))
    jittered = np.clip(first + chance.normal(0, 0.002, 400), 0, 19.999)
    found = tiling_coefficient(columns([first, jittered, unrelated]), 0.01)
    np.testing.assert_allclose(np.diagonal(found), 1.0)
    assert float(found[0, 1]) > 0.95
    assert abs(float(found[0, 2])) < 0.1


def test_trains_that_avoid_each_other_are_negative() -> None:
    found = tiling_coefficient(columns([clock(0.1), clock(0.1, first_s=0.05)]), 0.02)
    assert float(found[0, 1]) == pytest.approx(-0.4, abs=0.01)


def test_a_train_that_tiles_all_time_does_not_divide_by_zero() -> None:
    found = tiling_coefficient(columns([clock(0.1), np.array([3.0])]), 0.2)
    assert np.isfinite(found).all()
    assert float(found[0, 0]) == 1.0


def test_it_is_undefined_where_one_did_not_fire() -> None:
    found = tiling_coefficient(columns(poisson()), 0.01, neurons=[6, 5])
    np.testing.assert_array_equal(found, [[np.nan, np.nan], [np.nan, 1.0]])
    assert tiling_coefficient(spike_columns([], [], 1.0), 0.01).shape == (0, 0)


@pytest.mark.parametrize("window_s", [0.0, -1.0, np.nan])
def test_a_window_without_width_is_refused(window_s: float) -> None:
    with pytest.raises(AnalysisError, match=r"^got a window of .* s; expected one above 0"):
        tiling_coefficient(columns(poisson()), window_s)
