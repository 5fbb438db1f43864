"""What a rehearsal expects is what the ledger of a run counts."""

from dataclasses import replace

import pytest
import torch

from biosim.events import Course
from biosim.ledger import LedgerTotals
from biosim.network import Network
from biosim.rehearsal import Rehearsal, dense_of
from biosim.simulation import Simulation
from biosim.testing import CLASSES, FEATURES, SAMPLES
from tests.contract.cases import CASES, wired

ROWS = 6


def learnt(network: Network, dtype: torch.dtype = torch.float32) -> Simulation:
    simulation = Simulation(network, Course(1, SAMPLES // ROWS, SAMPLES), dtype=dtype)
    x = torch.rand(SAMPLES, FEATURES, generator=torch.Generator().manual_seed(0)).to(dtype)
    y = torch.arange(SAMPLES, dtype=torch.uint8) % CLASSES
    simulation.learn(x, y, 0, ROWS)
    return simulation


def agrees(found: Rehearsal, totals: LedgerTotals) -> bool:
    """Whether multiply-adds, bytes, events and what is held are those of the ledger."""
    work = [(w.forward, w.feedback, w.plasticity) for w in found.work]
    counted = [
        (c.forward / SAMPLES, c.feedback / SAMPLES, c.plasticity / SAMPLES) for c in totals.layers
    ]
    held = [0] * len(work)
    for (_, population), kept in found.held.items():
        held[population] = max(held[population], kept * ROWS)
    return (
        work == counted
        and found.sent_bytes == [sent / SAMPLES for sent in totals.sent_bytes]
        and found.sent_events == [n / (SAMPLES // ROWS) for n in totals.sent_events]
        and held == [count.held_bytes_max for count in totals.layers]
    )


@pytest.mark.parametrize("delay", [1, 2])
@pytest.mark.parametrize("rule", CASES)
def test_a_rehearsal_counts_what_the_ledger_counts(rule: str, delay: int) -> None:
    network = wired(CASES[rule])
    if not rule.startswith("equilibrium"):
        network = network.delayed(delay)
    assert agrees(Rehearsal(network), learnt(network).ledger_totals())


def test_a_rehearsal_of_wider_numbers_counts_their_bytes() -> None:
    network = wired(CASES["backprop"])
    totals = learnt(network, torch.float64).ledger_totals()
    assert agrees(Rehearsal(network, number_bytes=8), totals)
    assert not agrees(Rehearsal(network, number_bytes=4), totals)


@pytest.mark.parametrize("rule", [rule for rule in CASES if not rule.startswith("noprop")])
def test_a_rehearsal_of_another_network_disagrees(rule: str) -> None:
    totals = learnt(wired(CASES[rule])).ledger_totals()
    assert not agrees(Rehearsal(wired(CASES[rule], (5, 4, 2))), totals)


def test_a_rehearsal_with_other_phases_disagrees() -> None:
    network = wired(CASES["forward_forward"])
    totals = learnt(network).ledger_totals()
    always = tuple(replace(p, learns=None) for p in network.projections)
    assert not agrees(Rehearsal(replace(network, projections=always)), totals)


@pytest.mark.parametrize("rule", CASES)
def test_as_many_numbers_are_kept_as_a_run_has(rule: str) -> None:
    network = wired(CASES[rule])
    simulation = learnt(network)
    for i, found in simulation.parameters_by_population().items():
        kept = sum(t.numel() for tensors in found.values() for t in tensors.values())
        blocks = [block._replace(plasticity=None) for block in dense_of(network, i)]
        assert sum(block.numbers for block in blocks) == kept


def test_a_plasticity_of_its_own_variables_needs_more() -> None:
    found = dense_of(wired(CASES["backprop"]), 1)[0]
    weights, biases = FEATURES * 5, 5
    assert found._replace(plasticity=None).numbers == weights + biases
    # Adam keeps two moments of each, and counts its steps.
    assert found.numbers >= 3 * (weights + biases)


def test_the_ticks_of_a_minibatch_are_those_until_everyone_has_learnt() -> None:
    network = wired(CASES["backprop"])
    assert Rehearsal(network).ticks == 4 + 3 + 1
    assert Rehearsal(network.delayed(2)).ticks == 2 * (4 + 3) + 1
