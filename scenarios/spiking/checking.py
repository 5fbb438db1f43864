"""Everything about a spiking scenario that can be refused, refused before anything is built."""

from __future__ import annotations

from dataclasses import dataclass

from biosim.errors import BiosimError, ScenarioError
from biosim.spiking import building
from biosim.spiking.description import PoissonInput, PoissonSource, Sparse
from biosim.spiking.initial import set_initial
from biosim.spiking.layout import Layout
from biosim.spiking.recording import RecordingError
from biosim.spiking.samples import Samples
from biosim.spiking.shard import Shard
from biosim.spiking.synapses import greatest_effect
from scenarios.spiking.memory import Estimate, check_memory, estimate
from scenarios.spiking.network import Described
from scenarios.spiking.places import placed
from scenarios.spiking.schema import SpikingScenario


@dataclass(frozen=True, eq=False)
class Checked:
    """A spiking scenario that can be run.

    Args:
        described: its network, what is recorded, how many ticks.
        needs: what it is expected to need.
    """

    described: Described
    needs: Estimate


def check(scenario: SpikingScenario) -> Checked:
    """Return what a scenario describes, every equation and value of it tried.

    Raises:
        BiosimError: something is impossible; the message names the table, the equation, and what
            was expected. Or the network does not fit in memory.
    """
    described = Described(scenario)
    run = scenario.run
    with placed(described.tables):
        layout = Layout(described.network)
        wires = building.Wires(layout, run.seed)
        _check_sources(layout)
        for stimulus in described.network.stimuli:
            if isinstance(stimulus, PoissonInput):
                building.poisson_rates(layout, stimulus)
                building.poisson_weight(layout, stimulus)
        for plastic in layout.plastic:
            projection = described.network.projections[plastic.projection]
            for effect in (*plastic.code.effects, *plastic.code.post_effects):
                greatest_effect(plastic.code, effect.variable, projection.name)
    needs = estimate(layout, wires, run.threads * run.pretend_ranks, run.dtype)
    check_memory(needs)
    with placed(described.tables):
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
    return Checked(described, needs)


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
