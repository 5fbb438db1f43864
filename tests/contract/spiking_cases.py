"""Spiking networks that take every path through the kernels, small, of several blocks."""

from collections.abc import Callable
from typing import Any

import numpy as np

from biosim.events import Kind
from biosim.network import Network, Population, Projection
from biosim.spiking.description import (
    Normal,
    PoissonInput,
    PoissonSource,
    Sparse,
    SpikeList,
    Spiking,
    StepCurrent,
    SynapseModel,
    Uniform,
)
from biosim.wiring import AllToAll, FixedInDegree, FixedProbability, OneToOne

DT = 1e-4

LIF = {
    "threshold": "v > 20*mV",
    "reset": "v = 10*mV",
    "refractory": "2*ms",
    "method": "exact",
    "constants": {"taum": "20*ms", "taus": "5*ms"},
    "initial": {"v": "20*mV*rand()"},
}
DELTA = "dv/dt = -v/taum : volt (unless refractory)"
CURRENT = "dv/dt = (g - v)/taum : volt (unless refractory)\ndg/dt = -g/taus : volt"

PAIR = SynapseModel(
    """
    w : volt
    dpre/dt = -pre/(20*ms) : 1 (event-driven)
    dpost/dt = -post/(30*ms) : 1 (event-driven)
    """,
    on_pre="g_post += w; pre += 1; w = clip(w - 0.05*mV*post, 0*mV, 2*mV)",
    on_post="post += 1; w = clip(w + 0.1*mV*pre, 0*mV, 2*mV)",
    bounds={"w": ("0*mV", "2*mV")},
)


def spikes(
    name: str,
    receptor: str,
    wiring: Any,
    weight: Any,
    delay: int = 1,
    delays: Any = None,
    synapse: SynapseModel | None = None,
) -> Projection:
    """A projection whose name is made of its ends: "e>i" or "e>i again"."""
    source, target = name.split()[0].split(">")
    weights = Sparse(wiring, weight, delays, synapse)
    return Projection(name, source, target, "spikes", receptor, Kind.SPIKE, delay, weights)


def listed(size: int, ticks: int = 3000, rate: float = 0.004) -> SpikeList:
    """Spikes at random ticks, drawn once."""
    at, who = np.nonzero(np.random.default_rng(5).random((ticks, size)) < rate)
    return SpikeList(who, at)


def delta() -> Network:
    """Two populations in one sheet, one weight a projection, equal rates."""
    return Network(
        (Population("e", 600, Spiking(DELTA, **LIF)), Population("i", 300, Spiking(DELTA, **LIF))),
        (
            spikes("e>e", "v", FixedProbability(0.1), "0.5*mV", 15),
            spikes("e>i", "v", FixedInDegree(40), "0.5*mV", 15),
            spikes("i>e", "v", FixedInDegree(20, multiple=False), "-1*mV", 15),
        ),
        dt=DT,
        stimuli=tuple(PoissonInput(f"to {p}", p, "v", "20*Hz", "0.6*mV", n=100) for p in "ei"),
    )


def exponential() -> Network:
    """Weights of their own, delays that differ from projection to projection, own rates."""
    return Network(
        (Population("e", 600, Spiking(CURRENT, **LIF)),),
        (
            spikes("e>e", "g", FixedProbability(0.05), Normal("1*mV", "0.3*mV"), 7),
            spikes("e>e minus", "g", FixedProbability(0.02), "-2*mV", 3),
        ),
        dt=DT,
        stimuli=(PoissonInput("in", "e", "g", "(15 + 25*i/N)*Hz", "3*mV", n=100),),
    )


