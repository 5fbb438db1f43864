"""Spikes from elsewhere as a run's store, so that whatever reads runs reads recordings too.

A store keeps times as whole ticks. Where a file says its resolution, that is the tick; else the
longest of the usual ones of which all times are multiples; else 10 us, below any sampling
interval of electrodes, to which times are rounded.
"""

from __future__ import annotations

import math
import platform
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import biosim
from biosim.errors import DataError
from biosim.spiking.finalising import finalise
from biosim.spiking.periods import ALWAYS, Periods
from biosim.spiking.recording import Recording as Recorded
from biosim.spiking.recording import SpikeRecord
from biosim.spiking.spike_store import StoreSink, write_neurons
from biosim.store import STORE, RunStore

KIND = "recording"
"""The attribute `kind` of an imported store."""
USUAL_TICKS_S = (1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 4e-5, 1 / 30000, 2e-5, 1e-5)
FINEST_S = USUAL_TICKS_S[-1]
OFF = 1e-3
"""Share of a tick by which a time may miss a multiple of it."""
MOST_TICKS = 1 << 33
"""Of a recording: a day of 10 us. The store's index has an entry for every hundred."""
MOST_UNITS = 1 << 32
"""A store has 32 bits for the number of a neuron."""
RESERVED = ("by_time", "by_neuron")
"""Names of groups in a store."""


@dataclass(frozen=True, eq=False)
class Units:
    """The spikes of a group of units.

    Args:
        time_s: (n_spikes,) in seconds, in any order.
        unit: (n_spikes,) unit of each, from 0.
        size: number of units, silent ones included.
        recorded: (n,) those that were recorded, increasing; None for all.
        described: what is known of each unit: name -> (size,) numbers.
        units: unit of what is described, "1" where none is given.
        during_s: begin and end of each stretch that was recorded, in the order of time; empty for
            the whole recording.
    """

    time_s: npt.NDArray[np.float64]
    unit: npt.NDArray[np.int64]
    size: int
    recorded: npt.NDArray[np.int64] | None = None
    described: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    during_s: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, eq=False)
class Recording:
    """What a file of spikes holds.

    Args:
        path: of the file.
        form: of the file: nwb, sonata or hdf5-mea.
        groups: of units, by name.
        start_s: begin of the recording.
        stop_s: its end; None if the file does not say.
        tick_s: resolution of the times; None if the file does not say.
        about: what else the file says of itself, as text, numbers, lists and dictionaries.
    """

    path: Path
    form: str
    groups: Mapping[str, Units]
    start_s: float = 0.0
    stop_s: float | None = None
    tick_s: float | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Imported:
    """What became of a recording.

    Args:
        spikes: number of spikes, by group.
        sizes: number of units, by group.
        tick_s: length of a tick.
        shift_s: most that a spike was moved by rounding.
        stop_s: end of the recording.
        stop_known: whether the file, or the user, said when it ends.
    """

    spikes: Mapping[str, int]
    sizes: Mapping[str, int]
    tick_s: float
    shift_s: float
    stop_s: float
    stop_known: bool


def write_recording(
    recording: Recording,
    directory: Path,
    tick_s: float | None = None,
    stop_s: float | None = None,
) -> Imported:
    """Write a recording as the store of a run.

    Args:
        recording: what a file holds.
        directory: where `run.zarr` is made; it must be there.
        tick_s: length of a tick in seconds, in place of what the file says.
        stop_s: end of the recording in seconds, in place of what the file says.

    Raises:
        DataError: there are no units, or a time, a unit, the tick or the end makes no sense.
        OutputError: the directory cannot be written.
    """
    path = recording.path
    if not any(units.size for units in recording.groups.values()):
        raise DataError(f"{path} has no units; expected at least one")
    for name, units in recording.groups.items():
        _check(path, name, units)
    if tick_s is not None and not 0 < tick_s < math.inf:
        raise DataError(f"got a tick of {tick_s} s; expected a positive number of seconds")
    stop = recording.stop_s if stop_s is None else stop_s
    for edge, value in (("begin", recording.start_s), ("end", stop)):
        if value is not None and not math.isfinite(value):
            raise DataError(f"got {value} s for the {edge} of {path}; expected a finite number")
    tick = tick_s or fitting_tick(recording)
    latest = max(float(units.time_s.max(initial=0.0)) for units in recording.groups.values())
    if max(latest, stop or 0.0) / tick > MOST_TICKS:
        raise DataError(
            f"{path} lasts {max(latest, stop or 0.0):g} s in ticks of {tick:g} s; expected at most "
            f"{MOST_TICKS * tick:g} s: give longer ticks, or shift the times so that they count "
            "from the recording's begin"
        )
    spikes = {name: _in_ticks(units, tick) for name, units in recording.groups.items()}
    last = max((int(ticks[-1]) for ticks, _ in spikes.values() if len(ticks)), default=-1)
    end = last + 1 if stop is None else math.ceil(stop / tick - OFF)
    if stop_s is not None and end <= last:
        raise DataError(
            f"got {stop_s:g} s for the end, but {path} has a spike at {last * tick:g} s; "
            "expected a later end"
        )
    # A last spike at the very end of an observed interval lies in the tick after it.
    end = max(end, last + 1, 1)
    names = _names(path, list(recording.groups))
    sizes = {names[name]: units.size for name, units in recording.groups.items()}
    store = RunStore(directory / STORE, "w", groups=())
    store.describe(_attributes(recording, sizes, tick, end, stop is not None))
    write_neurons(
        store,
        sizes,
        {names[name]: units.described for name, units in recording.groups.items()},
        {
            (names[name], key): unit
            for name, units in recording.groups.items()
            for key, unit in units.units.items()
        },
    )
    sink = StoreSink(
        directory / STORE,
        Recorded(
            tuple(
                SpikeRecord(names[n], units.recorded, _during(units, spikes[n][0], tick, end))
                for n, units in recording.groups.items()
            )
        ),
        sizes,
        {name: (0, size) for name, size in sizes.items()},
        tick,
    )
    for name, (ticks, who) in spikes.items():
        sink.spikes(names[name], ticks, who)
    sink.commit(end)
    sink.flush()
    finalise(directory / STORE)
    for name in names.values():
        store.group(f"spikes/{name}", {"start_s": recording.start_s})
    store.describe({"status": "complete", "committed_tick": end})
    return Imported(
        {names[name]: len(ticks) for name, (ticks, _) in spikes.items()},
        sizes,
        tick,
        max(
            (_shift(units.time_s, tick) for units in recording.groups.values()),
            default=0.0,
        ),
        end * tick,
        stop is not None,
    )


