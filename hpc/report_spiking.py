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

import xarray as xr
import zarr
import zarr.errors
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from biosim.errors import OutputError
from biosim.store import STORE
from hpc.output import REPORT
from hpc.report_learning import plots, window_lines
from hpc.report_ranks import balance, balance_lines, imbalance
from hpc.report_raster import raster
from hpc.report_weights import weight_maps
from hpc.show_spiking import milliseconds
from hpc.stored import told_run

TEMPLATE = "report_spiking.html"


def is_spiking(directory: Path) -> bool:
    """Return whether a directory is the run of a spiking network."""
    store = directory if directory.name == STORE else directory / STORE
    try:
        return zarr.open_group(str(store), mode="r").attrs.get("kind") == "spiking"
    except (zarr.errors.BaseZarrError, OSError, ValueError, KeyError):
        return False


def spiking_table(directory: Path) -> str:
    """Return the table of a run for a terminal.

    Raises:
        OutputError: the run cannot be read.
    """
    # Only what spikes needs Brian2's parser.
    from hpc.run_tasks import found_lines
    from hpc.spiking_result import lines

    tree = told_run(directory)
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
    tree = told_run(directory)
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
        drawn=drawn,
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

    What `hpc.report_raster.raster` returns, where `populations` also have `spikes`, `rate_hz` and
    `cv` of the run, None where it is not known; `learnt` holds the plots of `hpc.report_learning`
    and `spread` the maps of `hpc.report_weights`.
    """
    activity = tree.attrs.get("result", {}).get("activity", {})
    drawn = raster(tree)
    for row in drawn["populations"]:
        row |= {k: activity.get(row["name"], {}).get(k) for k in ("spikes", "rate_hz", "cv")}
    return drawn | {
        "learnt": [asdict(plot) for plot in plots(tree)],
        "spread": weight_maps(tree),
    }
