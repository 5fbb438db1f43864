"""Lists of spikes, from a scenario or a file, held against the population and the run."""

from __future__ import annotations

import csv
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from biosim.errors import ScenarioError
from biosim.spiking.description import SpikeList
from scenarios.spiking.schema import PopulationTable
from scenarios.spiking.values import Values

COLUMNS = ("index", "time_s")


def spike_list(
    table: PopulationTable, place: str, size: int, ticks: int, values: Values
) -> SpikeList:
    """Return the spikes of a population that is told when to fire.

    A spike is moved to the nearest tick.

    Args:
        table: of the population.
        place: where it stands, for errors: "populations.in".
        size: neurons of the population.
        ticks: of the run.
        values: reads texts.

    Raises:
        ScenarioError: times are not sorted or beyond the run, an index is out of range, a neuron
            fires twice in a tick, or the file cannot be read.
    """
    if table.file is None:
        key = f"{place}.times"
        who = np.array(table.indices, dtype=np.float64)
        at = np.array(
            [values.seconds(time, place, "times") for time in table.times or ()], dtype=np.float64
        )
    else:
        key = f"{place}.file"
        who, at = _read(table.file, key)
    back = np.flatnonzero(np.diff(at) < 0)
    if len(back):
        raise ScenarioError(
            f"{key}: spike {back[0] + 1} is at {at[back[0] + 1]:g} s, before spike {back[0]} at "
            f"{at[back[0]]:g} s; expected them in the order of time"
        )
    when = np.floor(at / values.dt_s + 0.5)
    late = np.flatnonzero((when < 0) | (when >= ticks))
    if len(late):
        raise ScenarioError(
            f"{key}: spike {late[0]} is at {at[late[0]]:g} s; expected times from 0 to before the "
            f"run's end at {ticks * values.dt_s:g} s"
        )
    wrong = np.flatnonzero((who < 0) | (who >= size))
    if len(wrong):
        raise ScenarioError(
            f"{key.rpartition('.')[0]}.{'indices' if table.file is None else 'file'}: spike "
            f"{wrong[0]} is of neuron {who[wrong[0]]:g}; expected 0 to {size - 1}"
        )
    order = np.lexsort((who, when))
    who, when = who[order].astype(np.int64), when[order].astype(np.int64)
    twice = np.flatnonzero((np.diff(when) == 0) & (np.diff(who) == 0))
    if len(twice):
        raise ScenarioError(
            f"{key}: neuron {who[twice[0]]} fires twice in tick {when[twice[0]]}; expected one "
            "spike a tick: leave one out, or take shorter ticks"
        )
    return SpikeList(who, when)


def _read(file: str, key: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return indices and times in seconds, (n_spikes,) each, of a file.

    Indices are whole, but may be too great for an integer until they have been checked.
    """
    try:
        columns = _npz(file) if file.endswith(".npz") else _csv(file)
        who = np.asarray(columns[0], dtype=np.float64)
        at = np.asarray(columns[1], dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError, csv.Error, BadZipFile) as problem:
        raise ScenarioError(
            f"{key}: {file} cannot be read ({problem}); expected .npz or .csv with "
            f"{' and '.join(COLUMNS)}"
        ) from None
    if who.ndim != 1 or who.shape != at.shape or not (np.isfinite(at).all() and _whole(who)):
        raise ScenarioError(
            f"{key}: {file} has indices of shape {who.shape} and times of shape {at.shape}; "
            "expected as many of each, whole indices and finite times"
        )
    return who, at


def _npz(file: str) -> list[Any]:
    # Opened here: a damaged archive would be left open.
    with open(file, "rb") as archive, np.load(archive) as stored:
        return [stored[name] for name in COLUMNS]


def _csv(file: str) -> list[Any]:
    with open(file, encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [[float(row[name]) for row in rows] for name in COLUMNS]


def _whole(numbers: npt.NDArray[np.float64]) -> bool:
    return bool((numbers == np.floor(numbers)).all())
