"""One step of Diehl & Cook's network in biosim, learning: the twin of bindsnet_network.py.

Equations and numbers are those of Diehl & Cook 2015; the image is made up, see `DIEHL_COOK`.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser

import numpy as np

from benchmarks.peers import activity
from benchmarks.peers.networks import DIEHL_COOK
from biosim.events import Kind
from biosim.network import Network, Population, Projection
from biosim.simulation import Simulation
from biosim.spiking.description import PoissonSource, Sparse, Spiking, SynapseModel, Uniform
from biosim.spiking.recording import MemorySink, Recording, SpikeRecord
from biosim.wiring import AllToAll, OneToOne

EXCITATORY = Spiking(
    model="""dv/dt = ((rest - v) + ge*(0*mV - v) + gi*(-100*mV - v)) / (100*ms)
                     : volt (unless refractory)
             dge/dt = -ge / (1*ms) : 1
             dgi/dt = -gi / (2*ms) : 1
             dtheta/dt = -theta / (1e7*ms) : volt
             dsince/dt = 1 : second""",
    threshold="v > theta - 72*mV and since > 50*ms",
    reset=f"v = -65*mV; theta += {DIEHL_COOK.theta_plus_mv}*mV; since = 0*ms",
    refractory="5*ms",
    method="euler",
    constants={"rest": "-65*mV"},
    initial={"v": "-105*mV", "theta": "20*mV", "since": "100*ms"},
)

INHIBITORY = Spiking(
    model="""dv/dt = ((rest - v) + ge*(0*mV - v)) / (10*ms) : volt (unless refractory)
             dge/dt = -ge / (1*ms) : 1""",
    threshold="v > -40*mV",
    reset="v = -45*mV",
    refractory="2*ms",
    method="euler",
    constants={"rest": "-60*mV"},
    initial={"v": "-100*mV"},
)

# Traces are set to 1, not incremented; the second post-synaptic one is read before it is set.
LEARNING = SynapseModel(
    model="""w : 1
             dpre/dt = -pre / (20*ms) : 1 (event-driven)
             dpost1/dt = -post1 / (20*ms) : 1 (event-driven)
             dpost2/dt = -post2 / (40*ms) : 1 (event-driven)""",
    on_pre="""ge_post += w
              pre = 1
              w = clip(w - 1e-4 * post1, 0, 1)""",
    on_post="""w = clip(w + 1e-2 * pre * post2, 0, 1)
               post1 = 1
               post2 = 1""",
    bounds={"w": (0.0, 1.0)},
)


def network(neurons: int, seed: int) -> Network:
    """Return the network of one image, with constant rates of its inputs."""
    rate = np.zeros(DIEHL_COOK.inputs)
    draws = np.random.default_rng(seed)
    active = draws.choice(DIEHL_COOK.inputs, DIEHL_COOK.active, replace=False)
    rate[active] = DIEHL_COOK.rate_hz
    # The column sum of 78 on the average, which the original sets before every image.
    greatest = 2 * 78.0 / DIEHL_COOK.inputs
    learnt = Sparse(AllToAll(), Uniform(0.0, greatest), synapse=LEARNING)
    return Network(
        (
            Population("input", DIEHL_COOK.inputs, PoissonSource(rate)),
            Population("e", neurons, EXCITATORY),
            Population("i", neurons, INHIBITORY),
        ),
        (
            Projection("input to e", "input", "e", "spikes", "ge", Kind.SPIKE, 1, learnt),
            Projection("e to i", "e", "i", "spikes", "ge", Kind.SPIKE, 1, Sparse(OneToOne(), 10.4)),
            Projection(
                "i to e", "i", "e", "spikes", "gi", Kind.SPIKE, 1, Sparse(AllToAll(False), 17.0)
            ),
        ),
        dt=DIEHL_COOK.dt_ms / 1000,
    )


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--neurons", type=int, default=DIEHL_COOK.neurons)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one line of JSON, and nothing else")
    asked = parser.parse_args()
    sink = MemorySink()
    simulation = Simulation(
        network(asked.neurons, asked.seed),
        seed=asked.seed,
        threads=asked.threads,
        recording=Recording(spikes=tuple(SpikeRecord(name) for name in ("input", "e", "i"))),
        sink=sink,
    )
    taken = []
    for image in range(asked.images + 1):
        start = time.perf_counter()
        simulation.run_to((image + 1) * DIEHL_COOK.steps)
        taken.append((time.perf_counter() - start) / DIEHL_COOK.steps)
    # The first one is not measured: kernels are compiled then.
    measured = {
        "simulator": "biosim float32",
        "step_s": float(np.median(taken[1:])),
        # A silent network would be fast.
        **{f"{name}_spikes": len(sink.spikes[name].ticks) for name in ("input", "e", "i")},
        **activity.memory(),
    }
    activity.say(asked, measured)


if __name__ == "__main__":
    main()
