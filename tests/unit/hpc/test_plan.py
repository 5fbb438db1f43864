"""What is planned is what happens: neurons, synapses, bytes, events, messages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biosim.contracts import Ranks
from biosim.events import Course, Event, Tick
from biosim.network import Network, Population, Projection
from biosim.ranks import OneRank, PretendRanks
from biosim.simulation import Simulation
from biosim.spiking.description import (
    PoissonInput,
    PoissonSource,
    Sparse,
    SpikeList,
    Spiking,
    SynapseModel,
    Uniform,
)
from biosim.spiking.recording import MemorySink, Recording, SpikeRecord
from biosim.testing import CLASSES, FEATURES, SAMPLES
from biosim.wiring import AllToAll, FixedInDegree, FixedProbability, FixedTotal, OneToOne
from hpc import calibration
from hpc.calibration import ExchangeSpeed, LayerSpeed, SpikeSpeed
from hpc.needs import mostly_learns
from hpc.plan import table
from hpc.plan_layers import LayerPlan, Minibatch, planned
from hpc.plan_spiking import MESSAGE_BYTES, SpikePlanner, joined
from rules import RULES
from tests.contract.cases import CASES, wired
from tests.unit.hpc.test_cli import Command
from tests.unit.hpc.test_cli_spiking import SMALL

SPIKE = SpikeSpeed(2e-9, 60e-9, 1e-9, 50e-6)
EXCHANGE = ExchangeSpeed(25e-6, 0.1e-9)
LAYER = LayerSpeed(1e-10, 50e-6)
ROWS = 6
TICKS = 1400


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    monkeypatch.setattr("hpc.needs.spike_speed", lambda network, plastic: SPIKE)
    monkeypatch.setattr("hpc.plan.exchange_speed", lambda: EXCHANGE)
    monkeypatch.setattr("hpc.needs.exchange_speed", lambda: EXCHANGE)
    monkeypatch.setattr("hpc.needs.layer_speed", lambda *sizes: LAYER)
    (tmp_path / "small.toml").write_text(SMALL)
    return Command(monkeypatch, capsys, tmp_path)


# --- spikes


def spiking(in_degree: int = 150) -> Network:
    cells = Spiking(
        "dv/dt = -v / (20*ms) : volt", threshold="v > 20*mV", reset="v = 0*mV",
        method="exact", initial={"v": "20*mV*rand()"},
    )  # fmt: skip
    learnt = SynapseModel(
        "w : volt\ndpre/dt = -pre/(20*ms) : 1 (event-driven)",
        on_pre="v += w; pre += 1",
        on_post="w = clip(w + 0.001*mV*pre, 0*mV, 0.1*mV)",
        bounds={"w": ("0*mV", "0.1*mV")},
    )
    sizes = {"E": 1100, "I": 300, "noise": 600}
    few, some = FixedInDegree(in_degree), FixedProbability(0.02)
    return Network(
        (
            *(Population(name, sizes[name], cells) for name in ("E", "I")),
            Population("noise", sizes["noise"], PoissonSource("30*Hz")),
        ),
        (
            Projection.of_spikes("E", "E", "v", Sparse(few, "0.01*mV"), delay=15),
            Projection.of_spikes("E", "I", "v", Sparse(some, "0.02*mV"), delay=15),
            Projection.of_spikes("I", "E", "v", Sparse(few, Uniform("0*mV", "0.01*mV")), delay=15),
            Projection.of_spikes(
                "noise", "I", "v", Sparse(FixedInDegree(40), "0.05*mV", synapse=learnt), delay=15
            ),
        ),
        dt=1e-4,
        stimuli=tuple(
            PoissonInput(f"external {name}", name, "v", "10*Hz", "0.5*mV", n=250)
            for name in ("E", "I")
        ),
    )


@dataclass
class Found:
    """What one rank was found to have and do."""

    neurons: int
    synapses: int
    synapse_bytes: int
    events: int
    leaving: int
    messages: int
    sent_bytes: int
    spikes: dict[str, int]


def happened(network: Network, ranks: int) -> list[Found]:
    """Run, and count on each rank."""

    def program(of: Ranks) -> Found:
        sink = MemorySink()
        names = [p.name for p in network.populations]
        recording = Recording(spikes=tuple(SpikeRecord(name) for name in names))
        simulation = Simulation(network, ranks=of, recording=recording, sink=sink, overlap=False)
        machine = simulation.machine
        assert machine is not None
        counted = [0, 0, 0]
        if machine.packets is not None:
            sent = machine.packets.sent

            def noted(*arguments: Any) -> list[Event]:
                events = sent(*arguments)
                for event in events:
                    words = event.payload.numpy()
                    length = int(words[4:8].view(np.int32)[0])
                    counts = words[12 : 12 + 4 * length].view(np.int32)
                    counted[0] += int(counts.sum())
                    counted[1] += 1
                    counted[2] += event.payload.nbytes + MESSAGE_BYTES
                return events

            machine.packets.sent = noted  # type: ignore[method-assign]
        simulation.run_to(TICKS)
        # Without what neurons keep, tables of a length of their own, and rows, which are apart.
        kept = re.compile(r"(store|plastic)\d+_(?!in_|c_|table_|l_|row)")
        (binding,) = machine.bindings
        found = {id(v): v for name, v in binding.arguments.items() if kept.match(name)}
        return Found(
            machine.shards[0].emitting,
            machine.synapses,
            sum(array.nbytes for array in found.values() if isinstance(array, np.ndarray)),
            machine.synaptic_events,
            *counted,
            {name: len(sink.spikes[name].ticks) for name in names},
        )

    if ranks == 1:
        return [program(OneRank())]
    return PretendRanks(ranks, 60.0).run(program)


def planner(network: Network, spikes: dict[str, int] | None = None) -> SpikePlanner:
    made = SpikePlanner(network, 0, 1, "float32", 10.0, SPIKE, EXCHANGE)
    for i, population in enumerate(network.populations):
        if spikes is not None:
            made.rates_hz[i] = spikes[population.name] / population.size / (TICKS * 1e-4)
    return made


@pytest.mark.parametrize("ranks", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_plan_of_spikes_is_what_happens(ranks: int) -> None:
    network = spiking()
    found = happened(network, ranks)
    spikes = {name: sum(rank.spikes[name] for rank in found) for name in ("E", "I", "noise")}
    assert min(spikes.values()) > 500
    plan = planner(network, spikes).plan(ranks)
    seconds = TICKS * 1e-4
    for rank, share in zip(found, (plan.shares[n] for n in plan.share_of), strict=True):
        assert share.neurons == rank.neurons
        assert share.synapses == pytest.approx(rank.synapses, rel=0.02)
        assert share.synapse_bytes == pytest.approx(rank.synapse_bytes, rel=0.15)
        assert share.events * seconds == pytest.approx(rank.events, rel=0.1)
        assert share.leaving * seconds == pytest.approx(rank.leaving, rel=0.1)
        assert share.messages * seconds == pytest.approx(rank.messages, rel=0.1)
        assert share.sent_bytes * seconds == pytest.approx(rank.sent_bytes, rel=0.1)
    leaving, arriving = (sum(getattr(plan.shares[n], x) for n in plan.share_of) for x in (
        "leaving", "arriving",
    ))  # fmt: skip
    assert leaving == pytest.approx(arriving)
    assert plan.exchanges == pytest.approx(1e4 / 15 if ranks > 1 else 10.0)


def test_the_plan_of_another_network_is_not_what_happens() -> None:
    found = happened(spiking(), 2)
    share = planner(spiking(in_degree=120)).plan(2).shares[0]
    assert share.synapses != pytest.approx(found[0].synapses, rel=0.02)
    assert share.synapse_bytes != pytest.approx(found[0].synapse_bytes, rel=0.15)


def test_rates_are_those_of_the_description_or_else_as_asked() -> None:
    network = spiking()
    assert planner(network).rates_hz == pytest.approx({0: 10.0, 1: 10.0, 2: 30.0})
    told = Population("told", 4, SpikeList(np.array([0, 1, 2]), np.array([0, 10, 49])))
    silent = Population("silent", 4, SpikeList(np.empty(0, np.int64), np.empty(0, np.int64)))
    still = Population("still", 4, Spiking("v : 1"))
    network = Network((told, silent, still), (), dt=1e-4)
    assert planner(network).rates_hz == pytest.approx({0: 3 / 4 / 5e-3, 1: 10.0, 2: 0.0})


def test_more_ranks_than_blocks_own_nothing_and_send_nothing() -> None:
    plan = planner(spiking()).plan(64)
    idle = [share for share in plan.shares if share.neurons == 0]
    (share,) = idle
    assert (share.synapses, share.events, share.sent_bytes, share.messages) == (0, 0, 0, 0)
    assert plan.column(lambda s: s.neurons).sum() == 2000


def test_thousands_of_ranks_are_few_cases() -> None:
    plan = planner(spiking()).plan(5000)
    assert len(plan.shares) < 20
    assert plan.column(lambda share: share.synapses).sum() == pytest.approx(
        planner(spiking()).plan(1).shares[0].synapses
    )


def test_the_exchange_becomes_the_larger_part_sooner_where_messages_take_longer() -> None:
    slow, fast = planner(spiking()), planner(spiking())
    slow._exchange, fast._exchange = ExchangeSpeed(1e-3, 1e-9), ExchangeSpeed(1e-9, 0.0, 0.0)
    assert slow.talks_more_from() == 2
    assert fast.talks_more_from(64) is None


@pytest.mark.parametrize(
    ("wiring", "n_pre", "here"),
    [
        (AllToAll(), 300, 100),
        (FixedProbability(0.01), 300, 100),
        (FixedProbability(1.0), 300, 100),
        (FixedInDegree(3), 300, 100),
        (FixedTotal(900), 300, 100),
        (OneToOne(), 400, 200),
        (FixedInDegree(3), 300, 0),
    ],
)
def test_a_source_is_wanted_as_often_as_wirings_are_expected_to_join_it(
    wiring: Any, n_pre: int, here: int
) -> None:
    _, sources = wiring.sources(0, here, n_pre, 400, 7, "one")
    share = len(np.unique(sources)) / n_pre
    if isinstance(wiring, OneToOne):
        share -= here / n_pre  # all of them lie on the same rank
    assert joined(wiring, n_pre, 400, here) == pytest.approx(share, abs=0.06)


def test_synapses_are_measured_as_most_of_them_are() -> None:
    network = spiking()
    assert not mostly_learns(network)
    assert mostly_learns(replace(network, projections=network.projections[-1:]))


# --- layers


class Counting:
    """One of the pretended ranks, which counts what it sends to others."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks, self.rank, self.size = ranks, ranks.rank, ranks.size
        self.bytes = self.messages = self.exchanges = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ranks, name)

    def exchange(self, outgoing: Sequence[list[Event]], wake: Tick) -> tuple[list[Event], Tick]:
        self.exchanges += 1
        for rank, events in enumerate(outgoing):
            if rank != self.rank:
                self.messages += len(events)
                self.bytes += sum(event.payload.nbytes for event in events)
        return self._ranks.exchange(outgoing, wake)

    def trade(
        self, given: Mapping[int, Sequence[torch.Tensor]], taken: Mapping[int, Sequence[Any]]
    ) -> None:
        for tensors in given.values():
            self.messages += len(tensors)
            self.bytes += sum(tensor.nbytes for tensor in tensors)
        self._ranks.trade(given, taken)


