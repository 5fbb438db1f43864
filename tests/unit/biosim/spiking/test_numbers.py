"""A rank's own numbers of neurons, and the packets that are told by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from biosim.contracts import Ranks
from biosim.events import Window
from biosim.network import Network, Population, Projection
from biosim.ranks import PretendRanks
from biosim.simulation import Simulation
from biosim.spiking.description import Sparse, Spiking
from biosim.spiking.layout import Layout
from biosim.spiking.numbers import Numbers, owned_by_all
from biosim.spiking.packets import Packets
from biosim.spiking.rings import Rings
from biosim.spiking.shard import Shard
from biosim.wiring import FixedInDegree

SIZES = {"a": 700, "b": 1000, "none": 1}
CELLS = Spiking("v : 1", threshold="v > 1", reset="v = 0")


def layout_of(sizes: dict[str, int] = SIZES) -> Layout:
    populations = tuple(Population(name, size, CELLS) for name, size in sizes.items())
    return Layout(Network(populations, (), dt=1e-4))


def wanted_of(layout: Layout, share: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(layout.emitting) < share


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
@pytest.mark.parametrize("threads", [1, 3])
def test_all_ranks_own_what_their_threads_own(ranks: int, threads: int) -> None:
    layout = layout_of()
    firsts, sizes = owned_by_all(layout, ranks)
    for rank in range(ranks):
        of = range(rank * threads, (rank + 1) * threads)
        shards = [Shard(layout, s, ranks * threads, "float32") for s in of]
        for p, (i, first) in enumerate(layout.first.items()):
            mine = [shard.slices[i] for shard in shards]
            assert firsts[rank, p] == first + mine[0][0]
            assert sizes[rank, p] == sum(hi - lo for lo, hi in mine)


@pytest.mark.parametrize("ranks", [2, 3, 7])
def test_own_neurons_and_wanted_ones_have_numbers_in_order(ranks: int) -> None:
    layout = layout_of()
    wanted = wanted_of(layout, 0.1)
    firsts, sizes = owned_by_all(layout, ranks)
    for rank in range(ranks):
        numbers = Numbers(layout, rank, ranks, wanted)
        own = np.concatenate(
            [np.arange(f, f + n) for f, n in zip(firsts[rank], sizes[rank], strict=True)]
        )
        assert numbers.kept.tolist() == sorted({*own.tolist(), *np.flatnonzero(wanted).tolist()})
        assert numbers.whole(numbers.of(own)).tolist() == own.tolist()
        assert numbers.kept[numbers.of(own)].tolist() == own.tolist()
        for r in range(ranks):
            for p in range(len(SIZES)):
                theirs = range(firsts[r, p], firsts[r, p] + sizes[r, p])
                kept = [n for n in theirs if wanted[n] or r == rank]
                begin = numbers.begins[r, p]
                assert numbers.kept[begin : begin + numbers.counts[r, p]].tolist() == kept


def test_rows_of_neurons_without_numbers_are_left_out() -> None:
    layout = layout_of()
    wanted = wanted_of(layout, 0.05)
    runs = np.where(wanted, 3, 0)
    row = np.concatenate([[0], np.cumsum(runs)])
    numbers = Numbers(layout, 1, 3, wanted)
    short = numbers.rows(row)
    assert len(short) == len(numbers.kept) + 1 < len(row)
    assert np.diff(short).tolist() == runs[numbers.kept].tolist()


@pytest.mark.parametrize(
    ("sizes", "start"),
    [(SIZES, 10), ({"a": 140_000, "b": 256}, 10), (SIZES, (1 << 31) + 2), (SIZES, (5 << 32) - 3)],
)
def test_packets_bring_every_wanted_spike_and_no_other(sizes: dict[str, int], start: int) -> None:
    layout, ticks = layout_of(sizes), 4
    chance = np.random.default_rng(3)
    fired = [np.flatnonzero(chance.random(layout.emitting) < 0.02) for _ in range(ticks)]
    firsts, owns = owned_by_all(layout, 2)

    def program(ranks: Ranks) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        wanted = wanted_of(layout, 0.3, ranks.rank)
        numbers = Numbers(layout, ranks.rank, ranks.size, wanted)
        packets = Packets(layout, ranks, wanted, numbers)
        rings = Rings(2, 7, len(numbers.kept))
        mine = np.zeros(layout.emitting, dtype=bool)
        for first, n in zip(firsts[ranks.rank], owns[ranks.rank], strict=True):
            mine[first : first + n] = True
        for k, spikes in enumerate(fired):
            own = numbers.of(spikes[mine[spikes]])
            for ring, part in enumerate((own[::2], own[1::2])):  # of two threads
                rings.put(ring, np.full(len(part), start + k), part)
        sent = packets.sent(rings, Window(start, start + ticks))
        arrived, _ = ranks.exchange(
            [[e for e in sent if e.target - 3 + (3 - len(sizes)) == r] for r in range(2)], 0
        )
        packets.put(arrived, rings, 2, start + ticks)
        at, found = rings.taken(2, start, start + ticks)
        got = list(zip(at.tolist(), numbers.kept[found].tolist(), strict=True))
        due = [
            (start + k, int(n)) for k, spikes in enumerate(fired) for n in spikes
            if wanted[n] and not mine[n]
        ]  # fmt: skip
        return sorted(got), sorted(due)

    for got, due in PretendRanks(2, 30.0).run(program):
        assert len(due) > 3
        assert got == due


def test_a_network_hears_all_its_spikes_whatever_one_before_it_promised() -> None:
    layout = layout_of()

    def program(ranks: Ranks) -> list[int]:
        wanted = wanted_of(layout, 0.3, ranks.rank)
        ranks.connect([])
        return Packets(layout, ranks, wanted, Numbers(layout, ranks.rank, ranks.size, wanted)).to

    assert PretendRanks(3, 30.0).run(program) == [[1, 2], [0, 2], [0, 1]]


def test_nothing_is_sent_where_nobody_fired() -> None:
    layout = layout_of()

    def program(ranks: Ranks) -> list[Any]:
        wanted = wanted_of(layout, 0.3)
        packets = Packets(layout, ranks, wanted, Numbers(layout, ranks.rank, ranks.size, wanted))
        rings = Rings(1, 7, layout.emitting)
        packets.put([], rings, 1, 0)
        assert rings.counts.sum() == 0
        return packets.sent(rings, Window(0, 5))

    assert PretendRanks(2, 30.0).run(program) == [[], []]


def test_a_rank_of_many_keeps_tables_of_its_own_neurons_and_of_its_sources_only() -> None:
    neurons, in_degree = 256 * 40, 3
    joined = Sparse(FixedInDegree(in_degree), 1.0)
    network = Network(
        (Population("a", neurons, CELLS),),
        (Projection.of_spikes("a", "a", "v", joined, delay=5),),
        dt=1e-4,
    )

    def program(ranks: Ranks) -> tuple[int, int]:
        machine = Simulation(network, ranks=ranks).machine
        assert machine is not None
        (binding,) = machine.bindings
        lengths = [len(v) for n, v in binding.arguments.items() if n.startswith("store0_")
                   and isinstance(v, np.ndarray)]  # fmt: skip
        return max(lengths), machine.rings.ids.shape[2]

    # A row for each own neuron and for each source of a synapse, at most.
    most = 256 + 256 * in_degree
    for length, room in PretendRanks(40, 60.0).run(program):
        assert length <= most + 1
        assert room <= most
    (alone,) = PretendRanks(1, 60.0).run(program)
    assert alone[0] > 5 * most
