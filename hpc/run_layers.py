"""A run of a network of layers: epochs of learning, and what is stored after each."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from biosim.checkpoints.directory import Checkpoint
from biosim.checkpoints.simulation import restore
from biosim.errors import DivergedError
from biosim.events import NEVER, Course
from biosim.network import Network
from biosim.ranks import StoppedError
from biosim.recorder import Recorder, non_finite, write_ledger
from biosim.simulation import PausedError, Simulation
from biosim.store import STORE, RunStore, write_progress
from hpc.checkpointing import Checkpointing
from hpc.ending import check_not_written
from hpc.layer_store import allocate, attributes
from hpc.loading import loaded
from hpc.output import make
from hpc.progress import Silent, Watcher, say_placed
from hpc.provenance import now
from hpc.rank_times import Clock, write_times
from hpc.stopping import Heeding, status_of
from hpc.stored import stored_parameters
from hpc.together import by_first, failing_together, run_together
from hpc.world import device_here, promised
from scenarios.data import Dataset, Split
from scenarios.scenario import Scenario, snapshot_epochs

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


class Start(NamedTuple):
    """What a run begins with.

    Args:
        parameters: of another run, in place of those that are drawn.
        checkpoint: of the same run, which goes on.
    """

    parameters: dict[str, dict[str, Tensor]] | None
    checkpoint: Checkpoint | None


def run_layers(
    scenario: Scenario,
    out: Path,
    overwrite: bool,
    watcher: Watcher | None,
    checkpoint: Checkpoint | None = None,
) -> Result:
    """Run a scenario of layers, from a checkpoint or the beginning; see `hpc.run.run_from`."""
    with failing_together():
        dataset, network = loaded(scenario, out, overwrite, checkpoint is not None)
        parameters = None
        if scenario.run.start_from is not None and checkpoint is None:
            parameters = stored_parameters(scenario.run.start_from)
    device = device_here(scenario.run.device, torch.cuda.device_count(), promised())
    start = Start(parameters, checkpoint)

    def program(ranks: Heeding) -> Result:
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
        ranks: Heeding,
        start: Start,
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
        if start.parameters is not None:
            self._simulation.load(start.parameters)
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
        # No rank opens the store before it is there.
        by_first(ranks, self._make if start.checkpoint is None else self._open)
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
        self._seconds = self._epoch_s = 0.0
        self._committed = -1
        self._checkpointing = Checkpointing(
            out,
            scenario.model_dump(mode="json"),
            scenario.checkpoint,
            ranks,
            None if start.checkpoint is None else start.checkpoint.tick,
        )
        self._start = start.checkpoint
        self._learnt_before = self._counted_before = 0

    def _make(self) -> None:
        say_placed(self._watcher, self._scenario.place, self._network, self._ranks.size)
        make(self._out, self._overwrite)
        RunStore(self._out / STORE, "w").describe(
            attributes(self._scenario, self._network, self._dataset, self._ranks.size)
        )

    def _open(self) -> None:
        """Go on writing what is there."""
        check_not_written(self._out)  # another one may have come first
        RunStore(self._out / STORE).go_on(self._ranks.size)

    def run(self) -> Result:
        """Learn, epoch by epoch, and store what is due after each."""
        if self._first and self._start is None:
            splits = list(self._tensors)
            allocate(self._store, self._scenario, self._dataset, splits, self._evaluated)
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
            # Fails if it was a failure that stopped the others.
            self._end(status_of(failure), str(failure))
            raise
        self._end("complete")

    def _learn(self) -> None:
        first, learnt = 0, False
        if self._start is not None:
            first, learnt = self._restore(self._start), True
        for epoch in range(first, self._scenario.run.epochs + 1):
            if epoch > 0 and not learnt:
                self._begin(epoch)
                self._learn_epoch(epoch)
            learnt = False
            while not self._scored(epoch):
                self._checkpoint("scoring", epoch)

    def _begin(self, epoch: int) -> None:
        self._epoch_s = 0.0
        batch_size = self._scenario.run.batch_size
        self._simulation.begin_epoch(*self._learning, epoch - 1, batch_size)

    def _learn_epoch(self, epoch: int) -> None:
        """Learn until all samples of an epoch have been dealt with."""
        simulation, stored = self._simulation, self._checkpointing
        # Replicas differ while a minibatch is under way.
        alone = simulation.share.replicas == 1
        due = simulation.engine.now
        with stored.pausing(when_quiet=None if alone else simulation):
            while True:
                # Where nothing happens for long, the engine stands before what was due.
                due = stored.until(max(due, simulation.engine.now))
                began = self._clock()
                with self._times.running():
                    finished = simulation.finish(due if alone else NEVER)
                    took = self._clock() - began
                self._seconds, self._epoch_s = self._seconds + took, self._epoch_s + took
                if finished:
                    self._recorder.note_change(epoch)
                    return
                self._checkpoint("learning", epoch)

    def _scored(self, epoch: int) -> bool:
        """Store how good the network is after an epoch; return False if it is to pause before."""
        before = self._simulation.snapshot()
        bad = non_finite(self._simulation)
        try:
            with self._checkpointing.pausing(only_if_asked=True):
                self._recorder.epoch(epoch)
                scored = epoch not in self._evaluated or self._record(epoch)
        except PausedError:
            self._simulation.restore(before)
            return False
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
        return True

    def _checkpoint(self, stage: str, epoch: int) -> None:
        """Store where the run stands; end it if it was asked to."""
        position = {
            "stage": stage,
            "epoch": epoch,
            "committed": self._committed,
            "seconds": self._seconds,
            "epoch_seconds": self._epoch_s,
            "learnt": self._learnt(),
            "accuracy": self._accuracy,
        }
        self._checkpointing.take(self._simulation, position, own=self._recorder.state())

    def _restore(self, checkpoint: Checkpoint) -> int:
        """Go on from a checkpoint until its epoch has been learnt; return the epoch."""
        said = checkpoint.attributes["position"]
        epoch = int(said["epoch"])
        if epoch > 0:
            self._begin(epoch)
        restore(self._simulation, checkpoint)
        self._recorder.restore(checkpoint)
        self._committed, self._seconds = said["committed"], said["seconds"]
        self._epoch_s, self._accuracy = said["epoch_seconds"], said["accuracy"]
        self._learnt_before = said["learnt"]
        self._counted_before = self._simulation.ledger.layers[0].samples
        if said["stage"] == "learning":
            self._learn_epoch(epoch)
        return epoch

    def _record(self, epoch: int) -> bool:
        """Evaluate, store what comes out, and return whether all scores are finite."""
        accuracy, finite = self._evaluate(epoch)
        if self._first:
            row = self._evaluated.index(epoch)
            seconds = self._epoch_s
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
                "error": error,
                "checkpoint": self._checkpointing.tick,
                "updated": now(),
            },
        )

    def _learnt(self) -> int:
        """Return how many samples have been learnt, a resumed run's earlier ones too."""
        # The source is on rank 0, and every replica's presents as many.
        here = self._simulation.ledger.layers[0].samples - self._counted_before
        return self._learnt_before + here * self._simulation.share.replicas

    def _rate(self) -> float:
        return self._learnt() / self._seconds if self._seconds else 0.0

    def _clock(self) -> float:
        if self._device != "cpu":
            torch.cuda.synchronize(
                self._device
            )  # kernels are queued: what was asked for may not be done
        return time.perf_counter()

    def _on_device(self, split: Split) -> tuple[Tensor, Tensor]:
        device = self._device
        # Labels are sent: in a byte where that is enough.
        small = torch.uint8 if self._dataset.classes <= 256 else torch.int32
        return (
            torch.from_numpy(split.x).to(device, self._dtype),
            torch.from_numpy(split.y).to(device, small),
        )
