"""Law 4, resume: a run that stops anywhere, is stored and restored, equals one that does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from biosim.contracts import Ranks
from biosim.ledger import LayerCount, LedgerTotals
from biosim.ranks import OneRank, PretendRanks
from biosim.simulation import Simulation
from biosim.testing.networks import (
    LIMIT_S,
    NetworkLaws,
    Plan,
    few_examples,
    on_ranks,
    plans,
    together,
)
from biosim.testing.same import assert_same


class ResumeLaws(NetworkLaws):
    """run(0 -> T) equals run(0 -> t), snapshot, a new simulation, restore, run(t -> T).

    t is any tick: in the midst of an epoch, with events in flight. Parameters, memory, answers,
    activity and the ledger of both halves together are compared.
    """

    @few_examples
    @given(plan=plans(), share=st.integers(0, 99))
    @example(plan=Plan(), share=33)
    @example(plan=Plan(pause=0), share=70)
    def test_a_restored_run_equals_an_uninterrupted_one(self, plan: Plan, share: int) -> None:
        """One rank stops after `share` percent of the ticks and goes on in a new simulation."""
        self._stopped_and_restored(plan, share, 1, 1)

    @few_examples
    @given(plan=plans(), share=st.integers(0, 99))
    def test_a_run_is_restored_on_other_ranks(self, plan: Plan, share: int) -> None:
        """A run of two ranks goes on on three."""
        self._stopped_and_restored(plan, share, 2, 3)

    def _stopped_and_restored(self, plan: Plan, share: int, before: int, after: int) -> None:
        expected = on_ranks(1, lambda ranks: self.learnt(plan, ranks))
        ticks = self._ticks(plan)
        until = ticks * share // 100

        def first_half(ranks: Ranks) -> tuple[int, dict[str, Any], LedgerTotals]:
            x, y = self.data()
            simulation = self.simulation(plan, ranks)
            epoch = 0
            simulation.begin_epoch(x, y, epoch, plan.batch_size)
            while simulation.finish(until) and epoch + 1 < plan.epochs:
                epoch += 1
                simulation.begin_epoch(x, y, epoch, plan.batch_size)
            return epoch, simulation.snapshot(), simulation.ledger_totals()

        halves = _each(before, first_half)
        epoch, _, counted = halves[0]

        def second_half(ranks: Ranks) -> Any:
            x, y = self.data()
            simulation = self.simulation(plan, ranks)
            simulation.restore(_shared_out([part for _, part, _ in halves], simulation))
            simulation.finish()
            for later in range(epoch + 1, plan.epochs):
                simulation.learn(x, y, later, plan.batch_size)
            return self.outcome(simulation)

        got = on_ranks(after, second_half)
        claim = f"a run that was restored at tick {until} of {ticks} should give the same"
        for part in ("parameters", "state", "answers", "activity"):
            assert_same(getattr(got, part), getattr(expected, part), f"{claim} {part}")
        assert_same(_added(counted, got.totals), expected.totals, f"{claim} ledger")

    def _ticks(self, plan: Plan) -> int:
        x, y = self.data()
        simulation = self.simulation(plan)
        for epoch in range(plan.epochs):
            simulation.learn(x, y, epoch, plan.batch_size)
        return simulation.engine.now


def _each(size: int, program: Any) -> list[Any]:
    return [program(OneRank())] if size == 1 else PretendRanks(size, LIMIT_S).run(program)


def _shared_out(parts: Sequence[dict[str, Any]], simulation: Simulation) -> dict[str, Any]:
    """Return what this rank owns of the snapshots of any number of ranks."""
    rank, owner = simulation.ranks.rank, simulation.owner

    def mine(by_population: dict[int, Any]) -> dict[int, Any]:
        return {i: thing for i, thing in by_population.items() if owner[i] == rank}

    actors = mine(together([part["actors"] for part in parts]))
    ticks = {tick for part in parts for tick in part["pending"]}
    pending = {
        tick: events
        for tick in ticks
        if (events := mine(together([part["pending"].get(tick, {}) for part in parts])))
    }
    return {**parts[0], "actors": actors, "pending": pending}


def _added(one: LedgerTotals, other: LedgerTotals) -> LedgerTotals:
    """Return the ledger of two halves of a run: counts add up, maxima do not."""
    names = LayerCount.__dataclass_fields__

    def layer(first: LayerCount, second: LayerCount) -> LayerCount:
        pairs = zip(names, astuple(first), astuple(second), strict=True)
        return LayerCount(*(max(a, b) if name.endswith("_max") else a + b for name, a, b in pairs))

    return LedgerTotals(
        sent_bytes=[a + b for a, b in zip(one.sent_bytes, other.sent_bytes, strict=True)],
        sent_events=[a + b for a, b in zip(one.sent_events, other.sent_events, strict=True)],
        layers=[layer(a, b) for a, b in zip(one.layers, other.layers, strict=True)],
    )
