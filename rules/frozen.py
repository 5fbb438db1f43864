"""No plasticity but the read-out's: the control that every rule has to beat."""

from __future__ import annotations

import itertools
from typing import ClassVar, Literal

from pydantic import Field

from biosim.network import Network, Population
from biosim.plasticity import ErrorDriven
from biosim.populations import Source
from biosim.populations.source import Plain
from rules.rule import Stepped, judge, label_to, readout_label, score_from, softmax_output
from rules.stack import INPUT, OUTPUT, Stack, forward


class Frozen(Stepped):
    """Random hidden layers that never change, and a softmax read-out of the top one."""

    source: ClassVar[str] = (
        "control: random features with a linear read-out, as in Rahimi and Recht 2007, NeurIPS"
    )
    equations: ClassVar[str] = "dW_l = 0;  read-out: dV = lr (y - softmax(V h)) h^T"
    locality: ClassVar[str] = "hidden synapses do nothing; the read-out sees the label"

    name: Literal["frozen"] = "frozen"
    lr: float = Field(3e-3, gt=0, description="learning rate of the read-out")

    @property
    def reads_out(self) -> bool:
        """True: the output reads the hidden layers and learns from labels."""
        return True

    def wire(self, stack: Stack) -> Network:
        """Return the network in which only the read-out is plastic."""
        layers = stack.layers
        up = [forward(stack, low, high, None) for low, high in itertools.pairwise(layers)]
        return Network(
            populations=(
                Population(INPUT, stack.inputs, Source(Plain)),
                *stack.hidden_populations(),
                softmax_output(stack.classes),
                judge(stack.classes),
            ),
            projections=(
                *up,
                forward(stack, layers[-1], OUTPUT, self.step(ErrorDriven()), scale=0.5),
                label_to(OUTPUT),
                score_from(OUTPUT),
            ),
            pathways=(readout_label(),),
        )
