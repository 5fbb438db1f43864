"""From a description to Brian2's objects, and the refusal of what Brian2 cannot be given.

The mapping of time. biosim's tick is Brian2's step, cut elsewhere: Brian2 updates, tests
thresholds, delivers, resets; biosim delivers and resets first, then updates and tests. So the
spikes of tick k are the spikes of step k, while what biosim delivers at tick k is what Brian2
delivers at the end of step k - 1:

- a delay of d ticks becomes one of d - 1 steps,
- `on_post` keeps its delay: 0 is the end of the step of the spike, the beginning of the next tick,
- the input of tick k becomes the input of step k - 1, and that of tick 0 part of the start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from biosim.equations.scope import evaluated
from biosim.network import Network, NetworkError, Population, Projection
from biosim.spiking.description import (
    PoissonInput,
    PoissonSource,
    Sparse,
    SpikeList,
    Spiking,
    SynapseModel,
)
from biosim.spiking.recording import Spikes
from biosim.spiking.start import Joined, Start

# Coincidence: what arrives is dealt with before what the spike of the target itself does.
ON_PRE_ORDER = -1
ON_POST_ORDER = 1

_RANDOM = re.compile(r"\b(xi(_\w+)?)\b|\b(rand|randn|poisson|binomial)\s*\(")
_RECEPTOR = re.compile(r"\breceptor(_post)?\b")


def steps(delays: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return Brian2's delays in steps, for delays (n,) in ticks."""
    return delays - 1


@dataclass(eq=False)
class Built:
    """Brian2's objects for a network, by the names of the description."""

    brian2: Any
    clock: Any
    groups: dict[str, Any] = field(default_factory=dict)
    synapses: dict[str, Any] = field(default_factory=dict)
    inputs: list[Any] = field(default_factory=list)


def refuse(network: Network) -> None:
    """Raise NetworkError if the network has something that no start or replay gives to Brian2."""
    if network.dt is None:
        raise NetworkError("the network has no dt, so it has no twin in Brian2; give it its tick")
    for population in network.populations:
        name, model = population.name, population.model
        if isinstance(model, Spiking):
            texts = {"model": model.model, "threshold": model.threshold, "reset": model.reset}
            _refuse_draws(f"population {name!r}", texts)
        elif not isinstance(model, PoissonSource | SpikeList):
            raise NetworkError(
                f"population {name!r} is a {type(model).__name__}, which has no twin in Brian2; "
                "expected Spiking, PoissonSource or SpikeList"
            )
    for projection in network.projections:
        synapse = getattr(projection.weights, "synapse", None)
        if synapse is not None:
            texts = {"on_pre": synapse.on_pre, "on_post": synapse.on_post, "model": synapse.model}
            _refuse_draws(f"projection {projection.name!r}", texts)


def build(
    brian2: Any,
    network: Network,
    start: Start,
    ticks: int,
    replay: Mapping[str, Spikes],
    counts: Mapping[str, npt.NDArray[np.int64]],
) -> Built:
    """Return Brian2's objects for a network.

    Args:
        brian2: the module.
        network: the description.
        start: connectivity and start values.
        ticks: how long it will run.
        replay: spikes of the `PoissonSource` populations.
        counts: name of a `PoissonInput` -> (>= ticks, size) spikes of each tick.

    Raises:
        NetworkError: the network has something that Brian2 cannot be given.
    """
    refuse(network)
    clock = brian2.Clock(dt=network.dt * brian2.second, name="biosim_clock*")
    built = Built(brian2, clock)
    for population in network.populations:
        built.groups[population.name] = _group(built, population, replay)
    values = {name: dict(variables) for name, variables in start.variables.items()}
    for stimulus in network.stimuli:
        if isinstance(stimulus, PoissonInput):
            if stimulus.name not in counts:
                raise NetworkError(
                    f"Poisson input {stimulus.name!r} is drawn, and Brian2 draws otherwise; give "
                    "the twin the counts that were drawn, (ticks, neurons)"
                )
            first = values.setdefault(stimulus.target, {})
            _poisson_input(built, stimulus, np.asarray(counts[stimulus.name]), ticks, first)
    for name, variables in values.items():
        _set_neurons(built, name, variables)
    for projection in network.projections:
        built.synapses[projection.name] = _synapses(built, projection, start)
    return built


