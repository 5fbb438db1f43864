"""What a network needs is estimated before it is built, and held against what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from biosim.errors import ScenarioError
from biosim.simulation import Simulation
from biosim.spiking.building import Wires
from biosim.spiking.layout import Layout
from scenarios.reading import read_tree, resolve_any
from scenarios.spiking import SpikingScenario, memory
from scenarios.spiking.memory import Estimate, available_bytes, check_memory, estimate
from scenarios.spiking.network import Described


def needs(name: str, *overrides: str, shards: int = 1, precision: str = "float32") -> Estimate:
    scenario = resolve_any(read_tree(name), overrides)
    assert isinstance(scenario, SpikingScenario)
    layout = Layout(Described(scenario).network)
    return estimate(layout, Wires(layout, 0), shards, precision)


def test_the_synapses_of_a_network_are_as_many_as_estimated() -> None:
    scenario = resolve_any(read_tree("cuba"))
    assert isinstance(scenario, SpikingScenario)
    simulation = Simulation(Described(scenario).network)
    assert simulation.machine is not None
    assert simulation.machine.synapses == pytest.approx(needs("cuba").synapses, rel=0.01)


def test_shared_weights_cost_two_bytes_a_synapse_and_own_ones_four_more() -> None:
    shared = needs("brunel")
    assert shared.synapses == 15_625_000
    assert shared.synapse_bytes / shared.synapses == pytest.approx(2.0, rel=0.05)
    own = needs("brunel", "projections.excitatory.weight={uniform=['0 mV', '1 mV']}")
    assert own.synapse_bytes - shared.synapse_bytes == pytest.approx(4.0 * 12_500_000, rel=0.02)


def test_the_whole_microcircuit_takes_eight_bytes_a_synapse_and_six_on_two_threads() -> None:
    one, two = needs("microcircuit"), needs("microcircuit", shards=2)
    assert one.synapses == pytest.approx(298.9e6, rel=1e-3)
    assert 8.0 < one.synapse_bytes / one.synapses < 10.0
    assert 6.0 < two.synapse_bytes / two.synapses < 8.0


def test_double_precision_costs_four_bytes_more_a_plastic_synapse() -> None:
    single, double = needs("brunel_stdp"), needs("brunel_stdp", precision="float64")
    assert double.synapse_bytes - single.synapse_bytes > 4.0 * 10_000_000


def test_what_does_not_fit_is_refused_with_both_figures() -> None:
    needed = Estimate(5, 1e9, 8 * 2**30, 9 * 2**30)
    message = "needs about 9.0 GiB, 8.0 GiB of it for 1,000,000,000 synapses, and 2.0 GiB are free"
    with pytest.raises(ScenarioError, match=re.escape(message)):
        check_memory(needed, 2 * 2**30)
    check_memory(needed, 10 * 2**30)


def test_free_memory_is_known_here() -> None:
    free = available_bytes()
    assert free is not None
    assert 2**24 < free < 2**50


def test_where_nothing_tells_how_much_is_free_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "_of_system", lambda: None)
    monkeypatch.setattr(memory, "_of_group", lambda: None)
    assert available_bytes() is None
    check_memory(Estimate(5, 1e9, 2.0**60, 2.0**60))


def test_the_limit_of_a_container_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in {
        "memory.max": "1000000\n",
        "memory.current": "400000\n",
        "memory.stat": "anon 100\ninactive_file 50000\n",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "CONTAINER", tmp_path)
    assert available_bytes() == 650_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes() != 650_000
