"""Where layers lie: balanced, in runs, and said in one line."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biosim.network import Network, Population, Projection
from biosim.placement import (
    PlacementError,
    balanced,
    explained,
    layers_of,
    placed,
)
from biosim.rehearsal import Rehearsal
from biosim.spiking.description import PoissonSource, Sparse, Spiking
from biosim.testing import FEATURES
from biosim.wiring import AllToAll
from rules import NoProp
from tests.contract.cases import CASES, wired
from tests.contract.test_mixed_networks import network as mixed

BLOCKS = wired(NoProp(blocks=4, image_units=4, state_units=3, joint_units=5))


def dearest(costs: Sequence[int], cuts: Sequence[int]) -> int:
    return max(sum(costs[first:end]) for first, end in itertools.pairwise(cuts))


def tried(costs: Sequence[int], parts: int) -> int:
    """The cheapest dearest run of all cuts, one after the other."""
    inner = itertools.combinations(range(1, len(costs)), parts - 1)
    return min(dearest(costs, [0, *cuts, len(costs)]) for cuts in inner)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9), st.integers(1, 12))
def test_no_cut_has_a_cheaper_dearest_run(costs: list[int], parts: int) -> None:
    cuts = balanced(costs, parts)
    runs = min(parts, len(costs))
    assert len(cuts) == runs + 1
    assert cuts[0] == 0
    assert cuts[-1] == len(costs)
    assert all(first < end for first, end in itertools.pairwise(cuts))
    assert dearest(costs, cuts) == tried(costs, runs)


def test_runs_of_equal_number_are_not_the_best_cut() -> None:
    assert dearest([9, 1, 1, 1], [0, 2, 4]) > dearest([9, 1, 1, 1], balanced([9, 1, 1, 1], 2))


def test_nothing_is_cut_into_nothing() -> None:
    assert balanced([], 3) == [0]


def test_hundreds_of_layers_are_cut_nearly_evenly() -> None:
    costs = [1 + i * i % 97 for i in range(300)]
    cuts = balanced(costs, 200)
    assert dearest(costs, cuts) <= 2 * max(sum(costs) / 200, max(costs))


@pytest.mark.parametrize("rule", CASES)
def test_source_and_judge_are_on_rank_0_and_layers_in_runs_beside_machines(rule: str) -> None:
    network = wired(CASES[rule])
    n = len(network.populations)
    assert placed(network, 1) == [0] * (n + 1)
    for ranks in range(2, 9):
        owners = placed(network, ranks)
        assert owners[0] == owners[n - 1] == 0
        assert owners[n:] == list(range(ranks))
        layers = owners[1 : n - 1]
        assert layers == sorted(layers)
        assert set(layers) == set(range(min(ranks, n - 2)))


def test_a_large_layer_has_a_rank_of_its_own() -> None:
    network = wired(CASES["backprop"], (200, 5, 4, 3))
    work = [each.total for each in Rehearsal(network).work]
    assert work[1] + work[2] > 0.9 * sum(work)
    assert placed(network, 2)[:7] == [0, 0, 1, 1, 1, 1, 0]


def test_layers_of_a_mixed_network_are_cut_and_what_spikes_is_everywhere() -> None:
    network = mixed()
    layers = layers_of(network)
    assert 0 < len(layers) < len(network.populations) - 2
    owners = placed(network, 2)
    assert {owners[i] for i in layers} == {0, 1}
    assert owners[-2:] == [0, 1]


def test_the_line_names_the_layers_of_every_rank_and_the_share_of_the_dearest() -> None:
    network = wired(CASES["backprop"], (8, 8, 8))
    assert FEATURES == 6
    work = [each.total for each in Rehearsal(network).work]
    share = 100 * max(work[1] + work[2], work[3] + work[4]) / sum(work)
    assert explained(network, 2) == (
        "2 ranks: layers hidden1, hidden2 | hidden3, output; the dearest rank has "
        f"{share:.0f} % of the multiply-adds"
    )
    assert explained(network, 1) == "1 rank: layers hidden1 to output"
    assert explained(BLOCKS, 6).endswith(
        "block1 | block2 | block3 | block4; the dearest rank has 25 % of the multiply-adds, and "
        "2 ranks none"
    )


def test_the_line_of_many_ranks_stays_short() -> None:
    network = wired(NoProp(blocks=20, clip=(1e-3, 0.999)))
    assert explained(network, 10) == (
        "10 ranks: layers block1, block2 | block3, block4 | block5, block6 | block7, block8 | "
        "block9, block10 | ... | block19, block20; the dearest rank has 10 % of the multiply-adds"
    )


def test_the_line_of_replicas_says_how_many() -> None:
    assert explained(BLOCKS, 4, replicas=2) == (
        "4 ranks: 2 replicas of layers block1, block2 | block3, block4; the dearest rank has 50 % "
        "of its replica's multiply-adds"
    )
    assert explained(BLOCKS, 2, replicas=2) == "2 ranks: 2 replicas of layers block1 to block4"
    assert explained(BLOCKS, 12, replicas=2).endswith("and 2 ranks none in each")


@pytest.mark.parametrize("replicas", [0, 3])
def test_replicas_that_do_not_divide_the_ranks_are_refused(replicas: int) -> None:
    with pytest.raises(
        PlacementError,
        match=f"^got {replicas} replicas on 4 ranks; expected a number that divides the ranks",
    ):
        explained(BLOCKS, 4, replicas)


def test_the_line_of_what_spikes_counts_neurons_in_blocks() -> None:
    cells = Spiking("dv/dt = -v/(10*ms) : volt", threshold="v > 15*mV", reset="v = 0*mV")
    network = Network(
        (Population("noise", 1000, PoissonSource("30*Hz")), Population("cells", 900, cells)),
        (Projection.of_spikes("noise", "cells", "v", Sparse(AllToAll(), "1*mV")),),
        dt=1e-4,
    )
    assert explained(network, 1) == "1 rank: blocks of 256 neurons: rank 0 has 1,900 of 1,900"
    assert explained(network, 3) == (
        "3 ranks: blocks of 256 neurons: rank 1 has 768 of 1,900, rank 0 512"
    )
    assert explained(network, 9).endswith("rank 0 has 256 of 1,900, rank 2 0")


def test_the_line_of_a_mixed_network_has_both() -> None:
    line = explained(mixed(), 2)
    assert line.startswith("2 ranks: layers ")
    assert "; blocks of 256 neurons: rank " in line
