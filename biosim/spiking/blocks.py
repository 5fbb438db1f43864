"""Which neurons a rank, or a thread of it, owns: whole blocks, of every population a run.

Blocks are as many neurons as random numbers are drawn for at a time, so that nobody draws for
another, and what is stored is cut where owners are. In a row in the order of how far along its
population each block lies, they are cut where the shares of neurons are nearest to equal: every
shard has about as many neurons of every population, and those of small populations do not all fall
to the same one. Since a cut depends on its share alone, what a rank owns is what its threads own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from biosim.kernels.noise import BLOCK

Int64s = npt.NDArray[np.int64]


def cuts(sizes: npt.ArrayLike, shards: int) -> Int64s:
    """Return where populations are cut: (shards + 1, n_populations); shard s owns [s, s + 1).

    Args:
        sizes: (n_populations,) neurons of each.
        shards: owners.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    counts = -(-sizes // BLOCK)
    population = np.repeat(np.arange(len(sizes)), counts)
    block = np.arange(len(population)) - np.repeat(np.cumsum(counts) - counts, counts)
    order = np.lexsort((population, (block + 0.5) / counts[population]))
    neurons = np.minimum(sizes[population] - block * BLOCK, BLOCK)[order]
    before = np.concatenate([[0], np.cumsum(neurons)])
    # Times the number of shards, so that all are whole numbers.
    middles = (before[1:] + before[:-1]) * shards
    taken = np.searchsorted(middles, 2 * np.arange(shards + 1) * before[-1])
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    of_each = np.split(places, np.cumsum(counts)[:-1])
    found = [np.searchsorted(mine, taken) for mine in of_each]
    ends: Int64s = np.minimum(np.stack(found, axis=1) * BLOCK, sizes)
    return ends
