"""Holds a simulation against Brian2, and tells how far Brian2 can be held against itself."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from biosim.brian_twin.build import refuse
from biosim.brian_twin.parting import compare
from biosim.brian_twin.running import Codegen, run
from biosim.network import Network
from biosim.simulation import Simulation
from biosim.spiking.description import PoissonInput, PoissonSource, Sparse
from biosim.spiking.recording import MemorySink, Recording, SpikeRecord, Spikes, WeightRecord
from biosim.spiking.reference.sources import Input
from biosim.spiking.start import Outcome, Start, drawn_start, in_order

NUDGE = 1e-13
"""Relative change of the start: what a thousand roundings may come to."""


def check(network: Network, seed: int, ticks: int, *, codegen: Codegen = "numpy") -> list[str]:
    """Simulate a network here and in Brian2, both in float64, and say where the two part.

    Args:
        network: spiking populations only.
        seed: of every random number; what is drawn here is replayed in Brian2.
        ticks: how long.
        codegen: Brian2's code: "numpy" needs no compiler, "cpp_standalone" is the fastest.

    Returns:
        What to tell a reader, one line each.

    Raises:
        NetworkError: the network has something that Brian2 cannot be given.
        EquationError: equations cannot be taken.
    """
    refuse(network)
    start = drawn_start(network, seed)
    ours = simulated(network, start, seed, ticks)
    replay = {
        population.name: ours.spikes[population.name]
        for population in network.populations
        if isinstance(population.model, PoissonSource)
    }
    counts = drawn_counts(network, seed, ticks)
    theirs = run(network, start, ticks, codegen=codegen, replay=replay, counts=counts)
    parting = compare(ours, theirs)
    lines = [*_mapped(network, replay, counts), *parting.lines()]
    if not parting.same_spikes:
        moved = run(network, nudged(start), ticks, codegen=codegen, replay=replay, counts=counts)
        lines.append(_horizon(compare(theirs, moved).tick))
    return lines


def simulated(network: Network, start: Start, seed: int, ticks: int) -> Outcome:
    """Simulate ticks [0, ticks) in float64.

    Args:
        network: the description.
        start: of this network and seed; gives the order of the synapses.
        seed: of every random number.
        ticks: how long.
    """
    sink = MemorySink()
    plastic = [
        p.name
        for p in network.projections
        if isinstance(p.weights, Sparse) and p.weights.synapse is not None
    ]
    recording = Recording(
        spikes=tuple(SpikeRecord(population.name) for population in network.populations),
        weights=tuple(WeightRecord(name, every=ticks) for name in plastic),
    )
    simulation = Simulation(network, seed=seed, dtype=torch.float64, recording=recording, sink=sink)
    simulation.run_to(ticks)
    synapses: dict[str, dict[str, npt.NDArray[np.float64]]] = {}
    for name in plastic:
        joined = start.synapses[name]
        synapses[name] = {}
        if len(joined.sources):
            order = np.lexsort((joined.sources, joined.targets))
            for variable, rows in sink.weights[name].values.items():
                synapses[name][variable] = np.empty(len(order))
                synapses[name][variable][order] = rows[-1]
    silent = in_order([], [])
    spikes = {p.name: sink.spikes.get(p.name, silent) for p in network.populations}
    return Outcome(ticks, spikes, {}, synapses)


def drawn_counts(network: Network, seed: int, ticks: int) -> dict[str, npt.NDArray[np.int64]]:
    """Return what a simulation of this seed draws for each Poisson input: (ticks, size) spikes."""
    assert network.dt is not None
    counts = {}
    for stimulus in network.stimuli:
        if isinstance(stimulus, PoissonInput):
            target = network.populations[network.population_at[stimulus.target]]
            drawn = Input(stimulus, target, None, seed, network.dt)
            counts[stimulus.name] = np.array([drawn.counts(tick) for tick in range(ticks)])
    return counts


def nudged(start: Start, size: float = NUDGE) -> Start:
    """Return a start whose numbers are greater by a share of `size`."""
    return Start(
        {
            name: {variable: value * (1.0 + size) for variable, value in values.items()}
            for name, values in start.variables.items()
        },
        {
            name: joined._replace(weights=joined.weights * (1.0 + size))
            for name, joined in start.synapses.items()
        },
    )


def _mapped(
    network: Network, replay: Mapping[str, Spikes], counts: Mapping[str, npt.NDArray[np.int64]]
) -> list[str]:
    lines = ["delays: a delay of d ticks is one of d - 1 steps in Brian2, which delivers last"]
    drawn = [*replay, *counts]
    if drawn:
        lines.append(f"replayed in Brian2, which draws otherwise: {', '.join(drawn)}")
    if any(getattr(p.model, "integration", "clock") == "event" for p in network.populations):
        lines.append("event-driven populations are clock-driven in Brian2")
    return lines


def _horizon(tick: int | None) -> str:
    if tick is None:
        return (
            f"Brian2 itself gives the same spikes when its start is changed by {NUDGE:g} of it: "
            "this is no matter of rounding"
        )
    return (
        f"Brian2 parts from itself at tick {tick} when its start is changed by {NUDGE:g} of it: "
        "beyond that, rounding decides"
    )
