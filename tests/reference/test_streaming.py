"""A minibatch every tick: what it costs the rules that wait for an error, and no other.

A forward-forward layer or a NoProp block has learnt from a minibatch before the next one comes,
at whatever pace they come. A layer that waits for its error answers later minibatches with
weights that do not know of it yet, and holds their activity all the while.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import pytest
import torch

from biosim.ledger import LayerCount
from biosim.network import NetworkError
from rules import (
    Backprop,
    DirectFeedbackAlignment,
    EquilibriumPropagation,
    FeedbackAlignment,
    ForwardForward,
    NoProp,
    Rule,
    SoftHebb,
)
from tests.reference.tasks import Parameters, Task, copied

TASK = Task((6, 5, 4), inputs=8, classes=4, batch_size=4, batches=8, epochs=3)

UNLOCKED: dict[str, Rule] = {
    "forward_forward, random negatives": ForwardForward(negatives="random"),
    "forward_forward, hard negatives": ForwardForward(negatives="hard"),
    "forward_forward, no read-out": ForwardForward(with_readout=False),
    "noprop": NoProp(blocks=4, image_units=5, state_units=6, joint_units=7),
    "soft_hebb": SoftHebb(),
}
LOCKED: dict[str, Rule] = {
    "backprop": Backprop(),
    "feedback_alignment": FeedbackAlignment(),
    "direct_feedback_alignment": DirectFeedbackAlignment(),
}


@dataclass(frozen=True)
class Run:
    """What a run has learnt, and the counts of the populations that learn."""

    learnt: Parameters
    counts: dict[str, LayerCount]


@functools.cache
def run(name: str, period: int | None) -> Run:
    """Learn the task at this pace; each run is made once."""
    simulation = TASK.simulation({**UNLOCKED, **LOCKED}[name], period=period)
    learnt = TASK.learn(simulation)
    populations = [population.name for population in simulation.network.populations]
    counts = dict(zip(populations, simulation.ledger_totals().layers, strict=True))
    return Run(learnt, {key: count for key, count in counts.items() if count.updates})


def equal(one: Parameters, other: Parameters) -> bool:
    """Return whether all numbers are the same, bit for bit."""
    assert one.keys() == other.keys()
    return all(
        torch.equal(tensor, other[name][part])
        for name, tensors in one.items()
        for part, tensor in tensors.items()
    )


@pytest.mark.parametrize("period", [1, 2, 7])
@pytest.mark.parametrize("name", UNLOCKED)
def test_a_rule_that_waits_for_nothing_learns_the_same_bits_in_a_stream(
    name: str, period: int
) -> None:
    assert equal(run(name, period).learnt, run(name, None).learnt)


@pytest.mark.parametrize("name", UNLOCKED)
def test_a_rule_that_waits_for_nothing_has_no_lag_in_a_stream(name: str) -> None:
    counts = run(name, 1).counts
    assert counts
    for count in counts.values():
        assert count.updates >= TASK.batches * TASK.epochs
        assert count.lag_ticks == count.lag_ticks_max == 0
        assert count.stale_updates == count.stale_updates_max == 0


@pytest.mark.parametrize("name", LOCKED)
def test_a_rule_that_waits_for_an_error_learns_other_weights_in_a_stream(name: str) -> None:
    assert not equal(run(name, 1).learnt, run(name, None).learnt)


@pytest.mark.parametrize("name", LOCKED)
def test_the_ledger_shows_what_a_stream_waits_for_and_holds(name: str) -> None:
    streamed, exact = run(name, 1).counts, run(name, None).counts
    for layer in ("hidden1", "hidden2", "hidden3"):
        lag = streamed[layer].lag_ticks_max
        assert lag == exact[layer].lag_ticks_max > 0
        assert streamed[layer].held_bytes_max == lag * exact[layer].held_bytes_max
        # A minibatch comes every tick, and so does an update, once the first has come back.
        # Feedback comes before activity in a tick, which spares the one that arrives last.
        assert streamed[layer].stale_updates_max == lag - 1
        assert exact[layer].stale_updates_max == 0
    assert streamed["output"].lag_ticks_max == 0


@pytest.mark.parametrize("name", LOCKED)
def test_a_pace_that_leaves_time_for_the_error_is_exact(name: str) -> None:
    longest = max(count.lag_ticks_max for count in run(name, None).counts.values())
    # Feedback comes before activity within a tick, so that the lag itself is time enough.
    assert equal(run(name, longest).learnt, run(name, None).learnt)
    assert not equal(run(name, longest - 1).learnt, run(name, None).learnt)


def test_hard_negatives_are_other_negatives() -> None:
    random = run("forward_forward, random negatives", None).learnt
    hard = run("forward_forward, hard negatives", None).learnt
    assert not equal(random, hard)


# --- equilibrium propagation

SETTLING = EquilibriumPropagation(free_ticks=6, nudged_ticks=3)
PHASES = 6 + 3 + 1


@pytest.mark.parametrize("period", [1, PHASES - 1])
def test_a_pace_that_cuts_a_phase_short_is_refused(period: int) -> None:
    refused = (
        f"got a period of {period} ticks; the phases of a presentation take {PHASES}: "
        "ask for at least that, or for exact timing"
    )
    with pytest.raises(NetworkError, match=refused):
        TASK.simulation(SETTLING, period=period)


def test_a_pace_that_leaves_time_for_the_phases_is_exact() -> None:
    learnt = [TASK.learn(TASK.simulation(SETTLING, period=period)) for period in (None, PHASES)]
    assert equal(*learnt)


def test_the_comparison_finds_the_last_bit() -> None:
    learnt = run("noprop", None).learnt
    for name, part in itertools.islice(((n, p) for n in learnt for p in learnt[n]), 4):
        other = copied(learnt)
        number = other[name][part].view(-1)[-1]
        number.copy_(torch.nextafter(number, number + 1.0))
        assert not equal(learnt, other)
