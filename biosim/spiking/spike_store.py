"""Streaming what a spiking run records into the run's store.

Every owner of neurons has a `StoreSink`, which appends to logs of its own (why: see
`biosim.spiking.append_log`) and now and then commits; `biosim.spiking.write_behind` lets it do so
in a thread. When all owners are done, or after a run was killed, `finalise` merges the logs into
the arrays that `biosim.store` describes and removes them. Until then `biosim.open_run` reads the
logs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
import zarr.errors

from biosim.errors import OutputError
from biosim.processes import this_process
from biosim.spiking.append_log import CHUNK_VALUES, AppendLog
from biosim.spiking.merged import OWNERS, RAW, WINDOW_TICKS, log_name
from biosim.spiking.recording import Int64s, Recording, SpikeRecord, UInt32s, Values
from biosim.store import RunStore, writing

ROW_BUFFER_BYTES = 8 << 20
ROWS_MOST = 1 << 14
COMMIT_SHARE = 0.02
"""Of the time of a run, most that commits take."""


class StoreSink:
    """Takes what one owner records and appends it to the store.

    Memory: 3 MB for each population whose spikes are recorded and 8 MB for each variable, at
    most, however long the run; a snapshot of weights goes to the store as it comes.

    Args:
        path: the directory `run.zarr`, which `biosim.store.RunStore` made.
        recording: what is recorded, checked.
        sizes: populations -> number of neurons, the same for all owners.
        owned: populations -> (lo, hi), the neurons of this owner. The owners' ranges make up
            every population named here by any of them.
        dt_s: length of a tick in seconds.
        units: (population or projection, variable) -> unit, "1" where none is given.
        commit_every_s: seconds between two commits, more where a commit takes long.
        attempt: which one at this run it is, from 0; as `attempts.next_attempt` gave it.
        begins: the first tick that it records.

    Raises:
        OutputError: the store is not there, cannot be written, holds a run that is over, or the
            logs of these neurons have a writer.
    """

    def __init__(
        self,
        path: str | Path,
        recording: Recording,
        sizes: Mapping[str, int],
        owned: Mapping[str, tuple[int, int]],
        dt_s: float,
        units: Mapping[tuple[str, str], str] | None = None,
        commit_every_s: float = 2.0,
        attempt: int = 0,
        begins: int = 0,
    ) -> None:
        try:
            self._root = zarr.open_group(str(path), mode="r+", zarr_format=3)
        except (OSError, zarr.errors.BaseZarrError) as problem:
            raise OutputError(
                f"{path} cannot be written ({problem}); make the run's store first"
            ) from None
        streams = [f"spikes/{record.population}" for record in recording.spikes]
        streams += [f"traces/{record.population}" for record in recording.states]
        streams += [f"weights/{record.projection}" for record in recording.weights]
        for stream in streams:
            if stream in self._root and "committed_tick" in self._root[stream].attrs:
                raise OutputError(f"{path} holds a run that is over; run into an empty directory")
        self._recording = recording
        self._dt_s = dt_s
        self._units = units or {}
        self._every_s = commit_every_s
        self._due_s = time.monotonic() + commit_every_s
        self._tick = self._begins = begins
        self._attempt = attempt
        self._path = Path(path)
        self._rows: dict[tuple[str, str], AppendLog] = {}
        self._spikes: dict[str, _SpikeLog] = {}
        self._owner: zarr.Group | None = None
        here = {name: span for name, span in owned.items() if span[0] < span[1]}
        if here:
            with writing(path):
                self._begin(here, sizes)

    def _begin(self, here: Mapping[str, tuple[int, int]], sizes: Mapping[str, int]) -> None:
        """Claim the logs of what is owned, and make them."""
        first = next(iter(here))
        again = f"c{self._attempt:04}-" if self._attempt else ""
        name = f"{OWNERS}/{again}{list(sizes).index(first):04}-{log_name(here[first][0], 0)}"
        try:
            # Of two who come at once, one makes it; a shard with two writers loses data.
            (self._path / name).mkdir(parents=True)
        except FileExistsError:
            raise OutputError(
                f"{self._path} has a writer for the neurons of {first!r} from {here[first][0]} on; "
                "run into an empty directory"
            ) from None
        for record in self._recording.spikes:
            if record.population in here:
                self._spikes[record.population] = self._spike_log(
                    record, *here[record.population], sizes
                )
        # Made last: a reader believes nothing before it knows of every owner.
        self._owner = self._root.create_group(
            name,
            attributes={
                "committed_tick": self._begins,
                "owned": {name: [lo, hi, sizes[name]] for name, (lo, hi) in here.items()},
                "process": this_process(),
            },
        )

    @property
    def buffer_bytes(self) -> int:
        """Most that it ever holds in memory, of what was recorded until now."""
        logs = [log.buffer_bytes for log in self._rows.values()]
        return sum(logs) + sum(log.buffer_bytes for log in self._spikes.values())

    def spikes(self, population: str, ticks: Int64s, neurons: UInt32s) -> None:
        """Take the spikes of a window: (n,) each, ordered by (tick, neuron)."""
        if len(ticks):
            self._spikes[population].append(ticks, neurons)

    def states(
        self, population: str, variable: str, ticks: Int64s, neurons: Int64s, values: Values
    ) -> None:
        """Take the samples of a window: ticks (m,), neurons (k,) increasing, values (m, k)."""
        if not values.size:
            return
        stream = f"traces/{population}"
        log = self._rows.get((stream, variable))
        if log is None:
            log = self._row_log(
                stream,
                variable,
                self._units.get((population, variable), "1"),
                values.dtype,
                {"neuron": neurons},
                self._dimensions(population, variable),
            )
        log.append(step=ticks, value=values)

    def weights(
        self,
        projection: str,
        tick: int,
        sources: UInt32s,
        targets: UInt32s,
        values: Mapping[str, Values],
    ) -> None:
        """Take a snapshot of the synapses: (n,) each, always the same ones, by (target, source)."""
        stream = f"weights/{projection}"
        for variable, column in values.items():
            if not len(column):
                continue
            log = self._rows.get((stream, variable))
            if log is None:
                log = self._row_log(
                    stream,
                    variable,
                    self._units.get((projection, variable), "1"),
                    column.dtype,
                    {"target": targets, "source": sources},
                    ("snapshot", "synapse"),
                )
            log.append(step=np.array([tick]), value=column[None])

    def commit(self, tick: int) -> None:
        """Take note that everything before this tick has been handed over.

        It is written when it is due, not every time.
        """
        self._tick = tick
        if time.monotonic() >= self._due_s:
            self.flush()

    def flush(self) -> None:
        """Write everything, so that a reader sees it up to the last tick committed.

        Raises:
            OutputError: the store cannot be written.
        """
        began = time.monotonic()
        for spikes in self._spikes.values():
            spikes.flush(self._tick)
        for rows in self._rows.values():
            rows.flush()
        if self._owner is not None:
            with writing(self._path):
                self._owner.attrs["committed_tick"] = self._tick
        ended = time.monotonic()
        self._due_s = ended + max(self._every_s, (ended - began) / COMMIT_SHARE)

    def beat(self) -> None:
        """Show that this process lives, to who cannot ask for it by its number."""
        if self._owner is not None:
            with writing(self._path):
                os.utime(self._path / self._owner.path / "zarr.json")

    def _spike_log(
        self, record: SpikeRecord, lo: int, hi: int, sizes: Mapping[str, int]
    ) -> _SpikeLog:
        attributes: dict[str, Any] = {"size": sizes[record.population], "dt_s": self._dt_s}
        if record.during.stretches is not None:
            # Else no spikes and no recording would look alike.
            attributes["recorded_ticks"] = [list(each) for each in record.during.stretches]
        group = self._root.create_group(
            f"spikes/{record.population}/{RAW}/{log_name(lo, self._attempt)}",
            attributes=attributes,
            overwrite=True,
        )
        if record.neurons is not None:
            group.create_array("recorded", data=record.owned(lo, hi), chunks=(hi - lo,))
        return _SpikeLog(group)

    def _row_log(
        self,
        stream: str,
        variable: str,
        units: str,
        dtype: npt.DTypeLike,
        columns: Mapping[str, npt.NDArray[Any]],
        dimensions: tuple[str, str],
    ) -> AppendLog:
        with writing(self._path):
            return self._made_row_log(stream, variable, units, dtype, columns, dimensions)

    def _made_row_log(
        self,
        stream: str,
        variable: str,
        units: str,
        dtype: npt.DTypeLike,
        columns: Mapping[str, npt.NDArray[Any]],
        dimensions: tuple[str, str],
    ) -> AppendLog:
        first = next(iter(columns.values()))
        group = self._root.create_group(
            f"{stream}/{RAW}/{variable}/{log_name(int(first[0]), self._attempt)}",
            attributes={
                "dt_s": self._dt_s,
                "units": units,
                "dimensions": list(dimensions),
                "columns": list(columns),
            },
            overwrite=True,
        )
        for column, values in columns.items():
            group.create_array(column, data=values, chunks=(min(len(values), CHUNK_VALUES),))
        width = len(first)
        rows = ROW_BUFFER_BYTES // (width * np.dtype(dtype).itemsize)
        log = AppendLog(
            group,
            {"step": (np.int64, None), "value": (dtype, width)},
            max(1, min(rows, ROWS_MOST)),
        )
        self._rows[stream, variable] = log
        return log

    def _dimensions(self, population: str, variable: str) -> tuple[str, str]:
        """Return (time, neuron); names of their own where the first record has other ones."""
        records = [r for r in self._recording.states if r.population == population]
        first = records[0]
        mine = next(record for record in records if variable in record.variables)
        if first.neurons is None or mine.neurons is None:
            same = first.neurons is mine.neurons
        else:
            same = np.array_equal(first.neurons, mine.neurons)
        alike = mine.every == first.every and mine.during == first.during
        return (
            "time" if alike else f"time_{variable}",
            "neuron" if same else f"neuron_{variable}",
        )


def write_neurons(
    store: RunStore,
    sizes: Mapping[str, int],
    parameters: Mapping[str, Mapping[str, Values]],
    units: Mapping[tuple[str, str], str],
) -> None:
    """Store what is known of the neurons before the run; one process only.

    Args:
        store: the run's store.
        sizes: populations -> number of neurons, in the order in which neurons are numbered
            through the whole network.
        parameters: population -> parameter -> (n,) values.
        units: (population, parameter) -> unit, "1" where none is given.
    """
    first = 0
    for population, size in sizes.items():
        group = f"neurons/{population}"
        number = np.arange(first, first + size, dtype=np.uint32)
        store.write(
            f"{group}/gid", number, ["neuron"], {"long_name": "number in the whole network"}
        )
        for name, values in parameters.get(population, {}).items():
            unit = units.get((population, name), "1")
            store.write(f"{group}/{name}", values, ["neuron"], {"units": unit})
        first += size


class _SpikeLog:
    """The log of a population's spikes, with the position at which each window begins."""

    def __init__(self, group: zarr.Group) -> None:
        self._spikes = AppendLog(
            group, {"step": (np.int64, None), "id": (np.uint32, None)}, CHUNK_VALUES
        )
        self._windows = AppendLog(group, {"window_ptr": (np.uint64, None)}, 1 << 12)
        self._last_tick = -1

    @property
    def buffer_bytes(self) -> int:
        return self._spikes.buffer_bytes + self._windows.buffer_bytes

    def append(self, ticks: Int64s, neurons: UInt32s) -> None:
        assert ticks[0] >= self._last_tick, "spikes come in the order of time"
        self._last_tick = int(ticks[-1])
        self._begin_windows(self._last_tick, ticks)
        self._spikes.append(step=ticks, id=neurons)

    def flush(self, tick: int) -> None:
        self._begin_windows(tick, np.empty(0, np.int64))
        self._spikes.flush()
        self._windows.flush()

    def _begin_windows(self, tick: int, ticks: Int64s) -> None:
        """Note where the windows begin that begin at this tick or before.

        All earlier spikes are in the log, but for the given ones.
        """
        begun = self._windows.rows
        if begun * WINDOW_TICKS <= tick:
            begins = np.arange(begun, tick // WINDOW_TICKS + 1) * WINDOW_TICKS
            at = self._spikes.rows + np.searchsorted(ticks, begins)
            self._windows.append(window_ptr=at.astype(np.uint64))
