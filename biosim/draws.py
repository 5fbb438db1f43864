"""Counter-based random numbers: a draw is a pure function of what it is for.

Why: a generator with a state makes results depend on who draws first. Here every number is
Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") of a key made
from (seed, purpose) and a counter made from (entity, counter), so any rank can make any part
of any array, in any order, and gets the same bits.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

UInt32s = npt.NDArray[np.uint32]

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = 0x9E3779B9
_WEYL_1 = 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_HALF_WORD = np.uint64(32)


def philox(counter: tuple[UInt32s, ...], key: tuple[int, int]) -> tuple[UInt32s, ...]:
    """Return four words for every counter of four words; ten rounds.

    Args:
        counter: four arrays (n,) of words, broadcast against each other.
        key: two words.
    """
    c0, c1, c2, c3 = (word.astype(np.uint64) for word in np.broadcast_arrays(*counter))
    k0, k1 = key
    for _ in range(10):
        product_0 = _MULTIPLIER_0 * c0
        product_1 = _MULTIPLIER_1 * c2
        c0 = (product_1 >> _HALF_WORD) ^ c1 ^ np.uint64(k0)
        c1 = product_1 & _LOW
        c2 = (product_0 >> _HALF_WORD) ^ c3 ^ np.uint64(k1)
        c3 = product_0 & _LOW
        k0 = (k0 + _WEYL_0) & 0xFFFFFFFF
        k1 = (k1 + _WEYL_1) & 0xFFFFFFFF
    return tuple(word.astype(np.uint32) for word in (c0, c1, c2, c3))


class Draws:
    """The random numbers of one purpose under one seed.

    Args:
        seed: the run's seed.
        purpose: what the numbers are for, such as "weights/hidden1"; two purposes never share
            a stream. The key is the first eight bytes of BLAKE2b of both.

    Attributes:
        key: two words of 32 bits, for those who draw by themselves.
    """

    def __init__(self, seed: int, purpose: str) -> None:
        digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
        self.key = (int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little"))

    def words(self, entities: npt.ArrayLike, n: int, counter: int = 0) -> UInt32s:
        """Return (n_entities, n) words: n for every entity at the given counter."""
        entity = np.asarray(entities, dtype=np.uint64).reshape(-1, 1)
        place = np.arange(-(-n // 4), dtype=np.uint64).reshape(1, -1)
        four = philox(
            (
                (entity & _LOW).astype(np.uint32),
                (entity >> _HALF_WORD).astype(np.uint32),
                place.astype(np.uint32),
                np.array(counter, dtype=np.uint32),
            ),
            self.key,
        )
        return np.stack(four, axis=-1).reshape(entity.shape[0], 4 * place.size)[:, :n]

    def uniform(self, entities: npt.ArrayLike, n: int, counter: int = 0) -> npt.NDArray[np.float64]:
        """Return (n_entities, n) numbers in the open interval (0, 1)."""
        return (self.words(entities, n, counter).astype(np.float64) + 0.5) * 2.0**-32

    def normal(self, entities: npt.ArrayLike, n: int, counter: int = 0) -> npt.NDArray[np.float64]:
        """Return (n_entities, n) standard normal numbers (Box and Muller 1958)."""
        pairs = -(-n // 2)
        u = self.uniform(entities, 2 * pairs, counter)
        radius = np.sqrt(-2.0 * np.log(u[:, 0::2]))
        angle = 2.0 * np.pi * u[:, 1::2]
        both = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
        return both.reshape(len(u), 2 * pairs)[:, :n]

    def order(self, n: int, counter: int = 0) -> npt.NDArray[np.int64]:
        """Return a permutation of 0..n-1: entities sorted by a word of their own."""
        return np.argsort(self.words(np.arange(n), 1, counter)[:, 0], kind="stable")
