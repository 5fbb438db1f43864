"""What a NoProp block learns is the gradient of its own denoising loss; how it answers is eq. 3.

Li, Teh and Pascanu 2025 (arXiv 2503.24322): block t descends
(T/2) eta (SNR_t - SNR_{t-1}) |u(z, x) - u_y|^2 for z ~ N(sqrt(abar_{t-1}) u_y, 1 - abar_{t-1}).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from biosim.contracts import Memory, Plasticity
from biosim.events import Course
from biosim.locality import Axis, Local, Reads
from biosim.network import Network
from biosim.populations import Denoising
from biosim.simulation import Simulation
from rules import NoProp
from tests.reference.tasks import Parameters, Tap, Task, copied, relative_error

BLOCKS, ETA, RATE, TOLERANCE = 5, 0.1, 0.01, 1e-9
PARTS = ("image", "state", "joint", "out")
# All sizes differ, so that what a synapse saw tells which synapse it was.
TASK = Task((), inputs=7, classes=4, batch_size=200, batches=2, epochs=1)
RULE = NoProp(
    lr=RATE,
    eta=ETA,
    blocks=BLOCKS,
    image_units=5,
    state_units=6,
    joint_units=9,
    optimiser="sgd",
    decay="none",
)


def signal(t: int) -> float:
    """Return abar_t, a clipped cosine: t = T is clean."""
    return min(max(math.cos((1 - t / BLOCKS) * math.pi / 2) ** 2, 0.02), 0.999)


def signal_to_noise(t: int) -> float:
    return signal(t) / (1 - signal(t))


@dataclass(frozen=True)
class Watched:
    """Keeps what each synapse saw, by the number of its pre-synaptic neurons."""

    of: Plasticity
    seen: dict[int, list[Tensor]] = field(default_factory=dict)

    @property
    def reads(self) -> Reads:
        return self.of.reads

    @property
    def memory(self) -> Mapping[str, Axis]:
        return self.of.memory

    def update(self, seen: Local, memory: Memory) -> tuple[Mapping[str, Tensor], Memory]:
        pre = seen.pre.activity
        self.seen.setdefault(pre.shape[1], []).append(pre.clone())
        return self.of.update(seen, memory)


def watched(network: Network) -> tuple[Network, list[Watched]]:
    """Return the network, and what keeps the inputs of each block's synapses."""
    watchers, populations = [], []
    for population in network.populations:
        model = population.model
        if isinstance(model, Denoising):
            watchers.append(Watched(model.plasticity))
            population = replace(population, model=replace(model, plasticity=watchers[-1]))
        populations.append(population)
    return replace(network, populations=tuple(populations)), watchers


@dataclass(frozen=True)
class Run:
    """Two minibatches, learnt and looked at."""

    start: Parameters
    after_one: Parameters
    states: list[list[Tensor]]
    """z_{t-1} by block and minibatch: (n_rows, n_classes)."""
    minibatches: list[tuple[Tensor, Tensor]]
    """x (n_rows, n_inputs) and y (n_rows,)."""


@pytest.fixture(scope="module")
def run() -> Run:
    network, watchers = watched(RULE.wire(TASK.stack()))
    x, y = TASK.samples()
    simulation = Simulation(
        network, Course(1, 2, len(x)), TASK.seed, dtype=torch.float64, period=10
    )
    generator = torch.Generator().manual_seed(1)
    for tensors in simulation.parameters().values():
        bias = tensors["bias"]
        bias.copy_(0.3 * torch.randn(len(bias), generator=generator, dtype=bias.dtype))
    start = copied(simulation.parameters())
    simulation.begin_epoch(x, y, 0, TASK.batch_size)
    assert not simulation.finish(until=10)
    after_one = copied(simulation.parameters())
    assert simulation.finish()
    return Run(
        start,
        after_one,
        [watcher.seen[TASK.classes] for watcher in watchers],
        [(x, y) for _, x, y in TASK.minibatches()],
    )


def block(parameters: Parameters, name: str, x: Tensor, state: Tensor) -> Tensor:
    """Return u(z, x), the clean answer that the block guesses: (n_rows, n_classes)."""

    def drive(part: str, pre: Tensor) -> Tensor:
        return linear(pre, **parameters[f"{name}.{part}"])

    both = torch.relu(torch.cat([drive("image", x), drive("state", state)], 1))
    return torch.softmax(drive("out", torch.relu(drive("joint", both))), 1)


def error_of(run: Run, t: int, weighting: float, cross_entropy: bool = False) -> float:
    """Return how far block t is from a step down its loss, as a share of that step."""
    name = f"block{t}"
    parts = [f"{name}.{part}" for part in PARTS]
    parameters = {part: copied(run.start)[part] for part in parts}
    flat = [tensor.requires_grad_() for part in parts for tensor in parameters[part].values()]
    (x, y), state = run.minibatches[0], run.states[t - 1][0]
    guess = block(parameters, name, x, state)
    if cross_entropy:
        loss = -weighting * guess[torch.arange(len(y)), y].log().mean()
    else:
        clean = torch.eye(TASK.classes, dtype=x.dtype)[y]
        loss = weighting * (guess - clean).square().sum(1).mean()
    for tensor, gradient in zip(flat, torch.autograd.grad(loss, flat), strict=True):
        tensor.detach_().sub_(RATE * gradient)
    return relative_error(run.after_one, parameters, run.start)


def weighting(t: int) -> float:
    return BLOCKS / 2 * ETA * (signal_to_noise(t) - signal_to_noise(t - 1))


