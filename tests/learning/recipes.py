"""How each rule learns the digits, and how many of the held-out images it then names.

The recipes were tuned on a part of the learning samples; the held-out images judge them and
have chosen nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from biosim.events import Course
from biosim.network import Network
from biosim.simulation import Simulation
from rules import (
    Backprop,
    DirectFeedbackAlignment,
    EquilibriumPropagation,
    FeedbackAlignment,
    ForwardForward,
    Frozen,
    NoProp,
    Rule,
    SoftHebb,
    Stack,
)
from scenarios.data import digits

Percents = dict[str, list[float]]
"""Test accuracy in percent by way of answering, one number a seed."""


@dataclass(frozen=True)
class Recipe:
    """A rule, the hidden layers that it wires, and how long it learns."""

    rule: Rule
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int = 32


RECIPES: dict[str, Recipe] = {
    "backprop": Recipe(Backprop(), (32, 32), 40),
    "feedback_alignment": Recipe(FeedbackAlignment(), (32, 32), 40),
    "direct_feedback_alignment": Recipe(DirectFeedbackAlignment(), (32, 32), 40),
    "forward_forward": Recipe(ForwardForward(with_readout=False), (32, 32), 60, 16),
    "equilibrium_propagation": Recipe(EquilibriumPropagation(), (32,), 40),
    "noprop": Recipe(NoProp(lr=4e-3), (32,), 30),
    "soft_hebb": Recipe(SoftHebb(), (32,), 40),
    "frozen, 1 hidden": Recipe(Frozen(lr=0.03), (32,), 40),
    "frozen, 2 hidden": Recipe(Frozen(lr=0.03), (32, 32), 40),
}


@functools.cache
def learning_and_test() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return x (1437, 64), y (1437,), and the same of the 360 held-out images."""
    data = digits()
    return (
        torch.from_numpy(data.train.x),
        torch.from_numpy(data.train.y).to(torch.uint8),
        torch.from_numpy(data.test.x),
        torch.from_numpy(data.test.y),
    )


def wired(recipe: Recipe) -> Network:
    """Return the network that the recipe's rule makes for the digits."""
    x, _, _, _ = learning_and_test()
    return recipe.rule.wire(Stack(x.shape[1], recipe.hidden, 10, len(x), x.mean(0)))


def percents(recipe: Recipe, seeds: int = 5, network: Network | None = None) -> Percents:
    """Learn with seeds 0, 1, ... and return what they reach.

    Args:
        recipe: what learns.
        seeds: how many.
        network: wired otherwise than the recipe's rule would.
    """
    x, y, _, _ = learning_and_test()
    course = Course(recipe.epochs, len(x) // recipe.batch_size, len(x))
    found: Percents = {}
    for seed in range(seeds):
        simulation = Simulation(network or wired(recipe), course, seed)
        for epoch in range(recipe.epochs):
            simulation.learn(x, y, epoch, recipe.batch_size)
        _judge(recipe, simulation, found)
    return found


def percents_stepwise(
    recipe: Recipe, before: Callable[[Simulation], None], seeds: int = 1
) -> Percents:
    """Do the same, but call `before` ahead of every minibatch.

    Every minibatch is an epoch of its own, so that the simulation stands still in between.
    """
    x, y, _, _ = learning_and_test()
    size, batches = recipe.batch_size, len(x) // recipe.batch_size
    found: Percents = {}
    for seed in range(seeds):
        course = Course(recipe.epochs * batches, 1, len(x))
        simulation = Simulation(wired(recipe), course, seed)
        generator = torch.Generator().manual_seed(seed)
        for epoch in range(recipe.epochs):
            order = torch.randperm(len(x), generator=generator)
            for batch in range(batches):
                rows = order[batch * size : (batch + 1) * size]
                before(simulation)
                simulation.learn(x[rows], y[rows], epoch * batches + batch, size)
        _judge(recipe, simulation, found)
    return found


def mean(numbers: list[float]) -> float:
    """Return the mean."""
    return sum(numbers) / len(numbers)


def _judge(recipe: Recipe, simulation: Simulation, found: Percents) -> None:
    _, _, x, y = learning_and_test()
    for way, phases in recipe.rule.ways.items():
        scores = simulation.answer(x, phases)
        assert scores is not None
        right = (scores.argmax(dim=1) == y).double().mean()
        found.setdefault(way, []).append(100.0 * right.item())