def plan_of(network: Network, ranks: int, period: int | None = None) -> LayerPlan:
    return planned(network, ranks, Minibatch(ROWS, period=period), LAYER, EXCHANGE)


def check_layers(rule: str, ranks: int, rows: int, parts: int = 1, replicas: int = 1) -> None:
    """Compare a plan with what every rank is found to have and do."""
    network, minibatches = wired(CASES[rule]), SAMPLES // rows

    def program(of: Ranks) -> tuple[tuple[int, ...], ...]:
        counting = Counting(of)
        simulation = Simulation(
            network,
            Course(1, minibatches, SAMPLES),
            ranks=counting,
            parts=parts,
            replicas=replicas,
        )
        x = torch.rand(SAMPLES, FEATURES, generator=torch.Generator().manual_seed(0))
        simulation.learn(x, torch.arange(SAMPLES, dtype=torch.uint8) % CLASSES, 0, rows)
        kept = sum(
            tensor.nbytes
            for actor in simulation._actors.values()
            for tensors in actor.parameters().values()
            for tensor in tensors.values()
        )
        work = sum(c.forward + c.feedback + c.plasticity for c in simulation.ledger.layers)
        held = [c.held_bytes_max for c in simulation.ledger.layers]
        return (kept, work // minibatches, max(held), sum(held)), (
            counting.bytes // minibatches, counting.messages // minibatches, counting.exchanges,
        )  # fmt: skip

    found = PretendRanks(ranks, 60.0).run(program)
    plan = planned(network, ranks, Minibatch(rows, parts=parts), LAYER, EXCHANGE, replicas)
    for share, ((kept, work, most, all_held), (sent, messages, _)) in zip(
        plan.shares, found, strict=True
    ):
        assert kept <= share.parameter_bytes <= 3 * kept + 100
        assert share.multiply_adds == work
        assert most <= share.held_bytes <= all_held
        assert (share.sent_bytes, share.messages) == (sent, messages)
    if ranks > 1:
        # One more to begin with, and one more a minibatch, whose window the source begins.
        counted = pytest.approx(minibatches * plan.exchanges, abs=2 * minibatches + 1)
        assert found[0][1][2] == counted


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("rule", RULES)
def test_a_plan_of_layers_is_what_happens(rule: str, ranks: int) -> None:
    check_layers(rule, ranks, ROWS)


