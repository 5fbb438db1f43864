"""Learning rules, one a file; a third party adds one by entry point.

`RULES` lists those that wire a network of layers, `SYNAPSE_RULES` those that are equations of a
synapse between spiking neurons.
"""

from importlib.metadata import entry_points
from typing import Any

from biosim.errors import BiosimError
from rules.backprop import Backprop
from rules.bcm import Bcm
from rules.clopath import Clopath
from rules.direct_feedback_alignment import DirectFeedbackAlignment
from rules.equilibrium_propagation import EquilibriumPropagation
from rules.feedback_alignment import FeedbackAlignment
from rules.forward_forward import ForwardForward
from rules.frozen import Frozen
from rules.homeostasis import Homeostasis
from rules.inhibitory_stdp import InhibitoryStdp
from rules.noprop import NoProp
from rules.reward_stdp import RewardStdp
from rules.rule import Rule
from rules.soft_hebb import SoftHebb
from rules.stack import Stack
from rules.stdp import Stdp
from rules.synaptic import SynapseRule
from rules.triplet_stdp import TripletStdp

RULES: dict[str, type[Rule]] = {
    "backprop": Backprop,
    "feedback_alignment": FeedbackAlignment,
    "direct_feedback_alignment": DirectFeedbackAlignment,
    "forward_forward": ForwardForward,
    "equilibrium_propagation": EquilibriumPropagation,
    "noprop": NoProp,
    "soft_hebb": SoftHebb,
    "frozen": Frozen,
}

SYNAPSE_RULES: dict[str, type[SynapseRule]] = {
    "stdp": Stdp,
    "triplet_stdp": TripletStdp,
    "reward_stdp": RewardStdp,
    "inhibitory_stdp": InhibitoryStdp,
    "homeostasis": Homeostasis,
    "bcm": Bcm,
    "clopath": Clopath,
}


def _add_installed() -> None:
    """Add the rules of installed packages, under the entry-point group "biosim.rules".

    Raises:
        BiosimError: one has a name that is taken, or cannot be loaded.
    """
    for found in entry_points(group="biosim.rules"):
        if found.name in RULES or found.name in SYNAPSE_RULES:
            raise BiosimError(f"{found.value} adds a rule {found.name!r}, a name that is taken")
        try:
            rule = found.load()
        except Exception as problem:
            raise BiosimError(f"rule {found.name!r} of {found.value}: {problem}") from problem
        if issubclass(rule, SynapseRule):
            SYNAPSE_RULES[found.name] = rule
        else:
            RULES[found.name] = rule


_add_installed()


def rule_of(given: Any) -> Any:
    """Return the rule of a table {"name": ..., parameter: ...}; a rule stays as it is.

    Raises:
        ValueError: the table has no name, or no rule has it.
        pydantic.ValidationError: a parameter is unknown or impossible.
    """
    if isinstance(given, Rule):
        return given
    name = given.get("name") if isinstance(given, dict) else None
    if not isinstance(name, str) or name not in RULES:
        raise ValueError(f"no rule {name!r}")
    return RULES[name].model_validate(given)


__all__ = [
    "RULES",
    "SYNAPSE_RULES",
    "Backprop",
    "Bcm",
    "Clopath",
    "DirectFeedbackAlignment",
    "EquilibriumPropagation",
    "FeedbackAlignment",
    "ForwardForward",
    "Frozen",
    "Homeostasis",
    "InhibitoryStdp",
    "NoProp",
    "RewardStdp",
    "Rule",
    "SoftHebb",
    "Stack",
    "Stdp",
    "SynapseRule",
    "TripletStdp",
    "rule_of",
]
