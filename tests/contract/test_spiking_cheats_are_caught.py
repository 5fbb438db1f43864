"""Negative controls: a machine that breaks a law of spiking networks fails the suite."""

import functools
from typing import Any

import numpy as np
import pytest
import torch

from biosim.events import Window
from biosim.network import Network, Population
from biosim.spiking import machine
from biosim.spiking.binding import Binding
from biosim.spiking.description import Spiking
from biosim.spiking.initial import set_initial
from biosim.spiking.layout import Layout
from biosim.spiking.machine import Machine
from biosim.spiking.shard import Shard
from biosim.spiking.snapshots import Snapshots
from biosim.spiking.synapses import PlasticSynapses
from biosim.testing import (
    SpikingMemoryLaws,
    SpikingRankLaws,
    SpikingResumeLaws,
    SpikingTimeLaws,
)
from biosim.testing.spiking import SpikingLaws
from biosim.wiring import FixedInDegree
from tests.contract.spiking_cases import CASES, CURRENT, DT, LIF, listed, spikes


class OfCase(SpikingRankLaws, SpikingTimeLaws, SpikingResumeLaws, SpikingMemoryLaws):
    """All laws of one network."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def network(self) -> Network:
        return self._network


@functools.cache
def laws(case: str) -> OfCase:
    return OfCase(CASES[case]())


def crowded() -> Network:
    """Many weights, all different, arrive at a neuron in one tick, from anywhere."""
    neuron = Spiking(CURRENT, integration="clock", **LIF)
    wired = spikes("in>e", "g", FixedInDegree(60), "2*mV*rand()", delays="0.1*ms + 4*ms*rand()")
    return Network(
        (Population("in", 600, listed(600, 400, 0.05)), Population("e", 600, neuron)),
        (wired,),
        dt=DT,
    )


def sum_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Shard.__init__

    def summing(self: Shard, layout: Layout, *rest: Any) -> None:
        made(self, layout, *rest)
        self.sums = self.float
        self.acc = self.acc.astype(self.sums)
        self.state = [self._made(s) for s in range(len(layout.sheets))]

    def unscaled(layout: Layout, *_: Any) -> dict[tuple[int, str], float]:
        sheets = enumerate(layout.sheets)
        return {(s, r): 1.0 for s, sheet in sheets for r in sheet.code.receptors}

    monkeypatch.setattr(Shard, "__init__", summing)
    monkeypatch.setattr(machine, "agreed_scales", unscaled)


def test_integers_may_come_in_any_order() -> None:
    suite = OfCase(crowded())
    suite.test_threads_give_the_same_bits(2)
    suite.test_ranks_give_the_same_bits(2, 1)


def test_sums_of_floats_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    sum_floats(monkeypatch)
    suite = OfCase(crowded())
    suite.test_a_run_repeats_its_bits()
    with pytest.raises(AssertionError, match=r"2 threads should give .*, but: .*'g'"):
        suite.test_threads_give_the_same_bits(2)
    with pytest.raises(AssertionError, match=r"2 ranks of 1 threads should .*, but: .*'g'"):
        suite.test_ranks_give_the_same_bits(2, 1)


def test_a_draw_that_depends_on_the_shard_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def own(layout: Layout, shard: Shard, seed: int) -> None:
        set_initial(layout, shard, seed + shard.number)

    suite = OfCase(CASES["delta"]())
    monkeypatch.setattr(machine, "set_initial", own)
    with pytest.raises(AssertionError, match="3 threads should give the bits of one, but"):
        suite.test_threads_give_the_same_bits(3)
    with pytest.raises(AssertionError, match="3 ranks of 1 threads should give the bits of one"):
        suite.test_ranks_give_the_same_bits(3, 1)


def test_a_draw_from_the_generator_of_the_process_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def any_time(layout: Layout, shard: Shard, seed: int) -> None:
        set_initial(layout, shard, int(torch.randint(1 << 30, ())))

    monkeypatch.setattr(machine, "set_initial", any_time)
    with pytest.raises(AssertionError, match="a run should repeat, but"):
        laws("delta").test_a_run_repeats_its_bits()


@pytest.mark.parametrize(
    ("case", "name"),
    [
        ("delta", "v"),
        ("delta", "left"),
        ("exponential", "spiked"),
        ("conductance", "ready"),
        ("asleep", "moved"),
        ("sparse_stdp", "a_w"),
        ("sparse_stdp", "pre"),
        ("sparse_stdp", "post"),
        ("sparse_stdp", "history"),
        ("sparse_stdp", "seen"),
        ("reward", "s_dopamine"),
        ("depressing", "own_last"),
    ],
)
def test_state_that_is_missing_from_the_snapshot_is_caught(
    case: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changing = Binding._changing

    def some(self: Binding) -> list[str]:
        return [found for found in changing(self) if not found.endswith(f"_{name}")]

    suite = laws(case)
    monkeypatch.setattr(Binding, "_changing", some)
    with pytest.raises(AssertionError, match=r"restored at tick \d+ should give the same, but"):
        suite.test_a_restored_run_equals_an_uninterrupted_one()


def test_spikes_that_forget_how_far_they_got_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    state = Binding.state

    def from_the_start(self: Binding) -> dict[str, Any]:
        found = state(self)
        return found | {"store0_cursor": np.zeros_like(found["store0_cursor"])}

    suite = laws("far")
    monkeypatch.setattr(Binding, "state", from_the_start)
    with pytest.raises(AssertionError, match=r"restored at tick \d+ should give the same, but"):
        suite.test_a_restored_run_equals_an_uninterrupted_one()


def test_synapses_whose_state_is_not_in_the_checkpoint_are_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    suite = laws("depressing")
    monkeypatch.setattr(PlasticSynapses, "stored", lambda self: ["a_w"])
    with pytest.raises(AssertionError, match=r"stored at tick \d+ should give the same, but"):
        suite.test_a_checkpoint_goes_on_on_other_ranks()


def test_a_checkpoint_of_spikes_that_forget_how_far_they_got_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    suite = laws("far")
    monkeypatch.setattr("biosim.spiking.by_neuron._place_cursors", lambda *given: None)
    with pytest.raises(AssertionError, match=r"stored at tick \d+ should give the same, but"):
        suite.test_a_checkpoint_goes_on_on_other_ranks()


def test_a_snapshot_that_is_no_copy_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = laws("delta")
    monkeypatch.setattr("biosim.engine.copy.deepcopy", lambda thing: thing)
    with pytest.raises(AssertionError, match="after it"):
        suite.test_a_snapshot_is_a_copy()


def test_a_machine_that_depends_on_where_windows_end_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Machine._run

    def restless(self: Machine, window: Window) -> None:
        self.shards[0].variable(0, "v")[...] *= np.float32(1.0 - 1e-4)
        run(self, window)

    suite = laws("exponential")
    monkeypatch.setattr(Machine, "_run", restless)
    with pytest.raises(AssertionError, match="should change nothing, but"):
        suite.test_stopping_and_going_on_changes_nothing()


def test_a_recording_that_moves_what_it_looks_at_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of = Snapshots.of

    def heavy(self: Snapshots, synapses: Any, tick: int) -> Any:
        synapses.variable("w")[...] *= np.float32(0.5)
        return of(self, synapses, tick)

    monkeypatch.setattr(Snapshots, "of", heavy)
    with pytest.raises(AssertionError, match="a recording should change no spike, but"):
        laws("sparse_stdp").test_what_is_recorded_changes_no_spike()


@pytest.mark.parametrize("thing", [np.zeros(3), "a word"])
def test_a_machine_that_remembers_is_caught(thing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run, kept = Machine._run, []

    def hoarding(self: Machine, window: Window) -> None:
        kept.append(thing + thing)
        self.kept = kept  # type: ignore[attr-defined]
        run(self, window)

    monkeypatch.setattr(Machine, "_run", hoarding)
    with pytest.raises(AssertionError, match="should hold what it held before"):
        laws("delta").test_what_is_held_does_not_grow()


def test_a_silent_network_says_nothing() -> None:
    neuron = Spiking("v : 1", "v > 0.5", "v = 0")
    with pytest.raises(AssertionError, match="nothing spiked"):
        OfCase(Network((Population("e", 300, neuron),), (), dt=DT)).test_a_run_repeats_its_bits()


def test_a_suite_that_says_nothing_is_told_what_to_define() -> None:
    with pytest.raises(NotImplementedError, match=r"define network\(self\)"):
        SpikingLaws().recording()
