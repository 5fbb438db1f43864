"""By which number a rank knows a neuron: its own ones, and those whose spikes it wants.

Why: in a large network a rank has synapses of few of all neurons, and must not hold, or look
through, tables of all of them. The numbers are in the order of those in the whole network
(`Layout.first`), so that what was sorted stays so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biosim.spiking.blocks import cuts
from biosim.spiking.layout import Layout

Int64s = npt.NDArray[np.int64]


class Numbers:
    """The numbers of a rank.

    Args:
        layout: of the network.
        rank: whose numbers they are.
        ranks: how many there are.
        wanted: (emitting,) whether a neuron has synapses on this rank.

    Attributes:
        kept: (n,) uint32, increasing: of each number, that in the whole network.
        begins: (ranks, n_populations) number of the first neuron that is kept of what each rank
            owns of each population, populations in the order of `Layout.first`.
        counts: (ranks, n_populations) how many are kept.
    """

    def __init__(
        self, layout: Layout, rank: int, ranks: int, wanted: npt.NDArray[np.bool_]
    ) -> None:
        self._layout = layout
        firsts, sizes = owned_by_all(layout, ranks)
        kept = wanted.copy()
        for first, size in zip(firsts[rank], sizes[rank], strict=True):
            kept[first : first + size] = True
        self.kept = np.flatnonzero(kept).astype(np.uint32)
        self.begins = self.of(firsts)
        self.counts = self.of(firsts + sizes) - self.begins
        # Where this rank's own neurons begin, and what to add for the whole network's numbers.
        own = sizes[rank] > 0
        self._starts = self.begins[rank][own]
        self._shift = firsts[rank][own] - self._starts

    def of(self, numbers: npt.NDArray[Any]) -> Int64s:
        """Return a rank's numbers of neurons with these in the whole network, or of the next."""
        return np.searchsorted(self.kept, numbers)

    def whole(self, own: Int64s) -> Int64s:
        """Return the whole network's numbers of neurons that this rank owns: (n,) each."""
        if not len(self._starts):
            return own
        found: Int64s = own + self._shift[np.searchsorted(self._starts, own, side="right") - 1]
        return found

    def rows(self, row: Int64s) -> Int64s:
        """Return a table of rows (emitting + 1,) as one of the numbers here (n + 1,)."""
        return np.append(row[self.kept], row[-1:])


def owned_by_all(layout: Layout, ranks: int) -> tuple[Int64s, Int64s]:
    """Return what each rank owns of each population, in the order of numbers.

    That is the number of the first neuron, and how many there are: (ranks, n_populations) each.
    """
    sizes = np.array([layout.network.populations[i].size for i in layout.first], dtype=np.int64)
    firsts = np.array(list(layout.first.values()), dtype=np.int64)
    ends = cuts(sizes, ranks)
    return firsts + ends[:-1], ends[1:] - ends[:-1]
