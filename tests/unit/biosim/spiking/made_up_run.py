"""A made-up run, and what its store has to hold."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from biosim.ranks import PretendRanks
from biosim.spiking.finalising import finalise
from biosim.spiking.recording import (
    MemorySink,
    Recording,
    Sink,
    SpikeRecord,
    StateRecord,
    WeightRecord,
)
from biosim.spiking.spike_store import StoreSink
from biosim.store import RunStore
from biosim.traces import spike_times

DT_S = 1e-4
SIZES = {"E": 70, "I": 20, "silent": 5}
RECORDING = Recording(
    (SpikeRecord("E"), SpikeRecord("I", [0, 3, 11, 19]), SpikeRecord("silent")),
    (
        StateRecord("E", ("v", "ge")),
        StateRecord("E", ("w",), [1, 40, 69], every=10),
        StateRecord("I", ("v",), [2, 5]),
    ),
    (WeightRecord("E->E", 50),),
)
TICKS = 730
UNITS = {("E", "v"): "V", ("E->E", "w"): "S"}


@dataclass
class Activity:
    """A made-up run; a pure function of neuron and tick, as a real one is."""

    ticks: int = TICKS
    window: int = 15

    def play(
        self, sink: Sink, owned: dict[str, tuple[int, int]], start: int = 0, stop: int | None = None
    ) -> None:
        for tick in range(start, self.ticks if stop is None else stop, self.window):
            now = np.arange(tick, min(tick + self.window, self.ticks if stop is None else stop))
            self._spikes(sink, owned, now)
            self._states(sink, owned, now)
            self._weights(sink, *owned["E"], now)
            sink.commit(int(now[-1]) + 1)

    def _spikes(self, sink: Sink, owned: dict[str, tuple[int, int]], now: np.ndarray) -> None:
        for record in RECORDING.spikes:
            neurons = record.owned(*owned[record.population])
            if record.population == "silent":
                neurons = neurons[:0]
            fires = (now[:, None] * 7919 + neurons * 104729) % 31 < 3
            at, who = np.nonzero(fires)
            sink.spikes(record.population, now[at], neurons[who].astype(np.uint32))

    def _states(self, sink: Sink, owned: dict[str, tuple[int, int]], now: np.ndarray) -> None:
        for record in RECORDING.states:
            neurons = record.owned(*owned[record.population])
            ticks = now[now % record.every == 0]
            for k, name in enumerate(record.variables):
                values = np.sin(ticks[:, None] + neurons + k).astype(np.float32)
                sink.states(record.population, name, ticks, neurons, values)

    def _weights(self, sink: Sink, lo: int, hi: int, now: np.ndarray) -> None:
        targets = np.repeat(np.arange(lo, hi), 3).astype(np.uint32)
        sources = (targets * 5 + np.tile([0, 1, 2], hi - lo).astype(np.uint32)) % 70
        # A snapshot comes at the end of the window before its tick, the first one at the start.
        due = now + 1 if now[0] else np.append(0, now + 1)
        for tick in due[due % 50 == 0]:
            w = (targets + 0.001 * tick + sources).astype(np.float32)
            sink.weights("E->E", int(tick), sources, targets, {"w": w})


def shares(owners: int) -> list[dict[str, tuple[int, int]]]:
    """What each owner owns; uneven, and nothing of a small population for some."""
    return [
        {
            name: (size * k * k // owners**2, size * (k + 1) ** 2 // owners**2)
            for name, size in SIZES.items()
        }
        for k in range(owners)
    ]


def made(path: Path) -> Path:
    RunStore(path / "run.zarr", "w")
    return path / "run.zarr"


def sink_at(path: Path, owned: dict[str, tuple[int, int]], every_s: float = 1e9) -> StoreSink:
    return StoreSink(path, RECORDING, SIZES, owned, DT_S, UNITS, every_s)


def recorded(path: Path, owners: int = 1, activity: Activity | None = None) -> Path:
    """The store of a whole run, finalised, with each owner in a thread of its own."""
    store = made(path)

    def owner(ranks: object) -> None:
        share = shares(owners)[ranks.rank]  # type: ignore[attr-defined]
        sink = sink_at(store, share, every_s=0.0)
        (activity or Activity()).play(sink, share)
        sink.flush()

    PretendRanks(owners, limit_s=60).run(owner)
    assert finalise(store) == TICKS
    return store


def in_memory(stop: int = TICKS) -> MemorySink:
    sink = MemorySink()
    Activity().play(sink, shares(1)[0], stop=stop)
    return sink


def differences(tree: xr.DataTree, truth: MemorySink) -> list[str]:
    """What of a tree is not what was handed over."""
    found = []

    def hold(name: str, stored: npt.ArrayLike, true: npt.ArrayLike) -> None:
        if not np.array_equal(np.asarray(stored), np.asarray(true)):
            found.append(name)

    for name, (ticks, neurons) in truth.spikes.items():
        spikes = tree[f"spikes/{name}"]
        hold(f"spikes {name} time", spikes.time, ticks * DT_S)
        hold(f"spikes {name} neuron", spikes.neuron, neurons)
        for neuron in range(0, SIZES[name], 11):
            mine = ticks[neurons == neuron] * DT_S
            hold(f"spikes of {name} {neuron}", spike_times(tree, name, neuron), mine)
    for (name, variable), (ticks, neurons, values) in truth.states.items():
        array = tree[f"traces/{name}/{variable}"]
        along, across = array.dims
        hold(f"trace {name} {variable}", array, values)
        hold(f"trace {name} {variable} time", array[along], ticks * DT_S)
        hold(f"trace {name} {variable} neuron", array[across], neurons)
    for name, weights in truth.weights.items():
        stored = tree[f"weights/{name}"]
        hold(f"weights {name} time", stored.time, weights.ticks * DT_S)
        hold(f"weights {name} source", stored.source, weights.sources)
        hold(f"weights {name} target", stored.target, weights.targets)
        hold(f"weights {name} w", stored.w, weights.values["w"])
    return found


def files(store: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }
