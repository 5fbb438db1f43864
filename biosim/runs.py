"""Many stored runs as one: the same names, with dimensions for what the runs differ in.

Why what is stacked is not read: a comparison may hold more than memory does, and most of it is
never asked for. A stacked array knows which run has which part of it, and reads from there.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from biosim.errors import OutputError
from biosim.grid import Grid, run_grid, run_list
from biosim.stacked import stacked_dataset
from biosim.store import STORE
from biosim.traces import Chunks, check_chunks, open_run

COMPARISON = "comparison.json"
"""Lists the runs of a comparison."""

Along = Literal["settings", "run"]


@dataclass(frozen=True)
class Listed:
    """A run, or the place where one should be.

    Args:
        path: its directory.
        rule: that the list of a comparison names; "" outside of one.
        seed: likewise; None outside of one.
    """

    path: Path
    rule: str = ""
    seed: int | None = None

    @property
    def there(self) -> bool:
        """Whether it has a store."""
        return (self.path / STORE).is_dir()


@dataclass(frozen=True, eq=False)
class Run:
    """A run as far as it can be read.

    Args:
        listed: where it is.
        status: "complete", "running" (or killed), "failed", "diverged", "stopped", "missing",
            "unreadable".
        tree: what it stored; None if that is missing or unreadable.
    """

    listed: Listed
    status: str
    tree: xr.DataTree | None = None

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What the root of the store says; empty without one."""
        return {} if self.tree is None else dict(self.tree.attrs)  # type: ignore[arg-type]


def open_runs(
    directory: str | Path, chunks: Chunks = None, *, along: Along = "settings"
) -> xr.DataTree:
    """Open all runs of a directory as one, without reading their arrays.

    Every array of `biosim.open_run` gets dimensions in front: `rule`, `seed`, and one for every
    setting in which runs of one rule differ, by the last part of its name: `lr` for `rule.lr`.
    Settings that change together make one dimension, with the others as coordinates along it.
    `scenario` is one if there are several. What changes no result, `run.threads` for example, and
    what differs between rules only, makes none.

    Runs need not be equal or finished. Along epochs, times and whatever else has labels, arrays
    have those of all runs. What a run does not have, or not yet, is NaN (whole numbers become
    floating-point), "" where it is text. A run without one of the settings, because its rule has
    none of the name, is seen at each value of it. Where two runs agree in everything, the complete
    one counts, or the one that was begun last.

    Args:
        directory: of a comparison, of a run, or above any number of them.
        chunks: as in `biosim.open_run`.
        along: "settings", or "run" for one dimension with the runs as they come, labelled by
            their paths, and the settings as its coordinates.

    Returns:
        A tree like that of `biosim.open_run`. Its root has `status` of every run (as in the
        store; "missing" where there is none, "unreadable") and its `directory`. Spikes are as many
        as there are in each run and are not stacked: open that run by its `directory`. Other
        arrays without labels whose lengths differ are left out, too; a group's attribute
        `left_out` names them. Attributes are those that all runs agree in.

    Raises:
        OutputError: there is no run, the runs make no grid of settings, or dask is asked for and
            not installed.
    """
    if along not in get_args(Along):
        raise OutputError(f"got along={along!r}; expected {' or '.join(get_args(Along))}")
    check_chunks(chunks)
    directory = Path(directory)
    if directory.name == STORE:
        directory = directory.parent
    runs = [_opened(listed) for listed in listed_runs(directory)]
    if not runs:
        raise OutputError(f"{directory} holds no runs: expected {STORE} in it or below it")
    said = [(run.attributes, run.status) for run in runs]
    names = [(run.listed.rule, run.listed.seed) for run in runs]
    if along == "run":
        paths = [str(run.listed.path.relative_to(directory)) for run in runs]
        grid = run_list(said, names, paths)
    else:
        grid = run_grid(said, names, _inner_dimensions(runs))
    found: dict[str, xr.Dataset] = {"/": _root(grid, runs)}
    paths = list(dict.fromkeys(node.path for run in runs for node in _nodes(run.tree)))
    for path in sorted(path for path in paths if not path.startswith("/spikes")):
        cells = [_at(runs[at].tree, path) if at >= 0 else None for at in grid.cells]
        found[path] = stacked_dataset(cells, grid.sizes, chunks)
    if any(path.startswith("/spikes") for path in paths):
        found["/"].attrs["left_out"] = ["spikes"]
    return xr.DataTree.from_dict(found)


