"""Random numbers of neurons as kernels draw them, one neuron's counter at a time.

Word k of a block of 256 neurons is word k // 64 of the Philox counter
(64 x block + k mod 64, half, tick), under the key of (seed, purpose). A stream has two halves,
since a normal number needs two words.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.stats import poisson

from biosim.draws import Draws, philox

BLOCK = 256


class Chance:
    """The random numbers of the neurons of one population, for one purpose.

    Args:
        seed: the run's seed.
        purpose: such as "noise/e".
        size: number of neurons.
    """

    def __init__(self, seed: int, purpose: str, size: int) -> None:
        self._key = Draws(seed, purpose).key
        self._size = size

    def uniform(self, tick: int, stream: int = 0) -> npt.NDArray[np.float64]:
        """Return (size,) numbers in the open interval (0, 1)."""
        return self._uniform(tick, 2 * stream)

    def normal(self, tick: int, stream: int = 0) -> npt.NDArray[np.float64]:
        """Return (size,) standard normal numbers (Box and Muller 1958)."""
        radius = np.sqrt(-2.0 * np.log(self._uniform(tick, 2 * stream)))
        turn: npt.NDArray[np.float64] = np.cos(2.0 * np.pi * self._uniform(tick, 2 * stream + 1))
        return radius * turn

    def poisson(self, tick: int, means: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Return (size,) counts of the means (size,), by inversion of one uniform number each."""
        u = self._uniform(tick, 0)
        counts = np.zeros(self._size, dtype=np.int64)
        for mean in np.unique(means):
            most = int(mean + 10.0 * np.sqrt(mean) + 30.0)
            chosen = means == mean
            counts[chosen] = np.searchsorted(_up_to(float(mean), most), u[chosen], side="right")
        return counts

    def _uniform(self, tick: int, half: int) -> npt.NDArray[np.float64]:
        neurons = np.arange(self._size)
        block, place = neurons // BLOCK, neurons % BLOCK
        counter = (block * 64 + place % 64, half, tick & 0xFFFFFFFF, tick >> 32)
        words = philox(tuple(np.asarray(c, dtype=np.uint32) for c in counter), self._key)
        return (np.choose(place // 64, words).astype(np.float64) + 0.5) * 2.0**-32


@cache
def _up_to(mean: float, most: int) -> npt.NDArray[np.float64]:
    """Return the chance of a count of at most 0, 1, ..., most - 1."""
    return np.asarray(poisson.cdf(np.arange(most), mean))
