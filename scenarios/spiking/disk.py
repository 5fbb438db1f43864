"""How much a run will store, said before it begins, and held against the room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biosim.spiking.description import Sparse
from biosim.spiking.layout import Layout
from biosim.spiking.recording import Recording, SpikeRecord, StateRecord
from scenarios.disk import check_room, size_text
from scenarios.spiking.rates import expected_rate

SPIKE_BYTES = 4.2
"""Of a spike in both orders, at most, as `python -m benchmarks.spiking --only recording` finds."""
LOGGED_SPIKE_BYTES = 5.0
"""Of a spike in the log of its owner."""
SORTED_SPIKE_BYTES = 5.0
"""Of a spike while spikes are sorted by neuron."""


@dataclass(frozen=True)
class Stored:
    """What a run is expected to store.

    Numbers of states and weights are counted as if they did not shrink, which they hardly do.

    Args:
        spike_bytes: of spikes, at the rates expected.
        state_bytes: of samples of variables.
        weight_bytes: of snapshots of synapses.
        most_bytes: while the run ends: of the logs, and of what the largest part of them becomes.
    """

    spike_bytes: float
    state_bytes: float
    weight_bytes: float
    most_bytes: float

    @property
    def total_bytes(self) -> float:
        """Of the finished run."""
        return self.spike_bytes + self.state_bytes + self.weight_bytes

    def line(self) -> str:
        """Return the figures for a terminal."""
        parts = {
            "spikes": self.spike_bytes,
            "states": self.state_bytes,
            "weights": self.weight_bytes,
        }
        said = ", ".join(f"{size_text(size)} of {what}" for what, size in parts.items() if size)
        if not said:
            return "nothing is recorded"
        end, way = size_text(self.total_bytes), size_text(self.most_bytes)
        return f"{said}: {end} in the end, and {way} on the way"


def stored(
    layout: Layout,
    recording: Recording,
    ticks: int,
    precision: str,
    rates_hz: Mapping[int, float] | None = None,
) -> Stored:
    """Return what a run is expected to store.

    Args:
        layout: of the network.
        recording: checked.
        ticks: of the run.
        precision: "float32" or "float64".
        rates_hz: population -> its rate; from the description, where they are left out.
    """
    network = layout.network
    number_bytes = 4 if precision == "float32" else 8
    spikes, states, weights = [0.0], [0.0], [0.0]
    for spiking in recording.spikes:
        i = network.population_at[spiking.population]
        rate = expected_rate(layout, i) if rates_hz is None else rates_hz[i]
        seconds = spiking.during.count(ticks) * layout.dt
        spikes.append(_chosen(spiking, network.populations[i].size) * rate * seconds)
    for sampled in recording.states:
        size = _chosen(sampled, network.size(sampled.population))
        rows = sampled.during.count(ticks, sampled.every)
        each = float(rows * (size * number_bytes + 8))
        states += [each] * len(sampled.variables)
    codes = {network.projections[p.projection].name: p.code for p in layout.plastic}
    sparse = {p.name: p for p in network.projections if isinstance(p.weights, Sparse)}
    for snapshots in recording.weights:
        projection, code = sparse[snapshots.projection], codes[snapshots.projection]
        assert isinstance(projection.weights, Sparse)
        sizes = network.size(projection.source), network.size(projection.target)
        synapses = projection.weights.wiring.synapses(*sizes)
        rows = snapshots.during.count(ticks, snapshots.every, ends=True)
        each = synapses * (rows * number_bytes + 8)  # 8: source and target
        weights += [each] * len(code.variables)
    ending = max((SPIKE_BYTES + SORTED_SPIKE_BYTES) * max(spikes), sum(states), max(weights))
    of_spikes = SPIKE_BYTES * sum(spikes)
    logs = LOGGED_SPIKE_BYTES * sum(spikes) + sum(states) + sum(weights)
    return Stored(of_spikes, sum(states), sum(weights), logs + ending)


def check_disk(needed: Stored, out: Path, free_bytes: float | None = None) -> None:
    """Hold what a run will store against the room on the disk that it will be stored on.

    Args:
        needed: by the run.
        out: its directory, which need not be there yet.
        free_bytes: on the disk of `out`; None to ask.

    Raises:
        OutputError: there is too little room.
    """
    settings = "record.states, their `every`, `neurons`, `during`"
    check_room(needed.most_bytes, needed.line(), settings, out, free_bytes)


def _chosen(record: SpikeRecord | StateRecord, size: int) -> int:
    return size if record.neurons is None else len(np.asarray(record.neurons))