def _group(built: Built, population: Population, replay: Mapping[str, Spikes]) -> Any:
    name, model, brian2 = population.name, population.model, built.brian2
    if isinstance(model, SpikeList):
        return _generator(built, population, model.ticks, model.indices)
    if isinstance(model, PoissonSource):
        if name not in replay:
            raise NetworkError(
                f"population {name!r} fires at random, and Brian2 draws otherwise; give the twin "
                "the spikes to replay"
            )
        return _generator(built, population, *replay[name])
    assert isinstance(model, Spiking)  # `refuse` has seen to it
    chosen = {} if model.method is None else {"method": model.method}
    return brian2.NeuronGroup(
        population.size,
        model.model,
        threshold=model.threshold,
        reset=model.reset,
        refractory=_refractory(brian2, model.refractory),
        namespace=constants(brian2, f"population {name!r}", model.constants),
        clock=built.clock,
        **chosen,
    )


def _set_neurons(built: Built, name: str, values: Mapping[str, npt.NDArray[np.float64]]) -> None:
    group = built.groups.get(name)
    for variable, value in values.items():
        if group is None or variable not in variables_of(group):
            has = "none of that name" if group is None else ", ".join(variables_of(group))
            raise NetworkError(
                f"the start gives population {name!r} a variable {variable!r}; Brian2 has {has}"
            )
        kind = group.variables[variable].dtype
        setattr(group, f"{variable}_", np.broadcast_to(value, len(group)).astype(kind))


def _generator(
    built: Built, population: Population, ticks: npt.ArrayLike, neurons: npt.ArrayLike
) -> Any:
    at, who = np.asarray(ticks, dtype=np.int64), np.asarray(neurons, dtype=np.int64)
    both = np.unique(np.stack([at, who]), axis=1, return_counts=True)
    twice = np.flatnonzero(both[1] > 1)
    if len(twice):
        tick, neuron = both[0][:, twice[0]]
        raise NetworkError(
            f"neuron {neuron} of population {population.name!r} spikes twice at tick {tick}; "
            "Brian2 takes one spike a step"
        )
    return built.brian2.SpikeGeneratorGroup(
        population.size, who, at * built.clock.dt, clock=built.clock
    )


def _synapses(built: Built, projection: Projection, start: Start) -> Any:
    name, brian2, sparse = projection.name, built.brian2, projection.weights
    assert isinstance(sparse, Sparse)  # spiking populations take nothing else
    if name not in start.synapses:
        raise NetworkError(f"the start has no synapses for projection {name!r}; give them")
    joined = start.synapses[name]
    if len(joined.delays) and min(joined.delays) < 1:
        raise NetworkError(
            f"projection {name!r} has a delay of {min(joined.delays)} ticks; expected at least 1"
        )
    target = built.groups[projection.target]
    model, unit = _synapse_model(brian2, projection, target)
    where = f"projection {name!r}"
    synapses = brian2.Synapses(
        built.groups[projection.source],
        target,
        model.model,
        on_pre=model.on_pre,
        on_post=model.on_post or None,
        namespace={**constants(brian2, where, model.constants), **unit},
        clock=built.clock,
    )
    synapses.connect(i=np.asarray(joined.sources), j=np.asarray(joined.targets))
    synapses.pre.order = ON_PRE_ORDER
    synapses.pre.delay = steps(np.asarray(joined.delays)) * built.clock.dt
    if model.on_post:
        synapses.post.order = ON_POST_ORDER
        synapses.post.delay = model.delay_post * built.clock.dt
    _set_synapses(synapses, name, joined)
    return synapses


