"""Law 2, ranks: the result does not depend on how many ranks share the work."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from biosim.testing.networks import NetworkLaws, Plan, few_examples, on_ranks, plans
from biosim.testing.same import assert_same


class RankLaws(NetworkLaws):
    """Parameters, memory, answers, activity and ledger are the same bits on any ranks.

    The ranks are threads of this process with a real exchange (`biosim.ranks.PretendRanks`):
    what one sends, the others get as copies.
    """

    @few_examples
    @given(plan=plans())
    def test_a_run_repeats_its_bits(self, plan: Plan) -> None:
        """A second run gives the same bits: nothing is drawn from a generator with a state."""
        self._equals_one_rank(plan, 1)

    @few_examples
    @given(plan=plans(threads=(1, 2)))
    @example(plan=Plan(threads=2))
    def test_two_ranks_give_the_same_bits(self, plan: Plan) -> None:
        """Two ranks, whose threads advance different layers, give what one gives."""
        self._equals_one_rank(plan, 2)

    @few_examples
    @given(plan=plans())
    def test_four_ranks_give_the_same_bits(self, plan: Plan) -> None:
        """Four ranks give what one gives."""
        self._equals_one_rank(plan, 4)

    @few_examples
    @given(plan=plans())
    def test_more_ranks_than_populations_give_the_same_bits(self, plan: Plan) -> None:
        """Ranks that own nothing take part without a trace."""
        self._equals_one_rank(plan, len(self.network().populations) + 1)

    def test_replicas_give_the_same_bits(self) -> None:
        """Two and four replicas that share the parts of a minibatch give what one rank gives.

        Skipped where the network needs whole minibatches.
        """
        self._skip_if_uncut()
        self._compare_replicas()

    def test_replicas_of_pipelines_give_the_same_bits(self) -> None:
        """Two replicas, the layers of each on two or three ranks, give what one rank gives.

        Skipped where the network needs whole minibatches.
        """
        self._skip_if_uncut()
        self._compare_pipelines()

    def _skip_if_uncut(self) -> None:
        reason = self.uncut()
        if reason is not None:
            pytest.skip(f"it needs whole minibatches: {reason}")

    @few_examples
    @given(plan=plans(batch_sizes=(8, 12, 24), parts=(4,), replicas=(2, 4)))
    def _compare_replicas(self, plan: Plan) -> None:
        self._equals_one_rank(plan, plan.replicas)

    @few_examples
    @given(
        plan=plans(batch_sizes=(8, 12, 24), parts=(2, 4), replicas=(2,)),
        layers=st.integers(2, 3),
    )
    def _compare_pipelines(self, plan: Plan, layers: int) -> None:
        self._equals_one_rank(plan, plan.replicas * layers)

    def _equals_one_rank(self, plan: Plan, size: int) -> None:
        alone = replace(plan, threads=1)
        assert_same(
            on_ranks(size, lambda ranks: self.learnt(plan, ranks)),
            on_ranks(1, lambda ranks: self.learnt(alone, ranks)),
            f"{size} ranks should give the bits of one" if size > 1 else "a run should repeat",
        )
