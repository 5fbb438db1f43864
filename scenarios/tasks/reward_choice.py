"""Two populations learn from reward alone which of them is to answer which of two stimuli.

In each trial one group of inputs fires. The two populations of actions inhibit each other, so
that noise and weights decide which one wins; the one with more spikes is the choice. A moment
later dopamine rises if it was right and dips if it was wrong. Which action is right for which
stimulus is drawn for each seed and told to nobody.

Source: Izhikevich 2007, the experiment on stimulus and response, with dips of dopamine in place
of competition between many more synapses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from biosim.draws import Draws
from biosim.events import Kind
from biosim.network import Network, Population, Projection
from biosim.simulation import Simulation
from biosim.spiking.description import PoissonInput, Sparse, SpikeList, Spiking, Value
from biosim.spiking.recording import Recording, SpikeRecord
from biosim.wiring import AllToAll
from scenarios.tasks.listening import Listener
from scenarios.tasks.schema import ChoiceTask, RewardChoice

DT = 1e-3
TRIALS_A_SNAPSHOT = 10
"""From one snapshot of weights to the next."""
STIMULI, ACTIONS = "stimuli", ("left", "right")
LEARN = tuple(f"{STIMULI}-{action}" for action in ACTIONS)


def network(scenario: RewardChoice) -> Network:
    """Return the network; its inputs are told what to fire while it runs."""
    none = np.zeros(0, dtype=np.int64)
    left, right = ACTIONS
    synapse = scenario.rule.synapse()

    def joined(source: str, target: str, weight: Value, learns: bool = False) -> Projection:
        sparse = Sparse(AllToAll(), weight, synapse=synapse if learns else None)
        return Projection(
            f"{source}-{target}", source, target, "spikes", "v", Kind.SPIKE, 1, sparse
        )

    return Network(
        (
            Population(STIMULI, 2 * scenario.task.inputs, SpikeList(none, none)),
            *(Population(action, scenario.task.neurons, _neuron()) for action in ACTIONS),
        ),
        (
            *(joined(STIMULI, action, "0.5*mV", learns=True) for action in ACTIONS),
            joined(left, right, "-1*mV"),
            joined(right, left, "-1*mV"),
        ),
        dt=DT,
        stimuli=tuple(
            PoissonInput(f"noise-{action}", action, "v", "500*Hz", "1.5*mV") for action in ACTIONS
        ),
    )


def _neuron() -> Spiking:
    return Spiking(
        model="dv/dt = -v/(20*ms) : volt (unless refractory)",
        threshold="v > 20*mV",
        reset="v = 0*mV",
        refractory="2*ms",
        method="exact",
        integration="clock",
    )


@dataclass(frozen=True)
class Trial:
    """What was chosen in one trial.

    Args:
        end: tick at which it ends, that of the reward and rest included.
        stimulus: 0 or 1.
        spikes: of each action while it was chosen; a tie is a choice of neither.
        right: whether the choice was right.
    """

    end: int
    stimulus: int
    spikes: tuple[int, ...]
    right: bool


def ticks(scenario: RewardChoice) -> int:
    """Return how long the whole is."""
    return scenario.task.trials * scenario.task.trial_ms


def trials(scenario: RewardChoice, sim: Simulation, listener: Listener) -> Iterator[Trial]:
    """Go through all trials, and yield what was chosen in each.

    Args:
        scenario: what is shown and rewarded.
        sim: of its network, at tick 0.
        listener: to both actions, the simulation's sink.
    """
    assert sim.machine is not None
    task, seed = scenario.task, scenario.run.seed
    swapped = int(Draws(seed, "choice/mapping").words([0], 1)[0, 0] & 1)
    stimuli = Draws(seed, "choice/stimuli").words(np.arange(task.trials), 1)[:, 0] & 1
    coins = Draws(seed, "choice/coins").words(np.arange(task.trials), 1)[:, 0] & 1
    for trial, stimulus in enumerate(stimuli.tolist()):
        start = trial * task.trial_ms
        neurons, at = _stimulus(task, seed, trial, stimulus)
        sim.machine.fire(STIMULI, neurons, at + start)
        sim.run_to(start + task.stimulus_ms)
        spikes = tuple(len(listener.taken(action)) for action in ACTIONS)
        sim.run_to(start + task.stimulus_ms + task.wait_ms)
        right = spikes[stimulus ^ swapped] > spikes[1 - (stimulus ^ swapped)]
        if task.reward != "none":
            pleased = right if task.reward == "contingent" else bool(coins[trial])
            for projection in LEARN:
                sim.machine.modulate(projection, "dopamine", 1.0 if pleased else -1.0)
        sim.run_to(start + task.trial_ms)
        for action in ACTIONS:
            listener.taken(action)  # of no choice
        yield Trial(start + task.trial_ms, stimulus, spikes, right)


def run(scenario: RewardChoice) -> npt.NDArray[np.bool_]:
    """Return which choices were right, (n_trials,)."""
    listener = Listener(ACTIONS)
    sim = Simulation(
        network(scenario),
        seed=scenario.run.seed,
        dtype=getattr(torch, scenario.run.dtype),
        threads=scenario.run.threads,
        recording=Recording(spikes=tuple(SpikeRecord(action) for action in ACTIONS)),
        sink=listener,
    )
    return np.array([trial.right for trial in trials(scenario, sim, listener)])


def _stimulus(
    task: ChoiceTask, seed: int, trial: int, stimulus: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return neurons and ticks, from the trial's start, of the inputs' spikes."""
    draws = Draws(seed, "choice/spikes")
    chance = draws.uniform(np.arange(task.stimulus_ms), task.inputs, counter=trial)
    at, neurons = np.nonzero(chance < task.rate_hz * DT)
    return neurons + stimulus * task.inputs, at
