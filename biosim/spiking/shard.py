"""A shard: all neurons and sources that one thread of one rank owns, and what ends on them.

The order within a tick, the same for every kind of neuron and synapse (it is Brian2's, cut before
its "synapses" slot so that every event takes at least one tick):

1. what is due is delivered: all `on_pre`, and Poisson input;
2. `on_post` of the neurons that spiked in the tick before;
3. input is applied, then the neurons that spiked in the tick before are reset;
4. state update, from the tick's start to its end;
5. threshold: spikes are emitted, and arrive after their delay.

So a spike that arrives in the tick in which its target is reset is delivered before the reset, and
a pre-synaptic spike that arrives in the tick of the target's `on_post` comes first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from biosim.kernels.noise import BLOCK
from biosim.spiking.blocks import cuts
from biosim.spiking.layout import Layout

Arrays = dict[str, Any]
"""Arguments of the compiled program, by name."""

KINDS = {"float": None, "integer": np.int32, "boolean": np.bool_}


class Shard:
    """State of the neurons that one thread owns.

    Args:
        layout: of the network.
        number: of this shard.
        shards: how many there are, on all ranks.
        precision: of the state.

    Attributes:
        slices: population -> [lo, hi) that are owned.
        offset: population -> place of the first one in its sheet.
        size: sheet -> neurons in it.
        slot: (sheet, receptor) -> first slot of the receptor's inputs.
        slots: how many slots there are.
        state: sheet -> name -> (n,) array.
        own: sheet -> name -> what else its kernels take: who spiked, who is awake, ...
    """

    def __init__(self, layout: Layout, number: int, shards: int, precision: str) -> None:
        self.layout, self.number = layout, number
        self.float = np.dtype(precision)
        self.sums = np.dtype(np.int32 if precision == "float32" else np.int64)
        network = layout.network
        ends = cuts([network.populations[i].size for i in layout.first], shards)
        owned = ends[number : number + 2].T.tolist()
        self.slices = {i: (lo, hi) for i, (lo, hi) in zip(layout.first, owned, strict=True)}
        self.offset: dict[int, int] = {}
        self.size: list[int] = []
        self.slot: dict[tuple[int, str], int] = {}
        self.slots = 0
        own: dict[int, int] = {}
        for s, sheet in enumerate(layout.sheets):
            n = 0
            for i in sheet.populations:
                self.offset[i] = n
                n += self.slices[i][1] - self.slices[i][0]
            self.size.append(n)
            if sheet.code.event:
                # Sums of its own, so that a slot tells whom it wakes.
                self.slot |= {(s, r): k * n for k, r in enumerate(sheet.code.receptors)}
                own[s] = n * len(sheet.code.receptors)
                continue
            for receptor in sheet.code.receptors:
                self.slot[s, receptor] = self.slots
                self.slots += n
        self.acc = np.zeros(max(1, self.slots), dtype=self.sums)
        self._own_acc = {s: np.zeros(k, self.sums) for s, k in own.items()}
        self.state = [self._made(s) for s in range(len(layout.sheets))]
        self.own = [self._listed(s) for s in range(len(layout.sheets))]

    @property
    def emitting(self) -> int:
        """How many neurons may spike in a tick."""
        return sum(hi - lo for lo, hi in self.slices.values())

    def within(self, population: int) -> tuple[int, slice]:
        """Return the sheet of a population, and the place of what is owned of it there."""
        lo, hi = self.slices[population]
        first = self.offset[population]
        return self.layout.sheet_of(population), slice(first, first + hi - lo)

    def variable(self, population: int, name: str) -> npt.NDArray[Any]:
        """Return a variable of the owned neurons of a population, (hi - lo,), not a copy."""
        sheet, place = self.within(population)
        array: npt.NDArray[Any] = self.state[sheet][name][place]
        return array

    def inputs(self, population: int, receptor: str) -> npt.NDArray[Any]:
        """Return the sums of a receptor of the owned neurons of a population, not a copy."""
        sheet, place = self.within(population)
        first = self.slot[sheet, receptor]
        return self.sums_of(sheet)[first + place.start : first + place.stop]

    def sums_of(self, sheet: int) -> npt.NDArray[Any]:
        """Return the array in which a sheet's input is summed."""
        return self._own_acc.get(sheet, self.acc)

    def wrong(self, sheet: int, neuron: int, tick: int) -> str:
        """Return what to say of a neuron of a sheet whose state is not finite."""
        variables = self.layout.sheets[sheet].code.code.variables
        values = {v.name: self.state[sheet][v.name][neuron] for v in variables}
        bad = [f"{name} is {value}" for name, value in values.items() if not np.isfinite(value)]
        what = ", ".join(bad) or "its variables are too large together"
        population, index = self.whose(sheet, neuron)
        return (
            f"population {self.layout.network.populations[population].name!r}, neuron {index}: "
            f"{what} at tick {tick} ({tick * self.layout.dt:g} s); what was recorded until then "
            "is kept: check the equations, or take a shorter dt"
        )

    def whose(self, sheet: int, neuron: int) -> tuple[int, int]:
        """Return the population of a neuron of a sheet, and its index there."""
        first = {self.within(i)[1].start: i for i in self.layout.sheets[sheet].populations}
        start = max(start for start in first if start <= neuron)
        return first[start], self.slices[first[start]][0] + neuron - start

    def _made(self, s: int) -> Arrays:
        sheet, n = self.layout.sheets[s], self.size[s]
        code = sheet.code
        made: Arrays = {
            v.name: np.zeros(n, dtype=KINDS[v.kind] or self.float) for v in code.code.variables
        }
        made |= {name: np.zeros(n, dtype=self.float) for name, _ in code.traces}
        if code.refracts:
            made["_left"] = np.zeros(n, dtype=np.int32)
        if code.waits:
            made["_ready"] = np.ones(n, dtype=np.uint8)
        for receptor in code.receptors:
            first = self.slot[s, receptor]
            made[f"_in_{receptor}"] = self.sums_of(s)[first : first + n]
        for name in code.places:
            made[name] = np.concatenate(
                [self._place(i, name) for i in sheet.populations] or [np.zeros(0)]
            ).astype(self.float)
        return made | {name: np.zeros(n, dtype=self.float) for name in code.draws}

    def _listed(self, s: int) -> Arrays:
        """Return what a sheet has beside the state: apart, because variables have any name."""
        sheet, n = self.layout.sheets[s], self.size[s]
        made: Arrays = {}
        # The bytes of the flags are read eight at a time.
        made["flags8"] = np.zeros(-(-n // 8), dtype=np.uint64)
        made["flags"] = made["flags8"].view(np.uint8)
        made["spiked"] = np.zeros(n, dtype=np.int64)
        made["found"] = np.zeros(1, dtype=np.int64)
        made["n"] = n
        if sheet.code.event:
            made["acc"] = self.sums_of(s)
            # Everyone is awake in the first tick, and shows whether it may sleep.
            made |= {name: np.arange(n) for name in ("touched", "staying")}
            made |= {"mark": np.zeros(n, np.int64), "moved": np.zeros(n, np.int64)}
            made["awake"] = np.full(1, n, dtype=np.int64)
        made["gid"] = np.concatenate(
            [
                np.arange(*self.slices[i], dtype=np.uint32) + np.uint32(self.layout.first[i])
                for i in sheet.populations
            ]
        ).astype(np.uint32)
        return made

    def _place(self, population: int, name: str) -> npt.NDArray[np.float64]:
        lo, hi = self.slices[population]
        if name == "i":
            return np.arange(lo, hi, dtype=np.float64)
        return np.full(hi - lo, float(self.layout.network.populations[population].size))


def padded(n: int) -> int:
    """Return n rounded up to whole blocks."""
    return -(-n // BLOCK) * BLOCK
