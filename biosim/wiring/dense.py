"""Dense wiring: the weights of a projection, made by the rank that owns its target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from biosim.draws import Draws

Distribution = Literal["normal", "uniform", "unit"]


@dataclass(frozen=True)
class Dense:
    """All-to-all weights (n_post, n_pre), drawn by synapse, with a bias that starts at zero.

    Args:
        distribution: "normal" with standard deviation `scale`, or "uniform" on [-scale, scale],
            or "unit": normal, then each neuron's weights scaled to the length `scale`.
        scale: spread of the weights; `kaiming`, `glorot` and `fan_in` compute usual ones.
        bias: whether every target neuron has a bias.
    """

    distribution: Distribution
    scale: float
    bias: bool = True

    def weight(self, n_post: int, n_pre: int, seed: int, name: str) -> Tensor:
        """Return the initial weights, float64 (n_post, n_pre).

        Every target neuron is an entity of its own, so a row does not depend on the others.
        """
        draws = Draws(seed, f"weight/{name}")
        rows = np.arange(n_post)
        if self.distribution == "uniform":
            values = (2.0 * draws.uniform(rows, n_pre) - 1.0) * self.scale
        else:
            values = draws.normal(rows, n_pre) * self.scale
        if self.distribution == "unit":
            values *= self.scale / np.linalg.norm(values, axis=1, keepdims=True)
        return torch.from_numpy(np.ascontiguousarray(values))


@dataclass(frozen=True)
class Tied:
    """The transposed weights of another projection, computed by the owner of those weights.

    The owner, which is the source of this projection, sends the weighted sum. This is weight
    transport (backprop) or weight symmetry (equilibrium propagation) and is reported as such.
    """

    to: str


def kaiming(n_pre: int) -> float:
    """Return sqrt(2 / n_pre), the standard deviation for relu (He et al. 2015, eq. 10)."""
    return math.sqrt(2.0 / n_pre)


def glorot(n_pre: int, n_post: int) -> float:
    """Return sqrt(6 / (n_pre + n_post)), the uniform bound (Glorot and Bengio 2010, eq. 16)."""
    return math.sqrt(6.0 / (n_pre + n_post))


def fan_in(n_pre: int) -> float:
    """Return 1 / sqrt(n_pre), which keeps the variance of a sum of independent inputs."""
    return 1.0 / math.sqrt(n_pre)
