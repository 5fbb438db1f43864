"""Feedback alignment: the error comes down through fixed random weights."""

from __future__ import annotations

import itertools
from typing import ClassVar, Literal

from biosim.network import Network
from rules.backprop import ErrorPathway, error_down, fixed_random
from rules.stack import OUTPUT, Stack


class FeedbackAlignment(ErrorPathway):
    """Error layer by layer, through random weights that never change."""

    source: ClassVar[str] = (
        "Lillicrap, Cownden, Tweed and Akerman 2016, Nature Communications 7:13276, eq. 2"
    )
    equations: ClassVar[str] = (
        "delta_l = (B_{l+1} delta_{l+1}) * f'(a_l), B fixed;  dW_l = lr delta_l h_{l-1}^T"
    )
    locality: ClassVar[str] = "no weight transport; the error is still chained through the layers"

    name: Literal["feedback_alignment"] = "feedback_alignment"

    def wire(self, stack: Stack) -> Network:
        """Return the network whose error pathway has weights of its own."""
        layers = [*stack.layers[1:], OUTPUT]
        error = [
            error_down(high, low, fixed_random(stack.size(high)))
            for low, high in itertools.pairwise(layers)
        ]
        return self.wired(stack, error, "layer by layer, through fixed random weights")
