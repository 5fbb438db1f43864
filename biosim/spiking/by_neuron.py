"""The state of all that spikes as arrays in the order of neurons and synapses.

Why not as it lies in memory: where a rank's neurons begin, in which order its synapses lie and by
which numbers it knows neurons all depend on how many ranks there are. What is stored here does
not, so that a run goes on on any number of them:

    neurons/<population>/<variable>     [neuron]: variables, traces, refractoriness, last draws
    spikes/<population>/step, neuron    [spike]: those that may still arrive, by (neuron, step)
    synapses/<projection>/<variable>    [synapse]: of synapses that learn, by (target, source)
    arrivals/<projection>/last, <trace> [source, delay]: the last arrival, and what it left
    shared/<projection>/<variable>      [1]
    sources/<population>/thresholds     [neuron], and told_step, told_neuron [spike]

Everything else follows: which synapses of a spike on its way have been reached is told by its age
and the delays, and plastic synapses have caught up with all that was (`kernels.plastic`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from biosim.checkpoints.arrays import Read, Stretch, before
from biosim.contracts import Ranks
from biosim.kernels.decorators import cached
from biosim.spiking import by_synapse
from biosim.spiking.binding import Binding
from biosim.spiking.shard import Shard

if TYPE_CHECKING:
    from biosim.spiking.machine import Machine

Array = npt.NDArray[Any]
Int64s = npt.NDArray[np.int64]


def stretches(machine: Machine) -> Iterator[Stretch]:
    """Yield what this rank has of every array; all ranks name the same ones, in the same order."""
    for i in machine.layout.first:
        yield from _neurons(machine, i)
    yield from _spikes(machine)
    yield from _sources(machine)
    for n in range(len(machine.layout.plastic)):
        each = [binding.plastic[n] for binding in machine.bindings]
        yield from by_synapse.stretches(machine.ranks, each, machine.now)


def restore(machine: Machine, now: int, read: Read) -> None:
    """Put the stored state into a machine that was built anew.

    Args:
        machine: of the same network, on any number of ranks and threads.
        now: the tick before which the state was stored.
        read: from the checkpoint.

    Raises:
        OutputError: what is stored is of another network.
    """
    for i, (lo, hi) in _owned(machine).items():
        _restore_neurons(machine, i, lo, hi, now, read)
    _restore_spikes(machine, now, read)
    _restore_sources(machine, now, read)
    for n in range(len(machine.layout.plastic)):
        each = [binding.plastic[n] for binding in machine.bindings]
        by_synapse.restore(machine.ranks, each, now, read)
    machine.begin_at(now)


def _owned(machine: Machine) -> dict[int, tuple[int, int]]:
    """Return population -> the neurons [lo, hi) of this rank."""
    first, last = machine.shards[0], machine.shards[-1]
    return {i: (first.slices[i][0], last.slices[i][1]) for i in machine.layout.first}


def _name(machine: Machine, population: int) -> str:
    return machine.layout.network.populations[population].name


def _size(machine: Machine, population: int) -> int:
    return machine.layout.network.populations[population].size


def _here(machine: Machine, numbers: Int64s) -> Int64s:
    """Return a rank's numbers of neurons that it knows, (n,), by those in the whole network."""
    return numbers if machine.numbers is None else machine.numbers.of(numbers)


def _knows(machine: Machine, numbers: Int64s) -> npt.NDArray[np.bool_]:
    """Return which of the network's neurons, by number, have synapses here, or are here."""
    if machine.numbers is None:
        return np.zeros(len(numbers), dtype=np.bool_)  # nobody else sends
    return np.isin(numbers, machine.numbers.kept)


def _variables(shard: Shard, population: int) -> list[str]:
    """Return what of a population's state the future depends on."""
    sheet = shard.layout.sheet_of(population)
    code = shard.layout.sheets[sheet].code
    # Sums of input are empty between two ticks: what was due has been applied.
    left_out = {*(f"_in_{receptor}" for receptor in code.receptors), *code.places}
    return [name for name in shard.state[sheet] if name not in left_out]


