"""What exporters read of a run: spikes in both orders a part at a time, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

import biosim
from biosim.analysis.spikes import PART, Stretches, neuron_order, recorded_stretches
from biosim.errors import OutputError

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

KEPT = (
    "kind", "scenario", "rule", "seed", "dt_s", "ticks", "populations", "status", "started",
    "versions", "git", "recording",
)  # fmt: skip
"""Attributes of a run that say where its numbers come from; hosts and timings are left out."""


@dataclass(frozen=True, eq=False)
class StoredSpikes:
    """The spikes of a population.

    Args:
        population: its name.
        size: number of neurons, recorded or not.
        neurons: (n_units,) those that were recorded, increasing.
        dt_s: length of a tick.
        recorded_s: begin and end of each stretch of time that was recorded, one at least: of a
            killed run, what was committed.
        columns: `time` and `neuron` along `spike`, in the order of time.
        by_neuron: `time` ordered by neuron, and `indptr`; None where the run was not finished.
    """

    population: str
    size: int
    neurons: Int64s
    dt_s: float
    recorded_s: Stretches
    columns: xr.Dataset
    by_neuron: xr.Dataset | None

    def __len__(self) -> int:
        return int(self.columns.sizes["spike"])

    @property
    def start_s(self) -> float:
        """Begin of the recording."""
        return self.recorded_s[0][0]

    @property
    def stop_s(self) -> float:
        """End of the recording."""
        return self.recorded_s[-1][1]

    def parts(self) -> Iterator[tuple[Int64s, Int64s]]:
        """Yield ticks and neurons, (n,) each, in the order of time, a shard's worth at a time."""
        for start in range(0, len(self), PART):
            part = self.columns[["time", "neuron"]].isel(spike=slice(start, start + PART))
            yield self.ticks(part["time"].values), part["neuron"].values.astype(np.int64)

    def ticks(self, time_s: npt.NDArray[Any]) -> Int64s:
        """Return the ticks that stored times stand for."""
        return np.rint(time_s / self.dt_s).astype(np.int64)

    def trains(self) -> Trains:
        """Return the spikes in the order of their neurons.

        Of a finished run nothing is read yet; those of an unfinished one are sorted in memory.
        """
        if self.by_neuron is not None:
            ends = self.by_neuron["indptr"].values.astype(np.int64)[1:]
            return Trains(self.by_neuron["time"], ends[self.neurons])
        rows = self.columns["neuron"].values.astype(np.int64)
        times = self.columns["time"].values[neuron_order(rows, self.size)]
        ends = np.cumsum(np.bincount(rows, minlength=self.size))
        return Trains(xr.DataArray(times, dims="spike"), ends[self.neurons])


@dataclass(frozen=True, eq=False)
class Trains:
    """Spikes ordered by (neuron, time).

    Args:
        time: (n_spikes,) in seconds; read when it is sliced.
        ends: (n_units,) end of each unit's spikes; those of neurons that were not recorded are
            none, so that each unit begins where the one before it ends.
    """

    time: xr.DataArray
    ends: Int64s

    def read(self, start: int, stop: int) -> Float64s:
        """Return the times at positions [start, stop)."""
        return np.asarray(self.time[start:stop].values, np.float64)


def stored_spikes(
    tree: xr.DataTree, populations: Sequence[str] | None = None
) -> dict[str, StoredSpikes]:
    """Return the spikes that a run recorded, by population; nothing of them is read.

    Args:
        tree: of `biosim.open_run`.
        populations: whose spikes; all that were recorded if left out.

    Raises:
        OutputError: none were recorded, or none of a population that is asked for.
    """
    known = tree.children["spikes"].children if "spikes" in tree.children else {}
    if not known:
        raise OutputError(
            "the run has no spikes; a spiking scenario records them with record.spikes=true"
        )
    unknown = [name for name in populations or () if name not in known]
    if unknown:
        raise OutputError(
            f"the spikes of {unknown[0]!r} were not recorded; those that were: {', '.join(known)}"
        )
    return {name: _spikes(name, known[name]) for name in populations or known}


def provenance(tree: xr.DataTree) -> dict[str, Any]:
    """Return where a run comes from: scenario, seed, versions, and what wrote the file."""
    kept = {name: tree.attrs[name] for name in KEPT if name in tree.attrs}
    if "committed_tick" in tree.attrs:
        kept["committed_tick"] = int(tree.attrs["committed_tick"])
    return {"exported_by": f"biosim {biosim.__version__}", **kept}


def provenance_text(tree: xr.DataTree) -> str:
    """Return `provenance` as JSON."""
    return json.dumps(provenance(tree), sort_keys=True)


def even_s(when: Float64s) -> float | None:
    """Return the time between two samples in seconds; None where they are not evenly spaced."""
    steps = np.diff(when)
    if not len(steps) or not np.allclose(steps, steps[0], rtol=1e-6, atol=0.0):
        return None
    return float((when[-1] - when[0]) / len(steps))


def title(tree: xr.DataTree) -> str:
    """Return the name of a run's scenario, or of the file that a recording comes from."""
    attributes = tree.attrs
    if "scenario" in attributes:
        return str(attributes["scenario"]["name"])
    return str(attributes.get("recording", {}).get("file", "run"))


def summary(tree: xr.DataTree) -> str:
    """Return one sentence on what a run is."""
    attributes = tree.attrs
    if attributes.get("kind") == "recording":
        return f"recording from {title(tree)}, imported into biosim"
    rule = f", rule {attributes['rule']}" if "rule" in attributes else ""
    version = attributes.get("versions", {}).get("biosim", "unknown")
    return (
        f"simulation of scenario {title(tree)}{rule}, seed {attributes.get('seed')}, by biosim "
        f"{version}"
    )


def unfinished(tree: xr.DataTree) -> str | None:
    """Return, of a run that did not come to its end, what of it there is; None of a whole one."""
    attributes = tree.attrs
    status = attributes.get("status", "unknown")
    if status == "complete":
        return None
    if "committed_tick" in attributes and "dt_s" in attributes:
        reached = f"the first {attributes['committed_tick'] * attributes['dt_s']:g} s"
    else:
        reached = f"what there is until epoch {attributes.get('committed_epoch', 0)}"
    return f"the run has not come to its end (status {status}); exported is {reached}"


def _spikes(name: str, node: xr.DataTree) -> StoredSpikes:
    columns = node.to_dataset(inherit=False)
    by_neuron = None
    if "by_neuron" in node.children:
        by_neuron = node.children["by_neuron"].to_dataset(inherit=False)
    attributes = columns.attrs
    neurons = np.arange(attributes["size"], dtype=np.int64)
    if "recorded" in columns:
        neurons = columns["recorded"].values.astype(np.int64)
    # Nothing is recorded yet of a run that has not come to the first of its stretches.
    start_s = float(attributes.get("start_s", 0.0))
    recorded_s = recorded_stretches(attributes) or ((start_s, start_s),)
    return StoredSpikes(
        name,
        int(attributes["size"]),
        neurons,
        float(attributes["dt_s"]),
        recorded_s,
        columns,
        by_neuron,
    )
