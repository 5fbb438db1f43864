"""What every learning rule has: a name, parameters, a card, and the network that it wires."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from biosim.contracts import Plasticity
from biosim.events import Kind, Mode
from biosim.network import Network, Pathway, Population, Projection
from biosim.plasticity import Adam, Decay, ErrorDriven, Sgd
from biosim.populations import Graded, Judge
from rules.stack import INPUT, JUDGE, OUTPUT, Stack

Ways = dict[str, tuple[str, ...]]


class Rule(BaseModel, ABC):
    """Parameters of a learning rule, and the network that it makes of a stack of layers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: ClassVar[str]
    """Paper and equation."""
    equations: ClassVar[str]
    """What a synapse does, in one or two lines."""
    locality: ClassVar[str]
    """What a layer must know that is not its own, in one sentence."""
    name: str

    @abstractmethod
    def wire(self, stack: Stack) -> Network:
        """Return the network: populations, projections, pathways, phases."""

    @property
    def reads_out(self) -> bool:
        """Whether a layer beside the rule, the output, learns from labels to read the rest."""
        return False

    @property
    def supervised_readout(self) -> bool:
        """Whether the run's own answer is that of such a read-out."""
        return self.reads_out

    @property
    def ways(self) -> Ways:
        """Ways of answering, the first one the rule's own: name -> phases that are presented."""
        return {"softmax": ("forward",)}


class Stepped(Rule):
    """A rule whose steps have a learning rate."""

    lr: float = Field(gt=0, description="learning rate")
    optimiser: Literal["adam", "sgd"] = Field("adam", description="how far a step goes")
    momentum: float = Field(0.0, ge=0, lt=1, description="share of the last step kept (sgd)")
    decay: Decay = Field("linear", description="fall of the learning rate over the run")

    @model_validator(mode="after")
    def _momentum_is_for_sgd(self) -> Self:
        if self.momentum and self.optimiser != "sgd":
            raise ValueError("momentum is for rule.optimiser=sgd; adam has its own: leave it out")
        return self

    def step(self, of: Plasticity, lr: float | None = None) -> Plasticity:
        """Return the plasticity whose steps go along `of`."""
        rate = self.lr if lr is None else lr
        if self.optimiser == "adam":
            return Adam(of, rate, self.decay)
        return Sgd(of, rate, self.decay, self.momentum)


def softmax_output(classes: int) -> Population:
    """Return a softmax population of the size of the answer."""
    return Population(OUTPUT, classes, Graded("softmax"))


def judge(classes: int) -> Population:
    """Return the population where answers arrive."""
    return Population(JUDGE, classes, Judge())


def label_to(target: str, phases: tuple[str, ...] | None = None) -> Projection:
    """Return the projection that brings the label to a layer while it learns."""
    return Projection(
        name=f"label-{target}",
        source=INPUT,
        target=target,
        carries="label",
        receptor="target",
        kind=Kind.TARGET,
        modes=(Mode.LEARN,),
        phases=phases,
    )


def score_from(
    source: str, carries: str = "activity", phases: tuple[str, ...] | None = None
) -> Projection:
    """Return the projection that brings a layer's score to the judge."""
    return Projection(
        name=f"{source}-{JUDGE}" + ("" if phases is None else f"-{phases[0]}"),
        source=source,
        target=JUDGE,
        carries=carries,
        receptor="score",
        kind=Kind.SCORE,
        modes=(Mode.ANSWER,),
        phases=phases,
    )


def readout_label() -> Pathway:
    """Return the pathway by which a read-out, and nothing else, sees the label."""
    return Pathway("label", (f"label-{OUTPUT}",), "the label, to the read-out only")


def readout(lr: float, decay: Decay = "linear") -> Plasticity:
    """Return the delta rule with Adam's steps, for a read-out that learns from labels."""
    return Adam(ErrorDriven(), lr, decay)
