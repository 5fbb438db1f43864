"""Small spiking networks that several tests simulate.

What numpy draws here, by the seed given, becomes part of the description as arrays.
"""

import numpy as np

from biosim.events import Kind
from biosim.network import Network, Population, Projection
from biosim.spiking.description import (
    PoissonInput,
    PoissonSource,
    Sparse,
    SpikeList,
    Spiking,
    StepCurrent,
    SynapseModel,
)
from biosim.wiring import FixedProbability, OneToOne, Pairs

DT = 1e-4

CUBA = """
dv/dt = (ge + gi - (v - El))/taum : volt (unless refractory)
dge/dt = -ge/taue : volt
dgi/dt = -gi/taui : volt
"""

CUBA_CONSTANTS = {
    "taum": "20*ms",
    "taue": "5*ms",
    "taui": "10*ms",
    "Vt": "-50*mV",
    "Vr": "-60*mV",
    "El": "-49*mV",
}

COBAHH = """
dv/dt = (gl*(El-v) + synaptic - g_na*(m*m*m)*h*(v-ENa) - g_kd*(n*n*n*n)*(v-EK))/Cm : volt
synaptic = ge*(Ee-v) + gi*(Ei-v) : amp
dm/dt = alpha_m*(1-m) - beta_m*m : 1
dn/dt = alpha_n*(1-n) - beta_n*n : 1
dh/dt = alpha_h*(1-h) - beta_h*h : 1
dge/dt = -ge/taue : siemens
dgi/dt = -gi/taui : siemens
alpha_m = 0.32*(mV**-1)*4*mV/exprel((13*mV-v+VT)/(4*mV))/ms : Hz
beta_m = 0.28*(mV**-1)*5*mV/exprel((v-VT-40*mV)/(5*mV))/ms : Hz
alpha_h = 0.128*exp((17*mV-v+VT)/(18*mV))/ms : Hz
beta_h = 4./(1+exp((40*mV-v+VT)/(5*mV)))/ms : Hz
alpha_n = 0.032*(mV**-1)*5*mV/exprel((15*mV-v+VT)/(5*mV))/ms : Hz
beta_n = .5*exp((10*mV-v+VT)/(40*mV))/ms : Hz
"""

COBAHH_CONSTANTS = {
    "area": "20000*umetre**2",
    "Cm": "1*ufarad*cm**-2 * area",
    "gl": "5e-5*siemens*cm**-2 * area",
    "El": "-60*mV",
    "EK": "-90*mV",
    "ENa": "50*mV",
    "g_na": "100*msiemens*cm**-2 * area",
    "g_kd": "30*msiemens*cm**-2 * area",
    "VT": "-63*mV",
    "taue": "5*ms",
    "taui": "10*ms",
    "Ee": "0*mV",
    "Ei": "-80*mV",
}

PAIR_STDP = {
    "model": """
    w : 1
    dapre/dt = -apre/taupre : 1 (event-driven)
    dapost/dt = -apost/taupost : 1 (event-driven)
    """,
    "on_pre": """
    receptor += w*unit
    apre += Apre
    w = clip(w + apost, 0, wmax)
    """,
    "on_post": """
    apost += Apost
    w = clip(w + apre, 0, wmax)
    """,
    "constants": {
        "taupre": "20*ms",
        "taupost": "30*ms",
        "Apre": "0.01",
        "Apost": "-0.012",
        "wmax": "1",
        "unit": "1*mV",
    },
    "bounds": {"w": (0.0, 1.0)},
}


def spikes(
    name: str, source: str, target: str, receptor: str, weights: Sparse, delay: int = 1
) -> Projection:
    """A projection that carries spikes."""
    return Projection(name, source, target, "spikes", receptor, Kind.SPIKE, delay, weights)


def cuba(n: int = 400, seed: int = 0) -> Network:
    """Current-based LIF with exponential synapses (Vogels and Abbott 2005, Brette 2007)."""
    chance = np.random.default_rng(seed)
    n_e = n * 4 // 5
    p = min(1.0, 80 / n)

    def model(size: int) -> Spiking:
        return Spiking(
            CUBA,
            threshold="v > Vt",
            reset="v = Vr",
            refractory="5*ms",
            method="exact",
            constants=CUBA_CONSTANTS,
            initial={"v": -0.060 + 0.010 * chance.random(size)},
        )

    def wired(weight: str) -> Sparse:
        return Sparse(FixedProbability(p), weight)

    return Network(
        populations=(Population("e", n_e, model(n_e)), Population("i", n - n_e, model(n - n_e))),
        projections=tuple(
            spikes(f"{source}{target}", source, target, f"g{source}", wired(weight))
            for source, weight in (("e", "1.62*mV"), ("i", "-9*mV"))
            for target in ("e", "i")
        ),
        dt=DT,
    )


