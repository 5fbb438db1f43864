"""What a scenario needs on so many ranks, as figures: `biosim plan` prints them, jobs ask for them.

Speeds are measured on this machine, in a few seconds; a cluster's network is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass

from biosim.errors import ScenarioError
from biosim.network import Network
from biosim.spiking.description import Sparse
from hpc.calibration import LayerSpeed, SpikeSpeed, exchange_speed, layer_speed, spike_speed
from hpc.plan_layers import LayerPlan, Minibatch, planned
from hpc.plan_spiking import SpikePlan, SpikePlanner
from scenarios.data import Dataset
from scenarios.images.schema import ImagesScenario
from scenarios.reading import AnyScenario
from scenarios.scenario import Scenario
from scenarios.spiking.memory import PROGRAM_BYTES
from scenarios.spiking.rates import RATE_HZ
from scenarios.spiking.schema import SpikingScenario
from scenarios.tasks.schema import HiddenPattern, TaskScenario

COPIES = 3
"""Of samples: as they are read, as tensors, and while one becomes the other."""

COMPILER_BYTES = 200 << 20
"""Of Brian2's parser and the compiler of kernels, beside the program; 190 MiB were measured."""

FORWARD = 1.0 / 3.0
"""Of what a sample takes to be learnt, to be answered only."""

SHOWN_TO_EVALUATE = 1000
"""Training samples that are answered at each evaluation."""


@dataclass(frozen=True)
class Needs:
    """What the rank with most to do is expected to need.

    Args:
        memory_bytes: of its process.
        run_s: from the beginning to the end.
    """

    memory_bytes: float
    run_s: float


@dataclass(frozen=True)
class MeasuredLayers:
    """A network of layers on so many ranks, and on one.

    Args:
        found: on as many as there are.
        alone: on one.
        speed: of this machine.
    """

    found: LayerPlan
    alone: LayerPlan
    speed: LayerSpeed


def measured_layers(scenario: Scenario, network: Network, ranks: int) -> MeasuredLayers:
    """Return what a minibatch takes, by the speed that this machine has for such layers.

    Raises:
        ScenarioError: the ranks cannot be dealt out to replicas.
    """
    run, place = scenario.run, scenario.place
    replicas = place.replicas_on(ranks)
    period = None if run.period == "exact" else run.period
    number_bytes = 4 if run.dtype == "float32" else 8
    minibatch = Minibatch(run.batch_size, number_bytes, period, place.parts)
    largest = max(network.populations[1:-1], key=lambda population: population.size)
    speed = layer_speed(
        run.batch_size // place.parts,
        network.populations[0].size,
        largest.size,
        run.dtype == "float64",
    )
    exchange = exchange_speed()
    return MeasuredLayers(
        planned(network, ranks, minibatch, speed, exchange, replicas),
        planned(network, 1, minibatch, speed, exchange),
        speed,
    )


def spike_planner(
    scenario: SpikingScenario | ImagesScenario | TaskScenario, network: Network, rate_hz: float
) -> tuple[SpikePlanner, SpikeSpeed]:
    """Return what plans a spiking network for any number of ranks, and the speed it counts with."""
    run, speed = scenario.run, spike_speed(network, mostly_learns(network))
    planner = SpikePlanner(
        network, run.seed, run.threads, run.dtype, rate_hz, speed, exchange_speed()
    )
    return planner, speed


def slowest_s(found: SpikePlan) -> float:
    """Return the seconds that the rank with most to do takes for one of biological time."""
    return float(found.column(lambda share: share.compute_s + share.exchange_s).max())


def needs(scenario: AnyScenario, ranks: int) -> Needs:
    """Return what each of so many ranks will need at most, and how long they will take.

    Raises:
        BiosimError: the scenario cannot be run, or not on so many ranks.
    """
    if isinstance(scenario, Scenario):
        return _of_layers(scenario, ranks)
    if isinstance(scenario, ImagesScenario):
        return _of_images(scenario, ranks)
    if isinstance(scenario, SpikingScenario):
        # Only a network that spikes needs Brian2's parser.
        from scenarios.spiking.network import Described

        described = Described(scenario)
        return _of_spikes(scenario, described.network, ranks, described.ticks)
    return _of_task(scenario, ranks)


def _of_layers(scenario: Scenario, ranks: int) -> Needs:
    dataset = scenario.data.load()
    network, run = scenario.wire(dataset), scenario.run
    found = measured_layers(scenario, network, ranks).found
    share = max(
        2 * each.parameter_bytes + each.held_bytes + each.added_bytes for each in found.shares
    )
    minibatch_s = found.compute_s + found.exchange_s
    answered = SHOWN_TO_EVALUATE + len(dataset.validation) + len(dataset.test)
    evaluations = 1 + run.epochs // run.evaluate_every
    minibatches = run.epochs * (len(dataset.train) // run.batch_size)
    as_many = minibatches + FORWARD * evaluations * answered / run.batch_size
    return Needs(PROGRAM_BYTES + COPIES * _sample_bytes(dataset) + share, as_many * minibatch_s)


def _of_images(scenario: ImagesScenario, ranks: int) -> Needs:
    dataset, run, task = scenario.data.load(), scenario.run, scenario.task
    labelled = min(task.label_samples, len(dataset.train))
    evaluations = -(-run.epochs // run.evaluate_every)
    images = run.epochs * len(dataset.train) + evaluations * (labelled + len(dataset.test))
    ticks = images * (task.image_ticks + task.rest_ticks)
    found = _of_spikes(scenario, scenario.wire(dataset), ranks, ticks)
    return Needs(found.memory_bytes + COPIES * _sample_bytes(dataset), found.run_s)


def _of_task(scenario: TaskScenario, ranks: int) -> Needs:
    from scenarios.tasks import hidden_pattern, reward_choice
    from scenarios.tasks.checking import check

    if ranks > 1:
        raise ScenarioError(f"{scenario.name} is a task, which runs on one rank; got {ranks}")
    network, estimate = check(scenario)
    if isinstance(scenario, HiddenPattern):
        ticks = hidden_pattern.ticks(scenario)
    else:
        ticks = reward_choice.ticks(scenario)
    found = _of_spikes(scenario, network, 1, ticks)
    return Needs(max(found.memory_bytes, estimate.total_bytes), found.run_s)


def _of_spikes(
    scenario: SpikingScenario | ImagesScenario | TaskScenario,
    network: Network,
    ranks: int,
    ticks: int,
) -> Needs:
    planner, _ = spike_planner(scenario, network, RATE_HZ)
    found = planner.plan(ranks)
    memory = float(found.column(lambda share: share.total_bytes).max())
    return Needs(memory + COMPILER_BYTES, ticks * planner.layout.dt * slowest_s(found))


def _sample_bytes(dataset: Dataset) -> float:
    splits = (dataset.train, dataset.validation, dataset.test)
    return float(sum(split.x.nbytes for split in splits))


def mostly_learns(network: Network) -> bool:
    """Return whether more synapses learn than not."""
    learning = others = 0.0
    for projection in network.projections:
        if isinstance(projection.weights, Sparse):
            sizes = network.size(projection.source), network.size(projection.target)
            synapses = projection.weights.wiring.synapses(*sizes)
            if projection.weights.synapse is None:
                others += synapses
            else:
                learning += synapses
    return learning > others
