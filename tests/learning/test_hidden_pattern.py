"""STDP finds a hidden pattern: hits, false alarms and latency count only together.

Without learning the neuron hits always, because it fires always.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from biosim.errors import BiosimError
from scenarios.tasks.hidden_pattern import HiddenPattern, Judged, judged, rule, run
from scenarios.tasks.pattern_input import PatternInput, PatternSpikes, drawn

SHORT = PatternInput(seconds=20.0)


def with_rule(**changes: Any) -> HiddenPattern:
    return HiddenPattern(given=SHORT, repeats=1, rule=rule().model_copy(update=changes))


def test_the_pattern_is_found() -> None:
    found = run(HiddenPattern(), seed=0)
    assert found.found, found
    # It is known by those who take part in it, and by no others.
    assert (found.weights > 0.5).sum() > 200
    assert (found.weights[1000:] > 0.5).sum() < 5


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_pattern_is_found_under_at_least_eight_seeds_of_ten() -> None:
    assert sum(run(HiddenPattern(), seed).found for seed in range(10)) >= 8


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_pattern_is_found_with_the_numbers_of_the_paper() -> None:
    step = 2.0**-5
    as_published = rule().model_copy(update={"a_plus": step, "a_minus": 0.85 * step})
    task = HiddenPattern(rule=as_published, weight=0.475)
    assert sum(run(task, seed).found for seed in (0, 2, 3, 4, 5)) >= 4


@pytest.mark.parametrize(
    ("changes", "hits", "alarms_hz"),
    [
        ({"a_plus": 0.0, "a_minus": 0.0}, (0.99, 1.0), (10.0, 1000.0)),
        ({"a_minus": 0.0}, (0.99, 1.0), (50.0, 1000.0)),
        ({"a_minus": 1.2 * 2.0**-6}, (0.0, 0.1), (0.0, 5.0)),
        ({"pairing": "all"}, (0.0, 0.1), (0.0, 5.0)),
    ],
    ids=["no learning", "no depression", "too much depression", "all pairs"],
)
def test_other_rules_do_not_find_it(
    changes: dict[str, Any], hits: tuple[float, float], alarms_hz: tuple[float, float]
) -> None:
    found = run(with_rule(**changes), seed=0)
    assert not found.found
    assert hits[0] <= found.hits <= hits[1]
    assert alarms_hz[0] <= found.false_alarms_hz <= alarms_hz[1]


# --- how it is judged


def given(starts: list[int], length: int) -> PatternSpikes:
    none = np.zeros(0, dtype=np.int32)
    return PatternSpikes(none, none, np.array(starts), length)


def test_a_presentation_counts_once_and_its_first_spike_is_the_latency() -> None:
    hits, alarms, latency = judged(np.array([1010, 1200, 5070]), given([1000, 3000, 5000], 10_000))
    assert (hits, alarms, latency) == (2 / 3, 0.0, (1.0 + 7.0) / 2)


def test_a_spike_outside_of_presentations_is_a_false_alarm() -> None:
    # 50 ms are 500 ticks; 10,000 ticks are a second.
    hits, alarms, latency = judged(np.array([20, 1499, 1500]), given([1000], 10_000))
    assert (hits, alarms, latency) == (1.0, 2.0, 49.9)


def test_a_neuron_that_is_silent_has_found_nothing() -> None:
    hits, alarms, latency = judged(np.zeros(0, dtype=np.int64), given([1000], 10_000))
    assert (hits, alarms, latency) == (0.0, 0.0, np.inf)


@pytest.mark.parametrize(
    ("hits", "alarms", "latency"), [(0.89, 0.0, 5.0), (1.0, 0.11, 5.0), (1.0, 0.0, 10.1)]
)
def test_one_bad_figure_is_enough_to_fail(hits: float, alarms: float, latency: float) -> None:
    nothing = np.zeros(0)
    assert Judged(0.9, 0.1, 10.0, nothing, nothing.astype(np.int64)).found
    assert not Judged(hits, alarms, latency, nothing, nothing.astype(np.int64)).found


# --- the input


def test_the_input_is_a_function_of_the_seed() -> None:
    small = PatternInput(afferents=200, involved=100, seconds=5.0)
    one, again, other = drawn(small, 1), drawn(small, 1), drawn(small, 2)
    np.testing.assert_array_equal(one.ticks, again.ticks)
    np.testing.assert_array_equal(one.neurons, again.neurons)
    assert len(one.ticks) != len(other.ticks)


def test_an_afferent_spikes_once_a_tick_and_ticks_are_in_order() -> None:
    spikes = drawn(PatternInput(afferents=200, involved=100, seconds=5.0, noise_hz=200.0), 1)
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
    exact = drawn(replace(SHORT, seconds=5.0, jitter_ms=0.0, noise_hz=0.0), 0)
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 0.6}, "in 0.6 of the sections; expected 0 to 0.4"),
        ({"involved": 0}, "0 of 2000 afferents take part in the pattern; expected at least one"),
        ({"involved": 2001}, "2001 of 2000 afferents take part"),
    ],
)
def test_input_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BiosimError, match=message):
        PatternInput(**changes)
