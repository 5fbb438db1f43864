"""What a plasticity declares is checked when a network is described, not when it first learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from biosim.contracts import Memory
from biosim.events import Course, Kind
from biosim.locality import LocalityError, Offers, Reads
from biosim.network import Network, NetworkError, Pathway, Phase, Population, Projection
from biosim.plasticity import ErrorDriven
from biosim.populations import Graded, Judge, Settling, Source
from biosim.populations.source import Plain
from biosim.simulation import Simulation
from biosim.wiring import Dense
from rules import EquilibriumPropagation, Stack

STACK = Stack(3, (4,), 2, 8, torch.zeros(3))
DENSE = Dense("normal", 1.0)


@dataclass(frozen=True)
class Declares:
    reads: Reads
    memory = {}  # noqa: RUF012

    def update(self, seen: Any, memory: Memory) -> Any:
        raise AssertionError("a network that is refused never learns")


def one_layer(plasticity: Any, model: Any = None) -> Network:
    return Network(
        populations=(
            Population("input", 3, Source(Plain)),
            Population("output", 2, model or Graded()),
        ),
        projections=(
            Projection("up", "input", "output", "x", "basal", weights=DENSE, plasticity=plasticity),
        ),
    )


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        (Reads(pre=("drive",)), r"declares pre\.drive; population 'output' has activity there"),
        (Reads(post=("spikes",)), r"declares post\.spikes; population 'output' has activity, "),
        (Reads(synapse=("learn",)), r"declares synapse\.learn; population 'output' has weight "),
        (Reads(signals=("reward",)), r"declares signals\.reward; population 'output' has polar"),
        (Reads(on="settled"), "wakes on 'settled'; population 'output' wakes its synapses on act"),
        (Reads(on="apical"), "wakes on 'apical'"),
    ],
)
def test_what_a_population_does_not_offer_is_refused(reads: Reads, message: str) -> None:
    with pytest.raises(LocalityError, match=message):
        one_layer(Declares(reads))


def test_a_sum_of_weights_is_offered_when_it_is_declared() -> None:
    one_layer(Declares(Reads(post=("weight_sum",))))


def test_a_population_that_offers_nothing_says_so() -> None:
    with pytest.raises(LocalityError, match="has nothing there"):
        Offers((), (), (), ()).check("here", "Mine", Reads(pre=("activity",)))
    with pytest.raises(LocalityError, match="wakes its synapses on nothing"):
        Offers((), (), (), ()).check("here", "Mine", Reads())


def test_a_judge_has_no_synapses() -> None:
    with pytest.raises(
        NetworkError, match=r"'up' has dense weights and ends on 'judge' .* at 'score'; .* none"
    ):
        Network(
            (Population("input", 2, Source(Plain)), Population("judge", 2, Judge())),
            (
                Projection(
                    "up", "input", "judge", "x", "score", weights=DENSE, plasticity=ErrorDriven()
                ),
            ),
        )


def test_a_softmax_gets_no_errors_from_above() -> None:
    with pytest.raises(NetworkError, match="is a softmax and gets errors from above"):
        Network(
            (
                Population("input", 3, Source(Plain)),
                Population("hidden", 4, Graded("softmax")),
                Population("output", 2, Graded()),
            ),
            (
                Projection("up", "input", "hidden", "x", "basal", weights=DENSE),
                Projection("top", "hidden", "output", "activity", "basal", weights=DENSE),
                Projection("down", "output", "hidden", "delta", "apical", Kind.FEEDBACK),
            ),
            (Pathway("error", ("down",), "the error"),),
        )


def test_a_settling_population_compares_two_nudges() -> None:
    network = EquilibriumPropagation().wire(STACK)
    nudged = Phase("nudged", 10, 3, (1, 0, -1))
    phases = tuple(nudged if p.name == "nudged" else p for p in network.phases)
    changed = Network(network.populations, network.projections, network.pathways, phases)
    assert isinstance(network.populations[1].model, Settling)
    with pytest.raises(NetworkError, match=r"polarity \(1, 0, -1\); expected two signs"):
        Simulation(changed, Course(1, 1, 8))
