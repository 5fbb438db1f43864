"""Backpropagation as a plain torch loop: relu layers, softmax cross-entropy, autograd, Adam.

Source: Rumelhart, Hinton, Williams 1986 (Nature 323:533); Adam: Kingma, Ba 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make(
    sizes: list[int], batch: int, seed: int = 0, fused: bool = False
) -> Callable[[Tensor, Tensor], None]:
    """Return `step(x, y)`: one minibatch. x: (batch, sizes[0]); y: (batch,) class indices."""
    torch.manual_seed(seed)
    linears = [nn.Linear(n_in, n_out) for n_in, n_out in pairwise(sizes)]
    for linear in linears:
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
    with torch.no_grad():
        linears[-1].weight.mul_(0.5)
    net = nn.Sequential(*[m for hidden in linears[:-1] for m in (hidden, nn.ReLU())], linears[-1])
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3, fused=fused)

    def step(x: Tensor, y: Tensor) -> None:
        loss = F.cross_entropy(net(x), y)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()

    return step
