"""Tables become the description that a user would have written in Python."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from biosim.spiking.description import (
    Normal,
    PoissonInput,
    PoissonSource,
    Sparse,
    SpikeList,
    Spiking,
    StepCurrent,
    Uniform,
)
from biosim.wiring import (
    AllToAll,
    FixedInDegree,
    FixedProbability,
    FixedTotal,
    OneToOne,
    Pairs,
)
from scenarios.reading import resolve_any
from scenarios.spiking import SpikingScenario
from scenarios.spiking.network import Described
from scenarios.spiking.projections import total

MODEL = "dv/dt = (El - v + g) / tau : volt\ndg/dt = -g / taug : volt\nI : amp"

TREE: dict[str, Any] = {
    "name": "two",
    "constants": {"tau": "20 ms", "half": "tau / 2", "J": "0.5 mV", "unused": "3 nS"},
    "neurons": {
        "lif": {
            "model": MODEL,
            "threshold": "v > 10*mV",
            "reset": "v = 0*mV",
            "refractory": "2 ms",
            "constants": {"El": "0 mV", "taug": "half"},
            "initial": {"v": "rand() * 10*mV"},
        }
    },
    "populations": {
        "E": {"size": 20, "neuron": "lif"},
        "I": {"size": 10, "neuron": "lif", "reset": "v = 1*mV", "constants": {"El": "-1 mV"}},
    },
    "projections": {
        "out": {
            "source": "E",
            "target": ["E", "I"],
            "receptor": "g",
            "wiring": {"rule": "fixed_probability", "p": 0.1},
            "weight": "J",
        }
    },
    "run": {"duration": "10 ms"},
}


def described(*overrides: str, **tables: Any) -> Described:
    scenario = resolve_any(copy.deepcopy(TREE) | tables, overrides)
    assert isinstance(scenario, SpikingScenario)
    return Described(scenario)


def weights(found: Described, name: str) -> Sparse:
    made = found.network.projections[found.network.projection_at[name]].weights
    assert isinstance(made, Sparse)
    return made


def neuron(found: Described, name: str) -> Spiking:
    model = found.network.populations[found.network.population_at[name]].model
    assert isinstance(model, Spiking)
    return model


def wired(wiring: dict[str, Any], **more: Any) -> Sparse:
    """The synapses of a projection from E to E."""
    table = {"source": "E", "target": "E", "receptor": "g", "wiring": wiring, "weight": "J"}
    return weights(described(projections={"own": {**table, **more}}), "own")


def test_populations_share_a_neuron_and_say_what_differs() -> None:
    found = described()
    e, i = neuron(found, "E"), neuron(found, "I")
    assert (e.model, e.threshold, e.reset) == (MODEL, "v > 10*mV", "v = 0*mV")
    assert (i.model, i.threshold, i.reset) == (MODEL, "v > 10*mV", "v = 1*mV")
    assert (e.constants["El"], i.constants["El"]) == ("0*mV", "-1*mV")
    assert i.constants["taug"] == "half"


def test_a_population_gets_the_constants_that_it_needs_and_no_others() -> None:
    assert set(neuron(described(), "E").constants) == {"El", "taug", "half", "tau"}


def test_what_a_population_says_itself_needs_no_shared_neuron() -> None:
    own = {"size": 3, "model": "dv/dt = -v/tau : 1", "integration": "clock"}
    own |= {"refractory": "1 s", "expected_rate": "3 Hz"}
    model = neuron(described(populations={"E": own}, projections={}), "E")
    assert (model.model, model.integration) == ("dv/dt = -v/tau : 1", "clock")
    # Brian2 has no unit `s`, and wants a product.
    assert (model.refractory, model.expected_rate_hz) == ("1*second", 3.0)
    assert (model.threshold, model.reset, model.method) == (None, None, None)


def test_a_table_for_several_targets_is_a_projection_for_each() -> None:
    found = described()
    names = [(p.name, p.source, p.target) for p in found.network.projections]
    assert names == [("out E->E", "E", "E"), ("out E->I", "E", "I")]
    assert found.tables == {"out E->E": "projections.out", "out E->I": "projections.out"}


def test_an_override_reaches_a_table() -> None:
    found = described("populations.E.size=800", "run.duration=2 s", "dt=0.5 ms")
    assert found.network.size("E") == 800
    assert (found.ticks, found.network.dt) == (4000, 5e-4)


def test_the_scale_is_a_name_that_texts_may_use() -> None:
    found = described("populations.E.size='25*scale'", "scale=0.5")
    assert found.network.size("E") == 13  # 12.5, rounded up


@pytest.mark.parametrize(
    ("wiring", "expected"),
    [
        ({"rule": "all_to_all"}, AllToAll()),
        ({"rule": "all_to_all", "selves": False}, AllToAll(selves=False)),
        ({"rule": "one_to_one"}, OneToOne()),
        ({"rule": "fixed_probability", "p": "0.1*2"}, FixedProbability(0.2)),
        ({"rule": "fixed_in_degree", "n": 4, "multiple": False}, FixedInDegree(4, multiple=False)),
        ({"rule": "fixed_in_degree", "n": "tau/(5*ms)"}, FixedInDegree(4)),
        ({"rule": "fixed_total", "n": 7}, FixedTotal(7)),
    ],
)
def test_a_rule_of_wiring_is_found_by_its_name(wiring: dict[str, Any], expected: Any) -> None:
    assert wired(wiring).wiring == expected


def test_a_total_joins_as_large_a_share_of_pairs_as_is_asked_for() -> None:
    n_pre, n_post, p = 30, 20, 0.3
    n = total(p, n_pre, n_post)
    drawn = np.random.default_rng(1).integers(0, n_pre * n_post, (200, n))
    joined = np.mean([len(np.unique(pairs)) / (n_pre * n_post) for pairs in drawn])
    assert joined == pytest.approx(p, abs=0.003)
    assert total(0.0, n_pre, n_post) == 0
    assert total(p, 1, 1) == 0  # the limit of the formula, as of two pairs
    assert total(p, 1, 2) == 1


def test_a_matrix_gives_each_pair_of_populations_its_own() -> None:
    table = {
        "source": ["E", "I"],
        "target": ["E", "I"],
        "receptor": "g",
        "wiring": {"rule": "fixed_probability", "p": [[0.1, 0.2], ["0.5 * 0.6", 0]]},
        "weight": "J",
    }
    found = described(projections={"all": table})
    chances = {
        p.name: p.weights.wiring.p  # type: ignore[union-attr]
        for p in found.network.projections
    }
    # Rows are targets, and where there is no chance there is no projection.
    assert chances == {"all E->E": 0.1, "all I->E": 0.2, "all E->I": pytest.approx(0.3)}


def test_listed_pairs_carry_multiples_of_the_weight() -> None:
    wiring = {"rule": "pairs", "sources": [0, 3], "targets": [1, 2], "weights": [1, 4]}
    found = wired(wiring)
    assert isinstance(found.wiring, Pairs)
    np.testing.assert_array_equal(found.wiring.pre, [0, 3])
    np.testing.assert_allclose(np.asarray(found.weight), [0.5e-3, 2e-3])
    assert wired({**wiring, "weights": None}).weight == "(0.5*mV)"


def test_a_connectome_is_read_from_a_table(tmp_path: Path) -> None:
    path = tmp_path / "connectome.csv"
    path.write_text("pre,post,type,n\nB,A,chemical,3\nA,C,gap,9\nA,B,chemical,2\n")
    wiring = {
        "rule": "table",
        "file": str(path),
        "columns": {"source": "pre", "target": "post", "weight": "n"},
        "only": {"type": "chemical"},
        "names": ["A", "B", "C"],
    }
    found = wired(wiring)
    np.testing.assert_array_equal([found.wiring.pre, found.wiring.post], [[1, 0], [0, 1]])
    np.testing.assert_allclose(np.asarray(found.weight), [1.5e-3, 1e-3])
    bare = wired({**wiring, "columns": {"source": "pre", "target": "post"}})
    assert bare.weight == "(0.5*mV)"


def test_a_sparse_matrix_is_a_wiring(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    sparse.save_npz(path, sparse.coo_array(([2.0], ([4], [7])), shape=(20, 20)))
    found = wired({"rule": "matrix", "file": str(path)})
    assert (found.wiring.pre[0], found.wiring.post[0]) == (7, 4)
    np.testing.assert_allclose(np.asarray(found.weight), [1e-3])


def test_delays_are_ticks_where_all_are_alike_and_times_where_not() -> None:
    table = {"source": "E", "target": "E", "receptor": "g", "weight": "J"}
    wiring = {"rule": "pairs", "sources": [0, 1], "targets": [1, 2]}

    def delayed(delay: Any) -> tuple[int, Any]:
        given = {**table, "wiring": wiring, "delay": delay}
        (made,) = described(projections={"own": given}).network.projections
        assert isinstance(made.weights, Sparse)
        return made.delay, made.weights.delay

    assert delayed("1.5 ms") == (15, None)
    assert delayed("half") == (100, None)
    assert delayed(None) == (1, None)
    assert delayed("1*ms + i*ms") == (1, "1*ms + i*ms")
    np.testing.assert_allclose(delayed(["1 ms", "0.2 ms"])[1], [1e-3, 2e-4])
    (_, drawn) = delayed({"uniform": ["0.1 ms", "half"]})
    assert isinstance(drawn, Uniform)
    assert (drawn.low, drawn.high) == ("0.1*ms", "((20*ms) / 2)")


def test_weights_are_drawn_as_described() -> None:
    found = wired({"rule": "all_to_all"}, weight={"normal": ["J", "0.1*J", "0 mV"]}).weight
    assert isinstance(found, Normal)
    assert (found.mean, found.sd, found.low, found.high) == (
        *("(0.5*mV)", "0.1*(0.5*mV)", "0*mV"),
        None,
    )


def test_synapses_of_your_own_take_five_lines() -> None:
    synapse = wired(
        {"rule": "all_to_all"},
        plasticity={
            "model": "w : volt\ndpost/dt = -post/half : 1 (event-driven)",
            "on_pre": "receptor += w",
            "on_post": "post += step",
            "constants": {"step": 0.1},
            "bounds": {"w": [0, "2*J"]},
            "delay_post": "0.3 ms",
        },
    ).synapse
    assert synapse is not None
    assert synapse.constants == {"tau": "20*ms", "half": "tau / 2", "step": 0.1}
    assert synapse.bounds == {"w": (0.0, "2*(0.5*mV)")}
    assert (synapse.on_pre, synapse.on_post, synapse.delay_post) == (
        *("receptor += w", "post += step"),
        3,
    )


def test_what_several_projections_need_of_a_neuron_is_added_once() -> None:
    ends = {"source": "E", "target": "E", "receptor": "g", "weight": "J"}
    table = {**ends, "wiring": {"rule": "all_to_all"}}
    rules = [
        {"rule": "clopath", "w_max": "2*mV"},
        {"rule": "homeostasis", "w_max": "2*mV"},
        {"rule": "clopath", "w_max": "1*mV"},
    ]
    tables = {f"p{k}": {**table, "plasticity": rule} for k, rule in enumerate(rules)}
    model = neuron(described(projections=tables), "E")
    assert [model.model.count(f"d{name}/dt") for name in ("u_minus", "u_plus", "theta")] == [1] * 3


def test_poisson_input_goes_to_each_of_its_targets() -> None:
    table = {"target": ["E", "I"], "receptor": "g", "rate": "8 Hz", "weight": "J", "n": ["2*5", 3]}
    found = described(inputs={"drive": table})
    for made, name, n in zip(found.network.stimuli, ("E", "I"), (10.0, 3.0), strict=True):
        assert isinstance(made, PoissonInput)
        assert (made.name, made.target, made.n) == (f"drive {name}", name, n)
        assert (made.rate, made.weight, made.receptor) == ("8*Hz", "(0.5*mV)", "g")


def test_steps_of_a_parameter_are_in_ticks_and_si_units() -> None:
    table = {"kind": "step", "target": "E", "variable": "I"}
    table |= {"times": ["0 ms", "2 ms"], "values": ["1 nA", 0]}  # type: ignore[dict-item]
    (made,) = described(inputs={"pulse": table}).network.stimuli
    assert isinstance(made, StepCurrent)
    assert (made.name, list(made.ticks)) == ("pulse", [0, 20])
    np.testing.assert_allclose(made.values, [1e-9, 0.0])


def test_sources_fire_at_random_or_as_they_are_told(tmp_path: Path) -> None:
    path = tmp_path / "spikes.npz"
    np.savez(path, index=[1, 0, 1], time_s=[1e-3, 1e-3, 2.04e-3])
    found = described(
        populations={
            "noise": {"kind": "poisson", "size": 3, "rate": "1/half"},
            "told": {"kind": "spikes", "size": 2, "indices": [1], "times": ["half/5"]},
            "file": {"kind": "spikes", "size": 2, "file": str(path)},
        },
        projections={},
    )
    noise, told, file = (population.model for population in found.network.populations)
    assert isinstance(noise, PoissonSource)
    assert noise.rate == "1/((20*ms) / 2)"
    assert isinstance(told, SpikeList)
    assert (list(told.indices), list(told.ticks)) == ([1], [20])
    assert isinstance(file, SpikeList)
    # In order of tick and neuron, each at the nearest tick.
    assert (list(file.indices), list(file.ticks)) == ([0, 1, 1], [10, 10, 20])


def test_all_spikes_are_recorded_unless_some_are_chosen() -> None:
    assert [r.population for r in described().recording.spikes] == ["E", "I"]
    assert described("record.spikes=false").recording.spikes == ()
    chosen = described("record.spikes=['I', {population='E', neurons=[4, 2]}]").recording.spikes
    assert [r.population for r in chosen] == ["I", "E"]
    np.testing.assert_array_equal(np.asarray(chosen[1].neurons), [2, 4])


def test_states_and_weights_are_recorded_at_intervals() -> None:
    tables = {
        "projections": {
            "learning": {
                "source": "I",
                "target": ["E", "I"],
                "receptor": "g",
                "wiring": {"rule": "all_to_all"},
                "weight": "J",
                "plasticity": {"on_pre": "receptor += w*mV", "bounds": {"w": [0, 1]}},
            }
        },
        "record": {
            "states": [{"population": "E", "variables": ["v"], "neurons": 3, "every": "0.5 ms"}],
            "weights": [{"projection": "learning", "every": "2 ms"}],
        },
    }
    recording = described(**tables).recording
    (states,) = recording.states
    assert (states.variables, states.every) == (("v",), 5)
    np.testing.assert_array_equal(np.asarray(states.neurons), [0, 1, 2])
    # A table for several targets is recorded whole.
    assert [(r.projection, r.every) for r in recording.weights] == [
        ("learning I->E", 20),
        ("learning I->I", 20),
    ]


def test_a_resolved_scenario_survives_being_stored() -> None:
    scenario = resolve_any(TREE)
    assert resolve_any(scenario.model_dump(mode="json")) == scenario
