"""Law 3, time: integer ticks, delays of at least one, half-open windows, an order by content."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from biosim.contracts import Ranks
from biosim.events import Event, Tick, Window
from biosim.network import Network, NetworkError
from biosim.populations.site import Site
from biosim.simulation import Simulation
from biosim.testing.networks import (
    Advance,
    Interposed,
    NetworkLaws,
    Outcome,
    Plan,
    few_examples,
    interposed,
    on_ranks,
    plans,
    with_delays,
)
from biosim.testing.same import assert_same

MOST_TICKS = 100_000
"""A run of a few minibatches that takes longer than this will never end."""


class TimeLaws(NetworkLaws):
    """When something happens is part of the description; who came first is not."""

    @few_examples
    @given(plan=plans())
    def test_an_event_takes_the_delay_of_its_projection(self, plan: Plan) -> None:
        """Every event arrives at an integer tick, its projection's delay after it was sent."""
        network = self.planned(plan)
        sent: list[tuple[int, Window, Event]] = []

        def watched(site: Site, advance: Advance, at: Window, inbox: list[Event]) -> list[Event]:
            out = advance(at, inbox)
            sent.extend((site.index, at, event) for event in out)
            return out

        simulation = self.simulation(plan, network=interposed(network, watched))
        self._learn_with_stops(simulation, plan, range(MOST_TICKS))
        assert sent, "nothing was sent"
        for source, window, event in sent:
            _check_sent(network, source, window, event)

    @few_examples
    @given(plan=plans(), size=st.integers(1, 2), seed=st.integers(0, 99))
    @example(plan=Plan(), size=1, seed=0)
    def test_who_came_first_does_not_matter(self, plan: Plan, size: int, seed: int) -> None:
        """Events may be handed over in any order.

        What the exchange between ranks brings is shuffled. So are, in the inbox of an actor,
        events of the same tick, kind and presentation: they come from neurons that act at the
        same time.
        """
        network = interposed(self.planned(plan), _inbox_shuffled(seed))
        assert_same(
            on_ranks(size, lambda ranks: self.learnt(plan, _Shuffled(ranks, seed), network)),
            on_ranks(1, lambda ranks: self.learnt(plan, ranks)),
            "the order in which events are handed over should not matter",
        )

    def test_longer_delays_only_shift(self) -> None:
        """With exact timing, other delays give the same bits, later.

        Skipped where the delay is part of what is computed, so that the network refuses others.
        """
        try:
            with_delays(self.network(), lambda projection: 2)
        except NetworkError as refused:
            pytest.skip(f"its delays are part of what is computed: {refused}")
        self._compare_delays()

    @few_examples
    @given(plan=plans(pauses=(None,)), seed=st.integers(0, 99))
    @example(plan=Plan(), seed=0)
    def _compare_delays(self, plan: Plan, seed: int) -> None:
        numbers = random.Random(seed)
        # Now and then, what is sent later arrives first.
        delays = {p.name: numbers.choice((1, 2, 20)) for p in self.network().projections}
        later = with_delays(self.network(), lambda p: delays[p.name])
        got = on_ranks(1, lambda ranks: self.learnt(plan, ranks, later))
        expected = on_ranks(1, lambda ranks: self.learnt(plan, ranks, self.network()))
        claim = f"with exact timing, delays of {delays} should give the same"
        for part in ("parameters", "answers", "activity"):
            assert_same(getattr(got, part), getattr(expected, part), f"{claim} {part}")
        for part in ("sent_bytes", "sent_events"):
            assert_same(
                getattr(got.totals, part), getattr(expected.totals, part), f"{claim} {part}"
            )

    @few_examples
    @given(
        plan=plans(),
        first=st.integers(0, 9),
        every=st.sampled_from((1, 2, 5, 20)),
    )
    @example(plan=Plan(pause=2, delays=5, seed=3), first=3, every=2)
    def test_stopping_and_going_on_changes_nothing(
        self, plan: Plan, first: Tick, every: Tick
    ) -> None:
        """A run that stops every few ticks, windows cut short, has the same bits and ticks."""

        def ended(ticks: Sequence[Tick]) -> tuple[Outcome, Tick]:
            simulation = self.simulation(plan)
            self._learn_with_stops(simulation, plan, ticks)
            now = simulation.engine.now
            return self.outcome(simulation), now

        claim = f"stopping at tick {first} and every {every} ticks should change nothing"
        assert_same(ended(range(first, MOST_TICKS, every)), ended(()), claim)

    def _learn_with_stops(self, simulation: Simulation, plan: Plan, stops: Sequence[Tick]) -> None:
        x, y = self.data()
        left = list(reversed(stops))
        for epoch in range(plan.epochs):
            simulation.begin_epoch(x, y, epoch, plan.batch_size)
            while left and not simulation.finish(left[-1]):
                left.pop()
            simulation.finish()


def _check_sent(network: Network, source: int, window: Window, event: Event) -> None:
    projection = network.projections[event.projection]
    ends = network.population_at[projection.source], network.population_at[projection.target]
    assert (source, event.target) == ends, (
        f"population {network.populations[source].name!r} sent {event} on {projection.name!r}, "
        f"which goes from {projection.source!r} to {projection.target!r}"
    )
    assert event.source == source, f"{event} says it comes from {event.source}, not {source}"
    assert event.kind == projection.kind, f"{event} on {projection.name!r}: {projection.kind!r}"
    assert type(event.tick) is int, f"{event} has a tick of {type(event.tick).__name__}"
    assert window.start + projection.delay <= event.tick < window.end + projection.delay, (
        f"{event} was sent in {window} and should take {projection.delay} ticks"
    )


class _Shuffled:
    """Ranks whose exchange brings events in any order."""

    def __init__(self, ranks: Ranks, seed: int) -> None:
        self._ranks = ranks
        self._numbers = random.Random(seed)
        self.rank = ranks.rank
        self.size = ranks.size

    def connect(self, to: Collection[int]) -> None:
        self._ranks.connect(to)

    def post(self, outgoing: Sequence[list[Event]], wake: Tick) -> None:
        self._ranks.post(outgoing, wake)

    def collect(self) -> tuple[list[Event], Tick]:
        arrived, earliest = self._ranks.collect()
        return self._numbers.sample(arrived, len(arrived)), earliest

    def exchange(self, outgoing: Sequence[list[Event]], wake: Tick) -> tuple[list[Event], Tick]:
        self.post(outgoing, wake)
        return self.collect()

    def trade(
        self, given: Mapping[int, Sequence[Tensor]], taken: Mapping[int, Sequence[Tensor]]
    ) -> None:
        self._ranks.trade(given, taken)

    def agree(self, flag: bool) -> bool:
        return self._ranks.agree(flag)

    def sum(self, counts: Tensor) -> Tensor:
        return self._ranks.sum(counts)


def _inbox_shuffled(seed: int) -> Interposed:
    def shuffled(site: Site, advance: Advance, at: Window, inbox: list[Event]) -> list[Event]:
        # Of its own for every window, so that ranks and stops draw the same.
        numbers = random.Random(f"{seed}/{site.index}/{at.start}")
        alike: dict[tuple[object, ...], list[int]] = {}
        for place, event in enumerate(inbox):
            alike.setdefault((event.tick, event.kind, event.presentation), []).append(place)
        mixed = list(inbox)
        for places in alike.values():
            for place, other in zip(places, numbers.sample(places, len(places)), strict=True):
                mixed[place] = inbox[other]
        return advance(at, mixed)

    return shuffled
