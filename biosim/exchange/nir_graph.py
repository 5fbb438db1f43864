"""NIR: a spiking network as a graph of nodes that neuromorphic tools read, where NIR has the nodes.

Source: Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9. Its neurons are linear: one membrane
(LIF, IF), or one membrane that one synaptic current drives (CubaLIF), without a refractory time.
What is outside of that is refused, because a graph that says something else than the run would be
worse than none.

A spike is a Dirac impulse in NIR. An impulse of weight w adds w r / tau to the membrane of an LIF
and w w_in / tau_syn to the current of a CubaLIF; here a synapse adds its weight to its receptor,
so r = tau and w_in = tau_syn.

NIR's time is continuous and says nothing of what happens at once; here an impulse that arrives at
a membrane together with its reset is lost, as in Brian2. A delay of d ticks becomes (d - 1) dt,
since a spike of tick k is found at the end of the tick, and what arrives at tick k + d is dealt
with at its beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from biosim.equations import decay
from biosim.equations.code import SynapseCode
from biosim.equations.evaluate import evaluate
from biosim.equations.neurons import FLAGS, Reader
from biosim.equations.nodes import Compare, Name, Node
from biosim.equations.scope import open_scope
from biosim.equations.simplify import names_in
from biosim.errors import OutputError
from biosim.exchange.files import required
from biosim.exchange.stored import provenance_text, summary
from biosim.network import Network, Population, Projection
from biosim.spiking.description import PoissonSource, Sparse, SpikeList, Spiking
from biosim.spiking.layout import Layout
from biosim.spiking.start import Joined, drawn_start

Values = npt.NDArray[np.float64]

MOST_BYTES = 1 << 31
"""Largest matrix of weights: NIR's are dense."""


def write_nir(tree: xr.DataTree, path: Path, network: Network) -> None:
    """Write the network of a spiking run, with the last weights that it stored, as a NIR file.

    Args:
        tree: of `biosim.open_run`.
        path: of the file.
        network: that the run simulated.

    Raises:
        OutputError: nir is missing, or NIR has no nodes for the network.
        BiosimError: the wiring cannot be drawn again.
    """
    nir = required("nir", "nir")
    graph = nir_graph(network, int(tree.attrs["seed"]), learnt_weights(tree))
    graph.metadata = {"description": summary(tree), "biosim": provenance_text(tree)}
    nir.write(path, graph)


def learnt_weights(tree: xr.DataTree) -> dict[str, tuple[npt.NDArray[Any], ...]]:
    """Return sources, targets and weights, (n,) each, of every projection's last snapshot."""
    children = tree.children["weights"].children if "weights" in tree.children else {}
    groups = {name: node.to_dataset(inherit=False) for name, node in children.items()}
    return {
        name: (
            group["source"].values.astype(np.int64),
            group["target"].values.astype(np.int64),
            group["w"].isel(snapshot=-1).values.astype(np.float64),
        )
        for name, group in groups.items()
        if "w" in group.data_vars and group.sizes.get("snapshot", 0) and "source" in group
    }


def nir_graph(
    network: Network, seed: int, learnt: Mapping[str, tuple[npt.NDArray[Any], ...]] | None = None
) -> Any:
    """Return a spiking network as a `nir.NIRGraph`.

    Populations keep their names, and so do projections, whose nodes are called
    "projection NAME". Sources of spikes are inputs. Every population with equations has an
    input of its own, "input NAME", and an output, "output NAME". Poisson input and step currents
    drive a network and are no part of it; they enter by those inputs.

    Args:
        network: populations with equations, sources of spikes, sparse projections.
        seed: by which the wiring is drawn.
        learnt: projection -> sources, targets and weights, (n_synapses,) each, in place of those
            that it starts with.

    Raises:
        OutputError: NIR has no nodes for a part of it; the message says which.
        BiosimError: the wiring cannot be drawn.
    """
    nir = required("nir", "nir")
    for population in network.populations:
        if not isinstance(population.model, Spiking | PoissonSource | SpikeList):
            raise _refusal(
                f"population {population.name!r} is {type(population.model).__name__}; NIR's "
                "nodes are neurons by linear equations, and sources of spikes"
            )
    layout = Layout(network)
    start = drawn_start(network, seed)
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    scales: dict[str, dict[str, Values]] = {}
    for population in network.populations:
        name, size = population.name, population.size
        if isinstance(population.model, Spiking):
            nodes[name], scales[name] = _neurons(
                nir, population, float(layout.dt), start.variables.get(name, {})
            )
            nodes[f"input {name}"] = nir.Input(input_type={"input": np.array([size])})
            nodes[f"output {name}"] = nir.Output(output_type={"output": np.array([size])})
            edges += [(f"input {name}", name), (name, f"output {name}")]
        else:
            nodes[name] = nir.Input(input_type={"input": np.array([size])})
    plastic = {p.projection: p.code for p in layout.plastic}
    for i, projection in enumerate(network.projections):
        assert isinstance(projection.weights, Sparse)
        joined = start.synapses[projection.name]
        if i in plastic:
            joined = _after_learning(projection, joined, plastic[i], learnt or {})
        weight = _matrix(network, projection, joined)
        factor = scales[projection.target].get(projection.receptor)
        if factor is None:
            raise _refusal(
                f"projection {projection.name!r} adds to {projection.receptor!r} of "
                f"{projection.target!r}; a synapse adds to the current of a neuron, or to its "
                "membrane where there is no current"
            )
        node = f"projection {projection.name}"
        nodes[node] = nir.Linear(weight=weight * factor[:, None])
        first = node
        steps = np.unique(joined.delays) - 1
        if len(steps) > 1:
            raise _refusal(
                f"the synapses of projection {projection.name!r} have delays of {steps[0] + 1} to "
                f"{steps[-1] + 1} ticks; a delay is one of a neuron, the same for its synapses"
            )
        if len(steps) and steps[0]:
            first = f"delay {projection.name}"
            shape = weight.shape[1]
            nodes[first] = nir.Delay(delay=np.full(shape, float(steps[0] * layout.dt)))
            edges.append((first, node))
        edges += [(projection.source, first), (node, projection.target)]
    return nir.NIRGraph(nodes=nodes, edges=edges)


