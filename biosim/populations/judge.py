"""The judge: where answers arrive. It learns nothing and sends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from biosim.events import NEVER, Event, Presentation, Tick, Window
from biosim.network import Projection
from biosim.populations.site import Site, require


@dataclass(frozen=True)
class Judge:
    """Adds up the scores that arrive for a minibatch, over everything that sends them.

    Receptor: `score`, either (n_rows, n_classes), or one number a row (n_rows, 1) where each
    sample was presented with every class in turn: rows 0..C-1 belong to the first sample.
    """

    def actor(self, site: Site) -> JudgeActor:
        """Return the actor of a population of this kind; its size is the number of classes."""
        return JudgeActor(site)

    def check(
        self, name: str, incoming: Sequence[Projection], outgoing: Sequence[Projection]
    ) -> None:
        """Raise NetworkError if a projection uses a receptor or variable it does not have."""
        require(name, "judge", incoming, outgoing, ("score",), ())


class JudgeActor:
    """Holds the scores of the answers since they were last taken."""

    state_names: ClassVar[tuple[str, ...]] = ("arrived", "scores")

    def __init__(self, site: Site) -> None:
        self._classes = site.population.size
        self._expected = site.modes_of("score")
        self.arrived: dict[Presentation, dict[int, Tensor]] = {}
        self.scores: dict[int, Tensor] = {}

    def next_wake(self) -> Tick:
        """Return NEVER: it waits for scores."""
        return NEVER

    def advance(self, window: Window, inbox: list[Event]) -> list[Event]:
        """Add up scores; nothing is sent."""
        for event in inbox:
            at, payload = event.presentation, event.payload
            assert payload is not None
            parts = self.arrived.setdefault(at, {})
            parts[event.projection] = payload
            if len(parts) == self._expected[at.mode, at.phase]:
                first, *rest = sorted(parts)  # a fixed order of summation
                total = parts[first]
                for projection in rest:
                    total = total + parts[projection]
                self.scores[at.batch] = total.reshape(-1, self._classes)
                del self.arrived[at]
        return []

    def parameters(self) -> dict[str, dict[str, Tensor]]:
        """Return nothing: it has no synapses."""
        return {}

    def activity(self) -> Tensor | None:
        """Return None: it has no activity."""
        return None

    def take(self) -> Tensor:
        """Return the scores of all minibatches in order, (n_samples, n_classes); forget them."""
        scores = torch.cat([self.scores[batch] for batch in sorted(self.scores)])
        self.scores = {}
        return scores
