"""Published rules as synapse models, and neurons for them to end at."""

from dataclasses import dataclass, field
from math import exp, expm1, floor, sqrt

from biosim.equations.code import NeuronCode, Variable
from biosim.spiking.description import SynapseModel

DT = 1e-3
POST = ("v", "ge", "u", "x", "goal")
PRE = (Variable("gain", "parameter", "float", "1"),)
UNITS = {"ms": 1e-3, "second": 1.0, "mV": 1e-3, "volt": 1.0, "Hz": 1.0}
FUNCTIONS = {
    "clip": lambda x, low, high: min(max(x, low), high),
    "where": lambda condition, a, b: a if condition else b,
    "exp": exp,
    "expm1": expm1,
    "sqrt": sqrt,
    "floor": floor,
    "int": int,
    "abs": abs,
}


def neuron(*variables: Variable, subexpressions: dict[str, str] | None = None) -> NeuronCode:
    """A post neuron of which only the variables matter."""
    given = variables or (
        Variable("v", "state", "float", "V"),
        Variable("ge", "state", "float", "1"),
        Variable("u", "state", "float", "V"),
        Variable("x", "state", "float", "V"),
        Variable("goal", "parameter", "float", "1"),
    )
    return NeuronCode(
        variables=given,
        update=(),
        subexpressions=subexpressions or {},
        threshold=None,
        reset=(),
        refractory_ticks=0,
        refractory=None,
        refractory_condition=None,
        noise=(),
        uniform=(),
        method="exact",
        jump=None,
        ceiling=None,
        ceiling_reason="not asked",
    )


@dataclass(frozen=True)
class Rule:
    """A rule, and what is known about it.

    Args:
        synapse: the model.
        decay: event-driven variable -> (row of the matrix as name -> coefficient, constant).
        clock: the clock-driven update in Python, by hand, over old values.
        start: variable -> value at the start.
        pre: traces expected to live at the source.
        post: traces expected to live at the post neuron.
        own: traces expected to live in the synapse.
    """

    synapse: SynapseModel
    decay: dict[str, tuple[dict[str, float], float]]
    clock: dict[str, str] = field(default_factory=dict)
    start: dict[str, float] = field(default_factory=dict)
    pre: tuple[str, ...] = ()
    post: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    kept: tuple[str, ...] = ("w",)


def fading(**tau: float) -> dict[str, tuple[dict[str, float], float]]:
    return {name: ({name: -1 / time}, 0.0) for name, time in tau.items()}


PAIR = """w : 1
dApre/dt = -Apre/taupre : 1 (event-driven)
dApost/dt = -Apost/taupost : 1 (event-driven)"""
TIMES = {"taupre": "20*ms", "taupost": "30*ms", "gmax": 1.0}
PAIRED = fading(Apre=0.02, Apost=0.03)
STEPS = {"dApre": "0.01*gmax", "dApost": "-dApre*1.05"}

