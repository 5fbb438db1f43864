"""How biosim's cost follows the work: `events`, `silent`. No peer has a twin of these.

events: the time of a synaptic event where n synapses, 1,000 a neuron, are driven by sources that
    fire at random, 100 in every tick; the same network without synapses is to be taken off.
silent: neurons without any input, event-driven or clock-driven.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace

import numpy as np

from benchmarks.peers import activity
from biosim.events import Kind
from biosim.network import Network, Population, Projection
from biosim.simulation import Simulation
from biosim.spiking.description import Sparse, SpikeList, Spiking
from biosim.wiring import FixedInDegree

DT_S = 1e-4
IN_DEGREE = 1000
DELAY_TICKS = 15
# The number of events is the same for any size, 100 million.
TICKS = 1000
SPIKES_A_TICK = 100


def leaky(integration: str) -> Spiking:
    return Spiking(
        model="dv/dt = -v / (20*ms) : volt (unless refractory)",
        threshold="v > 20*mV",
        reset="v = 10*mV",
        refractory="2*ms",
        method="exact",
        integration=integration,
    )


def events(asked: Namespace) -> dict[str, object]:
    """Return the time of a run with or without synapses, and the events in it."""
    neurons = asked.size // IN_DEGREE
    draws = np.random.default_rng(asked.seed)
    fired = [draws.choice(neurons, SPIKES_A_TICK, replace=False) for _ in range(2 * TICKS)]
    ticks = np.repeat(np.arange(2 * TICKS), SPIKES_A_TICK)
    projection = Projection(
        "all",
        "source",
        "target",
        "spikes",
        "v",
        Kind.SPIKE,
        DELAY_TICKS,
        # Too weak to bring any neuron to its threshold.
        Sparse(FixedInDegree(IN_DEGREE), "0.001*mV"),
    )
    network = Network(
        (
            Population("source", neurons, SpikeList(np.concatenate(fired), ticks)),
            Population("target", neurons, leaky("clock")),
        ),
        () if asked.without_synapses else (projection,),
        dt=DT_S,
    )
    simulation = Simulation(network, seed=asked.seed, threads=asked.threads)
    assert simulation.machine is not None
    # Memory is taken from the system at first use, which is no cost of an event.
    simulation.run_to(TICKS)
    before = simulation.machine.synaptic_events
    began = time.perf_counter()
    simulation.run_to(2 * TICKS)
    taken = time.perf_counter() - began
    return {"simulate_s": taken, "events": simulation.machine.synaptic_events - before}


def silent(asked: Namespace) -> dict[str, object]:
    """Return the time of a biological second without events."""
    projection = Projection(
        "all",
        "neurons",
        "neurons",
        "spikes",
        "v",
        Kind.SPIKE,
        DELAY_TICKS,
        Sparse(FixedInDegree(10), "0.1*mV"),
    )
    population = Population("neurons", asked.size, leaky(asked.integration))
    simulation = Simulation(
        Network((population,), (projection,), dt=DT_S), seed=asked.seed, threads=asked.threads
    )
    simulation.run_to(1)
    began = time.perf_counter()
    simulation.run_to(round(asked.seconds / DT_S))
    return {"simulate_s": time.perf_counter() - began}


COSTS = {"events": events, "silent": silent}


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("cost", choices=sorted(COSTS))
    parser.add_argument("--size", type=int, required=True, help="synapses, or neurons of silent")
    parser.add_argument("--integration", choices=("event", "clock"), default="event")
    parser.add_argument("--seconds", type=float, default=1.0, help="biological, of silent")
    parser.add_argument("--without-synapses", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one line of JSON, and nothing else")
    asked = parser.parse_args()
    activity.say(asked, {**COSTS[asked.cost](asked), **activity.memory()})


if __name__ == "__main__":
    main()
