"""Backpropagation of errors: the baseline that the other rules are held to."""

from __future__ import annotations

import itertools
from typing import ClassVar, Literal

from pydantic import Field

from biosim.events import Kind, Mode
from biosim.network import Network, Pathway, Population, Projection
from biosim.plasticity import ErrorDriven
from biosim.populations import Source
from biosim.populations.source import Plain
from biosim.wiring import Dense, Tied, fan_in
from rules.rule import Stepped, judge, label_to, score_from, softmax_output
from rules.stack import INPUT, OUTPUT, Stack, forward


class ErrorPathway(Stepped):
    """The forward network and plasticity that backprop and feedback alignment share.

    They differ in the projections that bring the error down, and in nothing else.
    """

    lr: float = Field(3e-3, gt=0, description="learning rate")

    def wired(self, stack: Stack, error: list[Projection], meaning: str) -> Network:
        """Return the forward network with these projections as its error pathway."""
        plasticity = self.step(ErrorDriven())
        layers = [*stack.layers, OUTPUT]
        up = [
            # A small output at the start keeps the first errors from saturating it.
            forward(stack, low, high, plasticity, scale=0.5 if high == OUTPUT else 1.0)
            for low, high in itertools.pairwise(layers)
        ]
        return Network(
            populations=(
                Population(INPUT, stack.inputs, Source(Plain)),
                *stack.hidden_populations(),
                softmax_output(stack.classes),
                judge(stack.classes),
            ),
            projections=(*up, label_to(OUTPUT), *error, score_from(OUTPUT)),
            pathways=(
                Pathway("label", (f"label-{OUTPUT}",), "the label, to the output only"),
                Pathway("error", tuple(p.name for p in error), meaning),
            ),
        )


def error_down(source: str, target: str, weights: Dense | Tied) -> Projection:
    """Return the projection that brings the delta of one layer to one below."""
    return Projection(
        name=f"{source}-{target}",
        source=source,
        target=target,
        carries="delta",
        receptor="apical",
        kind=Kind.FEEDBACK,
        weights=weights,
        modes=(Mode.LEARN,),
    )


def fixed_random(n_source: int) -> Dense:
    """Return feedback weights that are drawn once: N(0, 1 / n_source), no bias."""
    return Dense("normal", fan_in(n_source), bias=False)


class Backprop(ErrorPathway):
    """Error layer by layer, through the transposed forward weights."""

    source: ClassVar[str] = (
        "Rumelhart, Hinton and Williams 1986, Nature 323:533, eq. 6-8; softmax and cross-entropy"
    )
    equations: ClassVar[str] = (
        "delta_l = (W_{l+1}^T delta_{l+1}) * f'(a_l);  dW_l = lr delta_l h_{l-1}^T"
    )
    locality: ClassVar[str] = (
        "weight transport: the error comes down through the transpose of the forward weights"
    )

    name: Literal["backprop"] = "backprop"

    def wire(self, stack: Stack) -> Network:
        """Return the network whose error pathway is tied to the forward weights."""
        layers = [*stack.layers[1:], OUTPUT]
        error = [
            error_down(high, low, Tied(f"{low}-{high}")) for low, high in itertools.pairwise(layers)
        ]
        return self.wired(stack, error, "layer by layer, tied to the forward weights")
