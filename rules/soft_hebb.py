"""SoftHebb: neurons compete softly for each input, and move towards it as far as they win."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from biosim.contracts import Memory
from biosim.events import Presentation
from biosim.locality import Axis, Local, Reads
from biosim.network import Network, Population, Projection
from biosim.plasticity import Sgd
from biosim.populations import Source
from biosim.populations.activations import unit
from biosim.wiring import Dense
from rules.rule import Rule, judge, label_to, readout, readout_label, score_from, softmax_output
from rules.stack import INPUT, OUTPUT, Stack, forward


@dataclass(frozen=True)
class SoftWinner:
    """The share of the win times what the input has that the weight has not yet."""

    @property
    def reads(self) -> Reads:
        """pre.activity, post.share and post.drive, and the weight."""
        return Reads(pre=("activity",), post=("share", "drive"), synapse=("weight",), on="activity")

    @property
    def memory(self) -> Mapping[str, Axis]:
        """None."""
        return {}

    def update(self, seen: Local, memory: Memory) -> tuple[Mapping[str, Tensor], Memory]:
        """Return the mean over rows of share * (pre - drive * weight): (n_post, n_pre)."""
        share = seen.post.share
        won = (share * seen.post.drive).sum(0).unsqueeze(1)
        weight = share.t() @ seen.pre.activity - won * seen.synapse.weight
        return {"weight": weight * (1.0 / share.shape[0])}, memory


class CentredInput:
    """Sends inputs without the mean of each feature, scaled to length one.

    Args:
        seed: not used; nothing is drawn.
        mean: (n_features,) over the learning samples.
    """

    state_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, seed: int, mean: Tensor) -> None:
        self._mean = mean

    def encode(
        self, phase: int, at: Presentation, samples: Tensor, x: Tensor, y: Tensor
    ) -> dict[str, Tensor]:
        """Return x (n_rows, n_features) of unit length, and label (n_rows,)."""
        if self._mean.device != x.device or self._mean.dtype != x.dtype:
            self._mean = self._mean.to(x)
        return {"x": unit(x - self._mean), "label": y}

    def listen(self, samples: Tensor, scores: Tensor) -> None:
        """Ignore class scores."""


class SoftHebb(Rule):
    """Winner-take-all Hebbian layers, and a read-out that learns from labels beside them."""

    source: ClassVar[str] = (
        "Moraitis et al. 2022 (arXiv 2107.05747), eq. 7; without the anti-Hebbian term of "
        "Journe et al. 2023 (arXiv 2209.11883), which one layer does not need"
    )
    equations: ClassVar[str] = (
        "u = W x;  y = softmax(gain u);  dW = lr y (x - u W);  read-out: delta rule on relu(u)"
    )
    locality: ClassVar[str] = "no pathway; the softmax is over the layer"

    name: Literal["soft_hebb"] = "soft_hebb"
    lr: float = Field(2.0, gt=0, description="learning rate at the start of the run")
    until: float = Field(
        0.5, gt=0, le=1, description="share of the run after which hidden weights rest"
    )
    gain: float = Field(30.0, gt=0, description="gain of the softmax, 1 / temperature")
    readout_lr: float = Field(0.1, gt=0, description="learning rate of the read-out")

    @property
    def reads_out(self) -> bool:
        """True: the output reads the hidden layers and learns from labels."""
        return True

    def wire(self, stack: Stack) -> Network:
        """Return the network whose hidden layers see no label."""
        layers = stack.layers
        hebb = Sgd(SoftWinner(), self.lr, "linear", until=self.until)
        up = [
            Projection(
                name=f"{low}-{high}",
                source=low,
                target=high,
                carries="x" if low == INPUT else "contrast",
                receptor="basal",
                weights=Dense("unit", 1.0, bias=False),
                plasticity=hebb,
            )
            for low, high in itertools.pairwise(layers)
        ]
        return Network(
            populations=(
                Population(INPUT, stack.inputs, Source(partial(CentredInput, mean=stack.mean))),
                *stack.hidden_populations(competition=self.gain),
                softmax_output(stack.classes),
                judge(stack.classes),
            ),
            projections=(
                *up,
                forward(stack, layers[-1], OUTPUT, readout(self.readout_lr), scale=0.5),
                label_to(OUTPUT),
                score_from(OUTPUT),
            ),
            pathways=(readout_label(),),
        )
