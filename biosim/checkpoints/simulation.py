"""What of a simulation is stored, and how another one on any number of ranks takes it over.

Layers are stored by their owners, each in a group of its own; what spikes is stored by all ranks
together, in the order of neurons (`biosim.spiking.by_neuron`). With several replicas, a simulation
is stored while nothing is under way, when all of them are alike, and the first one stores itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import zarr

from biosim.checkpoints import arrays
from biosim.checkpoints.arrays import Stretch
from biosim.checkpoints.directory import (
    PARTIAL,
    Checkpoint,
    CheckpointError,
    begin,
    complete,
    name_of,
)
from biosim.checkpoints.tree import Node, Taken, tree_of
from biosim.contracts import Actor, Ranks
from biosim.errors import BiosimError
from biosim.events import Event
from biosim.ledger import LayerCount, LedgerTotals
from biosim.ranks import RankFailedError
from biosim.simulation import Simulation
from biosim.store import EVERY_CHUNK, writing

TO_SPIKING = "to-spiking"
"""Group of the events that what spikes is to hear of from layers."""


def store(
    simulation: Simulation,
    folder: Path,
    attributes: Mapping[str, Any],
    beside: Iterable[Stretch] = (),
    keep: int = 1,
    own: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Store a simulation that stands at the end of a window; all ranks call it together.

    Args:
        simulation: this rank's part.
        folder: of the checkpoints.
        attributes: what else the root of the checkpoint says; rank 0's count.
        beside: what else is stored: all ranks name the same arrays in the same order.
        keep: how many of the last ones are left.
        own: what else this rank alone has: name of a group -> values by name.

    Raises:
        OutputError: the disk does not take it; what was there before is left.
        RankFailedError: it did not take what another rank wrote.
    """
    ranks, now = simulation.ranks, simulation.engine.now
    totals = asdict(simulation.ledger_totals())
    path = folder / f"{PARTIAL}{name_of(now)}"
    _together(ranks, folder, lambda: begin(folder, now) if ranks.rank == 0 else None)
    written: set[Path] = set()
    sums: dict[str, int] = {}

    def take(stretch: Stretch) -> None:
        if ranks.rank == 0 and stretch.path not in sums:
            arrays.describe(path, stretch)
        total = sums.get(stretch.path, 0) + stretch.sum
        sums[stretch.path] = total % (1 << 64)
        written.update(arrays.write(path, stretch))

    problem: BiosimError | None = None
    for stretch in _shared(simulation, beside):
        if problem is None:
            problem = _failed(path, lambda each=stretch: take(each))  # type: ignore[misc]
    if problem is None:
        problem = _failed(path, lambda: _store_own(simulation, path, own or {}))
    if problem is None:
        problem = _failed(path, lambda: arrays.synced(written))
    # Before anything is added up: a rank that failed has not summed all arrays.
    if ranks.agree(problem is not None):
        if ranks.rank == 0:  # what is of no use takes no room on a disk that may be full
            shutil.rmtree(path, ignore_errors=True)
        raise problem or RankFailedError("another rank cannot store the checkpoint")
    agreed = _added(ranks, sums)
    said = {
        **attributes,
        "now": now,
        "end": simulation.engine.end,
        "populations": _populations(simulation),
        "ledger": totals,
        "synaptic_events": _events(simulation),
        "sums": {name: str(total) for name, total in agreed.items()},
    }

    _together(ranks, folder, lambda: complete(path, said, keep) if ranks.rank == 0 else None)
    return folder / name_of(now)


def restore(simulation: Simulation, checkpoint: Checkpoint) -> None:
    """Let a simulation that was built anew go on where a checkpoint stands; all ranks call it.

    Samples of the epoch that was under way have been laid out again (`Simulation.begin_epoch`).

    Args:
        simulation: of the same network, on any number of ranks.
        checkpoint: to go on from.

    Raises:
        CheckpointError: it is damaged, or of another network.
    """
    said = checkpoint.attributes
    if said.get("populations") != _populations(simulation):
        raise CheckpointError(
            f"{checkpoint.path} is of a network with other populations; take one of this scenario"
        )
    verify(checkpoint, simulation.ranks)
    waiting: list[Event] = []
    first = len(simulation.network.populations)
    for i, actor in simulation.actors().items():
        if i >= first:
            for event in _events_of(checkpoint, TO_SPIKING, "cpu"):
                waiting.append(event._replace(target=i))
            continue
        waiting += _take_over(checkpoint, simulation, i, actor)
    simulation.engine.begin_at(said["now"], said["end"], waiting)
    machine = simulation.machine
    if machine is not None:
        from biosim.spiking import by_neuron

        by_neuron.restore(machine, said["now"], checkpoint.read)
        by_neuron.told(machine, checkpoint.read, checkpoint.has)
        machine.synaptic_events = said["synaptic_events"] if simulation.ranks.rank == 0 else 0
    counted = said["ledger"]
    totals = LedgerTotals(
        counted["sent_bytes"],
        counted["sent_events"],
        [LayerCount(**layer) for layer in counted["layers"]],
    )
    places = simulation.owner[: len(simulation.network.populations)]
    mine = [owner == simulation.ranks.rank for owner in places]
    simulation.ledger.begin_with(totals, mine, 1.0 / simulation.share.replicas)


def group_of(checkpoint: Checkpoint, group: str) -> dict[str, Any]:
    """Return what a rank alone stored under this name.

    Raises:
        CheckpointError: it is not there, or damaged.
    """
    said = checkpoint.tree(group)
    taken = Taken(_arrays_of(checkpoint, group, said))
    return {name: taken.value(node) for name, node in said["state"].items()}


