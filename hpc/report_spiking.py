"""The report of a spiking run: one HTML file with its table, raster and rates over time.

Read from the store only, like the report of layers; see `hpc.report` for why.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
import zarr.errors
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from biosim.errors import OutputError
from biosim.store import STORE
from biosim.traces import open_run, spikes_between
from hpc.output import REPORT
from hpc.report_learning import plots, window_lines
from hpc.report_ranks import balance, balance_lines, imbalance
from hpc.show_spiking import milliseconds

TEMPLATE = "report_spiking.html"
RASTER_S = 0.5
"""The raster shows the last so many seconds."""
RASTER_NEURONS = 1000
"""Neurons in the raster, shared out among populations by their size."""
BINS = 200
"""Of the rates over time, at most."""
BIN_MS = 5
"""Least width of a bin; wider ones have whole milliseconds too."""
AT_ONCE = 1 << 22
"""Spikes that are read at a time."""


def is_spiking(directory: Path) -> bool:
    """Return whether a directory is the run of a spiking network."""
    store = directory if directory.name == STORE else directory / STORE
    try:
        return zarr.open_group(str(store), mode="r").attrs.get("kind") == "spiking"
    except (zarr.errors.BaseZarrError, FileNotFoundError, ValueError, KeyError):
        return False


def spiking_table(directory: Path) -> str:
    """Return the table of a run for a terminal.

    Raises:
        OutputError: the run cannot be read.
    """
    # Only what spikes needs Brian2's parser.
    from hpc.run_spiking import lines
    from hpc.run_tasks import found_lines

    tree = open_run(directory)
    attributes = tree.attrs
    scenario = attributes["scenario"]["name"]
    head = f"scenario {scenario}, seed {attributes['seed']}: {attributes['status']}"
    if "result" not in attributes:
        error = attributes.get("error") or "it has not come to its end"
        reached_s = attributes.get("committed_tick", 0) * attributes["dt_s"]
        return f"{head}\n\n{error}; stored are the first {reached_s:g} s"
    found = [*found_lines(attributes["found"]), ""] if "found" in attributes else []
    run = lines(attributes["result"])
    return "\n".join([head, "", *found, *run, *window_lines(tree), *balance_lines(tree)])


def write_spiking_report(directory: Path) -> Path:
    """Write `report.html` into the directory of a run, and return its path.

    Raises:
        OutputError: the run cannot be read, or its directory cannot be written.
    """
    if directory.name == STORE:
        directory = directory.parent
    tree = open_run(directory)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    from hpc.run_tasks import found_lines  # only what spikes needs Brian2's parser

    drawn = figures(tree)
    text = environment.get_template(TEMPLATE).render(
        title=tree.attrs["scenario"]["name"],
        about=about(tree.attrs),
        rows=drawn["populations"],
        raster_s=drawn["raster_s"],
        bin_ms=drawn["bin_ms"],
        learnt=drawn["learnt"],
        ranks=(ranks := balance(tree)),
        balance=imbalance(ranks) if ranks else "",
        found=found_lines(tree.attrs["found"]) if "found" in tree.attrs else [],
        # A name in a store must not end the script element that it stands in.
        figures=json.dumps(drawn, allow_nan=False).replace("<", "\\u003c"),
        plotly=get_plotlyjs(),
    )
    path, beside = directory / REPORT, directory / f".{REPORT}"
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    except OSError as problem:
        beside.unlink(missing_ok=True)
        raise OutputError(
            f"{path} cannot be written ({problem.strerror}); free it, or copy the run elsewhere"
        ) from None
    return path


def about(said: Mapping[Any, Any]) -> dict[str, str]:
    """Return what a run was, by term."""
    found = {
        "Status": said["status"] + (f": {said['error']}" if said.get("error") else ""),
        "Time": f"{said['ticks']:,} ticks of {milliseconds(said['dt_s'])}",
        "Seed": str(said["seed"]),
        "Software": ", ".join(f"{name} {version}" for name, version in said["versions"].items()),
        "Commit": said["git"].replace("+changes", " with uncommitted changes"),
        "Machine": f"{said['host']} ({said['scenario']['run']['dtype']}, ranks {said['ranks']}, "
        f"threads {said['threads']})",
    }
    if "rule" in said:
        found["Rule"] = said["rule"]
    result = said.get("result")
    if result is not None:
        factor = result["wall_s"] / result["seconds"]
        found["Synapses"] = f"{result['synapses']:,}"
        found["Wall time"] = f"{result['wall_s']:.3g} s, {factor:.3g} times real time"
    return found


def figures(tree: xr.DataTree) -> dict[str, Any]:
    """Return the numbers of the page, as JSON takes them.

    `populations` holds for each: `name`, `size`, `spikes`, `rate_hz` and `cv` of the run (None
    where it is not known), `rate` over time in Hz and the dots of the raster as `at_s` and `row`;
    both are empty where its spikes were not stored. `time_s` has the middle of each bin. `learnt`
    holds the plots of `hpc.report_learning`.
    """
    said = tree.attrs
    dt_s, stored = said["dt_s"], tree.children.get("spikes")
    ticks = said.get("committed_tick", said["ticks"]) if stored is not None else said["ticks"]
    end_s = min(ticks, said["ticks"]) * dt_s
    bin_ms = max(BIN_MS, -(-round(end_s * 1e3) // BINS))
    # The last bin ends with the run, and is up to half a bin narrower or wider.
    inner = np.arange(bin_ms * 1e-3, end_s - bin_ms * 1e-3 / 2, bin_ms * 1e-3)
    edges = np.array([0.0, *inner, max(end_s, dt_s)])
    begin_s = max(0.0, end_s - RASTER_S)
    neurons = sum(said["populations"].values())
    activity = said.get("result", {}).get("activity", {})
    rows, first = [], 0
    for name, size in said["populations"].items():
        of_run = activity.get(name, {})
        row: dict[str, Any] = {"name": name, "size": size, "rate": [], "at_s": [], "row": []}
        row |= {key: of_run.get(key) for key in ("spikes", "rate_hz", "cv")}
        if stored is not None and name in stored.children:
            spikes = stored.children[name].to_dataset(inherit=False)
            some = spikes.sizes.get("recorded_neuron", size)
            recorded_s = _recorded(spikes, edges)
            rates = _counts(spikes, edges) / some / np.where(recorded_s, recorded_s, 1.0)
            # Where nothing was recorded there is no rate; it is not zero.
            row["rate"] = [r if s > 0 else None for r, s in zip(rates, recorded_s, strict=True)]
            shown = max(1, round(RASTER_NEURONS * size / neurons))
            every = max(1, size // shown)
            late = spikes_between(tree, str(name), begin_s, end_s)
            who = late.neuron.values.astype(np.int64)
            dots = who % every == 0
            row["at_s"] = np.round(late.time.values[dots], 6).tolist()
            row["row"] = (who[dots] // every + first).tolist()
            first += -(-size // every)
        rows.append(row)
    return {
        "populations": rows,
        "time_s": ((edges[1:] + edges[:-1]) / 2).tolist(),
        "bin_ms": bin_ms,
        "raster_s": [begin_s, end_s],
        "learnt": [asdict(plot) for plot in plots(tree)],
    }


def _recorded(spikes: xr.Dataset, edges: Any) -> Any:
    """Return the seconds of each bin in which spikes were recorded."""
    if "recorded_ticks" not in spikes.attrs:
        return np.diff(edges)
    found = np.zeros(len(edges) - 1)
    for stretch in spikes.attrs["recorded_ticks"]:
        start, stop = (tick * spikes.attrs["dt_s"] for tick in stretch)
        found += np.clip(np.minimum(stop, edges[1:]) - np.maximum(start, edges[:-1]), 0.0, None)
    return np.where(found > 1e-9, found, 0.0)


def _counts(spikes: xr.Dataset, edges: Any) -> Any:
    counts = np.zeros(len(edges) - 1)
    for start in range(0, spikes.sizes["spike"], AT_ONCE):
        part = spikes.time.isel(spike=slice(start, start + AT_ONCE)).values
        # A spike at the very edge belongs to the bin that begins there.
        counts += np.histogram(part + 1e-9, edges)[0]
    return counts
