"""NoProp-DT as a plain torch loop: blocks learn to denoise the label alone, autograd inside, Adam.

Source: Li, Teh, Pascanu 2025 (arXiv 2503.24322), equation 8, with one-hot embeddings. The loss of
a block is the bare squared error: a constant weight (the difference of SNRs) does not change the
direction of Adam's steps, and the blocks share no parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

N_BLOCKS = 10


class Block(nn.Module):
    """Predicts class probabilities from the image and a noisy label."""

    def __init__(self, n_in: int, n_classes: int) -> None:
        super().__init__()
        self.image = nn.Linear(n_in, 64)
        self.state = nn.Linear(n_classes, 32)
        self.joint = nn.Linear(64 + 32, 64)
        self.out = nn.Linear(64, n_classes)
        for linear in (self.image, self.state, self.joint, self.out):
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Return probabilities (n, n_classes) for x (n, n_in) and z (n, n_classes)."""
        h = torch.cat([F.relu(self.image(x)), F.relu(self.state(z))], 1)
        return F.softmax(self.out(F.relu(self.joint(h))), 1)


def make(
    sizes: list[int], batch: int, seed: int = 0, fused: bool = False
) -> Callable[[Tensor, Tensor], None]:
    """Return `step(x, y)`: one minibatch. x: (batch, sizes[0]); y: (batch,) class indices.

    sizes[0] is the number of inputs, sizes[-1] of classes; hidden sizes in between are not used.
    """
    torch.manual_seed(seed)
    n_classes = sizes[-1]
    blocks = [Block(sizes[0], n_classes) for _ in range(N_BLOCKS)]
    optimisers = [torch.optim.Adam(block.parameters(), lr=5e-3, fused=fused) for block in blocks]
    # abar_t rises with t: the first block sees almost pure noise.
    abars = [
        min(max(math.cos((1 - t / N_BLOCKS) * math.pi / 2) ** 2, 0.02), 0.999)
        for t in range(N_BLOCKS)
    ]

    def step(x: Tensor, y: Tensor) -> None:
        target = F.one_hot(y, n_classes).float()
        for block, optimiser, abar in zip(blocks, optimisers, abars, strict=True):
            z = math.sqrt(abar) * target + math.sqrt(1 - abar) * torch.randn_like(target)
            loss = (block(x, z) - target).square().sum(1).mean()
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()

    return step