def verify(checkpoint: Checkpoint, ranks: Ranks) -> None:
    """Check that every array that all ranks wrote is there, and as it was; all call it together.

    Raises:
        CheckpointError: one is missing, or changed.
    """
    known = checkpoint.attributes.get("sums")
    if not isinstance(known, dict):
        raise CheckpointError(f"{checkpoint.path} does not say what it holds: it is damaged")
    sums = {}
    problem: CheckpointError | None = None
    for name in known:
        try:
            rows = checkpoint.rows(name)
            begin, end = (rows * r // ranks.size for r in (ranks.rank, ranks.rank + 1))
            sums[name] = arrays.summed(checkpoint.read(name, begin, end - begin), begin)
        except CheckpointError as failure:
            problem, sums[name] = problem or failure, 0
    if ranks.agree(problem is not None):
        raise problem or RankFailedError("another rank cannot read the checkpoint")
    for name, total in _added(ranks, sums).items():
        if str(total) != known[name]:
            raise checkpoint.changed(name)


def _together(ranks: Ranks, folder: Path, action: Callable[[], object]) -> None:
    """Do something; every rank fails if one does."""
    problem = _failed(folder, action)
    if ranks.agree(problem is not None):
        raise problem or RankFailedError("another rank cannot store the checkpoint")


def _failed(path: Path, action: Callable[[], object]) -> BiosimError | None:
    try:
        with writing(path):
            action()
    except BiosimError as failure:
        return failure
    return None


def _shared(simulation: Simulation, beside: Iterable[Stretch]) -> Iterable[Stretch]:
    if simulation.machine is not None:
        from biosim.spiking import by_neuron

        yield from by_neuron.stretches(simulation.machine)
    yield from beside


def _added(ranks: Ranks, sums: Mapping[str, int]) -> dict[str, int]:
    """Return the check sums of all ranks together, modulo 2^64."""
    own = np.array(list(sums.values()), dtype=np.uint64).view(np.int64)
    total: npt.NDArray[np.int64] = ranks.sum(torch.from_numpy(own)).numpy()
    return dict(zip(sums, total.view(np.uint64).tolist(), strict=True))


def _populations(simulation: Simulation) -> list[list[Any]]:
    return [[p.name, p.size] for p in simulation.network.populations]


def _events(simulation: Simulation) -> int:
    machine = simulation.machine
    own = 0 if machine is None else machine.synaptic_events
    return int(simulation.ranks.sum(torch.tensor([own]))[0])


def _group(simulation: Simulation, i: int) -> str:
    return f"populations/{simulation.network.populations[i].name}"


def _store_own(simulation: Simulation, path: Path, own: Mapping[str, Mapping[str, Any]]) -> None:
    for name, values in own.items():
        _store_group(path / name, values, [])
    if simulation.share.replica > 0:
        return
    first = len(simulation.network.populations)
    waiting: dict[int, list[Event]] = {}
    for event in simulation.engine.waiting():
        waiting.setdefault(event.target, []).append(event)
    for i, actor in simulation.actors().items():
        if i < first:
            state = {name: getattr(actor, name) for name in actor.state_names}
            _store_group(path / _group(simulation, i), state, waiting.get(i, []))
        elif simulation.ranks.rank == 0:  # every rank's machine hears the same
            _store_group(path / TO_SPIKING, {}, waiting.get(i, []))


def _store_group(path: Path, state: Mapping[str, Any], waiting: list[Event]) -> None:
    beside: dict[str, npt.NDArray[Any]] = {}
    said: dict[str, Node] = {
        "state": {name: tree_of(value, name, beside) for name, value in state.items()},
        "waiting": tree_of(waiting, "waiting", beside),
    }
    group = zarr.create_group(str(path), zarr_format=3)
    for name, values in beside.items():
        chunks = tuple(max(1, n) for n in values.shape)
        # Files are told apart from lost ones by being there, whatever they hold.
        group.create_array(name, data=values, chunks=chunks, compressors=None, config=EVERY_CHUNK)
    said["sums"] = {
        name: str(arrays.summed(values.reshape(-1), 0)) for name, values in beside.items()
    }
    group.attrs.update(said)
    arrays.synced(each for each in path.rglob("*") if each.is_file())


def _events_of(checkpoint: Checkpoint, group: str, device: str) -> list[Event]:
    said = checkpoint.tree(group)
    found = Taken(_arrays_of(checkpoint, group, said), device).value(said["waiting"])
    assert isinstance(found, list)
    return found


def _take_over(checkpoint: Checkpoint, simulation: Simulation, i: int, actor: Actor) -> list[Event]:
    """Give an actor its state; return the events that wait for it."""
    group = _group(simulation, i)
    said = checkpoint.tree(group)
    taken = Taken(
        _arrays_of(checkpoint, group, said),
        simulation.device,
        getattr(actor, "state_types", ()),
    )
    for name in actor.state_names:
        setattr(actor, name, taken.value(said["state"][name], getattr(actor, name)))
    return list(taken.value(said["waiting"]))


def _arrays_of(
    checkpoint: Checkpoint, group: str, said: Mapping[str, Any]
) -> dict[str, npt.NDArray[Any]]:
    found = {}
    for name, known in said["sums"].items():
        values = checkpoint.read(f"{group}/{name}")
        if str(arrays.summed(values.reshape(-1), 0)) != known:
            raise checkpoint.changed(f"{group}/{name}")
        found[name] = values
    return found
