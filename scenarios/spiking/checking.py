"""Everything about a spiking scenario that can be refused, refused before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from biosim.errors import BiosimError, ScenarioError
from biosim.kernels.emit import Precision
from biosim.network import Network, NetworkError
from biosim.spiking import building
from biosim.spiking.description import PoissonInput, PoissonSource, Sparse
from biosim.spiking.initial import set_initial
from biosim.spiking.layout import Layout
from biosim.spiking.recording import RecordingError
from biosim.spiking.samples import Samples
from biosim.spiking.shard import Shard
from biosim.spiking.synapses import greatest_effect
from biosim.wiring.values import Amount
from scenarios.spiking.disk import Stored, stored
from scenarios.spiking.memory import Estimate, check_memory, estimate
from scenarios.spiking.network import Described
from scenarios.spiking.places import placed
from scenarios.spiking.schema import SpikingScenario

BESIDE = 1e-9
"""What a weight may lie beside a bound, as a share: one number may be written in two ways."""


@dataclass(frozen=True, eq=False)
class Checked:
    """A spiking scenario that can be run.

    Args:
        described: its network, what is recorded, how many ticks.
        needs: what it is expected to need.
        stores: what it is expected to store.
    """

    described: Described
    needs: Estimate
    stores: Stored


def check(scenario: SpikingScenario) -> Checked:
    """Return what a scenario describes, every equation and value of it tried.

    Raises:
        BiosimError: something is impossible; the message names the table, the equation, and what
            was expected. Or the network does not fit in memory.
    """
    described = Described(scenario)
    run = scenario.run
    with placed(described.tables):
        layout, needs = tried(
            described.network, run.seed, run.threads * run.pretend_ranks, run.dtype
        )
        check_memory(needs)
        shard = Shard(layout, 0, 1, run.dtype)
        set_initial(layout, shard, run.seed)
    try:
        network = described.network
        joined = [p.name for p in network.projections if isinstance(p.weights, Sparse)]
        described.recording.check({p.name: p.size for p in network.populations}, joined)
        Samples(layout, [shard], described.recording)
        _check_snapshots(layout, described)
    except BiosimError as problem:
        raise ScenarioError(f"record: {problem}") from None
    stores = stored(layout, described.recording, described.ticks, run.dtype)
    return Checked(described, needs, stores)


def tried(
    network: Network, seed: int, shards: int, precision: Precision
) -> tuple[Layout, Estimate]:
    """Return the layout of a network, its equations and wiring tried, and what it needs.

    Args:
        network: with what drives it.
        seed: of the run.
        shards: threads times ranks.
        precision: "float32" or "float64".

    Raises:
        BiosimError: something is impossible; the message names the part of the network.
    """
    layout = Layout(network)
    wires = building.Wires(layout, seed)
    _check_sources(layout)
    for stimulus in network.stimuli:
        if isinstance(stimulus, PoissonInput):
            building.poisson_rates(layout, stimulus)
            building.poisson_weight(layout, stimulus)
    for plastic in layout.plastic:
        projection = network.projections[plastic.projection]
        for effect in (*plastic.code.effects, *plastic.code.post_effects):
            greatest_effect(plastic.code, effect.variable, projection.name)
        _check_bounds(projection.name, wires.weight[plastic.projection], plastic.code.clamps)
    return layout, estimate(layout, wires, shards, precision)


def _check_bounds(
    name: str, weight: Amount, bounds: Mapping[str, tuple[float | None, float | None]]
) -> None:
    """Check that weights begin within their bounds; those that are drawn without end may not."""
    least, most = bounds.get("w", (None, None))
    for value in weight.ends or ():
        below = least is not None and value < least - BESIDE * abs(least)
        if below or (most is not None and value > most + BESIDE * abs(most)):
            raise NetworkError(
                f"projection {name!r}, weight: begins at {value:g}; expected its bounds, "
                f"{least} to {most}, in the same unit: change the weight or the bounds"
            )


def _check_sources(layout: Layout) -> None:
    for i in layout.sources:
        population = layout.network.populations[i]
        if isinstance(population.model, PoissonSource):
            whose = f"population {population.name!r}"
            rate = building.of_neurons(population.model.rate, "Hz", population, whose, "rate")
            building.chances(rate * layout.dt, population.name)


def _check_snapshots(layout: Layout, described: Described) -> None:
    learning = [described.network.projections[p.projection].name for p in layout.plastic]
    for record in described.recording.weights:
        if record.projection not in learning:
            raise RecordingError(
                f"the weights of {record.projection!r} are to be recorded, but never change; "
                f"projections that learn: {', '.join(learning) or 'none'}"
            )
