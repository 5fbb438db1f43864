"""Direct feedback alignment as a plain torch loop: updates by hand, Adam.

Source: Nokland 2016 (arXiv 1609.01596), section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor


def make(
    sizes: list[int], batch: int, seed: int = 0, fused: bool = False
) -> Callable[[Tensor, Tensor], None]:
    """Return `step(x, y)`: one minibatch. x: (batch, sizes[0]); y: (batch,) class indices."""
    torch.manual_seed(seed)
    n_classes = sizes[-1]
    weights = [torch.randn(n_out, n_in) * (2 / n_in) ** 0.5 for n_in, n_out in pairwise(sizes)]
    weights[-1] *= 0.5
    biases = [torch.zeros(n) for n in sizes[1:]]
    feedback = [torch.randn(n_classes, n) / n**0.5 for n in sizes[1:-1]]  # B transposed
    optimiser = torch.optim.Adam([*weights, *biases], lr=1e-3, fused=fused)

    @torch.no_grad()
    def step(x: Tensor, y: Tensor) -> None:
        activities = [x]
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            activities.append(F.relu(F.linear(activities[-1], weight, bias)))
        error = F.linear(activities[-1], weights[-1], biases[-1]).softmax(1)
        error[torch.arange(len(y)), y] -= 1
        error /= len(y)
        deltas = [(error @ b).mul_(h > 0) for b, h in zip(feedback, activities[1:], strict=True)]
        deltas.append(error)
        for weight, bias, delta, h in zip(weights, biases, deltas, activities, strict=True):
            weight.grad = delta.T @ h
            bias.grad = delta.sum(0)
        optimiser.step()

    return step
