"""Pairings at one rate after the other, as Sjostrom, Turrigiano & Nelson 2001 did them.

The protocol is periodic, so that every trace is a geometric sum and the change of weight has a
closed form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rules.stdp import Stdp
from rules.synaptic import SynapseRule
from rules.triplet_stdp import PUBLISHED, TripletStdp
from tests.reference.taught import learnt

DT = 1e-3
PAIRS = 60
RATES_HZ = (0.1, 1.0, 5.0, 10.0, 20.0, 40.0, 50.0)
DISTANCES_MS = (10, -10)
"""From the source's spike to the target's."""


def protocol() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Trains of sources and targets, a pair of them for each distance and rate."""
    pre, post = [], []
    for distance in DISTANCES_MS:
        for rate in RATES_HZ:
            ticks = 100 + np.arange(PAIRS) * round(1 / (rate * DT))
            pre.append(ticks)
            post.append(ticks + distance)
    return pre, post


def simulated(rule: SynapseRule) -> np.ndarray:
    """The change of weight, (distances, rates)."""
    changes = learnt(rule.synapse(), *protocol(), DT, 1.0) - 1.0
    return changes.reshape(len(DISTANCES_MS), len(RATES_HZ))


def closed_form(fit: Any, distance_ms: int, rate_hz: float, late: bool = False) -> float:
    """The change of weight by all-to-all pairing; `late`: slow traces count their own spike."""
    a2_plus, a3_plus, a2_minus, a3_minus, tau_x_ms, tau_y_ms = PUBLISHED[fit]
    period, k = 1e3 / rate_hz, np.arange(PAIRS)

    def earlier(tau_ms: float | None) -> np.ndarray:
        """A trace of the spikes before the k-th, just before it: q + q^2 + ... + q^k."""
        if tau_ms is None:
            return np.zeros(PAIRS)
        q = np.exp(-period / tau_ms)
        return q * (1 - q**k) / (1 - q) + (1.0 if late else 0.0)

    def of_the_other(tau_ms: float, ahead_ms: int) -> np.ndarray:
        """A trace of the other side, whose k-th spike is so far ahead, or behind if negative."""
        q = np.exp(-period / tau_ms)
        spikes = k + 1 if ahead_ms > 0 else k
        first = np.exp(-ahead_ms / tau_ms) * (1.0 if ahead_ms > 0 else q)
        return first * (1 - q**spikes) / (1 - q)

    up = of_the_other(16.8, distance_ms) * (a2_plus + a3_plus * earlier(tau_y_ms))
    down = of_the_other(33.7, -distance_ms) * (a2_minus + a3_minus * earlier(tau_x_ms))
    return float(up.sum() - down.sum())


def table(fit: str, late: bool = False) -> np.ndarray:
    return np.array([[closed_form(fit, d, r, late) for r in RATES_HZ] for d in DISTANCES_MS])


@pytest.mark.parametrize("fit", ["visual_cortex", "visual_cortex_minimal"])
def test_the_protocol_gives_the_closed_form(fit: Any) -> None:
    changes = simulated(TripletStdp(fit=fit))
    np.testing.assert_allclose(changes, table(fit), rtol=1e-6, atol=1e-9)
    # Slow traces that count their own spike, the usual slip, are far away.
    assert abs(changes - table(fit, late=True)).max() > 0.1


def test_potentiation_grows_with_the_rate_of_pairing() -> None:
    before, after = table("visual_cortex")
    # Figure 1A and 5A of Sjostrom et al. 2001: nothing at 0.1 Hz, and more the faster.
    assert abs(before[0]) < 0.02
    assert (np.diff(before) > 0).all()
    assert before[-1] > 0.4
    # The target first: depression, which turns to potentiation between 20 and 40 Hz.
    slow = np.array(RATES_HZ) <= 20
    assert (after[slow] < -0.1).all()
    assert (after[~slow] > 0.1).all()


def test_pairs_alone_do_not_grow_with_the_rate() -> None:
    # The pair terms of the fit to hippocampal cultures; others scale the same two curves.
    share = 1 / 3
    rule = Stdp(
        w_max=3.0,
        a_plus=5.3e-3 * share,
        a_minus=3.5e-3 * share,
        tau_plus_ms=16.8,
        tau_minus_ms=33.7,
    )
    before, after = simulated(rule)
    assert before[0] > 0.1
    assert before[-1] < before[0]
    assert (after <= 0).all()
