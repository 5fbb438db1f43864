"""One run of a task whose input is made while it runs: a scenario in, a directory of results out.

What is stored has the layout of a spiking run, so that reports read both alike, and in `learning`
how well the task is done as time goes on:

    hidden_pattern  end, hits, false_alarms, mean_latency [part]: of parts of the input;
                    start, latency [presentation]: NaN where the neuron did not fire
    reward_choice   stimulus, right, spikes_left, spikes_right [trial]
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from biosim.errors import DivergedError, OutputError
from biosim.network import Network
from biosim.ranks import StoppedError
from biosim.simulation import Simulation
from biosim.spiking.recording import Recording, Sink, SpikeRecord
from biosim.spiking.spike_store import StoreSink, write_neurons
from biosim.spiking.write_behind import WriteBehind
from biosim.store import STORE, RunStore, write_progress
from hpc.counting import CountingSink
from hpc.ending import ended
from hpc.output import check_free, make
from hpc.progress import Silent, Watcher
from hpc.provenance import git_state, host, now, versions
from hpc.run_spiking import SAID_EVERY_S
from hpc.spiking_result import (
    SpikingResult,
    numbered,
    owned,
    resolutions,
    summary,
    units,
)
from hpc.stopping import Heeding, status_of
from hpc.together import check_alone, run_together
from scenarios.spiking.disk import check_disk
from scenarios.tasks import hidden_pattern, reward_choice
from scenarios.tasks.checking import check, stores
from scenarios.tasks.listening import Listener
from scenarios.tasks.schema import HiddenPattern, RewardChoice, TaskScenario

LIMIT_S = 600.0
"""How long a rank waits for the others; a task has one."""

COMPARED_TRIALS = 100
"""First and last ones, of which the share of right choices is told."""


@dataclass(frozen=True)
class TaskResult:
    """What a run comes to.

    Args:
        network: what the network did.
        found: how well the task was done, by name.
    """

    network: SpikingResult
    found: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """Directory of the run."""
        return self.network.path


class _Task(Protocol):
    """How one kind of task goes on, and what is kept of it.

    Attributes:
        ticks: of the whole.
        dt: length of a tick in seconds.
        stored: populations whose spikes are kept.
        learn: projections whose weights are.
        curves: what is kept in `learning`, by name.
    """

    ticks: int
    dt: float
    stored: tuple[str, ...]
    learn: tuple[str, ...]
    curves: dict[str, _Curve]

    def steps(self, sim: Simulation, listener: Listener) -> Iterator[int]:
        """Do the task; yield the tick whenever something is to be kept."""

    def found(self) -> dict[str, Any]:
        """Return how well it was done."""


@dataclass(frozen=True, eq=False)
class _Curve:
    """An array that fills up as time goes on, NaN until then.

    Args:
        values: first dimension: parts, presentations or trials.
        dimensions: names.
        unit: of the values.
        about: what they are.
    """

    values: npt.NDArray[np.float64]
    dimensions: tuple[str, ...]
    unit: str
    about: str


def _curve(length: int, dimension: str, unit: str, about: str) -> _Curve:
    return _Curve(np.full(length, np.nan), (dimension,), unit, about)


def run_task(
    scenario: TaskScenario, out: str | Path, overwrite: bool, watcher: Watcher | None
) -> TaskResult:
    """Run a scenario and store what it does in the directory `out`; see `hpc.run.run`.

    A task makes no checkpoints: one that was interrupted begins anew.
    """
    check_alone(scenario.name, "a task runs on one rank")
    out = Path(out)
    check_free(out, overwrite)
    began_s = time.perf_counter()
    network, _ = check(scenario)
    check_disk(stores(scenario, network), out)
    run = _Run(scenario, network, out, overwrite, watcher or Silent())
    try:
        result = run_together(1, LIMIT_S, lambda ranks: run.complete(ranks, began_s))
    except DivergedError as failure:
        message = f"{failure}; it is in {out}"
        run.end("diverged", message)
        raise DivergedError(message) from None
    except StoppedError as failure:
        run.end(status_of(failure), str(failure))
        raise
    except BaseException as failure:
        run.end("failed", str(failure) or type(failure).__name__)
        raise
    run.end("complete", result=result)
    return result


def found_lines(found: Mapping[str, Any]) -> list[str]:
    """Return how well a task was done, as the store keeps it, for a terminal."""
    if "hits" in found:
        latency = found["latency_ms"]
        return [
            f"hits {100 * found['hits']:.1f} %, false alarms {found['false_alarms_hz']:.3f} Hz, "
            f"latency {'-' if latency is None else f'{latency:.1f} ms'}, while the input was shown "
            "for the last time",
            f"the pattern is {'found' if found['found'] else 'not found'}: that takes hits >= 90 "
            "%, false alarms <= 0.1 Hz and latency <= 10 ms",
        ]
    trials = found["trials"]
    return [
        f"right choices: {100 * found['first']:.1f} % of the first {trials} trials, "
        f"{100 * found['last']:.1f} % of the last {trials}"
    ]


class _Pattern:
    """The search for a pattern."""

    dt = hidden_pattern.DT
    stored: tuple[str, ...] = (hidden_pattern.NEURON,)
    learn: tuple[str, ...] = (hidden_pattern.LEARNS,)

    def __init__(self, scenario: HiddenPattern) -> None:
        self._scenario, task = scenario, scenario.task
        self.ticks = hidden_pattern.ticks(scenario)
        a_time = -(-self.ticks // task.repeats // hidden_pattern.PART_TICKS)
        parts, shown = task.repeats * a_time, task.repeats * task.presentations
        self.curves = {
            "end": _curve(parts, "part", "s", "end of the part"),
            "hits": _curve(parts, "part", "1", "share of presentations with a spike"),
            "false_alarms": _curve(parts, "part", "Hz", "spikes outside of presentations"),
            "mean_latency": _curve(parts, "part", "ms", "mean latency"),
            "start": _curve(shown, "presentation", "s", "when the pattern begins"),
            "latency": _curve(shown, "presentation", "ms", "of the first spike; NaN: none"),
        }
        self._last: list[hidden_pattern.Part] = []

    def steps(self, sim: Simulation, listener: Listener) -> Iterator[int]:
        """Show the whole input."""
        curves, seen = {name: curve.values for name, curve in self.curves.items()}, 0
        for k, part in enumerate(hidden_pattern.parts(self._scenario, sim, listener)):
            if part.last:
                self._last.append(part)
            curves["end"][k] = part.end * self.dt
            seconds, n = (part.end - part.begin) * self.dt, len(part.starts)
            curves["false_alarms"][k] = part.false_alarms / seconds
            if n:
                judged = hidden_pattern.judged(part.latency_ms, part.false_alarms, seconds)
                curves["hits"][k] = judged.hits
                curves["mean_latency"][k] = _finite(judged.latency_ms, np.nan)
            curves["start"][seen : seen + n] = part.starts * self.dt
            curves["latency"][seen : seen + n] = part.latency_ms
            seen += n
            yield part.end

    def found(self) -> dict[str, Any]:
        """Return the figures of the last time that the input was shown."""
        judged = hidden_pattern.verdict(self._last)
        latency = _finite(judged.latency_ms, None)
        return asdict(judged) | {"latency_ms": latency, "found": judged.found}


class _Choices:
    """Choices for a reward."""

    dt = reward_choice.DT
    stored: tuple[str, ...] = (reward_choice.STIMULI, *reward_choice.ACTIONS)
    learn: tuple[str, ...] = reward_choice.LEARN

    def __init__(self, scenario: RewardChoice) -> None:
        self._scenario = scenario
        self.ticks = reward_choice.ticks(scenario)
        n = scenario.task.trials
        self.curves = {
            "stimulus": _curve(n, "trial", "1", "0 or 1"),
            "right": _curve(n, "trial", "1", "whether the choice was right"),
        }
        for action in reward_choice.ACTIONS:
            self.curves[f"spikes_{action}"] = _curve(n, "trial", "1", "of all its neurons")

    def steps(self, sim: Simulation, listener: Listener) -> Iterator[int]:
        """Go through all trials."""
        curves = {name: curve.values for name, curve in self.curves.items()}
        for k, trial in enumerate(reward_choice.trials(self._scenario, sim, listener)):
            curves["stimulus"][k], curves["right"][k] = trial.stimulus, trial.right
            for action, spikes in zip(reward_choice.ACTIONS, trial.spikes, strict=True):
                curves[f"spikes_{action}"][k] = spikes
            if (k + 1) % reward_choice.TRIALS_A_SNAPSHOT == 0 or trial.end == self.ticks:
                yield trial.end

    def found(self) -> dict[str, Any]:
        """Return the share of right choices at the start and at the end."""
        right = self.curves["right"].values
        n = min(COMPARED_TRIALS, -(-len(right) // 2))
        return {"trials": n, "first": float(right[:n].mean()), "last": float(right[-n:].mean())}


class _Run:
    """A run and its directory."""

    def __init__(
        self,
        scenario: TaskScenario,
        network: Network,
        out: Path,
        overwrite: bool,
        watcher: Watcher,
    ) -> None:
        self._scenario, self._network, self._watcher = scenario, network, watcher
        self._out, self._overwrite = out, overwrite
        self._task: _Task = (
            _Pattern(scenario) if isinstance(scenario, HiddenPattern) else _Choices(scenario)
        )
        self._store: RunStore | None = None
        self._said_s = 0.0

    def complete(self, ranks: Heeding, began_s: float) -> TaskResult:
        """Build and run the network, and store what it does.

        Args:
            ranks: this one, which heeds signals.
            began_s: when the run began.
        """
        task, settings = self._task, self._scenario.run
        sizes = {population.name: population.size for population in self._network.populations}
        asked = Recording(tuple(SpikeRecord(name) for name in task.stored))
        listener, counting = Listener(task.stored), CountingSink(asked, sizes)
        listener.behind = counting
        sim = Simulation(
            self._network,
            seed=settings.seed,
            ranks=ranks,
            dtype=getattr(torch, settings.dtype),
            threads=settings.threads,
            recording=Recording(tuple(SpikeRecord(name) for name in sizes)),
            sink=listener,
        )
        machine = sim.machine
        assert machine is not None
        # Everything that can be refused has been: from here on there are results.
        make(self._out, self._overwrite)
        store = self._store = RunStore(self._out / STORE, "w")
        store.describe(self._attributes())
        write_neurons(store, *numbered(machine.layout, settings.seed), units(machine))
        for name, curve in task.curves.items():
            about = {"units": curve.unit, "long_name": curve.about}
            shape = curve.values.shape
            store.allocate(f"learning/{name}", shape, np.float64, curve.dimensions, about)
        sink = StoreSink(self._out / STORE, asked, sizes, owned(machine), task.dt, units(machine))
        ready_s = time.perf_counter()
        with WriteBehind(sink) as counting.store:
            self._keep(sim, counting.store, 0)
            for tick in task.steps(sim, listener):
                self._keep(sim, counting.store, tick)
                self._tell(tick, ready_s)
            # Else the last snapshot would be beyond what is done.
            counting.store.commit(task.ticks + 1)
        seconds = task.ticks * task.dt
        result = SpikingResult(
            path=self._out,
            activity=counting.activity(ranks, seconds),
            synapses=machine.synapses,
            seconds=seconds,
            build_s=ready_s - began_s,
            wall_s=time.perf_counter() - ready_s,
            synaptic_events=machine.synaptic_events,
            resolutions=resolutions(machine),
        )
        return TaskResult(result, task.found())

    def end(self, status: str, error: str = "", result: TaskResult | None = None) -> None:
        """Merge what was stored and say how it ended; nothing if there is nothing yet."""
        if self._store is None:
            return
        said: dict[str, Any] = {"status": status, "finished": now(), "error": error}
        if result is not None:
            said["result"] = summary(result.network)
            said["found"] = dict(result.found)
        tick = ended(self._out / STORE, self._store, said)
        if tick is not None:
            with suppress(OutputError):  # of a full disk something else tells
                self._say(status, min(tick, self._task.ticks))

    def _keep(self, sim: Simulation, sink: Sink, tick: int) -> None:
        """Keep the weights as they are, and all curves."""
        assert self._store is not None
        assert sim.machine is not None
        for projection in self._task.learn:
            sink.weights(projection, tick, *sim.machine.weights(projection))
        for name, curve in self._task.curves.items():
            self._store.overwrite(f"learning/{name}", curve.values)

    def _tell(self, tick: int, ready_s: float) -> None:
        task, clock_s = self._task, time.perf_counter()
        factor = (clock_s - ready_s) / (tick * task.dt)
        note = f"{tick * task.dt:.4g} s, {factor:.3g} times real time"
        self._watcher.step(tick, task.ticks, note)
        if clock_s - self._said_s >= SAID_EVERY_S:
            self._said_s = clock_s
            self._say("running", tick, (task.ticks - tick) * (clock_s - ready_s) / tick)

    def _say(self, status: str, tick: int, seconds_left: float | None = None) -> None:
        write_progress(
            self._out,
            {
                "status": status,
                "tick": tick,
                "ticks": self._task.ticks,
                "percent": round(100 * tick / self._task.ticks, 1),
                "seconds_left": None if seconds_left is None else round(seconds_left, 1),
                "updated": now(),
            },
        )

    def _attributes(self) -> dict[str, Any]:
        return {
            "kind": "spiking",
            "task": self._scenario.task.kind,
            "rule": self._scenario.rule.name,
            "scenario": self._scenario.model_dump(mode="json"),
            "seed": self._scenario.run.seed,
            "populations": {p.name: p.size for p in self._network.populations},
            "dt_s": self._task.dt,
            "ticks": self._task.ticks,
            "versions": versions("brian2", "numba"),
            "git": git_state(),
            "host": host(),
            "ranks": 1,
            "threads": self._scenario.run.threads,
            "started": now(),
        }


def _finite(value: float, other: float | None) -> float | None:
    return value if np.isfinite(value) else other
