"""Direct feedback alignment: the output's error is broadcast to every layer."""

from __future__ import annotations

from typing import ClassVar, Literal

from biosim.network import Network
from rules.backprop import ErrorPathway, error_down, fixed_random
from rules.stack import OUTPUT, Stack


class DirectFeedbackAlignment(ErrorPathway):
    """The error of the output to every hidden layer at once, through fixed random weights."""

    source: ClassVar[str] = "Nokland 2016, NeurIPS (arXiv 1609.01596), eq. 7"
    equations: ClassVar[str] = (
        "delta_l = (B_l e) * f'(a_l), B fixed, e the error of the output;  dW_l = lr delta_l h^T"
    )
    locality: ClassVar[str] = "no weight transport; one broadcast of the output's error"

    name: Literal["direct_feedback_alignment"] = "direct_feedback_alignment"

    def wire(self, stack: Stack) -> Network:
        """Return the network whose error pathway goes from the output to every layer."""
        error = [
            error_down(OUTPUT, layer, fixed_random(stack.classes)) for layer in stack.layers[1:]
        ]
        return self.wired(stack, error, "from the output straight to every hidden layer")
