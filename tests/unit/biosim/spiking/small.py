"""Small networks whose every spike and state can be worked out by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from biosim.events import Kind
from biosim.network import Network, Population, Projection
from biosim.ranks import OneRank
from biosim.simulation import Simulation
from biosim.spiking.binding import agreed_scales
from biosim.spiking.building import Scales, Wires
from biosim.spiking.description import Sparse, SpikeList, Spiking, SynapseModel
from biosim.spiking.layout import Layout
from biosim.spiking.recording import MemorySink, Recording, SpikeRecord, StateRecord, WeightRecord
from biosim.spiking.shard import Shard
from biosim.wiring import OneToOne, Pairs

DT = 1e-4
SIZE = 600
"""Three blocks of neurons."""

COUNTER = Spiking(
    """
    dv/dt = I*grow : 1
    dx/dt = x*grow : 1
    twice = 2*v : 1
    I : 1
    grow : Hz
    n : integer
    """,
    threshold="v > 0.5",
    reset="v = 0; n += 1",
    method="euler",
    initial={"x": 1.0},
)
"""Spikes when something has arrived at v, and counts; x multiplies by 1 + grow dt in a tick."""


def counter(**initial: Any) -> Spiking:
    return replace(COUNTER, initial={**COUNTER.initial, **initial})


def listed(*spikes: tuple[int, int]) -> SpikeList:
    """Spikes given as (tick, neuron)."""
    at = np.array(sorted(spikes), dtype=np.int64).reshape(-1, 2)
    return SpikeList(at[:, 1], at[:, 0])


def spikes(
    name: str, source: str, target: str, receptor: str, weights: Sparse, delay: int = 1
) -> Projection:
    return Projection(name, source, target, "spikes", receptor, Kind.SPIKE, delay, weights)


def counting(source: SpikeList, model: Spiking = COUNTER, size: int = SIZE, **more: Any) -> Network:
    """A list whose every spike makes the neuron of its number spike three ticks later."""
    return Network(
        (Population("in", size, source), Population("out", size, model)),
        (spikes("in>out", "in", "out", "v", Sparse(OneToOne(), 1.0), 3),),
        dt=DT,
        **more,
    )


def of_states(neurons: Any = None, every: int = 1) -> Recording:
    """The same variables in the same order each time: one program for all tests."""
    names = ("v", "x", "twice", "I", "grow", "n")
    return Recording(
        (SpikeRecord("out"),), (StateRecord("out", names, neurons=neurons, every=every),)
    )


GROWING = SynapseModel(
    """
    w : 1
    gain : 1 (shared)
    dtrace/dt = -trace/(10*ms) : 1 (event-driven)
    """,
    on_pre="v_post += w; w += gain; trace += 1",
    on_post="w += 0.25*trace",
    bounds={"w": (0, 2)},
    initial={"gain": 0.0},
)
"""Its weight grows by `gain` at every arrival, as far as it likes."""


def growing(
    source: SpikeList,
    weights: Any = 1.0,
    pairs: tuple[Any, Any] = (np.arange(SIZE), np.arange(SIZE)),
    gain: float = 0.0,
) -> Network:
    """A list whose spikes arrive two ticks later by synapses that learn."""
    synapse = replace(GROWING, initial={"gain": gain})
    return Network(
        (Population("in", SIZE, source), Population("out", SIZE, COUNTER)),
        (spikes("in>out", "in", "out", "v", Sparse(Pairs(*pairs), weights, synapse=synapse), 2),),
        dt=DT,
    )


def of_weights(every: int = 1_000_000) -> Recording:
    return Recording((SpikeRecord("out"),), weights=(WeightRecord("in>out", every),))


def run(
    network: Network, ticks: int, recording: Recording, **more: Any
) -> tuple[MemorySink, Simulation]:
    sink = MemorySink()
    simulation = Simulation(network, recording=recording, sink=sink, **more)
    simulation.run_to(ticks)
    return sink, simulation


def pairs_of(sink: MemorySink, population: str = "out") -> list[tuple[int, int]]:
    """Spikes as (tick, neuron)."""
    return [(int(t), int(n)) for t, n in zip(*sink.spikes[population], strict=True)]


def scales_of(
    network: Network, precision: str = "float32", shards: int = 1
) -> dict[tuple[int, str], float]:
    """The resolution of every receptor, (sheet, variable) -> unit."""
    layout = Layout(network)
    owners = [Shard(layout, s, shards, precision) for s in range(shards)]
    found: Scales = agreed_scales(layout, Wires(layout, 0), owners, OneRank())
    return found


DOUBLE = torch.float64
