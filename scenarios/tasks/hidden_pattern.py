"""A neuron finds a pattern that comes back again and again in noise, by STDP alone.

It begins by firing all the time and ends by firing once, within a few milliseconds, whenever the
pattern begins.

Source: Masquelier, Guyonneau & Thorpe 2008. Departures: a clock of 0.1 ms, which Hathway &
Goodman 2018 found short enough; the start weight, the steps and their ratio of 0.35, 2^-6 and
0.83, with which every seed finds the pattern, in place of 0.475, 2^-5 and 0.85.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log

import numpy as np
import numpy.typing as npt
import torch

from biosim.events import Kind
from biosim.network import Network, Population, Projection
from biosim.simulation import Simulation
from biosim.spiking.description import Sparse, SpikeList, Spiking
from biosim.spiking.recording import Recording, SpikeRecord
from biosim.wiring import AllToAll
from scenarios.tasks.listening import Listener
from scenarios.tasks.pattern_input import TICKS_A_MS, drawn
from scenarios.tasks.schema import SECTION_MS, HiddenPattern

DT = 1e-3 / TICKS_A_MS
AFFERENTS, NEURON = "afferents", "neuron"
LEARNS = "afferents-neuron"

TAU_M_MS, TAU_S_MS = 10.0, 2.5
THRESHOLD = 500.0
PART_TICKS = 50_000
"""Of the input, what the machine is told at a time; the pattern never lies across its end."""


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


def network(scenario: HiddenPattern) -> Network:
    """Return the network; its afferents are told what to fire while it runs."""
    none = np.zeros(0, dtype=np.int64)
    task, rule = scenario.task, scenario.rule
    synapses = Sparse(AllToAll(), task.weight, synapse=rule.synapse())
    return Network(
        (
            Population(AFFERENTS, task.afferents, SpikeList(none, none)),
            Population(NEURON, 1, rule.neuron(neuron())),
        ),
        (Projection(LEARNS, AFFERENTS, NEURON, "spikes", "x", Kind.SPIKE, 1, synapses),),
        dt=DT,
    )


@dataclass(frozen=True, eq=False)
class Part:
    """What the neuron did in a part of the input.

    Args:
        begin: tick of the run.
        end: tick of the run, not in it.
        starts: (n,) tick of the run at which each presentation begins.
        latency_ms: (n,) time of the first spike in each presentation; NaN if there is none.
        false_alarms: spikes outside of them.
        last: whether the input is shown for the last time.
    """

    begin: int
    end: int
    starts: npt.NDArray[np.int64]
    latency_ms: npt.NDArray[np.float64]
    false_alarms: int
    last: bool


@dataclass(frozen=True)
class Judged:
    """How well the pattern is found.

    Args:
        hits: share of presentations in which the neuron fires.
        false_alarms_hz: its spikes outside of them.
        latency_ms: mean time of its first spike in a presentation, from the beginning of that;
            infinite if it never fires in one.
    """

    hits: float
    false_alarms_hz: float
    latency_ms: float

    @property
    def found(self) -> bool:
        """Whether hits, false alarms and latency are good together."""
        return self.hits >= 0.9 and self.false_alarms_hz <= 0.1 and self.latency_ms <= 10.0


def ticks(scenario: HiddenPattern) -> int:
    """Return how long the whole is."""
    task = scenario.task
    return task.repeats * task.sections * SECTION_MS * TICKS_A_MS


def heard(
    spikes: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], int]:
    """Return the latency in each presentation in ms, (n,), and the number of false alarms.

    Args:
        spikes: (n_spikes,) ticks of the neuron, in order.
        starts: (n,) ticks at which presentations begin, in order.
    """
    latency = np.full(len(starts), np.nan)
    if not len(starts):
        return latency, len(spikes)
    at = np.searchsorted(starts, spikes, side="right") - 1
    since = spikes - starts[np.maximum(at, 0)]
    within = (at >= 0) & (since < SECTION_MS * TICKS_A_MS)
    which, first = np.unique(at[within], return_index=True)
    latency[which] = since[within][first] / TICKS_A_MS
    return latency, int(len(spikes) - within.sum())


def judged(latency_ms: npt.NDArray[np.float64], false_alarms: int, seconds: float) -> Judged:
    """Return the figures of some presentations, as `heard` gives them, and of so many seconds."""
    hit = np.isfinite(latency_ms)
    mean = float(latency_ms[hit].mean()) if hit.any() else float("inf")
    return Judged(float(hit.mean()), false_alarms / seconds, mean)


def parts(scenario: HiddenPattern, sim: Simulation, listener: Listener) -> Iterator[Part]:
    """Show the whole input, and yield what came of each part of it.

    Args:
        scenario: what is shown.
        sim: of its network, at tick 0.
        listener: to the neuron, the simulation's sink.
    """
    assert sim.machine is not None
    repeats = scenario.task.repeats
    given = drawn(scenario.task, scenario.run.seed)
    for repeat in range(repeats):
        for start in range(0, given.length, PART_TICKS):
            end, shift = min(start + PART_TICKS, given.length), repeat * given.length
            lo, hi = np.searchsorted(given.ticks, (start, end))
            sim.machine.fire(
                AFFERENTS, given.neurons[lo:hi], given.ticks[lo:hi].astype(np.int64) + shift
            )
            sim.run_to(shift + end)
            starts = given.starts[(given.starts >= start) & (given.starts < end)] + shift
            found = heard(listener.taken(NEURON), starts)
            yield Part(shift + start, shift + end, starts, *found, repeat == repeats - 1)


def verdict(latest: list[Part]) -> Judged:
    """Return the figures of the last time that the input was shown."""
    chosen = [part for part in latest if part.last]
    seconds = (chosen[-1].end - chosen[0].begin) * DT
    latency = np.concatenate([part.latency_ms for part in chosen])
    return judged(latency, sum(part.false_alarms for part in chosen), seconds)


def run(scenario: HiddenPattern) -> tuple[Judged, npt.NDArray[np.float64]]:
    """Return what a neuron makes of its input, and its weights at the end, (n_afferents,)."""
    listener = Listener((NEURON,))
    sim = Simulation(
        network(scenario),
        seed=scenario.run.seed,
        dtype=getattr(torch, scenario.run.dtype),
        threads=scenario.run.threads,
        recording=Recording(spikes=(SpikeRecord(NEURON),)),
        sink=listener,
    )
    found = verdict(list(parts(scenario, sim, listener)))
    assert sim.machine is not None
    return found, np.asarray(sim.machine.weights(LEARNS)[2]["w"], dtype=np.float64)
