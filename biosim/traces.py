"""Reading what a run stored, by label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr
import zarr
import zarr.errors

from biosim.errors import OutputError
from biosim.store import LAYOUT, STORE


def open_run(path: str | Path) -> xr.DataTree:
    """Open a run, finished or not, without reading its arrays.

    Args:
        path: the run's directory, or the `run.zarr` in it.

    Returns:
        A tree with the groups of `biosim.store`: for example
        `tree["learning"].accuracy.sel(split="test")`. Attributes of the root hold the resolved
        scenario, seed, versions and status.

    Raises:
        OutputError: there is no run, or it has a layout that this version does not read.
    """
    path = Path(path)
    store = path if path.suffix == ".zarr" else path / STORE
    if not store.is_dir():
        raise OutputError(f"{path} holds no run: expected a directory with {STORE} in it")
    try:
        conventions = str(zarr.open_group(str(store), mode="r").attrs.get("Conventions", ""))
    except (zarr.errors.BaseZarrError, FileNotFoundError, ValueError, KeyError):
        raise OutputError(f"{store} is not a Zarr store of a run: it has no root group") from None
    if LAYOUT not in conventions.split():
        raise OutputError(
            f"{store} has the layout {conventions or 'of something else'!r}; "
            f"this version reads {LAYOUT}"
        )
    try:
        tree = xr.open_datatree(store, engine="zarr", consolidated=False, chunks=None)
    except (ValueError, KeyError, OSError) as problem:
        raise OutputError(f"{store} is damaged: {problem}") from None
    named = {node.path: _named(node.to_dataset(inherit=False)) for node in tree.subtree}
    return xr.DataTree.from_dict(dict(sorted(named.items())))


def _named(dataset: xr.Dataset) -> xr.Dataset:
    """Return the dataset with names instead of CF flags along its dimensions."""
    names: dict[str, Any] = {}
    for name, variable in dataset.variables.items():
        meanings = variable.attrs.get("flag_meanings")
        if meanings is not None and variable.dims == (name,):
            names[str(name)] = (name, str(meanings).split(" "))
    return dataset.assign_coords(names).set_coords(
        [n for n in ("epoch", "snapshot", "sample", "label") if n in dataset.variables]
    )
