"""What of a spiking run is recorded, and the contract of whoever takes it.

A simulation hands over what it recorded once a window; a sink keeps it in memory
(`MemorySink`), streams it to a store (`biosim.spiking.spike_store.StoreSink`) or drops it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from biosim.errors import BiosimError
from biosim.spiking.periods import ALWAYS, Periods

Int64s = npt.NDArray[np.int64]
UInt32s = npt.NDArray[np.uint32]
Values = npt.NDArray[Any]
Key = TypeVar("Key")
Part = TypeVar("Part")


class RecordingError(BiosimError):
    """A recording asks for something that the network does not have."""


@dataclass(frozen=True, eq=False)
class SpikeRecord:
    """Every spike of a population.

    Args:
        population: its name.
        neurons: (k,) indices of those to record, in any order; None for all.
        during: when.
    """

    population: str
    neurons: npt.ArrayLike | None = None
    during: Periods = ALWAYS

    def __post_init__(self) -> None:
        object.__setattr__(self, "neurons", _sorted(self.neurons, self.population))

    def owned(self, lo: int, hi: int) -> Int64s:
        """Return the recorded neurons in [lo, hi): (n,), increasing."""
        return _between(self.neurons, lo, hi)

    def chosen(self, ticks: Int64s, neurons: UInt32s) -> tuple[Int64s, UInt32s]:
        """Return those of a population's spikes that are recorded: (n,) each, in their order."""
        if self.neurons is not None:
            mine = np.isin(neurons, self.neurons)
            ticks, neurons = ticks[mine], neurons[mine]
        if len(self.during):
            now = self.during.within(ticks)
            ticks, neurons = ticks[now], neurons[now]
        return ticks, neurons


@dataclass(frozen=True, eq=False)
class StateRecord:
    """Variables of neurons, at ticks 0, every, 2 every, ... that a run goes through.

    A run to tick n ends before tick n, which is therefore not among them, as in Brian2.

    Args:
        population: its name.
        variables: states, parameters or subexpressions of its equations.
        neurons: (k,) indices of those to record, in any order; None for all.
        every: ticks between two samples, at least 1.
        during: when; samples stay at the same ticks.
    """

    population: str
    variables: tuple[str, ...]
    neurons: npt.ArrayLike | None = None
    every: int = 1
    during: Periods = ALWAYS

    def __post_init__(self) -> None:
        object.__setattr__(self, "neurons", _sorted(self.neurons, self.population))

    def owned(self, lo: int, hi: int) -> Int64s:
        """Return the recorded neurons in [lo, hi): (n,), increasing."""
        return _between(self.neurons, lo, hi)


@dataclass(frozen=True)
class WeightRecord:
    """What the synapses of a projection hold before ticks 0, every, 2 every, ...

    A run to tick n takes the snapshot of tick n, if that is due: so the last one shows what was
    learnt.

    Args:
        projection: its name.
        every: ticks between two snapshots, at least 1.
        during: when; a snapshot at the end of a stretch belongs to it.
    """

    projection: str
    every: int
    during: Periods = ALWAYS


