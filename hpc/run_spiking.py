"""One run of a spiking network: a scenario in, a directory of results out.

The directory has `run.zarr`, into which spikes are streamed while the run goes on, and
`progress.json`. Populations are counted as they fire, so that rates and intervals are known at
the end without reading anything back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from biosim.checkpoints.directory import Checkpoint
from biosim.checkpoints.simulation import restore
from biosim.contracts import Ranks
from biosim.errors import DivergedError, OutputError
from biosim.ranks import StoppedError
from biosim.simulation import WINDOW, Simulation
from biosim.spiking.attempts import attempts, next_attempt
from biosim.spiking.machine import Machine
from biosim.spiking.recording import Recording, SpikeRecord
from biosim.spiking.spike_store import StoreSink, write_neurons
from biosim.spiking.write_behind import WriteBehind
from biosim.store import STORE, RunStore, write_progress
from hpc.checkpointing import Checkpointing
from hpc.counting import CountingSink
from hpc.ending import check_not_written, ended
from hpc.output import check_free, make
from hpc.progress import Silent, Watcher, say_placed
from hpc.provenance import git_state, host, now, versions
from hpc.rank_times import Clock, write_times
from hpc.spiking_result import SpikingResult, numbered, owned, resolutions, summary, units
from hpc.stopping import Heeding, status_of
from hpc.together import by_first, failing_together, run_together, take_part
from scenarios.spiking.checking import Checked, check
from scenarios.spiking.disk import check_disk
from scenarios.spiking.schema import SpikingScenario

WAITED_SHARE = 0.1
"""Of the wall time that a run waits for its disk, from which on that is said."""
RESUMABLE = ("stopped", "interrupted", "failed")
"""How a run ends that may go on from its last checkpoint."""
SAID_EVERY_S = 1.0
"""Seconds between two updates of `progress.json`."""


def run_spiking(
    scenario: SpikingScenario,
    out: str | Path,
    overwrite: bool = False,
    watcher: Watcher | None = None,
    checkpoint: Checkpoint | None = None,
) -> SpikingResult:
    """Run a spiking scenario and store what it does in the directory `out`.

    Args:
        scenario: what to simulate.
        out: directory to make.
        overwrite: replace results that are there.
        watcher: is told how many ticks are done.
        checkpoint: of the same run, to go on from.

    Raises:
        BiosimError: the scenario or the directory cannot be used; nothing is written.
        DivergedError: a state became infinite or not a number; what was recorded is kept.
    """
    out = Path(out)
    with failing_together():
        if checkpoint is None:
            by_first(take_part(), lambda: check_free(out, overwrite))
        # In this thread: equations are parsed here, and ranks find them in the cache.
        began_s = time.perf_counter()
        checked = check(scenario)
        if checkpoint is None:
            by_first(take_part(), lambda: check_disk(checked.stores, out))
    run = _Run(scenario, checked, out, overwrite, watcher or Silent(), began_s, checkpoint)
    try:
        result = run_together(scenario.run.pretend_ranks, scenario.run.limit_s, run.of_rank)
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
        checkpoint: Checkpoint | None,
    ) -> None:
        self._checkpoint = checkpoint
        self._checkpointing: Checkpointing | None = None
        self._scenario, self._out, self._overwrite = scenario, out, overwrite
        self._described, self._watcher = checked.described, watcher
        self._store: RunStore | None = None
        self._said_s = 0.0
        self._began_s = began_s

    def of_rank(self, ranks: Heeding) -> SpikingResult:
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
        started, mine = self._checkpoint, owned(machine)
        if started is not None:
            restore(simulation, started)
            counting.restore(started, mine)
        begins = simulation.engine.now
        # Everything that can be refused has been: from here on there are results, which nobody
        # opens before they are there.
        by_first(
            ranks, lambda: self._open(begins, ranks) if started else self._make(machine, ranks)
        )
        sink = StoreSink(
            self._out / STORE,
            asked,
            sizes,
            mine,
            machine.layout.dt,
            units(machine),
            attempt=attempts(self._out / STORE) - 1,
            begins=begins,
        )
        stored = Checkpointing(
            self._out,
            self._scenario.model_dump(mode="json"),
            self._scenario.checkpoint,
            ranks,
            begins if started else None,
        )
        if ranks.rank == 0:
            self._checkpointing = stored
        clock = Clock(ranks)
        with WriteBehind(sink) as behind:
            counting.store = behind

            def take(wall_s: float) -> None:
                behind.flush()
                beside = counting.stretches(mine)
                stored.take(simulation, {"wall_s": wall_s}, beside)

            build_s, wall_s = self._advance(simulation, clock, stored, take)
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

    def _open(self, tick: int, ranks: Heeding) -> None:
        """Go on with what is there, from a tick on."""
        check_not_written(self._out)  # another one may have come first
        store = RunStore(self._out / STORE)
        next_attempt(self._out / STORE, tick)
        store.go_on(ranks.size)
        self._store = store

    def end(self, status: str, error: str = "", result: SpikingResult | None = None) -> None:
        """Merge what was stored and say how it ended; nothing if there is nothing yet."""
        if self._store is None:
            return
        said: dict[str, Any] = {"status": status, "finished": now(), "error": error}
        if result is not None:
            said["result"] = summary(result)
        stored = self._checkpointing
        if stored is not None and stored.tick is not None and status in RESUMABLE:
            # Its logs are not merged, for more is to come.
            with suppress(OutputError):
                self._store.describe(said)
                self._say(status, stored.tick, error=error)
            return
        tick = ended(self._out / STORE, self._store, said)
        if tick is not None:
            with suppress(OutputError):  # of a full disk something else tells
                self._say(status, tick, error=error)

    def _advance(
        self,
        simulation: Simulation,
        clock: Clock,
        stored: Checkpointing,
        take: Callable[[float], None],
    ) -> tuple[float, float]:
        """Return the seconds until the first tick was done, and those of all others.

        Args:
            simulation: of this rank.
            clock: counts what a rank's time goes to.
            stored: tells when a checkpoint is due.
            take: takes one; it is told the seconds since the first tick.
        """
        ticks, first = self._described.ticks, simulation.ranks.rank == 0
        before_s = 0.0
        if self._checkpoint is not None:
            before_s = float(self._checkpoint.attributes["position"]["wall_s"])
            self._checkpoint = None  # it has been taken over
        begins = simulation.engine.now
        with stored.pausing():
            # Kernels are compiled, or read from the cache, at their first call.
            while not simulation.run_to(min(begins + 1, ticks)):
                take(before_s)
            ready_s = time.perf_counter()
            while (tick := simulation.engine.now) < ticks:
                due = stored.until(tick)
                until = min((tick // WINDOW + 1) * WINDOW, due, ticks)
                with clock.running():
                    reached = simulation.run_to(until)
                if first:
                    self._tell(simulation.engine.now, begins, ready_s)
                if not reached or until == due:
                    take(before_s + time.perf_counter() - ready_s)
        return ready_s - self._began_s, before_s + time.perf_counter() - ready_s

    def _tell(self, tick: int, begins: int, ready_s: float) -> None:
        """Tell how far it is; from tick `begins` on it took the time since `ready_s`."""
        clock_s, ticks, dt = time.perf_counter(), self._described.ticks, self._described.network.dt
        assert dt is not None
        took_s, done = clock_s - ready_s, max(1, tick - begins)
        note = f"{tick * dt:.4g} s, {took_s / (done * dt):.3g} times real time"
        self._watcher.step(tick, ticks, note)
        if clock_s - self._said_s >= SAID_EVERY_S:
            self._said_s = clock_s
            self._say("running", tick, (ticks - tick) * took_s / done, done / took_s)

    def _say(
        self,
        status: str,
        tick: int,
        seconds_left: float | None = None,
        ticks_per_second: float | None = None,
        error: str = "",
    ) -> None:
        ticks, stored = self._described.ticks, self._checkpointing
        write_progress(
            self._out,
            {
                "status": status,
                "tick": tick,
                "ticks": ticks,
                "percent": round(100 * tick / ticks, 1),
                "seconds_left": None if seconds_left is None else round(seconds_left, 1),
                "ticks_per_second": None if ticks_per_second is None else round(ticks_per_second),
                "error": error,
                "checkpoint": None if stored is None else stored.tick,
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
