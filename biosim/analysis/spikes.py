"""Spike trains as columns: the form that the analysis takes, and reading it in parts.

Spikes are two columns in the order of time, `time` in seconds and `neuron`, as `biosim.open_run`
gives them. A population may have more spikes than memory holds, so they are read a part at a time,
and whatever can be counted is counted on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from biosim.errors import AnalysisError

SpikeColumns = xr.Dataset | xr.DataTree
"""`tree["spikes/E"]` of `biosim.open_run`, or what `spike_columns` makes."""
Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Stretches = tuple[tuple[float, float], ...]

PART = 1 << 20
"""Spikes that are read at a time: a shard of the store."""
FEW_NEURONS = 64
"""Up to so many neurons are read one by one where the store has them in their order."""


def spike_columns(
    time_s: npt.ArrayLike,
    neuron: npt.ArrayLike,
    stop_s: float,
    *,
    start_s: float = 0.0,
    size: int | None = None,
    dt_s: float | None = None,
) -> xr.Dataset:
    """Return spikes of any origin, a real recording for one, in the form that the analysis takes.

    The form: variables `time` and `neuron` along `spike`, in the order of time, and attributes
    `size`, `start_s`, `stop_s` and, if times are multiples of something, `dt_s`. Of a run,
    `committed_tick` stands for `stop_s`; `recorded`, if there, lists the neurons that were
    recorded, where those are not all, and `recorded_ticks` the windows in time.

    Args:
        time_s: (n_spikes,) times in seconds, in any order.
        neuron: (n_spikes,) the neuron or unit of each, from 0.
        stop_s: end of the recording. It is not known from the last spike.
        start_s: begin of the recording.
        size: number of neurons, silent ones included; by default up to the last that fired.
        dt_s: resolution of the times, where there is one.

    Raises:
        AnalysisError: the columns differ in length, a time is not a number or outside
            [start_s, stop_s), or a neuron is no number from 0 to size - 1.
    """
    times = np.asarray(time_s, np.float64)
    who = np.asarray(neuron)
    if times.ndim != 1 or times.shape != who.shape:
        raise AnalysisError(
            f"got times of the shape {times.shape} and neurons of the shape {who.shape}; "
            "expected a time and a neuron for each spike"
        )
    if len(who) and who.dtype.kind not in "iu":
        raise AnalysisError(f"got neurons of the type {who.dtype}; expected whole numbers from 0")
    who = who.astype(np.int64)
    inside = (times >= start_s) & (times < stop_s)
    if not inside.all():
        raise AnalysisError(
            f"got a spike at {times[~inside][0]} s; expected times from {start_s} s to before "
            f"{stop_s} s: leave out the others, or give the recording's start_s and stop_s"
        )
    found = int(who.max()) + 1 if len(who) else 0
    count = found if size is None else size
    if len(who) and (who.min() < 0 or found > count):
        wrong = who.min() if who.min() < 0 else found - 1
        raise AnalysisError(f"got a spike of neuron {wrong}; expected 0 to {count - 1}")
    order = np.lexsort((who, times))
    attributes: dict[str, Any] = {"size": count, "start_s": start_s, "stop_s": stop_s}
    if dt_s is not None:
        attributes["dt_s"] = dt_s
    seconds = {"units": "s", "long_name": "time of the spike"}
    return xr.Dataset(
        {
            "time": ("spike", times[order], seconds),
            "neuron": ("spike", who[order], {"long_name": "neuron that fired"}),
        },
        attrs=attributes,
    )


@dataclass(frozen=True)
class SpikeTrains:
    """A stretch of time and a choice of neurons of a population's spikes.

    Args:
        columns: `time` and `neuron` of all spikes.
        by_neuron: the same ordered by neuron, with `indptr`, where the store has it.
        neurons: (n_neurons,) that are looked at.
        start_s: begin of the stretch; spikes in [start_s, stop_s) are looked at.
        stop_s: end of the stretch.
        slack_s: how far a time, given as a decimal, may lie beside the tick that it means.
        recorded_s: begin and end of each stretch in which spikes were recorded.
    """

    columns: xr.Dataset
    by_neuron: xr.Dataset | None
    neurons: Int64s
    start_s: float
    stop_s: float
    slack_s: float
    recorded_s: Stretches

    @property
    def duration_s(self) -> float:
        """Length of the stretch in seconds."""
        return self.stop_s - self.start_s

    def parts(self) -> Iterator[tuple[Float64s, Int64s]]:
        """Yield times in seconds and positions in `neurons`, (n,) each, in the order of time.

        Raises:
            AnalysisError: the spikes are not in the order of time, a time is not a number, or a
                neuron is none of the population.
        """
        size = int(self.columns.attrs["size"])
        row_of = np.full(size, -1, np.int64)
        row_of[self.neurons] = np.arange(len(self.neurons))
        first, last = self._span()
        before = -np.inf
        for start in range(first, last, PART):
            part = self.columns[["time", "neuron"]].isel(
                spike=slice(start, min(start + PART, last))
            )
            times = part["time"].values.astype(np.float64, copy=False)
            who = part["neuron"].values.astype(np.int64)
            # Written so that it also fails where a time is not a number.
            if not (times[0] >= before and np.all(times[1:] >= times[:-1])):
                raise AnalysisError(
                    f"the times of spikes {start} to {start + len(times) - 1} are not numbers in "
                    "increasing order; sort them, or make the columns with spike_columns"
                )
            if who.min() < 0 or who.max() >= size:
                raise AnalysisError(
                    f"got spikes of neurons {who.min()} to {who.max()}; expected 0 to {size - 1}"
                )
            before = times[-1]
            rows = row_of[who]
            keep = (times >= self.start_s - self.slack_s) & (times < self.stop_s - self.slack_s)
            keep &= rows >= 0
            yield (times, rows) if keep.all() else (times[keep], rows[keep])

    def trains(self) -> tuple[Float64s, Int64s]:
        """Return the times (n,), neuron after neuron, and where each begins (n_neurons + 1,).

        All of them are held in memory. Of few neurons of a finished run only theirs are read.
        """
        if self.by_neuron is not None and len(self.neurons) <= FEW_NEURONS:
            single = [self._train(neuron) for neuron in self.neurons]
            ends = np.cumsum([0, *(len(train) for train in single)])
            return np.concatenate([np.empty(0), *single]), ends
        found = list(self.parts())
        times = np.concatenate([np.empty(0), *(part[0] for part in found)])
        rows = np.concatenate([np.empty(0, np.int64), *(part[1] for part in found)])
        counts = np.bincount(rows, minlength=len(self.neurons))
        return times[neuron_order(rows, len(self.neurons))], np.cumsum([0, *counts])

    def coordinate(self) -> xr.Variable:
        """Return the labels of the neurons, along `neuron`."""
        return xr.Variable("neuron", self.neurons, {"long_name": "number in the population"})

    def _span(self) -> tuple[int, int]:
        """Return the positions between which all spikes of the stretch lie."""
        count = self.columns.sizes["spike"]
        if "window_ptr" not in self.columns:
            return 0, count
        width_s = self.columns.attrs["dt_s"] * self.columns.attrs["window_ticks"]
        begins = self.columns["window_ptr"].values.astype(np.int64)
        if not len(begins):
            return 0, count
        first = int(np.clip((self.start_s - self.slack_s) // width_s, 0, len(begins) - 1))
        last = int(np.clip(self.stop_s // width_s + 1, 0, len(begins)))
        return int(begins[first]), int(begins[last]) if last < len(begins) else count

    def _train(self, neuron: int) -> Float64s:
        assert self.by_neuron is not None
        ends = self.by_neuron["indptr"][neuron : neuron + 2].values.astype(np.int64)
        times = self.by_neuron["time"][slice(*ends)].values.astype(np.float64, copy=False)
        edges = np.array([self.start_s, self.stop_s]) - self.slack_s
        found: Float64s = times[slice(*np.searchsorted(times, edges))]
        return found


def spike_trains(
    spikes: SpikeColumns,
    neurons: Sequence[int] | npt.NDArray[Any] | None = None,
    start_s: float | None = None,
    stop_s: float | None = None,
    *,
    gaps: bool = False,
) -> SpikeTrains:
    """Return a view on spikes, checked; nothing of the columns is read.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        neurons: that are looked at, in this order; by default all that were recorded.
        start_s: begin of the stretch; by default that of the recording.
        stop_s: end of the stretch; by default that of the recording.
        gaps: whether the stretch may reach over times in which nothing was recorded.

    Raises:
        AnalysisError: the columns lack something, a neuron was not recorded or is named twice, or
            the stretch is empty or, without `gaps`, was not recorded as a whole.
    """
    if not isinstance(spikes, xr.Dataset | xr.DataTree):
        raise AnalysisError(
            f"got spikes of the type {type(spikes).__name__}; "
            'give tree["spikes/NAME"] of a run, or make the columns with spike_columns'
        )
    by_neuron = None
    columns = spikes if isinstance(spikes, xr.Dataset) else spikes.to_dataset(inherit=False)
    if isinstance(spikes, xr.DataTree) and "by_neuron" in spikes.children:
        by_neuron = spikes.children["by_neuron"].to_dataset(inherit=False)
    for name in ("time", "neuron"):
        if name not in columns or columns[name].dims != ("spike",):
            raise AnalysisError(
                f"the spikes have no column {name!r} along 'spike'; "
                'give tree["spikes/NAME"] of a run, or make the columns with spike_columns'
            )
    if "size" not in columns.attrs:
        raise AnalysisError(
            "the spikes have no attribute 'size', the number of neurons; "
            "make the columns with spike_columns"
        )
    dt_s = columns.attrs.get("dt_s")
    slack_s = 1e-9 if dt_s is None else 1e-3 * dt_s
    recorded_s = recorded_stretches(columns.attrs)
    start, stop = _stretch(recorded_s, start_s, stop_s, slack_s, gaps)
    chosen = _chosen(columns, neurons)
    return SpikeTrains(columns, by_neuron, chosen, start, stop, slack_s, recorded_s)


def recorded_stretches(attributes: Mapping[str, Any]) -> Stretches:
    """Return begin and end in seconds of each stretch of time in which spikes were recorded.

    Args:
        attributes: of the spikes of a population.

    Returns:
        One or more, in the order of time, with gaps between them. The end of the last is infinite
        where it is not known when the recording ends. None where nothing was recorded yet.
    """
    dt_s = attributes.get("dt_s")
    begin, end = float(attributes.get("start_s", 0.0)), attributes.get("stop_s")
    if end is None:
        known = "committed_tick" in attributes and dt_s is not None
        end = attributes["committed_tick"] * dt_s if known else np.inf
    ticks = attributes.get("recorded_ticks")
    windows = [(begin, end)] if ticks is None else [(dt_s * a, dt_s * b) for a, b in ticks]
    found: list[tuple[float, float]] = []
    for start, stop in windows:
        start, stop = max(start, begin), float(min(stop, end))
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], stop)
        elif start < stop:
            found.append((start, stop))
    return tuple(found)


def neuron_order(rows: Int64s, count: int) -> Int64s:
    """Return the order (n,) by neuron, then as they come, of spikes of these neurons (n,)."""
    # Numpy sorts 16 bits by radix, some ten times as fast as more.
    return np.argsort(rows.astype(np.uint16) if count <= 1 << 16 else rows, kind="stable")


def _stretch(
    recorded_s: Stretches, start_s: float | None, stop_s: float | None, slack_s: float, gaps: bool
) -> tuple[float, float]:
    """Return begin and end of the stretch in seconds."""
    for name, given in (("start_s", start_s), ("stop_s", stop_s)):
        if not (given is None or isinstance(given, int | float | np.number)):
            raise AnalysisError(f"got {name}={given!r}; expected a number of seconds")
    if not recorded_s and not (gaps and start_s is not None and stop_s is not None):
        raise AnalysisError("no stretch in which spikes are recorded was reached; run it further")
    whole = (recorded_s[0][0], recorded_s[-1][1]) if recorded_s else (0.0, 0.0)
    start = whole[0] if start_s is None else start_s
    stop = whole[1] if stop_s is None else stop_s
    if stop_s is None and stop == np.inf:
        raise AnalysisError("it is not known when the recording ends: give stop_s in seconds")
    if not (np.isfinite(start) and np.isfinite(stop) and start < stop):
        raise AnalysisError(
            f"got the stretch from {start} s to {stop} s; expected one with a length"
        )
    # Over a gap there would be too few spikes and intervals that there are not.
    if not gaps and not any(a - slack_s <= start and stop <= b + slack_s for a, b in recorded_s):
        known = ", ".join(f"{a:g} to {b:g} s" for a, b in recorded_s)
        raise AnalysisError(
            f"got the stretch from {start:g} s to {stop:g} s; spikes were recorded from {known}: "
            "give start_s and stop_s within one of these"
        )
    return float(start), float(stop)


def _chosen(columns: xr.Dataset, neurons: Sequence[int] | npt.NDArray[Any] | None) -> Int64s:
    recorded = np.arange(columns.attrs["size"], dtype=np.int64)
    if "recorded" in columns:
        recorded = columns["recorded"].values.astype(np.int64)
    if neurons is None:
        return recorded
    chosen = np.asarray(neurons)
    if chosen.ndim != 1 or (len(chosen) and chosen.dtype.kind not in "iu"):
        raise AnalysisError(f"got neurons={neurons!r}; expected a list of whole numbers")
    unknown = chosen[~np.isin(chosen, recorded)]
    if len(unknown):
        raise AnalysisError(
            f"got neuron {unknown[0]}; of this population {len(recorded)} neurons were recorded, "
            f"{_range(recorded)}"
        )
    if len(np.unique(chosen)) < len(chosen):
        raise AnalysisError(f"got neurons={list(chosen)}; expected each neuron once")
    return chosen.astype(np.int64)


def _range(recorded: Int64s) -> str:
    return f"from {recorded[0]} to {recorded[-1]}" if len(recorded) else "none at all"
