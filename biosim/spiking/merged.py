"""What the append logs of all owners hold together: the view on a run that is not finished.

Whoever reads a run before its end, or after it was killed, sees this; finalising copies it.
Both see what all owners have committed, and nothing beyond. Nothing is read before it is asked
for, except the positions of windows and the ticks of samples.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.storage import LocalStore

from biosim.damage import named
from biosim.errors import OutputError
from biosim.spiking.append_log import NEVER

WINDOW_TICKS = 100
"""Ticks of a window, whose first spike's position is stored: any stretch of time is found fast."""
RAW = "_raw"
OWNERS = "_owners"
STREAMS = ("spikes", "traces", "weights")

Int64s = npt.NDArray[np.int64]


def committed_tick(root: zarr.Group) -> int | None:
    """Return the tick before which all owners have stored everything; None if none records.

    Raises:
        OutputError: neurons have more than one owner.
    """
    if OWNERS not in root:
        return None
    starts = begun(root)
    found = _groups(root, OWNERS)
    newest = [group for name, group in found if _attempt(name) == len(starts) - 1]
    owners: list[dict[str, Any]] = [dict(owner.attrs) for owner in newest]
    counted: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for owner in owners:
        for population, (lo, hi, size) in owner["owned"].items():
            counted[population] = counted.get(population, 0) + hi - lo
            sizes[population] = size
    for population, size in sizes.items():
        if counted[population] > size:
            raise OutputError(
                f"{root.store_path} has the logs of two attempts at one run: {population!r} has "
                f"{size} neurons, and owners of {counted[population]}; run into an empty directory"
            )
    # A neuron without an owner: that owner has not begun, or none has since the last attempt.
    whole = owners and counted == sizes
    return min(owner["committed_tick"] for owner in owners) if whole else starts[-1]


def begun(group: zarr.Group) -> list[int]:
    """Return the tick from which on each attempt at a run recorded: 0, and where it was resumed.

    What one attempt recorded counts up to where a later one began. Only the root of a store, or a
    group of it, is needed.
    """
    owners = directory_of(group, OWNERS) / "zarr.json"
    with suppress(OSError):
        said = json.loads(owners.read_text(encoding="utf-8"))["attributes"]
        return [int(tick) for tick in said.get("begun", [0])]
    return [0]


def log_name(first: int, attempt: int) -> str:
    """Return the name of the log whose first neuron this is.

    Names sort as attempts do, and then as neurons.
    """
    return f"b{first:010}" if attempt == 0 else f"c{attempt:04}-b{first:010}"


def _attempt(name: str) -> int:
    """Return the attempt of a log or an owner of this name."""
    return int(name[1:5]) if name.startswith("c") else 0


def _by_attempt(logs: Sequence[zarr.Group], committed: int) -> list[tuple[int, list[zarr.Group]]]:
    """Return for each attempt the tick before which its logs count, and the logs."""
    starts = begun(logs[0])
    found: dict[int, list[zarr.Group]] = {}
    for log in logs:
        found.setdefault(_attempt(log.basename), []).append(log)
    return [(min([committed, *starts[k + 1 :]]), found[k]) for k in sorted(found)]


