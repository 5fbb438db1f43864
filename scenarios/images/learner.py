"""Shows images to the network, while it learns and while it is frozen, and reads its answers.

An image is shown for 350 ms and followed by 150 ms of rest. Before each one, the weights that end
on a neuron are scaled to a fixed sum. If all neurons together fire less than five times, the image
is shown again, brighter. Answers are read with weights and thresholds frozen.

Source: Diehl & Cook 2015, sections 2.5 to 2.7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biosim.checkpoints.directory import Checkpoint
from biosim.checkpoints.simulation import group_of, restore
from biosim.contracts import Ranks
from biosim.draws import Draws
from biosim.simulation import Simulation
from biosim.spiking.recording import NullSink, Recording, SpikeRecord
from scenarios.data import Dataset, Split
from scenarios.images.labelling import assigned, scores
from scenarios.images.network import (
    EXCITATORY,
    INHIBITORY,
    INPUT,
    LEARNT,
    STEP,
    SWITCH,
    THRESHOLD,
    wire,
)
from scenarios.images.schema import ImagesScenario

Counts = npt.NDArray[np.uint16]
Step = Callable[[int], None]

GROUP = "images"
"""Of a checkpoint: what has been counted of the epoch that is under way."""


class Counter(NullSink):
    """Counts spikes, of populations together and of each excitatory neuron.

    Attributes:
        spikes_of: population -> spikes until now, of the neurons that this rank owns.
        counts: (N,) of each excitatory neuron, since they were last set to 0.
    """

    def __init__(self, excitatory: int) -> None:
        self.spikes_of = dict.fromkeys((EXCITATORY, INHIBITORY), 0)
        self.counts = np.zeros(excitatory, dtype=np.int64)

    def spikes(
        self, population: str, ticks: npt.NDArray[np.int64], neurons: npt.NDArray[np.uint32]
    ) -> None:
        """Count the spikes of a window."""
        self.spikes_of[population] += len(neurons)
        if population == EXCITATORY:
            self.counts += np.bincount(neurons, minlength=len(self.counts))


@dataclass(frozen=True)
class Traffic:
    """What learning took, on all ranks.

    Args:
        images: that were shown to learn from, each once.
        shown: the same with repeats.
        spikes_of: population -> spikes; of the inputs those that have arrived.
    """

    images: int
    shown: int
    spikes_of: dict[str, int]


@dataclass(frozen=True)
class Answers:
    """What the network answers at one time.

    Args:
        accuracy: split -> share of images answered correctly; "train" is of the images by which
            neurons were labelled.
        counts: (n_test, N) spikes of each neuron while a test image was shown.
    """

    accuracy: dict[str, float]
    counts: Counts


class Learner:
    """One rank's part of a network that learns from images.

    Args:
        scenario: what to do.
        dataset: what is shown.
        ranks: how this rank talks to the others.

    Attributes:
        simulation: of the network.
        assignment: (N,) the class of each neuron, once it has learnt; see `assigned`.

    Raises:
        BiosimError: the network cannot be built.
    """

    def __init__(self, scenario: ImagesScenario, dataset: Dataset, ranks: Ranks) -> None:
        self._task, self._cortex, self._seed = scenario.task, scenario.network, scenario.run.seed
        self._dataset, self._ranks = dataset, ranks
        self._sink = Counter(scenario.network.excitatory)
        self.simulation = Simulation(
            wire(scenario, dataset),
            seed=self._seed,
            ranks=ranks,
            dtype=getattr(torch, scenario.run.dtype),
            threads=scenario.run.threads,
            recording=Recording(spikes=tuple(SpikeRecord(name) for name in self._sink.spikes_of)),
            sink=self._sink,
        )
        machine = self.simulation.machine
        assert machine is not None
        self._machine = machine
        self._classes = dataset.classes
        self._images = self._shown = 0
        self._spent = np.zeros(len(self._sink.spikes_of) + 1, dtype=np.int64)
        self._labelling: tuple[Counts, npt.NDArray[np.int64]] | None = None
        self.assignment = np.empty(0, dtype=np.int64)
        # Of the epoch that is under way: images shown, and what is kept of them to label by.
        self._place, self._resumed = 0, False
        self._kept = np.empty((0, scenario.network.excitatory), dtype=np.uint16)
        self._before = self._passed()

    def state(self) -> dict[str, Any]:
        """Return what is counted beside the simulation, for a checkpoint; all ranks call it."""
        spent = self._ranks.sum(torch.from_numpy(self._spent + self._passed() - self._before))
        return {
            "place": self._place,
            "kept": self._kept,
            "images": self._images,
            "shown": self._shown,
            "spent": spent.numpy(),
        }

    def restore(self, checkpoint: Checkpoint, epoch: int, learnt: bool) -> None:
        """Go on from a checkpoint, in the epoch in which it was made.

        Args:
            checkpoint: to go on from.
            epoch: counted from 0.
            learnt: whether the epoch is over, but for the answers.
        """
        restore(self.simulation, checkpoint)
        said = group_of(checkpoint, GROUP)
        self._place, self._kept = said["place"], said["kept"]
        self._images, self._shown = said["images"], said["shown"]
        self._before = self._passed()
        self._spent = said["spent"] if self._ranks.rank == 0 else np.zeros_like(self._spent)
        self._resumed = not learnt
        if learnt:
            self._label(epoch)

    def settle(self) -> None:
        """Let the network come to rest, for as long as an image takes, before the first one."""
        self.simulation.run_to(self._task.image_ticks + self._task.rest_ticks)

    def learn(self, epoch: int, step: Step | None = None) -> None:
        """Show every training image once, in an order of this epoch, and label the neurons.

        After `restore`, those that have not been shown yet.

        Args:
            epoch: counted from 0.
            step: is told how many images have been shown.
        """
        train = self._dataset.train
        first = self._first_kept()
        if not self._resumed:
            self._place = 0
            self._kept = np.zeros((len(train) - first, self._cortex.excitatory), dtype=np.uint16)
        self._resumed = False
        self._before = self._passed()
        for sample in self._order(epoch)[self._place :]:
            counts = self._show(train, int(sample), learning=True)
            if self._place >= first:
                self._kept[self._place - first] = counts
            self._place += 1
            if step is not None:
                step(self._place)
        self._spent += self._passed() - self._before
        self._before = self._passed()
        self._images += len(train)
        self._label(epoch)

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the images of an epoch in the order in which they are shown."""
        return Draws(self._seed, "order").order(len(self._dataset.train), counter=epoch)

    def _first_kept(self) -> int:
        """Return the place from which on images count for the labels."""
        return max(0, len(self._dataset.train) - self._task.label_samples)

    def _label(self, epoch: int) -> None:
        labels = self._dataset.train.y[self._order(epoch)[self._first_kept() :]]
        self.assignment = assigned(self._kept, labels, self._classes)
        self._labelling = self._kept, labels

    def answer(self, step: Step | None = None) -> Answers:
        """Show the test and validation images to the frozen network.

        What is learnt afterwards does not depend on whether this was called.

        Args:
            step: is told how many images have been shown; what it raises ends the answer.
        """
        assert self._labelling is not None
        counts, labels = self._labelling
        accuracy = {"train": self._share(counts, labels)}
        shown, done = {}, 0
        with self._frozen():
            for name in ("validation", "test"):
                split: Split = getattr(self._dataset, name)
                shown[name] = np.empty((len(split), self._cortex.excitatory), dtype=np.uint16)
                for sample in range(len(split)):
                    shown[name][sample] = self._show(split, sample, learning=False)
                    done += 1
                    if step is not None:
                        step(done)
                if len(split):
                    accuracy[name] = self._share(shown[name], split.y)
        return Answers(accuracy, shown["test"])

    def weights(self) -> npt.NDArray[np.floating]:
        """Return the weights of the inputs (N, n_inputs), of all ranks."""
        sources, targets, values = self._machine.weights(LEARNT)
        found = np.zeros((self._cortex.excitatory, self._dataset.features))
        found[targets, sources] = values["w"]
        return self._gathered(found).astype(values["w"].dtype)

    def thresholds(self) -> npt.NDArray[np.float64]:
        """Return the adaptive part of every excitatory neuron's threshold, (N,) in volt."""
        found = np.zeros(self._cortex.excitatory)
        at = self._machine.layout.network.population_at[EXCITATORY]
        for shard in self._machine.shards:
            found[slice(*shard.slices[at])] = shard.variable(at, THRESHOLD)
        return self._gathered(found)

    def traffic(self) -> Traffic:
        """Return what learning took until now."""
        excitatory, inhibitory, events = self._ranks.sum(torch.from_numpy(self._spent)).tolist()
        n = self._cortex.excitatory
        # Counted by the synapses that they reached, for handing over each of them takes time.
        inputs = (events - excitatory - inhibitory * (n - 1)) // n
        spikes = {INPUT: inputs, EXCITATORY: excitatory, INHIBITORY: inhibitory}
        return Traffic(self._images, self._shown, spikes)

    def _passed(self) -> npt.NDArray[np.int64]:
        """Return the spikes of the populations that are counted, then synaptic events."""
        return np.array([*self._sink.spikes_of.values(), self._machine.synaptic_events])

    def _share(self, counts: Counts, labels: npt.NDArray[np.int64]) -> float:
        answers = scores(counts, self.assignment, self._classes).argmax(axis=1)
        return float((answers == labels).mean())

    def _show(self, split: Split, sample: int, learning: bool) -> npt.NDArray[np.int64]:
        """Show an image, again if it is weak, and return the spikes of each neuron, (N,)."""
        task, machine = self._task, self._machine
        # A recording cannot be made brighter.
        repeats = task.most_repeats if split.events is None else 0
        for attempt in range(repeats + 1):
            if learning and self._cortex.weight_sum:
                machine.scale_to(LEARNT, self._cortex.weight_sum)
            began = self.simulation.engine.now
            self._sink.counts[...] = 0
            if split.events is None:
                rate_hz = task.rate_hz + attempt * task.raise_hz
                machine.rates(INPUT, split.x[sample] * rate_hz)
            else:
                machine.fire(INPUT, *self._film(split, sample, began))
            self.simulation.run_to(began + task.image_ticks)
            counts = self._summed(self._sink.counts)
            if split.events is None:
                machine.rates(INPUT, 0.0)
            self.simulation.run_to(began + task.image_ticks + task.rest_ticks)
            if learning:
                self._shown += 1
                self._relax()
            if counts.sum() >= task.least_spikes:
                break
        return counts

    def _film(
        self, split: Split, sample: int, began: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return inputs and ticks of the spikes of a recording; what is too long is cut."""
        assert split.events is not None
        times_us, addresses = split.events.of(sample)
        ticks = (times_us / (self._task.dt_ms * 1e3)).astype(np.int64)
        within = ticks < self._task.image_ticks
        # Of several events of a pixel in a tick one is left: a neuron spikes once a tick.
        both = np.unique(ticks[within] * self._dataset.features + addresses[within])
        return both % self._dataset.features, began + both // self._dataset.features

    def _relax(self) -> None:
        """Let thresholds fall by what they do while an image is shown.

        Once an image, not every tick: by so little that a float32 could not show it.
        """
        task = self._task
        fall = math.exp(-(task.image_ms + task.rest_ms) / self._cortex.theta_tau_ms)
        at = self._machine.layout.network.population_at[EXCITATORY]
        for shard in self._machine.shards:
            theta = shard.variable(at, THRESHOLD)
            theta *= theta.dtype.type(fall)

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        """Freeze weights and thresholds; afterwards everything is as it was before."""
        before = self.simulation.snapshot()
        self._machine.modulate(LEARNT, SWITCH, -1.0)
        self._machine.set(EXCITATORY, STEP, 0.0)
        try:
            yield
        finally:
            self.simulation.restore(before)
            self._before = self._passed()  # what answers took is no part of learning

    def _summed(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        if self._ranks.size == 1:
            return counts.copy()  # rest goes on counting
        return self._ranks.sum(torch.from_numpy(counts)).numpy()

    def _gathered(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return values that are 0 where this rank does not own them, of all ranks."""
        bits = torch.from_numpy(values.view(np.int64).ravel())
        return self._ranks.sum(bits).numpy().view(np.float64).reshape(values.shape)
