"""Weights over time, for reports: how they are spread, and how far each layer has turned and grown.

Read from the snapshots of a run, with `biosim.analysis`; of many snapshots, or of very large ones,
only some are read, at even distances.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from biosim.analysis import layer_rotation, weight_distribution, weight_statistics
from biosim.analysis.stored import stored_weights
from hpc.plain import plain

MOST_SNAPSHOTS = 100
MOST_VALUES = 200_000_000
"""Weights that are read of a projection: some ten seconds."""
FEWEST_OF_A_MAP = 3
"""Snapshots; two are better drawn beside each other."""


def weight_maps(tree: xr.DataTree) -> list[dict[str, Any]]:
    """Return how the weights of synapses are spread over time, as JSON takes it.

    Args:
        tree: of `biosim.open_run`.

    Returns:
        For each projection with three snapshots or more: `name`, `unit`; `at_s`, when they were
        taken; `edge`, of the bins of weights; `share`, of all weights in %, by bin, then snapshot,
        None where there are none; `quantiles`, the shares that lie below each line of `below`. At a
        snapshot with a weight that is not finite all is None. Projections with no other are absent.
    """
    maps = []
    for name, weights in stored_weights(tree).items():
        some = _some(weights, FEWEST_OF_A_MAP)
        if "time" not in some.coords or some.sizes["snapshot"] < FEWEST_OF_A_MAP:
            continue
        found = weight_distribution(some)
        if not np.isfinite(found.edge).all():
            continue
        counts = found["count"].values
        share = 100.0 * counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        maps.append(
            {
                "name": name,
                "unit": str(weights.attrs.get("units", "1")),
                "at_s": some["time"].values.tolist(),
                "edge": found.edge.values.tolist(),
                "share": [plain(np.where(of_bin > 0, of_bin, np.nan), 3) for of_bin in share.T],
                "quantiles": found["quantile"].values.tolist(),
                "below": [plain(line, 5) for line in found.quantile_weight.values.T],
            }
        )
    return maps


def turning(tree: xr.DataTree | None) -> dict[str, Any] | None:
    """Return how the weights of layers have moved since their first snapshot, as JSON takes it.

    Args:
        tree: of `biosim.open_run`.

    Returns:
        `epoch` (n,) of the snapshots, and by projection, from the input on, `rotation`: 1 - cosine
        of the angle to the start, and `growth`: the norm over that at the start; None where a
        weight is not finite or all were 0 at the start. Projections that never change are left out;
        None if that leaves nothing, or there are no two snapshots.
    """
    found: dict[str, Any] = {"epoch": [], "rotation": {}, "growth": {}}
    for name, weights in stored_weights(tree).items() if tree is not None else ():
        some = _some(weights, 2)
        if "time" in some.coords or some.sizes["snapshot"] < 2:
            continue
        with np.errstate(invalid="ignore", over="ignore"):  # of a run that diverged
            rotation = layer_rotation(some).values
            norm = weight_statistics(some)["norm"].values
        if np.array_equal(norm, np.full(len(norm), norm[0])) and not rotation.any():
            continue
        found["epoch"] = some["snapshot"].values.tolist()
        # A start at 0 has no direction, and nothing to compare its size with.
        growth = norm / norm[0] if norm[0] > 0 else np.full(len(norm), np.nan)
        found["rotation"][name], found["growth"][name] = plain(rotation, 5), plain(growth, 5)
    return found if found["rotation"] else None


def _some(weights: xr.DataArray, fewest: int) -> xr.DataArray:
    """Return snapshots at even distances, first and last too, that are not too much to read."""
    count = weights.sizes["snapshot"]
    affordable = MOST_VALUES // max(1, weights.size // max(1, count))
    most = min(MOST_SNAPSHOTS, max(fewest, affordable))
    if count <= most:
        return weights
    return weights.isel(snapshot=np.unique(np.linspace(0, count - 1, most).round().astype(int)))
