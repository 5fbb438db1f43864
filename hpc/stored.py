"""What a stored run gives to another: its scenario and its last weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from biosim.errors import OutputError
from biosim.events import Course
from biosim.network import Network
from biosim.simulation import Simulation
from biosim.traces import open_run
from scenarios.reading import resolve
from scenarios.scenario import Scenario

OF_ALL = ("status", "started", "host", "ranks")
ABOUT = {
    "": (*OF_ALL, "scenario", "rule", "seed", "data"),
    "spiking": (
        *(*OF_ALL, "scenario", "seed", "populations", "dt_s", "ticks"),
        *("versions", "git", "threads"),
    ),
    "recording": (*OF_ALL, "recording", "populations", "dt_s", "ticks"),
}
"""What the root of a store says, by its `kind`."""


def told_run(path: str | Path) -> xr.DataTree:
    """Open a run whose store says what it is of.

    Raises:
        OutputError: there is no run, or an attribute of its root is missing.
    """
    tree = open_run(path)
    for name in ABOUT.get(str(tree.attrs.get("kind", "")), ABOUT[""]):
        if name not in tree.attrs:
            raise OutputError(
                f"{path} does not say its {name!r}: that attribute of the store's root is gone, or "
                "the run was killed before it began; take a copy of the run, or run it again"
            )
    return tree


def stored_scenario(tree: xr.DataTree) -> Scenario:
    """Return the resolved scenario of an opened run.

    Raises:
        OutputError: it has none.
    """
    if "scenario" not in tree.attrs:
        raise OutputError("the run does not say its scenario; take a copy of it, or run it again")
    return resolve(tree.attrs["scenario"])


def stored_parameters(path: str | Path) -> dict[str, dict[str, Tensor]]:
    """Return the last stored weights of a run: {projection: {"weight": ..., "bias": ...}}.

    Raises:
        OutputError: there is no run at `path`, it stored no weights, they are not of the last
            epoch that it reached, or they are not finite.
    """
    tree = open_run(path)
    committed = tree.attrs["committed_epoch"]
    found: dict[str, dict[str, Tensor]] = {}
    for name, group in tree["weights"].children.items():
        epochs = group["snapshot"].to_numpy() if "snapshot" in group else np.empty(0)
        written = np.flatnonzero(epochs <= committed)
        if not len(written):
            raise OutputError(f"{path} stored no weights; run it again with record.weights=last")
        newest = int(epochs[written[-1]])
        if newest < committed:
            raise OutputError(
                f"{path} went on to epoch {committed}, but the last weights it stored are of epoch "
                f"{newest}; run it to its end, or again with record.weights=every"
            )
        found[name] = {
            part: torch.from_numpy(group[part].isel(snapshot=int(written[-1])).to_numpy())
            for part in ("weight", "bias")
            if part in group
        }
        for part, tensor in found[name].items():
            if not bool(torch.isfinite(tensor).all()):
                raise OutputError(
                    f"{path} stored a {part} of {name} that is not finite (status "
                    f"{tree.attrs['status']}); take a run that ended well"
                )
    return found


def check_start(scenario: Scenario, network: Network) -> None:
    """Check that the run to start from, if there is one, has the weights of this network.

    Raises:
        OutputError: there is no such run, or it stored no weights.
        NetworkError: a projection is missing there, or has another shape.
    """
    if scenario.run.start_from is not None:
        Simulation(network, Course(1, 1, 1)).load(stored_parameters(scenario.run.start_from))
