"""Where each of many runs lies among all: dimensions for the settings in which they differ."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biosim.errors import OutputError

IRRELEVANT = {
    "run.seed",
    "run.evaluate_every",
    "run.pretend_ranks",
    "run.limit_s",
    "place.strategy",
    "place.replicas",
}
"""Settings, beside those of `record`, that change nothing of what is learnt."""
NO_RESULT = ("record", "checkpoint")
"""Tables of a scenario on which no result depends."""
ONLY_FOR_SPEED = {"run.threads", "run.device"}
MOST_CELLS = 64
"""Places in the grid for each run, at most: beyond, the runs make no grid."""

Said = tuple[Mapping[str, Any], str]
"""The attributes of a run, empty if it cannot be read, and its status."""
Named = tuple[str, int | None]
"""Rule and seed that a list gives to a run; "" and None without one."""
Kind = tuple[str | None, str, int | None]
NONE = "none"
"""The rule of a run that has none, where others have."""


@dataclass(frozen=True)
class Grid:
    """Where runs lie.

    Args:
        sizes: dimension -> length.
        coords: dimension, or what goes along it -> (dimension, labels).
        cells: for each place, in the order of the last dimension first, the number of its run;
            -1 where there is none.
    """

    sizes: dict[str, int]
    coords: dict[str, tuple[str, Any]]
    cells: list[int]


def settings_of(scenario: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that may change what is learnt, as {"table.key": value}."""
    kept = {key: value for key, value in scenario.items() if key not in NO_RESULT}
    dropped = IRRELEVANT | ONLY_FOR_SPEED | {"name", "rule.name"}
    return {
        key: json.dumps(value) if isinstance(value, list | tuple) else value
        for key, value in flattened(kept).items()
        if key not in dropped
    }


def flattened(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return what nested tables hold, as {"table.key": value}."""
    found: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{inner}": each for inner, each in flattened(value).items()}
        else:
            found[str(key)] = value
    return found


def run_list(said: Sequence[Said], named: Sequence[Named], paths: Sequence[str]) -> Grid:
    """Return the runs one after the other, with what they differ in beside them."""
    kinds = [_kind(*each) for each in zip(said, named, strict=True)]
    settings = [settings_of(attributes.get("scenario", {})) for attributes, _ in said]
    beside: dict[str, Sequence[Any]] = {"run": list(paths), "rule": [kind[1] for kind in kinds]}
    seeds = [kind[2] for kind in kinds]
    beside["seed"] = seeds if None not in seeds else [math.nan if s is None else s for s in seeds]
    if len({kind[0] for kind in kinds} - {None}) > 1:
        beside["scenario"] = [kind[0] for kind in kinds]
    swept = _swept(kinds, settings)
    names = _short(swept, {*beside})
    for key in swept:
        beside[names[key]] = [own.get(key) for own in settings]
    coords = {name: ("run", _labels(values)) for name, values in beside.items()}
    return Grid({"run": len(said)}, coords, list(range(len(said))))


def run_grid(said: Sequence[Said], named: Sequence[Named], taken: Collection[Hashable]) -> Grid:
    """Return the runs on a grid of rule, seed and the settings in which runs of a rule differ.

    Args:
        said: of each run.
        named: likewise.
        taken: names that dimensions of the stored arrays have.

    Raises:
        OutputError: the grid would be far larger than there are runs.
    """
    kinds = [_kind(*each) for each in zip(said, named, strict=True)]
    settings = [settings_of(attributes.get("scenario", {})) for attributes, _ in said]
    swept = _swept(kinds, settings)
    names = _short(swept, {"rule", "seed", "scenario", *taken})
    columns: dict[str, list[Any]] = {}
    if len({kind[0] for kind in kinds} - {None}) > 1:
        columns["scenario"] = [kind[0] for kind in kinds]
    columns |= {"rule": [kind[1] for kind in kinds], "seed": [kind[2] for kind in kinds]}
    along: dict[str, list[str]] = {}
    for key in swept:
        values = [own.get(key) for own in settings]
        twin = next((other for other in along if _together(values, columns[other])), None)
        columns[names[key]] = values
        if twin is None:
            along[names[key]] = []
        else:
            along[twin].append(names[key])
    labels = {
        name: _ordered([value for value in values if value is not None]) or [0]
        for name, values in columns.items()
        if name in along or name in ("scenario", "rule", "seed")
    }
    sizes = {name: len(values) for name, values in labels.items()}
    if math.prod(sizes.values()) > MOST_CELLS * len(said):
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise OutputError(
            f"{len(said)} runs make no grid of settings ({told}); open them one after the other "
            "with along='run', or give a directory with fewer"
        )
    cells = np.full(tuple(sizes.values()), -1, dtype=np.int64)
    for at in sorted(range(len(said)), key=lambda at: _rank(*said[at])):
        places = [
            range(len(values)) if columns[name][at] is None else [values.index(columns[name][at])]
            for name, values in labels.items()
        ]
        for place in itertools.product(*places):
            cells[place] = at
    coords = {name: (name, _labels(values)) for name, values in labels.items()}
    for name, others in along.items():
        first = [columns[name].index(value) for value in labels[name]]
        for other in others:
            coords[other] = (name, _labels([columns[other][at] for at in first]))
    return Grid(sizes, coords, cells.ravel().tolist())


def _kind(said: Said, named: Named) -> Kind:
    """Return scenario, rule and seed of a run; no scenario if it cannot be read."""
    attributes, (rule, seed) = said[0], named
    scenario = attributes.get("scenario", {})
    own = attributes.get("rule") or scenario.get("rule", {}).get("name") or rule
    found = attributes.get("seed", seed)
    name = str(scenario.get("name", "")) if attributes else None
    return name, str(own or NONE), None if found is None else int(found)


def _swept(kinds: Sequence[Kind], settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the settings in which runs of one scenario and rule differ."""
    found: dict[str, None] = {}
    for kind in dict.fromkeys(kind[:2] for kind in kinds):
        alike = [own for own, other in zip(settings, kinds, strict=True) if other[:2] == kind]
        alike = [own for own in alike if own]
        for key in dict.fromkeys(key for own in alike for key in own):
            if any(own.get(key) != alike[0].get(key) for own in alike):
                found[key] = None
    return list(found)


def _short(keys: Sequence[str], taken: Collection[Hashable]) -> dict[str, str]:
    """Return the last part of each name, or all of it where that would be taken twice."""
    last = [key.rpartition(".")[2] for key in keys]
    return {
        key: short if last.count(short) == 1 and short not in taken else key
        for key, short in zip(keys, last, strict=True)
    }


def _together(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Return whether each value of one goes with one value of the other."""
    pairs = {(repr(a), repr(b)) for a, b in zip(some, others, strict=True)}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _ordered(values: Sequence[Any]) -> list[Any]:
    """Return each value once: numbers by size, text as it comes."""
    once = list(dict.fromkeys(values))
    numbers = all(isinstance(value, int | float) for value in once)
    return sorted(once) if numbers else once


def _labels(values: Sequence[Any]) -> Any:
    if any(isinstance(value, str) for value in values) or not values:
        return np.array(["" if value is None else str(value) for value in values], dtype=object)
    return np.array([math.nan if value is None else value for value in values])


def _rank(attributes: Mapping[str, Any], status: str) -> tuple[bool, str]:
    """Return by what a run counts more than another at the same place."""
    return status == "complete", str(attributes.get("started", ""))
