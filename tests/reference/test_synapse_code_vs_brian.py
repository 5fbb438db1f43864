"""Scalar code of synapses, run by its contract, against Brian2's own run of the same text.

A spike of tick k that arrives d ticks later is, in Brian2, one of step k with a delay of d - 1
steps; it ends its step with the synapses, biosim begins the next tick with them.
"""

import numpy as np
import pytest

from biosim.equations.brian import brian, quiet
from biosim.equations.synapses import synapse_code
from tests.unit.biosim.equations.synapse_rules import (
    DT,
    PRE,
    RULES,
    Rule,
    neuron,
)
from tests.unit.biosim.equations.synapse_runs import (
    Events,
    by_contract,
    coincidences,
    random_events,
)


def by_brian(rule: Rule, events: Events) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return variables of the synapses and what each neuron received in all."""
    brian()
    with quiet():
        import brian2 as b

        b.prefs.codegen.target = "numpy"
        clock = b.Clock(DT * b.second)
        steps, who = np.nonzero(events.spikes)
        sources = b.SpikeGeneratorGroup(
            events.spikes.shape[1], who, steps * clock.dt, clock=clock, sorted=True
        )
        fired = b.TimedArray(events.fired.astype(float), dt=clock.dt)
        targets = b.NeuronGroup(
            events.fired.shape[1],
            "ge : 1",
            threshold="fired(t, i) > 0.5",
            namespace={"fired": fired},
            clock=clock,
        )
        values = {
            name: float(text) if not isinstance(text, str) else text
            for name, text in rule.synapse.constants.items()
        }
        known: dict = {}
        for name, text in values.items():
            known[name] = eval(text, vars(b), known) if isinstance(text, str) else text
        synapses = b.Synapses(
            sources,
            targets,
            rule.synapse.model,
            on_pre=rule.synapse.on_pre,
            on_post=rule.synapse.on_post or None,
            namespace=known,
            clock=clock,
        )
        synapses.connect(i=events.sources, j=events.targets)
        synapses.pre.delay = (events.delays - 1) * clock.dt
        synapses.w = events.weights
        for name, start in rule.start.items():
            setattr(synapses, name, start)
        network = b.Network(sources, targets, synapses)
        network.run((len(events.spikes) - 1) * clock.dt, namespace={})
        return {"w": np.array(synapses.w)}, np.array(targets.ge)


@pytest.mark.parametrize("name", ["stdp", "triplet", "diehl and cook", "short-term plasticity"])
def test_weights_and_input_are_those_of_brian(name) -> None:
    rule = RULES[name]
    events = random_events(3, ticks=300)
    assert coincidences(events) > 20
    variables, received = by_brian(rule, events)
    code = synapse_code(rule.synapse, "ge", DT, name, neuron(), PRE)
    mine = by_contract(code, rule, events)
    weights = np.array([synapse["w"] for synapse in mine.synapses])
    assert np.abs(weights - variables["w"]).max() < 1e-12
    assert np.abs(mine.given["ge"].sum(0) - received).max() < 1e-12 * received.max()
