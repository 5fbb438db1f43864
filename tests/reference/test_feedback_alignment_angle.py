"""Forward weights come to agree with fixed random feedback, from the output down.

The angle between the error that feedback alignment brings to a layer and the one that
backpropagation would bring: 90 degrees for random feedback, and below it once the layers above
have learnt (Lillicrap et al. 2016, figure 2).
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from biosim.events import Course
from biosim.simulation import Simulation
from rules import FeedbackAlignment, Stack
from scenarios.data import digits
from tests.reference.tasks import Parameters

HIDDEN = (64, 64, 64)
BATCH_SIZE, MINIBATCHES, EVERY, SEEDS = 32, 264, 4, 3
LAYERS = ["input", "hidden1", "hidden2", "hidden3", "output"]

Angles = npt.NDArray[np.float64]
"""Degrees: (n_measurements, n_hidden), the layer next to the input first."""


def angles(parameters: Parameters, x: Tensor, y: Tensor) -> list[float]:
    """Return the angle at every hidden layer, in degrees, over all samples at once."""
    weights = [parameters[f"{low}-{high}"] for low, high in itertools.pairwise(LAYERS)]
    h, slopes = x, []
    for layer in weights[:-1]:
        h = torch.tanh(h @ layer["weight"].t() + layer["bias"])
        slopes.append(1.0 - h * h)
    drive = h @ weights[-1]["weight"].t() + weights[-1]["bias"]
    by_gradient = by_feedback = torch.eye(10, dtype=x.dtype)[y.long()] - torch.softmax(drive, 1)
    found = []
    for layer in reversed(range(len(HIDDEN))):
        feedback = parameters[f"{LAYERS[layer + 2]}-{LAYERS[layer + 1]}"]["weight"]
        by_gradient = by_gradient @ weights[layer + 1]["weight"] * slopes[layer]
        by_feedback = by_feedback @ feedback.t() * slopes[layer]
        cosine = torch.cosine_similarity(by_gradient.flatten(), by_feedback.flatten(), dim=0)
        found.insert(0, torch.rad2deg(torch.acos(cosine)).item())
    return found


def trained(seed: int, redrawn: bool) -> Angles:
    """Learn the digits; return the angles, measured every few minibatches."""
    data = digits().train
    x = torch.from_numpy(data.x).double()
    y = torch.from_numpy(data.y).to(torch.uint8)
    rule = FeedbackAlignment(lr=0.1, optimiser="sgd", decay="none")
    stack = Stack(x.shape[1], HIDDEN, 10, len(x), x.mean(0), "tanh")
    # A minibatch is an epoch of its own: the simulation stands still in between.
    simulation = Simulation(
        rule.wire(stack), Course(MINIBATCHES, 1, len(x)), seed, dtype=torch.float64
    )
    generator = torch.Generator().manual_seed(seed)
    parameters = simulation.parameters()
    feedback = [t["weight"] for t in parameters.values() if "bias" not in t]
    assert len(feedback) == len(HIDDEN)
    found = []
    for minibatch in range(MINIBATCHES):
        if minibatch % EVERY == 0:
            found.append(angles(parameters, x[:300], y[:300]))
        if redrawn:
            for weight in feedback:
                drawn = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
                weight.copy_(drawn * weight.shape[1] ** -0.5)
        rows = torch.randint(len(x), (BATCH_SIZE,), generator=generator)
        simulation.learn(x[rows], y[rows], minibatch, BATCH_SIZE)
    return np.array(found)


@pytest.fixture(scope="module")
def aligning() -> Angles:
    """Angles with fixed feedback, mean of some seeds."""
    return np.mean([trained(seed, redrawn=False) for seed in range(SEEDS)], axis=0)


@pytest.fixture(scope="module")
def redrawn() -> Angles:
    """Angles where the feedback is another one in every minibatch."""
    return np.mean([trained(seed, redrawn=True) for seed in range(SEEDS)], axis=0)


def test_random_feedback_begins_at_a_right_angle(aligning: Angles) -> None:
    assert np.abs(aligning[0] - 90.0).max() < 5.0


def test_every_layer_comes_to_agree_and_the_nearest_to_the_output_most(aligning: Angles) -> None:
    lowest, middle, top = aligning[-10:].mean(axis=0)
    assert top + 10.0 < middle
    assert middle + 3.0 < lowest
    assert lowest < 80.0


def test_layers_come_to_agree_from_the_output_down(aligning: Angles) -> None:
    assert (aligning.min(axis=0) < 80.0).all()
    lowest, middle, top = (aligning < 80.0).argmax(axis=0)
    assert top < middle < lowest


def test_feedback_that_is_redrawn_stays_at_a_right_angle(redrawn: Angles) -> None:
    assert np.abs(redrawn.mean(axis=0) - 90.0).max() < 3.0
    assert redrawn[1:].min() > 75.0
