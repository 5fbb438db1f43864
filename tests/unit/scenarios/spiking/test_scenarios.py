"""The built-in spiking scenarios describe what their sources do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from biosim.spiking.description import PoissonInput, Sparse, Spiking
from biosim.wiring import FixedTotal
from scenarios.reading import built_in, read_tree, resolve_any, spikes
from scenarios.spiking import SpikingScenario
from scenarios.spiking.checking import check
from scenarios.spiking.network import Described

NAMES = [name for name in built_in() if spikes(read_tree(name))]

MICROCIRCUIT = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")


def scenario(name: str, *overrides: str) -> SpikingScenario:
    found = resolve_any(read_tree(name), overrides)
    assert isinstance(found, SpikingScenario)
    return found


def test_the_networks_of_the_field_are_built_in() -> None:
    wanted = {"cuba", "cobahh", "brunel", "brunel_stdp", "spike_pair", "microcircuit"}
    assert wanted <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_built_in_scenario_is_valid_and_says_where_it_comes_from(name: str) -> None:
    check(scenario(name))
    first = built_in()[name].read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert any(word.strip("().,;").isdigit() for word in first.split())  # a year


@pytest.mark.parametrize("name", ["cuba", "cobahh"])
def test_the_benchmarks_of_brette_have_4000_neurons_and_2_percent_of_pairs(name: str) -> None:
    found = Described(scenario(name)).network
    assert [(p.name, p.size) for p in found.populations] == [("E", 3200), ("I", 800)]
    for projection in found.projections:
        assert isinstance(projection.weights, Sparse)
        assert projection.weights.wiring.p == 0.02
        assert projection.delay == 1


def test_brunel_is_driven_twice_as_hard_as_reaches_the_threshold() -> None:
    found = Described(scenario("brunel"))
    assert [p.size for p in found.network.populations] == [10_000, 2_500]
    assert {p.delay for p in found.network.projections} == {15}
    for drive in found.network.stimuli:
        assert isinstance(drive, PoissonInput)
        # 20 mV = J * CE * rate * tau, of which eta = 2 times as much: 20 Hz.
        assert drive.n == 1000
        assert "2.0" in str(drive.rate)
    needs = check(scenario("brunel")).needs
    assert needs.synapses == 12_500 * 1250


def microcircuit(*overrides: str) -> tuple[Described, dict[str, Any]]:
    given = scenario("microcircuit", *overrides)
    return Described(given), given.model_dump()


def test_the_microcircuit_has_the_published_size() -> None:
    found, _ = microcircuit()
    sizes = [population.size for population in found.network.populations]
    assert sizes == [20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948]
    assert sum(sizes) == 77_169
    assert check(scenario("microcircuit")).needs.synapses == pytest.approx(298.88e6, rel=1e-4)


def test_the_microcircuit_scales_neurons_and_synapses_of_a_neuron() -> None:
    whole, _ = microcircuit()
    tenth, _ = microcircuit("scale=0.1")
    for before, after in zip(whole.network.populations, tenth.network.populations, strict=True):
        assert after.size == pytest.approx(before.size / 10, abs=0.5)
    for old, new in zip(whole.network.projections, tenth.network.projections, strict=True):
        assert isinstance(old.weights, Sparse)
        assert isinstance(new.weights, Sparse)
        assert isinstance(new.weights.wiring, FixedTotal)
        a_neuron = [
            p.weights.wiring.n / each.network.size(p.target)  # type: ignore[union-attr]
            for each, p in ((whole, old), (tenth, new))
        ]
        assert a_neuron[1] == pytest.approx(a_neuron[0] / 10, rel=0.02)
    (drive, *_) = tenth.network.stimuli
    assert isinstance(drive, PoissonInput)
    assert drive.n == pytest.approx(160.0)


def test_a_smaller_microcircuit_gets_the_mean_input_that_it_lost_as_a_current() -> None:
    rates = dict(
        zip(MICROCIRCUIT, (0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829), strict=True)
    )
    found, given = microcircuit()
    current = dict.fromkeys(MICROCIRCUIT, 0.0)
    for projection in found.network.projections:
        assert isinstance(projection.weights, Sparse)
        in_degree = projection.weights.wiring.n / found.network.size(projection.target)
        weight = 87.8 * (-4 if projection.source.endswith("I") else 1)
        if (projection.source, projection.target) == ("L4E", "L23E"):
            weight *= 2
        current[projection.target] += 0.5e-3 * weight * in_degree * rates[projection.source]
    for drive in found.network.stimuli:
        assert isinstance(drive, PoissonInput)
        current[drive.target] += 0.5e-3 * 87.8 * drive.n * 8.0
    for name in MICROCIRCUIT:
        text = given["populations"][name]["constants"]["dc"]
        assert text.startswith("(1 - sqrt(scale)) * ")
        written = float(text.rpartition("* ")[2].removesuffix("*pA"))
        assert written == pytest.approx(current[name], abs=0.01)


def test_at_full_scale_all_populations_of_the_microcircuit_run_the_same_code() -> None:
    from biosim.spiking.layout import Layout

    found, _ = microcircuit()
    assert len(Layout(found.network).sheets) == 1


def test_the_inhibitory_weights_of_the_microcircuit_are_four_times_the_excitatory() -> None:
    from biosim.spiking.building import Wires
    from biosim.spiking.layout import Layout

    for scale in (1.0, 0.25):
        found, _ = microcircuit(f"scale={scale}")
        layout = Layout(found.network)
        wires = Wires(layout, 0)
        means = {
            p.name: wires.weight[i].mean  # type: ignore[attr-defined]
            for i, p in enumerate(found.network.projections)
        }
        j = 87.8e-12 / math.sqrt(scale)
        assert means["excitatory L4E->L4I"] == pytest.approx(j)
        assert means["inhibitory L4I->L4E"] == pytest.approx(-4 * j)
        assert means["L4E-L23E"] == pytest.approx(2 * j)
        ends = [wires.weight[i].ends for i, _ in enumerate(found.network.projections)]
        assert all(end is not None and end[0] * end[1] >= 0.0 for end in ends)  # no sign changes


def test_spike_pair_has_one_pair_at_every_distance() -> None:
    found = Described(scenario("spike_pair"))
    pre, teacher, post = (population.model for population in found.network.populations)
    assert isinstance(post, Spiking)
    distances = np.asarray(teacher.ticks) + 1 - np.asarray(pre.ticks)  # type: ignore[attr-defined]
    assert sorted(distances) == sorted(-distances)
    assert len(np.unique(distances)) == len(distances) == 17
