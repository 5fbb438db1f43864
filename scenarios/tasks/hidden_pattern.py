"""A neuron finds a pattern that comes back again and again in noise, by STDP alone.

It begins by firing all the time and ends by firing once, within a few milliseconds, whenever the
pattern begins.

Source: Masquelier, Guyonneau & Thorpe 2008. Departures: a clock of 0.1 ms, which Hathway &
Goodman 2018 found short enough; the start weight, the steps and their ratio of 0.35, 2^-6 and
0.83, with which every seed finds the pattern, in place of 0.475, 2^-5 and 0.85.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, log

import numpy as np
import numpy.typing as npt
import torch

from biosim.events import Kind
from biosim.network import Network, Population, Projection
from biosim.simulation import Simulation
from biosim.spiking.description import Sparse, SpikeList, Spiking
from biosim.spiking.recording import MemorySink, Recording, SpikeRecord
from biosim.wiring import AllToAll
from rules import Stdp, SynapseRule
from scenarios.tasks.pattern_input import SECTION_MS, TICKS_A_MS, PatternInput, PatternSpikes, drawn

DT = 1e-3 / TICKS_A_MS
AFFERENTS, NEURON = "afferents", "neuron"
LEARNS = "afferents-neuron"

TAU_M_MS, TAU_S_MS = 10.0, 2.5
THRESHOLD = 500.0
TOLD_AT_ONCE = 50_000
"""Ticks of input that the machine is told at a time."""


def _peak() -> float:
    """Return the greatest value of exp(-t/tau_m) - exp(-t/tau_s)."""
    t = log(TAU_M_MS / TAU_S_MS) * TAU_M_MS * TAU_S_MS / (TAU_M_MS - TAU_S_MS)
    return exp(-t / TAU_M_MS) - exp(-t / TAU_S_MS)


def neuron() -> Spiking:
    """Return the neuron of the paper, a spike response model, as two linear equations.

    A spike of an afferent lifts u by w (exp(-t/tau_m) - exp(-t/tau_s)) / peak. A spike of its own
    wipes out all that was before, and sets u to twice the threshold, from where it goes on as
    T (4 exp(-t/tau_s) - 2 exp(-t/tau_m)). It exceeds the threshold for another 0.85 ms, which
    is the spike and not another one.
    """
    return Spiking(
        model="""
            du/dt = -u/tau_m + x*(tau_m - tau_s)/(tau_m*tau_s*peak) : 1
            dx/dt = -x/tau_s : 1""",
        threshold="u > threshold",
        reset="u = 2*threshold; x = -4*threshold*peak",
        refractory="1*ms",
        method="exact",
        constants={
            "tau_m": f"{TAU_M_MS!r}*ms",
            "tau_s": f"{TAU_S_MS!r}*ms",
            "peak": _peak(),
            "threshold": THRESHOLD,
        },
        integration="clock",
    )


def rule() -> Stdp:
    """Return the rule of the paper: of all pairs, only those with no other spike between them."""
    step = 2.0**-6
    return Stdp(
        pairing="immediate",
        a_plus=step,
        a_minus=0.83 * step,
        tau_plus_ms=16.8,
        tau_minus_ms=33.7,
    )


@dataclass(frozen=True)
class HiddenPattern:
    """The task.

    Args:
        given: the input.
        repeats: how often all of it is shown; the last time is judged.
        rule: of the synapses.
        weight: at the start.
    """

    given: PatternInput = field(default_factory=PatternInput)
    repeats: int = 3
    rule: SynapseRule = field(default_factory=rule)
    weight: float = 0.35

    def network(self) -> Network:
        """Return the network; its afferents are told what to fire while it runs."""
        none = np.zeros(0, dtype=np.int64)
        return Network(
            (
                Population(AFFERENTS, self.given.afferents, SpikeList(none, none)),
                Population(NEURON, 1, neuron()),
            ),
            (
                Projection(
                    LEARNS,
                    AFFERENTS,
                    NEURON,
                    "spikes",
                    "x",
                    Kind.SPIKE,
                    1,
                    Sparse(AllToAll(), self.weight, synapse=self.rule.synapse()),
                ),
            ),
            dt=DT,
        )


@dataclass(frozen=True, eq=False)
class Judged:
    """How well the pattern is found, in the last repetition of the input.

    Args:
        hits: share of presentations in which the neuron fires.
        false_alarms_hz: its spikes outside of them.
        latency_ms: mean time of its first spike in a presentation, from the beginning of that;
            infinite if it never fires in one.
        weights: (n_afferents,) at the end.
        ticks: (n_spikes,) of the neuron, of the whole run.
    """

    hits: float
    false_alarms_hz: float
    latency_ms: float
    weights: npt.NDArray[np.float64]
    ticks: npt.NDArray[np.int64]

    @property
    def found(self) -> bool:
        """Whether hits, false alarms and latency are good together."""
        return self.hits >= 0.9 and self.false_alarms_hz <= 0.1 and self.latency_ms <= 10.0


def judged(spikes: npt.NDArray[np.int64], given: PatternSpikes) -> tuple[float, float, float]:
    """Return hits, false alarms in hertz and latency in milliseconds; see `Judged`.

    Args:
        spikes: (n,) ticks of the neuron, from the beginning of the input, in order.
        given: the input.
    """
    at = np.searchsorted(given.starts, spikes, side="right") - 1
    since = spikes - given.starts[np.maximum(at, 0)]
    within = (at >= 0) & (since < SECTION_MS * TICKS_A_MS)
    _, first = np.unique(at[within], return_index=True)
    latency = float(since[within][first].mean()) / TICKS_A_MS if len(first) else float("inf")
    alarms = int(len(spikes) - within.sum())
    return len(first) / len(given.starts), alarms / (given.length * DT), latency


def run(task: HiddenPattern, seed: int, dtype: torch.dtype = torch.float32) -> Judged:
    """Return what a neuron makes of the input that belongs to a seed."""
    given = drawn(task.given, seed)
    sink = MemorySink()
    recording = Recording(spikes=(SpikeRecord(NEURON),))
    sim = Simulation(task.network(), seed=seed, dtype=dtype, recording=recording, sink=sink)
    assert sim.machine is not None
    for repeat in range(task.repeats):
        for start in range(0, given.length, TOLD_AT_ONCE):
            end = min(start + TOLD_AT_ONCE, given.length)
            lo, hi = np.searchsorted(given.ticks, (start, end))
            shift = repeat * given.length
            ticks = given.ticks[lo:hi].astype(np.int64) + shift
            sim.machine.fire(AFFERENTS, given.neurons[lo:hi], ticks)
            sim.run_to(shift + end)
    ticks = np.asarray(sink.spikes[NEURON].ticks)
    last = ticks[ticks >= (task.repeats - 1) * given.length] - (task.repeats - 1) * given.length
    weights = np.asarray(sim.machine.weights(LEARNS)[2]["w"], dtype=np.float64)
    return Judged(*judged(last, given), weights, ticks)
