"""Rules of wiring: which sources the targets of a sparse projection have.

A rule gives the sources of any stretch of targets, target by target, as a pure function of
(seed, projection, target): the owner of a target makes what ends there, and nobody else does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Protocol

import numpy as np
import numpy.typing as npt

from biosim.draws import Draws
from biosim.errors import BiosimError

# numba is imported where something is drawn: who describes a network need not wait for it.

Int64s = npt.NDArray[np.int64]
UInt32s = npt.NDArray[np.uint32]
Lists = tuple[Int64s, UInt32s]
"""Sources of targets lo .. hi: indptr int64 (hi - lo + 1,), sources uint32 (n_synapses,)."""


class Wiring(Protocol):
    """What every rule of wiring offers."""

    def check(self, n_pre: int, n_post: int, name: str) -> None:
        """Raise NetworkError if populations of these sizes cannot be wired so.

        Args:
            n_pre: neurons of the source population.
            n_post: neurons of the target population.
            name: of the projection, for the message.
        """

    def synapses(self, n_pre: int, n_post: int) -> float:
        """Return the expected number of synapses of the whole projection."""

    def numbers(self, lo: int, hi: int, n_pre: int, n_post: int, seed: int, name: str) -> Int64s:
        """Return how many synapses each of the targets [lo, hi) has, int64 (hi - lo,)."""

    def sources(self, lo: int, hi: int, n_pre: int, n_post: int, seed: int, name: str) -> Lists:
        """Return indptr, int64 (hi - lo + 1,), and sources, uint32, of the targets [lo, hi)."""


def key(seed: int, purpose: str) -> tuple[int, int]:
    """Return the two words under which everything of a purpose is drawn."""
    return Draws(seed, purpose).key


def refusal(message: str) -> BiosimError:
    """Return a NetworkError."""
    from biosim.network import NetworkError  # networks are described with wirings

    return NetworkError(message)


def check_sizes(n_pre: int, n_post: int, name: str) -> None:
    """Raise NetworkError if one end has no neurons or more than uint32 can count."""
    for n, end in ((n_pre, "source"), (n_post, "target")):
        if not 1 <= n < 2**32:
            raise refusal(
                f"projection {name!r} has {n} neurons at its {end}; expected 1 to {2**32 - 1}"
            )


def words_of(seed: int, purpose: str, lo: int, indptr: Int64s, counter: int = 0) -> UInt32s:
    """Return a word for every synapse of the targets from `lo`, uint32 (n_synapses,).

    Word n of a target goes to the n-th synapse in its list.
    """
    from biosim.wiring.drawing import draw_words

    words = np.empty(indptr[-1], np.uint32)
    planes = np.empty((4, 64), np.uint32)
    draw_words(*Draws(seed, purpose).key, lo, indptr, counter, planes, words)
    return words


def ends_of(numbers: Int64s) -> Int64s:
    """Return where each target's list begins and ends, (n_targets + 1,)."""
    indptr = np.zeros(len(numbers) + 1, np.int64)
    np.cumsum(numbers, out=indptr[1:])
    return indptr


@dataclass(frozen=True)
class AllToAll:
    """Every source to every target.

    Args:
        selves: whether neuron i is joined to neuron i.
    """

    selves: bool = True

    def check(self, n_pre: int, n_post: int, name: str) -> None:
        """Raise NetworkError if an end has no neurons."""
        check_sizes(n_pre, n_post, name)

    def synapses(self, n_pre: int, n_post: int) -> float:
        """Return how many synapses the projection has."""
        return float(n_pre * n_post - (0 if self.selves else min(n_pre, n_post)))

    def numbers(self, lo: int, hi: int, n_pre: int, n_post: int, seed: int, name: str) -> Int64s:
        """Return how many synapses each of the targets [lo, hi) has."""
        apart = 0 if self.selves else (np.arange(lo, hi) < n_pre).astype(np.int64)
        return np.full(hi - lo, n_pre, np.int64) - apart

    def sources(self, lo: int, hi: int, n_pre: int, n_post: int, seed: int, name: str) -> Lists:
        """Return the sources of the targets [lo, hi), in order."""
        indptr = ends_of(self.numbers(lo, hi, n_pre, n_post, seed, name))
        grid = np.broadcast_to(np.arange(n_pre, dtype=np.uint32), (hi - lo, n_pre))
        if self.selves:
            return indptr, grid.ravel()
        return indptr, grid[grid != np.arange(lo, hi)[:, None]]


