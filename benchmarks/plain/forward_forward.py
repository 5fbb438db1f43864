"""Forward-forward as a plain torch loop: a goodness loss for each layer, autograd inside it, Adam.

Source: Hinton 2022 (arXiv 2212.13345), sections 2 and 3.3. The label is appended to the input as
one unit a class; the paper writes it over the first ten pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

THETA_PER_UNIT = 0.5


def normalised(h: Tensor) -> Tensor:
    """Return h (n, units) scaled so that the mean of its squares is one in each row."""
    return h / (h.square().mean(1, keepdim=True).sqrt() + 1e-8)


def make(
    sizes: list[int], batch: int, seed: int = 0, fused: bool = False
) -> Callable[[Tensor, Tensor], None]:
    """Return `step(x, y)`: one minibatch. x: (batch, sizes[0]); y: (batch,) class indices.

    The hidden layers are sizes[1:-1]; sizes[-1] is the number of classes. There is no read-out.
    """
    torch.manual_seed(seed)
    n_classes = sizes[-1]
    layers = [nn.Linear(i, o) for i, o in pairwise([sizes[0] + n_classes, *sizes[1:-1]])]
    optimiser = torch.optim.Adam(
        [p for layer in layers for p in layer.parameters()], lr=1.5e-3, fused=fused
    )

    def step(x: Tensor, y: Tensor) -> None:
        wrong = (y + torch.randint(1, n_classes, y.shape)) % n_classes
        labels = F.one_hot(torch.cat([y, wrong]), n_classes).float()
        h = normalised(torch.cat([torch.cat([x, x]), labels], 1))
        optimiser.zero_grad()
        for k, layer in enumerate(layers):
            a = F.relu(layer(h))
            excess = a.square().sum(1) - THETA_PER_UNIT * layer.out_features
            positive, negative = excess.chunk(2)
            loss = F.softplus(-positive).mean() + F.softplus(negative).mean()
            torch.autograd.backward(loss)
            if k + 1 < len(layers):
                h = normalised(a.detach())
        optimiser.step()

    return step
