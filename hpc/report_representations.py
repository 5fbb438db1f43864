"""How the layers of a run represent the same samples, for its report: linear CKA and RDMs.

Read from the activity that a run stored, at its last snapshot, with `biosim.analysis`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from biosim.analysis import linear_cka, population_dissimilarities, population_similarities
from biosim.analysis.stored import stored_activity
from hpc.plain import plain

MOST_SAMPLES = 100
"""Of a matrix of dissimilarities."""
MOST_LAYERS = 5
"""That such a matrix is shown of: first, last and ones at even distances."""
MOST_VALUES = 50_000_000
"""Of the activity of all layers: what comparing them may hold in memory."""


def representations(tree: xr.DataTree | None) -> dict[str, Any] | None:
    """Return how alike layers are, and how they tell samples apart, as JSON takes it.

    Args:
        tree: of `biosim.open_run`.

    Returns:
        `epoch` of the activity; `names` of the layers, from the input on, and `cka`, the linear CKA
        of all pairs, empty where there is only one layer; `layers`, for some of them `name` and
        `apart`, 1 - correlation of the patterns of two samples, (sample, sample); `label` (sample,)
        of those samples, in increasing order, empty where they have none. What is not finite is
        None. None where no activity was stored, or none of it is finite.
    """
    activity = {} if tree is None else stored_activity(tree)
    if tree is None or not activity:
        return None
    names = list(activity)
    last = next(iter(activity.values()))
    found: dict[str, Any] = {"names": [], "cka": [], "layers": [], "label": []}
    found["epoch"] = int(last["snapshot"]) if "snapshot" in last.coords else None
    if len(names) > 1 and sum(part.size for part in activity.values()) <= MOST_VALUES:
        cka = population_similarities(tree, linear_cka).values
        if np.isfinite(cka).any():
            found |= {"names": names, "cka": _rows(cka)}
    shown = np.unique(np.linspace(0, len(names) - 1, MOST_LAYERS).round().astype(int))
    apart = population_dissimilarities(tree, MOST_SAMPLES, [names[k] for k in shown])
    for name, matrix in apart.items():
        if np.isfinite(matrix.values).any() and matrix.sizes["sample"] > 1:
            found["layers"].append({"name": name, "apart": _rows(matrix.values)})
            if "label" in matrix.coords:
                found["label"] = matrix["label"].values.tolist()
    return found if found["cka"] or found["layers"] else None


def _rows(matrix: npt.NDArray[np.float64]) -> list[list[float | None]]:
    """Return a matrix as JSON takes it, with two digits behind the point."""
    return [plain(row) for row in np.round(np.asarray(matrix, np.float64), 2)]
