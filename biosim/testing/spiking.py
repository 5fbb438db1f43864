"""The laws of ranks, time, resume and memory for networks that spike.

A law compares all that a run gives: every spike, every variable of every neuron at the end of
short intervals, every variable of every synapse that learns; bit for bit. A network about which
a law can say anything must spike, and must have some blocks of 256 neurons to cut.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from biosim.checkpoints.directory import Checkpoint, newest
from biosim.checkpoints.simulation import restore, store
from biosim.contracts import Ranks
from biosim.events import Tick
from biosim.network import Network
from biosim.ranks import OneRank, PretendRanks
from biosim.simulation import Simulation
from biosim.spiking.layout import Layout
from biosim.spiking.recording import (
    MemorySink,
    Recording,
    SpikeRecord,
    StateRecord,
    States,
    WeightRecord,
    Weights,
)
from biosim.testing.networks import LIMIT_S, few_examples
from biosim.testing.same import assert_same

LONGER = 10
"""How much longer a run is whose memory must be the same."""

SELDOM = 1 << 40
"""Ticks between two samples where none but the first is wanted."""


@dataclass(frozen=True)
class Activity:
    """Everything that a spiking run gives.

    Args:
        spikes: population -> (ticks, neurons), ordered by (tick, neuron).
        states: (population, variable) -> samples.
        weights: projection -> snapshots.
        events: how often a spike reached a synapse.
    """

    spikes: Mapping[str, tuple[npt.NDArray[Any], ...]]
    states: Mapping[tuple[str, str], States]
    weights: Mapping[str, Weights]
    events: int


class SpikingLaws:
    """What a law about spiking networks needs to know. Inherit a law, not this.

    Args:
        ticks: length of a run.
        dtype: of the neurons' state.
        every: ticks between two samples; a prime meets windows everywhere.
    """

    ticks: ClassVar[Tick] = 400
    dtype: ClassVar[torch.dtype] = torch.float32
    every: ClassVar[int] = 37

    def network(self) -> Network:
        """Return the network to test: small, but of more than one block of neurons."""
        raise NotImplementedError("say which network the laws are to test: define network(self)")

    def recording(self) -> Recording:
        """Return the recording of everything."""
        layout = Layout(self.network())
        network = layout.network
        known = {
            network.populations[i].name: (*(v.name for v in code.variables), *code.subexpressions)
            for i, code in layout.neurons.items()
        }
        plastic = [network.projections[found.projection].name for found in layout.plastic]
        return Recording(
            tuple(SpikeRecord(population.name) for population in network.populations),
            tuple(StateRecord(name, names, every=self.every) for name, names in known.items()),
            tuple(WeightRecord(name, 2 * self.every + 1) for name in plastic),
        )

    def seldom(self) -> Recording:
        """Return a recording of spikes and next to nothing else, by the same kernels."""
        everything = self.recording()
        states = tuple(replace(r, neurons=[0], every=SELDOM) for r in everything.states)
        return replace(everything, states=states, weights=())

    def simulation(
        self,
        ranks: Ranks | None = None,
        threads: int = 1,
        sink: MemorySink | None = None,
        recording: Recording | None = None,
        overlap: bool | None = None,
    ) -> Simulation:
        """Return a simulation that has not run yet."""
        return Simulation(
            self.network(),
            seed=3,
            dtype=self.dtype,
            ranks=ranks,
            threads=threads,
            recording=self.recording() if recording is None else recording,
            sink=sink,
            overlap=overlap,
        )

    def activity(
        self,
        ranks: int = 1,
        threads: int = 1,
        stops: Sequence[Tick] = (),
        overlap: bool | None = None,
    ) -> Activity:
        """Return what a run gives that is cut in some way."""
        sink = MemorySink()

        def program(rank: Ranks) -> int:
            simulation = self.simulation(rank, threads, sink, overlap=overlap)
            for tick in (*stops, self.ticks):
                simulation.run_to(tick)
            assert simulation.machine is not None
            return simulation.machine.synaptic_events

        counts = [program(OneRank())] if ranks == 1 else PretendRanks(ranks, LIMIT_S).run(program)
        return taken(sink, sum(counts))

    def expected(self) -> Activity:
        """Return what one thread gives in one go."""
        return self.activity()

    def check(self, got: Activity, claim: str) -> None:
        """Compare with what one thread gives in one go."""
        expected = self.expected()
        assert sum(len(ticks) for ticks, _ in expected.spikes.values()), "nothing spiked"
        assert_same(got, expected, claim)


def taken(sink: MemorySink, events: int) -> Activity:
    """Return what a sink was given."""
    return Activity(
        {name: (found.ticks, found.neurons) for name, found in sink.spikes.items()},
        dict(sink.states),
        dict(sink.weights),
        events,
    )


def after_each_other(first: Activity, then: Activity) -> Activity:
    """Return what the first and the second half of a run give together."""

    def rows(a: Any, b: Any) -> Any:
        return np.concatenate([a, b])

    def both(of: Mapping[Any, Any], more: Mapping[Any, Any], join: Any) -> dict[Any, Any]:
        found = {**of, **more}
        return found | {name: join(of[name], more[name]) for name in of.keys() & more.keys()}

    return Activity(
        both(first.spikes, then.spikes, lambda a, b: tuple(map(rows, a, b))),
        both(
            first.states,
            then.states,
            lambda a, b: States(rows(a.ticks, b.ticks), a.neurons, rows(a.values, b.values)),
        ),
        both(
            first.weights,
            then.weights,
            lambda a, b: Weights(
                rows(a.ticks, b.ticks), a.sources, a.targets, both(a.values, b.values, rows)
            ),
        ),
        first.events + then.events,
    )


class SpikingRankLaws(SpikingLaws):
    """Spikes, states and weights are the same bits on any threads and ranks."""

    def test_a_run_repeats_its_bits(self) -> None:
        """A second run gives the same bits: nothing is drawn from a generator with a state."""
        self.check(self.activity(), "a run should repeat")

    @pytest.mark.parametrize("threads", [2, 3, 5])
    def test_threads_give_the_same_bits(self, threads: int) -> None:
        """Threads share the work; some of five own nothing where there are fewer blocks."""
        self.check(self.activity(1, threads), f"{threads} threads should give the bits of one")

    @pytest.mark.parametrize(("ranks", "threads"), [(2, 1), (3, 1), (2, 2), (7, 1)])
    def test_ranks_give_the_same_bits(self, ranks: int, threads: int) -> None:
        """Ranks exchange what spiked; some of seven own nothing."""
        claim = f"{ranks} ranks of {threads} threads should give the bits of one"
        self.check(self.activity(ranks, threads), claim)

    @pytest.mark.parametrize("overlap", [True, pytest.param(False, marks=pytest.mark.slow)])
    def test_ranks_may_compute_while_spikes_travel(self, overlap: bool) -> None:
        """What a run finds out to be faster is another from machine to machine.

        Windows are cut short where the run stops, and spikes are on their way.
        """
        claim = "half windows" if overlap else "whole windows"
        stops = [1, 2, self.ticks // 3, self.ticks // 3 + 5]
        got = self.activity(3, stops=stops, overlap=overlap)
        self.check(got, f"{claim} should give the bits of one rank")


class SpikingTimeLaws(SpikingLaws):
    """When a run is stopped to look at it does not matter, nor what is looked at."""

    @few_examples
    @given(stops=st.lists(st.integers(1, 10_000), max_size=6), threads=st.sampled_from((1, 2)))
    @example(stops=[1, 2, 3, 5, 8, 13], threads=1)
    def test_stopping_and_going_on_changes_nothing(self, stops: list[int], threads: int) -> None:
        """Windows may end anywhere."""
        at = sorted({stop % self.ticks for stop in stops} - {0})
        claim = f"stopping {threads} threads at ticks {at} should change nothing"
        self.check(self.activity(1, threads, at), claim)

    def test_what_is_recorded_changes_no_spike(self) -> None:
        """To look at a neuron or a synapse moves neither."""
        sink = MemorySink()
        self.simulation(sink=sink, recording=self.seldom()).run_to(self.ticks)
        spikes = taken(sink, 0).spikes
        assert_same(spikes, self.expected().spikes, "a recording should change no spike")


class SpikingResumeLaws(SpikingLaws):
    """run(0 -> T) equals run(0 -> t), snapshot, a new simulation, restore, run(t -> T)."""

    @settings(few_examples, max_examples=1)
    @given(share=st.integers(1, 99), threads=st.sampled_from((1, 2)))
    @example(share=50, threads=1)
    def test_a_restored_run_equals_an_uninterrupted_one(self, share: int, threads: int) -> None:
        """The new simulation goes on from any tick, with spikes on their way."""
        tick = max(1, self.ticks * share // 100)
        sink = MemorySink()
        first = self.simulation(threads=threads, sink=sink)
        first.run_to(tick)
        snapshot = first.snapshot()
        second = self.simulation(threads=threads, sink=sink)
        second.restore(snapshot)
        second.run_to(self.ticks)
        assert first.machine is not None
        assert second.machine is not None
        events = first.machine.synaptic_events + second.machine.synaptic_events
        claim = f"a run that was restored at tick {tick} should give the same"
        self.check(taken(sink, events), claim)

    @settings(few_examples, max_examples=1)
    @given(
        share=st.integers(0, 99),
        ranks=st.sampled_from(((1, 2), (2, 3), (4, 1))),
        threads=st.sampled_from(((1, 1), (2, 1), (1, 3))),
    )
    @example(share=50, ranks=(1, 2), threads=(1, 1))
    @example(share=71, ranks=(2, 3), threads=(1, 1))
    @example(share=29, ranks=(4, 1), threads=(1, 1))
    def test_a_checkpoint_goes_on_on_other_ranks(
        self, share: int, ranks: tuple[int, int], threads: tuple[int, int]
    ) -> None:
        """A run is stored at any tick, with spikes on their way, and restored on other ranks."""
        tick = self.ticks * share // 100
        before, after = MemorySink(), MemorySink()

        def first_half(rank: Ranks) -> None:
            simulation = self.simulation(rank, threads[0], before)
            simulation.run_to(tick)
            store(simulation, Path(folder), {})

        def second_half(rank: Ranks) -> int:
            simulation = self.simulation(rank, threads[1], after)
            restore(simulation, Checkpoint(path or Path(folder)))
            simulation.run_to(self.ticks)
            assert simulation.machine is not None
            return simulation.machine.synaptic_events

        with tempfile.TemporaryDirectory() as folder:
            PretendRanks(ranks[0], LIMIT_S).run(first_half)
            path = newest(Path(folder))
            events = sum(PretendRanks(ranks[1], LIMIT_S).run(second_half))
        claim = f"a run that was stored at tick {tick} should give the same"
        self.check(after_each_other(taken(before, 0), taken(after, events)), claim)

    @pytest.mark.slow
    @pytest.mark.parametrize("overlap", [True, False])
    def test_restored_ranks_may_exchange_otherwise(self, overlap: bool) -> None:
        """Whether ranks overlap is no part of a snapshot, and spikes on their way are."""
        tick, sink = self.ticks // 2 + 3, MemorySink()

        def program(ranks: Ranks) -> int:
            first = self.simulation(ranks, sink=sink, overlap=overlap)
            first.run_to(tick)
            second = self.simulation(ranks, sink=sink, overlap=not overlap)
            second.restore(first.snapshot())
            second.run_to(self.ticks)
            assert first.machine is not None
            assert second.machine is not None
            return first.machine.synaptic_events + second.machine.synaptic_events

        events = sum(PretendRanks(2, LIMIT_S).run(program))
        self.check(taken(sink, events), f"ranks that were restored at tick {tick} should")

    def test_a_snapshot_is_a_copy(self) -> None:
        """The simulation that goes on does not change what was taken of it."""
        tick, sink = self.ticks // 2, MemorySink()
        first = self.simulation()
        first.run_to(tick)
        snapshot = first.snapshot()
        first.run_to(self.ticks)
        second = self.simulation(sink=sink)
        second.restore(snapshot)
        second.run_to(self.ticks)
        for name, (ticks, neurons) in self.expected().spikes.items():
            later = ticks >= tick
            rest = sink.spikes[name].ticks, sink.spikes[name].neurons
            assert_same(rest, (ticks[later], neurons[later]), f"the spikes of {name!r} after it")


class SpikingMemoryLaws(SpikingLaws):
    """What a run holds does not grow with how long it runs."""

    def test_what_is_held_does_not_grow(self) -> None:
        """The bytes of all arrays are the same after a run that is ten times as long."""
        simulation = self.simulation(recording=self.seldom())
        ticks = self.ticks // LONGER
        simulation.run_to(1)  # only the first tick is sampled
        simulation.run_to(ticks)
        before = held(simulation.machine)
        for longer in range(2, LONGER + 1):
            simulation.run_to(longer * ticks)
        after = held(simulation.machine)
        assert after == before, (
            f"a simulation should hold what it held before, but: {before} bytes became {after}"
        )


def held(thing: object) -> int:
    """Return the bytes of everything that something refers to, code and numbers left out."""
    seen: set[int] = set()
    todo, size = [thing], 0
    while todo:
        found = todo.pop()
        skipped = isinstance(found, type | ModuleType | int | float) or callable(found)
        if id(found) in seen or skipped:
            continue
        seen.add(id(found))
        size += sys.getsizeof(found)
        todo += gc.get_referents(found)
    return size
