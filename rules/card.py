"""The card of a rule: what it is, what it costs in locality, what it can be told."""

from __future__ import annotations

from typing import Any

from biosim.network import Network
from rules.rule import Rule
from rules.stack import OUTPUT
from rules.synaptic import SynapseRule


def facts(rule: Rule, network: Network) -> dict[str, Any]:
    """Return what is true of a rule on a network, read off the network itself."""
    reads: dict[str, None] = {}  # in the order of the network, each once
    for population in network.populations:
        beside = " (read-out)" if rule.reads_out and population.name == OUTPUT else ""
        for plasticity in network.plasticities(population.name):
            reads |= dict.fromkeys(line + beside for line in plasticity.reads.lines())
    tied = network.tied()
    return {
        "name": rule.name,
        "summary": (type(rule).__doc__ or "").strip().splitlines()[0],
        "source": rule.source,
        "equations": rule.equations,
        "locality": rule.locality,
        "reads": list(reads),
        "pathways": {
            pathway.name: f"{pathway.meaning} ({_counted(len(pathway.projections), 'projection')})"
            for pathway in network.pathways
        },
        "weight_transport": "yes" if tied else "no",
        "phases": [
            phase.name + (f" x{len(phase.polarity)}" if len(phase.polarity) > 1 else "")
            for phase in network.phases
            if any(mode.name == "LEARN" for mode in phase.modes)
        ],
        "ticks_a_presentation": network.learning_ticks,
        "ways_of_answering": list(rule.ways),
        "supervised_readout": rule.supervised_readout,
    }


def parameters(rule: type[Rule] | type[SynapseRule]) -> list[tuple[str, str, str]]:
    """Return (name, default, meaning) of each parameter of a rule."""
    return [
        (name, repr(field.default), field.description or "")
        for name, field in rule.model_fields.items()
        if name != "name"
    ]


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")
