"""Small random networks and the samples they learn from: what engine and reference both get."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from hypothesis import strategies as st
from torch import Tensor

from biosim.contracts import Ranks
from biosim.draws import Draws
from biosim.events import Course, Event, Tick
from biosim.network import Network
from biosim.populations.activations import ActivationName
from biosim.ranks import OneRank
from biosim.simulation import Simulation
from rules import Rule, Stack
from rules.stack import OUTPUT

Parameters = dict[str, dict[str, Tensor]]
"""{projection: {"weight": (n_post, n_pre), "bias": (n_post,)}}."""

HIDDEN_ACTIVATIONS = [name for name in get_args(ActivationName) if name != "softmax"]


@dataclass(frozen=True)
class Task:
    """A network's sizes, and float64 samples from a normal distribution with random labels."""

    hidden: tuple[int, ...]
    activation: ActivationName | None = None
    inputs: int = 7
    classes: int = 3
    batch_size: int = 4
    batches: int = 2
    epochs: int = 2
    seed: int = 0

    def stack(self) -> Stack:
        """Return what a rule is given to wire."""
        x, _ = self.samples()
        return Stack(self.inputs, self.hidden, self.classes, len(x), x.mean(0), self.activation)

    def samples(self) -> tuple[Tensor, Tensor]:
        """Return x (n, inputs) and y (n,), where the last few do not fill a minibatch."""
        n = self.batches * self.batch_size + self.batch_size - 1
        generator = torch.Generator().manual_seed(self.seed)
        x = torch.randn(n, self.inputs, generator=generator, dtype=torch.float64)
        return x, torch.randint(self.classes, (n,), generator=generator).to(torch.uint8)

    def simulation(
        self, rule: Rule, period: int | None = None, ranks: Ranks | None = None
    ) -> Simulation:
        """Return a simulation that has learnt nothing, with biases that are not zero.

        At a bias of zero, a layer below that is silent leaves a drive of exactly zero, where
        the slope of a relu is a matter of taste.
        """
        course = Course(self.epochs, self.batches, len(self.samples()[0]))
        network = rule.wire(self.stack())
        simulation = Simulation(
            network, course, self.seed, ranks=ranks, dtype=torch.float64, period=period
        )
        generator = torch.Generator().manual_seed(self.seed + 1)
        for tensors in simulation.parameters().values():
            if "bias" in tensors:
                bias = tensors["bias"]
                bias.copy_(0.3 * torch.randn(len(bias), generator=generator, dtype=bias.dtype))
        return simulation

    def learn(self, simulation: Simulation) -> Parameters:
        """Present every epoch; return the parameters after it."""
        x, y = self.samples()
        for epoch in range(self.epochs):
            simulation.learn(x, y, epoch, self.batch_size)
        return copied(simulation.parameters())

    def minibatches(self) -> Iterator[tuple[float, Tensor, Tensor]]:
        """Yield the share of the learning that is done, x and y, in the order of presentation."""
        x, y = self.samples()
        for epoch in range(self.epochs):
            order = torch.from_numpy(Draws(self.seed, "order").order(len(x), counter=epoch))
            for batch in range(self.batches):
                rows = order[batch * self.batch_size : (batch + 1) * self.batch_size]
                done = (epoch * self.batches + batch) / (self.epochs * self.batches)
                yield done, x[rows], y[rows].long()

    def forward_names(self) -> list[str]:
        """Return the names of the projections from the input up."""
        layers = [*self.stack().layers, OUTPUT]
        return [f"{low}-{high}" for low, high in itertools.pairwise(layers)]


class Tap(OneRank):
    """The only rank of a run, which keeps every event that was ever sent."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def exchange(self, outgoing: Sequence[list[Event]], wake: Tick) -> tuple[list[Event], Tick]:
        """Return what is addressed to this rank and the earliest wake."""
        self.events += outgoing[0]
        return super().exchange(outgoing, wake)

    def payloads(self, network: Network, projection: str, phase: str | None = None) -> list[Tensor]:
        """Return what was sent on the projection, in the order of sending."""
        at = network.projection_at[projection]
        return [
            event.payload
            for event in self.events
            if event.projection == at
            and event.payload is not None
            and phase in (None, network.phases[event.presentation.phase].name)
        ]


tasks = st.builds(
    Task,
    hidden=st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple),
    activation=st.sampled_from(HIDDEN_ACTIVATIONS),
    inputs=st.integers(1, 9),
    classes=st.integers(2, 5),
    batch_size=st.integers(1, 6),
    batches=st.integers(1, 4),
    seed=st.integers(0, 1 << 16),
)
"""Networks of two to five layers of synapses, with every activation."""


def copied(parameters: Parameters) -> Parameters:
    """Return a copy that learning does not touch."""
    return {
        name: {part: tensor.clone() for part, tensor in tensors.items()}
        for name, tensors in parameters.items()
    }


def relative_error(found: Parameters, expected: Parameters, start: Parameters) -> float:
    """Return the largest error of any change since `start`, as a share of that change.

    Changes below 1e-9 count as if they were that large: a silent layer does not change at all.
    """
    shares = []
    for name, tensors in expected.items():
        for part, right in tensors.items():
            change = (right - start[name][part]).norm().clamp_min(1e-9)
            shares.append(((found[name][part] - right).norm() / change).item())
    return max(shares)
