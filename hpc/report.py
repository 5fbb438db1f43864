"""The report: one HTML file over stored runs, for a reader without a network or biosim.

Why every number is read from the stores and none from memory: the report of last year's runs
must be the one that was written then. Why plotly's script is inside the file: reports are opened
on machines that reach nothing, and are attached to mails. Numbers are made here, in plain
structures that tests compare with the stores; `report.html` only draws and prints them.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from biosim.errors import OutputError
from biosim.ledger import ARITHMETIC
from biosim.store import STORE
from hpc.output import REPORT
from hpc.plain import plain
from hpc.report_ranks import balance, imbalance
from hpc.report_representations import representations
from hpc.report_weights import turning
from hpc.run_layers import TRAIN_SHOWN
from hpc.summary import DIRECTIONS, Row, StoredRun, collect, count, percent, summarise
from hpc.weight_images import weight_image

COLOURS = {
    "backprop": "#222222",
    "feedback_alignment": "#0072B2",
    "direct_feedback_alignment": "#56B4E9",
    "forward_forward": "#D55E00",
    "equilibrium_propagation": "#009E73",
    "noprop": "#CC79A7",
    "soft_hebb": "#E69F00",
    "stdp": "#882255",
    "frozen": "#999999",
}
"""A rule has the same colour in every report: Okabe and Ito's palette ("Color universal design",
2008) without yellow, too light for a line on white; the baseline black, the control grey."""

MORE_COLOURS = ("#332288", "#999933", "#117733", "#AA4499", "#DDCC77", "#44AA99")
"""For further rules, and further settings of one rule: Tol's muted scheme (2021)."""

POPULATION_COLUMNS = (
    *("updates", "lag_ticks", "lag_ticks_max", "stale_updates_max", "held_bytes_max"),
    *(f"{part}_multiply_adds" for part in ARITHMETIC),
)


def write_report(directory: Path, rows: Sequence[Row] | None = None) -> Path:
    """Write `report.html` into a directory of stored runs, and return its path.

    Args:
        directory: of a comparison or a run.
        rows: what `summarise` makes of it, where that is known already.

    Raises:
        OutputError: the directory holds no runs, or cannot be written.
    """
    if directory.name == STORE:
        directory = directory.parent
    text = render(summarise(collect(directory)) if rows is None else rows, directory)
    path, beside = directory / REPORT, directory / f".{REPORT}"
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    except OSError as problem:
        beside.unlink(missing_ok=True)
        raise OutputError(
            f"{path} cannot be written ({problem.strerror}); free it, or copy the runs elsewhere"
        ) from None
    return path


def render(rows: Sequence[Row], directory: Path) -> str:
    """Return the report as HTML.

    Args:
        rows: what it is about.
        directory: paths of runs are shown relative to it.
    """
    drawn = figures(rows)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, count=count)
    return environment.get_template(REPORT).render(
        title=", ".join(dict.fromkeys(row.scenario for row in rows if row.scenario)) or "runs",
        about=about(rows),
        views=[_view(row, drawn) for row, drawn in zip(rows, drawn["rows"], strict=True)],
        unfinished=[
            (row, run, os.path.relpath(run.path, directory))
            for row in rows
            for run in row.runs
            if not run.finished
        ],
        splits=drawn["splits"],
        directions=drawn["directions"],
        arithmetic=ARITHMETIC,
        train_shown=TRAIN_SHOWN,
        # A name in a store must not end the script element that it stands in.
        figures=json.dumps(drawn, allow_nan=False).replace("<", "\\u003c"),
        plotly=get_plotlyjs(),
    )


