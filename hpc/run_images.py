"""One run of spiking neurons that learn from images: a scenario in, a directory of results out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from biosim.checkpoints.directory import Checkpoint
from biosim.checkpoints.simulation import group_of
from biosim.errors import DivergedError
from biosim.network import Network
from biosim.ranks import StoppedError
from biosim.simulation import PausedError
from biosim.store import STORE, RunStore, write_progress
from hpc.checkpointing import Checkpointing
from hpc.ending import check_not_written
from hpc.image_store import WAY, ImageStore, activity_at, evaluated
from hpc.loading import loaded
from hpc.output import make
from hpc.progress import Silent, Watcher, say_placed
from hpc.provenance import now
from hpc.rank_times import Clock, write_times
from hpc.run_layers import Result
from hpc.stopping import Heeding, status_of
from hpc.together import by_first, failing_together, run_together
from scenarios.data import Dataset
from scenarios.images.learner import GROUP, Answers, Learner
from scenarios.images.network import LEARNT
from scenarios.images.schema import ImagesScenario

SAID_EVERY_S = 1.0
"""Seconds between two updates of `progress.json`."""

OWN = "run"
"""Group of a checkpoint: what the run has noted beside its learner."""


def run_images(
    scenario: ImagesScenario,
    out: Path,
    overwrite: bool,
    watcher: Watcher | None,
    checkpoint: Checkpoint | None = None,
) -> Result:
    """Run a scenario, from a checkpoint or the beginning; see `hpc.run.run_from`."""
    with failing_together():
        # In this thread: equations are parsed here, and ranks find them in the cache.
        dataset, network = loaded(scenario, out, overwrite, checkpoint is not None)
    run = _Run(scenario, dataset, network, out, overwrite, watcher or Silent(), checkpoint)
    try:
        return run_together(scenario.run.pretend_ranks, scenario.run.limit_s, run.of_rank)
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


class _Run:
    """What the ranks of a run share: its directory, and what rank 0 notes."""

    def __init__(
        self,
        scenario: ImagesScenario,
        dataset: Dataset,
        network: Network,
        out: Path,
        overwrite: bool,
        watcher: Watcher,
        checkpoint: Checkpoint | None,
    ) -> None:
        self._scenario, self._dataset, self._network = scenario, dataset, network
        self._out, self._overwrite, self._watcher = out, overwrite, watcher
        self._start = checkpoint
        self._change = np.full(scenario.run.epochs, np.nan)
        self._opened: RunStore | None = None
        self._checkpointing: Checkpointing | None = None
        self._accuracy: dict[str, float] = {}
        self._committed, self._seconds, self._said_s = -1, 0.0, 0.0

    def of_rank(self, ranks: Heeding) -> Result:
        """Build and run what one rank owns; rank 0 stores it."""
        learner, started = Learner(self._scenario, self._dataset, ranks), self._start
        stored = Checkpointing(
            self._out,
            self._scenario.model_dump(mode="json"),
            self._scenario.checkpoint,
            ranks,
            None if started is None else started.tick,
        )
        first, done, stage, epoch_s = ranks.rank == 0, 0, "learning", 0.0
        if started is None:
            learner.settle()  # kernels are compiled, or read from the cache
            weights = learner.weights()
        else:
            said = started.attributes["position"]
            stage, done, epoch_s = said["stage"], int(said["epoch"]) - 1, said["epoch_seconds"]
            learner.restore(started, done, learnt=stage == "answering")
            weights = group_of(started, OWN)["before"]
        # Everything that can be refused has been: from here on there are results.
        by_first(ranks, lambda: self._open(started, ranks, weights))
        if first:
            self._checkpointing = stored
        answered = {*evaluated(self._scenario), *activity_at(self._scenario)}
        clock = Clock(ranks)
        with stored.asking():  # after each image
            for epoch in range(done + 1, self._scenario.run.epochs + 1):
                part = _Epoch(self, learner, stored, epoch, epoch_s, weights)
                if stage == "learning":
                    with clock.running():
                        part.learn()
                before, weights = weights, learner.weights()
                answers = part.answer() if epoch in answered else None
                if first:
                    self._keep(epoch, part.seconds, before, weights, answers)
                stage, epoch_s = "learning", 0.0
        traffic, theta = learner.traffic(), learner.thresholds()
        times = clock.gathered()
        if first:
            write_times(self._root, times)
            self._store.keep_neurons(learner.assignment, theta)
            self._store.keep_ledger(traffic)
            self.end("complete")
        return Result(self._out, self._accuracy, self._rate())

    def noted(self, before: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Return what a checkpoint has beside the learner; weights before the epoch."""
        return {"before": before, "change": self._change}

    def position(self) -> dict[str, Any]:
        """Return how far the run is, for a checkpoint."""
        return {
            "committed": self._committed, "seconds": self._seconds, "accuracy": self._accuracy,
        }  # fmt: skip

    def tell(self, epoch: int, images: int) -> None:
        """Say how many images of an epoch, counted from 0, have been shown; rank 0 only."""
        clock_s, size = time.perf_counter(), len(self._dataset.train)
        if clock_s - self._said_s >= SAID_EVERY_S:
            self._said_s = clock_s
            whole = self._scenario.run.epochs * size
            self._watcher.step(epoch * size + images, whole, self._note())

    def end(self, status: str, error: str = "") -> None:
        """Say how it ended; nothing if nothing is stored yet."""
        if self._opened is None:
            return
        self._root.overwrite(f"weights/{LEARNT}/change", self._change)
        self._root.finish({"finished": now(), "error": error})
        self._say(status, error)

    def _open(
        self, started: Checkpoint | None, ranks: Heeding, weights: np.ndarray[Any, Any]
    ) -> None:
        """Make the directory, or go on with what is there; rank 0 only."""
        if started is not None:
            check_not_written(self._out)  # another one may have come first
            said = started.attributes["position"]
            self._committed, self._seconds = said["committed"], said["seconds"]
            self._accuracy = said["accuracy"]
            self._change = group_of(started, OWN)["change"]
            self._opened = RunStore(self._out / STORE)
            self._opened.go_on(ranks.size)
            return
        say_placed(self._watcher, self._scenario.place, self._network, ranks.size)
        make(self._out, self._overwrite)
        self._opened = RunStore(self._out / STORE, "w")
        self._opened.describe(self._store.attributes(ranks.size))
        self._store.allocate(weights)
        self._store.keep_weights(0, weights)

    def _keep(
        self,
        epoch: int,
        seconds: float,
        before: np.ndarray[Any, Any],
        weights: np.ndarray[Any, Any],
        answers: Answers | None,
    ) -> None:
        """Store what an epoch came to; weights before and after it."""
        self._seconds += seconds
        length = max(float(np.linalg.norm(before)), 1e-30)
        self._change[epoch - 1] = float(np.linalg.norm(weights - before)) / length
        self._store.keep_weights(epoch, weights)
        if answers is not None:
            self._store.keep_answers(epoch, answers, seconds)
            if epoch in evaluated(self._scenario):
                self._accuracy = {WAY: answers.accuracy["test"]}
        self._committed = epoch
        images, epochs = len(self._dataset.train), self._scenario.run.epochs
        self._watcher.step(epoch * images, epochs * images, self._note())
        self._say("running")

    @property
    def _root(self) -> RunStore:
        assert self._opened is not None
        return self._opened

    @property
    def _store(self) -> ImageStore:
        return ImageStore(self._root, self._scenario, self._dataset, self._network)

    def _note(self) -> str:
        return "".join(
            f"accuracy {100 * share:.2f} % ({way})" for way, share in self._accuracy.items()
        )

    def _say(self, status: str, error: str = "") -> None:
        """Say in the store and in `progress.json` how far the run is."""
        epoch, epochs = max(0, self._committed), self._scenario.run.epochs
        self._root.describe({"status": status, "committed_epoch": self._committed})
        images = len(self._dataset.train)
        rate, stored = self._rate(), self._checkpointing
        write_progress(
            self._out,
            {
                "status": status,
                "epoch": epoch,
                "epochs": epochs,
                "percent": round(100 * epoch / epochs, 1),
                "samples_per_second": round(rate, 1),
                "seconds_left": round((epochs - epoch) * images / rate, 1) if rate else None,
                "accuracy": self._accuracy,
                "error": error,
                "checkpoint": None if stored is None else stored.tick,
                "updated": now(),
            },
        )

    def _rate(self) -> float:
        learnt = max(0, self._committed) * len(self._dataset.train)
        return learnt / self._seconds if self._seconds else 0.0