def cobahh(n: int = 400, seed: int = 0) -> Network:
    """Conductance-based Hodgkin-Huxley neurons (Traub and Miles; Brette 2007)."""
    chance = np.random.default_rng(seed)
    n_e = n * 4 // 5
    p = min(1.0, 80 / n)

    def model(size: int) -> Spiking:
        return Spiking(
            COBAHH,
            threshold="v > -20*mV",
            refractory="3*ms",
            method="exponential_euler",
            constants=COBAHH_CONSTANTS,
            initial={
                "v": -0.060 + (chance.standard_normal(size) * 5 - 5) * 1e-3,
                "ge": (chance.standard_normal(size) * 1.5 + 4) * 10e-9,
                "gi": (chance.standard_normal(size) * 12 + 20) * 10e-9,
            },
        )

    def wired(weight: str) -> Sparse:
        return Sparse(FixedProbability(p), weight)

    return Network(
        populations=(Population("e", n_e, model(n_e)), Population("i", n - n_e, model(n - n_e))),
        projections=tuple(
            spikes(f"{source}{target}", source, target, f"g{source}", wired(weight))
            for source, weight in (("e", "6*nS"), ("i", "67*nS"))
            for target in ("e", "i")
        ),
        dt=DT,
    )


def feed_forward_stdp(
    n_pre: int = 60,
    n_post: int = 20,
    ticks: int = 3000,
    rate: float = 40.0,
    forced: int = 20,
    seed: int = 0,
) -> Network:
    """Listed spikes to LIF neurons by plastic synapses of delays 1 to 20 ticks.

    Coincidences are forced, about so many a target: it is made to spike by a strong synapse at
    ticks after which a spike of some source arrives, so that on_pre and on_post fall on one tick.
    """
    chance = np.random.default_rng(seed)
    fire = chance.random((ticks, n_pre)) < rate * DT
    at, who = np.nonzero(fire)
    sources = np.repeat(np.arange(n_pre), n_post)
    targets = np.tile(np.arange(n_post), n_pre)
    delay = chance.integers(1, 21, len(sources))
    # A spike forced at tick k meets, at tick k + 1, what was sent at tick k + 1 - delay. The
    # forcing spike itself takes a tick, and the target then spikes in the tick of its arrival.
    forcing = set()
    for k in chance.choice(len(at), min(len(at), forced * n_post), replace=False):
        synapse = chance.choice(np.flatnonzero(sources == who[k]))
        tick = int(at[k] + delay[synapse] - 2)
        if 0 <= tick < ticks:
            forcing.add((tick, int(targets[synapse])))
    listed = np.array(sorted(forcing), dtype=np.int64).reshape(-1, 2)
    neuron = Spiking(
        "dv/dt = (ge - v)/taum : volt (unless refractory)\ndge/dt = -ge/taue : volt",
        threshold="v > 10*mV",
        reset="v = 0*mV",
        refractory="2*ms",
        method="exact",
        constants={"taum": "10*ms", "taue": "5*ms"},
    )
    plastic = Sparse(
        Pairs(sources, targets),
        chance.random(len(sources)),
        delay=delay * DT,
        synapse=SynapseModel(**PAIR_STDP),
    )
    return Network(
        populations=(
            Population("input", n_pre, SpikeList(who, at)),
            Population("teacher", n_post, SpikeList(listed[:, 1], listed[:, 0])),
            Population("output", n_post, neuron),
        ),
        projections=(
            spikes("plastic", "input", "output", "ge", plastic),
            spikes("forcing", "teacher", "output", "v", Sparse(OneToOne(), "50*mV")),
        ),
        dt=DT,
    )


def brunel(n: int = 250, seed: int = 0) -> Network:
    """Delta LIF neurons with Poisson input (Brunel 2000), in which spikes are rare events."""
    chance = np.random.default_rng(seed)
    n_e = n * 4 // 5

    def model(size: int) -> Spiking:
        return Spiking(
            "dv/dt = -v/taum : volt (unless refractory)",
            threshold="v > 20*mV",
            reset="v = 10*mV",
            refractory="2*ms",
            method="exact",
            constants={"taum": "20*ms"},
            initial={"v": 0.020 * chance.random(size)},
        )

    def wired(weight: str) -> Sparse:
        return Sparse(FixedProbability(0.1), weight)

    return Network(
        populations=(Population("e", n_e, model(n_e)), Population("i", n - n_e, model(n - n_e))),
        projections=tuple(
            spikes(f"{source}{target}", source, target, "v", wired(weight), delay=15)
            for source, weight in (("e", "1*mV"), ("i", "-5*mV"))
            for target in ("e", "i")
        ),
        dt=DT,
        stimuli=tuple(
            PoissonInput(f"drive_{name}", name, "v", rate="8*Hz", weight="1*mV", n=250)
            for name in ("e", "i")
        ),
    )


