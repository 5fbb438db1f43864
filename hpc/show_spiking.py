"""What the command line prints about spiking scenarios: text, no results.

What needs Brian2's parser and the kernels' compiler is imported where it is used: they take
seconds, and most commands do without.
"""

from __future__ import annotations

from biosim.errors import ScenarioError
from scenarios.reading import AnyScenario
from scenarios.spiking.schema import SpikingScenario
from scenarios.tasks.schema import TaskScenario

SIMULATORS = ("brian2",)
"""What a network can be checked against."""


def validity_text(scenario: SpikingScenario) -> str:
    """Return what a scenario describes, after everything about it was checked.

    Raises:
        BiosimError: it cannot be run.
    """
    from scenarios.disk import size_text
    from scenarios.spiking.checking import check

    checked = check(scenario)
    network, needs = checked.described.network, checked.needs
    return (
        f"{scenario.name} is valid: {len(network.populations)} populations of {needs.neurons:,} "
        f"neurons, {len(network.projections)} projections with about {needs.synapses:,.0f} "
        f"synapses, {checked.described.ticks:,} ticks of {scenario.dt}; needs about "
        f"{size_text(needs.total_bytes)}, and stores {checked.stores.line()}"
    )


def task_validity_text(scenario: TaskScenario) -> str:
    """Return what a task is, after everything about it was checked.

    Raises:
        BiosimError: it cannot be run.
    """
    from scenarios.disk import size_text
    from scenarios.tasks.checking import check, stores

    network, needs = check(scenario)
    return (
        f"{scenario.name} is valid: {scenario.task.kind} with rule {scenario.rule.name}, "
        f"{len(network.populations)} populations of {needs.neurons:,} neurons, about "
        f"{needs.synapses:,.0f} synapses; needs about {size_text(needs.total_bytes)}, "
        f"and stores {stores(scenario, network).line()}"
    )


def check_text(scenario: AnyScenario, against: str, duration: str) -> str:
    """Simulate a network here and in another simulator, and return where the two part.

    Args:
        scenario: a spiking one.
        against: name of the other simulator.
        duration: simulated time; empty for the scenario's own.

    Raises:
        BiosimError: it is no spiking network, there is no such simulator, or the network has
            something that the other one cannot be given.
    """
    if not isinstance(scenario, SpikingScenario):
        raise ScenarioError(
            f"{scenario.name} is no spiking network of [populations]; only those can be checked "
            "against another simulator"
        )
    if against not in SIMULATORS:
        raise ScenarioError(f"--against: got {against!r}; expected {', '.join(SIMULATORS)}")
    from biosim.brian_twin import check as check_in_brian
    from scenarios.spiking.checking import check
    from scenarios.spiking.values import Values

    described = check(scenario).described
    ticks = described.ticks
    if duration:
        step = f"{described.network.dt!r}*second"  # the scenario's own text may name constants
        ticks = Values({}, step).ticks(duration, "check", "duration")
    lines = check_in_brian(described.network, scenario.run.seed, ticks)
    return "\n".join([f"{scenario.name}, seed {scenario.run.seed}, {ticks:,} ticks:", *lines])


def milliseconds(seconds: float) -> str:
    """Return a short time as text."""
    return f"{seconds * 1e3:g} ms"


def spiking_starter_text(name: str) -> str:
    """Return a commented scenario file of a spiking network, with every key that there is."""
    return STARTER.replace("NAME", name)


