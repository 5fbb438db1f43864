"""Feedback alignment and its direct form against their equations, written out in numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import example, given

from biosim.populations.activations import ActivationName
from biosim.wiring import Tied
from rules import DirectFeedbackAlignment, FeedbackAlignment
from rules.backprop import ErrorPathway
from tests.reference.tasks import Parameters, Task, copied, relative_error, tasks

TOLERANCE = 1e-9

Floats = npt.NDArray[np.float64]
Rule = type[FeedbackAlignment] | type[DirectFeedbackAlignment]

RULES: list[Rule] = [FeedbackAlignment, DirectFeedbackAlignment]

FUNCTIONS: dict[ActivationName, Callable[[Floats], Floats]] = {
    "relu": lambda a: np.maximum(a, 0.0),
    "tanh": np.tanh,
    "sigmoid": lambda a: 1.0 / (1.0 + np.exp(-a)),
    "hard_sigmoid": lambda a: np.clip(a, 0.0, 1.0),
    "linear": lambda a: a,
}
SLOPES: dict[ActivationName, Callable[[Floats], Floats]] = {
    "relu": lambda a: np.where(a > 0.0, 1.0, 0.0),
    "tanh": lambda a: np.cosh(a) ** -2.0,
    "sigmoid": lambda a: np.exp(-a) / (1.0 + np.exp(-a)) ** 2,
    "hard_sigmoid": lambda a: np.where((a > 0.0) & (a < 1.0), 1.0, 0.0),
    "linear": np.ones_like,
}


def feedback_name(task: Task, layer: int, direct: bool) -> str:
    """Return the projection that brings the error to the hidden layer at this position."""
    names = [*task.stack().layers[1:], "output"]
    return f"{'output' if direct else names[layer + 1]}-{names[layer]}"


def learnt_by_loop(
    task: Task,
    start: Parameters,
    rate: float,
    direct: bool,
    sloped: bool = True,
    redrawn: bool = False,
) -> Parameters:
    """Return what the equations make of the same start, samples, order and feedback.

    delta_L = y - softmax(a_L);  delta_l = (B delta_{l+1}) f'(a_l), or (B_l delta_L) f'(a_l)
    where it is direct;  dW_l = rate / n_rows sum delta_l h_{l-1}^T.

    Args:
        task: sizes and samples.
        start: initial weights, and the feedback weights B.
        rate: falls linearly to zero.
        direct: whether every layer gets the error of the output.
        sloped: whether f' is a factor.
        redrawn: whether B is another one, as large, in every minibatch.
    """
    assert task.activation is not None
    names = task.forward_names()
    weights = [start[name]["weight"].numpy().copy() for name in names]
    biases = [start[name]["bias"].numpy().copy() for name in names]
    n_hidden = len(task.hidden)
    feedback = [
        start[feedback_name(task, layer, direct)]["weight"].numpy() for layer in range(n_hidden)
    ]
    generator = np.random.default_rng(0)
    for done, x, y in task.minibatches():
        if redrawn:
            feedback = [generator.standard_normal(b.shape) / np.sqrt(b.shape[1]) for b in feedback]
        h, a = [x.numpy()], []
        for weight, bias in zip(weights, biases, strict=True):
            a.append(h[-1] @ weight.T + bias)
            h.append(FUNCTIONS[task.activation](a[-1]))
        shares = np.exp(a[-1] - a[-1].max(axis=1, keepdims=True))
        error = np.eye(task.classes)[y.numpy()] - shares / shares.sum(axis=1, keepdims=True)
        deltas = [error]
        for layer in reversed(range(n_hidden)):
            delta = (error if direct else deltas[0]) @ feedback[layer].T
            if sloped:
                delta = delta * SLOPES[task.activation](a[layer])
            deltas.insert(0, delta)
        step = rate * (1.0 - done) / len(x)
        for layer, delta in enumerate(deltas):
            weights[layer] += step * delta.T @ h[layer]
            biases[layer] += step * delta.sum(axis=0)
    return {
        name: {"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}
        for name, weight, bias in zip(names, weights, biases, strict=True)
    }


def error_of(kind: Rule, task: Task, **otherwise: bool) -> float:
    """Return how far the engine is from the loop, as a share of what was learnt."""
    simulation = task.simulation(kind(lr=0.3, optimiser="sgd", decay="linear"))
    start = copied(simulation.parameters())
    direct = kind is DirectFeedbackAlignment
    expected = learnt_by_loop(task, start, 0.3, direct, **otherwise)
    return relative_error(task.learn(simulation), expected, start)


@pytest.mark.parametrize("kind", RULES)
@given(task=tasks)
@example(task=Task((9, 8, 7, 6), "tanh", batches=4))
def test_the_engine_follows_the_equations(kind: Rule, task: Task) -> None:
    assert error_of(kind, task) < TOLERANCE


DEEP = Task((6, 5, 4), "tanh", batches=3)


@pytest.mark.parametrize("kind", RULES)
def test_a_slope_that_is_left_out_is_found(kind: Rule) -> None:
    assert error_of(kind, DEEP, sloped=False) > 0.01


@pytest.mark.parametrize("kind", RULES)
def test_feedback_that_is_redrawn_is_found(kind: Rule) -> None:
    assert error_of(kind, DEEP, redrawn=True) > 0.01


def test_chained_and_direct_feedback_are_told_apart() -> None:
    simulation = DEEP.simulation(FeedbackAlignment(lr=0.3, optimiser="sgd"))
    start = copied(simulation.parameters())
    generator = torch.Generator().manual_seed(0)
    for layer in range(len(DEEP.hidden) - 1):
        shape = (DEEP.hidden[layer], DEEP.classes)
        weight = torch.randn(shape, generator=generator, dtype=torch.float64)
        start[feedback_name(DEEP, layer, direct=True)] = {"weight": weight}
    direct = learnt_by_loop(DEEP, start, 0.3, direct=True)
    assert relative_error(DEEP.learn(simulation), direct, start) > 0.1


@pytest.mark.parametrize("kind", RULES)
def test_feedback_weights_do_not_learn(kind: Rule) -> None:
    simulation = DEEP.simulation(kind(lr=0.3))
    names = [feedback_name(DEEP, layer, kind is DirectFeedbackAlignment) for layer in range(3)]
    start = copied(simulation.parameters())
    found = DEEP.learn(simulation)
    for name in names:
        assert torch.equal(found[name]["weight"], start[name]["weight"])
    for name in DEEP.forward_names():
        assert not torch.equal(found[name]["weight"], start[name]["weight"])


@pytest.mark.parametrize("kind", RULES)
def test_feedback_weights_are_their_own(kind: type[ErrorPathway]) -> None:
    network = kind().wire(DEEP.stack())
    (error,) = [p.projections for p in network.pathways if p.name == "error"]
    assert len(error) == len(DEEP.hidden)
    for name in error:
        assert not isinstance(network.projections[network.projection_at[name]].weights, Tied)