@pytest.mark.parametrize("t", range(1, BLOCKS + 1))
def test_a_block_follows_the_gradient_of_its_own_loss(run: Run, t: int) -> None:
    assert error_of(run, t, weighting(t)) < TOLERANCE


@pytest.mark.parametrize("t", range(1, BLOCKS + 1))
def test_another_loss_is_found(run: Run, t: int) -> None:
    assert error_of(run, t, weighting(t), cross_entropy=True) > 0.1
    assert error_of(run, t, BLOCKS / 2 * ETA) > 0.1


def noise(run: Run, t: int, minibatch: int, of_block: int | None = None) -> Tensor:
    """Return the noise that block t learnt from, if its abar is that of block `of_block`."""
    before = signal((of_block or t) - 1)
    clean = torch.eye(TASK.classes, dtype=torch.float64)[run.minibatches[minibatch][1]]
    return (run.states[t - 1][minibatch] - math.sqrt(before) * clean) / math.sqrt(1 - before)


def deviation(drawn: Tensor) -> float:
    """Return by how many standard errors the mean or variance is off that of N(0, 1)."""
    n = drawn.numel()
    mean, variance = drawn.mean().item(), drawn.var(correction=0).item()
    return max(abs(mean) * math.sqrt(n), abs(variance - 1) * math.sqrt(n / 2))


@pytest.mark.parametrize("t", range(1, BLOCKS + 1))
def test_a_block_learns_from_a_label_with_the_noise_of_the_block_before(run: Run, t: int) -> None:
    for minibatch in range(2):
        assert deviation(noise(run, t, minibatch)) < 4.0


def test_an_index_that_is_off_by_one_is_found(run: Run) -> None:
    for t in range(2, BLOCKS):
        assert deviation(noise(run, t, 0, of_block=t + 1)) > 4.0


def test_noise_is_another_in_every_block_and_minibatch(run: Run) -> None:
    drawn = torch.stack(
        [noise(run, t, minibatch).flatten() for t in range(1, BLOCKS + 1) for minibatch in range(2)]
    )
    correlation = torch.corrcoef(drawn) - torch.eye(len(drawn))
    assert correlation.abs().max() < 5.0 / math.sqrt(drawn.shape[1])
    assert torch.corrcoef(drawn[[0, 0]]).min() > 0.99


# --- answers


@dataclass(frozen=True)
class Answer:
    """What was sent from block to block for one answer, noisy or not."""

    x: Tensor
    parameters: Parameters
    states: list[Tensor]
    """z_1 to z_T."""


@pytest.fixture(scope="module")
def answers() -> dict[str, Answer]:
    tap = Tap()
    task = replace(TASK, batch_size=500)
    simulation = task.simulation(RULE, ranks=tap)
    x, _ = task.samples()
    found = {}
    for phase in ("noisy", "noiseless"):
        scores = simulation.answer(x, [phase])
        chain = [f"block{t}-block{t + 1}" for t in range(1, BLOCKS)] + [f"block{BLOCKS}-judge"]
        sent = [tap.payloads(simulation.network, name, phase) for name in chain]
        states = [torch.cat(payloads) for payloads in sent]
        assert scores is not None
        assert torch.equal(scores, states[-1])
        found[phase] = Answer(x, copied(simulation.parameters()), states)
    return found


def step(answer: Answer, t: int) -> tuple[Tensor, float]:
    """Return the mean of z_t given z_{t-1}, and its standard deviation: equation 3."""
    alpha = signal(t - 1) / signal(t)
    a = math.sqrt(signal(t)) * (1 - alpha) / (1 - signal(t - 1))
    b = math.sqrt(alpha) * (1 - signal(t)) / (1 - signal(t - 1))
    c = (1 - signal(t)) * (1 - alpha) / (1 - signal(t - 1))
    before = answer.states[t - 2]
    guess = block(answer.parameters, f"block{t}", answer.x, before)
    return a * guess + b * before, math.sqrt(c)


@pytest.mark.parametrize("t", range(2, BLOCKS + 1))
def test_a_noiseless_answer_goes_from_block_to_block_by_equation_3(
    answers: dict[str, Answer], t: int
) -> None:
    expected, _ = step(answers["noiseless"], t)
    torch.testing.assert_close(answers["noiseless"].states[t - 1], expected)


@pytest.mark.parametrize("t", range(2, BLOCKS + 1))
def test_a_noisy_answer_has_the_noise_of_equation_3(answers: dict[str, Answer], t: int) -> None:
    expected, spread = step(answers["noisy"], t)
    drawn = (answers["noisy"].states[t - 1] - expected) / spread
    assert deviation(drawn) < 4.0
    # The variance instead of its root, or none at all.
    assert deviation(drawn * spread) > 4.0
    assert deviation(drawn * 0.0) > 4.0


@pytest.mark.parametrize("t", range(1, BLOCKS + 1))
def test_equation_3_keeps_the_distribution_that_the_next_block_learnt_from(t: int) -> None:
    # If a block guesses u_y, z_t must be N(sqrt(abar_t) u_y, 1 - abar_t) again.
    model = RULE.wire(TASK.stack()).populations[t].model
    assert isinstance(model, Denoising)
    a, b, root_c = model.step_factors()
    assert a + b * math.sqrt(signal(t - 1)) == pytest.approx(math.sqrt(signal(t)))
    assert b**2 * (1 - signal(t - 1)) + root_c**2 == pytest.approx(1 - signal(t))
