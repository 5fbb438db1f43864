"""A projection that learns from spikes that a test gives to both of its sides.

Sources are spike lists. Targets spike when a teacher's synapse tells them to: a spike of the
teacher a tick earlier lifts `teacher` over its threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from biosim import Simulation
from biosim.events import Kind
from biosim.network import Network, Population, Projection
from biosim.spiking.description import Sparse, SpikeList, Spiking, SynapseModel
from biosim.spiking.recording import MemorySink, Recording, SpikeRecord, WeightRecord
from biosim.wiring import OneToOne, Pairs

Trains = Sequence[np.ndarray]
"""The tick of each spike, by neuron."""

LEARNS = "learns"


def listed(spikes: Trains, shift: int = 0) -> SpikeList:
    """The trains as a source, all of them shifted by so many ticks."""
    ticks = np.concatenate([np.asarray(train, dtype=np.int64) for train in spikes]) + shift
    neurons = np.repeat(np.arange(len(spikes)), [len(train) for train in spikes])
    order = np.lexsort((neurons, ticks))
    return SpikeList(neurons[order], ticks[order])


def taught(receptor: str, weight: Any) -> Projection:
    """A spike of the teacher adds to a variable of its target."""
    return Projection(
        f"teaches {receptor}",
        "teacher",
        "post",
        "spikes",
        receptor,
        Kind.SPIKE,
        1,
        Sparse(OneToOne(), weight),
    )


def network(
    sparse: Sparse,
    pre: Trains,
    post: Trains,
    dt: float,
    delay: int = 1,
    neuron: Callable[[Spiking], Spiking] = lambda model: model,
    kick: str = "0*mV",
) -> Network:
    """The network.

    Args:
        sparse: the synapses that learn, from `pre` to `post`.
        pre: spikes of the sources.
        post: spikes of the targets, from tick 1 on.
        dt: of a tick, in seconds.
        delay: of synapses that have none of their own, in ticks.
        neuron: adds to the targets what the rule needs.
        kick: how far each of their spikes lifts the targets' voltage.
    """
    model = Spiking(
        model="dv/dt = (-70*mV - v)/(20*ms) : volt\nteacher : 1\ngot : 1",
        threshold="teacher > 0.5",
        reset="teacher -= 1",
        method="euler",
        initial={"v": "-70*mV"},
    )
    return Network(
        (
            Population("pre", len(pre), listed(pre)),
            Population("teacher", len(post), listed(post, -1)),
            Population("post", len(post), neuron(model)),
        ),
        (
            Projection(LEARNS, "pre", "post", "spikes", "got", Kind.SPIKE, delay, sparse),
            taught("teacher", 1.0),
            taught("v", kick),
        ),
        dt=dt,
    )


def learnt(
    synapse: SynapseModel,
    pre: Trains,
    post: Trains,
    dt: float,
    weight: float,
    delays: Sequence[int] | None = None,
    dtype: torch.dtype = torch.float64,
) -> np.ndarray:
    """Weights of one synapse from each source to the target of its number, after all spikes.

    The targets are held to the spikes that they were given.
    """
    n = np.arange(len(pre))
    own = None if delays is None else np.asarray(delays) * dt
    sparse = Sparse(Pairs(n, n), np.full(len(pre), weight), own, synapse)
    ticks = int(max(train[-1] for train in (*pre, *post))) + 30
    sink = MemorySink()
    recording = Recording(spikes=(SpikeRecord("post"),), weights=(WeightRecord(LEARNS, ticks),))
    described = network(sparse, pre, post, dt)
    Simulation(described, dtype=dtype, recording=recording, sink=sink).run_to(ticks)
    found, asked = sink.spikes["post"], listed(post)
    np.testing.assert_array_equal(found.ticks, asked.ticks)
    np.testing.assert_array_equal(found.neurons, asked.indices)
    weights: np.ndarray = sink.weights[LEARNS].values["w"][-1]
    return weights