def _awake(shard: Shard, sheet: int) -> Array:
    """Return who of an event-driven sheet is awake in the next tick, (n,) uint8."""
    own = shard.own[sheet]
    awake = np.zeros(shard.size[sheet], dtype=np.uint8)
    awake[own["touched"][: own["awake"][0]]] = 1
    return awake


def _neurons(machine: Machine, i: int) -> Iterator[Stretch]:
    if i not in machine.layout.neurons:
        return
    shards, path = machine.shards, f"neurons/{_name(machine, i)}"
    first, rows = _owned(machine)[i][0], _size(machine, i)
    for name in _variables(shards[0], i):
        values = np.concatenate([shard.variable(i, name) for shard in shards])
        yield Stretch(f"{path}/{name}", values, first, rows)
    sheet = machine.layout.sheet_of(i)
    if machine.layout.sheets[sheet].code.event:
        places = [shard.within(i)[1] for shard in shards]
        both = list(zip(shards, places, strict=True))
        awake = np.concatenate([_awake(shard, sheet)[place] for shard, place in both])
        yield Stretch(f"{path}/_awake", awake, first, rows)
        moved = np.concatenate([shard.own[sheet]["moved"][place] for shard, place in both])
        yield Stretch(f"{path}/_moved", moved, first, rows)


def _restore_neurons(machine: Machine, i: int, lo: int, hi: int, now: int, read: Read) -> None:
    if i not in machine.layout.neurons:
        return
    path, sheet = f"neurons/{_name(machine, i)}", machine.layout.sheet_of(i)
    names = _variables(machine.shards[0], i)
    event = machine.layout.sheets[sheet].code.event
    for name in [*names, "_awake", "_moved"] if event else names:
        values = read(f"{path}/{name}", lo, hi - lo)
        for shard in machine.shards:
            begin, end = shard.slices[i]
            mine = values[begin - lo : end - lo]
            if name == "_awake":
                _restore_awake(shard, i, mine, now)
            elif name == "_moved":
                shard.own[sheet]["moved"][shard.within(i)[1]] = mine
            else:
                shard.variable(i, name)[...] = mine


def _restore_awake(shard: Shard, i: int, awake: Array, now: int) -> None:
    """Note who is awake in the next tick, population after population of a sheet."""
    sheet, place = shard.within(i)
    own = shard.own[sheet]
    # Whom the machine takes for awake at its beginning: those of the populations to come.
    waiting = _awake(shard, sheet)
    waiting[place] = awake
    found = np.flatnonzero(waiting)
    own["touched"][: len(found)] = found
    own["awake"][0] = len(found)
    own["mark"][...] = -1
    own["mark"][found] = now


def _spikes(machine: Machine) -> Iterator[Stretch]:
    layout = machine.layout
    ticks, numbers = machine.recent(machine.longest)
    for i, first in layout.first.items():
        mine = (numbers >= first) & (numbers < first + _size(machine, i))
        path = f"spikes/{_name(machine, i)}"
        yield from _listed(machine.ranks, path, "", ticks[mine], numbers[mine] - first)


def _listed(
    ranks: Ranks, path: str, prefix: str, ticks: Int64s, neurons: Int64s
) -> Iterator[Stretch]:
    """Yield a rank's spikes, by (neuron, step): ranks own stretches of neurons."""
    order = np.lexsort((ticks, neurons))
    first, rows = before(ranks, len(ticks))
    yield Stretch(f"{path}/{prefix}step", ticks[order].astype(np.int64), first, rows)
    yield Stretch(f"{path}/{prefix}neuron", neurons[order].astype(np.int64), first, rows)


def _restore_spikes(machine: Machine, now: int, read: Read) -> None:
    layout, rings = machine.layout, machine.rings
    rings.counts[...] = 0
    owned = _owned(machine)
    for i, first in layout.first.items():
        path = f"spikes/{_name(machine, i)}"
        ticks, neurons = (read(f"{path}/{name}", 0, None) for name in ("step", "neuron"))
        for t, shard in enumerate(machine.shards):
            lo, hi = shard.slices[i]
            mine = (neurons >= lo) & (neurons < hi)
            rings.put(t, ticks[mine], _here(machine, first + neurons[mine]))
            if i in layout.neurons:
                _restore_spiked(shard, i, neurons[mine & (ticks == now - 1)])
        lo, hi = owned[i]
        others = (neurons < lo) | (neurons >= hi)
        ticks, numbers = ticks[others], first + neurons[others]
        wanted = _knows(machine, numbers)
        rings.put(len(machine.shards), ticks[wanted], _here(machine, numbers[wanted]))
    for binding in machine.bindings:
        _restore_cursors(machine, binding, now)


