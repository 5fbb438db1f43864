"""Scaling brings neurons to a rate from either side; an adaptive threshold slows them down."""

from __future__ import annotations

import pytest
import torch

from biosim import Simulation
from biosim.events import Kind
from biosim.network import Network, Population, Projection
from biosim.spiking.description import PoissonSource, Sparse, Spiking
from biosim.spiking.recording import MemorySink, Recording, SpikeRecord
from biosim.wiring import AllToAll
from rules.homeostasis import Homeostasis

DT = 1e-3
NEURONS = 10
NEURON = Spiking(
    model="dv/dt = -v/(20*ms) : volt",
    threshold="v > 10*mV",
    reset="v = 0*mV",
    method="exact",
)


def rates(rule: Homeostasis, weight: str, neuron: Spiking = NEURON, seconds: int = 60) -> float:
    """The mean rate in the last third, in hertz."""
    inputs = Sparse(AllToAll(), weight, synapse=rule.synapse())
    network = Network(
        (Population("in", 50, PoissonSource("20*Hz")), Population("out", NEURONS, neuron)),
        (Projection("learns", "in", "out", "spikes", "v", Kind.SPIKE, 1, inputs),),
        dt=DT,
    )
    sink = MemorySink()
    recording = Recording(spikes=(SpikeRecord("out"),))
    sim = Simulation(network, dtype=torch.float64, recording=recording, sink=sink)
    sim.run_to(round(seconds / DT))
    ticks = sink.spikes["out"].ticks
    return float((ticks * DT >= seconds * 2 / 3).sum() / (NEURONS * seconds / 3))


@pytest.mark.parametrize("weight", ["0.35*mV", "1.5*mV"], ids=["from below", "from above"])
def test_scaling_brings_the_rate_to_its_target(weight: str) -> None:
    rule = Homeostasis(w_max="3*mV", rho0_hz=8.0, tau_w_ms=8e3, tau_rate_ms=2e3)
    assert rates(rule, weight) == pytest.approx(8.0, rel=0.1)


def test_without_scaling_rates_stay_where_they_are() -> None:
    rule = Homeostasis(w_max="3*mV", rho0_hz=8.0, tau_w_ms=1e12)
    assert rates(rule, "0.35*mV", seconds=15) < 2.0
    assert rates(rule, "1.5*mV", seconds=15) > 30.0


def test_an_adaptive_threshold_slows_a_neuron_down() -> None:
    still = Homeostasis(w_max="3*mV", tau_w_ms=1e12, theta_step_mv=0.0)
    rising = Homeostasis(w_max="3*mV", tau_w_ms=1e12, theta_step_mv=0.2, tau_theta_ms=1e6)
    free = rates(still, "1.5*mV", still.neuron(NEURON), seconds=15)
    held = rates(rising, "1.5*mV", rising.neuron(NEURON), seconds=15)
    assert free == rates(still, "1.5*mV", seconds=15)
    assert held < 0.7 * free
