"""Many spiking runs side by side: what their populations did, a mean over seeds.

Why no report like that of layers: spiking runs have no figure in common but those of their
populations, and what is drawn of one (raster, weights, windows) is in its own report.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from biosim.grid import NONE, run_list
from biosim.runs import listed_runs
from hpc.report_spiking import is_spiking
from hpc.summary import Estimate, StoredRun, stored
from hpc.table import aligned

MEANING = (
    "mean over finished seeds ± half the 95 % confidence interval (Student's t), and the least and "
    "the most of them; CV: of inter-spike intervals, mean over neurons"
)


def are_spiking(directory: Path) -> bool:
    """Return whether a directory has spiking runs below it, and no others.

    Raises:
        OutputError: as of `biosim.runs.listed_runs`.
    """
    found = [is_spiking(run.path) for run in listed_runs(directory) if run.there]
    return bool(found) and all(found)


def spiking_comparison(directory: Path) -> str:
    """Return the table of the spiking runs of a directory, for a terminal.

    It has a row for every figure of every set of settings in which runs differ.

    Raises:
        OutputError: as of `biosim.runs.listed_runs`.
    """
    runs = [stored(run) for run in listed_runs(directory)]
    known = [run for run in runs if run.attributes]
    rows = [
        settings
        | {
            "figure": name,
            "seeds": f"{len(seeds)}/{len(alike)}",
            "mean": f"{_shown(values.mean)} ± {_shown(values.half_width)}",
            "least": _shown(min(values, default=math.nan)),
            "most": _shown(max(values, default=math.nan)),
        }
        for settings, alike in _alike(known)
        for seeds in [{run.seed: run for run in alike if "result" in run.attributes}]
        for name, values in _figures(list(seeds.values()))
    ]
    scenarios = dict.fromkeys(str(run.attributes["scenario"]["name"]) for run in known)
    parts = [f"scenario {', '.join(scenarios)}"]
    if rows:
        words = [name for name in rows[0] if name not in ("seeds", "mean", "least", "most")]
        parts += [aligned(rows, words), MEANING]
    unfinished = [
        f"  {run.path.relative_to(directory)}: {run.status}" + (f"; {run.error}" * bool(run.error))
        for run in runs
        if not run.finished
    ]
    if unfinished:
        parts.append("\n".join(["Not finished, and not in any number above:", *unfinished]))
    return "\n\n".join(parts)


def _alike(runs: Sequence[StoredRun]) -> Iterator[tuple[dict[str, str], list[StoredRun]]]:
    """Yield runs that differ in their seed only, with the settings that tell them from others."""
    named = [(run.rule, run.seed) for run in runs]
    said = [(run.attributes, run.status) for run in runs]
    grid = run_list(said, named, [str(run.path) for run in runs])
    columns = {
        name: [str(label) for label in labels]
        for name, (_, labels) in grid.coords.items()
        if name not in ("run", "seed")
    }
    if set(columns.get("rule", ())) <= {"-", NONE}:
        columns.pop("rule", None)
    found: dict[tuple[str, ...], list[StoredRun]] = {}
    for at, run in enumerate(runs):
        found.setdefault(tuple(values[at] for values in columns.values()), []).append(run)
    for key, alike in found.items():
        yield dict(zip(columns, key, strict=True)), alike


def _figures(runs: Sequence[StoredRun]) -> Iterator[tuple[str, Estimate]]:
    """Yield the name of each figure with its values, one a run that has it."""
    told = [_told(run.attributes) for run in runs]
    for name in dict.fromkeys(name for each in told for name in each):
        yield name, Estimate(each[name] for each in told if name in each)


def _told(attributes: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a run: name -> value."""
    found: dict[str, float] = {
        key.replace("_", " "): float(value)
        for key, value in attributes.get("found", {}).items()
        if value is not None
    }
    result = attributes["result"]
    for name, each in result["activity"].items():
        found[f"rate of {name}, Hz"] = float(each["rate_hz"])
        if each["cv"] is not None:
            found[f"CV of {name}"] = float(each["cv"])
    return found | {"wall s a simulated s": result["wall_s"] / result["seconds"]}


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"