@dataclass(frozen=True)
class Recording:
    """What of a run is recorded: a population's spikes and each of its variables once."""

    spikes: tuple[SpikeRecord, ...] = ()
    states: tuple[StateRecord, ...] = ()
    weights: tuple[WeightRecord, ...] = ()

    def check(self, sizes: Mapping[str, int], projections: Collection[str]) -> None:
        """Hold the recording against a network.

        Args:
            sizes: populations -> number of neurons.
            projections: names of the projections that have synapses.

        Raises:
            RecordingError: a population, projection or neuron is not there, something is
                recorded twice, or an interval is not of whole ticks.
        """
        neural: list[SpikeRecord | StateRecord] = [*self.spikes, *self.states]
        for record in neural:
            if record.population not in sizes:
                raise RecordingError(
                    f"population {record.population!r} is to be recorded; "
                    f"the network has {', '.join(sizes)}"
                )
            size = sizes[record.population]
            last = np.asarray([] if record.neurons is None else record.neurons)[-1:]
            if last.size and last[0] >= size:
                raise RecordingError(
                    f"neuron {last[0]} of {record.population!r} is to be recorded; "
                    f"expected indices below {size}"
                )
        for snapshots in self.weights:
            if snapshots.projection not in projections:
                raise RecordingError(
                    f"the weights of {snapshots.projection!r} are to be recorded; "
                    f"projections with synapses: {', '.join(projections) or 'none'}"
                )
        sampled: list[StateRecord | WeightRecord] = [*self.states, *self.weights]
        for timed in sampled:
            if not isinstance(timed.every, int) or timed.every < 1:
                what = timed.population if isinstance(timed, StateRecord) else timed.projection
                raise RecordingError(
                    f"{what!r} is to be recorded every {timed.every!r} ticks; "
                    "expected a whole number, at least 1"
                )
        names = [
            *(f"the spikes of {record.population!r}" for record in self.spikes),
            *(
                f"{v!r} of {record.population!r}"
                for record in self.states
                for v in record.variables
            ),
            *(f"the weights of {record.projection!r}" for record in self.weights),
        ]
        for name in names:
            if names.count(name) > 1:
                raise RecordingError(f"got {name} twice to record; keep one of the two")


class Sink(Protocol):
    """Takes what one owner of neurons recorded; windows come in the order of time.

    The arrays belong to the caller, who may use them again after the call.
    """

    def spikes(self, population: str, ticks: Int64s, neurons: UInt32s) -> None:
        """Take the spikes of a window: (n,) each, ordered by (tick, neuron).

        A silent window may be handed over too; that way a population that never fires is known.
        """

    def states(
        self, population: str, variable: str, ticks: Int64s, neurons: Int64s, values: Values
    ) -> None:
        """Take the samples of a window: ticks (m,), neurons (k,) increasing, values (m, k)."""

    def weights(
        self,
        projection: str,
        tick: int,
        sources: UInt32s,
        targets: UInt32s,
        values: Mapping[str, Values],
    ) -> None:
        """Take a snapshot of the synapses: (n,) each, always the same ones, by (target, source)."""

    def commit(self, tick: int) -> None:
        """Take note that all from before this tick has been handed over, its snapshots too."""


class NullSink:
    """Drops everything."""

    def spikes(self, population: str, ticks: Int64s, neurons: UInt32s) -> None:
        """Drop the spikes."""

    def states(
        self, population: str, variable: str, ticks: Int64s, neurons: Int64s, values: Values
    ) -> None:
        """Drop the samples."""

    def weights(
        self,
        projection: str,
        tick: int,
        sources: UInt32s,
        targets: UInt32s,
        values: Mapping[str, Values],
    ) -> None:
        """Drop the snapshot."""

    def commit(self, tick: int) -> None:
        """Drop the note."""


class Spikes(NamedTuple):
    """Spikes, ordered by (tick, neuron): (n,) each."""

    ticks: Int64s
    neurons: UInt32s


class States(NamedTuple):
    """Samples of a variable: ticks (m,), neurons (k,), values (m, k)."""

    ticks: Int64s
    neurons: Int64s
    values: Values


class Weights(NamedTuple):
    """Snapshots of synapses: ticks (m,), sources and targets (n,), values {name: (m, n)}."""

    ticks: Int64s
    sources: UInt32s
    targets: UInt32s
    values: dict[str, Values]


class _Taken(Mapping[Key, Part], ABC):
    """What came from all owners, by name; called to take more, subscripted to see it joined."""

    def __init__(self) -> None:
        self._parts: dict[Key, list[Part]] = {}

    def __getitem__(self, name: Key) -> Part:
        return self._join(self._parts[name])

    def __iter__(self) -> Iterator[Key]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def _take(self, name: Key, part: Part) -> None:
        self._parts.setdefault(name, []).append(part)

    @abstractmethod
    def _join(self, parts: list[Part]) -> Part:
        """Return the parts of all owners as one."""


