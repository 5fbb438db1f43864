"""The store of a run of spiking neurons that learn from images.

It has the layout of a layered run, so that reports and comparisons read both alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from biosim.ledger import LayerCount, LedgerTotals
from biosim.network import Network
from biosim.recorder import EPOCH, write_ledger
from biosim.store import RunStore
from hpc.layer_store import SPLITS, described
from hpc.provenance import git_state, host, now, versions
from rules.synaptic import facts
from scenarios.data import Dataset
from scenarios.images.learner import Answers, Traffic
from scenarios.images.network import EXCITATORY, INHIBITORY, INPUT, LEARNT
from scenarios.images.schema import ImagesScenario, Unchanging
from scenarios.scenario import snapshot_epochs

WAY = "class_mean"
"""The way of answering: the class whose neurons fire most in the mean."""

BYTES_A_SPIKE = 16
"""What crosses ranks: tick and number of the neuron, eight bytes each."""


class ImageStore:
    """Writes one run, on rank 0.

    Args:
        store: open.
        scenario: what is run.
        dataset: what is learnt from.
        network: as it is wired.

    Attributes:
        evaluated: epochs after which the network answers.
        activity_at: epochs whose answers are stored spike by spike.
    """

    def __init__(
        self, store: RunStore, scenario: ImagesScenario, dataset: Dataset, network: Network
    ) -> None:
        self._store, self._scenario = store, scenario
        self._dataset, self._network = dataset, network
        epochs, record = scenario.run.epochs, scenario.record
        self.evaluated = evaluated(scenario)
        self._weights_at = snapshot_epochs(record.weights, epochs)
        self.activity_at = activity_at(scenario)
        self._splits = [name for name in SPLITS if len(getattr(dataset, name))]

    def allocate(self, weights: np.ndarray[Any, Any]) -> None:
        """Make the arrays that fill up as epochs go by; weights (N, n_inputs) as they begin."""
        store, rows = self._store, len(self.evaluated)
        store.write_names("learning/split", self._splits, "split")
        store.write_names("learning/way", [WAY], "way")
        for group in ("learning", "timing"):
            store.write(f"{group}/epoch", self.evaluated, ["epoch"], EPOCH)
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

    def keep_weights(self, epoch: int, weights: np.ndarray[Any, Any]) -> None:
        """Store the weights (N, n_inputs) of an epoch, if they are wanted."""
        if epoch in self._weights_at:
            self._store.fill(f"weights/{LEARNT}/weight", self._weights_at.index(epoch), weights)

    def keep_answers(self, epoch: int, answers: Answers, seconds: float) -> None:
        """Store what the network answers after an epoch, which took so many seconds."""
        if epoch in self.evaluated:
            row = self.evaluated.index(epoch)
            accuracy = [[answers.accuracy[name]] for name in self._splits]
            self._store.fill("learning/accuracy", row, accuracy)
            self._store.fill("timing/learning", row, seconds)
            self._store.fill("timing/samples_per_second", row, len(self._dataset.train) / seconds)
        if epoch in self.activity_at:
            self._keep_activity(epoch, answers)

    def _keep_activity(self, epoch: int, answers: Answers) -> None:
        store, group = self._store, f"activity/{EXCITATORY}"
        positions = self._scenario.record.positions(len(self._dataset.test))
        counts = answers.counts[positions]
        row = self.activity_at.index(epoch)
        if row == 0:
            about = {"long_name": "position in the test set"}
            store.write(f"{group}/snapshot", self.activity_at, ["snapshot"], EPOCH)
            store.write(f"{group}/sample", positions, ["sample"], about)
            store.write(f"{group}/label", self._dataset.test.y[positions], ["sample"])
            store.allocate(
                f"{group}/activity",
                (len(self.activity_at), *counts.shape),
                counts.dtype,
                ["snapshot", "sample", "neuron"],
                {"units": "1", "long_name": "spikes while the image was shown"},
            )
        store.fill(f"{group}/activity", row, counts)

    def keep_neurons(self, assignment: np.ndarray[Any, Any], theta: np.ndarray[Any, Any]) -> None:
        """Store the class and the threshold of every neuron, (N,) each."""
        group = f"neurons/{EXCITATORY}"
        self._store.group(group)
        about = {"long_name": "class that the neuron stands for; -1: none"}
        self._store.write(f"{group}/class", assignment, ["neuron"], about)
        about = {"units": "V", "long_name": "adaptive part of the threshold"}
        self._store.write(f"{group}/theta", theta, ["neuron"], about)

    def keep_ledger(self, traffic: Traffic) -> None:
        """Store what learning cost: spikes, synapses that they reached, and changes."""
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
        bytes_sent = [BYTES_A_SPIKE * count for count in sent]
        totals = LedgerTotals(bytes_sent, sent, list(layers.values()))
        write_ledger(self._store, self._network, totals)

    def attributes(self, ranks: int) -> dict[str, Any]:
        """Return what the root of the store says from the beginning."""
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
            "ranks": ranks,
            "started": now(),
        }


def evaluated(scenario: ImagesScenario) -> list[int]:
    """Return the epochs after which the network answers."""
    every, epochs = scenario.run.evaluate_every, scenario.run.epochs
    # Before learning, neurons have no labels to answer by.
    return sorted({*range(every, epochs, every), epochs})


def activity_at(scenario: ImagesScenario) -> list[int]:
    """Return the epochs whose answers are stored spike by spike."""
    at = snapshot_epochs(scenario.record.activity, scenario.run.epochs)
    return [epoch for epoch in at if epoch > 0]
