from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from biosim.contracts import Memory, Plasticity
from biosim.locality import Axis, Local, Reads
from biosim.network import NetworkError
from biosim.parts import Share
from biosim.plasticity import Adam, ErrorDriven, Sgd
from biosim.populations.synapses import Synapses, Wake, learn
from biosim.wiring import Dense
from tests.unit.biosim.populations.harness import AT, FLOAT, Spy, numbers


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
    post = {"apical": lambda: apical, "gain": lambda: 1 / 0}
    up.learn(pre, post, {"progress": lambda: 0.5})
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
    post, signals = {"gain": lambda: 1.0}, {"progress": lambda: 0.5}
    with pytest.raises(NetworkError, match=message):
        synapses(Spy(reads)).learn(numbers(5, 3), post, signals)


def test_the_count_of_adam_is_single_precision_whatever_the_weights() -> None:
    memory = synapses(Adam(ErrorDriven(), 0.1)).memory
    assert memory["steps"].dtype == torch.float32
    assert memory["first.weight"].dtype == FLOAT


# --- minibatches in parts


@dataclass(frozen=True)
class MeanOfRows:
    """Moves every weight by the mean over rows of its pre-synaptic activity."""

    @property
    def reads(self) -> Reads:
        return Reads(pre=("activity",))

    @property
    def memory(self) -> Mapping[str, Axis]:
        return {}

    def update(self, seen: Local, memory: Memory) -> tuple[Mapping[str, Tensor], Memory]:
        mean = seen.pre.activity.mean(0)
        return {"weight": mean.repeat(4, 1), "bias": mean.sum().repeat(4)}, memory


PROGRESS = {"progress": lambda: 0.5}


def parts_learnt(up: Synapses, order: tuple[int, ...], batch: int = 0) -> list[bool]:
    rows = numbers(6, 3, seed=batch)
    return [
        learn(
            [Wake(up, rows[2 * part : 2 * part + 2], {}, PROGRESS)],
            AT._replace(batch=batch, part=part),
            Share(parts=3),
        )
        for part in order
    ]


@pytest.mark.parametrize(
    "plasticity", [Sgd(MeanOfRows(), 0.1, momentum=0.9), Adam(MeanOfRows(), 0.1)]
)
def test_parts_take_one_step_along_their_mean(plasticity: Plasticity) -> None:
    whole, cut = synapses(plasticity), synapses(plasticity)
    for batch in range(3):
        assert learn([Wake(whole, numbers(6, 3, seed=batch), {}, PROGRESS)], AT, Share())
        assert parts_learnt(cut, (0, 1, 2), batch) == [False, False, True]
    torch.testing.assert_close(cut.parameters(), whole.parameters(), rtol=1e-12, atol=1e-14)
    assert cut.given == {}


def test_nothing_changes_before_the_last_part() -> None:
    up = synapses(Sgd(MeanOfRows(), 0.1))
    before = up.weight.clone()
    parts_learnt(up, (0, 1))
    assert torch.equal(up.weight, before)
    parts_learnt(up, (2,))
    assert not torch.equal(up.weight, before)


def test_parts_that_come_out_of_order_are_a_defect() -> None:
    with pytest.raises(AssertionError, match=r"part=2\) should be part 1: events have an order"):
        parts_learnt(synapses(Sgd(MeanOfRows(), 0.1)), (0, 2))


def test_minibatches_whose_parts_mix_are_kept_apart() -> None:
    one, other = (synapses(Sgd(MeanOfRows(), 0.1)) for _ in range(2))
    for batch in (0, 1):
        parts_learnt(one, (0, 1, 2), batch)
    for part in range(3):
        assert [*parts_learnt(other, (part,), 0), *parts_learnt(other, (part,), 1)] == [
            part == 2
        ] * 2
    assert torch.equal(one.weight, other.weight)


@pytest.mark.parametrize("parts", [1, 2])
def test_synapses_that_wake_together_learn_as_each_would_alone(parts: int) -> None:
    rows, share = numbers(6, 3), Share(parts)
    alone, together = ([synapses(Sgd(MeanOfRows(), rate)) for rate in (0.1, 0.7)] for _ in "12")
    for part in range(parts):
        seen = rows[part::parts]
        at = AT._replace(part=part)
        for each in alone:
            learn([Wake(each, seen, {}, PROGRESS)], at, share)
        learn([Wake(each, seen, {}, PROGRESS) for each in together], at, share)
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.weight, other.weight)
    assert not torch.equal(together[0].weight, together[1].weight)


def test_where_nothing_wakes_nothing_is_learnt() -> None:
    assert not learn([], AT, Share())
    assert not learn([], AT, Share(parts=2))
