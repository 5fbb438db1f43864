"""How fast this machine is at what simulations are made of, measured in a few seconds.

Each figure is the best of several short pieces: whatever disturbs a measurement makes it longer.
Networks of which pieces are measured are small and their kernels kept, so that the second time
takes less than the first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from biosim.contracts import Model
from biosim.errors import BiosimError
from biosim.events import Course, Event, Kind, Mode, Presentation
from biosim.network import Network, Population, Projection
from biosim.rehearsal import Rehearsal
from biosim.simulation import Simulation
from biosim.spiking.description import InShard, Sparse, SpikeList, Spiking
from biosim.wiring import FixedInDegree
from hpc.messages import packed, unpacked
from rules import Backprop, Stack
from rules.stdp import Stdp

LATENCY_S, BYTES_PER_S = 2e-6, 10e9
"""Of a cluster's network, which a laptop cannot measure: one message, and what passes a link."""

PIECE_S, PIECES = 0.02, 3
MOST_NEURONS = 8192
"""Neurons whose update is measured."""

SOURCES, TARGETS, IN_DEGREE, TICKS = 100_000, 1024, 1000, 300


@dataclass(frozen=True)
class LayerSpeed:
    """Seconds of one multiply-add of a product of layers, and of waking a layer once."""

    multiply_add_s: float
    visit_s: float


@dataclass(frozen=True)
class SpikeSpeed:
    """Seconds of one step of a neuron, of a spike to its synapses, of a synapse, of a window."""

    neuron_s: float
    spike_s: float
    synapse_s: float
    window_s: float


@dataclass(frozen=True)
class ExchangeSpeed:
    """What it takes to tell other ranks.

    Args:
        message_s: to pack a message to one rank and to unpack one.
        byte_s: of a byte to pack and to unpack.
        latency_s: of the network.
        bytes_per_s: of the network.
    """

    message_s: float
    byte_s: float
    latency_s: float = LATENCY_S
    bytes_per_s: float = BYTES_PER_S

    def seconds(self, ranks: int, messages: float, sent_bytes: float) -> float:
        """Return the time of one exchange of a rank with so many messages and bytes."""
        if ranks == 1:
            return 0.0
        meeting = math.ceil(math.log2(ranks)) * self.latency_s
        travel = messages * self.latency_s + sent_bytes / self.bytes_per_s
        return meeting + travel + messages * self.message_s + sent_bytes * self.byte_s


def layer_speed(rows: int, n_pre: int, n_post: int, double: bool = False) -> LayerSpeed:
    """Return the speed of products of (rows, n_pre) with (n_post, n_pre)."""
    torch.set_num_threads(1)
    dtype = torch.float64 if double else torch.float32
    x, weight = torch.rand(rows, n_pre, dtype=dtype), torch.rand(n_post, n_pre, dtype=dtype)
    product = _best(lambda: x @ weight.t())
    network = Backprop().wire(Stack(4, (4, 4), 4, 64, torch.zeros(4)))
    steps = len(Rehearsal(network).steps)
    simulation = Simulation(network, Course(1, 16, 64))
    samples, labels = torch.rand(64, 4), torch.zeros(64, dtype=torch.uint8)
    learn = _best(lambda: simulation.learn(samples, labels, 0, 4))
    return LayerSpeed(product / (rows * n_pre * n_post), learn / (16 * steps))


@cache
def exchange_speed() -> ExchangeSpeed:
    """Return the speed of making messages and reading them."""

    def passed(size: int) -> float:
        payload = torch.zeros(size, dtype=torch.uint8)
        at = Presentation(0, 0, 0, Mode.LEARN)
        event = Event(1, Kind.SPIKE, 0, 1, -1, at, payload)
        return _best(lambda: unpacked(packed([event], 1)))

    short, long = passed(64), passed(1 << 20)
    return ExchangeSpeed(short, max(0.0, long - short) / (1 << 20))