RULES = {
    "static": Rule(SynapseModel("w : 1", "ge += w"), {}),
    # Brian2's documentation, after Song, Miller & Abbott 2000.
    "stdp": Rule(
        SynapseModel(
            PAIR,
            "ge += w\nApre += dApre\nw = clip(w + Apost, 0, gmax)",
            "Apost += dApost\nw = clip(w + Apre, 0, gmax)",
            {**TIMES, **STEPS},
        ),
        PAIRED,
        pre=("Apre",),
        post=("Apost",),
    ),
    "stdp that sends the new weight": Rule(
        SynapseModel(
            PAIR,
            "w = clip(w + Apost, 0, gmax); Apre += dApre; ge += w",
            "w = clip(w + Apre, 0, gmax); Apost += dApost",
            {**TIMES, **STEPS},
        ),
        PAIRED,
        pre=("Apre",),
        post=("Apost",),
    ),
    "multiplicative": Rule(
        SynapseModel(
            PAIR,
            "receptor += w\nApre += 0.02\nw -= 0.03*w*Apost",
            "Apost += 1\nw += (gmax - w)*Apre",
            TIMES,
        ),
        PAIRED,
        pre=("Apre",),
        post=("Apost",),
    ),
    "power law": Rule(
        SynapseModel(
            PAIR,
            "ge += w\nApre += 1\nw = clip(w - 0.02*w**mu*Apost, 0, gmax)",
            "Apost += 1\nw = clip(w + 0.02*(gmax - w)**mu*Apre, 0, gmax)",
            {**TIMES, "mu": 0.4},
        ),
        PAIRED,
        pre=("Apre",),
        post=("Apost",),
    ),
    "nearest neighbour": Rule(
        SynapseModel(
            PAIR,
            "ge += w\nApre = dApre\nw = clip(w + Apost, 0, gmax)",
            "Apost = dApost\nw = clip(w + Apre, 0, gmax)",
            {**TIMES, **STEPS},
        ),
        PAIRED,
        pre=("Apre",),
        post=("Apost",),
    ),
    # Pfister & Gerstner 2006: the slow traces are read before they are raised.
    "triplet": Rule(
        SynapseModel(
            """w : 1
            dr1/dt = -r1/(16.8*ms) : 1 (event-driven)
            dr2/dt = -r2/(101*ms) : 1 (event-driven)
            do1/dt = -o1/(33.7*ms) : 1 (event-driven)
            do2/dt = -o2/(125*ms) : 1 (event-driven)""",
            """ge += w
            w = clip(w - o1*(A2m + A3m*r2), 0, 1)
            r1 += 1
            r2 += 1""",
            """w = clip(w + r1*(A2p + A3p*o2), 0, 1)
            o1 += 1
            o2 += 1""",
            {"A2p": 5e-3, "A3p": 6.2e-3, "A2m": 7e-3, "A3m": 2.3e-4},
        ),
        fading(r1=0.0168, r2=0.101, o1=0.0337, o2=0.125),
        pre=("r1", "r2"),
        post=("o1", "o2"),
    ),
    # Vogels et al. 2011; alpha = 2 rho0 tau.
    "inhibitory": Rule(
        SynapseModel(
            PAIR,
            "ge += w\nApre += 1\nw = clip(w + (Apost - alpha)*eta, 0, gmax)",
            "Apost += 1\nw = clip(w + Apre*eta, 0, gmax)",
            {**TIMES, "eta": 0.01, "rho0": "3*Hz", "alpha": "2*rho0*taupost"},
        ),
        PAIRED,
        pre=("Apre",),
        post=("Apost",),
    ),
    # Diehl & Cook 2015: traces are set to 1, and post2 is read before.
    "diehl and cook": Rule(
        SynapseModel(
            """w : 1
            dpre/dt = -pre/(20*ms) : 1 (event-driven)
            dpost1/dt = -post1/(20*ms) : 1 (event-driven)
            dpost2/dt = -post2/(40*ms) : 1 (event-driven)""",
            "ge += w; pre = 1.; w = clip(w - nu_pre*post1, 0, 1)",
            "old = post2; w = clip(w + nu_post*pre*old, 0, 1); post1 = 1.; post2 = 1",
            {"nu_pre": 1e-2, "nu_post": 1e-1},
        ),
        fading(pre=0.02, post1=0.02, post2=0.04),
        pre=("pre",),
        post=("post1", "post2"),
    ),
    # Izhikevich 2007, with one dopamine trace for all.
    "reward": Rule(
        SynapseModel(
            """dw/dt = c*d/second : 1 (clock-driven)
            dc/dt = -c/tauc : 1 (event-driven)
            dd/dt = -d/taud : 1 (clock-driven, shared)
            dApre/dt = -Apre/taupre : 1 (event-driven)
            dApost/dt = -Apost/taupost : 1 (event-driven)""",
            "ge += w\nApre += 0.02\nc += Apost",
            "Apost -= 0.021\nc += Apre",
            {**TIMES, "tauc": "100*ms", "taud": "50*ms"},
        ),
        PAIRED,
        clock={"w": "w + dt*c*d", "c": "c*exp(-dt/0.1)", "d": "d - dt*d/0.05"},
        start={"d": 0.7},
        pre=("Apre",),
        post=("Apost",),
        kept=("w", "c"),
    ),
    # Tsodyks & Markram, as in Brian2's documentation.
    "short-term plasticity": Rule(
        SynapseModel(
            """w : 1
            du_S/dt = -Omega_f*u_S : 1 (event-driven)
            dx_S/dt = Omega_d*(1 - x_S) : 1 (event-driven)""",
            "u_S += U_0*(1 - u_S)\nr_S = u_S*x_S\nx_S -= r_S\nge += w*r_S",
            constants={"Omega_f": "3.33/second", "Omega_d": "2/second", "U_0": 0.6},
            initial={"x_S": 1},
        ),
        {"u_S": ({"u_S": -3.33}, 0.0), "x_S": ({"x_S": -2.0}, 2.0)},
        start={"x_S": 1.0},
        pre=("u_S", "x_S"),
    ),
    "short-term plasticity by synapse": Rule(
        SynapseModel(
            """w : 1
            U : 1
            du_S/dt = -Omega_f*u_S : 1 (event-driven)
            dx_S/dt = Omega_d*(1 - x_S) : 1 (event-driven)""",
            "u_S += U*(1 - u_S)\nr_S = u_S*x_S\nx_S -= r_S\nge += w*r_S",
            constants={"Omega_f": "3.33/second", "Omega_d": "2/second"},
            initial={"x_S": 1, "U": "rand()"},
        ),
        {"u_S": ({"u_S": -3.33}, 0.0), "x_S": ({"x_S": -2.0}, 2.0)},
        start={"x_S": 1.0, "U": 0.3},
        own=("u_S", "x_S"),
        kept=("w", "U"),
    ),
    "eligibility fed by a pre trace": Rule(
        SynapseModel(
            """w : 1
            dy/dt = -y/(10*ms) : 1 (event-driven)
            dc/dt = (y - c)/(25*ms) : 1 (event-driven)
            dz/dt = -z/(15*ms) : 1 (event-driven)""",
            "ge += w\ny += 1\nz += 1",
            "w += 0.01*c - 0.001*z\nc = 0",
        ),
        {
            "y": ({"y": -100.0}, 0.0),
            "c": ({"c": -40.0, "y": 40.0}, 0.0),
            "z": ({"z": -1 / 0.015}, 0.0),
        },
        pre=("z",),
        own=("y", "c"),
    ),
    "alpha trace, parameters of both neurons, shared factor": Rule(
        SynapseModel(
            """w : 1
            rate : 1 (shared)
            dy/dt = -y/(10*ms) : 1 (event-driven)
            da/dt = (y - a)/(10*ms) : 1 (event-driven)
            db/dt = (goal_post - b)/(40*ms) : 1 (event-driven)
            drive = a*rate : 1""",
            "ge += w*gain_pre\ny += gain_pre\nw += drive*int(v > -60*mV)\nu_post -= w*mV",
            "w -= b*rate\nb += goal\nge_post += 0.1*b",
        ),
        {
            "y": ({"y": -100.0}, 0.0),
            "a": ({"a": -100.0, "y": 100.0}, 0.0),
            "b": ({"b": -25.0, "goal": 25.0}, 0.0),
        },
        start={"rate": 0.02},
        pre=("y", "a"),
        post=("b",),
    ),
    # Clopath et al. 2010, with the filtered voltages u and x kept by the post neuron.
    "voltage based": Rule(
        SynapseModel(
            """dw/dt = A*trace*plus : 1 (clock-driven)
            dtrace/dt = -trace/(15*ms) : 1 (clock-driven)
            far = inf*volt : volt
            plus = clip(v_post - theta, 0*mV, far)*clip(u - theta, 0*mV, far) : volt**2""",
            "ge += w\nw = clip(w - B*clip(x_post - theta, 0*mV, inf*volt), 0, 1)\ntrace += 1",
            constants={"A": "500/(second*volt**2)", "B": "0.4/volt", "theta": "-65*mV"},
        ),
        {},
        clock={
            "w": "w + dt*500*trace*max(v_post + 0.065, 0)*max(u_post + 0.065, 0)",
            "trace": "trace - dt*trace/0.015",
        },
        kept=("w", "trace"),
    ),
}
