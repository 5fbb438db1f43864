"""The contrast of two settled states tends to the gradient of the loss as the nudge vanishes.

The error of the one-sided estimate falls with the first power of beta, that of the symmetric
one with the second (Laborieux et al. 2021, section 3.2), provided that the states have really
settled: the floor of the symmetric estimate is the residual divided by beta.

The network is 20-15-12-5 in float64, with tanh, which is smooth, and the squared error. The
truth is the gradient through the fixed point by implicit differentiation.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

import pytest
import torch
from torch import Tensor

from biosim.simulation import Simulation
from rules import EquilibriumPropagation
from tests.reference.tasks import Parameters, Task, copied

TASK = Task((15, 12), "tanh", inputs=20, classes=5, batch_size=3, batches=1, epochs=1)
LAYERS = [15, 12, 5]
SETTLED = 1e-12
ENOUGH_TICKS, TOO_FEW_TICKS = 300, 70

Nudging = Literal["one_sided", "symmetric"]

BETAS = (3e-2, 1e-2, 3e-3, 1e-3)


def energy(state: Tensor, x: Tensor, parameters: list[Tensor]) -> Tensor:
    """Return E of each sample: |s|^2 / 2 - sum rho(s) (W rho(s below) + b), where rho(x) is x.

    Args:
        state: (n_rows, n_units) all layers, from the one next to the input up.
        x: (n_rows, n_inputs).
        parameters: three weights (n_post, n_pre) from the input up, then three biases.
    """
    below, total = x, 0.5 * state.square().sum(1)
    layers = zip(state.split(LAYERS, dim=1), parameters[:3], parameters[3:], strict=True)
    for s, weight, bias in layers:
        rate = torch.tanh(s)
        total = total - (rate * (below @ weight.t() + bias)).sum(1)
        below = rate
    return total


def loss(state: Tensor, target: Tensor) -> Tensor:
    """Return C of each sample, half the squared distance of the output's state: (n_rows,)."""
    return 0.5 * (target - state[:, -TASK.classes :]).square().sum(1)


def force(
    state: Tensor, x: Tensor, target: Tensor, beta: Tensor | float, parameters: list[Tensor]
) -> Tensor:
    """Return dF/ds (n_rows, n_units), where F = E + beta C; beta may be one number a row."""
    if not state.requires_grad:
        state = state.clone().requires_grad_()
    total = energy(state, x, parameters) + beta * loss(state, target)
    return torch.autograd.grad(total.sum(), state, create_graph=True)[0]


class Problem(NamedTuple):
    """The samples and parameters before learning."""

    x: Tensor
    target: Tensor
    parameters: list[Tensor]
    """Three weights, then three biases."""


def listed(parameters: Parameters) -> list[Tensor]:
    """Return the weights from the input up, then the biases."""
    names = TASK.forward_names()
    return [parameters[name][part] for part in ("weight", "bias") for name in names]


@functools.cache
def problem() -> Problem:
    """Return what every simulation of `TASK` starts from."""
    ((_, x, y),) = TASK.minibatches()
    target = torch.eye(TASK.classes, dtype=x.dtype)[y]
    simulation = TASK.simulation(EquilibriumPropagation())
    return Problem(x, target, listed(copied(simulation.parameters())))


def relaxed(x: Tensor, target: Tensor, parameters: list[Tensor], steps: int) -> Tensor:
    """Return the free states (n_rows, n_units) after this many steps downhill from zero."""
    state = x.new_zeros(len(x), sum(LAYERS))
    for _ in range(steps):
        state = state - 0.5 * force(state, x, target, 0.0, parameters)
    return state


def flattened(tensors: Iterable[Tensor]) -> Tensor:
    """Return all numbers in a row."""
    return torch.cat([tensor.flatten() for tensor in tensors])


@functools.cache
def true_gradient() -> Tensor:
    """Return the gradient of the mean loss at the free fixed point, all parameters in a row.

    With H = d2E/ds2 at the fixed point, dC/dtheta = -(H^-1 dC/ds) . d2E/ds dtheta.
    """
    x, target, fixed = problem()
    parameters = [p.clone().requires_grad_() for p in fixed]
    state = relaxed(x, target, fixed, 400).detach().requires_grad_()
    pulled = force(state, x, target, 0.0, parameters)
    assert pulled.abs().max() < 1e-14
    curvature = torch.stack(
        [torch.autograd.grad(one.sum(), state, retain_graph=True)[0] for one in pulled.t()], dim=1
    )
    (slope,) = torch.autograd.grad(loss(state, target).sum(), state)
    adjoint = torch.linalg.solve(curvature, slope)
    total = -(adjoint * pulled).sum() / len(x)
    return flattened(torch.autograd.grad(total, parameters))


