"""From what users describe to amounts: weights in SI units, delays in whole ticks."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from biosim.spiking.description import Normal, Uniform, Value
from biosim.syntax import expression_of
from biosim.wiring.explicit import Pairs
from biosim.wiring.rules import Wiring, refusal
from biosim.wiring.values import LONGEST, Amount, Computed, Constant, Drawn, Listed, Ticks

Evaluate = Callable[..., Any]
"""`evaluate(value, names)`: a `Value` in SI units; names -> numbers, arrays, functions."""

LEAST_CHANCE = 0.01
"""What a distribution must leave between its bounds."""

TOLERANCE = 1e-6
"""Ticks by which a given time may miss a whole number of them."""

_SYNAPSE_NAMES = {"i", "j", "N_pre", "N_post", "rand", "randn"}


def si(value: Any, names: Mapping[str, Any] | None = None) -> Any:
    """Return a number, or an array of numbers, as it is: the `Evaluate` without text or units."""
    if isinstance(value, str):
        raise refusal(f"{value!r} is text; expected a number in SI units")
    return np.asarray(value, np.float64)


def amount(
    value: Value | Normal | Uniform | Callable[..., Any],
    what: str,
    wiring: Wiring,
    evaluate: Evaluate = si,
) -> Amount:
    """Return the amounts that a description stands for.

    Args:
        value: as described; or a function of a synapse, see `Computed`.
        what: it is, and of which projection, for messages: "the weight of projection 'a'".
        wiring: of the projection.
        evaluate: turns a `Value` into a number or an array in SI units.

    Raises:
        NetworkError: a distribution has no width, leaves almost nothing between its bounds, or
            an array does not go with the wiring.
    """
    if isinstance(value, Normal):
        return _normal(value, what, evaluate)
    if isinstance(value, Uniform):
        low, high = float(evaluate(value.low)), float(evaluate(value.high))
        if not -math.inf < low <= high < math.inf:
            raise refusal(
                f"{what} is uniform from {low:g} to {high:g}; expected finite low <= high"
            )
        return Drawn(None, 0.0, low, high)
    if callable(value):
        return Computed(value)
    if isinstance(value, str) and _depends_on_synapse(value):
        return Computed(lambda **names: evaluate(value, names))
    number = np.asarray(evaluate(value), np.float64)
    if not np.isfinite(number).all():
        raise refusal(f"{what} is {number[~np.isfinite(number)][0]}; expected finite numbers")
    if number.ndim == 0:
        return Constant(float(number))
    listed = len(np.asarray(wiring.post)) if isinstance(wiring, Pairs) else None
    if number.shape != (listed,):
        raise refusal(
            f"{what} is an array of shape {number.shape}; expected "
            + ("a number: only listed pairs take arrays" if listed is None else f"({listed},)")
        )
    return Listed(number)


def delays(
    value: Value | Normal | Uniform | Callable[..., Any] | None,
    own: int,
    dt: float,
    name: str,
    wiring: Wiring,
    evaluate: Evaluate = si,
) -> Amount:
    """Return the delays of a projection, in ticks: whole and at least one.

    Times that are given must be whole ticks; times that are drawn or computed are rounded. What
    a normal distribution draws below a tick is drawn again, unless its low bound asks for it:
    it is then one tick, as it is for a uniform distribution.

    Args:
        value: in seconds, as described; None for the projection's own.
        own: the projection's own delay, in ticks.
        dt: length of a tick in seconds.
        name: of the projection.
        wiring: of the projection.
        evaluate: turns a `Value` into a number or an array in SI units.

    Raises:
        NetworkError: a delay is below a tick, no whole number of ticks, or too long; or a
            distribution is none.
    """
    what = f"the delay of projection {name!r}"
    if value is None:
        if own > LONGEST:
            raise refusal(f"{what} is {own} ticks; expected at most {LONGEST}: take longer ticks")
        return Constant(float(own))
    clipped = False
    if isinstance(value, (Normal, Uniform)):
        low = None if value.low is None else float(evaluate(value.low))
        if low is not None and low < 0.0:
            raise refusal(f"{what} has the low bound {low:g} s; expected none below zero")
        clipped = low is not None and low < 0.5 * dt
        if low is None:
            value = replace(value, low=0.5 * dt)

    def in_ticks(of: Any, *names: Any) -> Any:
        return evaluate(of, *names) / dt

    if callable(value):
        function = value
        found: Amount = Computed(lambda **names: function(**names) / dt)
    else:
        found = amount(value, what, wiring, in_ticks)
    if isinstance(found, (Constant, Listed)):
        ticks = np.atleast_1d(found.value if isinstance(found, Constant) else found.values)
        whole = np.rint(ticks)
        wrong = np.flatnonzero((abs(ticks - whole) > TOLERANCE) | (whole < 1.0))
        if len(wrong):
            raise refusal(
                f"{what} is {ticks[wrong[0]] * dt:g} s with ticks of {dt:g} s; expected a whole "
                "number of ticks, at least one: every event takes time"
            )
        found = Constant(float(whole[0])) if isinstance(found, Constant) else Listed(whole)
    else:
        found = Ticks(found, clipped)
    if found.ends is not None and max(found.ends) > LONGEST:
        raise refusal(
            f"{what} reaches {max(found.ends):g} ticks; expected at most {LONGEST}: give it a "
            "high bound, or take longer ticks"
        )
    return found


def _normal(value: Normal, what: str, evaluate: Evaluate) -> Amount:
    mean, sd = float(evaluate(value.mean)), float(evaluate(value.sd))
    least = -math.inf if value.low is None else float(evaluate(value.low))
    most = math.inf if value.high is None else float(evaluate(value.high))
    if not (math.isfinite(mean) and 0.0 <= sd < math.inf and least <= most):
        raise refusal(
            f"{what} is normal with mean {mean:g}, deviation {sd:g}, from {least:g} to {most:g}; "
            "expected finite numbers, no negative deviation and low <= high"
        )
    if sd == 0.0:
        low, span = 0.0, float(least <= mean <= most)
    else:
        low, span = _below((least - mean) / sd), _below((most - mean) / sd)
        span -= low
    if span < LEAST_CHANCE:
        raise refusal(
            f"{what} is normal with mean {mean:g} and deviation {sd:g}, of which {span:.2g} lies "
            f"between {least:g} and {most:g}; expected at least {LEAST_CHANCE:g}"
        )
    return Constant(mean) if sd == 0.0 else Drawn(mean, sd, least, most, low, span)


def _below(z: float) -> float:
    """Return the chance of a standard normal number below z."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def _depends_on_synapse(text: str) -> bool:
    """Return whether an expression names anything of a synapse."""
    try:
        tree = expression_of(text.strip())
    except SyntaxError:
        return False  # whoever evaluates it says what is wrong
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return bool(found & _SYNAPSE_NAMES) or any(n.endswith(("_pre", "_post")) for n in found)
