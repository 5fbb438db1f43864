"""Forward-forward: every layer tells true pairs of input and label from false ones, alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from biosim.contracts import Memory
from biosim.draws import Draws
from biosim.events import Kind, Mode, Presentation
from biosim.locality import Axis, Local, Reads
from biosim.network import Network, Pathway, Phase, Population, Projection
from biosim.populations import Source
from biosim.populations.activations import by_length
from rules.rule import (
    Stepped,
    Ways,
    judge,
    label_to,
    readout,
    readout_label,
    score_from,
    softmax_output,
)
from rules.stack import INPUT, OUTPUT, Stack, forward

INITIAL = 6.0**-0.5
"""Initial weights have variance 1 / (3 n), a sixth of He's: goodness starts below threshold."""

FLOOR = 1e-6
"""Added to every score that a hard negative is drawn by: a sure network still gets negatives."""

CONTRAST, NEUTRAL, CANDIDATES, PROBE = "contrast", "neutral", "candidates", "probe"


@dataclass(frozen=True)
class GoodnessGate:
    """Pre times post, gated by how far the layer's goodness is from where it should be.

    The gradient of -softplus(-p (g - theta)) for rows of polarity p and goodness g = sum h^2.

    Args:
        threshold: theta, in units of the goodness.
    """

    threshold: float

    @property
    def reads(self) -> Reads:
        """pre.activity, post.activity and gain, the layer's goodness, the row's polarity."""
        return Reads(
            pre=("activity",),
            post=("activity", "gain"),
            signals=("goodness", "polarity"),
            on="activity",
        )

    @property
    def memory(self) -> Mapping[str, Axis]:
        """None."""
        return {}

    def update(self, seen: Local, memory: Memory) -> tuple[Mapping[str, Tensor], Memory]:
        """Return the mean over pairs of gate * activity * gain outer pre."""
        polarity = seen.signals.polarity
        gate = polarity * torch.sigmoid(polarity * (self.threshold - seen.signals.goodness))
        pairs = polarity.shape[0] / 2
        error = seen.post.activity * seen.post.gain * (gate * (2.0 / pairs))
        return {"weight": error.t() @ seen.pre.activity, "bias": error.sum(0)}, memory


class LabelledInput:
    """Puts a label beside the input: the true one, a wrong one, every one, or none.

    Hinton writes the label over the first ten pixels; small images have none to spare, and a
    user's own inputs may not be images, so that it gets units of its own.

    What is sent is divided by its root mean square, as between all other layers.

    Args:
        seed: of the wrong labels: one word for every sample and epoch.
        classes: number of classes.
        samples: number of learning samples.
        scale: activity of the label's unit.
        hard: draw wrong labels by the scores of the sample's last visit, not evenly.
        phases: names of the phases by position.
    """

    state_names: ClassVar[tuple[str, ...]] = ("_epoch", "_uniform", "_odds", "_scores")

    def __init__(
        self,
        seed: int,
        classes: int,
        samples: int,
        scale: float,
        hard: bool,
        phases: tuple[str, ...],
    ) -> None:
        self._draws = Draws(seed, "wrong labels")
        self._classes = classes
        self._samples = samples
        self._scale = scale
        self._phases = phases
        self._epoch = -1
        self._uniform = torch.empty(0)
        self._odds: Tensor | None = None
        # Even odds until a sample has been seen. A floor keeps every label possible.
        self._scores = torch.ones(samples, classes) if hard else None

    def encode(
        self, phase: int, at: Presentation, samples: Tensor, x: Tensor, y: Tensor
    ) -> dict[str, Tensor]:
        """Return x with label units (n_rows times the phase's parts, n_features + C)."""
        name = self._phases[phase]
        if name == CONTRAST:
            wrong = self._wrong_labels(at.epoch, samples, y)
            return {"x": by_length(torch.cat([self._with(x, y), self._with(x, wrong)]))}
        if name == CANDIDATES:
            every = torch.arange(self._classes, device=y.device).repeat(len(y))
            return {"x": by_length(self._with(x.repeat_interleave(self._classes, 0), every))}
        if name == PROBE:
            return {"x": by_length(self._with(x, y))}
        neutral = x.new_full((len(x), self._classes), self._scale / self._classes)
        return {"x": by_length(torch.cat([x, neutral], dim=1)), "label": y}

    def listen(self, samples: Tensor, scores: Tensor) -> None:
        """Keep class scores (n_rows, C) for the wrong labels of the next epoch."""
        if self._scores is not None:
            self._scores[samples.cpu()] = scores.cpu().to(self._scores.dtype) + FLOOR

    def _with(self, x: Tensor, label: Tensor) -> Tensor:
        both = x.new_zeros(x.shape[0], x.shape[1] + self._classes)
        both[:, : x.shape[1]] = x
        both[torch.arange(len(x), device=x.device), x.shape[1] + label.long()] = self._scale
        return both

    def _wrong_labels(self, epoch: int, samples: Tensor, y: Tensor) -> Tensor:
        if epoch != self._epoch:
            # All of an epoch at its start, so that scores that come back during it, sooner or
            # later with the timing, cannot matter before the next.
            self._epoch = epoch
            drawn = self._draws.uniform(np.arange(self._samples), 1, counter=epoch)
            self._uniform = torch.from_numpy(drawn[:, 0])
            self._odds = None if self._scores is None else self._scores.double()
        at, label = samples.cpu(), y.long().cpu()
        uniform = self._uniform[at]
        if self._odds is None:
            wrong = (label + 1 + (uniform * (self._classes - 1)).long()) % self._classes
            return wrong.to(y.device)
        odds = self._odds[at]
        odds[torch.arange(len(label)), label] = 0.0
        upper = odds.cumsum(1)
        # The first class whose cumulated odds exceed the draw; the true one has none of its own.
        wrong = (upper <= uniform.unsqueeze(1) * upper[:, -1:]).sum(1)
        return wrong.to(y.device)