class _TakenSpikes(_Taken[str, Spikes]):
    def __call__(self, population: str, ticks: Int64s, neurons: UInt32s) -> None:
        self._take(population, Spikes(ticks.copy(), neurons.copy()))

    def _join(self, parts: list[Spikes]) -> Spikes:
        ticks = np.concatenate([part.ticks for part in parts])
        neurons = np.concatenate([part.neurons for part in parts])
        order = np.lexsort((neurons, ticks))
        return Spikes(ticks[order], neurons[order])


class _TakenStates(_Taken[tuple[str, str], States]):
    def __call__(
        self, population: str, variable: str, ticks: Int64s, neurons: Int64s, values: Values
    ) -> None:
        self._take((population, variable), States(ticks.copy(), neurons.copy(), values.copy()))

    def _join(self, parts: list[States]) -> States:
        owners = _by_owner(parts, lambda part: part.neurons)
        return States(
            np.concatenate([part.ticks for part in owners[0]]),
            np.concatenate([owner[0].neurons for owner in owners]),
            np.hstack([np.concatenate([part.values for part in owner]) for owner in owners]),
        )


class _TakenWeights(_Taken[str, Weights]):
    def __call__(
        self,
        projection: str,
        tick: int,
        sources: UInt32s,
        targets: UInt32s,
        values: Mapping[str, Values],
    ) -> None:
        rows = {name: column.copy()[None] for name, column in values.items()}
        self._take(projection, Weights(np.array([tick]), sources.copy(), targets.copy(), rows))

    def _join(self, parts: list[Weights]) -> Weights:
        owners = _by_owner(parts, lambda part: part.targets)
        return Weights(
            np.concatenate([part.ticks for part in owners[0]]),
            np.concatenate([owner[0].sources for owner in owners]),
            np.concatenate([owner[0].targets for owner in owners]),
            {
                name: np.hstack(
                    [np.concatenate([part.values[name] for part in owner]) for owner in owners]
                )
                for name in parts[0].values
            },
        )


class MemorySink:
    """Keeps everything in memory, for tests and notebooks: it grows with the run.

    Several owners, also in threads, may hand over to the same one: what comes out does not show
    how many there were.

    Attributes:
        spikes: population -> `Spikes`.
        states: (population, variable) -> `States`.
        weights: projection -> `Weights`.
        committed_tick: everything before it was handed over, by the owner that said so last.
    """

    def __init__(self) -> None:
        self.spikes = _TakenSpikes()
        self.states = _TakenStates()
        self.weights = _TakenWeights()
        self.committed_tick = 0

    def commit(self, tick: int) -> None:
        """Take note that everything before this tick has been handed over."""
        self.committed_tick = tick


def _by_owner(parts: list[Part], entities: Callable[[Part], Values]) -> list[list[Part]]:
    """Return the parts of each owner, owners in the order of what they own."""
    owners: dict[tuple[int, ...], list[Part]] = {}
    for part in parts:
        owned = entities(part)
        key = (int(owned[0]), len(owned)) if len(owned) else ()
        owners.setdefault(key, []).append(part)
    return [owners[key] for key in sorted(owners) if key] or [parts]


def _sorted(neurons: npt.ArrayLike | None, population: str) -> Int64s | None:
    if neurons is None:
        return None
    found = np.unique(np.asarray(neurons))
    if found.dtype.kind not in "iu" or not found.size or found[0] < 0:
        raise RecordingError(
            f"got {np.asarray(neurons).ravel()[:3].tolist()} as neurons of {population!r} to "
            "record; expected at least one index, from 0, or None for all"
        )
    return found.astype(np.int64)


def _between(neurons: npt.ArrayLike | None, lo: int, hi: int) -> Int64s:
    if neurons is None:
        return np.arange(lo, hi)
    found: Int64s = np.asarray(neurons, dtype=np.int64)
    return found[np.searchsorted(found, lo) : np.searchsorted(found, hi)]
