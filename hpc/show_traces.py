"""What the command line prints about a stored run: text, no results."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from biosim.traces import SHOWN, store_of
from hpc.ending import writer
from hpc.show_spiking import milliseconds
from hpc.stored import told_run


def traces_text(path: str | Path) -> str:
    """Return what a run stored: status, how far it came, arrays, shapes, bytes.

    Raises:
        OutputError: there is no run, or its store does not say what it is of.
    """
    tree = told_run(path)
    store, attributes = store_of(path), tree.attrs
    lines = [
        f"status    {_status(store, path, attributes)}",
        *_reached(attributes),
        *_about(attributes),
        f"started   {attributes['started']} on {attributes['host']}, ranks {attributes['ranks']}",
        f"on disk   {_bytes(store):,} bytes",
        "",
        f"{'array':44}{'dimensions':40}{'dtype':>9}{'bytes in memory':>17}{'on disk':>14}",
    ]
    for node in tree.subtree:
        for name, array in node.to_dataset(inherit=False).data_vars.items():
            dimensions = ", ".join(f"{d} {n}" for d, n in array.sizes.items())
            group = node.path.lstrip("/")
            # Of a run that goes on it is in logs, which hold several arrays.
            place = _array(store / group, str(name))
            on_disk = "in logs" if place is None else f"{_bytes(place):,}"
            lines.append(
                f"{f'{group}/{name}':44}{dimensions:40}{array.dtype!s:>9}{array.nbytes:>17,}"
                f"{on_disk:>14}"
            )
    return "\n".join(lines)


def _status(store: Path, path: str | Path, attributes: Mapping[Any, Any]) -> str:
    status = str(attributes["status"])
    if status != "running" or writer(store, attributes) is not None:
        return status
    return f"running, but no process writes it any more; biosim traces repair {path} finishes it"


def _reached(attributes: Mapping[Any, Any]) -> list[str]:
    if attributes["status"] == "complete":
        return []
    if "committed_tick" in attributes:
        tick = attributes["committed_tick"]
        reached_s = f" ({tick * attributes['dt_s']:g} s)" if "dt_s" in attributes else ""
        return [f"stored    everything before tick {tick:,}{reached_s}"]
    if "data" in attributes and "committed_epoch" in attributes:
        epoch = attributes["committed_epoch"]
        return [f"stored    {f'everything up to epoch {epoch:,}' if epoch >= 0 else 'nothing yet'}"]
    return []


def _about(attributes: Mapping[Any, Any]) -> list[str]:
    kind = attributes.get("kind")
    if kind not in ("spiking", "recording"):
        data = attributes["data"]
        return [
            f"rule      {attributes['rule']}, seed {attributes['seed']}",
            f"data      {data['name']}: {data['description']}",
        ]
    sizes = ", ".join(f"{name} {size:,}" for name, size in attributes["populations"].items())
    time = f"time      {attributes['ticks']:,} ticks of {milliseconds(attributes['dt_s'])}"
    if kind == "recording":
        about = attributes["recording"]
        head = f"recorded  {about['file']}, format {about['format']}; the end is {about['end_is']}"
        return [head, f"units     {sizes}", time]
    head = f"scenario  {attributes['scenario']['name']}, seed {attributes['seed']}"
    return [head, f"neurons   {sizes}", time]


def _array(group: Path, name: str) -> Path | None:
    """Return the directory of an array, which may be stored by another name than it is seen."""
    for own in (name, *(old for old, new in SHOWN.items() if new == name)):
        for place in (group / own, group / "by_time" / own):
            if (place / "zarr.json").is_file():
                return place
    return None


def _bytes(place: Path) -> int:
    total = 0
    for file in place.rglob("*"):
        with suppress(FileNotFoundError):  # a run that goes on replaces files
            total += file.stat().st_size if file.is_file() else 0
    return total