@dataclass(frozen=True)
class OneToOne:
    """Source i to target i, in populations of one size."""

    def check(self, n_pre: int, n_post: int, name: str) -> None:
        """Raise NetworkError if the sizes differ."""
        check_sizes(n_pre, n_post, name)
        if n_pre != n_post:
            raise refusal(
                f"projection {name!r} joins {n_pre} sources to {n_post} targets one to one; "
                "expected as many of each"
            )

    def synapses(self, n_pre: int, n_post: int) -> float:
        """Return how many synapses the projection has."""
        return float(n_post)

    def numbers(self, lo: int, hi: int, n_pre: int, n_post: int, seed: int, name: str) -> Int64s:
        """Return how many synapses each of the targets [lo, hi) has."""
        return np.ones(hi - lo, np.int64)

    def sources(self, lo: int, hi: int, n_pre: int, n_post: int, seed: int, name: str) -> Lists:
        """Return the sources of the targets [lo, hi)."""
        return np.arange(hi - lo + 1), np.arange(lo, hi, dtype=np.uint32)


@dataclass(frozen=True)
class FixedProbability:
    """Every pair with the same chance, by itself.

    Args:
        p: the chance, 0 to 1.
        selves: whether neuron i may be joined to neuron i.
    """

    p: float
    selves: bool = True

    def check(self, n_pre: int, n_post: int, name: str) -> None:
        """Raise NetworkError if the chance is none."""
        check_sizes(n_pre, n_post, name)
        if not (isinstance(self.p, Real) and 0.0 <= self.p <= 1.0):
            raise refusal(f"projection {name!r} has a probability of {self.p!r}; expected 0 to 1")

    def synapses(self, n_pre: int, n_post: int) -> float:
        """Return the expected number of synapses."""
        return self.p * AllToAll(self.selves).synapses(n_pre, n_post)

    def numbers(self, lo: int, hi: int, n_pre: int, n_post: int, seed: int, name: str) -> Int64s:
        """Return how many synapses each of the targets [lo, hi) has."""
        return np.diff(self._skip(lo, hi, n_pre, seed, name, np.empty(0, np.uint32)))

    def sources(self, lo: int, hi: int, n_pre: int, n_post: int, seed: int, name: str) -> Lists:
        """Return the sources of the targets [lo, hi), in order."""
        expected = self.p * n_pre * (hi - lo)
        out = np.empty(int(expected + 6.0 * math.sqrt(expected)) + 16, np.uint32)
        indptr = self._skip(lo, hi, n_pre, seed, name, out)
        if indptr[-1] > len(out):
            out = np.empty(indptr[-1], np.uint32)
            self._skip(lo, hi, n_pre, seed, name, out)
        return indptr, out[: indptr[-1]]

    def _skip(self, lo: int, hi: int, n_pre: int, seed: int, name: str, out: UInt32s) -> Int64s:
        from biosim.wiring.drawing import skip_through

        indptr = np.zeros(hi - lo + 1, np.int64)
        if self.p > 0.0:
            per_log = 1.0 / math.log1p(-self.p) if self.p < 1.0 else -0.0
            expected = self.p * n_pre
            batch = min(64, int((expected + 2.0 * math.sqrt(expected)) / 4.0) + 1)
            planes, skips = np.empty((4, batch), np.uint32), np.empty(4 * batch, np.int64)
            k0, k1 = Draws(seed, f"wiring/{name}").key
            skip_through(k0, k1, lo, n_pre, self.selves, per_log, planes, skips, indptr, out)
        return indptr


