"""What learning does to weights: rotation, alignment with the gradient, statistics over time.

Weights are read a snapshot at a time, and a large one in parts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import xarray as xr

from biosim.analysis.moments import row_bands
from biosim.analysis.slices import over_slices, require_agreement, require_dimensions
from biosim.analysis.spikes import Float64s
from biosim.errors import AnalysisError


def layer_rotation(
    weights: xr.DataArray, *, snapshot: str = "snapshot", start: int = 0
) -> xr.DataArray:
    """Return how far a layer's weights have turned from where they started.

    1 - cosine of the angle between all weights of the layer, as one vector, and those at the
    start.

    Source: Carbonnelle and De Vleeschouwer (2018), "Layer rotation: a surprisingly powerful
    indicator of generalization in deep networks?", arXiv:1806.01603.

    Args:
        weights: (snapshot, ...), for example `tree["weights/input-hidden1"].weight` or, of
            synapses, `tree["weights/E->E"].w`.
        snapshot: name of the dimension of time.
        start: position of the snapshot with which all are compared.

    Returns:
        Distances from 0 to 2 (snapshot), without unit. NaN where weights are all 0 or one is NaN.

    Raises:
        AnalysisError: the weights have no such dimension or snapshot.
    """
    require_dimensions(weights, (snapshot,))
    count = weights.sizes[snapshot]
    if not -count <= start < count:
        has = f"expected 0 to {count - 1}" if count else "the weights have none"
        raise AnalysisError(f"got snapshot {start} to start from; {has}")
    first = weights.isel({snapshot: start}, drop=True)
    found = over_slices(
        lambda now: 1.0 - _cosine(now, first.transpose(*now.dims)),
        [weights],
        [tuple(str(dim) for dim in first.dims)],
    )
    return found.rename("rotation").assign_attrs(units="1", long_name="cosine distance to start")


def layer_rotations(tree: xr.DataTree, variable: str = "weight") -> xr.DataArray:
    """Return `layer_rotation` of every layer of a run.

    Args:
        tree: `tree["weights"]` of `biosim.open_run`.
        variable: what is taken as weights: "weight" of layers, "w" of most synapses.

    Returns:
        Distances (projection, snapshot), without unit.

    Raises:
        AnalysisError: no projection has snapshots of the variable, or they differ in when.
    """
    found = {
        name: layer_rotation(node.to_dataset(inherit=False)[variable])
        for name, node in tree.children.items()
        if variable in node.data_vars and "snapshot" in node[variable].dims
    }
    if not found:
        raise AnalysisError(
            f"no projection has snapshots of {variable!r}; record some, or name another variable"
        )
    require_agreement(list(found.values()))
    names = xr.Variable("projection", np.array(list(found), dtype=object))
    return xr.concat(list(found.values()), dim=names, coords="minimal", compat="override")


def alignment(
    first: xr.DataArray, second: xr.DataArray, dims: list[str] | tuple[str, ...]
) -> xr.Dataset:
    """Return the cosine and the angle between two arrays, taken as vectors.

    Source: Lillicrap, Cownden, Tweed and Akerman (2016), Nature Communications 7, 13276: the angle
    between a rule's update and the gradient.

    Args:
        first: with the dimensions `dims` and any others.
        second: likewise; others that both have are gone through once.
        dims: that make up a vector, for example ("post", "pre").

    Returns:
        `cosine` from -1 to 1 and `angle` in degrees, for each slice of the other dimensions. NaN
        where a vector is 0 or has a NaN.

    Raises:
        AnalysisError: a dimension is missing, or the two disagree along one.
    """
    require_agreement([first, second], but=())
    cosine = over_slices(_cosine, [first, second], [tuple(dims)] * 2)
    return xr.Dataset(
        {
            "cosine": cosine.assign_attrs(units="1", long_name="cosine of the angle"),
            "angle": np.degrees(np.arccos(cosine)).assign_attrs(units="degree"),
        }
    )


def update_alignment(
    weights: xr.DataArray, gradients: xr.DataArray, *, snapshot: str = "snapshot"
) -> xr.Dataset:
    """Return how well what a rule changes agrees with going down the gradient.

    The angle between the change of the weights from snapshot k to k + 1 and minus the gradient at
    snapshot k. Under 90 degrees the change lowers the loss, if it is small. Snapshots far apart
    compare a long way with the slope at its start.

    Source: as `alignment`.

    Args:
        weights: (snapshot, ...), two snapshots or more.
        gradients: of the loss by the weights at the same snapshots, same dimensions; the last
            one may be missing. A run does not store them: they come from automatic
            differentiation at the stored weights.
        snapshot: name of the dimension of time.

    Returns:
        `cosine` and `angle` in degrees (snapshot), one fewer than there are weights, labelled by
        the earlier. NaN where nothing changed, the gradient is 0 or there is a NaN.

    Raises:
        AnalysisError: the two differ in dimensions or labels, or there is only one snapshot.
    """
    for array in (weights, gradients):
        require_dimensions(array, (snapshot,))
    steps = weights.sizes[snapshot] - 1
    if steps < 1 or not steps <= gradients.sizes[snapshot] <= steps + 1:
        raise AnalysisError(
            f"got {steps + 1} snapshots of weights and {gradients.sizes[snapshot]} of gradients; "
            "expected two or more of weights, and a gradient at each but, perhaps, the last"
        )
    if set(weights.dims) != set(gradients.dims):
        raise AnalysisError(
            f"got weights with {list(weights.dims)} and gradients with {list(gradients.dims)}; "
            "expected the same dimensions"
        )
    inner = [str(dim) for dim in weights.dims if dim != snapshot]
    parts = []
    for k in range(steps):
        # One step at a time: the changes of all would be as large as the weights.
        now, after = (weights.isel({snapshot: slice(i, i + 1)}) for i in (k, k + 1))
        change = now.copy(data=after.values.astype(np.float64) - now.values)
        parts.append(alignment(change, -gradients.isel({snapshot: slice(k, k + 1)}), inner))
    return xr.concat(parts, dim=snapshot)


def weight_statistics(
    weights: xr.DataArray,
    *,
    snapshot: str = "snapshot",
    lowest: float | None = None,
    highest: float | None = None,
) -> xr.Dataset:
    """Return how the weights are distributed at each snapshot.

    Args:
        weights: (snapshot, ...).
        snapshot: name of the dimension of time.
        lowest: bound of the weights, in their unit, where they have one.
        highest: likewise.

    Returns:
        Over (snapshot), in the unit of the weights: `mean`, `std` (over n), `minimum`, `maximum`,
        `norm` (the root of the sum of squares); without unit `share_zero`, and with a bound
        `share_lowest` and `share_highest`, of weights at it or beyond. Each is NaN if a weight is
        NaN or there are none.

    Raises:
        AnalysisError: the weights have no such dimension.
    """
    require_dimensions(weights, (snapshot,))
    names = ["mean", "std", "minimum", "maximum", "norm", "share_zero"]
    bounds = {"share_lowest": lowest, "share_highest": highest}
    names += [name for name, bound in bounds.items() if bound is not None]

    def of_slice(now: xr.DataArray) -> Float64s:
        count, mean, squares, zero, low, high = 0, 0.0, 0.0, 0, 0, 0
        least, most = np.inf, -np.inf
        for values in _blocks(now):
            new, here = values.size, float(values.mean())
            step = here - mean
            squares += float(((values - here) ** 2).sum())
            squares += step**2 * count * new / (count + new)
            mean += step * new / (count + new)
            count += new
            least = min(least, float(values.min()))
            most = max(most, float(values.max()))
            zero += int(np.count_nonzero(values == 0))
            low += 0 if lowest is None else int(np.count_nonzero(values <= lowest))
            high += 0 if highest is None else int(np.count_nonzero(values >= highest))
        if count == 0 or np.isnan(mean):
            return np.full(len(names), np.nan)
        norm = np.sqrt(squares + count * mean**2)
        found = {
            "mean": mean,
            "std": np.sqrt(squares / count),
            "minimum": least,
            "maximum": most,
            "norm": norm,
            "share_zero": zero / count,
            "share_lowest": low / count,
            "share_highest": high / count,
        }
        return np.array([found[name] for name in names])

    inner = tuple(str(dim) for dim in weights.dims if dim != snapshot)
    found = over_slices(of_slice, [weights], [inner], {"statistic": names})
    unit = weights.attrs.get("units", "1")
    return xr.Dataset(
        {
            name: found.sel(statistic=name, drop=True).assign_attrs(
                units="1" if name.startswith("share") else unit
            )
            for name in names
        }
    )


def weight_histogram(
    weights: xr.DataArray, edges: npt.ArrayLike, *, snapshot: str = "snapshot"
) -> xr.DataArray:
    """Return how many weights are how large at each snapshot.

    Args:
        weights: (snapshot, ...).
        edges: (n_bins + 1,) increasing, in the unit of the weights; the last bin has both ends.
        snapshot: name of the dimension of time.

    Returns:
        Counts (snapshot, weight); `weight` is the middle of a bin. NaN and what lies outside is
        not counted.

    Raises:
        AnalysisError: the edges do not increase, or the weights have no such dimension.
    """
    require_dimensions(weights, (snapshot,))
    limits = np.asarray(edges, np.float64)
    if limits.ndim != 1 or len(limits) < 2 or not np.all(np.diff(limits) > 0):
        raise AnalysisError(f"got the edges {limits.tolist()}; expected two or more that increase")

    def of_slice(now: xr.DataArray) -> npt.NDArray[np.int64]:
        counts = np.zeros(len(limits) - 1, np.int64)
        for values in _blocks(now):
            counts += np.histogram(values[np.isfinite(values)], limits)[0]
        return counts

    inner = tuple(str(dim) for dim in weights.dims if dim != snapshot)
    middles = (limits[1:] + limits[:-1]) / 2
    found = over_slices(of_slice, [weights], [inner], {"weight": middles})
    found["weight"].attrs["units"] = weights.attrs.get("units", "1")
    return found.astype(np.int64).rename("count").assign_attrs(units="1", long_name="weights")


def _blocks(array: xr.DataArray) -> Iterator[Float64s]:
    rows = array if array.dims else array.expand_dims("weight")
    return (band for band in row_bands(rows) if band.size)


def _cosine(first: xr.DataArray, second: xr.DataArray) -> float:
    """Return the cosine of the angle between two arrays of the same dimensions, as vectors."""
    product, one, two = 0.0, 0.0, 0.0
    for a, b in zip(_blocks(first), _blocks(second), strict=True):
        product += float((a * b).sum())
        one += float((a * a).sum())
        two += float((b * b).sum())
    # Not the product of two roots: an array has a cosine of exactly 1 with itself.
    scale = np.sqrt(one * two)
    return float(np.clip(product / scale, -1.0, 1.0)) if scale > 0 else np.nan
