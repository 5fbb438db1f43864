"""The threshold between depression and potentiation slides with what the neuron did before."""

from __future__ import annotations

import numpy as np
import pytest

from rules.bcm import Bcm
from tests.reference.taught import learnt

DT = 1e-3
PAIRS = 250
HISTORY, TEST = 30_000, 4_000
"""Ticks without input, in which the target fires at a rate; then ticks with input."""

RULE = Bcm(w_max=1000.0, rho0_hz=10.0, tau_rate_ms=10_000.0)


def trains(before_hz: float, now_hz: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Poisson spikes of sources and targets; sources are silent during the history."""
    draw = np.random.default_rng(8)
    rate = np.repeat([before_hz, now_hz], [HISTORY, TEST]) * DT
    post = [np.flatnonzero(draw.random(len(rate)) < rate) + 5 for _ in range(PAIRS)]
    pre = [np.flatnonzero(draw.random(TEST) < 20 * DT) + HISTORY + 5 for _ in range(PAIRS)]
    return pre, post


def drift(before_hz: float, now_hz: float) -> float:
    """The mean change of weight a second."""
    pre, post = trains(before_hz, now_hz)
    return float((learnt(RULE.synapse(), pre, post, DT, 500.0) - 500.0).mean() / (TEST * DT))


def expected(before_hz: float, now_hz: float) -> float:
    """The mean of a second, for Poisson spikes: pre post (post - theta), theta sliding a little.

    The rate that is counted begins at the history's and goes over to the present one.
    """
    t = (np.arange(TEST) + 0.5) * DT
    counted = now_hz + (before_hz - now_hz) * np.exp(-t / 10.0)
    counted -= before_hz * np.exp(-(HISTORY * DT + t) / 10.0)
    scale = 6.5e-3 * 0.0168 * 0.114
    return float((scale * 20 * now_hz * (now_hz - counted**2 / 10.0)).mean())


@pytest.mark.parametrize(
    ("before_hz", "now_hz", "sign"),
    [(10.0, 20.0, 1), (10.0, 5.0, -1), (20.0, 20.0, -1), (5.0, 5.0, 1)],
)
def test_weights_drift_as_bienenstock_cooper_and_munro_say(
    before_hz: float, now_hz: float, sign: int
) -> None:
    found = drift(before_hz, now_hz)
    assert np.sign(found) == sign
    assert found == pytest.approx(expected(before_hz, now_hz), rel=0.25)