def spike_speed(network: Network, plastic: bool) -> SpikeSpeed:
    """Return the speed of a network's own neurons, and of synapses.

    Args:
        network: whose neurons are measured, if they can be had without the others.
        plastic: whether most of its synapses learn; by STDP, for the measurement.
    """
    synapse = Stdp(w_max="1*mV").synapse() if plastic else None
    many, few = _delivered(SOURCES, synapse), _delivered(SOURCES // 100, synapse)
    nothing = _a_tick(Simulation(_lif(TARGETS))) * TICKS
    spike_s, synapse_s = _solved(many, few, nothing)
    return SpikeSpeed(_neuron_s(network), spike_s, synapse_s, _window_s())


def _solved(
    many: tuple[float, int, int], few: tuple[float, int, int], nothing: float
) -> tuple[float, float]:
    """Return seconds of a spike and of a synapse from two runs: seconds, spikes, synapses."""
    a = np.array([many[1:], few[1:]], dtype=np.float64)
    b = np.array([many[0] - nothing, few[0] - nothing])
    spike_s, synapse_s = np.linalg.solve(a, b)
    return max(1e-9, float(spike_s)), max(1e-11, float(synapse_s))


def _lif(size: int, extra: tuple[Population, ...] = ()) -> Network:
    model = Spiking(
        "dv/dt = -v / (20*ms) : volt", threshold="v > 20*mV", reset="v = 0*mV", method="exact"
    )
    return Network((Population("cells", size, model), *extra), (), dt=1e-4)


def _delivered(sources: int, synapse: object) -> tuple[float, int, int]:
    """Return seconds, spikes and synapses that they reached, of sources that fire in turn."""
    a_tick = 100
    # Nobody twice in a tick.
    first, further = np.arange(TICKS)[:, None] * 37, np.arange(a_tick) * (sources // a_tick)
    order = ((first + further) % sources).ravel()
    ticks = np.repeat(np.arange(TICKS), a_tick)
    network = _lif(TARGETS, (Population("told", sources, SpikeList(order, ticks)),))
    joined = Sparse(FixedInDegree(IN_DEGREE), "0.001*mV", synapse=synapse)  # type: ignore[arg-type]
    network = replace(network, projections=(Projection.of_spikes("told", "cells", "v", joined),))
    simulation = Simulation(network)
    seconds = _a_tick(simulation) * TICKS
    assert simulation.machine is not None
    return seconds, a_tick * TICKS, simulation.machine.synaptic_events


def _a_tick(simulation: Simulation) -> float:
    """Return the seconds of a tick, of the best piece of `TICKS`."""
    simulation.run_to(1)  # compiles
    ends = [1 + (TICKS - 1) * (piece + 1) // PIECES for piece in range(PIECES)]
    found, before = [], 1
    for end in ends:
        began = time.perf_counter()
        simulation.run_to(end)
        found.append((time.perf_counter() - began) / (end - before))
        before = end
    return min(found)


def _neuron_s(network: Network) -> float:
    """Return the seconds of a tick of a neuron, over all populations together."""
    size = sum(population.size for population in network.populations)
    scale = min(1.0, MOST_NEURONS / size)
    alone = tuple(
        replace(
            population,
            size=max(1, round(population.size * scale)),
            model=_silent(population.model),
        )
        for population in network.populations
    )
    alone_network = replace(network, populations=alone, projections=())
    try:
        return _a_tick(Simulation(alone_network)) / sum(population.size for population in alone)
    except BiosimError:  # something is given neuron by neuron, and does not fit fewer of them
        return _a_tick(Simulation(_lif(MOST_NEURONS))) / MOST_NEURONS


def _silent(model: Model | InShard) -> Model | InShard:
    if isinstance(model, SpikeList):
        return SpikeList(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    return model


@cache
def _window_s() -> float:
    """Return what a window takes beside what happens in it."""
    simulation = Simulation(_lif(1))
    ticks = iter(range(1, 1 << 62))
    return _best(lambda: simulation.run_to(next(ticks)))


def _best(piece: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    piece()
    found = []
    for _ in range(PIECES):
        began, calls = time.perf_counter(), 0
        while time.perf_counter() - began < PIECE_S:
            piece()
            calls += 1
        found.append((time.perf_counter() - began) / calls)
    return min(found)