STARTER = '''\
# NAME: a spiking network for biosim.
# A line that begins with "# " and a key shows what else there is; take the "# " away to use it.
# What has a unit is text, in Brian2's language: "20 ms", "0.1*J", "-60*mV + 5*mV*randn()".
# Check it: biosim validate NAME.toml      Run it: biosim run NAME.toml run.duration="2 s"
name = "NAME"
dt = "0.1 ms"                       # length of a tick
# scale = 0.5                       # any text may use it: size = "1000 * scale"

[constants]                         # any text may use them
J = "0.5 mV"

[neurons.lif]                       # what several populations share; each can say otherwise
model = """
dv/dt = (El - v + g + I) / taum : volt (unless refractory)
dg/dt = -g / taug : volt
I : volt
"""
threshold = "v > -50*mV"
reset = "v = El"
refractory = "2 ms"                 # a time, a parameter of the equations, or a condition
method = "exact"                    # exponential_euler, euler, rk2, rk4, heun, milstein
constants = { El = "-65 mV", taum = "20 ms", taug = "5 ms" }
initial = { v = "El + 15*mV*rand()", I = "14 mV" }
# integration = "event"             # clock: every tick; event: only when something arrives; auto
# expected_rate = "10 Hz"           # of a synapse: by which auto decides

[populations]
E = { size = 400, neuron = "lif" }
I = { size = 100, neuron = "lif", initial = { I = "13 mV" } }
noise = { kind = "poisson", size = 50, rate = "10 Hz" }
told = { kind = "spikes", size = 2, indices = [0, 1, 0], times = ["10 ms", "10 ms", "25 ms"] }
# listed = { kind = "spikes", size = 2, file = "spikes.csv" }   # .csv or .npz: index, time_s

[projections.excitatory]
source = "E"                        # or a list
target = ["E", "I"]                 # or one name; rows of a matrix of p or n are targets
receptor = "g"                      # variable of the target that a spike adds to
wiring = { rule = "fixed_probability", p = 0.05 }
weight = "J"                        # or drawn, as the delay is here, or uniform = [from, to]
# normal: mean, deviation, and if given the least and the greatest; one tick where left out.
delay = { normal = ["1.5 ms", "0.5 ms", "0.1 ms", "5 ms"] }

[projections.inhibitory]
source = "I"
target = ["E", "I"]
receptor = "g"
wiring = { rule = "fixed_in_degree", n = 10, selves = false, multiple = false }
weight = "-4 * J"
delay = "0.8 ms"

[projections.told]
source = "told"
target = "E"
receptor = "g"
wiring = { rule = "pairs", sources = [0, 1], targets = [7, 8], weights = [1, 2] }   # times weight
weight = "20 mV"
# wiring = { rule = "all_to_all", selves = false }
# wiring = { rule = "fixed_total", n = 50 }        # or p, the chance that a pair is joined at all
# wiring = { rule = "matrix", file = "weights.npz" }   # of scipy, a row for each target
# wiring.rule = "table"             # a connectome: its headings, and which lines and names count
# wiring.file = "connectome.csv"
# wiring.columns = { source = "from", target = "to", weight = "synapses" }
# wiring.only = { type = "chemical" }
# wiring.names = ["AVAL", "AVAR"]

[projections.learning]
source = "noise"
target = "E"
receptor = "g"
wiring = { rule = "all_to_all" }
weight = { uniform = ["0 mV", "1 mV"] }
# plasticity = { rule = "stdp", w_max = "1 mV" }   # a rule by name; or your own in five lines:

[projections.learning.plasticity]
model = """
w : volt
dpre/dt = -pre / (20*ms) : 1 (event-driven)
dpost/dt = -post / (20*ms) : 1 (event-driven)
"""
on_pre = "receptor += w; w = clip(w - step*post, 0*mV, 1*mV); pre += 1"
on_post = "w = clip(w + step*pre, 0*mV, 1*mV); post += 1"
constants = { step = "0.01 mV" }
initial = { }
bounds = { w = ["0 mV", "1 mV"] }
delay_post = "0 ms"

[inputs.background]
kind = "poisson"
target = "E"
receptor = "g"
rate = "5 Hz"
n = 100                             # trains a neuron
weight = "J"

[inputs.pulse]
kind = "step"
target = "I"
variable = "I"
times = ["50 ms", "60 ms"]
values = ["20 mV", "13 mV"]

[run]
duration = "100 ms"
seed = 0
dtype = "float32"                   # or float64
threads = 1
pretend_ranks = 1
limit_s = 600.0                     # seconds a rank waits for the others

[checkpoint]
# minutes = 10.0        # from one checkpoint to the next, from which a run can go on
# ticks = 100000        # from one to the next, besides
# keep = 2              # of the last ones

[place]
strategy = "auto"                   # or blocks, which is the same: ranks share blocks of neurons

[record]
spikes = true                       # all; or ["E", { population = "I", neurons = [0, 1] }]
states = [{ population = "E", variables = ["v"], neurons = 3, every = "1 ms" }]
weights = [{ projection = "learning", every = "50 ms" }]
# Each of the three may be limited in time: during = [["10 ms", "30 ms"], ["80 ms", "100 ms"]].
'''
