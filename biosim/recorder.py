"""The recorder: what of a run is stored, and when. Each rank stores what it owns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from biosim.checkpoints.directory import Checkpoint
from biosim.checkpoints.simulation import group_of
from biosim.events import Kind
from biosim.ledger import LedgerTotals
from biosim.network import Network
from biosim.simulation import Simulation
from biosim.store import RunStore, flags


class Recorder:
    """Stores weights and activity of a simulation.

    Args:
        simulation: this rank's part.
        store: the run's store, open on this rank.
        weights_at: epochs whose weights are stored, in order.
        activity_at: epochs at which the activity of `probe` is stored, in order.
        probe: inputs (n_samples, n_features) and labels (n_samples,) whose activity is stored.
        positions: (n_samples,) of the probe's samples in the test set.
    """

    def __init__(
        self,
        simulation: Simulation,
        store: RunStore,
        weights_at: Sequence[int],
        activity_at: Sequence[int],
        probe: tuple[Tensor, Tensor],
        positions: list[int],
    ) -> None:
        self._simulation = simulation
        self._store = store
        self._weights_at = weights_at
        self._activity_at = activity_at
        self._probe = probe
        self._positions = positions
        self._before = self._flat()
        epochs = simulation.course.epochs
        self._change = {name: np.full(epochs, np.nan) for name in self._before}
        self._allocate_weights(epochs)

    def epoch(self, epoch: int) -> None:
        """Store what is due after this epoch; every rank calls it, for its collectives."""
        if epoch in self._weights_at:
            row = self._weights_at.index(epoch)
            for name, tensors in self._simulation.parameters().items():
                for part, tensor in tensors.items():
                    self._store.fill(f"weights/{name}/{part}", row, _numpy(tensor))
        if epoch in self._activity_at:
            self._activity(epoch)
        if epoch in self._weights_at or epoch == self._simulation.course.epochs:
            self.flush()

    def state(self) -> dict[str, dict[str, Any]]:
        """Return what this rank has noted: name of a group of a checkpoint -> values."""
        return {
            f"recorder/{name}": {"before": flat, "change": self._change[name]}
            for name, flat in self._before.items()
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from what was noted before.

        Raises:
            CheckpointError: it is not there, or damaged.
        """
        for name, flat in self._before.items():
            found = group_of(checkpoint, f"recorder/{name}")
            self._before[name] = found["before"].to(flat.device)
            self._change[name] = found["change"]

    def flush(self) -> None:
        """Store what has been noted every epoch and is only written now and then.

        One file for every projection and epoch would be more work than the learning.
        """
        for name, change in self._change.items():
            self._store.overwrite(f"weights/{name}/change", change)

    def _allocate_weights(self, epochs: int) -> None:
        for name, tensors in self._simulation.parameters().items():
            group = f"weights/{name}"
            self._store.write(f"{group}/epoch", np.arange(1, epochs + 1), ["epoch"], EPOCH)
            self._store.allocate(
                f"{group}/change",
                (epochs,),
                np.float64,
                ["epoch"],
                {"units": "1", "long_name": "|W - W before| / |W before| over the epoch"},
            )
            if not self._weights_at:
                continue
            self._store.write(f"{group}/snapshot", self._weights_at, ["snapshot"], EPOCH)
            for part, tensor in tensors.items():
                self._store.allocate(
                    f"{group}/{part}",
                    (len(self._weights_at), *tensor.shape),
                    _numpy(tensor).dtype,
                    ["snapshot", "post", "pre"][: tensor.ndim + 1],
                    {"units": "1"},
                )

    def _activity(self, epoch: int) -> None:
        x, y = self._probe
        row = self._activity_at.index(epoch)
        for name, activity in self._simulation.probe(x, y, epoch).items():
            group = f"activity/{name}"
            values = _numpy(activity)
            if row == 0:
                self._store.write(f"{group}/snapshot", self._activity_at, ["snapshot"], EPOCH)
                self._store.write(
                    f"{group}/sample",
                    self._positions,
                    ["sample"],
                    {"long_name": "position in the test set"},
                )
                self._store.write(f"{group}/label", _numpy(y).astype(np.int64), ["sample"])
                self._store.allocate(
                    f"{group}/activity",
                    (len(self._activity_at), *values.shape),
                    values.dtype,
                    ["snapshot", "sample", "neuron"],
                    {"units": "1", "long_name": f"activity of {name}"},
                )
            self._store.fill(f"{group}/activity", row, values)

    def note_change(self, epoch: int) -> None:
        """Note, once, by how much an epoch has changed each weight."""
        now = self._flat()
        for name, flat in now.items():
            before = self._before[name]
            change = (flat - before).norm() / before.norm().clamp_min(1e-30)
            self._change[name][epoch - 1] = float(change)
        self._before = now

    def _flat(self) -> dict[str, Tensor]:
        parameters = self._simulation.parameters()
        return {name: parts["weight"].flatten().clone() for name, parts in parameters.items()}


