"""Denoising blocks: each learns, on its own, to tell the clean answer from a noisy one.

Li, Teh and Pascanu 2025 (arXiv 2503.24322), the discrete-time form. abar_t grows with t, and
t = T is clean, which is the reverse of the usual order in diffusion models. Block t learns from
z_{t-1} ~ N(sqrt(abar_{t-1}) u_y, 1 - abar_{t-1}), which it draws itself from the label, so that
nothing passes between blocks while they learn. To answer, z passes from block to block (eq. 3).

A block is a small network that learns inside itself: an image branch and a state branch, joined
and read out as class scores. The errors inside it are signals of the block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from biosim.contracts import Plasticity
from biosim.draws import Draws
from biosim.events import NEVER, Event, Mode, Presentation, Tick, Window
from biosim.locality import Offers
from biosim.network import NetworkError, Projection
from biosim.populations.site import Site, require
from biosim.populations.synapses import Synapses, Wake, learn
from biosim.wiring import Dense, kaiming

RECEPTORS = ("image", "target", "state")


@dataclass(frozen=True)
class Denoising:
    """One block of a chain; the population's size is the number of classes.

    Receptors: `image`, the input (n_rows, n_features); `target`, labels (n_rows,); `state`,
    z_{t-1} (n_rows, n_classes) from the block before, to answer.

    Variables that projections may carry: `state`, z_t.

    Args:
        inputs: features of the image.
        branch: units of the image branch and of the state branch.
        joint: units of the joined layer.
        signal_before: abar_{t-1}, in (0, 1).
        signal_after: abar_t, in (0, 1), larger.
        weighting: factor of the block's loss.
        plasticity: of every synapse in the block.
        noiseless: names of the phases in which the answer is drawn without noise.
    """

    inputs: int
    branch: tuple[int, int]
    joint: int
    signal_before: float
    signal_after: float
    weighting: float
    plasticity: Plasticity
    noiseless: tuple[str, ...] = ()

    def actor(self, site: Site) -> DenoisingActor:
        """Return the actor of a population of this kind."""
        return DenoisingActor(self, site)

    def check(
        self, name: str, incoming: Sequence[Projection], outgoing: Sequence[Projection]
    ) -> None:
        """Raise NetworkError if a projection uses a receptor or variable it does not have."""
        require(name, "denoising", incoming, outgoing, RECEPTORS, ("state",))
        offers = Offers(("activity",), ("apical", "gain"), ("progress",), ("apical",))
        offers.check(name, type(self.plasticity).__name__, self.plasticity.reads)
        if not 0.0 < self.signal_before < self.signal_after < 1.0:
            raise NetworkError(
                f"block {name!r} has abar {self.signal_before} before and {self.signal_after} "
                "after; expected 0 < before < after < 1"
            )

    def step_factors(self) -> tuple[float, float, float]:
        """Return a_t, b_t and sqrt(c_t) of equation 3."""
        before, after = self.signal_before, self.signal_after
        alpha = before / after  # alpha_{t-1}, because abar_{t-1} is the product from t-1 on
        a = math.sqrt(after) * (1.0 - alpha) / (1.0 - before)
        b = math.sqrt(alpha) * (1.0 - after) / (1.0 - before)
        c = (1.0 - after) * (1.0 - alpha) / (1.0 - before)
        return a, b, math.sqrt(c)


class DenoisingActor:
    """A block with all the synapses inside it."""

    state_names: ClassVar[tuple[str, ...]] = (
        "image", "state", "joint", "out", "waiting", "probed",
    )  # fmt: skip

    def __init__(self, model: Denoising, site: Site) -> None:
        self._site = site
        self._model = model
        self._a, self._b, self._root_c = model.step_factors()
        name, classes = site.population.name, site.population.size
        from_image, from_state = model.branch

        def dense(part: str, n_post: int, n_pre: int) -> Synapses:
            weights = Dense("normal", kaiming(n_pre))
            return site.dense(f"{name}.{part}", weights, model.plasticity, n_post, n_pre)

        self.image = dense("image", from_image, model.inputs)
        self.state = dense("state", from_state, classes)
        self.joint = dense("joint", model.joint, from_image + from_state)
        self.out = dense("out", classes, model.joint)
        self._receptor = {
            i: receptor for receptor in RECEPTORS for i, _ in site.afferents(receptor)
        }
        self._waits = {
            at: sum(site.modes_of(receptor)[at] for receptor in RECEPTORS)
            for at in site.modes_of("image")
        }
        self._outlets = site.outlets().get("state", [])
        self._noiseless = [phase.name in model.noiseless for phase in site.network.phases]
        self._noise = Draws(site.seed, f"noise/{name}")
        self._drawn: dict[tuple[int, int], _Drawn] = {}
        self.waiting: dict[Presentation, dict[str, Tensor]] = {}
        self.probed: list[Tensor] = []

    def next_wake(self) -> Tick:
        """Return NEVER: a block wakes with its events only."""
        return NEVER

    def advance(self, window: Window, inbox: list[Event]) -> list[Event]:
        """Learn from an image and its label, or pass a cleaner state on."""
        out: list[Event] = []
        for event in inbox:
            at, payload = event.presentation, event.payload
            assert payload is not None
            arrived = self.waiting.setdefault(at, {})
            arrived[self._receptor[event.projection]] = payload
            if len(arrived) < self._waits[at.mode, at.phase]:
                continue
            del self.waiting[at]
            if at.mode == Mode.LEARN:
                self._learn(at, arrived["image"], arrived["target"])
            else:
                self._answer(event.tick, at, arrived, out)
        return out

    def parameters(self) -> dict[str, dict[str, Tensor]]:
        """Return {"block.part": {"weight": (n_post, n_pre), "bias": (n_post,)}}."""
        parts = (self.image, self.state, self.joint, self.out)
        return {part.name: part.parameters() for part in parts}

    def activity(self) -> Tensor | None:
        """Return and forget the clean answers guessed in the last probe: (n_samples, C)."""
        if not self.probed:
            return None
        probed, self.probed = torch.cat(self.probed), []
        return probed

    def _forward(self, image: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        both = torch.cat([self.image.drive(image), self.state.drive(state)], dim=1).relu_()
        joint = self.joint.drive(both).relu_()
        return both, joint, torch.softmax(self.out.drive(joint), dim=1)

    def _learn(self, at: Presentation, image: Tensor, label: Tensor) -> None:
        model = self._model
        clean = torch.zeros(
            label.shape[0], self._site.population.size, dtype=image.dtype, device=image.device
        )
        clean[torch.arange(len(label), device=label.device), label.long()] = 1.0
        noise = self._rows_of_noise(at, len(label), image)
        state = noise * math.sqrt(1.0 - model.signal_before)
        state.add_(clean, alpha=math.sqrt(model.signal_before))
        both, joint, guess = self._forward(image, state)
        # Descent on |guess - clean|^2 through the softmax, as the apical input of its drive.
        error = (clean - guess) * (2.0 * model.weighting)
        apical_out = guess * (error - (guess * error).sum(dim=1, keepdim=True))
        gain_joint, gain_both = (joint > 0).to(joint.dtype), (both > 0).to(both.dtype)
        apical_joint = apical_out @ self.out.weight
        apical_both = (apical_joint * gain_joint) @ self.joint.weight
        split = self._model.branch[0]
        ones = torch.ones_like(apical_out)
        wakes = []
        for synapses, pre, apical, gain in (
            (self.out, joint, apical_out, ones),
            (self.joint, both, apical_joint, gain_joint),
            (self.image, image, apical_both[:, :split], gain_both[:, :split]),
            (self.state, state, apical_both[:, split:], gain_both[:, split:]),
        ):
            post = {"apical": lambda value=apical: value, "gain": lambda value=gain: value}
            progress = {"progress": lambda: self._site.course.progress(at)}
            wakes.append(Wake(synapses, pre, post, progress))
        self._count(len(label), learn(wakes, at, self._site.share))

    def _answer(
        self, now: Tick, at: Presentation, arrived: dict[str, Tensor], out: list[Event]
    ) -> None:
        image = arrived["image"]
        state = arrived.get("state")
        if state is None:
            # z_0, standard normal: drawn here, so that the first block waits for no one.
            state = self._rows_of_noise(at, len(image), image, first=True)
        _, _, guess = self._forward(image, state)
        state = self._a * guess + self._b * state
        if not self._noiseless[at.phase]:
            state = state + self._root_c * self._rows_of_noise(at, len(image), image)
        for outlet in self._outlets:
            outlet.send(now, at, state, out)
        if at.mode == Mode.PROBE:
            self.probed.append(guess)

    def _rows_of_noise(
        self, at: Presentation, rows: int, like: Tensor, first: bool = False
    ) -> Tensor:
        """Return standard normal noise (rows, n_classes).

        The entity is the minibatch and the row in it, the counter the epoch and what it is for.
        Several minibatches are drawn in one call and kept, because that is far cheaper; how
        many does not change a value.
        """
        purpose = 2 * int(at.mode != Mode.LEARN) + int(first)
        drawn = self._drawn.get((purpose, at.part))
        if drawn is None or not drawn.covers(at, rows):
            left = self._site.course.batches - at.batch if at.mode == Mode.LEARN else 1
            ahead = max(1, min(left, STRETCH // rows))
            batches = np.arange(at.batch, at.batch + ahead, dtype=np.uint64)
            places = np.arange(at.part * rows, (at.part + 1) * rows, dtype=np.uint64)
            entities = (batches[:, None] << np.uint64(32)) + places
            classes = self._site.population.size
            values = self._noise.normal(entities.ravel(), classes, 4 * at.epoch + purpose)
            noise = torch.from_numpy(values.reshape(len(batches), rows, classes)).to(like)
            drawn = self._drawn[purpose, at.part] = _Drawn(at.epoch, at.batch, noise)
        return drawn.noise[at.batch - drawn.batch, :rows]

    def _count(self, rows: int, learned: bool) -> None:
        count = self._site.count
        sizes = [s.weight.numel() for s in (self.image, self.state, self.joint, self.out)]
        count.forward += rows * sum(sizes)
        count.feedback += rows * (sizes[2] + sizes[3])
        count.plasticity += rows * sum(sizes)
        if learned:
            count.updated(0)


STRETCH = 8192
"""Rows of noise that are drawn in one call."""


class _Drawn(NamedTuple):
    """Noise of some minibatches of an epoch: (n_batches, n_rows, n_classes)."""

    epoch: int
    batch: int
    noise: Tensor

    def covers(self, at: Presentation, rows: int) -> bool:
        return (
            self.epoch == at.epoch
            and self.batch <= at.batch < self.batch + len(self.noise)
            and rows <= self.noise.shape[1]
        )
