"""Equilibrium propagation: settle freely, settle again under a nudge, compare."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field
from torch import Tensor

from biosim.contracts import Memory
from biosim.events import Kind, Mode
from biosim.locality import Axis, Local, Reads
from biosim.network import Network, Pathway, Phase, Population, Projection
from biosim.plasticity import Decay, Sgd
from biosim.populations import Settling, Source
from biosim.populations.activations import ActivationName
from biosim.populations.settling import END, FREE, NUDGED, READ
from biosim.populations.source import Plain
from biosim.wiring import Dense, Tied, glorot
from rules.rule import Rule, Ways, judge, score_from
from rules.stack import INPUT, OUTPUT, Stack


@dataclass(frozen=True)
class ContrastiveHebb:
    """The correlation of pre and post under one nudge minus that under another.

    Args:
        scale: 1 / (2 beta) for nudges of beta and -beta, 1 / beta for beta and none.
    """

    scale: float

    @property
    def reads(self) -> Reads:
        """The settled rates on both sides, and the sign of the row."""
        return Reads(pre=("settled",), post=("settled",), signals=("polarity",), on="settled")

    @property
    def memory(self) -> Mapping[str, Axis]:
        """None."""
        return {}

    def update(self, seen: Local, memory: Memory) -> tuple[Mapping[str, Tensor], Memory]:
        """Return the mean over samples of scale * polarity * post outer pre."""
        polarity = seen.signals.polarity
        samples = polarity.shape[0] / 2
        signed = seen.post.settled * (polarity * (self.scale / samples))
        return {"weight": signed.t() @ seen.pre.settled, "bias": signed.sum(0)}, memory


Rate = Annotated[float, Field(gt=0)]


def _several(given: Any) -> Any:
    """Return one learning rate as a list of one."""
    return [given] if isinstance(given, int | float) else given


class EquilibriumPropagation(Rule):
    """Activity settles to an energy minimum; a nudge of the output makes the error appear."""

    source: ClassVar[str] = (
        "Scellier and Bengio 2017 (arXiv 1602.05179), eq. 12; symmetric nudge of Laborieux et al. "
        "2021 (arXiv 2006.03824), eq. 8"
    )
    equations: ClassVar[str] = (
        "ds/dt = -dF/ds, F = E + beta |y - s|^2 / 2;  "
        "dW = lr / (2 beta) [rho rho^T at +beta - rho rho^T at -beta]"
    )
    locality: ClassVar[str] = "symmetric weights; activity passes both ways at every tick"

    name: Literal["equilibrium_propagation"] = "equilibrium_propagation"
    lr: Annotated[tuple[Rate, ...], BeforeValidator(_several)] = Field(
        (0.2, 0.05),
        min_length=1,
        description="learning rate of each projection from the input up; the last is repeated",
    )
    decay: Decay = Field("none", description="fall of the learning rates over the run")
    beta: float = Field(0.5, gt=0, description="strength of the nudge")
    nudging: Literal["symmetric", "one_sided"] = Field(
        "symmetric", description="nudge by beta and -beta, or by beta and not at all"
    )
    free_ticks: int = Field(10, ge=1, description="steps of the free phase")
    nudged_ticks: int = Field(3, ge=1, description="steps of the nudged phase")
    step: float = Field(1.0, gt=0, le=1, description="length of a step in time constants")
    persistent: bool = Field(False, description="start from the sample's last free state")
    initial: float = Field(0.5, gt=0, description="initial weights, in units of Glorot's bound")

    @property
    def ways(self) -> Ways:
        """By the drive of the output at the end of the free phase."""
        return {"free_phase": (FREE, READ)}

    def wire(self, stack: Stack) -> Network:
        """Return the network whose layers drive each other both ways."""
        free, nudged = self.free_ticks, self.nudged_ticks
        polarity = (1, -1) if self.nudging == "symmetric" else (1, 0)
        asked = (Mode.ANSWER, Mode.PROBE)
        phases = (
            Phase(FREE, 0, free),
            Phase(NUDGED, free, nudged, polarity, (Mode.LEARN,)),
            Phase(END, free + nudged, 1, polarity, (Mode.LEARN,)),
            Phase(READ, free, 1, modes=asked),
        )
        layers = [*stack.layers, OUTPUT]
        up = [
            self._up(stack, low, high, i)
            for i, (low, high) in enumerate(itertools.pairwise(layers))
        ]
        down = [
            Projection(
                name=f"{high}-{low}",
                source=high,
                target=low,
                carries="rate",
                receptor="apical",
                kind=Kind.FEEDBACK,
                weights=Tied(f"{low}-{high}"),
            )
            for low, high in itertools.pairwise(layers[1:])
        ]
        begin = [
            Projection(f"phase-{layer}", INPUT, layer, "phase", "phase", kind=Kind.PHASE)
            for layer in layers[1:]
        ]
        label = Projection(
            f"label-{OUTPUT}", INPUT, OUTPUT, "label", "target",
            kind=Kind.TARGET, modes=(Mode.LEARN,), phases=(NUDGED,),
        )  # fmt: skip
        activation: ActivationName = stack.activation or "hard_sigmoid"
        model = Settling(activation, self.step, self.beta, self.persistent)
        return Network(
            populations=(
                Population(INPUT, stack.inputs, Source(Plain)),
                *(Population(layer, stack.size(layer), model) for layer in layers[1:]),
                judge(stack.classes),
            ),
            projections=(*up, *down, label, *begin, score_from(OUTPUT, "answer", (READ,))),
            pathways=(
                Pathway("label", (label.name,), "the nudge of the output, in the nudged phase"),
                Pathway("feedback", tuple(p.name for p in down), "rates, through tied weights"),
                Pathway("phases", tuple(p.name for p in begin), "when each phase begins"),
            ),
            phases=phases,
        )

    def _up(self, stack: Stack, low: str, high: str, i: int) -> Projection:
        beta = 2.0 * self.beta if self.nudging == "symmetric" else self.beta
        lr = self.lr[min(i, len(self.lr) - 1)]
        bound = self.initial * glorot(stack.size(low), stack.size(high))
        return Projection(
            name=f"{low}-{high}",
            source=low,
            target=high,
            carries="x" if low == INPUT else "rate",
            receptor="basal",
            weights=Dense("uniform", bound),
            plasticity=Sgd(ContrastiveHebb(1.0 / beta), lr, self.decay),
            phases=(FREE,) if low == INPUT else None,
        )
