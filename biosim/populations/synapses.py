"""The dense synapses of one projection: weights, bias, and the plasticity that changes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor

from biosim.contracts import Plasticity, Stepping
from biosim.events import Presentation
from biosim.locality import Local, LocalityError, axis_shape
from biosim.network import NetworkError
from biosim.parts import Direction, Share
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

    state_names: ClassVar[tuple[str, ...]] = ("weight", "bias", "given", "memory")

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
        self.given: dict[Presentation, tuple[int, list[Direction]]] = {}
        """Of minibatches whose last part has not come: how many have, and what is kept of them."""
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
        if self.plasticity is None:
            return
        with self._named():
            seen = self._seen(self.plasticity, pre, post, signals)
            changes, self.memory = self.plasticity.update(seen, self.memory)
        self._change(changes)

    def learn_part(
        self, pre: Tensor, post: Variables, signals: Variables, at: Presentation, share: Share
    ) -> list[Direction] | None:
        """Take the direction of a part; return what all own parts gave once there are all.

        Args:
            pre: as in `learn`, like the other two.
            post: of the target population.
            signals: of the part.
            at: the part; they come in their order.
            share: the parts that this replica learns from.
        """
        stepping = cast(Stepping, self.plasticity)
        with self._named():
            seen = self._seen(stepping, pre, post, signals)
            direction, _ = stepping.of.update(seen, {})
        count, given = self.given.pop(at.whole(), (0, []))
        if at.part != share.own[count]:
            raise AssertionError(f"{at} should be part {share.own[count]}: events have an order")
        share.take(given, direction)
        if count + 1 == len(share.own):
            return given
        self.given[at.whole()] = count + 1, given
        return None

    def step(self, direction: Direction, progress: float) -> None:
        """Go a step along a direction."""
        stepping = cast(Stepping, self.plasticity)
        changes, self.memory = stepping.step(direction, progress, self.memory)
        self._change(changes)

    def parameters(self) -> dict[str, Tensor]:
        """Return weight (n_post, n_pre) and, where there is one, bias (n_post,)."""
        if self.bias is None:
            return {"weight": self.weight}
        return {"weight": self.weight, "bias": self.bias}

    def _change(self, changes: Mapping[str, Tensor]) -> None:
        self.weight += changes["weight"]
        if self.bias is not None and "bias" in changes:
            self.bias += changes["bias"]

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say of which projection a plasticity read what it did not declare."""
        try:
            yield
        except LocalityError as problem:
            raise LocalityError(f"projection {self.name!r}: {problem}") from None

    def _seen(
        self, plasticity: Plasticity, pre: Tensor, post: Variables, signals: Variables
    ) -> Local:
        reads = plasticity.reads
        if "weight_sum" in reads.post:
            post = {**post, "weight_sum": lambda: self.weight.sum(1).unsqueeze(0)}
        try:
            return Local(
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


class Wake(NamedTuple):
    """Plastic synapses that wake, and what they may see: the arguments of `Synapses.learn`."""

    synapses: Synapses
    pre: Tensor
    post: Variables
    signals: Variables


def learn(wakes: Sequence[Wake], at: Presentation, share: Share) -> bool:
    """Let the synapses of a population that wake together learn; return whether any changed.

    A minibatch in parts changes nothing before the last of them has been learnt.

    Args:
        wakes: of the same synapses for every part.
        at: what is learnt from.
        share: the parts that this replica learns from.
    """
    if share.parts == 1:
        for synapses, pre, post, signals in wakes:
            synapses.learn(pre, post, signals)
        return bool(wakes)
    given = [wake.synapses.learn_part(*wake[1:], at, share) for wake in wakes]
    whole = [directions for directions in given if directions is not None]
    if not whole:
        return False
    # Added up together: replicas meet once for the whole population.
    kept = [
        {f"{i}.{name}": each for i, d in enumerate(parts) for name, each in d.items()}
        for parts in zip(*whole, strict=True)
    ]
    mean = share.mean(kept)
    for i, (wake, parts) in enumerate(zip(wakes, whole, strict=True)):
        direction = {name: mean[f"{i}.{name}"] for name in parts[0]}
        wake.synapses.step(direction, float(wake.signals["progress"]()))
    return True