class MergedSpikes:
    """The spikes of a population in all owners' logs, ordered by (step, neuron).

    Args:
        logs: in the order of the neurons.
        committed: only spikes before this tick are seen.

    Attributes:
        window_ptr: (n_windows + 1,) position of the first spike of each window.
        recorded: (n,) neurons that are recorded; None for all.
    """

    def __init__(self, logs: Sequence[zarr.Group], committed: int) -> None:
        self._steps = [array_of(log, "step") for log in logs]
        self._ids = [array_of(log, "id") for log in logs]
        attempts = _by_attempt(logs, committed)
        length = -(-committed // WINDOW_TICKS) + 1
        until = [tick for tick, of_attempt in attempts for _ in of_attempt]
        self._pointers: list[Int64s] = []
        for log, step, tick in zip(logs, self._steps, until, strict=True):
            whole = slice(0, tick // WINDOW_TICKS + 1)
            pointers = _read(array_of(log, "window_ptr"), whole).astype(np.int64)
            if tick % WINDOW_TICKS:
                pointers = np.append(pointers, _rows_before(step, tick, int(pointers[-1])))
            # Of what it recorded after a later attempt began, nothing counts.
            beyond = np.full(length - len(pointers), pointers[-1])
            self._pointers.append(np.concatenate([pointers, beyond]))
        self.window_ptr: Int64s = np.sum(self._pointers, axis=0)
        some = [array_of(log, "recorded") for log in attempts[0][1] if "recorded" in log]
        self.recorded = Beside(some) if some else None

    def __len__(self) -> int:
        return int(self.window_ptr[-1])

    def read(self, start: int, stop: int) -> tuple[Int64s, npt.NDArray[np.uint32]]:
        """Return steps and neurons of the spikes at positions [start, stop): (n,) each.

        Raises:
            OutputError: a log lacks spikes that its owner committed.
        """
        first = int(np.searchsorted(self.window_ptr, start, side="right")) - 1
        last = int(np.searchsorted(self.window_ptr, stop, side="left"))
        if stop <= start:
            first = last = 0
        steps, ids = [], []
        for step, neuron, pointers in zip(self._steps, self._ids, self._pointers, strict=True):
            at = slice(int(pointers[first]), int(pointers[last]))
            steps.append(_read(step, at))
            ids.append(_read(neuron, at))
            if steps[-1].size and steps[-1][-1] == NEVER:
                raise OutputError(
                    f"{step.store_path} lacks spikes that were committed: it is damaged, or the "
                    "run was finished meanwhile; open it again"
                )
        part = slice(start - int(self.window_ptr[first]), stop - int(self.window_ptr[first]))
        if len(steps) == 1:
            return steps[0][part], ids[0][part]
        # Stable, and logs come in the order of their neurons: ties stay ordered by neuron.
        merged = np.concatenate(steps)
        order = np.argsort(merged, kind="stable")[part]
        return merged[order], np.concatenate(ids)[order]


class Beside:
    """Arrays of all owners side by side, along the last dimension.

    Args:
        parts: (rows, n) or (n,) each.
        rows: how many rows are seen; None for arrays of one dimension.
    """

    def __init__(self, parts: Sequence[zarr.Array[Any]], rows: int | None = None) -> None:
        self._parts = parts
        self._edges = np.cumsum([0, *(part.shape[-1] for part in parts)])
        width = int(self._edges[-1])
        self.shape: tuple[int, ...] = (width,) if rows is None else (rows, width)
        self.dtype = np.dtype(parts[0].dtype)

    def read(self, *key: slice) -> npt.NDArray[Any]:
        """Return a part: one slice without a step for each dimension."""
        start, stop, _ = key[-1].indices(self.shape[-1])
        rows = [slice(*key[0].indices(self.shape[0])[:2])] if len(key) > 1 else []
        found = []
        for part, lo, hi in zip(self._parts, self._edges[:-1], self._edges[1:], strict=True):
            columns = slice(max(start, int(lo)) - int(lo), min(stop, int(hi)) - int(lo))
            if columns.start < columns.stop or lo == 0:
                found.append(_read(part, *rows, columns))
        return np.concatenate(found, axis=-1)


class After:
    """Rows of several attempts, one after the other.

    Args:
        parts: (rows, n) each.
    """

    def __init__(self, parts: Sequence[Beside]) -> None:
        self._parts = parts
        self._edges = np.cumsum([0, *(part.shape[0] for part in parts)])
        self.shape: tuple[int, ...] = (int(self._edges[-1]), parts[0].shape[1])
        self.dtype = parts[0].dtype

    def read(self, *key: slice) -> npt.NDArray[Any]:
        """Return a part: one slice without a step for each dimension."""
        start, stop, _ = key[0].indices(self.shape[0])
        found = []
        for part, lo, hi in zip(self._parts, self._edges[:-1], self._edges[1:], strict=True):
            rows = slice(max(start, int(lo)) - int(lo), max(0, min(stop, int(hi)) - int(lo)))
            if rows.start < rows.stop or lo == 0:
                found.append(part.read(rows, *key[1:]))
        return np.concatenate(found)


class MergedRows:
    """Samples or snapshots in all owners' logs.

    Args:
        logs: in the order of the neurons; at least one.
        committed: only samples before this tick are seen, and snapshots until it: that of tick n
            shows the synapses before tick n begins, and is stored once n is committed.

    Attributes:
        steps: (rows,) tick of each.
        values: (rows, columns).
        columns: what the columns are: name -> (columns,).
        attributes: what the owners say of all of it.

    Raises:
        OutputError: owners committed different ticks.
    """

    def __init__(self, logs: Sequence[zarr.Group], committed: int) -> None:
        snapshots = list(logs[0].attrs["dimensions"])[:1] == ["snapshot"]  # type: ignore[arg-type]
        steps, parts = [], []
        attempts = _by_attempt(logs, committed)
        for until, of_attempt in attempts:
            end = until + 1 if snapshots and until else until
            steps.append(_steps(of_attempt[0], end))
            for log in of_attempt[1:]:
                if not np.array_equal(_steps(log, end), steps[-1]):
                    raise OutputError(
                        f"{log.store_path} lacks rows that were committed: it is damaged, or the "
                        "run was finished meanwhile; open it again"
                    )
            parts.append(Beside([array_of(log, "value") for log in of_attempt], len(steps[-1])))
        self.steps: Int64s = np.concatenate(steps)
        # One that was killed before it had recorded anything may lack logs.
        some = [part for part in parts if part.shape[0]] or parts[:1]
        self.values = some[0] if len(some) == 1 else After(some)
        first = attempts[parts.index(some[0])][1]
        self.attributes: dict[str, Any] = dict(first[0].attrs)
        self.columns = {
            name: Beside([array_of(log, name) for log in first])
            for name in self.attributes["columns"]
        }


def spike_logs(stream: zarr.Group) -> list[zarr.Group]:
    """Return the logs of a population's spikes, in the order of the neurons."""
    return _logs(stream, RAW, "window_ptr")


def row_logs(stream: zarr.Group) -> dict[str, list[zarr.Group]]:
    """Return the logs of each variable, in the order of the neurons."""
    names = [name for name, _ in _groups(stream, RAW)]
    logs = {name: _logs(stream, f"{RAW}/{name}", "value") for name in names}
    return {name: found for name, found in logs.items() if found}


def streams(root: zarr.Group) -> dict[str, zarr.Group]:
    """Return the groups that have logs, by their path: spikes/E, traces/E, weights/E->E."""
    found = {
        f"{kind}/{name}": group
        for kind in STREAMS
        if kind in root
        for name, group in _groups(root, kind)
        if RAW in group
    }
    return {
        path: group
        for path, group in found.items()
        if not path.startswith("spikes/") or "committed_tick" in group.attrs or spike_logs(group)
    }


def merging(root: zarr.Group) -> bool:
    """Return whether logs have begun to be merged into arrays."""
    streams = [group for kind in STREAMS if kind in root for _, group in _groups(root, kind)]
    return any("committed_tick" in group.attrs for group in streams)


def time_attributes(dt_s: float, long_name: str) -> dict[str, Any]:
    """Return the CF attributes of ticks: as many seconds as dt times the tick."""
    return {"units": "s", "scale_factor": dt_s, "long_name": long_name}


def _groups(group: zarr.Group, path: str) -> list[tuple[str, zarr.Group]]:
    """Return the groups in a group, by name.

    What was killed while it was written leaves files and directories that are neither group nor
    array; zarr's own listing warns of them.
    """
    found = group[path]
    assert isinstance(found, zarr.Group)
    inside = ((path.parent.name, path) for path in directory_of(found).glob("*/zarr.json"))
    members = ((name, found.get(name)) for name, _ in sorted(inside))
    return [(name, member) for name, member in members if isinstance(member, zarr.Group)]


def directory_of(group: zarr.Group, path: str | None = None) -> Path:
    """Return the directory of a group, or of another one of the same store."""
    store = group.store
    assert isinstance(store, LocalStore), "runs are stored in directories"
    return Path(store.root) / (group.path if path is None else path)


def _logs(stream: zarr.Group, path: str, last: str) -> list[zarr.Group]:
    """Return the logs that are whole: an owner makes the array `last` last, and then begins."""
    return [log for _, log in _groups(stream, path) if last in log]


def array_of(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """Return the array of that name."""
    found = group[name]
    assert isinstance(found, zarr.Array)
    return found


def _steps(log: zarr.Group, end: int) -> Int64s:
    step = array_of(log, "step")
    return _read(step, slice(0, _rows_before(step, end, 0)))


def _rows_before(step: zarr.Array[Any], tick: int, start: int) -> int:
    """Return how many rows come before a tick, looking from row `start` on, a chunk at a time."""
    size = step.chunks[0]
    while True:
        stop = (start // size + 1) * size
        start += int(np.searchsorted(_read(step, slice(start, stop)), tick))
        if start < stop:
            return start


def _read(array: zarr.Array[Any], *part: slice) -> npt.NDArray[Any]:
    with named(array, *part):
        return np.asarray(array[part])
