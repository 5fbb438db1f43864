"""Plasticities that several rules share, and the wrappers that turn a direction into a step.

Why wrappers: what a synapse should do (a direction) and how far it goes (a learning rate, a
momentum, Adam's moments) vary apart. Moments are plastic memory on the synapse's own axis, so
a wrapped plasticity is as local as the one inside. Schedules enter as the signal `progress`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from biosim.contracts import Memory, Plasticity
from biosim.locality import Axis, Local, Reads

Decay = Literal["none", "linear"]

PARAMETER_AXIS: dict[str, Axis] = {"weight": "synapse", "bias": "post"}

_SCHEDULES: dict[Decay, Callable[[float], float]] = {
    "none": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
}


@dataclass(frozen=True)
class ErrorDriven:
    """Pre-synaptic activity times post-synaptic gain times apical input.

    Backpropagation, feedback alignment and direct feedback alignment share it and differ in
    what the apical input is made of; with a softmax output's own error it is the delta rule
    (Widrow and Hoff 1960).
    """

    @property
    def reads(self) -> Reads:
        """pre.activity, post.gain, post.apical."""
        return Reads(pre=("activity",), post=("gain", "apical"), on="apical")

    @property
    def memory(self) -> Mapping[str, Axis]:
        """None."""
        return {}

    def update(self, seen: Local, memory: Memory) -> tuple[Mapping[str, Tensor], Memory]:
        """Return the mean over rows of (apical * gain) outer activity."""
        error = seen.post.apical * seen.post.gain
        # Scaling the (n_rows, n_post) factor is cheaper than scaling the (n_post, n_pre) result.
        error = error * (1.0 / error.shape[0])
        return {"weight": error.t() @ seen.pre.activity, "bias": error.sum(0)}, memory


@dataclass(frozen=True)
class Sgd:
    """Take the direction of another plasticity, times a learning rate, with momentum if asked.

    Args:
        of: the plasticity that gives the direction.
        rate: learning rate.
        decay: how the rate falls over the run: not at all, or linearly to zero.
        momentum: share of the last step that is kept, in [0, 1).
        until: share of the run after which the rate is zero; the decay ends there as well.
    """

    of: Plasticity
    rate: float
    decay: Decay = "none"
    momentum: float = 0.0
    until: float = 1.0

    @cached_property
    def reads(self) -> Reads:
        """What the wrapped plasticity reads, and the progress of the run."""
        return self.of.reads.with_signals("progress")

    @cached_property
    def memory(self) -> Mapping[str, Axis]:
        """The wrapped plasticity's, and the last step where there is momentum."""
        own: dict[str, Axis] = {}
        if self.momentum:
            own = {f"step.{name}": axis for name, axis in PARAMETER_AXIS.items()}
        return {**self.of.memory, **own}

    def update(self, seen: Local, memory: Memory) -> tuple[Mapping[str, Tensor], Memory]:
        """Return the step along the wrapped direction."""
        direction, memory = self.of.update(seen, memory)
        return self.step(direction, float(seen.signals.progress), memory)

    def step(
        self, direction: Mapping[str, Tensor], progress: float, memory: Memory
    ) -> tuple[Mapping[str, Tensor], Memory]:
        """Return rate times the direction, plus momentum times the last step."""
        rate = self.rate * _scheduled(self.decay, self.until, progress)
        changes = {}
        for name, change in direction.items():
            step = change * rate
            if self.momentum:
                step = memory[f"step.{name}"].mul_(self.momentum).add_(step)
            changes[name] = step
        return changes, memory


@dataclass(frozen=True)
class Adam:
    """Take the direction of another plasticity with a step of its own for every synapse.

    Kingma and Ba 2015 (arXiv 1412.6980), algorithm 1.

    Args:
        of: the plasticity that gives the direction.
        rate: learning rate.
        decay: how the rate falls over the run.
        beta1: decay of the first moment.
        beta2: decay of the second moment.
        epsilon: keeps the division finite.
    """

    of: Plasticity
    rate: float
    decay: Decay = "none"
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    @cached_property
    def reads(self) -> Reads:
        """What the wrapped plasticity reads, and the progress of the run."""
        return self.of.reads.with_signals("progress")

    @cached_property
    def memory(self) -> Mapping[str, Axis]:
        """The wrapped plasticity's, two moments a parameter, and the count of steps."""
        moments: dict[str, Axis] = {"steps": "shared"}
        for name, axis in PARAMETER_AXIS.items():
            moments |= {f"first.{name}": axis, f"second.{name}": axis}
        return {**self.of.memory, **moments}

    def update(self, seen: Local, memory: Memory) -> tuple[Mapping[str, Tensor], Memory]:
        """Return the step along the wrapped direction."""
        direction, memory = self.of.update(seen, memory)
        return self.step(direction, float(seen.signals.progress), memory)

    def step(
        self, direction: Mapping[str, Tensor], progress: float, memory: Memory
    ) -> tuple[Mapping[str, Tensor], Memory]:
        """Return the step of Adam along the direction."""
        memory["steps"] += 1
        rate = self.rate * _scheduled(self.decay, 1.0, progress)
        changes = {name: torch.zeros_like(change) for name, change in direction.items()}
        # The kernel behind torch.optim.Adam(fused=True): one pass over memory instead of six.
        # It steps a parameter from where it is; from zero, that is the change.
        torch._fused_adam_(
            list(changes.values()),
            list(direction.values()),
            [memory[f"first.{name}"] for name in direction],
            [memory[f"second.{name}"] for name in direction],
            [],
            [memory["steps"]] * len(direction),
            lr=rate,
            beta1=self.beta1,
            beta2=self.beta2,
            weight_decay=0.0,
            eps=self.epsilon,
            amsgrad=False,
            maximize=True,
        )
        return changes, memory


def _scheduled(decay: Decay, until: float, progress: float) -> float:
    if progress >= until:
        return 0.0
    return _SCHEDULES[decay](progress / until)
