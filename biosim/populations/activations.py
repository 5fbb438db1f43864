"""What a graded neuron makes of its drive, and the slope, written in terms of the activity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

ActivationName = Literal["relu", "tanh", "sigmoid", "hard_sigmoid", "linear", "softmax"]

ACTIVATIONS: dict[ActivationName, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    # Scellier & Bengio 2017: clip to [0, 1], slope 1, no shift.
    "hard_sigmoid": lambda drive: drive.clamp(0.0, 1.0),
    "linear": lambda drive: drive,
    "softmax": lambda drive: torch.softmax(drive, dim=1),
}
"""Drive (n_rows, n) to activity (n_rows, n); softmax is over the population."""

GAINS: dict[ActivationName, Callable[[Tensor], Tensor]] = {
    "relu": lambda activity: (activity > 0).to(activity.dtype),
    "tanh": lambda activity: 1.0 - activity * activity,
    "sigmoid": lambda activity: activity * (1.0 - activity),
    "hard_sigmoid": lambda activity: ((activity > 0) & (activity < 1)).to(activity.dtype),
    "linear": torch.ones_like,
    # With cross-entropy the error of a softmax output is taken at its drive: gain 1.
    "softmax": torch.ones_like,
}
"""Activity (n_rows, n) to the slope of the activation there (n_rows, n)."""


def by_length(activity: Tensor) -> Tensor:
    """Return the activity of each row divided by its root mean square, as rows sent on.

    Hinton 2022 (arXiv 2212.13345) section 2: mean(h^2) becomes 1, so that the goodness of one
    layer cannot be read off the length of its activity by the next.
    """
    mean_square = (activity * activity).mean(dim=1, keepdim=True)
    return activity * torch.rsqrt(mean_square + 1e-8)


def centred_unit(activity: Tensor) -> Tensor:
    """Return rows of mean zero and length one; a constant row becomes zero."""
    return unit(activity - activity.mean(dim=1, keepdim=True))


def unit(rows: Tensor) -> Tensor:
    """Return rows of length one; a row of zeros stays."""
    length: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows / length.clamp_min(1e-12)
