"""Many spiking runs side by side: what their populations did, a mean over seeds.

Why no report like that of layers: spiking runs have no figure in common but those of their
populations, and what is drawn of one (raster, weights, windows) is in its own report.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from biosim.grid import NONE, run_list
from biosim.runs import listed_runs
from hpc.exchange import is_recording
from hpc.summary import Estimate, StoredRun, stored
from hpc.table import aligned

MEANING = (
    "mean over finished seeds ± half the 95 % confidence interval (Student's t), and the least and "
    "the most of them; CV: of inter-spike intervals, mean over neurons; wall s a simulated s: how "
    "long a second of the network took. A figure that a run does not have, such as the latency of "
    "an answer that never came, is missing among its seeds."
)
COLUMNS = ("figure", "seeds", "mean", "least", "most")
SETTINGS = {"trials"}
"""What tasks say beside their figures."""


def are_spiking(directory: Path) -> bool:
    """Return whether the runs below a directory are spiking ones, as far as they can be read.

    Raises:
        OutputError: as of `biosim.runs.listed_runs`.
    """
    runs = [run.attributes for run in _runs(directory) if run.attributes]
    return {said.get("kind") for said in runs} == {"spiking"}


def spiking_comparison(directory: Path) -> str:
    """Return the table of the spiking runs of a directory, for a terminal.

    It has a row for every figure of every set of settings in which runs differ. Where a seed was
    run more than once, the run that was begun last counts.

    Raises:
        OutputError: as of `biosim.runs.listed_runs`.
    """
    runs = _runs(directory)
    known = [run for run in runs if run.attributes]
    rows = []
    for settings, alike in _alike(known):
        by_seed = {run.seed: run for run in alike if run.finished}
        asked = len({run.seed for run in alike})
        rows += [
            settings
            | {
                "figure": name,
                "seeds": f"{len(values)}/{asked}",
                "mean": f"{_shown(values.mean)} ± {_shown(values.half_width)}",
                "least": _shown(min(values, default=math.nan)),
                "most": _shown(max(values, default=math.nan)),
            }
            for name, values in _figures(list(by_seed.values())) or [("-", Estimate())]
        ]
    scenarios = dict.fromkeys(str(run.attributes["scenario"]["name"]) for run in known)
    parts = [f"scenario {', '.join(scenarios) or '-'}"]
    if rows:
        words = [name for name in rows[0] if name not in COLUMNS[1:]]
        parts += [aligned(rows, words), textwrap.fill(MEANING, 100, break_on_hyphens=False)]
    unfinished = [
        f"  {run.path.relative_to(directory)}: {run.status}" + (f"; {run.error}" * bool(run.error))
        for run in runs
        if not run.finished
    ]
    if unfinished:
        parts.append("\n".join(["Not finished, and not in any number above:", *unfinished]))
    return "\n\n".join(parts)


def _runs(directory: Path) -> list[StoredRun]:
    """Return the runs that were simulated, those that were begun last at the end."""
    listed = [run for run in listed_runs(directory) if not is_recording(run.path)]
    return sorted(map(stored, listed), key=lambda run: str(run.attributes.get("started")))


def _alike(runs: Sequence[StoredRun]) -> Iterator[tuple[dict[str, str], list[StoredRun]]]:
    """Yield runs that differ in their seed only, with the settings that tell them from others."""
    named = [(run.rule, run.seed) for run in runs]
    said = [(run.attributes, run.status) for run in runs]
    grid = run_list(said, named, [str(run.path) for run in runs])
    columns = {
        f"{name}=" if name in COLUMNS else name: [str(label) for label in labels]
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


def _figures(runs: Sequence[StoredRun]) -> list[tuple[str, Estimate]]:
    """Return the name of each figure with its values, one a run that has it."""
    told = [_told(run.attributes) for run in runs]
    names = dict.fromkeys(name for each in told for name in each)
    return [(name, Estimate(each[name] for each in told if name in each)) for name in names]


def _told(attributes: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a run: name -> value."""
    found: dict[str, float] = {
        key.replace("_", " "): float(value)
        for key, value in attributes.get("found", {}).items()
        if isinstance(value, int | float) and key not in SETTINGS
    }
    result = attributes["result"]
    for name, each in result["activity"].items():
        found[f"rate of {name}, Hz"] = float(each["rate_hz"])
        if each["cv"] is not None:
            found[f"CV of {name}"] = float(each["cv"])
    return found | {"wall s a simulated s": result["wall_s"] / result["seconds"]}


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"
