"""Spiking and graded populations in one network: the laws, a naive count, digits, controls."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from biosim.contracts import Ranks
from biosim.events import Course, Event, Kind, Mode, Window
from biosim.network import Network, NetworkError, Pathway, Phase, Population, Projection
from biosim.plasticity import Adam, ErrorDriven
from biosim.populations import Graded, Judge, RateEncoder, Source, SpikeCounter
from biosim.populations.adapters import SpikeCounterActor
from biosim.populations.site import Site
from biosim.populations.source import Plain
from biosim.ranks import OneRank, PretendRanks
from biosim.simulation import Simulation
from biosim.spiking.description import Normal, PoissonSource, Sparse, Spiking
from biosim.spiking.recording import MemorySink, Recording, SpikeRecord
from biosim.testing import CLASSES, FEATURES, SAMPLES, RankLaws
from biosim.testing.networks import LIMIT_S, Outcome, on_ranks
from biosim.testing.same import assert_same
from biosim.wiring import AllToAll, Dense
from scenarios.data.digits import digits

ANSWER = ("forward",)
# Three blocks of neurons, so that three ranks or threads have one each.
CELLS = 520


def network(
    inputs: int = FEATURES,
    cells: int = CELLS,
    classes: int = CLASSES,
    ticks: int = 4,
    high: str = "600*Hz",
    delay: int = 3,
    counter: SpikeCounter | None = None,
    weights: Normal | None = None,
    lr: float = 0.01,
) -> Network:
    """Images -> encoder -> Poisson input -> cells -> counter -> softmax that learns -> judge."""
    model = Spiking(
        "dv/dt = (ge - v)/(10*ms) : 1\ndge/dt = -ge/(5*ms) : 1", "v > 1", "v = 0", method="exact"
    )
    drawn = weights or Normal(0.5, 1.5)
    learns = Adam(ErrorDriven(), lr)
    return Network(
        populations=(
            Population("images", inputs, Source(Plain)),
            Population("encoder", inputs, RateEncoder(ticks, high, rest=1)),
            Population("input", inputs, PoissonSource(0.0)),
            Population("cells", cells, model),
            Population("counter", cells, counter or SpikeCounter()),
            Population("output", classes, Graded("softmax")),
            Population("judge", classes, Judge()),
        ),
        projections=(
            Projection("x", "images", "encoder", "x", "activity", delay=delay),
            Projection("drive", "encoder", "input", "drive", "rate", delay=delay),
            # As long as drive, input and spikes take together.
            Projection("rows", "encoder", "counter", "rows", "rows", delay=2 * delay + 1),
            Projection(
                "up", "input", "cells", "spikes", "ge", Kind.SPIKE,
                weights=Sparse(AllToAll(), drawn),
            ),
            Projection("spikes", "cells", "counter", "spikes", "spikes", delay=delay),
            Projection(
                "count", "counter", "output", "count", "basal", delay=delay,
                weights=Dense("normal", 0.01), plasticity=learns,
            ),
            Projection(
                "label", "images", "output", "label", "target", Kind.TARGET, delay,
                modes=(Mode.LEARN,),
            ),
            Projection(
                "score", "output", "judge", "activity", "score", Kind.SCORE, delay,
                modes=(Mode.ANSWER,),
            ),
        ),
        pathways=(Pathway("label", ("label",), "the label, to the read-out only"),),
        # The data of the laws in one minibatch take no longer.
        phases=(Phase("forward", ticks=SAMPLES * (ticks + 1)),),
        dt=0.001,
    )  # fmt: skip


class TestRanks(RankLaws):
    """What spikes is spread over the ranks; adapters and layers are on one each."""

    def network(self) -> Network:
        return network()

    def outcome(self, simulation: Simulation) -> Outcome:
        # Each rank's machine has a state of its own part, which is compared by what it causes.
        found = super().outcome(simulation)
        populations = range(len(simulation.network.populations))
        return replace(found, state={i: s for i, s in found.state.items() if i in populations})

    @pytest.mark.parametrize("counter", [SpikeCounter(), SpikeCounter(tau="3*ms")])
    @pytest.mark.parametrize("threads", [2, 3])
    def test_threads_give_the_same_bits(self, threads: int, counter: SpikeCounter) -> None:
        """So do threads, whatever they have each."""
        wired = network(counter=counter)

        def learnt(ranks: Ranks, threads: int) -> Outcome:
            x, y = self.data()
            simulation = Simulation(wired, Course(1, 3, SAMPLES), 0, ranks, threads=threads)
            simulation.learn(x, y, 0, 8)
            return self.outcome(simulation)

        expected = on_ranks(1, lambda ranks: learnt(ranks, 1))
        assert float(expected.activity["counter"].sum()) > 0
        for size in (1, 2):
            got = on_ranks(size, lambda ranks: learnt(ranks, threads))
            assert_same(got, expected, f"{threads} threads on {size} ranks should give the same")


# --- time


def learnt(
    wired: Network,
    size: int = 1,
    stops: range = range(0),
    restored: bool = False,
    period: int | None = None,
) -> tuple[dict, dict, int]:
    """Weights, activity and the last tick after two epochs, on any rank; see `one`."""
    x, y = RankLaws.data(TestRanks())
    course = Course(2, 3, SAMPLES)

    def one(ranks: Ranks) -> tuple[dict, dict, int]:
        simulation = Simulation(wired, course, 1, ranks, period=period)
        left = list(reversed(stops))
        for epoch in range(2):
            simulation.begin_epoch(x, y, epoch, 8)
            while left and not simulation.finish(left[-1]):
                left.pop()
                if restored:
                    snapshot = simulation.snapshot()
                    simulation = Simulation(wired, course, 1, ranks, period=period)
                    simulation.restore(snapshot)
            simulation.finish()
        return simulation.parameters(), simulation.probe(x, y), simulation.engine.now

    parts = [one(OneRank())] if size == 1 else PretendRanks(size, LIMIT_S).run(one)
    parameters, activity = ({k: v for part in parts for k, v in part[i].items()} for i in (0, 1))
    assert len({part[2] for part in parts}) == 1
    return parameters, activity, parts[0][2]


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("period", [None, 40, 43])
def test_stopping_and_going_on_changes_nothing(size: int, period: int | None) -> None:
    wired = network()
    wired = replace(wired, phases=(Phase("forward", ticks=40),))
    expected = learnt(wired, period=period)
    got = learnt(wired, size, range(5, 9999, 7), period=period)
    assert_same(got, expected, "stopping every 7 ticks should change nothing")


@pytest.mark.parametrize("size", [1, 2])
def test_a_restored_run_equals_an_uninterrupted_one(size: int) -> None:
    wired = network()
    got = learnt(wired, size, range(31, 9999, 83), restored=True)
    assert_same(got, learnt(wired), "restoring every 83 ticks should change nothing")


def test_spiking_populations_stand_still_when_nothing_is_presented() -> None:
    x, y = RankLaws.data(TestRanks())
    simulation = Simulation(network(), Course(1, 3, SAMPLES))
    simulation.learn(x, y, 0, 8)
    ended = simulation.engine.now
    assert simulation.finish()
    assert simulation.engine.now == simulation.machine.now == ended
    # Unless they are asked to move on.
    simulation.run_to(ended + 10)
    assert simulation.machine.now == ended + 10
    # Three minibatches of 8 rows for 4 + 1 ticks each, and the way through seven populations.
    assert ended > 3 * 8 * 5
    simulation.answer(x, ANSWER)


def test_a_period_too_short_for_the_rows_is_refused() -> None:
    x, y = RankLaws.data(TestRanks())
    wired = replace(network(), phases=(Phase("forward"),))
    simulation = Simulation(wired, Course(1, 3, SAMPLES), period=39)
    message = (
        r"^got a period of 39 ticks; population 'encoder' presents 8 rows in 40: ask for at least "
        r"that, for smaller minibatches, or for exact timing$"
    )
    with pytest.raises(NetworkError, match=message):
        simulation.learn(x, y, 0, 8)


def test_rows_that_come_too_early_end_all_ranks() -> None:
    x, y = RankLaws.data(TestRanks())
    wired = replace(network(), phases=(Phase("forward", 0, 20), Phase("again", 20, 40)))

    def program(ranks: Ranks) -> None:
        Simulation(wired, Course(1, 3, SAMPLES), 0, ranks).learn(x, y, 0, 8)

    message = "'encoder' .* got rows at tick 23 while it presents others until tick 43"
    with pytest.raises(NetworkError, match=message):
        PretendRanks(2, LIMIT_S).run(program)


def test_a_rate_that_is_no_chance_is_refused_wherever_it_arrives() -> None:
    x, y = RankLaws.data(TestRanks())

    def program(ranks: Ranks) -> None:
        Simulation(network(high="2*kHz"), Course(1, 3, SAMPLES), 0, ranks).learn(x, y, 0, 8)

    message = r"'input' spikes with a chance of 1\.\d+ a tick \(rate x dt\); expected 0 to 1"
    with pytest.raises(NetworkError, match=message):
        PretendRanks(2, LIMIT_S).run(program)


def test_a_network_that_spikes_needs_the_length_of_a_tick() -> None:
    with pytest.raises(NetworkError, match="has spiking populations but no dt; give the length"):
        Simulation(replace(network(counter=SpikeCounter(tau="3*ms")), dt=None))


# --- what is counted and driven


def test_counts_are_those_of_a_naive_loop_over_recorded_spikes() -> None:
    x, y = RankLaws.data(TestRanks())
    wired, sink = network(), MemorySink()
    recording = Recording(spikes=(SpikeRecord("cells"), SpikeRecord("input")))
    simulation = Simulation(wired, recording=recording, sink=sink)
    simulation.run_to(17)
    got = simulation.probe(x, y)["counter"]
    expected, caused = torch.zeros(SAMPLES, CELLS), np.zeros((SAMPLES, FEATURES))
    # Windows end at multiples of 3 ticks: the source presents at 18, the encoder at 21.
    for tick, neuron in zip(*sink.spikes["cells"], strict=True):
        row, within = divmod(int(tick) + 3 - (21 + 7), 5)
        if within < 4 and 0 <= row < SAMPLES:
            expected[row, int(neuron)] += 1
    for tick, neuron in zip(*sink.spikes["input"], strict=True):
        row, within = divmod(int(tick) - (21 + 3), 5)
        assert within < 4, "the input should be silent in the rest"
        caused[row, int(neuron)] += 1
    assert torch.equal(got, expected)
    assert float(got.sum()) > 1000
    # One chance of 0.6 x a tick: within four standard deviations in the mean.
    chance = 0.6 * x.numpy()
    spread = np.sqrt((4 * chance * (1 - chance)).sum())
    assert abs(caused.sum() - 4 * chance.sum()) < 4 * spread


def test_a_tensor_becomes_a_current() -> None:
    model = Spiking("dv/dt = (I/nA)/(1*ms) : 1\nI : amp", "v > 9.5", "v = 0", method="euler")
    wired = Network(
        populations=(
            Population("images", 4, Source(Plain)),
            Population("encoder", 4, RateEncoder(20, high="2*nA", low="0*nA")),
            Population("cells", 4, model),
            Population("counter", 4, SpikeCounter()),
        ),
        projections=(
            Projection("x", "images", "encoder", "x", "activity"),
            Projection("drive", "encoder", "cells", "drive", "I"),
            Projection("rows", "encoder", "counter", "rows", "rows", delay=2),
            Projection("spikes", "cells", "counter", "spikes", "spikes"),
        ),
        dt=0.001,
    )
    x = torch.tensor([[0.0, 0.25, 0.5, 1.0], [1.0, 0.5, 0.25, 0.0]])
    counts = Simulation(wired, dtype=torch.float64).probe(x, torch.zeros(2))["counter"]
    # A spike whenever 9.5 is passed, in steps of 2 x, and none is left over but by 0.25 and 0.5.
    assert counts.tolist() == [[0, 1, 2, 4], [4, 2, 1, 0]]


def test_digits_are_read_from_the_spikes_of_a_random_layer() -> None:
    data = digits()
    x, y = torch.from_numpy(data.train.x[:400]), torch.from_numpy(data.train.y[:400])
    wired = network(64, 256, 10, ticks=30, delay=15, weights=Normal(0.0, 0.25), lr=0.003)
    simulation = Simulation(wired, Course(2, 40, 400))
    before = {name: p["weight"].clone() for name, p in simulation.parameters().items()}
    for epoch in range(2):
        simulation.learn(x, y, epoch, 10)
    assert all(
        not torch.equal(simulation.parameters()[name]["weight"], weight)
        for name, weight in before.items()
    )
    held_out = torch.from_numpy(data.test.x[:200])
    scores = simulation.answer(held_out, ANSWER)
    assert scores is not None
    right = (scores.argmax(1) == torch.from_numpy(data.test.y[:200])).float().mean()
    assert float(right) > 0.75, f"{float(right):.3f}"


# --- controls: adapters whose counts depend on who sent what, or when


class Cheat(SpikeCounter):
    """A counter whose actor gets another inbox."""

    inbox: Callable[[list[Event], Window], list[Event]]

    def actor(self, site: Site) -> SpikeCounterActor:
        actor = super().actor(site)
        honest = actor.advance
        actor.advance = lambda at, came: honest(at, type(self).inbox(came, at))  # type: ignore[method-assign]
        return actor


class DropsWhatOneRankSends(Cheat):
    @staticmethod
    def inbox(came: list[Event], at: Window) -> list[Event]:
        machines = len(network().populations)
        return [event for event in came if event.source <= machines]


class CountsByWindow(Cheat):
    @staticmethod
    def inbox(came: list[Event], at: Window) -> list[Event]:
        return [e._replace(tick=at.start) if e.kind == Kind.SPIKE else e for e in came]


class HearsOneEventATick(Cheat):
    @staticmethod
    def inbox(came: list[Event], at: Window) -> list[Event]:
        return list({(event.tick, event.kind): event for event in came}.values())


@pytest.mark.parametrize("cheat", [DropsWhatOneRankSends, CountsByWindow, HearsOneEventATick])
def test_counts_that_depend_on_ranks_are_caught(cheat: type[Cheat]) -> None:
    with pytest.raises(AssertionError, match="more ranks should make no difference, but"):
        compare_ranks(network(counter=cheat()), 2)


@pytest.mark.parametrize("size", [2, 3])
def test_honest_counts_do_not_depend_on_ranks(size: int) -> None:
    compare_ranks(network(), size)


def compare_ranks(wired: Network, size: int) -> None:
    assert_same(learnt(wired, size), learnt(wired), "more ranks should make no difference")