def _synapse_model(
    brian2: Any, projection: Projection, target: Any
) -> tuple[SynapseModel, dict[str, Any]]:
    """Return equations in Brian2's names, and the constants that they need in addition."""
    assert isinstance(projection.weights, Sparse)
    given, receptor = projection.weights.synapse, projection.receptor
    if given is not None:
        return SynapseModel(
            model=given.model,
            on_pre=_RECEPTOR.sub(f"{receptor}_post", given.on_pre),
            on_post=_RECEPTOR.sub(f"{receptor}_post", given.on_post),
            constants=given.constants,
            delay_post=given.delay_post,
        ), {}
    if receptor not in target.variables:
        raise NetworkError(
            f"projection {projection.name!r} ends at receptor {receptor!r}; population "
            f"{projection.target!r} has {', '.join(variables_of(target))}"
        )
    unit = brian2.Quantity(1.0, dim=target.variables[receptor].dim)
    return SynapseModel(on_pre=f"{receptor}_post += w * unit_of_w"), {"unit_of_w": unit}


def _set_synapses(synapses: Any, name: str, joined: Joined) -> None:
    values = dict(joined.others)
    if "w" in synapses.variables:
        values["w"] = joined.weights
    for variable, value in values.items():
        if variable not in synapses.variables:
            raise NetworkError(
                f"the start gives projection {name!r} a variable {variable!r}; its equations "
                f"have {', '.join(sorted(synapses.equations.names))}"
            )
        if synapses.variables[variable].scalar:
            setattr(synapses, f"{variable}_", float(np.ravel(value)[0]))
        elif len(joined.sources):
            setattr(synapses, f"{variable}_", value)


def _poisson_input(
    built: Built,
    stimulus: PoissonInput,
    counts: npt.NDArray[np.int64],
    ticks: int,
    first: dict[str, npt.NDArray[np.float64]],
) -> None:
    brian2, group = built.brian2, built.groups[stimulus.target]
    where, receptor = f"Poisson input {stimulus.name!r}", stimulus.receptor
    if len(counts) < ticks or counts.shape[1:] != (len(group),):
        raise NetworkError(
            f"{where} came with counts of shape {counts.shape}; expected "
            f"({ticks}, {len(group)}) or more ticks"
        )
    if receptor not in group.variables:
        raise NetworkError(
            f"{where} ends at receptor {receptor!r}; population {stimulus.target!r} has "
            f"{', '.join(variables_of(group))}"
        )
    weight = constants(brian2, where, {"weight": stimulus.weight})["weight"]
    if not isinstance(weight, brian2.Quantity):
        weight = brian2.Quantity(weight, dim=group.variables[receptor].dim)
    # The input of tick 0 precedes Brian2's first step.
    first[receptor] = first.get(receptor, np.zeros(len(group))) + counts[0] * float(weight)
    later = np.vstack([counts[1:ticks], np.zeros((1, len(group)))]).astype(np.float64)
    table = f"counts_{len(built.inputs)}"
    group.namespace[table] = brian2.TimedArray(later, dt=built.clock.dt)
    group.namespace[f"{table}_weight"] = weight
    built.inputs.append(
        group.run_regularly(
            f"{receptor} += {table}(t, i) * {table}_weight", when="synapses", clock=built.clock
        )
    )


def _refuse_draws(where: str, texts: Mapping[str, str | None]) -> None:
    for place, text in texts.items():
        found = _RANDOM.search(text or "")
        if found:
            raise NetworkError(
                f"{where} draws {found.group().rstrip('( ')} in its {place}, and Brian2 draws "
                "otherwise; compare a network without noise"
            )


def _refractory(brian2: Any, given: Any) -> Any:
    if given is None or given is False:
        return False
    if isinstance(given, str | brian2.Quantity):
        return given
    return float(given) * brian2.second


def constants(brian2: Any, whose: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return names -> quantities, from texts, quantities and numbers without a dimension."""
    return {
        name: brian2.Quantity.with_dimensions(number, dimension)
        for name, (number, dimension) in evaluated(given, whose).items()
    }


def variables_of(group: Any) -> list[str]:
    """Return the names of what is kept for every neuron; none for sources of spikes."""
    equations = getattr(group, "user_equations", None)
    return sorted(equations.diff_eq_names | equations.parameter_names) if equations else []
