"""The state of synapses that learn as arrays in the order of (target, source), and of arrivals.

Of the synapses from one neuron to another, those with shorter delays come first. Ranks own
stretches of targets, and so of synapses; a source has synapses on many ranks, all of which know
the same of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biosim.checkpoints.arrays import Read, Stretch, before
from biosim.contracts import Ranks
from biosim.errors import OutputError
from biosim.kernels.decorators import cached
from biosim.spiking.synapses import PlasticSynapses

Array = npt.NDArray[Any]
Int64s = npt.NDArray[np.int64]

CELLS = 1 << 20
"""Of a table of arrivals that ranks add up at a time."""


def stretches(ranks: Ranks, each: list[PlasticSynapses], now: int) -> Iterator[Stretch]:
    """Yield what this rank has of a projection.

    Args:
        ranks: how this rank talks to the others, all of which call it.
        each: the projection's synapses, shard by shard.
        now: the tick before which everything has happened.
    """
    for synapses in each:
        synapses.catch_up(now)
    yield from _synapses(ranks, each)
    yield from _arrivals(ranks, each)
    path = f"shared/{each[0].name}"
    for v in each[0].plastic.code.shared_variables:
        value = each[0].arguments[f"s_{v.name}"]
        yield Stretch(f"{path}/{v.name}", value[: int(ranks.rank == 0)], 0, 1)


def _synapses(ranks: Ranks, each: list[PlasticSynapses]) -> Iterator[Stretch]:
    first, rows = before(ranks, sum(len(synapses.rows.slot) for synapses in each))
    for name in each[0].stored():
        at, path = first, f"synapses/{each[0].name}/{name}"
        for synapses in each:
            values = synapses.arguments[name]
            ordered, bits = np.empty_like(values), f"u{values.dtype.itemsize}"
            total = _gather(
                values.view(bits), synapses.rows.slot, synapses.by_target(), at, ordered.view(bits)
            )
            yield Stretch(path, ordered, at, rows, int(total))
            at += len(values)


def restore(ranks: Ranks, each: list[PlasticSynapses], now: int, read: Read) -> None:
    """Put the stored state of a projection into synapses that were built anew.

    Raises:
        OutputError: what is stored is of another network.
    """
    sizes = [len(synapses.rows.slot) for synapses in each]
    first, rows = before(ranks, sum(sizes))
    name = each[0].name
    for variable in each[0].stored():
        at, beyond = first, read(f"synapses/{name}/{variable}", rows, 1)
        for synapses, size in zip(each, sizes, strict=True):
            found = read(f"synapses/{name}/{variable}", at, size)
            if len(found) != size or len(beyond):
                raise OutputError(
                    f"a checkpoint has {'more' if len(beyond) else 'less'} than the {rows:,} "
                    f"synapses of projection {name!r}; take one of the same network"
                )
            _scatter(found, synapses.rows.slot, synapses.by_target(), synapses.arguments[variable])
            at += size
    _restore_arrivals(ranks, each, read)
    for v in each[0].plastic.code.shared_variables:
        value = read(f"shared/{name}/{v.name}", 0, 1)
        for synapses in each:
            synapses.arguments[f"s_{v.name}"][...] = value
    for synapses in each:
        synapses.begin_at(now)


@cached
def _gather(values: Any, slot: Any, at: Any, first: Any, out: Any) -> Any:
    """Put values, by row, in the order of (target, row); return their check sum.

    Args:
        values: (n,) bits of each.
        slot: (n,) target of each.
        at: by slot, where the first value of a target goes; moved on.
        first: position of the first one in the whole array.
        out: (n,) written.
    """
    total = np.uint64(0)
    for m in range(values.shape[0]):
        j = slot[m]
        place = at[j]
        out[place] = values[m]
        total += np.uint64(values[m]) * np.uint64(2 * (first + place) + 1)
        at[j] = place + 1
    return total


@cached
def _scatter(values: Any, slot: Any, at: Any, out: Any) -> None:
    """Do the reverse of `_gather`."""
    for m in range(out.shape[0]):
        j = slot[m]
        out[m] = values[at[j]]
        at[j] += 1


def _arrivals(ranks: Ranks, each: list[PlasticSynapses]) -> Iterator[Stretch]:
    """Yield the table of arrivals, in blocks of sources, each on one rank.

    A source is known to every rank where it has synapses; all that know it have the same.
    """
    delays = _delays(ranks, each)
    sources = each[0].sources
    names = each[0].of_runs()
    path = f"arrivals/{each[0].name}"
    block = max(1, CELLS // max(1, len(delays)))
    if ranks.rank == 0:
        yield Stretch(f"{path}/delay", delays, 0, len(delays))
    else:
        yield Stretch(f"{path}/delay", delays[:0], 0, len(delays))
    for b, lo in enumerate(range(0, sources, block)):
        hi = min(lo + block, sources)
        table = np.zeros((2 * len(names) + 1, hi - lo, len(delays)), dtype=np.int64)
        for synapses in each:
            who, when, runs = synapses.runs(lo, hi)
            cells = who - lo, np.searchsorted(delays, when)
            table[(0, *cells)] = 1
            for k, name in enumerate(names):
                bits = _bits(synapses.arguments[name][runs])
                table[(2 * k + 1, *cells)] = bits & 0xFFFFFFFF
                table[(2 * k + 2, *cells)] = bits >> 32
        if ranks.size > 1:
            table = ranks.sum(torch.from_numpy(table).flatten()).numpy().reshape(table.shape)
        know = np.maximum(table[0], 1)
        mine = b % ranks.size == ranks.rank
        for k, name in enumerate(names):
            low, high = table[2 * k + 1] // know, table[2 * k + 2] // know
            values = _from_bits((high << 32) | low, each[0].arguments[name].dtype)
            part = values if mine else values[:0]
            yield Stretch(f"{path}/{name}", part, lo if mine else 0, sources)


def _restore_arrivals(ranks: Ranks, each: list[PlasticSynapses], read: Read) -> None:
    path = f"arrivals/{each[0].name}"
    delays = read(f"{path}/delay", 0, None)
    block = max(1, CELLS // max(1, len(delays)))
    for lo in range(0, each[0].sources, block):
        hi = min(lo + block, each[0].sources)
        for name in each[0].of_runs():
            table = read(f"{path}/{name}", lo, hi - lo)
            for synapses in each:
                who, when, runs = synapses.runs(lo, hi)
                synapses.arguments[name][runs] = table[who - lo, np.searchsorted(delays, when)]


def _delays(ranks: Ranks, each: list[PlasticSynapses]) -> Int64s:
    """Return all delays that any synapse has, in ticks, increasing."""
    there = np.zeros(1 << 16, dtype=np.int64)
    for synapses in each:
        there[np.unique(synapses.rows.delay)] = 1
    if ranks.size > 1:
        there = ranks.sum(torch.from_numpy(there)).numpy()
    return np.flatnonzero(there)


def _bits(values: Array) -> Int64s:
    """Return the bits of numbers as whole numbers, not negative where they have 32."""
    unsigned = values.view(f"u{values.dtype.itemsize}")
    return unsigned.astype(np.uint64).view(np.int64)


def _from_bits(bits: Int64s, dtype: np.dtype[Any]) -> Array:
    return bits.view(np.uint64).astype(f"u{dtype.itemsize}").view(dtype)
