"""Law 4, resume: a run that stops anywhere, is stored and restored, equals one that does not."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from biosim.checkpoints.directory import Checkpoint, newest
from biosim.checkpoints.simulation import restore, store
from biosim.contracts import Ranks
from biosim.events import NEVER
from biosim.ranks import OneRank, PretendRanks
from biosim.testing.networks import (
    LIMIT_S,
    NetworkLaws,
    Outcome,
    Plan,
    few_examples,
    on_ranks,
    plans,
)
from biosim.testing.same import assert_same

Result = TypeVar("Result")


class ResumeLaws(NetworkLaws):
    """run(0 -> T) equals run(0 -> t), checkpoint, a new simulation on any ranks, run(t -> T).

    t is any tick: in the midst of an epoch, with events in flight. Parameters, memory, answers,
    activity and the ledger are compared.
    """

    @settings(few_examples, max_examples=1)
    @given(plan=plans(), share=st.integers(0, 99))
    @example(plan=Plan(), share=33)
    @example(plan=Plan(pause=0), share=70)
    def test_a_restored_run_equals_an_uninterrupted_one(self, plan: Plan, share: int) -> None:
        """One rank stops after `share` percent of the ticks and goes on in a new simulation."""
        self._stopped_and_restored(plan, share, 1, 1)

    @settings(few_examples, max_examples=1)
    @given(
        plan=plans(),
        share=st.integers(0, 99),
        ranks=st.sampled_from(((1, 2), (2, 3), (4, 1))),
    )
    @example(plan=Plan(), share=33, ranks=(1, 2))
    @example(plan=Plan(pause=0), share=70, ranks=(2, 3))
    @example(plan=Plan(parts=2), share=50, ranks=(4, 1))
    def test_a_checkpoint_goes_on_on_other_ranks(
        self, plan: Plan, share: int, ranks: tuple[int, int]
    ) -> None:
        """A run is stored after `share` percent of its ticks, and restored on other ranks."""
        self._stopped_and_restored(plan, share, *ranks)

    def test_a_checkpoint_goes_on_with_other_replicas(self) -> None:
        """Replicas are stored between two minibatches, when all are alike."""
        self._restored_by_replicas(2, 4)

    @pytest.mark.slow
    def test_a_checkpoint_goes_on_with_more_and_with_fewer_replicas(self) -> None:
        """So are they from one to two, and from four to one."""
        self._restored_by_replicas(1, 2)
        self._restored_by_replicas(4, 1)

    def _restored_by_replicas(self, before: int, after: int) -> None:
        if reason := self.uncut():
            pytest.skip(f"it needs whole minibatches: {reason}")
        self._stopped_and_restored(Plan(parts=4), 100, before, after, replicas=True)

    def _stopped_and_restored(
        self, plan: Plan, share: int, before: int, after: int, replicas: bool = False
    ) -> None:
        expected = on_ranks(1, lambda ranks: self.learnt(plan, ranks))
        ticks = self._ticks(plan)
        # With replicas: between the first epoch and the second.
        until = NEVER if replicas else ticks * share // 100
        first = replace(plan, replicas=before if replicas else 1)
        second = replace(plan, replicas=after if replicas else 1)

        def first_half(ranks: Ranks) -> int:
            x, y = self.data()
            simulation = self.simulation(first, ranks)
            epoch = 0
            simulation.begin_epoch(x, y, epoch, plan.batch_size)
            while simulation.finish(until) and epoch + 1 < plan.epochs and not replicas:
                epoch += 1
                simulation.begin_epoch(x, y, epoch, plan.batch_size)
            store(simulation, Path(folder), {})
            return epoch

        def second_half(ranks: Ranks) -> Outcome:
            x, y = self.data()
            simulation = self.simulation(second, ranks)
            simulation.begin_epoch(x, y, epoch, plan.batch_size)
            restore(simulation, Checkpoint(path or Path(folder)))
            simulation.finish()
            for later in range(epoch + 1, plan.epochs):
                simulation.learn(x, y, later, plan.batch_size)
            return self.outcome(simulation)

        with tempfile.TemporaryDirectory() as folder:
            epoch = _each(before, first_half)[0]
            path = newest(Path(folder))
            got = on_ranks(after, second_half)
        claim = f"a run that was stored at tick {until} of {ticks} should give the same"
        for part in ("parameters", "state", "answers", "activity", "totals"):
            assert_same(getattr(got, part), getattr(expected, part), f"{claim} {part}")

    def _ticks(self, plan: Plan) -> int:
        x, y = self.data()
        simulation = self.simulation(plan)
        for epoch in range(plan.epochs):
            simulation.learn(x, y, epoch, plan.batch_size)
        return simulation.engine.now


def _each(size: int, program: Callable[[Ranks], Result]) -> list[Result]:
    return [program(OneRank())] if size == 1 else PretendRanks(size, LIMIT_S).run(program)