def conductance() -> Network:
    """Hodgkin and Huxley's equations: exp, exprel and refractoriness by a condition."""
    model = """
    dv/dt = (10*nS*(-60*mV - v) + ge*(0*mV - v) + gi*(-80*mV - v)
             - 20*usiemens*m**3*h*(v - 50*mV) - 6*usiemens*n**4*(v + 90*mV))/(200*pF) : volt
    dm/dt = 1.28/ms/exprel((-50*mV - v)/(4*mV))*(1 - m) - 1.4/ms/exprel((v + 23*mV)/(5*mV))*m : 1
    dn/dt = 0.16/ms/exprel((-48*mV - v)/(5*mV))*(1 - n) - 0.5*exp((-53*mV - v)/(40*mV))/ms*n : 1
    dh/dt = 0.128*exp((-46*mV - v)/(18*mV))/ms*(1 - h) - 4/(1 + exp((-23*mV - v)/(5*mV)))/ms*h : 1
    dge/dt = -ge/(5*ms) : siemens
    dgi/dt = -gi/(10*ms) : siemens
    current = ge*(0*mV - v) : amp
    """
    neuron = Spiking(
        model,
        threshold="v > -20*mV",
        refractory="v > -40*mV",
        method="exponential_euler",
        initial={"v": "-60*mV + 5*mV*randn()", "ge": "20*nS*rand()"},
    )
    return Network(
        (Population("e", 520, neuron),),
        (
            spikes("e>e", "ge", FixedInDegree(20), "2*nS", 4),
            spikes("e>e inhibits", "gi", FixedInDegree(10), "10*nS", 4),
        ),
        dt=DT,
        stimuli=(PoissonInput("in", "e", "ge", "100*Hz", "6*nS", n=20),),
    )


def asleep() -> Network:
    """Event-driven neurons with exponential currents, driven by a list and by each other."""
    neuron = Spiking(CURRENT, integration="event", **(LIF | {"initial": {}}))
    clocked = Spiking(CURRENT, integration="clock", **(LIF | {"initial": {}}))
    return Network(
        (
            Population("in", 300, listed(300, rate=0.002)),
            Population("e", 600, neuron),
            Population("c", 300, clocked),
        ),
        (
            spikes("in>e", "g", FixedInDegree(10), Normal("60*mV", "5*mV"), 2),
            spikes("e>e", "g", FixedProbability(0.02), "20*mV", 9),
            spikes("e>c", "g", FixedProbability(0.02), "40*mV", 5),
            spikes("c>e", "v", FixedProbability(0.01), "-2*mV", delay=1),
        ),
        dt=DT,
    )


def noisy() -> Network:
    """Noise and uniform draws at every tick, an integer and a boolean, thresholds that adapt."""
    neuron = Spiking(
        """
        dv/dt = (12*mV - v)/taum + 3*mV*(2/taum)**0.5*xi : volt
        da/dt = -a/(50*ms) : volt
        taum : second
        count : integer
        odd : boolean
        high = v - a : volt
        """,
        threshold="v > 15*mV + a and rand() < 0.5",
        reset="v = 0*mV; a += 1*mV; count += 1; odd = not odd",
        refractory="3*ms + 5*ms*i/N",
        method="euler",
        initial={"taum": "10*ms + 5*ms*rand()", "v": "15*mV*rand()"},
    )
    return Network(
        (Population("a", 300, neuron), Population("b", 290, neuron)),
        (
            spikes("a>b", "v", FixedInDegree(10), "0.5*mV", 2),
            spikes("b>a", "v", FixedInDegree(10), "-0.5*mV", 2),
        ),
        dt=DT,
    )


def sparse_stdp() -> Network:
    """Synapses that learn, with delays of their own, and random sources."""
    return Network(
        (
            Population("in", 400, PoissonSource("(20 + 40*i/N)*Hz")),
            Population("e", 520, Spiking(CURRENT, **LIF)),
        ),
        (
            spikes(
                "in>e",
                "g",
                FixedProbability(0.2),
                Uniform("0*mV", "2*mV"),
                delays=Uniform("0.1*ms", "4*ms"),
                synapse=PAIR,
            ),
            spikes("e>e", "v", FixedProbability(0.05), "-0.5*mV", 12),
        ),
        dt=DT,
        stimuli=(PoissonInput("drive", "e", "g", "20*Hz", "3*mV", n=100),),
    )


def dense_stdp() -> Network:
    """Synapses of every pair, which learn at once when the target spikes."""
    return Network(
        (
            Population("in", 100, PoissonSource("40*Hz")),
            Population("e", 520, Spiking(CURRENT, **LIF)),
        ),
        (spikes("in>e", "g", AllToAll(), "2*mV*rand()", 6, synapse=PAIR),),
        dt=DT,
        stimuli=(PoissonInput("drive", "e", "g", "10*Hz", "3*mV", n=100),),
    )


