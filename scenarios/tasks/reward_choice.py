"""Two populations learn from reward alone which of them is to answer which of two stimuli.

In each trial one group of inputs fires. The two populations of actions inhibit each other, so
that noise and weights decide which one wins; the one with more spikes is the choice. A moment
later dopamine rises if it was right and dips if it was wrong. Which action is right for which
stimulus is drawn for each seed and told to nobody.

Source: Izhikevich 2007, the experiment on stimulus and response, with dips of dopamine in place
of competition between many more synapses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from biosim.draws import Draws
from biosim.events import Kind
from biosim.network import Network, Population, Projection
from biosim.simulation import Simulation
from biosim.spiking.description import PoissonInput, Sparse, SpikeList, Spiking, Value
from biosim.spiking.recording import MemorySink, Recording, SpikeRecord
from biosim.wiring import AllToAll
from rules import RewardStdp

DT = 1e-3
STIMULI, ACTIONS = "stimuli", ("left", "right")

Reward = Literal["contingent", "shuffled", "none"]
"""Who decides on reward: the choice, a coin, or nobody."""


def rule() -> RewardStdp:
    """Return the rule: being active together makes eligible, before or after."""
    return RewardStdp(
        rate_hz=0.1, a_plus=0.1, a_minus=0.05, tau_c_ms=300.0, tau_d_ms=100.0, w_max="2*mV"
    )


@dataclass(frozen=True)
class RewardChoice:
    """The task.

    Args:
        trials: how many.
        inputs: neurons of each of the two groups of inputs.
        neurons: of each of the two populations of actions.
        rate_hz: of the inputs that are stimulated.
        stimulus_ms: how long they are; what counts as the choice.
        wait_ms: from the end of the stimulus to the reward.
        rest_ms: from the reward to the next trial.
        rule: of the synapses from inputs to actions.
        reward: who decides on it.
    """

    trials: int = 300
    inputs: int = 30
    neurons: int = 20
    rate_hz: float = 40.0
    stimulus_ms: int = 150
    wait_ms: int = 50
    rest_ms: int = 300
    rule: RewardStdp = field(default_factory=rule)
    reward: Reward = "contingent"

    @property
    def trial_ms(self) -> int:
        """Length of a trial, in ticks too."""
        return self.stimulus_ms + self.wait_ms + self.rest_ms

    def network(self) -> Network:
        """Return the network; its inputs are told what to fire while it runs."""
        none = np.zeros(0, dtype=np.int64)
        left, right = ACTIONS

        def joined(source: str, target: str, weight: Value, learns: bool = False) -> Projection:
            synapse = self.rule.synapse() if learns else None
            sparse = Sparse(AllToAll(), weight, synapse=synapse)
            return Projection(
                f"{source}-{target}", source, target, "spikes", "v", Kind.SPIKE, 1, sparse
            )

        return Network(
            (
                Population(STIMULI, 2 * self.inputs, SpikeList(none, none)),
                *(Population(action, self.neurons, _neuron()) for action in ACTIONS),
            ),
            (
                *(joined(STIMULI, action, "0.5*mV", learns=True) for action in ACTIONS),
                joined(left, right, "-1*mV"),
                joined(right, left, "-1*mV"),
            ),
            dt=DT,
            stimuli=tuple(
                PoissonInput(f"noise-{action}", action, "v", "500*Hz", "1.5*mV")
                for action in ACTIONS
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


@dataclass(frozen=True, eq=False)
class Choices:
    """What was chosen.

    Args:
        right: (n_trials,) whether each choice was right.
        spikes: (n_trials, 2) of each action while it was chosen.
    """

    right: npt.NDArray[np.bool_]
    spikes: npt.NDArray[np.int64]

    def share_right(self, last: int) -> float:
        """Return the share of right choices in the last so many trials."""
        return float(self.right[-last:].mean())


def run(task: RewardChoice, seed: int, dtype: torch.dtype = torch.float32) -> Choices:
    """Return the choices of a network that belongs to a seed."""
    sink = MemorySink()
    recording = Recording(spikes=tuple(SpikeRecord(action) for action in ACTIONS))
    sim = Simulation(task.network(), seed=seed, dtype=dtype, recording=recording, sink=sink)
    assert sim.machine is not None
    swapped = Draws(seed, "choice/mapping").words([0], 1)[0, 0] & 1
    stimuli = Draws(seed, "choice/stimuli").words(np.arange(task.trials), 1)[:, 0] & 1
    coins = Draws(seed, "choice/coins").words(np.arange(task.trials), 1)[:, 0] & 1
    right, counted = [], []
    for trial, stimulus in enumerate(stimuli):
        start = trial * task.trial_ms
        neurons, ticks = _stimulus(task, seed, trial, int(stimulus))
        sim.machine.fire(STIMULI, neurons, ticks + start)
        end = start + task.stimulus_ms
        sim.run_to(end + task.wait_ms)
        counts = [_between(sink, action, start, end) for action in ACTIONS]
        # A tie is a choice of neither.
        good = counts[stimulus ^ swapped] > counts[1 - (stimulus ^ swapped)]
        if task.reward != "none":
            pleased = good if task.reward == "contingent" else bool(coins[trial])
            for action in ACTIONS:
                sim.machine.modulate(f"{STIMULI}-{action}", "dopamine", 1.0 if pleased else -1.0)
        right.append(good)
        counted.append(counts)
    return Choices(np.array(right), np.array(counted))


def _stimulus(
    task: RewardChoice, seed: int, trial: int, stimulus: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return neurons and ticks, from the trial's start, of the inputs' spikes."""
    draws = Draws(seed, "choice/spikes")
    chance = draws.uniform(np.arange(task.stimulus_ms), task.inputs, counter=trial)
    ticks, neurons = np.nonzero(chance < task.rate_hz * DT)
    return neurons + stimulus * task.inputs, ticks


def _between(sink: MemorySink, action: str, start: int, end: int) -> int:
    ticks = sink.spikes[action].ticks
    return int(np.searchsorted(ticks, end) - np.searchsorted(ticks, start))