class Estimate(NamedTuple):
    """What the engine made of one minibatch."""

    gradient: Tensor
    """All parameters in a row."""
    residual: float
    """Largest |dF/ds| at the end of any phase, over units and samples."""


def states(simulation: Simulation) -> Tensor:
    """Return the states of all layers, (n_rows, n_units)."""
    actors = simulation.snapshot()["actors"]
    at = simulation.network.population_at
    # One minibatch, of one part, is settling.
    settling = [actors[at[name]]["relaxing"][0] for name in ("hidden1", "hidden2", "output")]
    return torch.cat([each.state for each in settling], 1)


@functools.cache
def estimated(beta: float, nudging: Nudging, ticks: int = ENOUGH_TICKS) -> Estimate:
    """Let the engine settle twice and learn at a rate of one; return its gradient."""
    rule = EquilibriumPropagation(
        lr=(1.0,), beta=beta, nudging=nudging, free_ticks=ticks, nudged_ticks=ticks, step=0.5
    )
    simulation = TASK.simulation(rule)
    start = problem()
    assert all(map(torch.equal, listed(simulation.parameters()), start.parameters))
    simulation.begin_epoch(*TASK.samples(), 0, TASK.batch_size)

    n, zero = len(start.x), start.x.new_zeros(len(start.x))
    # Phases begin one tick after the source has said so, and a phase's last step is the tick
    # before the next one begins.
    simulation.finish(until=1 + ticks)
    free = force(states(simulation), start.x, start.target, zero, start.parameters)
    simulation.finish(until=1 + 2 * ticks)
    nudges = torch.cat([zero + beta, zero - beta if nudging == "symmetric" else zero])
    twice = [t.repeat(2, 1) for t in (start.x, start.target)]
    nudged = force(states(simulation), *twice, nudges, start.parameters)
    assert nudged.shape == (2 * n, sum(LAYERS))
    assert simulation.finish()

    changes = [
        before - after
        for before, after in zip(start.parameters, listed(simulation.parameters()), strict=True)
    ]
    residual = max(free.abs().max().item(), nudged.abs().max().item())
    return Estimate(flattened(changes), residual)


def error(estimate: Estimate) -> float:
    """Return the distance from the truth as a share of its length."""
    truth = true_gradient()
    return ((estimate.gradient - truth).norm() / truth.norm()).item()


def orders(nudging: Nudging, betas: tuple[float, ...], ticks: int = ENOUGH_TICKS) -> list[float]:
    """Return the power of beta with which the error falls, between neighbouring betas."""
    errors = [error(estimated(beta, nudging, ticks)) for beta in betas]
    return [
        math.log(e1 / e2) / math.log(b1 / b2)
        for (b1, e1), (b2, e2) in itertools.pairwise(zip(betas, errors, strict=True))
    ]


def test_the_truth_is_the_gradient_through_the_relaxation_itself() -> None:
    x, target, parameters = problem()
    parameters = [p.clone().requires_grad_() for p in parameters]
    state = relaxed(x, target, parameters, 350)
    gradient = flattened(torch.autograd.grad(loss(state, target).mean(), parameters))
    assert (gradient - true_gradient()).norm() / gradient.norm() < 1e-10


@pytest.mark.parametrize("nudging", ["one_sided", "symmetric"])
@pytest.mark.parametrize("beta", BETAS)
def test_enough_ticks_settle_every_unit(beta: float, nudging: Nudging) -> None:
    assert estimated(beta, nudging).residual <= SETTLED


def test_one_sided_nudging_errs_with_the_first_power_of_beta() -> None:
    found = orders("one_sided", BETAS)
    assert all(0.97 < order < 1.01 for order in found), found


def test_symmetric_nudging_errs_with_the_second_power_of_beta() -> None:
    found = orders("symmetric", BETAS)
    assert all(1.98 < order < 2.01 for order in found), found
    assert error(estimated(1e-3, "symmetric")) < 1e-5


def test_states_that_have_nearly_settled_do_not_show_the_second_power() -> None:
    residuals = [estimated(beta, "symmetric", TOO_FEW_TICKS).residual for beta in BETAS]
    assert all(1e-5 < residual < 2e-4 for residual in residuals)
    found = orders("symmetric", BETAS, TOO_FEW_TICKS)
    assert not any(1.98 < order < 2.01 for order in found), found


def test_a_nudge_the_wrong_way_points_up_the_gradient() -> None:
    found = estimated(1e-3, "symmetric").gradient
    wrong = Estimate(-found, 0.0)
    assert error(wrong) > 1.9