class _Epoch:
    """One epoch on one rank, which stores itself where it is asked to.

    Args:
        run: what the ranks share.
        learner: of this rank.
        stored: tells when a checkpoint is due.
        number: of the epoch, from 1.
        seconds: that it has taken already.
        before: weights (N, n_inputs) before it.
    """

    def __init__(
        self,
        run: _Run,
        learner: Learner,
        stored: Checkpointing,
        number: int,
        seconds: float,
        before: np.ndarray[Any, Any],
    ) -> None:
        self._run, self._learner, self._stored = run, learner, stored
        self._number, self._before, self.seconds = number, before, seconds
        self._first = learner.simulation.ranks.rank == 0

    def learn(self) -> None:
        """Show the images that have not been shown."""
        earlier_s, began = self.seconds, time.perf_counter()

        def step(images: int) -> None:
            self.seconds = earlier_s + time.perf_counter() - began
            if self._first:
                self._run.tell(self._number - 1, images)
            if self._stored.asks(self._tick()):
                self._take("learning")

        self._learner.learn(self._number - 1, step)
        self.seconds = earlier_s + time.perf_counter() - began

    def answer(self) -> Answers:
        """Return what the network answers; nothing of a checkpoint depends on it."""

        def step(images: int) -> None:
            if self._stored.asks(self._tick(), only_to_end=True):
                raise PausedError

        while True:
            try:
                return self._learner.answer(step)
            except PausedError:
                self._take("answering")

    def _tick(self) -> int:
        return self._learner.simulation.engine.now

    def _take(self, stage: str) -> None:
        said = {"stage": stage, "epoch": self._number, "epoch_seconds": self.seconds}
        counted = self._learner.state()
        own = {GROUP: counted, OWN: self._run.noted(self._before)} if self._first else None
        self._stored.take(self._learner.simulation, said | self._run.position(), own=own)
