"""What a spiking run starts from, and what it gives: the same words for every simulator.

Two simulators can be compared spike by spike only if both begin with the same numbers, so here
connectivity and start values are explicit arrays and nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from biosim.spiking.recording import Spikes

if TYPE_CHECKING:
    from biosim.network import Network


class Joined(NamedTuple):
    """The synapses of one projection, one entry each, in any order.

    Args:
        sources: (n_synapses,) neuron that sends.
        targets: (n_synapses,) neuron that receives.
        weights: (n_synapses,) in SI units.
        delays: (n_synapses,) ticks, at least 1.
        others: further variables of a synapse -> (n_synapses,) values in SI units.
    """

    sources: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    delays: npt.NDArray[np.int64]
    others: Mapping[str, npt.NDArray[np.float64]] = {}


@dataclass(frozen=True, eq=False)
class Start:
    """Where a run begins.

    Args:
        variables: population -> variable -> (size,) values in SI units; what is not named is 0.
        synapses: projection -> its synapses.
    """

    variables: Mapping[str, Mapping[str, npt.NDArray[np.float64]]] = field(default_factory=dict)
    synapses: Mapping[str, Joined] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run gave.

    Args:
        ticks: how many ticks were run.
        spikes: population -> its spikes.
        variables: population -> variable -> (size,) values after the last tick.
        synapses: projection -> variable -> (n_synapses,) values after the last tick, in the
            order of the start; without event-driven traces, whose values between events are a
            matter of when they are asked for.
        samples: population -> variable -> (n_samples, size) values, taken just before the state
            update of every `every`-th tick.
        every: ticks from sample to sample.
    """

    ticks: int
    spikes: Mapping[str, Spikes]
    variables: Mapping[str, Mapping[str, npt.NDArray[np.float64]]]
    synapses: Mapping[str, Mapping[str, npt.NDArray[np.float64]]]
    samples: Mapping[str, Mapping[str, npt.NDArray[np.float64]]] = field(default_factory=dict)
    every: int = 1


def in_order(ticks: npt.ArrayLike, neurons: npt.ArrayLike) -> Spikes:
    """Return spikes in the order (tick, neuron)."""
    at = np.asarray(ticks, dtype=np.int64)
    who = np.asarray(neurons, dtype=np.uint32)
    order = np.lexsort((who, at))
    return Spikes(at[order], who[order])


def drawn_start(network: Network, seed: int) -> Start:
    """Return where a simulation of this seed begins, all ranks together.

    Synapses are in the order of their targets, those of one target in the order of its list.

    Raises:
        NetworkError: wiring, weights or delays are impossible.
        EquationError: equations or values cannot be taken.
    """
    # Only who draws needs the kernels' compiler.
    from biosim.spiking.building import Wires
    from biosim.spiking.initial import start_values
    from biosim.spiking.layout import Layout
    from biosim.spiking.shard import Shard

    layout = Layout(network)
    shard = Shard(layout, 0, 1, "float64")
    variables = {
        network.populations[i].name: start_values(layout, i, *shard.slices[i], seed)
        for i in layout.neurons
    }
    wires = Wires(layout, seed)
    others = {}
    for p in layout.plastic:
        synapse = layout.sparse(p.projection).synapse
        assert synapse is not None
        names = [v.name for v in (*p.code.variables, *p.code.shared_variables) if v.name != "w"]
        traces = (*p.code.pre_traces, *p.code.post_traces, *p.code.own_traces)
        # A trace that nothing is said of starts at 0, here and in every simulator.
        names += [t.name for t in traces if t.name in synapse.initial]
        others[p.projection] = {name: wires.initial(p.projection, name) for name in names}
    synapses = {}
    for i in (*layout.static, *others):
        part = wires.part(i, shard, 0)
        drawn = [
            (
                stretch.sources,
                stretch.targets(),
                part.weight.draw(stretch, "weight"),
                part.delay.draw(stretch, "delay"),
                *(of.draw(stretch, f"initial {name}") for name, of in others.get(i, {}).items()),
            )
            for stretch in part.stretches()
        ]
        pre, post, weights, delays, *rest = (
            np.concatenate(column) for column in zip(*drawn, strict=True)
        )
        synapses[network.projections[i].name] = Joined(
            pre.astype(np.int64),
            post.astype(np.int64),
            weights,
            delays.astype(np.int64),
            dict(zip(others.get(i, {}), rest, strict=True)),
        )
    return Start(variables, {p.name: synapses[p.name] for p in network.projections})
