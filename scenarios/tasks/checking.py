"""Everything about a task that can be refused, refused before anything is built."""

from __future__ import annotations

from dataclasses import replace

from biosim.network import Network
from biosim.spiking.layout import Layout
from biosim.spiking.recording import Recording, SpikeRecord, WeightRecord
from scenarios.spiking.checking import tried
from scenarios.spiking.disk import Stored, stored
from scenarios.spiking.memory import Estimate, check_memory
from scenarios.tasks import hidden_pattern, reward_choice
from scenarios.tasks.pattern_input import needed_bytes
from scenarios.tasks.schema import HiddenPattern, TaskScenario


def check(scenario: TaskScenario) -> tuple[Network, Estimate]:
    """Return the network of a task, its rule tried, and what it is expected to need.

    Raises:
        BiosimError: the rule cannot be used here, or input or network do not fit in memory.
    """
    run = scenario.run
    if isinstance(scenario, HiddenPattern):
        network, input_bytes = hidden_pattern.network(scenario), needed_bytes(scenario.task)
    else:
        network, input_bytes = reward_choice.network(scenario), 0
    _, needs = tried(network, run.seed, run.threads, run.dtype)
    needs = replace(needs, total_bytes=needs.total_bytes + input_bytes)
    check_memory(needs)
    return network, needs


def stores(scenario: TaskScenario, network: Network) -> Stored:
    """Return what a task is expected to store.

    Args:
        scenario: of the task.
        network: its own, as `check` returns it.
    """
    heard: tuple[str, ...]
    learn: tuple[str, ...]
    if isinstance(scenario, HiddenPattern):
        ticks, every = hidden_pattern.ticks(scenario), hidden_pattern.PART_TICKS
        heard, learn = (hidden_pattern.NEURON,), (hidden_pattern.LEARNS,)
    else:
        ticks = reward_choice.ticks(scenario)
        every = reward_choice.TRIALS_A_SNAPSHOT * ticks // scenario.task.trials
        heard, learn = (reward_choice.STIMULI, *reward_choice.ACTIONS), reward_choice.LEARN
    recording = Recording(
        tuple(SpikeRecord(name) for name in heard),
        weights=tuple(WeightRecord(name, every) for name in learn),
    )
    return stored(Layout(network), recording, ticks, scenario.run.dtype)
