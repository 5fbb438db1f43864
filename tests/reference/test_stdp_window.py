"""What a pair of spikes does, measured by simulation, is the window that the papers draw.

A synapse's time is that of arrivals and of what the target did: a spike of the source at tick e
arrives at e + delay; one of the target at tick s counts at s + 1, as early as anything can.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from rules.stdp import Stdp
from tests.reference.taught import learnt

DT = 1e-3
WEIGHT = 0.4
RATES: dict[str, Any] = {"a_plus": 0.03, "a_minus": 0.02, "tau_plus_ms": 17.0, "tau_minus_ms": 34.0}
DISTANCES = np.arange(-60, 61)
"""Ticks from the arrival to the target's spike; 0: both in one tick."""


def gain(distance: np.ndarray) -> np.ndarray:
    return 0.03 * np.exp(-distance * DT / 0.017)


def loss(distance: np.ndarray) -> np.ndarray:
    return 0.02 * np.exp(distance * DT / 0.034)


def measured(rule: Stdp, delays: np.ndarray | None = None) -> np.ndarray:
    """The change of weight for each distance, each in a synapse of its own."""
    late = np.ones_like(DISTANCES) if delays is None else delays
    arrivals = np.full_like(DISTANCES, 100)
    pre = [np.array([tick]) for tick in arrivals - late]
    post = [np.array([tick]) for tick in arrivals + DISTANCES - 1]
    return learnt(rule.synapse(), pre, post, DT, WEIGHT, late.tolist()) - WEIGHT


WINDOWS = {
    "additive": (Stdp(**RATES), 1.0, 1.0),
    "multiplicative": (Stdp(weights="multiplicative", **RATES), 1.0 - WEIGHT, WEIGHT),
    "power law": (
        Stdp(weights="power_law", mu=0.4, w_ref=0.1, **RATES),
        0.1 * (WEIGHT / 0.1) ** 0.4,
        WEIGHT,
    ),
}
"""The rule, and what its steps are shares of at WEIGHT, up and down."""


@pytest.mark.parametrize("name", list(WINDOWS))
def test_the_window_is_the_closed_form(name: str) -> None:
    rule, up, down = WINDOWS[name]
    expected = np.where(DISTANCES >= 0, up * gain(DISTANCES), -down * loss(DISTANCES))
    found = measured(rule)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # The other convention, in which a distance of zero depresses, is far away.
    assert abs(found[DISTANCES == 0] + down * 0.02) > 0.01


def test_the_window_is_that_of_arrivals_whatever_the_delay() -> None:
    delays = 1 + DISTANCES % 20
    np.testing.assert_array_equal(measured(Stdp(**RATES), delays), measured(Stdp(**RATES)))


def test_a_window_whose_sides_are_swapped_is_found() -> None:
    swapped = Stdp(a_plus=0.02, a_minus=0.03, tau_plus_ms=34.0, tau_minus_ms=17.0)
    expected = np.where(DISTANCES >= 0, gain(DISTANCES), -loss(DISTANCES))
    assert abs(measured(swapped) / expected - 1).max() > 0.3


# --- which pairs count


def counted(arrivals: np.ndarray, spikes: np.ndarray, pairing: str) -> float:
    """The change of weight by the pairs that count, each on its own."""
    total = 0.0
    events = sorted([(tick, 0) for tick in arrivals] + [(tick, 1) for tick in spikes])
    before = {event: last for last, event in pairwise(events)}
    for now in events:
        tick, side = now
        others = spikes if side == 0 else arrivals
        # An arrival of the same tick is earlier than what the target did.
        earlier = others[others < tick] if side == 0 else others[others <= tick]
        if pairing == "nearest":
            earlier = earlier[-1:]
        if pairing == "immediate":
            alone = before.get(now, now)[1] != side
            earlier = earlier[-1:] if alone else earlier[:0]
        distances = tick - earlier
        total += gain(distances).sum() if side else -loss(-distances).sum()
    return total


def trains() -> tuple[list[np.ndarray], list[np.ndarray]]:
    draw = np.random.default_rng(5)
    sides = [[np.flatnonzero(draw.random(150) < 0.08) + 5 for _ in range(60)] for _ in range(2)]
    return sides[0], sides[1]


@pytest.mark.parametrize(
    "pairing", ["nearest", *(pytest.param(n, marks=pytest.mark.slow) for n in ("all", "immediate"))]
)
def test_the_pairs_that_count_are_those_of_the_definition(pairing: Any) -> None:
    arrivals, spikes = trains()
    assert sum(len(np.intersect1d(*both)) for both in zip(arrivals, spikes, strict=True)) > 30
    # A bound so far away that none is met, with steps as above.
    rates = RATES | {"a_plus": 0.03e-3, "a_minus": 0.02e-3}
    rule = Stdp(pairing=pairing, w_max=1000.0, **rates)
    pre, post = [train - 1 for train in arrivals], [train - 1 for train in spikes]
    found = learnt(rule.synapse(), pre, post, DT, 500.0) - 500.0
    expected = [counted(a, s, pairing) for a, s in zip(arrivals, spikes, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    for other in {"all", "nearest", "immediate"} - {pairing}:
        different = [counted(a, s, other) for a, s in zip(arrivals, spikes, strict=True)]
        assert abs(found - different).max() > 0.02


@pytest.mark.slow
def test_weights_stay_within_their_bounds() -> None:
    draw = np.random.default_rng(6)
    pre = [np.flatnonzero(draw.random(400) < 0.2) + 5 for _ in range(20)]
    post = [np.flatnonzero(draw.random(400) < 0.2) + 5 for _ in range(20)]
    for a_plus, a_minus, end in ((0.3, 0.0, 0.7), (0.0, 0.3, 0.0)):
        rule = Stdp(a_plus=a_plus, a_minus=a_minus, w_max=0.7)
        np.testing.assert_array_equal(learnt(rule.synapse(), pre, post, DT, WEIGHT), end)
