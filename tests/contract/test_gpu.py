"""Every rule learns on a GPU what it learns on a CPU, within a stated bound.

Matrix products and exp round differently there. In double precision, over a few minibatches,
that stays as small as `BOUND`; an operation that is missing on the GPU, or a tensor that is left
behind on the CPU, fails outright.
"""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from biosim.events import Course
from biosim.simulation import Simulation
from biosim.testing import SAMPLES, NetworkLaws
from rules import Rule
from tests.contract.cases import CASES, wired

BOUND = 1e-9
EPOCHS, BATCH_SIZE = 2, 8

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]


def learnt(rule: Rule, device: str, dtype: torch.dtype) -> Mapping[str, Tensor]:
    """Parameters, scores and activity after learning, all on the CPU."""
    x, y = NetworkLaws().data()
    x, y = x.to(device=device, dtype=dtype), y.to(device)
    course = Course(EPOCHS, SAMPLES // BATCH_SIZE, SAMPLES)
    simulation = Simulation(wired(rule), course, seed=1, device=device, dtype=dtype)
    for epoch in range(EPOCHS):
        simulation.learn(x, y, epoch, BATCH_SIZE)
    found = {
        f"{name}.{part}": tensor
        for name, parts in simulation.parameters().items()
        for part, tensor in parts.items()
    }
    found |= {way: simulation.answer(x, phases) for way, phases in rule.ways.items()}
    found |= simulation.probe(x, y)
    assert {tensor.device.type for tensor in found.values()} == {device}
    return {name: tensor.cpu() for name, tensor in found.items()}


@pytest.mark.parametrize("name", CASES)
def test_a_rule_learns_on_a_gpu_what_it_learns_on_a_cpu(name: str) -> None:
    on_gpu, on_cpu = (learnt(CASES[name], device, torch.float64) for device in ("cuda", "cpu"))
    torch.testing.assert_close(on_gpu, on_cpu, rtol=BOUND, atol=BOUND)


@pytest.mark.parametrize("name", CASES)
def test_single_precision_runs_on_a_gpu_and_stays_finite(name: str) -> None:
    for tensor in learnt(CASES[name], "cuda", torch.float32).values():
        assert torch.isfinite(tensor).all()


@pytest.mark.parametrize("name", CASES)
def test_a_gpu_repeats_its_bits(name: str) -> None:
    one, other = (learnt(CASES[name], "cuda", torch.float32) for _ in range(2))
    torch.testing.assert_close(one, other, rtol=0.0, atol=0.0)
