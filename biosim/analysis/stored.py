"""What a run stored of its layers and synapses, as far as it came, in the order of the network."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import xarray as xr

from biosim.analysis.similarity import dissimilarity
from biosim.errors import AnalysisError

Similarity = Callable[[xr.DataArray, xr.DataArray], xr.DataArray]


def stored_names(tree: xr.DataTree, group: str) -> list[str]:
    """Return what is stored in a group of a run: populations or projections, the input first.

    Args:
        tree: of `biosim.open_run`.
        group: "spikes", "traces", "activity" or "weights".
    """
    if group not in tree.children:
        return []
    order: dict[str, int] = {}
    ledger = tree.children.get("ledger")
    for table in ("projections", "populations"):
        if ledger is None or table not in ledger.children:
            continue
        listed = ledger.children[table].coords.get(table[:-1])
        for name in [] if listed is None else listed.values.tolist():
            order.setdefault(str(name), len(order))
    # A part of a block is called after it.
    names = [str(name) for name in tree.children[group].children]
    return sorted(names, key=lambda name: order.get(name, order.get(name.split(".")[0], -1)))


def stored_activity(tree: xr.DataTree) -> dict[str, xr.DataArray]:
    """Return the activity (sample, neuron) at the last snapshot, by population, read lazily.

    Args:
        tree: of `biosim.open_run`. Of an unfinished run, the last snapshot is that of the last
            epoch that it came to.
    """
    found: dict[str, xr.DataArray] = {}
    for name in stored_names(tree, "activity"):
        stored = tree.children["activity"].children[name].to_dataset(inherit=False)
        if "activity" in stored:
            there = _there(tree, stored["activity"])
            if there.sizes["snapshot"]:
                found[name] = there.isel(snapshot=-1)
    return found


def stored_weights(tree: xr.DataTree) -> dict[str, xr.DataArray]:
    """Return the snapshots of weights that are there, by projection, read lazily.

    Args:
        tree: of `biosim.open_run`.

    Returns:
        (snapshot, ...) each; with the coordinate `snapshot`, an epoch, or of synapses `time` in
        seconds.
    """
    found: dict[str, xr.DataArray] = {}
    for name in stored_names(tree, "weights"):
        stored = tree.children["weights"].children[name].to_dataset(inherit=False)
        variable = next((v for v in ("weight", "w") if v in stored), None)
        if variable is None or "snapshot" not in stored[variable].dims:
            continue
        weights = _there(tree, stored[variable])
        if "time" not in weights.coords and "time" in stored:
            weights = weights.assign_coords(time=stored["time"])
        if weights.sizes["snapshot"]:
            found[name] = weights
    return found


def population_similarities(
    tree: xr.DataTree, similarity: Similarity, names: Collection[str] = ()
) -> xr.DataArray:
    """Return the similarity of all pairs of populations at the last snapshot of their activity.

    Args:
        tree: of `biosim.open_run`.
        similarity: of two representations (sample, neuron), such as `linear_cka`.
        names: of populations; all if empty.

    Returns:
        (population, other), symmetric, without unit.

    Raises:
        AnalysisError: the run stored the activity of fewer than two populations.
    """
    found = {k: v for k, v in stored_activity(tree).items() if not names or k in names}
    if len(found) < 2:
        raise AnalysisError(
            f"the run stored the activity of {', '.join(found) or 'none'} only; expected two "
            "populations or more to compare"
        )
    values = np.full((len(found), len(found)), np.nan)
    loaded = [part.load() for part in found.values()]
    for i, first in enumerate(loaded):
        for j, second in enumerate(loaded[: i + 1]):
            values[i, j] = values[j, i] = float(similarity(first, second))
    labels = np.array(list(found), dtype=object)
    coords = {"population": labels, "other": labels}
    return xr.DataArray(values, coords, dims=("population", "other"), attrs={"units": "1"})


def population_dissimilarities(
    tree: xr.DataTree, most: int, names: Collection[str] = ()
) -> dict[str, xr.DataArray]:
    """Return how much the patterns of samples differ in each population, at the last snapshot.

    Args:
        tree: of `biosim.open_run`.
        most: samples; of more, ones at even distances are taken.
        names: of populations; all if empty.

    Returns:
        `dissimilarity` (sample, other) of each, samples ordered by label where they have one.

    Raises:
        AnalysisError: `most` is below 1.
    """
    if most < 1:
        raise AnalysisError(f"got most={most} samples; expected 1 or more")
    found = {}
    for name, activity in stored_activity(tree).items():
        if names and name not in names:
            continue
        order = np.arange(activity.sizes["sample"])
        if "label" in activity.coords:
            order = np.argsort(activity["label"].values, kind="stable")
        order = order[:: max(1, -(-len(order) // most))]
        chosen = activity.isel(sample=order)
        found[name] = dissimilarity(chosen)
        if "label" in activity.coords:
            found[name]["label"] = ("sample", chosen["label"].values)
    return found


def _there(tree: xr.DataTree, stored: xr.DataArray) -> xr.DataArray:
    """Return the snapshots that are filled: rows of a run that goes on are there before."""
    if "snapshot" not in stored.coords or "committed_epoch" not in tree.attrs:
        return stored
    there = stored["snapshot"].values <= tree.attrs["committed_epoch"]
    return stored if there.all() else stored.isel(snapshot=np.flatnonzero(there))
