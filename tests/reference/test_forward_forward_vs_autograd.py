"""What a forward-forward layer learns is the gradient of its own loss, and of no other.

loss = mean over pairs of softplus(theta - g+) + softplus(g- - theta), where g = sum h^2 over the
layer (Hinton 2022, eq. 1), and what comes from below is a constant.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import linear, softplus

from rules import ForwardForward
from tests.reference.tasks import Parameters, Tap, Task, copied, relative_error

RATE, THRESHOLD, TOLERANCE = 0.01, 0.3, 1e-9

RHO: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": lambda drive: drive.clamp(0.0, 1.0),
    "linear": lambda drive: drive,
}

tasks = st.builds(
    Task,
    activation=st.sampled_from(list(RHO)),
    hidden=st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple),
    inputs=st.integers(1, 9),
    classes=st.integers(2, 5),
    batch_size=st.integers(1, 6),
    batches=st.just(1),
    epochs=st.just(1),
    seed=st.integers(0, 1 << 16),
)
DEEP = Task((9, 8, 6), inputs=12, classes=4, batch_size=50, batches=1, epochs=1)


def sum_of_squares(h: Tensor) -> Tensor:
    """Return the goodness of each row."""
    return h.square().sum(1)


def direction(h: Tensor) -> Tensor:
    """Return what is sent on: mean square 1, but for rows that are almost silent."""
    return h / (h.square().mean(1, keepdim=True) + 1e-8).sqrt()


def learnt_by_autograd(
    task: Task,
    start: Parameters,
    shown: Tensor,
    goodness: Callable[[Tensor], Tensor] = sum_of_squares,
    sent: Callable[[Tensor], Tensor] = direction,
    isolated: bool = True,
) -> Parameters:
    """Return every layer after one step down the gradient of its loss.

    Args:
        task: sizes.
        start: the parameters before the step.
        shown: (2 n_pairs, n_inputs) as many true rows as false ones after them.
        goodness: of the rows of a layer.
        sent: what a layer makes of its activity for the next.
        isolated: whether a layer's loss stops at its input.
    """
    names = task.forward_names()[: len(task.hidden)]
    layers = [copied(start)[name] for name in names]
    flat = [tensor.requires_grad_() for layer in layers for tensor in layer.values()]
    below, loss = shown, torch.zeros((), dtype=shown.dtype)
    for layer in layers:
        h = RHO[task.activation or "relu"](linear(below, layer["weight"], layer["bias"]))
        true, false = goodness(h).chunk(2)
        threshold = THRESHOLD * h.shape[1]
        loss = loss + (softplus(threshold - true) + softplus(false - threshold)).mean()
        below = sent(h.detach() if isolated else h)
    for tensor, gradient in zip(flat, torch.autograd.grad(loss, flat), strict=True):
        tensor.detach_().sub_(RATE * gradient)
    return dict(zip(names, layers, strict=True))


def error_of(task: Task, **otherwise: object) -> float:
    """Return how far the engine is from the reference, as a share of what was learnt."""
    tap = Tap()
    rule = ForwardForward(
        lr=RATE, threshold=THRESHOLD, optimiser="sgd", decay="none", with_readout=False
    )
    simulation = task.simulation(rule, ranks=tap)
    start = copied(simulation.parameters())
    found = task.learn(simulation)
    (shown,) = tap.payloads(simulation.network, "input-hidden1")
    return relative_error(found, learnt_by_autograd(task, start, shown, **otherwise), start)


@given(tasks)
def test_a_layer_follows_the_gradient_of_its_own_loss(task: Task) -> None:
    assert error_of(task) < TOLERANCE


@pytest.mark.parametrize(
    "otherwise",
    [
        pytest.param({"goodness": lambda h: h.square().mean(1)}, id="mean instead of sum"),
        pytest.param({"goodness": lambda h: h.sum(1)}, id="activity instead of its square"),
        pytest.param({"sent": lambda h: h}, id="length sent on"),
        pytest.param({"isolated": False}, id="gradient from above"),
    ],
)
def test_another_loss_is_found(otherwise: dict[str, object]) -> None:
    assert error_of(DEEP, **otherwise) > 1e-3


@pytest.fixture(scope="module")
def sent() -> tuple[Task, Tap, list[Tensor]]:
    """What the source and each hidden layer but the last send for one minibatch."""
    tap = Tap()
    simulation = DEEP.simulation(ForwardForward(with_readout=False), ranks=tap)
    DEEP.learn(simulation)
    found = []
    for name in DEEP.forward_names()[: len(DEEP.hidden)]:
        (payload,) = tap.payloads(simulation.network, name)
        found.append(payload)
    return DEEP, tap, found


def test_what_is_sent_has_a_mean_square_of_one(sent: tuple[Task, Tap, list[Tensor]]) -> None:
    _, _, payloads = sent
    assert len(payloads) == 3
    for payload in payloads:
        heard = payload[payload.abs().sum(1) > 0]
        assert len(heard) > 90
        assert (heard.square().mean(1) - 1.0).abs().max() < 1e-5


def test_unit_length_is_another_normalisation(sent: tuple[Task, Tap, list[Tensor]]) -> None:
    _, _, payloads = sent
    for payload in payloads:
        unit = torch.nn.functional.normalize(payload)
        assert (unit.square().mean(1) - 1.0).abs().min() > 0.5


def test_every_sample_is_shown_with_its_label_and_with_another(
    sent: tuple[Task, Tap, list[Tensor]],
) -> None:
    task, _, (shown, *_) = sent
    ((_, x, y),) = task.minibatches()
    right, wrong = shown.chunk(2)
    scale_right, scale_wrong = (
        (part[:, : task.inputs] / x).mean(1, keepdim=True) for part in (right, wrong)
    )
    labels = torch.eye(task.classes, dtype=x.dtype)
    torch.testing.assert_close(right / scale_right, torch.cat([x, labels[y]], 1))
    torch.testing.assert_close((wrong / scale_wrong)[:, : task.inputs], x)
    called = (wrong / scale_wrong)[:, task.inputs :]
    assert (called.argmax(1) != y).all()
    torch.testing.assert_close(called, labels[called.argmax(1)])