@dataclass(frozen=True)
class FixedInDegree:
    """The same number of synapses to every target, their sources drawn evenly.

    Args:
        n: synapses a target.
        selves: whether neuron i may be joined to neuron i.
        multiple: whether a source may be drawn again for the same target.
    """

    n: int
    selves: bool = True
    multiple: bool = True

    def check(self, n_pre: int, n_post: int, name: str) -> None:
        """Raise NetworkError if there are not as many sources."""
        check_sizes(n_pre, n_post, name)
        _check_count(self.n, "an in-degree", name)
        there = n_pre if self.selves else n_pre - 1
        if (self.n > there and not self.multiple) or (self.n and there == 0):
            raise refusal(
                f"projection {name!r} has an in-degree of {self.n} out of {there} sources"
                f"{'' if self.selves else ' other than the target itself'}; expected at most "
                "as many, or allow multiple synapses"
            )

    def synapses(self, n_pre: int, n_post: int) -> float:
        """Return how many synapses the projection has."""
        return float(self.n * n_post)

    def numbers(self, lo: int, hi: int, n_pre: int, n_post: int, seed: int, name: str) -> Int64s:
        """Return how many synapses each of the targets [lo, hi) has."""
        return np.full(hi - lo, self.n, np.int64)

    def sources(self, lo: int, hi: int, n_pre: int, n_post: int, seed: int, name: str) -> Lists:
        """Return the sources of the targets [lo, hi)."""
        from biosim.wiring.drawing import choose, choose_distinct

        indptr = np.arange(hi - lo + 1) * self.n
        drawn = words_of(seed, f"wiring/{name}", lo, indptr)
        if self.multiple:
            choose(drawn, indptr, lo, n_pre, self.selves)
        else:
            taken = np.zeros(n_pre, np.bool_)
            choose_distinct(drawn, indptr, lo, n_pre, self.selves, taken)
        return indptr, drawn


@dataclass(frozen=True)
class FixedTotal:
    """A given number of synapses, each with a source and a target of its own, drawn evenly.

    A pair may be joined more than once, and a neuron to itself. How many synapses a target has
    is multinomial. The total is shared out by halves, so that it is exact and a target's share
    is found without the others' (`biosim.wiring.drawing.share_out`).

    Args:
        n: synapses in all.
    """

    n: int

    def check(self, n_pre: int, n_post: int, name: str) -> None:
        """Raise NetworkError if the number is none."""
        check_sizes(n_pre, n_post, name)
        _check_count(self.n, "a total", name)

    def synapses(self, n_pre: int, n_post: int) -> float:
        """Return how many synapses the projection has."""
        return float(self.n)

    def numbers(self, lo: int, hi: int, n_pre: int, n_post: int, seed: int, name: str) -> Int64s:
        """Return how many synapses each of the targets [lo, hi) has."""
        from biosim.wiring.drawing import share_out

        numbers = np.zeros(hi - lo, np.int64)
        k0, k1 = Draws(seed, f"wiring/{name}/numbers").key
        share_out(k0, k1, self.n, n_post, lo, np.empty((3, 64), np.int64), numbers)
        return numbers

    def sources(self, lo: int, hi: int, n_pre: int, n_post: int, seed: int, name: str) -> Lists:
        """Return the sources of the targets [lo, hi)."""
        from biosim.wiring.drawing import choose

        indptr = ends_of(self.numbers(lo, hi, n_pre, n_post, seed, name))
        drawn = words_of(seed, f"wiring/{name}", lo, indptr)
        choose(drawn, indptr, lo, n_pre, True)
        return indptr, drawn


def _check_count(n: int, what: str, name: str) -> None:
    if not isinstance(n, (int, np.integer)) or n < 0:
        raise refusal(
            f"projection {name!r} has {what} of {n} synapses; expected a whole number, at least 0"
        )
