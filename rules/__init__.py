"""Learning rules, one a file. `RULES` lists them; a third party adds one by entry point."""

from rules.backprop import Backprop
from rules.direct_feedback_alignment import DirectFeedbackAlignment
from rules.equilibrium_propagation import EquilibriumPropagation
from rules.feedback_alignment import FeedbackAlignment
from rules.forward_forward import ForwardForward
from rules.frozen import Frozen
from rules.noprop import NoProp
from rules.rule import Rule
from rules.soft_hebb import SoftHebb
from rules.stack import Stack

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

__all__ = [
    "RULES",
    "Backprop",
    "DirectFeedbackAlignment",
    "EquilibriumPropagation",
    "FeedbackAlignment",
    "ForwardForward",
    "Frozen",
    "NoProp",
    "Rule",
    "SoftHebb",
    "Stack",
]
