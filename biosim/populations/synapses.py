"""The dense synapses of one projection: weights, bias, and the plasticity that changes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from biosim.contracts import Plasticity
from biosim.locality import Local, LocalityError, axis_shape
from biosim.network import NetworkError
from biosim.wiring import Dense

Variables = Mapping[str, Callable[[], Tensor | float]]


class Synapses:
    """Weights (n_post, n_pre) and bias (n_post,) on the rank of the target population.

    Args:
        name: of the projection; with the seed it fixes the initial weights.
        weights: how the initial weights are drawn.
        plasticity: how they change; None if they do not.
        n_post: neurons of the target.
        n_pre: neurons of the source.
        seed: the run's seed.
        device: where the tensors lie.
        dtype: of the tensors.
    """

    def __init__(
        self,
        name: str,
        weights: Dense,
        plasticity: Plasticity | None,
        n_post: int,
        n_pre: int,
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.name = name
        drawn = weights.weight(n_post, n_pre, seed, name)
        self.weight = drawn.to(device=device, dtype=dtype)
        self.bias = torch.zeros(n_post, device=device, dtype=dtype) if weights.bias else None
        self.plasticity = plasticity
        self.memory: dict[str, Tensor] = {}
        if self.plasticity is not None:
            self.memory = {
                name: torch.zeros(
                    axis_shape(axis, n_pre, n_post),
                    device=device,
                    # Counts; a fused kernel on a GPU reads them as float32 whatever the weights.
                    dtype=torch.float32 if axis == "shared" else dtype,
                )
                for name, axis in self.plasticity.memory.items()
            }

    def drive(self, pre: Tensor) -> Tensor:
        """Return the summed input (n_rows, n_post) of activity (n_rows, n_pre)."""
        if self.bias is None:
            return pre @ self.weight.t()
        return torch.addmm(self.bias, pre, self.weight.t())

    def learn(self, pre: Tensor, post: Variables, signals: Variables) -> None:
        """Let the plasticity see what it declares, and apply the changes.

        Args:
            pre: what arrived on this projection, (n_rows, n_pre).
            post: how to get each variable of the target population.
            signals: how to get each signal.

        Raises:
            NetworkError: the population does not have a variable that is declared.
        """
        plasticity = self.plasticity
        if plasticity is None:
            return
        reads = plasticity.reads
        if "weight_sum" in reads.post:
            post = {**post, "weight_sum": lambda: self.weight.sum(1).unsqueeze(0)}
        try:
            seen = Local(
                pre=dict.fromkeys(reads.pre, pre),
                post={name: post[name]() for name in reads.post},
                synapse={name: getattr(self, name) for name in reads.synapse},
                signals={name: signals[name]() for name in reads.signals},
            )
        except KeyError as unknown:
            raise NetworkError(
                f"plasticity {type(plasticity).__name__} of projection {self.name!r} declares "
                f"{unknown.args[0]!r}; its population has {', '.join([*post, *signals])}"
            ) from None
        try:
            changes, self.memory = plasticity.update(seen, self.memory)
        except LocalityError as problem:
            raise LocalityError(f"projection {self.name!r}: {problem}") from None
        self.weight += changes["weight"]
        if self.bias is not None and "bias" in changes:
            self.bias += changes["bias"]

    def parameters(self) -> dict[str, Tensor]:
        """Return weight (n_post, n_pre) and, where there is one, bias (n_post,)."""
        if self.bias is None:
            return {"weight": self.weight}
        return {"weight": self.weight, "bias": self.bias}