def alpha(n_pre: int = 40, n_post: int = 30, rate: float = 50.0, seed: int = 0) -> Network:
    """Alpha-function currents from random sources, with a method of Brian2's own choice."""
    neuron = Spiking(
        """
        dv/dt = (g - v)/taum : volt (unless refractory)
        dg/dt = (x - g)/taus : volt
        dx/dt = -x/taus : volt
        """,
        threshold="v > 10*mV",
        reset="v = 0*mV",
        refractory="3*ms",
        constants={"taum": "10*ms", "taus": "3*ms"},
    )
    return Network(
        populations=(
            Population("noise", n_pre, PoissonSource(rate)),
            Population("output", n_post, neuron),
        ),
        projections=(
            spikes("in", "noise", "output", "x", Sparse(FixedProbability(0.5), "12*mV"), delay=3),
            spikes("out", "output", "output", "x", Sparse(FixedProbability(0.2), "-9*mV"), 12),
        ),
        dt=DT,
    )


def conductance(n_pre: int = 40, n_post: int = 30, rate: float = 50.0, seed: int = 0) -> Network:
    """Exponential conductances that a non-linear membrane reads, by Brian2's own choice: Euler."""
    neuron = Spiking(
        """
        dv/dt = (gl*(El - v) + ge*(Ee - v) + gi*(Ei - v))/C : volt (unless refractory)
        dge/dt = -ge/taue : siemens
        dgi/dt = -gi/taui : siemens
        """,
        threshold="v > -50*mV",
        reset="v = -60*mV",
        refractory="5*ms",
        constants={
            "gl": "10*nS",
            "El": "-60*mV",
            "Ee": "0*mV",
            "Ei": "-80*mV",
            "C": "200*pF",
            "taue": "5*ms",
            "taui": "10*ms",
        },
        initial={"v": np.linspace(-0.060, -0.051, n_post)},
    )
    return Network(
        populations=(
            Population("noise", n_pre, PoissonSource(rate)),
            Population("output", n_post, neuron),
        ),
        projections=(
            spikes("in", "noise", "output", "ge", Sparse(FixedProbability(0.5), "6*nS"), delay=3),
            spikes("out", "output", "output", "gi", Sparse(FixedProbability(0.2), "67*nS"), 12),
        ),
        dt=DT,
    )


def adaptive(n: int = 30, seed: int = 0) -> Network:
    """Adaptive neurons with refractory times of their own, under steps of current."""
    neuron = Spiking(
        """
        dv/dt = (I - v - a)/taum : volt (unless refractory)
        da/dt = -a/taua : volt
        I : volt
        rest : second
        last : second
        """,
        threshold="v > 10*mV",
        reset="v = 0*mV; a += 1*mV; last = t",
        refractory="rest",
        method="euler",
        constants={"taum": "10*ms", "taua": "100*ms"},
        initial={"I": np.linspace(0.005, 0.025, n), "rest": np.arange(n) % 5 * 1e-3 + 1e-3},
    )
    values = np.stack([np.full(n, 0.030), np.linspace(0.030, 0.0, n)])
    return Network(
        populations=(Population("n", n, neuron),),
        projections=(
            spikes("rest", "n", "n", "v", Sparse(FixedProbability(0.2), "-0.4*mV"), delay=7),
        ),
        dt=DT,
        stimuli=(StepCurrent("step", "n", "I", (500, 900), values),),
    )


def noisy(n: int = 30, seed: int = 0) -> Network:
    """Ornstein-Uhlenbeck neurons with a threshold: what only counter-based draws repeat."""
    neuron = Spiking(
        "dv/dt = (v0 - v)/taum + sigma*sqrt(2/taum)*xi : volt",
        threshold="v > 10*mV",
        reset="v = 0*mV",
        method="euler",
        constants={"v0": "8*mV", "sigma": "2*mV", "taum": "10*ms"},
    )
    return Network(
        populations=(Population("n", n, neuron),),
        projections=(
            spikes("inhibit", "n", "n", "v", Sparse(FixedProbability(0.2), "-0.5*mV"), delay=7),
        ),
        dt=DT,
    )


SMALL = {
    "cuba": cuba,
    "cobahh": cobahh,
    "feed_forward_stdp": feed_forward_stdp,
    "brunel": brunel,
    "alpha": alpha,
    "conductance": conductance,
    "adaptive": adaptive,
    "noisy": noisy,
}
"""Every network here, at its own size."""