def fitting_tick(recording: Recording) -> float:
    """Return the tick of a recording in seconds: see the head of this file."""
    times = [units.time_s for units in recording.groups.values()]
    # A resolution that the times contradict, such as the -1 of some writers, is none.
    said: tuple[float, ...] = (
        () if recording.tick_s is None or not recording.tick_s > 0 else (recording.tick_s,)
    )
    for tick in (*said, *USUAL_TICKS_S):
        if all(_shift(part, tick) <= OFF * tick for part in times):
            return tick
    return FINEST_S


def units_of(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the unit of each spike, (n_spikes,), where they come unit after unit.

    Args:
        counts: (n_units,) number of spikes of each.
    """
    return np.repeat(np.arange(len(counts), dtype=np.int64), counts)


def _shift(time_s: npt.NDArray[np.float64], tick: float) -> float:
    """Return by how many seconds a time misses its tick at most."""
    if not len(time_s):
        return 0.0
    return float(np.max(np.abs(time_s - np.rint(time_s / tick) * tick)))


def _in_ticks(units: Units, tick: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    ticks = np.rint(units.time_s / tick).astype(np.int64)
    order = np.lexsort((units.unit, ticks))
    return ticks[order], units.unit[order].astype(np.uint32)


def _during(units: Units, ticks: npt.NDArray[np.int64], tick: float, end: int) -> Periods:
    """Return the stretches that were recorded, in ticks; all time where spikes lie beside them."""
    found: list[tuple[int, int]] = []
    for start_s, stop_s in units.during_s:
        # A last spike at the very end of an observed interval lies in the tick after it.
        stop = math.ceil(stop_s / tick - OFF)
        start, stop = max(0, math.floor(start_s / tick + OFF)), stop + int(stop in ticks)
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        elif start < stop:
            found.append((start, stop))
    during = Periods(tuple(found)) if found and found != [(0, end)] else ALWAYS
    return during if during.within(ticks).all() else ALWAYS


def _check(path: Path, name: str, units: Units) -> None:
    where = f"{path}, {name!r}"
    if units.time_s.shape != units.unit.shape:
        raise DataError(
            f"{where}: got {len(units.time_s)} times for {len(units.unit)} spikes; "
            "expected as many of both"
        )
    if not np.isfinite(units.time_s).all():
        raise DataError(f"{where}: a spike has a time that is not a number; expected seconds")
    if len(units.time_s) and units.time_s.min() < 0:
        raise DataError(
            f"{where}: got a spike at {units.time_s.min():g} s; expected times from 0 s: "
            "shift them before"
        )
    if units.size > MOST_UNITS:
        raise DataError(
            f"{where}: got {units.size:,} units, by the greatest number of one; expected at most "
            f"{MOST_UNITS:,}: number them from 0"
        )
    if len(units.unit) and not 0 <= units.unit.min() <= units.unit.max() < units.size:
        raise DataError(
            f"{where}: got spikes of units {units.unit.min()} to {units.unit.max()}; expected 0 "
            f"to {units.size - 1}"
        )
    recorded = units.recorded
    if recorded is None:
        return
    known = np.arange(units.size)
    if not np.array_equal(recorded, known[np.isin(known, recorded)]):
        raise DataError(
            f"{where}: the recorded units are no increasing numbers from 0 to {units.size - 1}"
        )
    unknown = units.unit[~np.isin(units.unit, recorded)]
    if len(unknown):
        raise DataError(
            f"{where}: got a spike of unit {unknown[0]}, which is not among the "
            f"{len(recorded)} that were recorded"
        )


def _names(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Return names that can be those of groups in a store, by the file's own."""
    found = {name: re.sub(r"[^\w .+>-]", "_", name).lstrip("_. ") or "units" for name in names}
    found = {name: f"{safe}_" if safe in RESERVED else safe for name, safe in found.items()}
    if len(set(found.values())) < len(found):
        raise DataError(
            f"{path} has populations {', '.join(map(repr, names))}, whose names differ in signs "
            "only; rename them"
        )
    return found


def _attributes(
    recording: Recording, sizes: Mapping[str, int], tick: float, end: int, known: bool
) -> dict[str, Any]:
    return {
        "kind": KIND,
        "recording": {
            "file": recording.path.name,
            "format": recording.form,
            "start_s": recording.start_s,
            "end_is": "as the file says" if known else "after the last spike",
            **recording.about,
        },
        "populations": dict(sizes),
        "dt_s": tick,
        "ticks": end,
        "versions": {"python": platform.python_version(), "biosim": biosim.__version__},
        "host": socket.gethostname(),
        "ranks": 1,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
