"""Learning samples a second: biosim against a plain hand-written torch loop of the same rule.

One process, one thread, the two in turn, so that a change of the machine's speed falls on both.
What counts is the ratio, biosim over plain, pair by pair; its median is printed. Both learn from
the same random samples; neither evaluates. The plain loops use torch.optim.Adam as it comes, and
once more with fused=True, which is the kernel that biosim's Adam calls.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.plain import backprop, direct_feedback_alignment, forward_forward, noprop
from biosim.events import Course
from biosim.simulation import Simulation
from rules import Backprop, DirectFeedbackAlignment, ForwardForward, NoProp, Rule, Stack

PAIRS = 7
SECONDS_A_MEASUREMENT = 1.0


@dataclass(frozen=True)
class Size:
    """A network and a minibatch, and the ratio that is asked for."""

    layers: tuple[int, ...]
    batch: int
    bar: float


SIZES = (Size((784, 500, 500, 10), 128, 0.9), Size((64, 128, 128, 10), 50, 0.7))

Step = Callable[[Tensor, Tensor], None]
PEERS: dict[str, tuple[Rule, Callable[..., Step]]] = {
    "backprop": (Backprop(), backprop.make),
    "direct_feedback_alignment": (DirectFeedbackAlignment(), direct_feedback_alignment.make),
    "forward_forward": (ForwardForward(with_readout=False), forward_forward.make),
    "noprop": (NoProp(image_units=64, state_units=32, joint_units=64), noprop.make),
}


def main() -> None:
    """Print a table of samples a second and ratios."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}")
    print("ratio: biosim / plain torch loop, median of pairs; fused: the plain loop's Adam")
    print(
        f"{'rule':26} {'network':18} {'batch':>5} {'fused':>5} {'plain /s':>9} {'biosim /s':>9} "
        f"{'ratio':>5} {'bar':>4}"
    )
    for size in SIZES:
        for name, (rule, make) in PEERS.items():
            for fused in (False, True):
                step = make(list(size.layers), size.batch, fused=fused)
                plain, ours = measure(size, rule, step)
                ratios = [b / a for a, b in zip(plain, ours, strict=True)]
                layers = "-".join(str(n) for n in size.layers)
                if name == "noprop":
                    layers = f"{size.layers[0]}, 10 blocks"
                print(
                    f"{name:26} {layers:18} {size.batch:5} {'yes' if fused else 'no':>5} "
                    f"{statistics.median(plain):9.0f} {statistics.median(ours):9.0f} "
                    f"{statistics.median(ratios):5.2f} {size.bar:4}",
                    flush=True,
                )


def measure(size: Size, rule: Rule, step: Step) -> tuple[list[float], list[float]]:
    """Return samples a second of the plain loop and of biosim, `PAIRS` of each."""
    batch = size.batch
    probe = 20
    x, y = samples(size, probe)
    plain_rate(step, x, y, batch)  # warm
    batches = max(probe, int(SECONDS_A_MEASUREMENT * plain_rate(step, x, y, batch) / batch))
    x, y = samples(size, batches)
    stack = Stack(size.layers[0], size.layers[1:-1], size.layers[-1], len(x), x.mean(0))
    course = Course(PAIRS + 1, batches, len(x))
    simulation = Simulation(rule.wire(stack), course)
    labels = y.to(torch.uint8)
    simulation.learn(x, labels, 0, batch)  # warm
    plain, ours = [], []
    for pair in range(PAIRS):
        plain.append(plain_rate(step, x, y, batch))
        began = time.perf_counter()
        simulation.learn(x, labels, pair + 1, batch)
        ours.append(len(x) / (time.perf_counter() - began))
    return plain, ours


def plain_rate(step: Step, x: Tensor, y: Tensor, batch: int) -> float:
    """Return samples a second of one pass over the samples in a random order."""
    began = time.perf_counter()
    order = torch.randperm(len(x))
    for first in range(0, len(x), batch):
        rows = order[first : first + batch]
        step(x[rows], y[rows])
    return len(x) / (time.perf_counter() - began)


def samples(size: Size, batches: int) -> tuple[Tensor, Tensor]:
    """Return inputs (n, n_features) in [0, 1) and labels (n,)."""
    generator = torch.Generator().manual_seed(0)
    n = batches * size.batch
    x = torch.rand(n, size.layers[0], generator=generator)
    return x, torch.randint(0, size.layers[-1], (n,), generator=generator)
