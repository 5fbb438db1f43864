"""One run of a spiking network: a scenario in, a directory of results out.

The directory has `run.zarr`, into which spikes are streamed while the run goes on, and
`progress.json`. Populations are counted as they fire, so that rates and intervals are known at
the end without reading anything back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from biosim.contracts import Ranks
from biosim.errors import DivergedError, OutputError
from biosim.ranks import StoppedError
from biosim.simulation import WINDOW, Simulation
from biosim.spiking.initial import start_values
from biosim.spiking.layout import Layout
from biosim.spiking.machine import Machine
from biosim.spiking.recording import Recording, SpikeRecord
from biosim.spiking.spike_store import StoreSink, write_neurons
from biosim.spiking.write_behind import WriteBehind
from biosim.store import STORE, RunStore, write_progress
from hpc.counting import Activity, CountingSink
from hpc.ending import ended
from hpc.output import check_free, make
from hpc.progress import Silent, Watcher, say_placed
from hpc.provenance import git_state, host, now, versions
from hpc.rank_times import Clock, write_times
from hpc.together import by_first, failing_together, run_together, take_part
from scenarios.spiking.checking import Checked, check
from scenarios.spiking.disk import check_disk
from scenarios.spiking.schema import SpikingScenario

WAITED_SHARE = 0.1
"""Of the wall time that a run waits for its disk, from which on that is said."""
SAID_EVERY_S = 1.0
"""Seconds between two updates of `progress.json`."""


@dataclass(frozen=True)
class Resolution:
    """The fixed point in which the input of a receptor is summed.

    Args:
        receptor: variable of the neurons.
        populations: that share it.
        step: what one unit stands for, a power of two, in the SI unit.
        unit: of the receptor.
    """

    receptor: str
    populations: tuple[str, ...]
    step: float
    unit: str


@dataclass(frozen=True)
class SpikingResult:
    """What a run comes to.

    Args:
        path: its directory.
        activity: what each population did.
        synapses: how many there are.
        seconds: that were simulated.
        build_s: wall time until everything was wired, and for a network compiled.
        wall_s: wall time of the simulation after that; a task's kernels, where no cache has
            them, are compiled in it.
        synaptic_events: how often a spike reached a synapse.
        resolutions: of every receptor.
    """

    path: Path
    activity: Mapping[str, Activity]
    synapses: int
    seconds: float
    build_s: float
    wall_s: float
    synaptic_events: int
    resolutions: tuple[Resolution, ...]

    @property
    def real_time_factor(self) -> float:
        """Wall time for a second of simulated time."""
        return self.wall_s / self.seconds


def run_spiking(
    scenario: SpikingScenario,
    out: str | Path,
    overwrite: bool = False,
    watcher: Watcher | None = None,
) -> SpikingResult:
    """Run a spiking scenario and store what it does in the directory `out`.

    Args:
        scenario: what to simulate.
        out: directory to make.
        overwrite: replace results that are there.
        watcher: is told how many ticks are done.

    Raises:
        BiosimError: the scenario or the directory cannot be used; nothing is written.
        DivergedError: a state became infinite or not a number; what was recorded is kept.
    """
    out = Path(out)
    with failing_together():
        by_first(take_part(), lambda: check_free(out, overwrite))
        # In this thread: equations are parsed here, and ranks find them in the cache.
        began_s = time.perf_counter()
        checked = check(scenario)
        by_first(take_part(), lambda: check_disk(checked.stores, out))
    run = _Run(scenario, checked, out, overwrite, watcher or Silent(), began_s)
    try:
        result = run_together(scenario.run.pretend_ranks, scenario.run.limit_s, run.of_rank)
    except DivergedError as failure:
        message = f"{failure}; it is in {out}"
        run.end("diverged", message)
        raise DivergedError(message) from None
    except StoppedError as failure:
        run.end("stopped", str(failure))
        raise
    except BaseException as failure:
        run.end("failed", str(failure) or type(failure).__name__)
        raise
    run.end("complete", result=result)
    return result


class _Run:
    """What the ranks of a run share: its directory."""

    def __init__(
        self,
        scenario: SpikingScenario,
        checked: Checked,
        out: Path,
        overwrite: bool,
        watcher: Watcher,
        began_s: float,
    ) -> None:
        self._scenario, self._out, self._overwrite = scenario, out, overwrite
        self._described, self._watcher = checked.described, watcher
        self._store: RunStore | None = None
        self._said_s = 0.0
        self._began_s = began_s

    def of_rank(self, ranks: Ranks) -> SpikingResult:
        """Build and run what one rank owns, and store it."""
        described, settings = self._described, self._scenario.run
        network, asked = described.network, described.recording
        sizes = {population.name: population.size for population in network.populations}
        counting = CountingSink(asked, sizes)
        simulation = Simulation(
            network,
            seed=settings.seed,
            ranks=ranks,
            dtype=getattr(torch, settings.dtype),
            threads=settings.threads,
            recording=Recording(
                tuple(SpikeRecord(name) for name in sizes), asked.states, asked.weights
            ),
            sink=counting,
        )
        machine = simulation.machine
        assert machine is not None
        # Everything that can be refused has been: from here on there are results.
        by_first(ranks, lambda: self._make(machine, ranks))  # nobody opens it before it is there
        sink = StoreSink(
            self._out / STORE,
            asked,
            sizes,
            owned(machine),
            machine.layout.dt,
            units(machine),
        )
        clock = Clock(ranks)
        with WriteBehind(sink) as behind:
            counting.store = behind
            build_s, wall_s = self._advance(simulation, clock, ranks)
        if ranks.rank == 0 and behind.waited_s > max(WAITED_SHARE * wall_s, SAID_EVERY_S):
            self._watcher.say(
                f"waited {behind.waited_s:.3g} s of {wall_s:.3g} s for the disk, which takes less "
                "than is recorded; record less, or store on a faster one"
            )
        times = clock.gathered()
        if ranks.rank == 0:
            assert self._store is not None
            write_times(self._store, times)
        counts = torch.tensor([machine.synapses, machine.synaptic_events])
        synapses, events = (int(n) for n in ranks.sum(counts))
        seconds = described.ticks * machine.layout.dt
        return SpikingResult(
            path=self._out,
            activity=counting.activity(ranks, seconds),
            synapses=synapses,
            seconds=seconds,
            build_s=build_s,
            wall_s=wall_s,
            synaptic_events=events,
            resolutions=resolutions(machine),
        )

    def _make(self, machine: Machine, ranks: Ranks) -> None:
        say_placed(self._watcher, self._scenario.place, machine.layout.network, ranks.size)
        make(self._out, self._overwrite)
        self._store = RunStore(self._out / STORE, "w", groups=())
        self._store.describe(self._attributes(ranks))
        numbers = numbered(machine.layout, self._scenario.run.seed)
        write_neurons(self._store, *numbers, units(machine))

    def end(self, status: str, error: str = "", result: SpikingResult | None = None) -> None:
        """Merge what was stored and say how it ended; nothing if there is nothing yet."""
        if self._store is None:
            return
        said: dict[str, Any] = {"status": status, "finished": now(), "error": error}
        if result is not None:
            said["result"] = summary(result)
        tick = ended(self._out / STORE, self._store, said)
        if tick is not None:
            with suppress(OutputError):  # of a full disk something else tells
                self._say(status, tick)

    def _advance(self, simulation: Simulation, clock: Clock, ranks: Ranks) -> tuple[float, float]:
        """Return the seconds until the first tick was done, and those of all others."""
        ticks, first = self._described.ticks, ranks.rank == 0
        simulation.run_to(1)  # kernels are compiled, or read from the cache, at their first call
        ready_s = time.perf_counter()
        for tick in chain(range(WINDOW, ticks, WINDOW), (ticks,)):
            with clock.running():
                simulation.run_to(tick)
            if first:
                self._tell(tick, ready_s)
        return ready_s - self._began_s, time.perf_counter() - ready_s

    def _tell(self, tick: int, ready_s: float) -> None:
        clock_s, ticks = time.perf_counter(), self._described.ticks
        simulated_s = tick * self._described.network.dt  # type: ignore[operator]
        factor = (clock_s - ready_s) / simulated_s
        self._watcher.step(tick, ticks, f"{simulated_s:.4g} s, {factor:.3g} times real time")
        if clock_s - self._said_s >= SAID_EVERY_S:
            self._said_s = clock_s
            self._say("running", tick, (ticks - tick) * (clock_s - ready_s) / tick)

    def _say(self, status: str, tick: int, seconds_left: float | None = None) -> None:
        ticks = self._described.ticks
        write_progress(
            self._out,
            {
                "status": status,
                "tick": tick,
                "ticks": ticks,
                "percent": round(100 * tick / ticks, 1),
                "seconds_left": None if seconds_left is None else round(seconds_left, 1),
                "updated": now(),
            },
        )

    def _attributes(self, ranks: Ranks) -> dict[str, Any]:
        network = self._described.network
        return {
            "kind": "spiking",
            "scenario": self._scenario.model_dump(mode="json"),
            "seed": self._scenario.run.seed,
            "populations": {p.name: p.size for p in network.populations},
            "dt_s": network.dt,
            "ticks": self._described.ticks,
            "versions": versions("brian2", "numba"),
            "git": git_state(),
            "host": host(),
            "ranks": ranks.size,
            "threads": self._scenario.run.threads,
            "started": now(),
        }


def owned(machine: Machine) -> dict[str, tuple[int, int]]:
    """Return population -> the neurons [lo, hi) that a rank owns."""
    first, last = machine.shards[0], machine.shards[-1]
    populations = machine.layout.network.populations
    return {populations[i].name: (first.slices[i][0], last.slices[i][1]) for i in first.slices}


def numbered(layout: Layout, seed: int) -> tuple[dict[str, int], dict[str, Any]]:
    """Return populations -> size, as neurons are numbered, and -> parameters -> start values."""
    populations = layout.network.populations
    sizes = {populations[i].name: populations[i].size for i in layout.first}
    parameters = {}
    for i, code in layout.neurons.items():
        names = [v.name for v in code.variables if v.role == "parameter"]
        if names:
            start = start_values(layout, i, 0, populations[i].size, seed)
            parameters[populations[i].name] = {name: start[name] for name in names}
    return sizes, parameters


def units(machine: Machine) -> dict[tuple[str, str], str]:
    """Return (population or projection, variable) -> its unit."""
    layout = machine.layout
    network = layout.network
    found = {
        (network.populations[i].name, v.name): v.unit
        for i, code in layout.neurons.items()
        for v in code.variables
    }
    return found | {
        (network.projections[p.projection].name, v.name): v.unit
        for p in layout.plastic
        for v in p.code.variables
    }


def resolutions(machine: Machine) -> tuple[Resolution, ...]:
    """Return the fixed point of every receptor, as `Machine.scales` has it."""
    layout = machine.layout
    found = []
    for (s, receptor), step in machine.scales.items():
        sheet = layout.sheets[s]
        unit = next(v.unit for v in sheet.code.code.variables if v.name == receptor)
        names = tuple(layout.network.populations[i].name for i in sheet.populations)
        found.append(Resolution(receptor, names, step, unit))
    return tuple(found)


def summary(result: SpikingResult) -> dict[str, Any]:
    """Return a result as the store keeps it."""
    said = {key: value for key, value in asdict(result).items() if key != "path"}
    for population in said["activity"].values():
        if math.isnan(population["cv"]):
            population["cv"] = None  # JSON has no NaN
    return said


def lines(said: Mapping[str, Any]) -> list[str]:
    """Return a result, as `summary` gives it and the store keeps it, for a terminal."""
    activity = said["activity"]
    neurons = sum(each["neurons"] for each in activity.values())
    wide = max(len("population"), *(len(name) for name in activity))
    found = [
        f"{neurons:,} neurons, {said['synapses']:,} synapses, {said['seconds']:g} s simulated",
        "",
        f"{'population':{wide}}{'neurons':>10}{'rate Hz':>10}{'CV':>8}",
    ]
    for name, each in activity.items():
        cv = "-" if each["cv"] is None else f"{each['cv']:.2f}"
        found.append(f"{name:{wide}}{each['neurons']:>10,}{each['rate_hz']:>10.2f}{cv:>8}")
    events, wall_s = said["synaptic_events"], said["wall_s"]
    event = f", {1e9 * wall_s / events:.2f} ns a synaptic event" if events else ""
    found += [
        "",
        f"wall time {wall_s:.3g} s: {wall_s / said['seconds']:.3g} times real time{event}; "
        f"built in {said['build_s']:.3g} s",
    ]
    for each in said["resolutions"]:
        unit = "" if each["unit"] == "1" else f" {each['unit']}"
        found.append(
            f"input to {each['receptor']} of {', '.join(each['populations'])} is summed in steps "
            f"of 2^{round(math.log2(each['step']))}{unit} ({each['step']:.2g})"
        )
    return found
