"""What a stored run gives to another: its scenario and its last weights."""

from __future__ import annotations

from pathlib import Path

import torch
import xarray as xr
from torch import Tensor

from biosim.errors import OutputError
from biosim.traces import open_run
from scenarios.reading import resolve
from scenarios.scenario import Scenario


def stored_scenario(tree: xr.DataTree) -> Scenario:
    """Return the resolved scenario of an opened run."""
    return resolve(tree.attrs["scenario"])


def stored_parameters(path: str | Path) -> dict[str, dict[str, Tensor]]:
    """Return the last stored weights of a run: {projection: {"weight": ..., "bias": ...}}.

    Raises:
        OutputError: there is no run at `path`, or it stored no weights.
    """
    tree = open_run(path)
    groups = tree["weights"].children
    if not groups or any("weight" not in group for group in groups.values()):
        raise OutputError(f"{path} stored no weights; run it again with record.weights=last")
    return {
        name: {
            part: torch.from_numpy(group[part].isel(snapshot=-1).to_numpy())
            for part in ("weight", "bias")
            if part in group
        }
        for name, group in groups.items()
    }
