"""One run of spiking neurons that learn from images: a scenario in, a directory of results out.

What is stored has the layout of a layered run, so that reports and comparisons read both alike.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from biosim.contracts import Ranks
from biosim.errors import DivergedError
from biosim.ledger import LayerCount, LedgerTotals
from biosim.network import Network
from biosim.ranks import StoppedError
from biosim.recorder import EPOCH, write_ledger
from biosim.store import STORE, RunStore, write_progress
from hpc.output import check_free, make
from hpc.progress import Silent, Watcher, say_placed
from hpc.provenance import git_state, host, now, versions
from hpc.rank_times import Clock, write_times
from hpc.run import SPLITS, Result, described
from hpc.together import by_first, failing_together, run_together, take_part
from rules.synaptic import facts
from scenarios.data import Dataset
from scenarios.disk import check_kept, kept
from scenarios.images.learner import Answers, Learner, Traffic
from scenarios.images.network import EXCITATORY, INHIBITORY, INPUT, LEARNT
from scenarios.images.schema import ImagesScenario, Unchanging
from scenarios.scenario import snapshot_epochs

WAY = "class_mean"
"""The way of answering: the class whose neurons fire most in the mean."""

BYTES_A_SPIKE = 16
"""What crosses ranks: tick and number of the neuron, eight bytes each."""

SAID_EVERY_S = 1.0
"""Seconds between two updates of `progress.json`."""


def run_images(
    scenario: ImagesScenario, out: str | Path, overwrite: bool, watcher: Watcher | None
) -> Result:
    """Run a scenario and store what it does in the directory `out`; see `hpc.run.run`."""
    out = Path(out)
    with failing_together():
        by_first(take_part(), lambda: check_free(out, overwrite))
        dataset = scenario.data.load()
        # In this thread: equations are parsed here, and ranks find them in the cache.
        network = scenario.wire(dataset)
        by_first(take_part(), lambda: check_kept(kept(scenario, network, dataset), out))
    run = _Run(scenario, dataset, network, out, overwrite, watcher or Silent())
    try:
        return run_together(scenario.run.pretend_ranks, scenario.run.limit_s, run.of_rank)
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


class _Run:
    """What the ranks of a run share: its directory."""

    def __init__(
        self,
        scenario: ImagesScenario,
        dataset: Dataset,
        network: Network,
        out: Path,
        overwrite: bool,
        watcher: Watcher,
    ) -> None:
        self._scenario, self._dataset, self._network = scenario, dataset, network
        self._out, self._overwrite, self._watcher = out, overwrite, watcher
        settings, record = scenario.run, scenario.record
        every, epochs = settings.evaluate_every, settings.epochs
        # Before learning, neurons have no labels to answer by.
        self._evaluated = sorted({*range(every, epochs, every), epochs})
        self._weights_at = snapshot_epochs(record.weights, epochs)
        self._activity_at = [e for e in snapshot_epochs(record.activity, epochs) if e > 0]
        self._splits = [name for name in SPLITS if len(getattr(dataset, name))]
        self._change = np.full(epochs, np.nan)
        self._store: RunStore | None = None
        self._accuracy: dict[str, float] = {}
        self._committed, self._seconds, self._said_s = -1, 0.0, 0.0

    def of_rank(self, ranks: Ranks) -> Result:
        """Build and run what one rank owns; rank 0 stores it."""
        learner = Learner(self._scenario, self._dataset, ranks)
        learner.settle()  # kernels are compiled, or read from the cache
        weights = learner.weights()
        first = ranks.rank == 0
        # Everything that can be refused has been: from here on there are results.
        by_first(ranks, lambda: self._make(ranks, weights))
        clock = Clock(ranks)
        for epoch in range(1, self._scenario.run.epochs + 1):
            began = time.perf_counter()
            with clock.running():
                learner.learn(epoch - 1, self._teller(epoch - 1, ranks))
            seconds = time.perf_counter() - began
            before, weights = weights, learner.weights()
            answers = None
            if epoch in self._evaluated or epoch in self._activity_at:
                answers = learner.answer()
            if not first:
                continue
            self._seconds += seconds
            length = max(float(np.linalg.norm(before)), 1e-30)
            self._change[epoch - 1] = float(np.linalg.norm(weights - before)) / length
            self._keep_weights(epoch, weights)
            if answers is not None:
                self._keep_answers(epoch, answers, seconds)
            self._committed = epoch
            images = len(self._dataset.train)
            epochs = self._scenario.run.epochs
            self._watcher.step(epoch * images, epochs * images, self._note())
            self._say("running")
        traffic, theta = learner.traffic(), learner.thresholds()
        times = clock.gathered()
        if first:
            write_times(self._opened, times)
            self._keep_neurons(learner.assignment, theta)
            write_ledger(self._opened, self._network, self._ledger(traffic))
            self.end("complete")
        return Result(self._out, self._accuracy, self._rate())

    def _make(self, ranks: Ranks, weights: np.ndarray[Any, Any]) -> None:
        say_placed(self._watcher, self._scenario.place, self._network, ranks.size)
        make(self._out, self._overwrite)
        self._store = RunStore(self._out / STORE, "w")
        self._store.describe(self._attributes(ranks))
        self._allocate(weights)
        self._keep_weights(0, weights)

    def end(self, status: str, error: str = "") -> None:
        """Say how it ended; nothing if nothing is stored yet."""
        if self._store is None:
            return
        self._opened.overwrite(f"weights/{LEARNT}/change", self._change)
        self._opened.finish({"finished": now(), "error": error})
        self._say(status)

    @property
    def _opened(self) -> RunStore:
        assert self._store is not None
        return self._store

    def _allocate(self, weights: np.ndarray[Any, Any]) -> None:
        store, rows = self._opened, len(self._evaluated)
        store.write_names("learning/split", self._splits, "split")
        store.write_names("learning/way", [WAY], "way")
        for group in ("learning", "timing"):
            store.write(f"{group}/epoch", self._evaluated, ["epoch"], EPOCH)
        store.allocate(
            "learning/accuracy",
            (rows, len(self._splits), 1),
            np.float64,
            ["epoch", "split", "way"],
            {"units": "1", "long_name": "share of samples answered correctly"},
        )
        for name, unit in (("learning", "s"), ("samples_per_second", "s-1")):
            store.allocate(f"timing/{name}", (rows,), np.float64, ["epoch"], {"units": unit})
        store.write("data/mean", self._dataset.train.x.mean(axis=0), ["feature"], {"units": "1"})
        group, epochs = f"weights/{LEARNT}", self._scenario.run.epochs
        store.write(f"{group}/epoch", np.arange(1, epochs + 1), ["epoch"], EPOCH)
        about = {"units": "1", "long_name": "|W - W before| / |W before| over the epoch"}
        store.allocate(f"{group}/change", (epochs,), np.float64, ["epoch"], about)
        if self._weights_at:
            store.write(f"{group}/snapshot", self._weights_at, ["snapshot"], EPOCH)
            store.allocate(
                f"{group}/weight",
                (len(self._weights_at), *weights.shape),
                weights.dtype,
                ["snapshot", "post", "pre"],
                {"units": "1"},
            )

    def _keep_weights(self, epoch: int, weights: np.ndarray[Any, Any]) -> None:
        if epoch in self._weights_at:
            self._opened.fill(f"weights/{LEARNT}/weight", self._weights_at.index(epoch), weights)

    def _keep_answers(self, epoch: int, answers: Answers, seconds: float) -> None:
        if epoch in self._evaluated:
            row = self._evaluated.index(epoch)
            accuracy = [[answers.accuracy[name]] for name in self._splits]
            self._opened.fill("learning/accuracy", row, accuracy)
            self._opened.fill("timing/learning", row, seconds)
            self._opened.fill("timing/samples_per_second", row, len(self._dataset.train) / seconds)
            self._accuracy = {WAY: answers.accuracy["test"]}
        if epoch in self._activity_at:
            self._keep_activity(epoch, answers)

    def _keep_activity(self, epoch: int, answers: Answers) -> None:
        store, group = self._opened, f"activity/{EXCITATORY}"
        positions = self._scenario.record.positions(len(self._dataset.test))
        counts = answers.counts[positions]
        row = self._activity_at.index(epoch)
        if row == 0:
            about = {"long_name": "position in the test set"}
            store.write(f"{group}/snapshot", self._activity_at, ["snapshot"], EPOCH)
            store.write(f"{group}/sample", positions, ["sample"], about)
            store.write(f"{group}/label", self._dataset.test.y[positions], ["sample"])
            store.allocate(
                f"{group}/activity",
                (len(self._activity_at), *counts.shape),
                counts.dtype,
                ["snapshot", "sample", "neuron"],
                {"units": "1", "long_name": "spikes while the image was shown"},
            )
        store.fill(f"{group}/activity", row, counts)

    def _keep_neurons(self, assignment: np.ndarray[Any, Any], theta: np.ndarray[Any, Any]) -> None:
        group = f"neurons/{EXCITATORY}"
        self._opened.group(group)
        about = {"long_name": "class that the neuron stands for; -1: none"}
        self._opened.write(f"{group}/class", assignment, ["neuron"], about)
        about = {"units": "V", "long_name": "adaptive part of the threshold"}
        self._opened.write(f"{group}/theta", theta, ["neuron"], about)

    def _ledger(self, traffic: Traffic) -> LedgerTotals:
        """Return what learning cost: spikes, synapses that they reached, and changes."""
        spikes, n = traffic.spikes_of, self._scenario.network.excitatory
        arrived = spikes[INPUT] * n
        changes = arrived + spikes[EXCITATORY] * self._dataset.features
        layers = {name: LayerCount() for name in (INPUT, EXCITATORY, INHIBITORY)}
        layers[INPUT].samples = traffic.images
        layers[EXCITATORY].forward = arrived + spikes[INHIBITORY] * (n - 1)
        layers[EXCITATORY].plasticity = (
            changes if not isinstance(self._scenario.rule, Unchanging) else 0
        )
        layers[EXCITATORY].updates = spikes[INPUT] + spikes[EXCITATORY]
        layers[INHIBITORY].forward = spikes[EXCITATORY]
        sent = [spikes[projection.source] for projection in self._network.projections]
        return LedgerTotals([BYTES_A_SPIKE * count for count in sent], sent, list(layers.values()))

    def _teller(self, epoch: int, ranks: Ranks) -> Any:
        """Return what is told how many images of an epoch have been shown."""
        if ranks.rank > 0:
            return None
        images, epochs = len(self._dataset.train), self._scenario.run.epochs

        def tell(done: int) -> None:
            clock_s = time.perf_counter()
            if clock_s - self._said_s >= SAID_EVERY_S:
                self._said_s = clock_s
                self._watcher.step(epoch * images + done, epochs * images, self._note())

        return tell

    def _note(self) -> str:
        return "".join(
            f"accuracy {100 * share:.2f} % ({way})" for way, share in self._accuracy.items()
        )

    def _say(self, status: str) -> None:
        """Say in the store and in `progress.json` how far the run is."""
        epoch, epochs = max(0, self._committed), self._scenario.run.epochs
        self._opened.describe({"status": status, "committed_epoch": self._committed})
        images = len(self._dataset.train)
        rate = self._rate()
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
                "updated": now(),
            },
        )

    def _rate(self) -> float:
        return (
            max(0, self._committed) * len(self._dataset.train) / self._seconds
            if self._seconds
            else 0.0
        )

    def _attributes(self, ranks: Ranks) -> dict[str, Any]:
        task = self._scenario.task
        card = facts(self._scenario.rule) | {
            "pathways": {},
            "weight_transport": "no",
            "phases": ["image", "rest"],
            "ticks_a_presentation": task.image_ticks + task.rest_ticks,
            "ways_of_answering": [WAY],
            "supervised_readout": True,
        }
        return {
            "scenario": self._scenario.model_dump(mode="json"),
            "rule": self._scenario.rule.name,
            "seed": self._scenario.run.seed,
            "card": card,
            "populations": {p.name: p.size for p in self._network.populations},
            "data": described(self._dataset),
            "versions": versions(),
            "git": git_state(),
            "host": host(),
            "ranks": ranks.size,
            "started": now(),
        }