def _neurons(
    nir: Any, population: Population, dt: float, start: Mapping[str, Values]
) -> tuple[Any, dict[str, Values]]:
    """Return the node of a population, and receptor -> factor of the weights that end there."""
    model, whose = population.model, f"population {population.name!r}"
    assert isinstance(model, Spiking)
    if model.refractory is not None and model.refractory is not False:
        raise _refusal(
            f"{whose} has a refractory time of {model.refractory}; NIR's neurons have none"
        )
    extra = {"i": ("1", "integer"), "N": ("1", "integer")}
    scope = open_scope(model.model, model.constants, dt, whose, flags=FLAGS, extra=extra)
    reader = Reader(scope, False)
    if reader.noise or reader.random() or reader.held:
        raise _refusal(f"{whose} draws random numbers; NIR's neurons are deterministic")
    equations = reader.derivatives()
    states = list(equations)
    known = {name: values for name, values in start.items() if name not in states}
    known |= {"i": np.arange(population.size, dtype=np.float64)}
    known |= {"N": np.full(population.size, float(population.size))}

    def values(node: Node, what: str) -> Values:
        if not names_in(node) <= set(known):
            raise _refusal(f"{whose}: {what} is {node.text!r}, which changes with time")
        found = np.asarray(evaluate(node.text, known), np.float64)
        return np.broadcast_to(found, (population.size,)).copy()

    rates: dict[str, dict[str, Values]] = {}
    drive: dict[str, Values] = {}
    for name, form in equations.items():
        try:
            slopes, rest = decay.affine(form, states)
        except ValueError as problem:
            raise _refusal(f"{whose} is not linear: {problem}") from None
        rates[name] = {x: values(node, f"the rate of {name!r}") for x, node in slopes.items()}
        rates[name] = {x: rate for x, rate in rates[name].items() if rate.any()}
        drive[name] = values(rest, f"the drive of {name!r}")
    membrane, threshold = _threshold(whose, reader, model, states, values)
    reset = _reset(whose, reader, model, membrane, values)
    own = rates[membrane].pop(membrane, np.zeros(population.size))
    currents = [name for name in states if name != membrane]
    if currents:
        return _driven(nir, whose, rates, drive, (membrane, own), currents, threshold, reset)
    one = np.ones(population.size)
    if not own.any() and not drive[membrane].any():
        return nir.IF(r=one, v_threshold=threshold, v_reset=reset), {membrane: one}
    if not (own < 0).all():
        raise _refusal(f"{whose}: {membrane!r} does not decay; a membrane leaks, or has no drive")
    tau = -1.0 / own
    leak = drive[membrane] * tau
    node = nir.LIF(tau=tau, r=tau, v_leak=leak, v_threshold=threshold, v_reset=reset)
    return node, {membrane: one}