def _restore_spiked(shard: Shard, i: int, neurons: Int64s) -> None:
    """Note who of a population spiked in the last tick, and is reset in the next."""
    sheet, place = shard.within(i)
    own = shard.own[sheet]
    n = int(own["found"][0])
    own["spiked"][n : n + len(neurons)] = neurons - shard.slices[i][0] + place.start
    own["found"][0] = n + len(neurons)


def _restore_cursors(machine: Machine, binding: Binding, now: int) -> None:
    arguments, rings = binding.arguments, machine.rings
    for name, cursor in arguments.items():
        prefix, _, rest = name.partition("_")
        if rest == "cursor":
            row, delays = arguments[f"{prefix}_row"], arguments[f"{prefix}_delays"]
            since = max(0, now - machine.longest)
            _place_cursors(rings.ids, rings.counts, cursor, since, now, row, delays)


@cached
def _place_cursors(
    ids: Any, counts: Any, cursor: Any, since: Any, now: Any, row: Any, delays: Any
) -> None:
    """Let every recent spike go on with the first of its runs that was not due before now."""
    for g in range(ids.shape[0]):
        for tick in range(since, now):
            place = tick % ids.shape[1]
            for s in range(counts[g, place]):
                source = ids[g, place, s]
                run = row[source]
                while run < row[source + 1] and delays[run] < now - tick:
                    run += 1
                cursor[g, place, s] = run


def _sources(machine: Machine) -> Iterator[Stretch]:
    for which, i in enumerate(machine.layout.sources):
        path = f"sources/{_name(machine, i)}"
        arguments = [binding.arguments for binding in machine.bindings]
        if f"source{which}_thresholds" in arguments[0]:
            values = np.concatenate([each[f"source{which}_thresholds"] for each in arguments])
            yield Stretch(f"{path}/thresholds", values, _owned(machine)[i][0], _size(machine, i))
        elif machine.bindings[0].is_told(which):
            ticks = np.concatenate([each[f"source{which}_ticks"] for each in arguments])
            numbers = np.concatenate([each[f"source{which}_listed"] for each in arguments])
            later = ticks >= machine.now
            neurons = numbers[later].astype(np.int64)
            if machine.numbers is not None:
                neurons = machine.numbers.whole(neurons)
            neurons -= machine.layout.first[i]
            yield from _listed(machine.ranks, path, "told_", ticks[later], neurons)


def _restore_sources(machine: Machine, now: int, read: Read) -> None:
    for which, i in enumerate(machine.layout.sources):
        path, lo = f"sources/{_name(machine, i)}", _owned(machine)[i][0]
        for shard, binding in zip(machine.shards, machine.bindings, strict=True):
            begin, end = shard.slices[i]
            if f"source{which}_thresholds" in binding.arguments:
                values = read(f"{path}/thresholds", lo, _owned(machine)[i][1] - lo)
                binding.arguments[f"source{which}_thresholds"][...] = values[begin - lo : end - lo]
            else:
                ticks = binding.arguments[f"source{which}_ticks"]
                binding.arguments[f"source{which}_position"][0] = np.searchsorted(ticks, now)


def told(machine: Machine, read: Read, stored: Callable[[str], bool]) -> None:
    """Tell listed sources what they had been told, once the machine is at its tick.

    Args:
        machine: that was restored.
        read: from the checkpoint.
        stored: whether the checkpoint has an array of this path.
    """
    for i in machine.layout.sources:
        path = f"sources/{_name(machine, i)}"
        if stored(f"{path}/told_step"):
            ticks, neurons = (read(f"{path}/told_{name}", 0, None) for name in ("step", "neuron"))
            order = np.lexsort((neurons, ticks))
            machine.fire(_name(machine, i), neurons[order], ticks[order])