EPOCH = {"units": "1", "long_name": "epochs of learning; 0 is before any"}


def write_ledger(store: RunStore, network: Network, totals: LedgerTotals) -> None:
    """Store the ledger, by projection and by population; rank 0 only."""
    projections, populations = network.projections, network.populations
    samples = max(1, totals.samples)
    store.write_names("ledger/projections/projection", [p.name for p in projections], "projection")
    for end in ("source", "target"):
        at = [network.population_at[getattr(p, end)] for p in projections]
        store.write(
            f"ledger/projections/{end}",
            np.array(at, dtype=np.int16),
            ["projection"],
            {"long_name": f"position of the {end} in ledger/populations"},
        )
    store.write(
        "ledger/projections/kind",
        np.array([p.kind for p in projections], dtype=np.int16),
        ["projection"],
        flags([kind.name.lower() for kind in Kind]),
    )
    for name, values, unit in (
        ("bytes_per_sample", [b / samples for b in totals.sent_bytes], "byte"),
        ("events", totals.sent_events, "1"),
        ("tied", [p in network.tied() for p in projections], "1"),
    ):
        store.write(f"ledger/projections/{name}", values, ["projection"], {"units": unit})
    store.write_names("ledger/populations/population", [p.name for p in populations], "population")
    rows = [asdict(layer) for layer in totals.layers]
    columns = {
        "updates": ([row["updates"] for row in rows], "1"),
        "lag_ticks": ([row["lag_ticks"] / max(1, row["updates"]) for row in rows], "tick"),
        "lag_ticks_max": ([row["lag_ticks_max"] for row in rows], "tick"),
        "stale_updates": ([row["stale_updates"] / max(1, row["updates"]) for row in rows], "1"),
        "stale_updates_max": ([row["stale_updates_max"] for row in rows], "1"),
        "held_bytes_max": ([row["held_bytes_max"] for row in rows], "byte"),
    }
    for part in ("forward", "feedback", "plasticity"):
        columns[f"{part}_multiply_adds"] = ([row[part] / samples for row in rows], "1")
    for name, (values, unit) in columns.items():
        store.write(f"ledger/populations/{name}", values, ["population"], {"units": unit})
    store.group("ledger", {"samples": totals.samples})


def non_finite(simulation: Simulation) -> list[str]:
    """Return the populations, on any rank, with a parameter that is not finite."""
    network = simulation.network
    flags = torch.zeros(len(network.populations), dtype=torch.int64)
    for i, parameters in simulation.parameters_by_population().items():
        tensors = [tensor for parts in parameters.values() for tensor in parts.values()]
        flags[i] = int(not all(bool(torch.isfinite(tensor).all()) for tensor in tensors))
    totals = simulation.ranks.sum(flags).tolist()
    return [p.name for p, count in zip(network.populations, totals, strict=True) if count]


def _numpy(tensor: Tensor) -> npt.NDArray[Any]:
    return tensor.detach().cpu().numpy()
