"""Weights and delays: a number for every synapse, constant, listed, drawn or computed.

Drawn ones are a pure function of (seed, purpose, target, number of the synapse in the target's
list), so that whoever owns the target draws the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from biosim.wiring.explicit import Pairs
from biosim.wiring.rules import Int64s, UInt32s, Wiring, refusal, words_of

Floats = npt.NDArray[np.float64]
LONGEST = 65_535
"""Ticks that a delay may have: it is stored as uint16."""


@dataclass(frozen=True)
class Stretch:
    """The synapses of a stretch of targets, and what a value of theirs may depend on.

    Args:
        name: of the projection.
        seed: of the run.
        lo: first target.
        n_pre: neurons of the source population.
        n_post: neurons of the target population.
        indptr: where each target's list begins and ends, (n_targets + 1,).
        sources: (n_synapses,).
        listed: which synapses of an explicit wiring these are, (n_synapses,); else None.
    """

    name: str
    seed: int
    lo: int
    n_pre: int
    n_post: int
    indptr: Int64s
    sources: UInt32s
    listed: Int64s | None = None

    def words(self, purpose: str, counter: int = 0) -> UInt32s:
        """Return a word for every synapse, under "purpose/projection"."""
        return words_of(self.seed, f"{purpose}/{self.name}", self.lo, self.indptr, counter)

    def targets(self) -> Int64s:
        """Return the target of every synapse."""
        numbers = np.diff(self.indptr)
        return np.repeat(np.arange(self.lo, self.lo + len(numbers)), numbers)


def stretch_of(
    wiring: Wiring, lo: int, hi: int, n_pre: int, n_post: int, seed: int, name: str
) -> Stretch:
    """Return the synapses of the targets [lo, hi)."""
    indptr, sources = wiring.sources(lo, hi, n_pre, n_post, seed, name)
    listed = wiring.listed(lo, hi) if isinstance(wiring, Pairs) else None
    return Stretch(name, seed, lo, n_pre, n_post, indptr, sources, listed)


class Amount(Protocol):
    """A number for every synapse of a projection."""

    @property
    def ends(self) -> tuple[float, float] | None:
        """The least and the greatest that occur; None if only drawing all of them can tell."""

    def draw(self, stretch: Stretch, purpose: str) -> Floats:
        """Return the numbers of a stretch of targets, (n_synapses,).

        Args:
            stretch: the synapses.
            purpose: "weight" or "delay"; draws for different purposes are independent.
        """


@dataclass(frozen=True)
class Constant:
    """One number for all."""

    value: float

    @property
    def ends(self) -> tuple[float, float] | None:
        """The number, twice."""
        return self.value, self.value

    def draw(self, stretch: Stretch, purpose: str) -> Floats:
        """Return the number, for every synapse."""
        return np.full(len(stretch.sources), self.value)


@dataclass(frozen=True, eq=False)
class Listed:
    """Numbers that go with the pairs of an explicit wiring, (n_synapses,)."""

    values: Floats

    @property
    def ends(self) -> tuple[float, float] | None:
        """The least and the greatest listed; of an empty list, 0."""
        if not len(self.values):
            return 0.0, 0.0
        return float(np.min(self.values)), float(np.max(self.values))

    def draw(self, stretch: Stretch, purpose: str) -> Floats:
        """Return the numbers listed for the synapses."""
        assert stretch.listed is not None  # whoever made it has seen to it
        return self.values[stretch.listed]


@dataclass(frozen=True)
class Drawn:
    """Normal or uniform numbers.

    Args:
        mean: of the normal distribution; None for the uniform one.
        sd: its standard deviation.
        low: the least number.
        high: the greatest.
        below: chance of what the normal distribution has below `low`.
        span: chance of what it has between the two.
    """

    mean: float | None
    sd: float
    low: float
    high: float
    below: float = 0.0
    span: float = 1.0

    @property
    def ends(self) -> tuple[float, float] | None:
        """What the least and the greatest word give."""
        least, greatest = self._of(np.array([0, 2**32 - 1], np.uint32))
        return float(least), float(greatest)

    def draw(self, stretch: Stretch, purpose: str) -> Floats:
        """Return a number of its own for every synapse."""
        return self._of(stretch.words(purpose))

    def _of(self, words: UInt32s) -> Floats:
        if self.mean is None:
            numbers = uniforms(words)
            numbers *= self.high - self.low
            numbers += self.low
            return numbers
        from biosim.wiring.quantile import normal

        out = np.empty(len(words))
        normal(words, self.below, self.span, self.mean, self.sd, self.low, self.high, out)
        return out


@dataclass(frozen=True, eq=False)
class Computed:
    """Numbers from a function of the synapse.

    Args:
        function: called with the names of a synapse as keywords: `i` and `j`, float64
            (n_synapses,), `N_pre`, `N_post`, and the functions `rand` and `randn`, each call
            of which draws anew; returns a number or (n_synapses,).
    """

    function: Callable[..., Any]

    @property
    def ends(self) -> tuple[float, float] | None:
        """None: it has to be computed for all."""
        return None

    def draw(self, stretch: Stretch, purpose: str) -> Floats:
        """Return what the function gives for the synapses."""
        calls = iter(range(2**32))

        def rand(*_: Any) -> Floats:
            return uniforms(stretch.words(purpose, next(calls)))

        def randn(*_: Any) -> Floats:
            from biosim.wiring.quantile import normal

            words = stretch.words(purpose, next(calls))
            out = np.empty(len(words))
            normal(words, 0.0, 1.0, 0.0, 1.0, -np.inf, np.inf, out)
            return out

        computed = self.function(
            i=stretch.sources.astype(np.float64),
            j=stretch.targets().astype(np.float64),
            N_pre=stretch.n_pre,
            N_post=stretch.n_post,
            rand=rand,
            randn=randn,
        )
        out = np.empty(len(stretch.sources))
        out[:] = computed
        if not np.isfinite(out).all():
            raise refusal(
                f"the {purpose} of projection {stretch.name!r} is {out[~np.isfinite(out)][0]} for "
                "a synapse; expected finite numbers"
            )
        return out


@dataclass(frozen=True, eq=False)
class Ticks:
    """Delays in whole ticks, at least one, from an amount in ticks.

    Args:
        amount: how many, not yet whole.
        clipped: whether what is rounded to less than a tick becomes one; else it is refused.
    """

    amount: Amount
    clipped: bool = False

    @property
    def ends(self) -> tuple[float, float] | None:
        """The least and the greatest, rounded."""
        rough = self.amount.ends
        if rough is None:
            return None
        low, high = (float(max(1.0, math.floor(end + 0.5))) for end in rough)
        return low, high

    def draw(self, stretch: Stretch, purpose: str) -> Floats:
        """Return the delays, rounded to the nearest tick; halves go up."""
        ticks = self.amount.draw(stretch, purpose)
        ticks += 0.5
        np.floor(ticks, out=ticks)
        if self.clipped:
            np.maximum(ticks, 1.0, out=ticks)
            return ticks
        wrong = np.flatnonzero((ticks < 1.0) | (ticks > LONGEST))
        if len(wrong):
            raise refusal(
                f"projection {stretch.name!r} has a delay of {ticks[wrong[0]]:g} ticks for a "
                f"synapse; expected 1 to {LONGEST}: every event takes time"
            )
        return ticks


def uniforms(words: UInt32s) -> Floats:
    """Return the numbers in (0, 1) that words stand for."""
    numbers = words.astype(np.float64)
    numbers += 0.5
    numbers *= 2.0**-32
    return numbers
