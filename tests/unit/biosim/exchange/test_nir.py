"""NIR: what a graph says to a reader that knows nothing but NIR is what biosim simulates."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import xarray as xr

from biosim.errors import OutputError
from biosim.exchange import nir_graph as module
from biosim.exchange.nir_graph import learnt_weights, nir_graph, write_nir
from biosim.network import Network, Population, Projection
from biosim.populations import Graded
from biosim.simulation import Simulation
from biosim.spiking import (
    MemorySink,
    Normal,
    PoissonInput,
    Recording,
    Sparse,
    SpikeList,
    SpikeRecord,
    Spiking,
    SynapseModel,
    Uniform,
    WeightRecord,
)
from biosim.wiring import AllToAll, FixedProbability

DT = 1e-4
SEED = 3
TICKS = 600
MEMBRANE = Spiking(
    "dv/dt = (3*mV - v)/(8*ms) : volt",
    threshold="v > 9*mV",
    reset="v = 1*mV",
    method="exact",
    initial={"v": "1*mV"},
)
CURRENTS = Spiking(
    """
    dv/dt = (2*a - 0.5*b - v)/(15*ms) : volt
    da/dt = -a/(4*ms) : volt
    db/dt = -b/(4*ms) : volt
    limit : volt
    """,
    threshold="v > limit",
    reset="v = 0*mV",
    method="exact",
    initial={"limit": "5*mV + i*0.4*mV"},
)
PERFECT = Spiking("dv/dt = 0*mV/second : volt", threshold="v > 10*mV", reset="v = 0*mV")
LEARNING = SynapseModel(
    model="w : volt",
    on_pre="receptor += w; w = clip(w + 0.05*mV, 0*mV, 9*mV)",
    bounds={"w": ("0*mV", "9*mV")},
)


def driven(model: Spiking, receptors: tuple[str, ...] = ("v",), **more: Any) -> Network:
    """Forty listed neurons that drive ten, which also reach each other."""
    rng = np.random.default_rng(1)
    ticks, neurons = np.divmod(np.sort(rng.choice(TICKS * 40, 900, replace=False)), 40)
    listed = SpikeList(neurons, ticks)
    weights = {"v": "1.7*mV", "a": "2*mV", "b": "0.8*mV"}
    return Network(
        populations=(Population("in", 40, listed), Population("E", 10, model)),
        projections=(
            *(
                Projection.of_spikes(
                    "in", "E", r, Sparse(FixedProbability(0.3), weights[r]), 1 + 4 * k, f"in-{r}"
                )
                for k, r in enumerate(receptors)
            ),
            Projection.of_spikes(
                "E", "E", receptors[0], Sparse(FixedProbability(0.3), Normal("0.5*mV", "0.1*mV")), 7
            ),
        ),
        dt=DT,
        **more,
    )


def simulated(network: Network) -> list[tuple[int, int]]:
    sink = MemorySink()
    recording = Recording(spikes=(SpikeRecord("E"),))
    Simulation(network, seed=SEED, recording=recording, sink=sink).run_to(TICKS)
    ticks, neurons = sink.spikes["E"]
    return list(zip(ticks.tolist(), neurons.tolist(), strict=True))


def read_by_nir_alone(graph: Any, listed: SpikeList, v_start: Any) -> list[tuple[int, int]]:
    """Spikes of the neurons of a graph: impulses into linear neurons, solved between ticks."""
    node = graph.nodes["E"]
    size = len(node.v_threshold)
    arriving = np.zeros((TICKS + 200, size))
    into = {}
    for source, target in graph.edges:
        if isinstance(graph.nodes[target], nir.Linear):
            late = 0.0
            origin = source
            if isinstance(graph.nodes[source], nir.Delay):
                late = float(graph.nodes[source].delay[0])
                origin = next(a for a, b in graph.edges if b == source)
            into.setdefault(origin, []).append((graph.nodes[target].weight, round(late / DT)))

    def send(source: str, tick: int, neuron: int) -> None:
        for weight, late in into.get(source, []):
            arriving[tick + 1 + late] += weight[:, neuron]

    for neuron, tick in zip(listed.indices, listed.ticks, strict=True):
        send("in", int(tick), int(neuron))
    v = np.full(size, v_start)
    current, fired = np.zeros(size), np.zeros(size, bool)
    found = []
    for tick in range(TICKS):
        if isinstance(node, nir.CubaLIF):
            v[fired] = node.v_reset[fired]
            current += node.w_in / node.tau_syn * arriving[tick]
            slow, fast = np.exp(-DT / node.tau_mem), np.exp(-DT / node.tau_syn)
            share = node.r * current / (1 - node.tau_mem / node.tau_syn)
            v = node.v_leak + (v - node.v_leak - share) * slow + share * fast
            current *= fast
        elif isinstance(node, nir.LIF):
            v += node.r / node.tau * arriving[tick]
            v[fired] = node.v_reset[fired]
            v = node.v_leak + (v - node.v_leak) * np.exp(-DT / node.tau)
        else:
            v += node.r * arriving[tick]
            v[fired] = node.v_reset[fired]
        fired = v > node.v_threshold
        for neuron in np.flatnonzero(fired):
            found.append((tick, int(neuron)))
            send("E", tick, int(neuron))
    return found


@pytest.mark.parametrize(
    ("model", "receptors", "kind", "v_start"),
    [
        (MEMBRANE, ("v",), nir.LIF, 1e-3),
        (CURRENTS, ("a", "b"), nir.CubaLIF, 0.0),
        (PERFECT, ("v",), nir.IF, 0.0),
    ],
)
def test_the_graph_fires_as_the_network_does(
    model: Spiking, receptors: tuple[str, ...], kind: type, v_start: float, tmp_path: Path
) -> None:
    network = driven(model, receptors)
    graph = nir_graph(network, SEED)
    assert isinstance(graph.nodes["E"], kind)
    nir.write(tmp_path / "a.nir", graph)
    truth = simulated(network)
    assert len(truth) > 20
    listed = network.populations[0].model
    assert read_by_nir_alone(nir.read(tmp_path / "a.nir"), listed, v_start) == truth
    graph.nodes["projection in-" + receptors[0]].weight *= 1.2
    assert read_by_nir_alone(graph, listed, v_start) != truth


def test_weights_are_those_that_the_synapses_ended_with() -> None:
    network = driven(MEMBRANE)
    wires = Sparse(AllToAll(), Uniform("0*mV", "1*mV"), synapse=LEARNING)
    network = replace(
        network, projections=(Projection.of_spikes("in", "E", "v", wires, 1, "learns"),)
    )
    sink = MemorySink()
    recording = Recording(weights=(WeightRecord("learns", TICKS),))
    Simulation(network, seed=SEED, recording=recording, sink=sink).run_to(TICKS)
    stored = sink.weights["learns"]
    tree = xr.DataTree.from_dict(
        {
            "/weights/learns": xr.Dataset(
                {
                    "w": (("snapshot", "synapse"), stored.values["w"]),
                    "source": ("synapse", stored.sources),
                    "target": ("synapse", stored.targets),
                }
            )
        }
    )
    weight = nir_graph(network, SEED, learnt_weights(tree)).nodes["projection learns"].weight
    last = stored.values["w"][-1]
    np.testing.assert_array_equal(weight[stored.targets, stored.sources], last)
    assert not np.allclose(last, stored.values["w"][0])
    with pytest.raises(OutputError, match="'learns' learns, but its weights were not stored"):
        nir_graph(network, SEED)
    other = {"learns": (stored.targets.astype(int), stored.targets.astype(int), last)}
    with pytest.raises(OutputError, match="are not those of its synapses"):
        nir_graph(network, SEED, other)


def test_scenario_and_seed_are_in_the_file(tmp_path: Path) -> None:
    attributes = {"scenario": {"name": "net"}, "seed": SEED, "versions": {"biosim": "0.1.0"}}
    tree = xr.DataTree(xr.Dataset(attrs=attributes))
    write_nir(tree, tmp_path / "a.nir", driven(MEMBRANE))
    said = nir.read(tmp_path / "a.nir").metadata
    assert json.loads(said["biosim"])["seed"] == SEED
    assert said["description"] == "simulation of scenario net, seed 3, by biosim 0.1.0"


def with_synapse(**more: Any) -> Network:
    network = driven(MEMBRANE)
    wires = Sparse(AllToAll(), "1*mV", **more)
    return replace(network, projections=(Projection.of_spikes("in", "E", "v", wires, name="p"),))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            driven(replace(MEMBRANE, refractory="2*ms")),
            r"'E' has a refractory time of 2\*ms; NIR's neurons",
        ),
        (
            driven(replace(MEMBRANE, model="dv/dt = -v**2/(volt*ms) : volt", method="euler")),
            "not linear",
        ),
        (
            driven(replace(MEMBRANE, model="dv/dt = xi*mV*ms**-0.5 : volt", method="euler")),
            "draws random",
        ),
        (driven(replace(MEMBRANE, threshold="v > 9*mV or v < -1*volt")), "fire above a threshold"),
        (driven(replace(MEMBRANE, threshold="v > 9*mV + t*mV/second")), "which changes with time"),
        (driven(replace(MEMBRANE, reset="v -= 9*mV")), "which changes with time"),
        (driven(replace(MEMBRANE, reset="")), "is reset by nothing"),
        (driven(replace(MEMBRANE, model="dv/dt = 5*mV/second : volt")), "'v' does not decay"),
        (
            driven(
                replace(CURRENTS, model=CURRENTS.model.replace("-b/(4*ms)", "-b/(5*ms)")), ("a",)
            ),
            "different time constants",
        ),
        (
            driven(replace(CURRENTS, model=CURRENTS.model.replace("-b/", "(a-b)/")), ("a",)),
            "'b' does not simply decay",
        ),
        (
            driven(replace(CURRENTS, model=CURRENTS.model.replace("- v)/", "+ 0*v)/")), ("a",)),
            "a membrane with a current leaks",
        ),
        (driven(CURRENTS, ("v",)), "'in-v' adds to 'v' of 'E'"),
        (with_synapse(delay=Uniform("1*ms", "2*ms")), r"have delays of 1\d to 20 ticks"),
        (
            with_synapse(synapse=replace(LEARNING, on_pre="receptor += 2*w")),
            r"'p' does v \+= .*it adds the weight w",
        ),
    ],
)
def test_what_nir_has_no_node_for_is_refused(network: Network, message: str) -> None:
    with pytest.raises(OutputError, match=f"NIR cannot describe this network: .*{message}"):
        nir_graph(network, SEED)


def test_neurons_without_a_threshold_are_refused() -> None:
    silent = replace(MEMBRANE, threshold=None, reset=None)
    network = driven(MEMBRANE)
    network = replace(
        network,
        populations=(network.populations[0], Population("E", 10, silent)),
        projections=network.projections[:1],
    )
    with pytest.raises(OutputError, match="'E' has no threshold; NIR's neurons fire"):
        nir_graph(network, SEED)


def test_layers_are_refused() -> None:
    network = driven(MEMBRANE)
    mixed = object.__new__(Network)
    populations = (*network.populations, Population("h", 4, Graded()))
    object.__setattr__(mixed, "populations", populations)
    with pytest.raises(OutputError, match="population 'h' is Graded"):
        nir_graph(mixed, SEED)


def test_a_matrix_that_would_be_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 8 * 40 * 10 - 1)
    with pytest.raises(OutputError, match="a dense matrix of 10 x 40"):
        nir_graph(driven(MEMBRANE), SEED)


def test_poisson_input_is_no_part_of_the_graph() -> None:
    noise = PoissonInput("noise", "E", "v", "100*Hz", "1*mV")
    with_noise, without = (
        nir_graph(driven(MEMBRANE, stimuli=stimuli), SEED) for stimuli in ((noise,), ())
    )
    assert set(with_noise.nodes) == set(without.nodes)
    assert math.isclose(with_noise.nodes["E"].tau[0], 8e-3)
