"""Learning rules, one a file. `RULES` lists them; a third party adds one by entry point."""

from importlib.metadata import entry_points
from typing import Any

from biosim.errors import BiosimError
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


def _add_installed() -> None:
    """Add the rules of installed packages, under the entry-point group "biosim.rules".

    Raises:
        BiosimError: one has a name that is taken, or cannot be loaded.
    """
    for found in entry_points(group="biosim.rules"):
        if found.name in RULES:
            raise BiosimError(f"{found.value} adds a rule {found.name!r}, a name that is taken")
        try:
            RULES[found.name] = found.load()
        except Exception as problem:
            raise BiosimError(f"rule {found.name!r} of {found.value}: {problem}") from problem


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
    "rule_of",
]