def listed_runs(directory: Path) -> Iterator[Listed]:
    """Yield the runs of a comparison, missing ones too, the run of a directory, or all below it.

    Raises:
        OutputError: no such directory, or it cannot be read.
    """
    if not directory.is_dir():
        raise OutputError(f"{directory} is not a directory; expected one with runs in it")
    yield from _below(directory)


def _below(directory: Path) -> Iterator[Listed]:
    if (directory / COMPARISON).is_file():
        yield from _compared(directory)
    elif directory.name == STORE or (directory / STORE).is_dir():
        yield Listed(directory.parent if directory.name == STORE else directory)
    else:
        try:
            # Links are not followed: they could lead in circles.
            inner = [at for at in directory.iterdir() if at.is_dir() and not at.is_symlink()]
        except OSError as problem:
            raise OutputError(f"{directory} cannot be read ({problem.strerror})") from None
        for path in sorted(inner, key=lambda path: (len(path.name), path.name)):
            yield from _below(path)


def _compared(directory: Path) -> Iterator[Listed]:
    path = directory / COMPARISON
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["runs"]
        entries = [(directory / e["path"], str(e["rule"]), int(e["seed"])) for e in listed]
    except (OSError, ValueError, KeyError, TypeError):
        raise OutputError(f"{path} is not a list of runs; run the comparison again") from None
    for entry in entries:
        yield Listed(*entry)


def _opened(listed: Listed) -> Run:
    if not listed.there:
        return Run(listed, "missing")
    try:
        tree = open_run(listed.path)
    except OutputError:
        # One damaged store must not hide the others.
        return Run(listed, "unreadable")
    return Run(listed, str(tree.attrs.get("status", "running")), tree)


def _root(grid: Grid, runs: Sequence[Run]) -> xr.Dataset:
    status = [runs[at].status if at >= 0 else "missing" for at in grid.cells]
    place = [str(runs[at].listed.path) if at >= 0 else "" for at in grid.cells]
    shape = tuple(grid.sizes.values())
    attributes = [run.attributes for run in runs if run.attributes]
    shared = {
        str(name): value
        for name, value in (attributes[0] if attributes else {}).items()
        if all(name in other and other[name] == value for other in attributes)
    }
    return xr.Dataset(
        {
            "status": (tuple(grid.sizes), np.array(status, object).reshape(shape)),
            "directory": (tuple(grid.sizes), np.array(place, object).reshape(shape)),
        },
        coords=grid.coords,
        attrs=shared,
    )


def _nodes(tree: xr.DataTree | None) -> Iterator[xr.DataTree]:
    if tree is not None:
        yield from (node for node in tree.subtree if node is not tree)


def _at(tree: xr.DataTree | None, path: str) -> xr.Dataset | None:
    if tree is None:
        return None
    node = next((node for node in _nodes(tree) if node.path == path), None)
    if node is None:
        return None
    found = node.to_dataset(inherit=False)
    if path == "/ledger/projections" and "source" in found:
        # Another run may have other populations: a position in the list of its own says nothing.
        names = tree["ledger/populations"].population.values
        ends = {e: (found[e].dims, names[found[e].values]) for e in ("source", "target")}
        found = found.assign(ends)
    return found


def _inner_dimensions(runs: Sequence[Run]) -> set[Hashable]:
    return {dim for run in runs for node in _nodes(run.tree) for dim in node.dims}
