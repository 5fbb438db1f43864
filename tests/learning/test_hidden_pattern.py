"""STDP finds a hidden pattern: hits, false alarms and latency count only together.

Without learning the neuron hits always, because it fires always.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scenarios.reading import read_tree, resolve_any
from scenarios.tasks.hidden_pattern import Judged, heard, judged, run
from scenarios.tasks.pattern_input import drawn
from scenarios.tasks.schema import HiddenPattern, PatternTask, TaskRun

SHORT = PatternTask(seconds=20.0, repeats=1)


def of_seed(seed: int, **more: Any) -> HiddenPattern:
    return HiddenPattern(run=TaskRun(seed=seed), **more)


def test_the_scenario_file_says_what_holds_without_it() -> None:
    assert resolve_any(read_tree("hidden_pattern")) == HiddenPattern()


def test_the_pattern_is_found() -> None:
    found, weights = run(HiddenPattern())
    assert found.found, found
    # It is known by those who take part in it, and by no others.
    assert (weights > 0.5).sum() > 200
    assert (weights[1000:] > 0.5).sum() < 5


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_pattern_is_found_under_at_least_eight_seeds_of_ten() -> None:
    assert sum(run(of_seed(seed))[0].found for seed in range(10)) >= 8


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_pattern_is_found_with_the_numbers_of_the_paper() -> None:
    step = 2.0**-5
    rule, task = {"a_plus": step, "a_minus": 0.85 * step}, PatternTask(weight=0.475)
    seeds = (0, 2, 3, 4, 5)
    assert sum(run(of_seed(seed, rule=rule, task=task))[0].found for seed in seeds) >= 4


@pytest.mark.parametrize(
    ("changes", "hits", "alarms_hz"),
    [
        ({"a_plus": 0.0, "a_minus": 0.0}, (0.99, 1.0), (10.0, 1000.0)),
        ({"name": "frozen"}, (0.99, 1.0), (10.0, 1000.0)),
        pytest.param({"a_minus": 0.0}, (0.99, 1.0), (50.0, 1000.0), marks=pytest.mark.slow),
        pytest.param({"a_minus": 1.2 * 2.0**-6}, (0.0, 0.1), (0.0, 5.0), marks=pytest.mark.slow),
        pytest.param({"pairing": "all"}, (0.0, 0.1), (0.0, 5.0), marks=pytest.mark.slow),
    ],
    ids=["no learning", "frozen", "no depression", "too much depression", "all pairs"],
)
def test_other_rules_do_not_find_it(
    changes: dict[str, Any], hits: tuple[float, float], alarms_hz: tuple[float, float]
) -> None:
    found, _ = run(HiddenPattern(task=SHORT, rule=changes))
    assert not found.found
    assert hits[0] <= found.hits <= hits[1]
    assert alarms_hz[0] <= found.false_alarms_hz <= alarms_hz[1]


# --- how it is judged


def at(*ticks: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(ticks, dtype=np.int64)


def test_a_presentation_counts_once_and_its_first_spike_is_the_latency() -> None:
    latency, alarms = heard(at(1010, 1200, 5070), at(1000, 3000, 5000))
    np.testing.assert_array_equal(latency, [1.0, np.nan, 7.0])
    assert judged(latency, alarms, 1.0) == Judged(2 / 3, 0.0, (1.0 + 7.0) / 2)


def test_a_spike_outside_of_presentations_is_a_false_alarm() -> None:
    # 50 ms are 500 ticks.
    latency, alarms = heard(at(20, 1499, 1500), at(1000))
    assert judged(latency, alarms, 4.0) == Judged(1.0, 0.5, 49.9)


def test_where_the_pattern_is_not_shown_every_spike_is_a_false_alarm() -> None:
    latency, alarms = heard(at(20, 1499), at())
    assert (len(latency), alarms) == (0, 2)


def test_a_neuron_that_is_silent_has_found_nothing() -> None:
    latency, alarms = heard(at(), at(1000))
    assert judged(latency, alarms, 1.0) == Judged(0.0, 0.0, np.inf)


@pytest.mark.parametrize(
    ("hits", "alarms", "latency"), [(0.89, 0.0, 5.0), (1.0, 0.11, 5.0), (1.0, 0.0, 10.1)]
)
def test_one_bad_figure_is_enough_to_fail(hits: float, alarms: float, latency: float) -> None:
    assert Judged(0.9, 0.1, 10.0).found
    assert not Judged(hits, alarms, latency).found


# --- the input


def test_the_input_is_a_function_of_the_seed() -> None:
    small = PatternTask(afferents=200, involved=100, seconds=5.0)
    one, again, other = drawn(small, 1), drawn(small, 1), drawn(small, 2)
    np.testing.assert_array_equal(one.ticks, again.ticks)
    np.testing.assert_array_equal(one.neurons, again.neurons)
    assert len(one.ticks) != len(other.ticks)


def test_an_afferent_spikes_once_a_tick_and_ticks_are_in_order() -> None:
    spikes = drawn(PatternTask(afferents=200, involved=100, seconds=5.0, noise_hz=200.0), 1)
    both = spikes.ticks.astype(np.int64) * 200 + spikes.neurons
    assert len(np.unique(both)) == len(both)
    assert (np.diff(spikes.ticks) >= 0).all()


def test_rates_do_not_show_where_the_pattern_is() -> None:
    spikes = drawn(SHORT, 0)
    a_section = np.bincount(spikes.ticks // 500, minlength=SHORT.sections) / (2000 * 0.05)
    shown = np.zeros(SHORT.sections, dtype=bool)
    shown[spikes.starts // 500] = True
    assert shown.mean() == pytest.approx(0.25)
    assert not (shown[1:] & shown[:-1]).any()
    assert a_section[shown].mean() == pytest.approx(a_section[~shown].mean(), rel=0.03)
    assert a_section.mean() == pytest.approx(64.0, rel=0.02)
    each = np.bincount(spikes.neurons, minlength=2000) / 20.0
    assert each[:1000].mean() == pytest.approx(each[1000:].mean(), rel=0.02)


def test_the_pattern_comes_back_jittered_and_without_noise_exactly() -> None:
    exact = drawn(PatternTask(seconds=5.0, jitter_ms=0.0, noise_hz=0.0), 0)
    first, second = (
        {
            (int(n), int(t - start))
            for n, t in zip(exact.neurons, exact.ticks, strict=True)
            if n < 1000 and start <= t < start + 500
        }
        for start in exact.starts[:2]
    )
    assert first == second
    assert {n for n, _ in first} == set(range(1000))  # silent for 50 ms is nobody