def far() -> Network:
    """Delays from 1 to 300 ticks, weights of each synapse, currents that step."""
    neuron = Spiking(
        "dv/dt = (g + I - v)/taum : volt (unless refractory)\ndg/dt = -g/taus : volt\nI : volt",
        **LIF,
    )
    values = 0.021 + 0.004 * np.random.default_rng(2).random((2, 600))
    return Network(
        (Population("e", 600, neuron), Population("i", 280, Spiking(CURRENT, **LIF))),
        (
            spikes("e>e", "g", FixedInDegree(30), "1*mV*rand()", delays="0.1*ms + 29.9*ms*rand()"),
            spikes(
                "e>i", "g", FixedInDegree(50), "30*mV", delays=Normal("10*ms", "5*ms", "0.1*ms")
            ),
            spikes("i>e", "g", FixedProbability(0.1), "-2*mV", 20),
        ),
        dt=DT,
        stimuli=(StepCurrent("step", "e", "I", (10, 150), values),),
    )


def reward() -> Network:
    """A trace of each synapse, weights that move at every tick, a shared modulator."""
    synapse = SynapseModel(
        """
        dw/dt = 100*mV*c*(dopamine - 0.1)/second : volt (clock-driven)
        dc/dt = -c/(100*ms) : 1 (event-driven)
        ddopamine/dt = -dopamine/(50*ms) : 1 (clock-driven, shared)
        dpre/dt = -pre/(20*ms) : 1 (event-driven)
        dpost/dt = -post/(20*ms) : 1 (event-driven)
        """,
        on_pre="w = clip(w, 0*mV, 2*mV); g_post += w; c -= 0.1*post; pre += 1",
        on_post="w = clip(w, 0*mV, 2*mV); c += 0.12*pre; post += 1",
        bounds={"w": ("0*mV", "2*mV")},
        initial={"dopamine": 1.0},
    )
    return Network(
        (
            Population("in", 260, PoissonSource("40*Hz")),
            Population("e", 300, Spiking(CURRENT, **LIF)),
        ),
        (
            spikes(
                "in>e",
                "g",
                FixedProbability(0.1),
                "2*mV*rand()",
                delays=Uniform("0.1*ms", "2*ms"),
                synapse=synapse,
            ),
        ),
        dt=DT,
        stimuli=(PoissonInput("drive", "e", "g", "20*Hz", "3*mV", n=100),),
    )


def depressing() -> Network:
    """Short-term plasticity (Tsodyks and Markram 1998): traces start full, some are a synapse's."""
    model = """
    w : volt
    du/dt = -u/(300*ms) : 1 (event-driven)
    dx/dt = (1 - x)/(500*ms) : 1 (event-driven)
    """
    bounds = {"w": ("0*mV", "60*mV"), "u": (0, 1), "x": (0, 1)}
    alike = SynapseModel(
        model,
        on_pre="u += 0.4*(1 - u); r = u*x; x -= r; g_post += w*r",
        bounds=bounds,
        initial={"x": 1.0},
    )
    own = SynapseModel(
        model + "share : 1",
        on_pre="u += share*(1 - u); r = u*x; x -= r; g_post += w*r",
        bounds=bounds | {"share": (0, 1)},
        initial={"x": 1.0, "share": "0.2 + 0.3*rand()"},
    )
    return Network(
        (
            Population("in", 300, listed(300)),
            Population("e", 520, Spiking(CURRENT, **LIF)),
        ),
        (
            spikes("in>e", "g", FixedInDegree(20), "30*mV + 30*mV*rand()", 2, synapse=alike),
            spikes("in>e own", "g", FixedInDegree(20), "30*mV + 30*mV*rand()", 2, synapse=own),
        ),
        dt=DT,
    )


def forced() -> Network:
    """One neuron to one: a list makes neurons spike that have nothing else."""
    neuron = Spiking("v : 1", "v > 0.5", "v = 0", initial={"v": 0.0})
    return Network(
        (Population("in", 600, listed(600)), Population("e", 600, neuron)),
        (spikes("in>e", "v", OneToOne(), 1.0, 5), spikes("e>e", "v", FixedInDegree(1), 1.0, 3)),
        dt=DT,
    )


CASES: dict[str, Callable[[], Network]] = {
    made.__name__: made
    for made in (
        delta,
        exponential,
        conductance,
        asleep,
        noisy,
        sparse_stdp,
        dense_stdp,
        far,
        reward,
        depressing,
        forced,
    )
}
"""Every network here, by name."""