class ForwardForward(Stepped):
    """Positive rows should have high goodness, negative rows low; no error passes down."""

    source: ClassVar[str] = "Hinton 2022 (arXiv 2212.13345), eq. 1 and section 3.3"
    equations: ClassVar[str] = (
        "g = sum h^2;  dW = lr p sigma(p (theta - g)) 2 h f'(a) pre^T;  sent on: h / rms(h)"
    )
    locality: ClassVar[str] = "no pathway from above; goodness is one number a row for the layer"

    name: Literal["forward_forward"] = "forward_forward"
    lr: float = Field(3e-3, gt=0, description="learning rate")
    threshold: float = Field(0.3, gt=0, description="theta for each unit of a layer")
    label_scale: float = Field(1.0, gt=0, description="activity of the label's unit")
    negatives: Literal["random", "hard"] = Field(
        "random", description="wrong labels: any, or by the class scores of the epoch before"
    )
    predict: Literal["goodness", "softmax"] = Field(
        "goodness", description="the way of answering that is the run's own"
    )
    with_readout: bool = Field(
        True, description="learn a softmax read-out beside it (hard negatives need one)"
    )
    readout_lr: float = Field(3e-3, gt=0, description="learning rate of the softmax read-out")

    @property
    def ways(self) -> Ways:
        """By goodness over labels, and by the softmax read-out of a neutral label.

        Hinton leaves the first hidden layer out of the sum; in networks of two or three layers
        all of them answer better.
        """
        ways: Ways = {"goodness": (CANDIDATES,)}
        if self.reads_out:
            ways["softmax"] = (NEUTRAL,)
        return ways if self.predict == "goodness" else dict(reversed(ways.items()))

    @property
    def reads_out(self) -> bool:
        """Whether a softmax read-out learns from labels beside the layers."""
        return self.with_readout or self.negatives == "hard" or self.predict == "softmax"

    @property
    def supervised_readout(self) -> bool:
        """Whether the run's own answer is that of the read-out."""
        return self.predict == "softmax"

    def wire(self, stack: Stack) -> Network:
        """Return the network in which nothing comes down."""
        phases = (
            Phase(CONTRAST, polarity=(1, -1), modes=(Mode.LEARN,)),
            Phase(NEUTRAL, modes=(Mode.LEARN, Mode.ANSWER) if self.reads_out else ()),
            Phase(CANDIDATES, modes=(Mode.ANSWER,)),
            Phase(PROBE, modes=(Mode.PROBE,)),
        )
        encoder = partial(
            LabelledInput,
            classes=stack.classes,
            samples=stack.samples,
            scale=self.label_scale,
            hard=self.negatives == "hard",
            phases=tuple(phase.name for phase in phases),
        )
        inputs = stack.inputs + stack.classes
        layers = stack.layers
        up = [
            forward(
                stack,
                low,
                high,
                self.step(GoodnessGate(self.threshold * stack.size(high))),
                carries="direction",
                scale=INITIAL,
                learns=(CONTRAST,),
                inputs=inputs if low == INPUT else None,
            )
            for low, high in itertools.pairwise(layers)
        ]
        populations = [
            Population(INPUT, inputs, Source(encoder)),
            *stack.hidden_populations(),
        ]
        projections = [
            *up,
            *(score_from(layer, "goodness", (CANDIDATES,)) for layer in layers[1:]),
        ]
        if self.reads_out:
            populations.append(softmax_output(stack.classes))
            projections += self._readout(stack)
        return Network(
            populations=(*populations, judge(stack.classes)),
            projections=tuple(projections),
            pathways=self._pathways(),
            phases=phases,
        )

    def _pathways(self) -> tuple[Pathway, ...]:
        scores = Pathway("scores", (f"{OUTPUT}-{INPUT}",), "class scores, for wrong labels to come")
        label = (readout_label(),) if self.reads_out else ()
        return (*label, scores) if self.negatives == "hard" else label

    def _readout(self, stack: Stack) -> list[Projection]:
        projections = [
            forward(
                stack,
                layer,
                OUTPUT,
                readout(self.readout_lr, self.decay),
                carries="direction",
                phases=(NEUTRAL,),
            )
            for layer in stack.layers[1:]
        ]
        projections += [label_to(OUTPUT, (NEUTRAL,)), score_from(OUTPUT, phases=(NEUTRAL,))]
        if self.negatives == "hard":
            projections.append(
                Projection(
                    name=f"{OUTPUT}-{INPUT}",
                    source=OUTPUT,
                    target=INPUT,
                    carries="activity",
                    receptor="score",
                    kind=Kind.SCORE,
                    modes=(Mode.LEARN,),
                    phases=(NEUTRAL,),
                )
            )
        return projections
