"""NoProp: a chain of blocks, each of which learns alone to clean a noisy label."""

from __future__ import annotations

import itertools
import math
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from biosim.events import Kind, Mode
from biosim.network import Network, Pathway, Phase, Population, Projection
from biosim.plasticity import ErrorDriven
from biosim.populations import Denoising, Source
from biosim.populations.source import Plain
from rules.rule import Stepped, Ways, judge, score_from
from rules.stack import INPUT, Stack

LEARN, NOISY, NOISELESS = "learn", "noisy", "noiseless"


class NoProp(Stepped):
    """Blocks that see the input and the label, and nothing of each other while they learn."""

    source: ClassVar[str] = (
        "Li, Teh and Pascanu 2025 (arXiv 2503.24322), discrete time: eq. 3 and 8, one-hot embedding"
    )
    equations: ClassVar[str] = (
        "z = sqrt(abar) u_y + sqrt(1 - abar) noise;  block t descends "
        "(T/2) eta (SNR_t - SNR_{t-1}) |u(z, x) - u_y|^2 inside itself"
    )
    locality: ClassVar[str] = "input and label to every block; errors stay inside a block"

    name: Literal["noprop"] = "noprop"
    lr: float = Field(1e-2, gt=0, description="learning rate")
    blocks: int = Field(10, ge=1, description="T, the number of blocks")
    image_units: int = Field(16, ge=1, description="units of the image branch of a block")
    state_units: int = Field(16, ge=1, description="units of the state branch of a block")
    joint_units: int = Field(32, ge=1, description="units of the joined layer of a block")
    eta: float = Field(0.1, gt=0, description="factor of the denoising loss (table 3)")
    clip: tuple[float, float] = Field((0.02, 0.999), description="least and largest abar")
    inference: Literal["noisy", "noiseless"] = Field(
        "noisy", description="the way of answering that is the run's own"
    )

    @model_validator(mode="after")
    def _every_block_cleans(self) -> Self:
        signals = [self.signal(t) for t in range(self.blocks + 1)]
        grows = all(before < after for before, after in itertools.pairwise(signals))
        if not (grows and signals[0] > 0.0 and signals[-1] < 1.0):
            raise ValueError(
                f"clip {list(self.clip)} with {self.blocks} blocks gives abar "
                f"{[round(signal, 4) for signal in signals]}; it has to grow from above 0 to "
                "below 1 at every block: widen clip, or take fewer blocks"
            )
        return self

    @property
    def ways(self) -> Ways:
        """With the noise of equation 3, and without it."""
        both: Ways = {NOISY: (NOISY,), NOISELESS: (NOISELESS,)}
        return both if self.inference == NOISY else dict(reversed(both.items()))

    def signal(self, t: int) -> float:
        """Return abar_t = cos^2((1 - t/T) pi/2), clipped.

        The paper names "a fixed cosine schedule" and gives no formula; this is the usual one
        with t counted towards the clean end.
        """
        share = math.cos((1.0 - t / self.blocks) * math.pi / 2.0) ** 2
        low, high = self.clip
        return min(max(share, low), high)

    def wire(self, stack: Stack) -> Network:
        """Return the chain; hidden layers of the stack have no part in it."""
        names = [f"block{t}" for t in range(1, self.blocks + 1)]
        blocks = [
            Population(name, stack.classes, self._block(stack, t))
            for t, name in enumerate(names, start=1)
        ]
        image = [Projection(f"{INPUT}-{name}", INPUT, name, "x", "image") for name in names]
        label = [
            Projection(
                f"label-{name}", INPUT, name, "label", "target",
                kind=Kind.TARGET, modes=(Mode.LEARN,),
            )
            for name in names
        ]  # fmt: skip
        asked = (Mode.ANSWER, Mode.PROBE)
        chain = [
            Projection(f"{low}-{high}", low, high, "state", "state", modes=asked)
            for low, high in itertools.pairwise(names)
        ]
        return Network(
            populations=(
                Population(INPUT, stack.inputs, Source(Plain)),
                *blocks,
                judge(stack.classes),
            ),
            projections=(*image, *label, *chain, score_from(names[-1], "state")),
            pathways=(
                Pathway("image", tuple(p.name for p in image), "the input, to every block"),
                Pathway("label", tuple(p.name for p in label), "the label, to every block"),
            ),
            phases=(
                Phase(LEARN, modes=(Mode.LEARN,)),
                Phase(NOISY, modes=(Mode.ANSWER,)),
                Phase(NOISELESS, modes=asked),
            ),
        )

    def _block(self, stack: Stack, t: int) -> Denoising:
        before, after = self.signal(t - 1), self.signal(t)
        snr_gain = after / (1.0 - after) - before / (1.0 - before)
        return Denoising(
            inputs=stack.inputs,
            branch=(self.image_units, self.state_units),
            joint=self.joint_units,
            signal_before=before,
            signal_after=after,
            weighting=0.5 * self.blocks * self.eta * snr_gain,
            plasticity=self.step(ErrorDriven()),
            noiseless=(NOISELESS,),
        )
