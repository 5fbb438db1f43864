"""One run: a scenario in, a directory of results out."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from torch import Tensor

from biosim.contracts import Ranks
from biosim.errors import DivergedError
from biosim.events import Course
from biosim.network import Network
from biosim.processes import showing_life
from biosim.ranks import StoppedError
from biosim.recorder import EPOCH, Recorder, non_finite, write_ledger
from biosim.simulation import Simulation
from biosim.store import STORE, RunStore, sign_of, write_progress
from hpc.output import check_free, make
from hpc.progress import Silent, Watcher, say_placed
from hpc.provenance import git_state, host, now, versions
from hpc.rank_times import Clock, write_times
from hpc.stored import stored_parameters
from hpc.together import by_first, failing_together, run_together, take_part
from hpc.world import device_here, promised, speaks
from rules.card import facts
from scenarios.data import Dataset, Split
from scenarios.disk import check_kept, kept
from scenarios.images.schema import ImagesScenario
from scenarios.reading import AnyScenario
from scenarios.scenario import Scenario, snapshot_epochs
from scenarios.spiking.schema import SpikingScenario
from scenarios.tasks.schema import TaskScenario

if TYPE_CHECKING:
    from hpc.run_spiking import SpikingResult
    from hpc.run_tasks import TaskResult

TRAIN_SHOWN = 1000
"""Training samples whose accuracy is followed; the test set is used whole."""


@dataclass(frozen=True)
class Result:
    """What a run comes to.

    Args:
        path: its directory.
        accuracy: on the test set after the last epoch, by way of answering; the rule's own
            way first.
        samples_per_second: learning samples, evaluation left out.
    """

    path: Path
    accuracy: dict[str, float]
    samples_per_second: float


@overload
def run(
    scenario: Scenario | ImagesScenario,
    out: str | Path,
    overwrite: bool = False,
    watcher: Watcher | None = None,
) -> Result: ...
@overload
def run(
    scenario: SpikingScenario,
    out: str | Path,
    overwrite: bool = False,
    watcher: Watcher | None = None,
) -> SpikingResult: ...
@overload
def run(
    scenario: TaskScenario,
    out: str | Path,
    overwrite: bool = False,
    watcher: Watcher | None = None,
) -> TaskResult: ...
def run(
    scenario: AnyScenario,
    out: str | Path,
    overwrite: bool = False,
    watcher: Watcher | None = None,
) -> Result | SpikingResult | TaskResult:
    """Run a scenario and store what it does in the directory `out`.

    Args:
        scenario: what to simulate: layers or spiking neurons that learn from data, a spiking
            network, or a task.
        out: directory to make.
        overwrite: replace results that are there.
        watcher: is told after every epoch.

    Raises:
        BiosimError: the scenario, its data or the directory cannot be used; nothing is written.
        DivergedError: a weight became infinite or not a number; what was recorded is kept.
    """
    # An epoch, or merging what was recorded, may take longer than `biosim traces repair` waits.
    with showing_life(sign_of(Path(out) / STORE)) if speaks() else nullcontext():
        return _run(scenario, Path(out), overwrite, watcher)


def _run(
    scenario: AnyScenario, out: Path, overwrite: bool, watcher: Watcher | None
) -> Result | SpikingResult | TaskResult:
    if isinstance(scenario, SpikingScenario):
        # Only a network that spikes needs Brian2's parser and the kernels' compiler.
        from hpc.run_spiking import run_spiking

        return run_spiking(scenario, out, overwrite, watcher)
    if isinstance(scenario, TaskScenario):
        from hpc.run_tasks import run_task

        return run_task(scenario, out, overwrite, watcher)
    if isinstance(scenario, ImagesScenario):
        from hpc.run_images import run_images

        return run_images(scenario, out, overwrite, watcher)
    with failing_together():
        by_first(take_part(), lambda: check_free(out, overwrite))
        dataset = scenario.data.load()
        network = scenario.wire(dataset)
        by_first(take_part(), lambda: check_kept(kept(scenario, network, dataset), out))
        start = None
        if scenario.run.start_from is not None:
            start = stored_parameters(scenario.run.start_from)
    device = device_here(scenario.run.device, torch.cuda.device_count(), promised())

    def program(ranks: Ranks) -> Result:
        return _Learner(
            scenario, dataset, network, out, ranks, start, watcher or Silent(), overwrite, device
        ).run()

    return run_together(scenario.run.pretend_ranks, scenario.run.limit_s, program, device)


class _Learner:
    """What every rank of a run does."""

    def __init__(
        self,
        scenario: Scenario,
        dataset: Dataset,
        network: Network,
        out: Path,
        ranks: Ranks,
        start: dict[str, dict[str, Tensor]] | None,
        watcher: Watcher,
        overwrite: bool,
        device: str,
    ) -> None:
        settings = scenario.run
        samples = len(dataset.train)
        self._scenario, self._dataset, self._network = scenario, dataset, network
        self._out, self._ranks, self._watcher, self._overwrite = out, ranks, watcher, overwrite
        self._first = ranks.rank == 0
        self._times = Clock(ranks)
        self._dtype = getattr(torch, settings.dtype)
        self._device = device
        course = Course(settings.epochs, samples // settings.batch_size, samples)
        self._learnt_samples = course.batches * settings.batch_size
        self._simulation = Simulation(
            network,
            course,
            settings.seed,
            ranks,
            self._device,
            self._dtype,
            None if settings.period == "exact" else settings.period,
            settings.threads,
            parts=scenario.place.parts,
            replicas=scenario.place.replicas_on(ranks.size),
        )
        if start is not None:
            self._simulation.load(start)
        splits = {
            "train": dataset.train.take(np.arange(min(TRAIN_SHOWN, samples))),
            "validation": dataset.validation,
            "test": dataset.test,
        }
        self._tensors = {
            name: self._on_device(split) for name, split in splits.items() if len(split)
        }
        self._learning = self._on_device(dataset.train)
        # Everything that can be refused has been: from here on there are results.
        by_first(ranks, self._make)  # no rank opens the store before it is there
        self._store = RunStore(out / STORE)
        x, y = self._tensors["test"]
        positions = scenario.record.positions(len(dataset.test))
        at = torch.tensor(positions, device=x.device)
        self._recorder = Recorder(
            self._simulation,
            self._store,
            snapshot_epochs(scenario.record.weights, settings.epochs),
            snapshot_epochs(scenario.record.activity, settings.epochs),
            (x[at], y[at]),
            positions,
        )
        every = settings.evaluate_every
        self._evaluated = sorted({*range(0, settings.epochs, every), settings.epochs})
        self._accuracy: dict[str, float] = {}
        self._seconds = 0.0
        self._committed = -1

    def _make(self) -> None:
        say_placed(self._watcher, self._scenario.place, self._network, self._ranks.size)
        make(self._out, self._overwrite)
        RunStore(self._out / STORE, "w").describe(self._attributes())

    def run(self) -> Result:
        """Learn, epoch by epoch, and store what is due after each."""
        if self._first:
            self._allocate()
        try:
            self._learn_and_end()
        except (DivergedError, StoppedError):
            raise
        except BaseException as failure:
            if self._first:
                self._say("failed", str(failure) or type(failure).__name__)
            raise
        return Result(self._out, self._accuracy, self._rate())

    def _learn_and_end(self) -> None:
        """Learn, and store how it ended where all ranks end together."""
        try:
            self._learn()
        except DivergedError as failure:
            self._end("diverged", str(failure))
            raise
        except StoppedError as failure:
            self._end("stopped", str(failure))  # fails if it was a failure that stopped the others
            raise
        self._end("complete")

    def _learn(self) -> None:
        settings, simulation = self._scenario.run, self._simulation
        for epoch in range(settings.epochs + 1):
            seconds = 0.0
            if epoch > 0:
                began = self._clock()
                with self._times.running():
                    simulation.learn(*self._learning, epoch - 1, settings.batch_size)
                    seconds = self._clock() - began
                self._seconds += seconds
            bad = non_finite(simulation)
            self._recorder.epoch(epoch)
            scored = epoch not in self._evaluated or self._record(epoch, seconds)
            unscored = self._ranks.agree(not scored)
            self._committed = epoch  # all ranks have stored it, or they would not have agreed
            if bad or unscored:
                where = f"layers {', '.join(bad)}" if bad else "the scores of the answer"
                raise DivergedError(
                    f"{where} became infinite or not a number in epoch {epoch} of "
                    f"{self._scenario.rule.name}; what was recorded is in {self._out}: "
                    "lower rule.lr and run again"
                )
            self._tell(epoch)

    def _record(self, epoch: int, seconds: float) -> bool:
        """Evaluate, store what comes out, and return whether all scores are finite."""
        accuracy, finite = self._evaluate(epoch)
        if self._first:
            row = self._evaluated.index(epoch)
            rate = self._learnt_samples / seconds if seconds else np.nan
            self._store.fill("learning/accuracy", row, accuracy)
            self._store.fill("timing/learning", row, seconds)
            self._store.fill("timing/samples_per_second", row, rate)
            ways = self._scenario.rule.ways
            self._accuracy = dict(zip(ways, accuracy[-1].tolist(), strict=True))
        return finite

    def _evaluate(self, epoch: int) -> tuple[np.ndarray[Any, Any], bool]:
        """Return accuracy (n_splits, n_ways), and whether all scores are finite."""
        ways = self._scenario.rule.ways
        accuracy = np.full((len(self._tensors), len(ways)), np.nan)
        finite = True
        for i, (x, y) in enumerate(self._tensors.values()):
            for j, phases in enumerate(ways.values()):
                scores = self._simulation.answer(x, phases, epoch)
                if scores is not None:
                    finite = finite and bool(torch.isfinite(scores).all())
                    accuracy[i, j] = float((scores.argmax(1) == y).double().mean())
        return accuracy, finite

    def _tell(self, epoch: int) -> None:
        if not self._first:
            return
        way, accuracy = next(iter(self._accuracy.items()))
        note = f"accuracy {100 * accuracy:.2f} % ({way})"
        self._watcher.step(epoch, self._scenario.run.epochs, note)
        self._say("running")

    def _end(self, status: str, error: str = "") -> None:
        """Store the ledger, then say how it ended; every rank calls it."""
        self._recorder.flush()
        totals, times = self._simulation.ledger_totals(), self._times.gathered()
        if self._first:
            write_ledger(self._store, self._network, totals)
            write_times(self._store, times)
            self._say(status, error)

    def _say(self, status: str, error: str = "") -> None:
        """Say in the store and in `progress.json` how far the run is."""
        epoch, epochs = max(0, self._committed), self._scenario.run.epochs
        said = {"status": status, "committed_epoch": self._committed}
        if status != "running":
            said |= {"finished": now(), "error": error}
        (self._store.describe if status == "running" else self._store.finish)(said)
        rate = self._rate()
        left_s = (epochs - epoch) * self._learnt_samples / rate if rate else None
        write_progress(
            self._out,
            {
                "status": status,
                "epoch": epoch,
                "epochs": epochs,
                "percent": round(100 * epoch / epochs, 1),
                "samples_per_second": round(rate, 1),
                "seconds_left": None if left_s is None else round(left_s, 1),
                "accuracy": self._accuracy,
                "updated": now(),
            },
        )

    def _rate(self) -> float:
        # The source is on rank 0, and every replica's presents as many.
        learnt = self._simulation.ledger.layers[0].samples * self._simulation.share.replicas
        return learnt / self._seconds if self._seconds else 0.0

    def _clock(self) -> float:
        if self._device != "cpu":
            torch.cuda.synchronize(
                self._device
            )  # kernels are queued: what was asked for may not be done
        return time.perf_counter()

    def _allocate(self) -> None:
        store, ways = self._store, list(self._scenario.rule.ways)
        store.write_names("learning/split", list(self._tensors), "split")
        store.write_names("learning/way", ways, "way")
        rows = len(self._evaluated)
        for group in ("learning", "timing"):
            store.write(f"{group}/epoch", self._evaluated, ["epoch"], EPOCH)
        store.allocate(
            "learning/accuracy",
            (rows, len(self._tensors), len(ways)),
            np.float64,
            ["epoch", "split", "way"],
            {"units": "1", "long_name": "share of samples answered correctly"},
        )
        for name, unit in (("learning", "s"), ("samples_per_second", "s-1")):
            store.allocate(f"timing/{name}", (rows,), np.float64, ["epoch"], {"units": unit})
        store.write("data/mean", self._dataset.train.x.mean(axis=0), ["feature"], {"units": "1"})

    def _attributes(self) -> dict[str, Any]:
        return {
            "scenario": self._scenario.model_dump(mode="json"),
            "rule": self._scenario.rule.name,
            "seed": self._scenario.run.seed,
            "card": facts(self._scenario.rule, self._network),
            "data": described(self._dataset),
            "versions": versions(),
            "git": git_state(),
            "host": host(),
            "ranks": self._ranks.size,
            "started": now(),
        }

    def _on_device(self, split: Split) -> tuple[Tensor, Tensor]:
        device = self._device
        # Labels are sent: in a byte where that is enough.
        small = torch.uint8 if self._dataset.classes <= 256 else torch.int32
        return (
            torch.from_numpy(split.x).to(device, self._dtype),
            torch.from_numpy(split.y).to(device, small),
        )


SPLITS = ("train", "validation", "test")


def described(dataset: Dataset) -> dict[str, Any]:
    """Return what a store says of a data set."""
    return {
        "name": dataset.name,
        "description": dataset.description,
        "features": dataset.features,
        "classes": dataset.classes,
        "labels": list(dataset.labels),
        "shape": list(dataset.shape),
        "samples": {name: len(getattr(dataset, name)) for name in SPLITS},
    }
