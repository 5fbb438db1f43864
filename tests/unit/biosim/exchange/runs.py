"""Runs to export: made up, as the store's own tests make them, or of spikes that are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from hypothesis import strategies as st

from biosim.exchange import Recording, Units, write_recording
from biosim.spiking.finalising import finalise
from biosim.spiking.periods import Periods
from biosim.spiking.recording import Recording as Recorded
from biosim.spiking.recording import SpikeRecord
from biosim.spiking.spike_store import StoreSink
from biosim.store import RunStore
from biosim.traces import open_run
from tests.unit.biosim.spiking.made_up_run import (
    DT_S,
    SIZES,
    TICKS,
    Activity,
    made,
    recorded,
    shares,
    sink_at,
)

STARTED = "2026-02-03T04:05:06+00:00"
ATTRIBUTES = {
    "kind": "spiking",
    "scenario": {"name": "made_up", "run": {"seed": 7}},
    "seed": 7,
    "dt_s": DT_S,
    "ticks": TICKS,
    "populations": SIZES,
    "versions": {"biosim": "0.1.0"},
    "started": STARTED,
    "host": "here",
    "ranks": 1,
}


def finished(directory: Path) -> xr.DataTree:
    """A finished run with spikes of three populations, one silent, states and weights."""
    directory.mkdir(exist_ok=True)
    store = recorded(directory)
    RunStore(store).describe({**ATTRIBUTES, "status": "complete"})
    return open_run(directory)


def killed(directory: Path, ticks: int = 300) -> xr.DataTree:
    """A run that was killed after so many ticks, its logs as they were."""
    directory.mkdir(exist_ok=True)
    store = made(directory)
    sink = sink_at(store, shares(1)[0])
    Activity().play(sink, shares(1)[0], stop=ticks)
    sink.flush()
    RunStore(store).describe(ATTRIBUTES)
    return open_run(directory)


def in_stretches(directory: Path, running: bool = False) -> xr.DataTree:
    """A run of which E was recorded in two stretches, or what a running one has of them."""
    directory.mkdir(exist_ok=True)
    store = made(directory)
    during = Periods(((100, 300), (400, 600)))
    recording = Recorded((SpikeRecord("E", during=during), SpikeRecord("I")))
    sizes = {"E": 5, "I": 3}
    stop = 450 if running else TICKS
    sink = StoreSink(store, recording, sizes, {n: (0, k) for n, k in sizes.items()}, DT_S)
    for record in recording.spikes:
        at, who = np.divmod(np.arange(0, stop * sizes[record.population], 7), 5)
        inside = (at < stop) & (who < sizes[record.population])
        sink.spikes(record.population, *record.chosen(at[inside], who[inside].astype(np.uint32)))
    sink.commit(stop)
    sink.flush()
    if not running:
        finalise(store)
    RunStore(store).describe({**ATTRIBUTES, "populations": sizes, "status": "complete"})
    return open_run(directory)


def of_spikes(
    directory: Path,
    populations: Mapping[str, tuple[int, Sequence[tuple[int, int]]]],
    dt_s: float,
    ticks: int,
) -> xr.DataTree:
    """A run with the spikes (tick, neuron) of populations of a size."""
    directory.mkdir(exist_ok=True)
    groups = {}
    for name, (size, spikes) in populations.items():
        at, who = np.array(spikes, np.int64).reshape(-1, 2).T
        groups[name] = Units(at * dt_s, who, size)
    recording = Recording(Path("spikes"), "made up", groups, 0.0, ticks * dt_s, dt_s)
    write_recording(recording, directory)
    return open_run(directory)


def trains(tree: xr.DataTree) -> dict[str, list[tuple[int, int]]]:
    """(tick, neuron) of all spikes, ordered, by population."""
    found = {}
    for name, node in tree["spikes"].children.items():
        ticks = np.rint(node.time.values / node.attrs["dt_s"]).astype(int)
        found[name] = sorted(zip(ticks.tolist(), node.neuron.values.tolist(), strict=True))
    return found


@st.composite
def spike_sets(draw: st.DrawFn) -> tuple[dict[str, tuple[int, list[tuple[int, int]]]], float, int]:
    """Populations with a size and spikes, the length of a tick, and ticks of the run."""
    ticks = draw(st.sampled_from([1, 7, 100, 5000, 40_000_000]))
    dt_s = draw(st.sampled_from([1e-3, 1e-4, 5e-5, 1 / 30000, 1.7e-4]))
    names = draw(st.sampled_from([["E"], ["E", "I"], ["layer 4", "I", "silent one"]]))
    populations = {}
    for name in names:
        size = draw(st.integers(1, 6))
        spike = st.tuples(st.integers(0, ticks - 1), st.integers(0, size - 1))
        populations[name] = (size, draw(st.lists(spike, max_size=30, unique=True)))
    return populations, dt_s, ticks
