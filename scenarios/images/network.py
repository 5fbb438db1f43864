"""The network of Diehl and Cook (2015): inputs, excitatory neurons that compete, inhibitory ones.

Every input reaches every excitatory neuron, by synapses that learn. An excitatory spike makes its
inhibitory partner fire, which silences all other excitatory neurons. A threshold that rises with
every spike gives the others a turn.

Source: Diehl & Cook 2015, "Unsupervised learning of digit recognition using spike-timing-dependent
plasticity", Frontiers in Computational Neuroscience 9:99, and their published code, whose numbers
these are where the paper gives none.
"""

from __future__ import annotations

import re
from dataclasses import replace

from biosim.equations.code import EquationError
from biosim.events import Kind
from biosim.network import Network, Population, Projection
from biosim.spiking.description import PoissonSource, Sparse, SpikeList, Spiking, SynapseModel
from biosim.wiring import AllToAll, OneToOne
from rules.synaptic import SynapseRule
from scenarios.images.schema import Cortex

INPUT, EXCITATORY, INHIBITORY = "input", "excitatory", "inhibitory"
LEARNT = f"{INPUT}-{EXCITATORY}"
"""The projection whose weights change."""

THRESHOLD, STEP, SWITCH = "theta", "theta_step", "learning"
"""What freezes: the rise of a neuron's threshold, and the factor of every change of a weight."""

# The conductances of Diehl and Cook have no unit: they are shares of the leak's.
_CONDUCTANCES = """
dge/dt = -ge/(1*ms) : 1
dgi/dt = -gi/(2*ms) : 1
"""
_EXCITATORY = """
dv/dt = ((-65*mV - v) - ge*v + gi*(-100*mV - v)) / (100*ms) : volt
theta : volt
theta_step : volt
"""
_INHIBITORY = """
dv/dt = ((-60*mV - v) - ge*v + gi*(-85*mV - v)) / (10*ms) : volt (unless refractory)
"""


def network(inputs: int | SpikeList, cortex: Cortex, rule: SynapseRule, dt: float) -> Network:
    """Return the network.

    Args:
        inputs: how many fire at rates that are set before each image; or their spikes.
        cortex: what the table `network` says.
        rule: by which the weights of the inputs change; a weight has no unit.
        dt: length of a tick in seconds.

    Raises:
        EquationError: the rule cannot be switched off; see `switched`.
    """
    size = cortex.excitatory
    excitatory = Spiking(
        _EXCITATORY + _CONDUCTANCES,
        # In the published code a neuron that has fired is clamped for 5 ms only, but its timer,
        # which runs in tenths, lets it fire again after 50 ms: without that it runs away.
        threshold="v > theta - 72*mV",
        reset="v = -65*mV; theta += theta_step",
        refractory=f"{cortex.refractory_ms}*ms",
        method="exponential_euler",
        initial={
            "v": "-105*mV",
            THRESHOLD: f"{cortex.theta_mv}*mV",
            STEP: f"{cortex.theta_step_mv}*mV",
        },
    )
    inhibitory = Spiking(
        _INHIBITORY + _CONDUCTANCES,
        threshold="v > -40*mV",
        reset="v = -45*mV",
        refractory="2*ms",
        method="exponential_euler",
        initial={"v": "-100*mV"},
    )
    if isinstance(inputs, SpikeList):
        raise NotImplementedError
    learnt = Sparse(
        AllToAll(), f"{cortex.weight} * (rand() + 0.01)", synapse=switched(rule.synapse())
    )
    return Network(
        (
            Population(INPUT, inputs, PoissonSource("0*Hz")),
            Population(EXCITATORY, size, excitatory),
            Population(INHIBITORY, size, inhibitory),
        ),
        (
            _joined(INPUT, EXCITATORY, "ge", learnt),
            _joined(EXCITATORY, INHIBITORY, "ge", Sparse(OneToOne(), cortex.to_inhibitory)),
            _joined(
                INHIBITORY, EXCITATORY, "gi", Sparse(AllToAll(selves=False), cortex.to_excitatory)
            ),
        ),
        dt=dt,
    )


def _joined(source: str, target: str, receptor: str, synapses: Sparse) -> Projection:
    return Projection(
        f"{source}-{target}", source, target, "spikes", receptor, Kind.SPIKE, weights=synapses
    )


_CHANGE = re.compile(r"\s*w\s*([-+*/]?)=(?!=)(.*)")


def switched(synapse: SynapseModel) -> SynapseModel:
    """Return synapses whose weights change while the shared variable `learning` is 1, not 0.

    Everything else, such as traces, goes on.

    Raises:
        EquationError: the weight changes by itself, between spikes.
    """
    if re.search(r"\bdw\s*/\s*dt\b", synapse.model):
        raise EquationError(
            "a weight that changes between spikes cannot be switched off; expected a rule that "
            "changes weights at spikes only, such as stdp"
        )
    return replace(
        synapse,
        model=f"{synapse.model}\n{SWITCH} : 1 (shared)",
        on_pre=_with_switch(synapse.on_pre),
        on_post=_with_switch(synapse.on_post),
        initial={**synapse.initial, SWITCH: 1.0},
    )


def _with_switch(statements: str) -> str:
    lines = []
    for line in re.split(r"[;\n]", statements):
        found = _CHANGE.fullmatch(line.partition("#")[0])
        if found is None:
            lines.append(line)
            continue
        sign, value = found.groups()
        changed = f"w {sign} ({value})" if sign else f"({value})"
        # Exactly one or the other: a difference times the switch would be rounded.
        lines.append(f"w = {SWITCH}*({changed}) + (1 - {SWITCH})*w")
    return "\n".join(lines)