@pytest.mark.parametrize("small_bytes", [0, 10**6], ids=["sliced", "whole"])
@pytest.mark.parametrize(("ranks", "replicas"), [(1, 1), (2, 2), (4, 2), (4, 4)])
@pytest.mark.parametrize("rule", [*RULES, "forward_forward, hard negatives"])
def test_a_plan_of_replicas_is_what_happens(
    rule: str, ranks: int, replicas: int, small_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biosim.parts.SMALL_BYTES", small_bytes)
    check_layers(rule, ranks, 8, parts=4, replicas=replicas)


def test_a_plan_without_the_replicas_is_not_what_happens() -> None:
    network, minibatch = wired(CASES["backprop"]), Minibatch(8, parts=4)
    replicated = planned(network, 4, minibatch, LAYER, EXCHANGE, 4).shares[0]
    layers = planned(network, 4, minibatch, LAYER, EXCHANGE).shares[0]
    assert replicated.multiply_adds != layers.multiply_adds
    assert replicated.parameter_bytes != layers.parameter_bytes
    assert replicated.sent_bytes != layers.sent_bytes


def test_replicas_share_the_time_of_layers_that_wait_for_each_other() -> None:
    network, slow = wired(CASES["backprop"]), LayerSpeed(1e-6, 0.0)
    minibatch = Minibatch(8, parts=4)
    alone = planned(network, 1, minibatch, slow, EXCHANGE)
    assert planned(network, 4, minibatch, slow, EXCHANGE, 4).compute_s == alone.compute_s / 4
    assert alone.exchange_s == alone.exchanges == 0
    # Every part wakes a layer once more.
    waking = LayerSpeed(0.0, 1.0)
    whole = planned(network, 1, Minibatch(8), waking, EXCHANGE)
    assert planned(network, 1, minibatch, waking, EXCHANGE).compute_s == 4 * whole.compute_s


def test_the_plan_of_other_layers_is_not_what_happens() -> None:
    one, other = plan_of(wired(CASES["backprop"]), 2), plan_of(wired(CASES["backprop"], (5, 4)), 2)
    assert one.shares[0].multiply_adds != other.shares[0].multiply_adds
    assert one.shares[0].sent_bytes != other.shares[0].sent_bytes


def test_layers_that_wait_take_as_long_on_two_ranks_and_a_stream_half_as_long() -> None:
    waiting, blocks = wired(CASES["backprop"]), wired(CASES["noprop"])
    assert plan_of(waiting, 2).compute_s == pytest.approx(plan_of(waiting, 1).compute_s, rel=0.25)
    assert plan_of(blocks, 3).compute_s == pytest.approx(plan_of(blocks, 1).compute_s / 3)
    streamed = plan_of(waiting, 2, 1).compute_s
    assert streamed < 0.7 * plan_of(waiting, 1, 1).compute_s
    # More minibatches are under way.
    assert plan_of(waiting, 1, 1).shares[0].held_bytes > plan_of(waiting, 1).shares[0].held_bytes


def test_ranks_without_layers_have_nothing() -> None:
    plan = plan_of(wired(CASES["noprop"]), 1000)
    share = plan.shares[-1]
    assert (share.layers, share.parameter_bytes, share.multiply_adds) == ((), 0, 0)
    assert plan.shares[0].layers == ("block1",)


# --- speeds


def test_speeds_are_those_of_this_machine() -> None:
    layers = calibration.layer_speed(32, 64, 64)
    assert 1e-13 < layers.multiply_add_s < 1e-7
    assert 1e-6 < layers.visit_s < 1e-1
    messages = calibration.exchange_speed()
    assert 1e-7 < messages.message_s < 1e-2
    assert 0 <= messages.byte_s < 1e-6


def test_a_longer_message_takes_longer_and_one_rank_needs_none() -> None:
    assert EXCHANGE.seconds(2, 1, 1e6) > EXCHANGE.seconds(2, 1, 1e3) > 0
    assert EXCHANGE.seconds(1024, 1, 1e3) > EXCHANGE.seconds(2, 1, 1e3)
    assert EXCHANGE.seconds(1, 0, 0) == 0


def test_the_speed_of_spikes_is_that_of_a_network_of_the_same_neurons() -> None:
    speed = calibration.spike_speed(spiking(), plastic=False)
    assert 1e-11 < speed.neuron_s < 1e-5
    assert 1e-10 < speed.spike_s < 1e-4
    assert 1e-12 < speed.synapse_s < 1e-6
    assert 1e-6 < speed.window_s < 1e-1


def test_neurons_that_cannot_be_had_alone_are_measured_as_others() -> None:
    rates = Population("noise", 9000, PoissonSource(np.full(9000, 5.0)))
    assert calibration._neuron_s(Network((rates,), (), dt=1e-4)) > 0


def test_seconds_of_a_spike_and_of_a_synapse_are_told_apart() -> None:
    many, few = (1.0 + 3e-3 + 20e-3, 3, 20), (1.0 + 3e-3 + 500e-3, 3, 500)
    assert calibration._solved(many, few, 1.0) == pytest.approx((1e-3, 1e-3))


# --- the command


def test_the_plan_of_layers_names_who_owns_what_and_how_long_it_takes(command: Command) -> None:
    done = command("plan", "digits", "rule.name=noprop", "--ranks", "2")
    assert done.code == 0, done.err
    assert "2 ranks: layers block1 to block5 | block6 to block10; the dearest rank has 50 %" in (
        done.out
    )
    assert re.search(r"^1 +\d+\.\d KiB +0 B +0 B +0 +\d[\d,]+ +\d[\d.]* [mu]s$", done.out, re.M)
    assert re.search(r"A minibatch takes about [\d.]+ us, .* for 2 exchanges; on one", done.out)
    assert command.files() == {"small.toml"}  # nothing is run


def test_the_plan_of_replicas_is_that_of_a_run(command: Command) -> None:
    done = command("plan", "digits", "place.parts=4", "--ranks", "4")
    assert done.code == 0, done.err
    assert "minibatches of 32 in 4 parts; nothing is run" in done.out
    assert "4 ranks: 4 replicas of layers hidden1, hidden2, output" in done.out
    assert "auto: 4 replicas, the most that divide 4 parts and 4 ranks" in done.out
    assert re.search(r"for \d+ exchanges and 3 sums over replicas; on one rank", done.out)
    done = command("plan", "digits", "place.parts=4", "place.strategy=layers", "--ranks", "4")
    assert "4 ranks: layers hidden1 | hidden2 | output" in done.out
    assert "replicas" not in done.out
    assert "of parts: their directions" in done.out
    assert "of parts" not in command("plan", "digits").out


def test_the_plan_of_layers_on_one_rank_has_no_exchange(command: Command) -> None:
    done = command("plan", "digits")
    assert re.search(r"^A minibatch takes about [\d.]+ [mu]s\.$", done.out, re.M)


def test_the_plan_of_spikes_has_a_row_a_rank_and_what_is_assumed(command: Command) -> None:
    done = command("plan", "small.toml", "populations.E.size=900", "--ranks", "3", "--rate", "7")
    assert done.code == 0, done.err
    assert "3 ranks: blocks of 256 neurons: rank 2 has 388 of 900, rank 0 256" in done.out
    assert "expected rates: E 7 Hz (--rate 7 where the description says nothing)" in done.out
    assert "place.strategy is auto: neurons that spike are cut in blocks" in done.out
    assert "10,000 exchanges a second: a window is 1 tick of 0.1 ms, the shortest delay" in done.out
    assert "a network of 2 us and 10 GB/s is assumed" in done.out
    assert len(re.findall(r"^\d +\d+ +[\d,]+ +", done.out, re.M)) == 3
    assert re.search(
        r"^In its 0.1 s it stores [\d.]+ KiB of spikes: .* in the end, .* GiB are free here.$",
        done.out,
        re.M,
    )
    assert re.search(r"The exchange (becomes the larger part from|stays the smaller)", done.out)
    assert command.files() == {"small.toml"}


def test_the_plan_of_many_ranks_has_least_mean_and_most(command: Command) -> None:
    done = command("plan", "small.toml", "populations.E.size=9000", "--ranks", "4000")
    assert done.code == 0, done.err
    assert re.search(r"^4,000 ranks +least +on rank +mean +most +on rank$", done.out, re.M)
    assert re.search(r"^neurons +0 +0 +2 +256 +\d+$", done.out, re.M)


def test_one_rank_exchanges_nothing(command: Command) -> None:
    assert "one rank exchanges nothing" in command("plan", "small.toml").out


def test_images_are_planned_as_what_spikes(command: Command) -> None:
    done = command("plan", "digits_spiking", "--ranks", "2")
    assert done.code == 0, done.err
    assert "264 neurons" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("hidden_pattern", "--ranks", "2"), "is a task, which runs on one rank; expected"),
        (("small.toml", "--rate", "-1"), "--rate: got -1; expected spikes a second, 0 or more"),
        (("small.toml", "--rate", "nan"), "--rate: got nan; expected spikes a second"),
        (("small.toml", "--ranks", "0"), "greater than or equal to 1"),
        (("small.toml", "populations.E.size=0"), "expected a whole number"),
        (("small.toml", "--rate", "20000"), "--rate: got 20000 with ticks of 0.1 ms; expected at"),
        (("digits", "--rate", "5"), "--rate: got 5 and digits, whose layers do not spike"),
        (
            ("digits", "place.strategy=replicas", "--ranks", "2"),
            "place.strategy is replicas on 2 ranks and place.parts is 1; expected",
        ),
        (
            ("digits", "place.parts=4", "place.replicas=2", "--ranks", "3"),
            "place.replicas is 2 and there are 3 ranks; expected a multiple",
        ),
        (("small.toml", "place.strategy=layers"), "place.strategy: got 'layers'; layers and"),
        (("digits", "network.inputs=3"), "inputs"),
        (("nowhere",), "no scenario 'nowhere'"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_line(
    command: Command, words: tuple[str, ...], said: str
) -> None:
    done = command("plan", *words)
    assert done.code == 2
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert said in done.err


def test_a_table_of_up_to_sixteen_ranks_has_a_row_for_each() -> None:
    def lines(ranks: int) -> list[str]:
        return table([("n", np.arange(float(ranks)), str)]).splitlines()

    assert len(lines(16)) == 17
    assert lines(17) == ["17 ranks  least  on rank  mean  most  on rank", (
        "n           0.0        0   8.0  16.0       16"
    )]  # fmt: skip
