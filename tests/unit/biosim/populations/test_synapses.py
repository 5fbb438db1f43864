from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from biosim.contracts import Memory, Plasticity
from biosim.locality import Axis, Local, Reads
from biosim.network import NetworkError
from biosim.plasticity import Adam, ErrorDriven
from biosim.populations.synapses import Synapses
from biosim.wiring import Dense
from tests.unit.biosim.populations.harness import FLOAT, Spy, numbers


def synapses(plasticity: Plasticity | None = None, bias: bool = True, dtype=FLOAT) -> Synapses:
    return Synapses(
        "up", Dense("normal", 1.0, bias), plasticity, 4, 3, 0, torch.device("cpu"), dtype
    )


@dataclass(frozen=True)
class Growing:
    """Adds one to every weight and two to every bias, and counts."""

    @property
    def reads(self) -> Reads:
        return Reads()

    @property
    def memory(self) -> Mapping[str, Axis]:
        return {"a": "pre", "b": "post", "c": "synapse", "steps": "shared"}

    def update(self, seen: Local, memory: Memory) -> tuple[Mapping[str, Tensor], Memory]:
        memory["steps"] += 1
        return {"weight": torch.ones(4, 3, dtype=FLOAT), "bias": torch.full((4,), 2.0)}, memory


@pytest.mark.parametrize("bias", [True, False])
def test_the_drive_is_the_weighted_sum_and_the_bias(bias: bool) -> None:
    up, pre = synapses(bias=bias), numbers(5, 3)
    expected = pre @ up.weight.t()
    if bias:
        up.bias += torch.arange(4.0)
        expected = expected + torch.arange(4.0)
    torch.testing.assert_close(up.drive(pre), expected)


def test_weights_are_drawn_in_double_precision_and_rounded() -> None:
    assert torch.equal(synapses(dtype=torch.float32).weight, synapses().weight.float())
    assert torch.equal(synapses().weight, Dense("normal", 1.0).weight(4, 3, 0, "up"))


def test_changes_are_added_in_place() -> None:
    up = synapses(Growing())
    weight, bias, before = up.weight, up.bias, up.weight.clone()
    for _ in range(2):
        up.learn(numbers(5, 3), {}, {})
    torch.testing.assert_close(weight, before + 2.0)
    assert torch.equal(bias, torch.full((4,), 4.0, dtype=FLOAT))
    assert up.memory["steps"].item() == 2


def test_a_bias_that_is_not_there_is_not_changed() -> None:
    up = synapses(Growing(), bias=False)
    up.learn(numbers(5, 3), {}, {})
    assert list(up.parameters()) == ["weight"]


def test_memory_begins_at_zero_on_its_axes() -> None:
    memory = synapses(Growing()).memory
    assert {name: tuple(value.shape) for name, value in memory.items()} == {
        "a": (3,),
        "b": (4,),
        "c": (4, 3),
        "steps": (),
    }
    assert not any(value.any() for value in memory.values())


def test_nothing_is_learnt_without_a_plasticity() -> None:
    up = synapses()
    before = up.weight.clone()
    up.learn(numbers(5, 3), {}, {})
    assert torch.equal(up.weight, before)
    assert up.memory == {}


def test_a_plasticity_sees_what_it_declares_and_nothing_more() -> None:
    spy = Spy(Reads(("trace",), ("apical", "weight_sum"), ("weight",), ("progress",)))
    up, pre, apical = synapses(spy), numbers(5, 3), numbers(5, 4)
    up.learn(pre, {"apical": lambda: apical, "gain": lambda: 1 / 0}, {"progress": lambda: 0.5})
    (seen,) = spy.seen
    assert seen.pre.values() == {"trace": pre}
    assert seen.post.apical is apical
    assert torch.equal(seen.post.weight_sum, up.weight.sum(1).unsqueeze(0))
    assert list(seen.post.values()) == ["apical", "weight_sum"]
    assert torch.equal(seen.synapse.weight, up.weight)
    assert seen.signals.progress == 0.5


@pytest.mark.parametrize(
    "reads", [Reads(post=("calcium",)), Reads(signals=("calcium",))], ids=["post", "signals"]
)
def test_a_variable_that_the_population_has_not_is_refused(reads: Reads) -> None:
    message = (
        r"plasticity Spy of projection 'up' declares 'calcium'; its population has gain, progress"
    )
    with pytest.raises(NetworkError, match=message):
        synapses(Spy(reads)).learn(numbers(5, 3), {"gain": lambda: 1.0}, {"progress": lambda: 0.5})


def test_the_count_of_adam_is_single_precision_whatever_the_weights() -> None:
    memory = synapses(Adam(ErrorDriven(), 0.1)).memory
    assert memory["steps"].dtype == torch.float32
    assert memory["first.weight"].dtype == FLOAT
