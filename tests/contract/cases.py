"""Small networks of every rule, and every plasticity that they use."""

import torch

from biosim.contracts import Plasticity
from biosim.network import Network
from biosim.testing import CLASSES, FEATURES, SAMPLES
from rules import RULES, EquilibriumPropagation, ForwardForward, NoProp, Rule, Stack

# What a test says of a rule whose own values would take long.
SMALL = {
    "equilibrium_propagation": {"free_ticks": 4, "nudged_ticks": 2},
    "noprop": {"blocks": 3, "image_units": 4, "state_units": 3, "joint_units": 5},
}
SHORT = {"free_ticks": 3, "nudged_ticks": 2}

CASES: dict[str, Rule] = {
    **{name: rule(**SMALL.get(name, {})) for name, rule in RULES.items()},
    "forward_forward, no readout": ForwardForward(with_readout=False),
    "forward_forward, hard negatives": ForwardForward(negatives="hard"),
    "equilibrium_propagation, persistent": EquilibriumPropagation(persistent=True, **SHORT),
    "equilibrium_propagation, one-sided": EquilibriumPropagation(
        persistent=True, nudging="one_sided", step=0.5, **SHORT
    ),
    "noprop, sgd": NoProp(optimiser="sgd", momentum=0.9, **SMALL["noprop"]),
}
"""Rules as they are listed, and those of their ways that take other paths through the code."""


def wired(rule: Rule, hidden: tuple[int, ...] = (5, 4, 3)) -> Network:
    """The rule's network for the data of the laws."""
    return rule.wire(Stack(FEATURES, hidden, CLASSES, SAMPLES, torch.full((FEATURES,), 0.5)))


def plasticities(network: Network) -> list[Plasticity]:
    """Every plasticity of a network, those inside its populations too."""
    found = [projection.plasticity for projection in network.projections]
    found += [getattr(population.model, "plasticity", None) for population in network.populations]
    return [plasticity for plasticity in found if plasticity is not None]
