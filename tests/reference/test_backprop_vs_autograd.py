"""Error that comes down through tied projections, event by event, is the gradient of torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor, nn

from biosim.populations import activations
from biosim.populations.activations import ActivationName
from biosim.populations.graded import GradedActor
from rules import Backprop, FeedbackAlignment
from tests.reference.tasks import (
    HIDDEN_ACTIVATIONS,
    Parameters,
    Task,
    copied,
    relative_error,
    tasks,
)

TOLERANCE = 1e-6

FUNCTIONS: dict[ActivationName, Callable[[Tensor], Tensor]] = {
    "relu": nn.functional.relu,
    "tanh": nn.functional.tanh,
    "sigmoid": nn.functional.sigmoid,
    "hard_sigmoid": lambda drive: nn.functional.hardtanh(drive, 0.0, 1.0),
    "linear": nn.Identity(),
}

Optimiser = Callable[[list[Tensor]], torch.optim.Optimizer]


def learnt_by_autograd(
    task: Task, start: Parameters, optimiser: Optimiser, decays: bool = False
) -> Parameters:
    """Return what torch makes of the same start, samples and order."""
    assert task.activation is not None
    parameters = {name: copied(start)[name] for name in task.forward_names()}
    flat = [t.requires_grad_() for tensors in parameters.values() for t in tensors.values()]
    steps = optimiser(flat)
    full_rate = steps.param_groups[0]["lr"]
    for done, x, y in task.minibatches():
        *hidden, output = parameters.values()
        h = x
        for layer in hidden:
            h = FUNCTIONS[task.activation](nn.functional.linear(h, layer["weight"], layer["bias"]))
        drive = nn.functional.linear(h, output["weight"], output["bias"])
        steps.zero_grad()
        nn.functional.cross_entropy(drive, y).backward()
        steps.param_groups[0]["lr"] = full_rate * (1.0 - done if decays else 1.0)
        steps.step()
    return {
        name: {part: t.detach() for part, t in tensors.items()}
        for name, tensors in parameters.items()
    }


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_every_hidden_activation_has_a_reference(activation: ActivationName) -> None:
    drive = torch.linspace(-2.0, 2.0, 401, dtype=torch.float64)[:, None]
    assert torch.equal(activations.ACTIVATIONS[activation](drive), FUNCTIONS[activation](drive))


@given(tasks, st.sampled_from([0.0, 0.9]))
@example(Task((9, 8, 7, 6), "tanh", batches=4), 0.9)
@example(Task((5,), "relu", batches=4), 0.0)
def test_backprop_with_sgd_is_gradient_descent(task: Task, momentum: float) -> None:
    rule = Backprop(lr=0.3, optimiser="sgd", momentum=momentum, decay="none")
    simulation = task.simulation(rule)
    start = copied(simulation.parameters())
    expected = learnt_by_autograd(
        task, start, lambda flat: torch.optim.SGD(flat, lr=0.3, momentum=momentum)
    )
    assert relative_error(task.learn(simulation), expected, start) < TOLERANCE


@given(tasks, st.booleans())
@example(Task((9, 8, 7, 6), "tanh", batches=4), True)
def test_backprop_with_adam_is_the_adam_of_torch(task: Task, decays: bool) -> None:
    rule = Backprop(lr=0.01, optimiser="adam", decay="linear" if decays else "none")
    simulation = task.simulation(rule)
    start = copied(simulation.parameters())
    expected = learnt_by_autograd(task, start, lambda flat: torch.optim.Adam(flat, lr=0.01), decays)
    assert relative_error(task.learn(simulation), expected, start) < TOLERANCE


@given(tasks)
def test_a_linear_fall_of_the_rate_is_that_of_the_course(task: Task) -> None:
    simulation = task.simulation(Backprop(lr=0.3, optimiser="sgd", decay="linear"))
    start = copied(simulation.parameters())
    expected = learnt_by_autograd(
        task, start, lambda flat: torch.optim.SGD(flat, lr=0.3), decays=True
    )
    assert relative_error(task.learn(simulation), expected, start) < TOLERANCE


# --- what the comparison finds

DEEP = Task((6, 5), "tanh", batches=3)


def error_of(rule: Backprop | FeedbackAlignment, decays: bool = False) -> float:
    """Return how far the rule ends from gradient descent at a rate of 0.3."""
    simulation = DEEP.simulation(rule)
    start = copied(simulation.parameters())
    expected = learnt_by_autograd(DEEP, start, lambda flat: torch.optim.SGD(flat, lr=0.3), decays)
    return relative_error(DEEP.learn(simulation), expected, start)


def test_random_feedback_is_not_gradient_descent() -> None:
    assert error_of(FeedbackAlignment(lr=0.3, optimiser="sgd", decay="none")) > 0.1


def test_a_slope_that_is_left_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Backprop(lr=0.3, optimiser="sgd", decay="none")
    assert error_of(rule) < TOLERANCE
    monkeypatch.setitem(activations.GAINS, "tanh", torch.ones_like)
    assert error_of(rule) > 0.01


@pytest.mark.parametrize("change", [1e-4, -1e-4])
def test_a_rate_that_is_slightly_off_is_found(change: float) -> None:
    rule = Backprop(lr=0.3 * (1 + change), optimiser="sgd", decay="none")
    assert error_of(rule) > 10 * TOLERANCE


def test_a_rate_that_should_fall_and_does_not_is_found() -> None:
    assert error_of(Backprop(lr=0.3, optimiser="sgd", decay="none"), decays=True) > 0.1


def test_an_error_through_weights_that_have_changed_already_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def learn_then_send(self, now, at, visit, out):
        if visit.label is not None:
            rows = torch.arange(len(visit.label))
            visit.apical = visit.activity.neg()
            visit.apical[rows, visit.label.long()] += 1.0
            visit.label = None
        if self._on_apical:
            self._learn("apical", now, at, visit)
        self._on_apical = False
        original(self, now, at, visit, out)
        self._on_apical = True

    original = GradedActor._correct
    monkeypatch.setattr(GradedActor, "_correct", learn_then_send)
    assert error_of(Backprop(lr=0.3, optimiser="sgd", decay="none")) > 10 * TOLERANCE


def test_minibatches_in_another_order_are_found() -> None:
    rule = Backprop(lr=0.3, optimiser="sgd", decay="none")
    simulation = DEEP.simulation(rule)
    start = copied(simulation.parameters())

    class Reversed(Task):
        def minibatches(self):
            return reversed(list(super().minibatches()))

    other = Reversed(DEEP.hidden, DEEP.activation, batches=DEEP.batches)
    expected = learnt_by_autograd(other, start, lambda flat: torch.optim.SGD(flat, lr=0.3))
    assert relative_error(DEEP.learn(simulation), expected, start) > 10 * TOLERANCE