def _driven(
    nir: Any,
    whose: str,
    rates: Mapping[str, Mapping[str, Values]],
    drive: Mapping[str, Values],
    membrane: tuple[str, Values],
    currents: list[str],
    threshold: Values,
    reset: Values,
) -> tuple[Any, dict[str, Values]]:
    """Return the node of a membrane that is driven by currents of one time constant.

    Their weighted sum is one current, for all decay alike: its weights take the factors.
    """
    name, own = membrane
    for current in currents:
        alone = set(rates[current]) == {current} and not drive[current].any()
        if not alone or not (rates[current][current] < 0).all():
            raise _refusal(f"{whose}: {current!r} does not simply decay, as NIR's currents do")
    if not (own < 0).all():
        raise _refusal(f"{whose}: {name!r} does not decay; a membrane with a current leaks")
    decays = [rates[current][current] for current in currents]
    if not all(np.allclose(decays[0], other, rtol=1e-12, atol=0.0) for other in decays):
        raise _refusal(
            f"{whose}: {' and '.join(currents)} decay with different time constants; a neuron has "
            "one current"
        )
    tau, tau_syn = -1.0 / own, -1.0 / decays[0]
    node = nir.CubaLIF(
        tau_syn=tau_syn,
        tau_mem=tau,
        r=tau,
        v_leak=drive[name] * tau,
        v_threshold=threshold,
        v_reset=reset,
        w_in=tau_syn,
    )
    nothing = np.zeros_like(tau)
    return node, {current: rates[name].get(current, nothing) for current in currents}


def _threshold(
    whose: str, reader: Reader, model: Spiking, states: list[str], values: Any
) -> tuple[str, Values]:
    """Return the membrane and the value at which it fires."""
    found = reader.threshold(model.threshold)
    if found is None:
        raise _refusal(f"{whose} has no threshold; NIR's neurons fire")
    if (
        not isinstance(found, Compare)
        or found.operator not in (">", ">=")
        or not isinstance(found.left, Name)
        or found.left.text not in states
    ):
        raise _refusal(f"{whose} fires if {found.text}; NIR's neurons fire above a threshold")
    return found.left.text, values(found.right, "the threshold")


def _reset(whose: str, reader: Reader, model: Spiking, membrane: str, values: Any) -> Values:
    """Return the value to which the membrane is set after a spike."""
    found = reader.reset(model.reset)
    if len(found) != 1 or found[0].name != membrane:
        said = "; ".join(f"{a.name} = {a.expression}" for a in found) or "nothing"
        raise _refusal(f"{whose} is reset by {said}; NIR's neurons set their membrane to a value")
    reset: Values = values(reader.form(found[0].expression, "reset"), "the reset")
    return reset


def _after_learning(
    projection: Projection,
    joined: Joined,
    code: SynapseCode,
    learnt: Mapping[str, tuple[npt.NDArray[Any], ...]],
) -> Joined:
    """Return the synapses with the weights that they ended with."""
    effects = [(effect.variable, _as_written(code, effect.expression)) for effect in code.effects]
    if effects != [(projection.receptor, "w")]:
        said = "; ".join(f"{variable} += {what}" for variable, what in effects) or "nothing"
        raise _refusal(
            f"a spike along projection {projection.name!r} does {said}; it adds the weight w to "
            f"{projection.receptor!r} and nothing else"
        )
    if projection.name not in learnt:
        raise OutputError(
            f"projection {projection.name!r} learns, but its weights were not stored; run again "
            f'with record.weights=[{{projection="{projection.name}", every="..."}}]'
        )
    sources, targets, weights = learnt[projection.name]
    order = np.lexsort((joined.sources, joined.targets))
    if not (
        np.array_equal(joined.sources[order], sources)
        and np.array_equal(joined.targets[order], targets)
    ):
        raise OutputError(
            f"the stored weights of projection {projection.name!r} are not those of its synapses; "
            "the run was made by another version of biosim: run it again"
        )
    return joined._replace(sources=sources, targets=targets, weights=weights)


def _as_written(code: SynapseCode, expression: str) -> str:
    """Return what is sent, in place of the name under which it is kept while the synapse learns."""
    for at, assign in enumerate(code.on_pre):
        if assign.name == expression and "w" not in (earlier.name for earlier in code.on_pre[:at]):
            return assign.expression
    return expression


def _matrix(network: Network, projection: Projection, joined: Joined) -> Values:
    """Return the weights (n_post, n_pre); synapses between the same two neurons add up."""
    sizes = {population.name: population.size for population in network.populations}
    shape = sizes[projection.target], sizes[projection.source]
    if 8 * shape[0] * shape[1] > MOST_BYTES:
        raise _refusal(
            f"projection {projection.name!r} would be a dense matrix of {shape[0]:,} x "
            f"{shape[1]:,}, {8 * shape[0] * shape[1] / 2**30:.1f} GiB; at most 2 GiB are written"
        )
    weight = np.zeros(shape)
    np.add.at(weight, (joined.targets, joined.sources), joined.weights)
    return weight


def _refusal(reason: str) -> OutputError:
    return OutputError(f"NIR cannot describe this network: {reason}")
