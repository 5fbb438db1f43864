"""The normal distribution from one word a number: compiled, and the same on every machine.

Why by the quantile and not by Box and Muller: a synapse needs its own word only, and a
distribution cut off at both ends needs no second try: its quantiles are those of a stretch of
the whole one.
"""

from __future__ import annotations

import math
from typing import Any

from biosim.wiring.drawing import compiled, inlined, log

_UNIT = 2.0**-32
_CENTRE = 0.425


@inlined
def _central(q: Any) -> Any:
    """Return the quantile of 1/2 + q for |q| <= 0.425 (Wichura 1988, AS 241, PPND16)."""
    r = _CENTRE * _CENTRE - q * q
    up = 2.5090809287301226727e3
    up = up * r + 3.3430575583588128105e4
    up = up * r + 6.7265770927008700853e4
    up = up * r + 4.5921953931549871457e4
    up = up * r + 1.3731693765509461125e4
    up = up * r + 1.9715909503065514427e3
    up = up * r + 1.3314166789178437745e2
    up = up * r + 3.3871328727963666080e0
    down = 5.2264952788528545610e3
    down = down * r + 2.8729085735721942674e4
    down = down * r + 3.9307895800092710610e4
    down = down * r + 2.1213794301586595867e4
    down = down * r + 5.3941960214247511077e3
    down = down * r + 6.8718700749205790830e2
    down = down * r + 4.2313330701600911252e1
    down = down * r + 1.0
    return q * up / down


@inlined
def _tail(p: Any) -> Any:
    """Return minus the quantile of p, for p < 0.075 (the same, both outer ranges)."""
    r = math.sqrt(-log(p if p > 1e-300 else 1e-300))
    if r <= 5.0:
        r -= 1.6
        up = 7.74545014278341407640e-4
        up = up * r + 2.27238449892691845833e-2
        up = up * r + 2.41780725177450611770e-1
        up = up * r + 1.27045825245236838258e0
        up = up * r + 3.64784832476320460504e0
        up = up * r + 5.76949722146069140550e0
        up = up * r + 4.63033784615654529590e0
        up = up * r + 1.42343711074968357734e0
        down = 1.05075007164441684324e-9
        down = down * r + 5.47593808499534494600e-4
        down = down * r + 1.51986665636164571966e-2
        down = down * r + 1.48103976427480074590e-1
        down = down * r + 6.89767334985100004550e-1
        down = down * r + 1.67638483018380384940e0
        down = down * r + 2.05319162663775882187e0
        down = down * r + 1.0
    else:
        r -= 5.0
        up = 2.01033439929228813265e-7
        up = up * r + 2.71155556874348757815e-5
        up = up * r + 1.24266094738807843860e-3
        up = up * r + 2.65321895265761230930e-2
        up = up * r + 2.96560571828504891230e-1
        up = up * r + 1.78482653991729133580e0
        up = up * r + 5.46378491116411436990e0
        up = up * r + 6.65790464350110377720e0
        down = 2.04426310338993978564e-15
        down = down * r + 1.42151175831644588870e-7
        down = down * r + 1.84631831751005468180e-5
        down = down * r + 7.86869131145613259100e-4
        down = down * r + 1.48753612908506148525e-2
        down = down * r + 1.36929880922735805310e-1
        down = down * r + 5.99832206555887937690e-1
        down = down * r + 1.0
    return up / down


@compiled
def normal(
    words: Any, below: Any, span: Any, mean: Any, sd: Any, low: Any, high: Any, out: Any
) -> None:
    """Fill out, float64 (n,), with normal numbers between bounds, one for each word.

    Args:
        words: uint32 (n,).
        below: chance of what the distribution has below the bounds.
        span: chance of what it has between them.
        mean: of the whole distribution.
        sd: its standard deviation.
        low: the least number; minus infinity for none.
        high: the greatest.
        out: filled.
    """
    n = out.shape[0]
    # The centre for all, without a branch, so that it vectorises; then the tails.
    for i in range(n):
        q = below + span * ((float(words[i]) + 0.5) * _UNIT) - 0.5
        q = q if q > -_CENTRE else -_CENTRE
        x = mean + sd * _central(q if q < _CENTRE else _CENTRE)
        x = x if x > low else low
        out[i] = x if x < high else high
    for i in range(n):
        p = below + span * ((float(words[i]) + 0.5) * _UNIT)
        if abs(p - 0.5) > _CENTRE:
            z = -_tail(p) if p < 0.5 else _tail(1.0 - p)
            x = mean + sd * z
            x = x if x > low else low
            out[i] = x if x < high else high
