"""A minibatch in parts is learnt as the whole one, by every rule that can be cut."""

from dataclasses import dataclass, field, replace

import pytest
import torch

from biosim.events import Course
from biosim.parts import Share
from biosim.plasticity import ErrorDriven
from biosim.populations.denoising import DenoisingActor
from biosim.ranks import PretendRanks
from biosim.simulation import Simulation
from biosim.testing import SAMPLES, NetworkLaws, assert_same
from rules import Backprop, Rule
from tests.contract.cases import CASES, wired

CUT = {name: rule for name, rule in CASES.items() if not getattr(rule, "persistent", False)}
X, Y = NetworkLaws().data()
FLOAT = torch.float64


def learnt(rule: Rule, parts: int, streamed: bool, seed: int = 0) -> dict[str, torch.Tensor]:
    """All weights and biases after two epochs of three minibatches."""
    network = wired(rule)
    period = network.learning_ticks if streamed else None
    course = Course(2, 3, SAMPLES)
    simulation = Simulation(network, course, seed, dtype=FLOAT, period=period, parts=parts)
    for epoch in range(2):
        simulation.learn(X.to(FLOAT), Y, epoch, 8)
    return {
        f"{name}.{part}": tensor
        for name, tensors in simulation.parameters().items()
        for part, tensor in tensors.items()
    }


@pytest.mark.parametrize("streamed", [False, True], ids=["exact", "streamed"])
@pytest.mark.parametrize("rule", CUT.values(), ids=CUT)
def test_four_parts_learn_what_the_whole_minibatch_learns(rule: Rule, streamed: bool) -> None:
    whole = learnt(rule, 1, streamed)
    torch.testing.assert_close(learnt(rule, 4, streamed), whole, rtol=1e-9, atol=1e-9)


def test_a_step_along_one_part_is_another(monkeypatch) -> None:
    whole = learnt(Backprop(), 1, streamed=False)
    monkeypatch.setattr(Share, "take", lambda share, given, d: given or given.append(d))
    cut = learnt(Backprop(), 4, streamed=False)
    with pytest.raises(AssertionError, match="not close"):
        torch.testing.assert_close(cut, whole, rtol=1e-9, atol=1e-9)


def test_a_draw_by_rows_of_a_part_is_another(monkeypatch) -> None:
    rule = CUT["noprop, sgd"]
    whole = learnt(rule, 1, streamed=False)
    right = DenoisingActor._rows_of_noise

    def by_row_of_the_part(actor, at, *more):
        return right(actor, at.whole(), *more)

    monkeypatch.setattr(DenoisingActor, "_rows_of_noise", by_row_of_the_part)
    with pytest.raises(AssertionError, match="not close"):
        torch.testing.assert_close(learnt(rule, 4, streamed=False), whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("small_bytes", [0, 10**6], ids=["sliced", "whole"])
@pytest.mark.parametrize("rule", CUT.values(), ids=CUT)
def test_all_replicas_hold_the_same_bits(rule: Rule, small_bytes: int, monkeypatch) -> None:
    monkeypatch.setattr("biosim.parts.SMALL_BYTES", small_bytes)

    def program(ranks):
        simulation = Simulation(wired(rule), Course(2, 3, SAMPLES), 0, ranks, parts=4, replicas=4)
        for epoch in range(2):
            simulation.learn(X, Y, epoch, 8)
        said = simulation.parameters()
        held = simulation.snapshot()["actors"]
        return said, {
            i: {name: state[name] for name in ("synapses", "encoder") if name in state}
            for i, state in held.items()
        }

    (said, first), *others = PretendRanks(4, 60.0).run(program)
    assert said
    for nothing, held in others:
        assert nothing == {}, "the first replica speaks for all"
        judge = max(first)
        assert_same(held, {i: state for i, state in first.items() if i != judge}, "replicas")


def test_a_parameter_that_is_loaded_reaches_every_replica() -> None:
    def program(ranks):
        simulation = Simulation(network, None, ranks.rank, ranks, parts=2, replicas=2)
        simulation.load(given)
        return simulation.snapshot()["actors"][1]["synapses"]

    network = wired(Backprop())
    given = Simulation(network, seed=7).parameters()
    for synapses in PretendRanks(2, 60.0).run(program):
        assert torch.equal(next(iter(synapses.values())).weight, given["input-hidden1"]["weight"])


def test_answers_of_all_replicas_come_together_in_order(monkeypatch) -> None:
    monkeypatch.setattr("biosim.simulation.ANSWER_ROWS", 5)
    course, network = Course(1, 3, SAMPLES), wired(Backprop())

    def program(ranks):
        simulation = Simulation(network, course, 0, ranks, parts=4, replicas=2)
        return simulation.answer(X, ("forward",))

    first, *others = PretendRanks(4, 60.0).run(program)
    assert torch.equal(first, Simulation(network, course, 0).answer(X, ("forward",)))
    assert others == [None] * 3


@dataclass(frozen=True)
class FailingOnce(ErrorDriven):
    """Fails at the third update of any replica."""

    updates: list[None] = field(default_factory=list)

    def update(self, seen, memory):
        self.updates.append(None)
        if len(self.updates) == 3:
            raise ZeroDivisionError
        return super().update(seen, memory)


def test_a_replica_that_fails_ends_the_others_that_wait_for_its_parts() -> None:
    network, failing = wired(Backprop()), FailingOnce()
    broken = replace(
        network,
        projections=tuple(
            p if p.plasticity is None else replace(p, plasticity=replace(p.plasticity, of=failing))
            for p in network.projections
        ),
    )

    def program(ranks):
        Simulation(broken, Course(1, 3, SAMPLES), 0, ranks, parts=2, replicas=2).learn(X, Y, 0, 8)

    with pytest.raises(ZeroDivisionError):
        PretendRanks(2, 60.0).run(program)