def about(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return what all runs were together, by term: data, seeds, software, machines.

    More than one line under a term tells that runs differ in it.
    """
    runs = [run for row in rows for run in row.runs]
    said = [run.attributes for run in runs if "scenario" in run.attributes]
    found: dict[str, list[str]] = {
        term: [] for term in ("Data", "Samples", "Seeds", "Software", "Commit", "Machine", "Time")
    }
    for each in said:
        data, settings = each["data"], each["scenario"]["run"]
        found["Data"].append(f"{data['name']}: {data['description']}")
        samples = [f"{n:,} {split}" for split, n in data["samples"].items() if n]
        samples += [f"{data['features']:,} features", f"{data['classes']} classes"]
        found["Samples"].append(", ".join(samples))
        found["Software"].append(", ".join(f"{k} {v}" for k, v in each["versions"].items()))
        found["Commit"].append(each["git"].replace("+changes", " with uncommitted changes"))
        ranks = f", {each['ranks']} ranks" if each["ranks"] > 1 else ""
        found["Machine"].append(
            f"{each['host']} ({settings.get('device', 'cpu')}, {settings['dtype']}{ranks})"
        )
    seeds = sorted({run.seed for run in runs if run.seed is not None})
    found["Seeds"].append(", ".join(map(str, seeds)))
    times = sorted(str(each[k]) for each in said for k in ("started", "finished") if k in each)
    if times:
        first, last = (
            time.replace("T", " ").replace("+00:00", " UTC") for time in (times[0], times[-1])
        )
        found["Time"].append(f"{first} to {last}")
    return {term: list(dict.fromkeys(filter(None, lines))) for term, lines in found.items()}


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the numbers of all figures, as JSON takes them; None where there is no number.

    Accuracy is in percent, everything else in the units of the store. `rows` holds for every
    row: `accuracy` and `rate` with one value a seed and their middle, `bytes` and `arithmetic`
    by part, `curves` by split, `change` by projection, and of one run `turning` and `alike` as
    `hpc.report_weights` and `hpc.report_representations` give them.
    """
    curves = [run.array("learning/accuracy") for row in rows for run in row.runs]
    names = {str(name) for c in curves if c is not None for name in c["split"].values}
    splits = [name for name in ("test", "validation", "train") if name in names]
    return {
        "splits": splits,
        "directions": [d for d in DIRECTIONS if any(row.bytes_per_sample[d] > 0 for row in rows)],
        "rows": [
            {
                "label": row.label,
                "name": shown(row),
                "colour": colour,
                "supervised": row.supervised_readout,
                "accuracy": {
                    "seeds": plain(100 * v for v in row.accuracy),
                    "middle": plain([100 * row.accuracy.mean])[0],
                    "half_width": plain([100 * row.accuracy.half_width])[0],
                },
                "rate": {
                    "seeds": plain(run.samples_per_second() for run in row.finished),
                    "middle": plain([row.samples_per_second])[0],
                },
                "bytes": dict(zip(DIRECTIONS, plain(row.bytes_per_sample.values()), strict=True)),
                "arithmetic": dict(zip(ARITHMETIC, plain(row.multiply_adds.values()), strict=True)),
                "curves": {split: _curves(row, split) for split in splits},
                "change": _change(row),
                "turning": turning(_pictured(row)),
                "alike": representations(_pictured(row)),
            }
            for row, colour in zip(rows, colours(rows), strict=True)
        ],
    }


def colours(rows: Sequence[Row]) -> list[str]:
    """Return a colour for each row: the rule's own, or the next of `MORE_COLOURS`."""
    taken: list[str] = []
    more = 0
    for row in rows:
        colour = COLOURS.get(row.rule)
        if colour is None or colour in taken:
            colour = MORE_COLOURS[more % len(MORE_COLOURS)]
            more += 1
        taken.append(colour)
    return taken


def shown(row: Row) -> str:
    """Return the name of a row for a reader; a star marks a supervised read-out."""
    return row.label.replace("_", " ") + (" *" if row.supervised_readout else "")


def _curves(row: Row, split: str) -> dict[str, Any]:
    """Return accuracy over epochs in percent: over finished seeds, and of each other run."""
    found: dict[str, Any] = {"epoch": [], "mean": [], "low": [], "high": [], "unfinished": []}
    ended = [curve for run in row.finished if (curve := _own_way(run, split)) is not None]
    if ended:
        # Runs of one row may have been evaluated at different epochs.
        seeds = 100 * xr.concat(ended, "run", join="inner")
        found |= {"epoch": seeds["epoch"].values.tolist(), "mean": plain(seeds.mean("run").values)}
        found |= {"low": plain(seeds.min("run").values), "high": plain(seeds.max("run").values)}
    for run in row.runs:
        curve = None if run.finished else _own_way(run, split)
        if curve is not None:
            values = plain(100 * curve.values)
            found["unfinished"].append({"epoch": curve["epoch"].values.tolist(), "value": values})
    return found


def _own_way(run: StoredRun, split: str) -> xr.DataArray | None:
    curve = run.array("learning/accuracy")
    if curve is None or split not in curve["split"]:
        return None
    return curve.sel(split=split).isel(way=0, drop=True).reset_coords(drop=True)


def _change(row: Row) -> dict[str, dict[str, list[Any]]]:
    """Return relative weight change over epochs, mean over seeds, of projections that learn."""
    found = {}
    for name in _weights(row):
        seeds = [run.array(f"weights/{name}/change") for run in row.finished]
        stored = [change for change in seeds if change is not None]
        if stored and any(float(change.max()) > 0 for change in stored):
            mean = xr.concat(stored, "run", join="inner").mean("run")
            found[name] = {"epoch": mean["epoch"].values.tolist(), "value": plain(mean.values)}
    return found


def _pictured(row: Row) -> xr.DataTree | None:
    """Return the first finished run; if none finished, the first that has stored anything."""
    stored = (run.tree for run in (*row.finished, *row.runs) if run.tree is not None)
    return next(stored, None)


def _weights(row: Row) -> list[str]:
    """Return what weights are stored, in the order of the ledger; parts of a block by block."""
    if not row.finished or (tree := row.finished[0].tree) is None or "weights" not in tree:
        return []
    order = [
        *_names(row.finished[0], "projections", "kind"),
        *_names(row.finished[0], "populations", "updates"),
    ]
    place = {name: i for i, name in enumerate(order)}
    stored = sorted(map(str, tree["weights"].children))
    return sorted(stored, key=lambda name: place.get(name, place.get(name.split(".")[0], -1)))


def _names(run: StoredRun, table: str, column: str) -> list[str]:
    found = run.array(f"ledger/{table}/{column}")
    return [] if found is None else [str(name) for name in found[table[:-1]].values]


def _view(row: Row, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template prints of a row, beside the row itself."""
    view: dict[str, Any] = {
        "row": row,
        "name": drawn["name"],
        "colour": drawn["colour"],
        "change": drawn["change"],
        "turning": drawn["turning"],
        "alike": drawn["alike"],
        "card": row.attributes.get("card", {}),
        "settings": row.attributes.get("scenario", {}),
        "scenario": _toml(row.attributes.get("scenario", {})),
        "projections": [],
        "populations": [],
        "weights": {"learnt": math.nan, "fixed": math.nan},
        "layers": "",
        "weight_image": weight_image(row, _weights(row)),
        "ranks": [],
        "balance": "",
    }
    if row.finished:
        run = row.finished[0]
        view["weights"] = {"learnt": 0, "fixed": 0}
        for name in _weights(row):
            weight, bias = (run.array(f"weights/{name}/{part}") for part in ("weight", "bias"))
            if weight is not None:
                post, pre = weight.sizes["post"], weight.sizes["pre"]
                kind = "learnt" if name in drawn["change"] else "fixed"
                view["weights"][kind] += post * pre + (0 if bias is None else post)
        view["projections"] = _projections(run, drawn["change"])
        view["populations"] = _populations(run)
        view["layers"] = _layers(row)
        if run.tree is not None and (ranks := balance(run.tree)):
            view["ranks"], view["balance"] = ranks, imbalance(ranks)
    return view


def _projections(run: StoredRun, learnt: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a line for every projection that carried something while learning."""
    names, ends = (_names(run, "projections", "kind"), _names(run, "populations", "updates"))
    columns = ("source", "target", "tied", "events", "bytes_per_sample")
    values = zip(*(run.values(f"ledger/projections/{c}") for c in columns), strict=True)
    return [
        {
            "name": name,
            "source": ends[int(source)],
            "target": ends[int(target)],
            "direction": direction,
            "weights": "tied" if tied else "learnt" if name in learnt else "",
            "events": int(events),
            "bytes": float(sent),
        }
        for name, direction, (source, target, tied, events, sent) in zip(
            names, run.directions(), values, strict=True
        )
        if events
    ]


def _populations(run: StoredRun) -> list[dict[str, Any]]:
    """Return a line for every population that did something while learning."""
    names = _names(run, "populations", "updates")
    columns = [run.values(f"ledger/populations/{column}") for column in POPULATION_COLUMNS]
    lines = [
        {"name": name} | dict(zip(POPULATION_COLUMNS, map(float, line), strict=True))
        for name, *line in zip(names, *columns, strict=True)
    ]
    return [line for line in lines if any(line[column] for column in POPULATION_COLUMNS)]


def _layers(row: Row) -> str:
    """Return the neurons of each population above the input; its name where nothing tells."""
    run = row.finished[0]
    stored = run.attributes.get("populations", {})
    sent = _projections(run, {})
    above = list(dict.fromkeys(line["target"] for line in sent))
    sizes = {}
    for name in above:
        into = [
            run.array(f"weights/{line['name']}/weight") for line in sent if line["target"] == name
        ]
        of_weights = (weight.sizes["post"] for weight in into if weight is not None)
        sizes[name] = stored.get(name, next(of_weights, None))
    told = [name if sizes[name] is None else str(sizes[name]) for name in above]
    return ", ".join(told) if len(told) <= 6 else f"{told[0]} … {told[-1]}"


def _toml(scenario: Mapping[str, Any]) -> str:
    """Return a resolved scenario as a scenario file; settings left open are left out."""
    lines = [f"name = {json.dumps(scenario['name'], ensure_ascii=False)}"] if scenario else []
    for table, keys in scenario.items():
        if isinstance(keys, Mapping):
            # Text, numbers, truth values and lists are written alike in JSON and TOML.
            known = [
                f"{k} = {json.dumps(v, ensure_ascii=False)}"
                for k, v in keys.items()
                if v is not None
            ]
            lines += ["", f"[{table}]", *known]
    return "\n".join(lines)
