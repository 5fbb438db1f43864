"""Inhibitory plasticity brings a network that is driven to 140 Hz to the rate that it is told.

The network is that of Vogels et al. 2011 (Brian2's example of it gives the numbers), with 250
neurons instead of 10,000, and connections more likely instead.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biosim import Simulation
from biosim.events import Kind
from biosim.network import Network, Population, Projection
from biosim.spiking.description import Sparse, Spiking, SynapseModel, Value
from biosim.spiking.recording import MemorySink, Recording, SpikeRecord
from biosim.wiring import FixedProbability
from rules.inhibitory_stdp import InhibitoryStdp

DT = 5e-4
EXCITATORY, INHIBITORY = 200, 50
SECONDS = 16.0


def projection(
    source: str, target: str, weight: Value, synapse: SynapseModel | None = None
) -> Projection:
    return Projection(
        f"{source} to {target}",
        source,
        target,
        "spikes",
        "g_exc" if source == "E" else "g_inh",
        Kind.SPIKE,
        2,
        Sparse(FixedProbability(0.3, selves=False), weight, synapse=synapse),
    )


def network(rule: InhibitoryStdp) -> Network:
    neuron = Spiking(
        model="""
            dv/dt = (-gl*(v - el) - g_exc*(v - ee) - g_inh*(v - ei) + drive)/c
                : volt (unless refractory)
            dg_exc/dt = -g_exc/(5*ms) : siemens
            dg_inh/dt = -g_inh/(10*ms) : siemens""",
        threshold="v > -50*mV",
        reset="v = -60*mV",
        refractory="5*ms",
        method="euler",
        constants={"gl": "10*nS", "el": "-60*mV", "ee": "0*mV", "ei": "-80*mV"}
        | {"drive": "200*pA", "c": "200*pF"},
        initial={"v": "-60*mV + 10*mV*rand()"},
    )
    return Network(
        (Population("E", EXCITATORY, neuron), Population("I", INHIBITORY, neuron)),
        (
            projection("E", "E", "0.3*nS"),
            projection("E", "I", "0.3*nS"),
            projection("I", "I", "3*nS"),
            projection("I", "E", "0*nS", rule.synapse()),
        ),
        dt=DT,
    )


def rates(rho0_hz: float, eta: float, seconds: float = SECONDS) -> np.ndarray:
    """The rate of each excitatory neuron in the second half of the run, in hertz."""
    rule = InhibitoryStdp(rho0_hz=rho0_hz, eta=eta, w_max="100*nS")
    sink = MemorySink()
    recording = Recording(spikes=(SpikeRecord("E"),))
    sim = Simulation(network(rule), dtype=torch.float32, recording=recording, sink=sink)
    sim.run_to(round(seconds / DT))
    spikes = sink.spikes["E"]
    late = spikes.neurons[spikes.ticks * DT >= seconds / 2]
    return np.bincount(late, minlength=EXCITATORY) / (seconds / 2)


@pytest.mark.parametrize("rho0_hz", [pytest.param(3.0, marks=pytest.mark.slow), 5.0])
def test_the_mean_rate_comes_to_its_target(rho0_hz: float) -> None:
    found = rates(rho0_hz, eta=5e-3)
    assert found.mean() == pytest.approx(rho0_hz, rel=0.2)
    # Nearly every neuron for itself; a few have too little inhibition to begin with.
    assert (abs(found - rho0_hz) < 0.3 * rho0_hz).mean() > 0.9


def test_without_plasticity_the_rate_stays_far_above() -> None:
    assert rates(3.0, eta=0.0, seconds=2.0).mean() > 100.0
