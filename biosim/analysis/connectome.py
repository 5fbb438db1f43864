"""A dynamic functional connectome: which neurons act together, and when.

The affinity of every pair of neurons at every moment is a non-negative tensor (run, time, pair).
Its non-negative factorisation finds components: a pattern of affinities, the times at which it
holds, and the runs in which it does. Each pattern is a weighted graph of neurons; what finds
communities in graphs can go on from there.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import xarray as xr

from biosim.analysis.binning import refuse_large
from biosim.analysis.slices import require_dimensions
from biosim.analysis.spikes import Float64s
from biosim.errors import AnalysisError


def pairwise_affinity(
    activity: xr.DataArray, *, run: str = "run", time: str = "time", neuron: str = "neuron"
) -> xr.DataArray:
    """Return how much the two neurons of each pair are active together at each moment.

    The product of the two neurons' standard scores over time, where both are above their means;
    else 0.

    Source: the scores' product, whose mean over time is the correlation, is the edge time series
    of Zamani Esfahlani et al. (2020), PNAS 117, 28393-28401; only joint activity is kept here,
    because the factorisation needs what is not negative. `dynamic_connectome` names the paper of
    the method; its affinity, of calcium traces, is another one.

    Args:
        activity: (time, neuron) or (run, time, neuron), for example `kernel_rate` of some hundred
            neurons at most.
        run: name of the dimension of runs, animals or trials; scores are taken in each.
        time: name of the dimension of time.
        neuron: name of the dimension of the neurons.

    Returns:
        Affinities from 0 (run, time, pair), without unit; `first` and `second` (pair) are the two
        neurons. 0 for neurons whose activity does not vary. NaN for pairs with a NaN.

    Raises:
        AnalysisError: a dimension is missing or one too many, or the result would be larger than
            4 GiB.
    """
    require_dimensions(activity, (time, neuron))
    extra = [str(dim) for dim in activity.dims if dim not in (run, time, neuron)]
    if extra:
        raise AnalysisError(f"got the dimension {extra[0]!r}; expected {[run, time, neuron]} alone")
    whole = activity if run in activity.dims else activity.expand_dims(run)
    whole = whole.transpose(run, time, neuron)
    count = whole.sizes[neuron]
    pairs = count * (count - 1) // 2
    refuse_large(
        8 * whole.sizes[run] * whole.sizes[time] * pairs,
        "the affinities",
        "choose fewer neurons or coarser times",
    )
    one, two = np.triu_indices(count, 1)
    result = np.empty((whole.sizes[run], whole.sizes[time], pairs))
    for k in range(whole.sizes[run]):
        above = _scores_above_mean(whole[k].values.astype(np.float64))
        np.multiply(above[:, one], above[:, two], out=result[k])
    names = activity[neuron].values
    coords = {
        dim: whole[dim].variable for dim in (run, time) if dim in whole.coords and dim in whole.dims
    }
    return xr.DataArray(
        result,
        {**coords, "first": ("pair", names[one]), "second": ("pair", names[two])},
        (run, time, "pair"),
        name="affinity",
        attrs={"units": "1", "long_name": "joint activity above the means"},
    )


def dynamic_connectome(
    affinity: xr.DataArray,
    components: int,
    *,
    seed: int = 0,
    iterations: int = 500,
    tolerance: float = 1e-8,
    run: str = "run",
    time: str = "time",
) -> xr.Dataset:
    """Factorise affinities into patterns, the times at which they hold, and the runs.

    affinity[r, t, p] is fitted by the sum over components of
    strength * run[r] * time[t] * pattern[p], all of them non-negative and each factor of length 1
    (CANDECOMP/PARAFAC, by hierarchical alternating least squares of tensorly). How many components
    there are is the user's to choose: compare `error` and whether other seeds find the same.

    Source: Dyballa, Lang, Haslund-Gourley, Yemini and Zucker (2024), "Learning dynamic
    representations of the functional connectome in neurobiological networks", ICLR,
    arXiv:2402.14102: the tensor, its modes and its factorisation. Their last step, communities by
    a weighted stochastic block model, is left to a library of graphs.

    Args:
        affinity: (run, time, pair) with `first` and `second` (pair), of `pairwise_affinity`.
        components: how many, 1 or more.
        seed: of the start, which is random.
        iterations: most steps of the fit.
        tolerance: change of the relative error at which the fit ends.
        run: name of the dimension of runs.
        time: name of the dimension of time.

    Returns:
        `strength` (component), decreasing; `run_factor` (run, component); `time_factor` (time,
        component); `pattern` (component, neuron, other), symmetric, 0 on the diagonal; `error`,
        the norm of what is not explained over that of the affinities, one number. All fitted is
        NaN if there is a NaN, and 0, with an error of NaN, if all affinities are.

    Raises:
        AnalysisError: tensorly is not installed, the affinities have not the form or are
            negative, or there are no components.
    """
    require_dimensions(affinity, (run, time, "pair"))
    if "first" not in affinity.coords or "second" not in affinity.coords:
        raise AnalysisError(
            "the affinities do not say which neurons a pair is; make them with pairwise_affinity"
        )
    if components < 1:
        raise AnalysisError(f"got {components} components; expected 1 or more")
    _tensorly("tensorly")
    whole = affinity.transpose(run, time, "pair")
    values = whole.values.astype(np.float64)
    if (values < 0).any():
        raise AnalysisError("got affinities below 0; expected none: factors are non-negative")
    names = np.unique(np.concatenate([whole["first"].values, whole["second"].values]))
    norm = float(np.linalg.norm(values)) if values.size else 0.0
    factors = [np.full((size, components), 0.0 * norm) for size in values.shape]
    strength, error = np.full(components, 0.0 * norm), np.nan
    if norm > 0:
        strength, factors, error = _factorised(values, components, seed, iterations, tolerance)
    patterns = np.zeros((components, len(names), len(names)))
    one, two = (np.searchsorted(names, whole[end].values) for end in ("first", "second"))
    patterns[:, one, two] = patterns[:, two, one] = factors[2].T
    return xr.Dataset(
        {
            "strength": ("component", strength, {"units": "1"}),
            "run_factor": ((run, "component"), factors[0], {"units": "1"}),
            "time_factor": ((time, "component"), factors[1], {"units": "1"}),
            "pattern": (("component", "neuron", "other"), patterns, {"units": "1"}),
            "error": ((), error, {"units": "1", "long_name": "unexplained share of the norm"}),
        },
        coords={
            "neuron": names,
            "other": names,
            **{dim: whole[dim].variable for dim in (run, time) if dim in whole.coords},
        },
    )


def _factorised(
    values: Float64s, components: int, seed: int, iterations: int, tolerance: float
) -> tuple[Float64s, list[Float64s], float]:
    """Return strengths (k,), factors (size, k) of length 1, and the relative error."""
    decomposition = _tensorly("tensorly.decomposition")
    # Scaled, so that the tolerance does not depend on the unit.
    scale = float(np.linalg.norm(values))
    found = decomposition.non_negative_parafac_hals(
        values / scale,
        rank=components,
        n_iter_max=iterations,
        init="random",
        random_state=seed,
        tol=tolerance,
    )
    factors = [np.asarray(factor, np.float64) for factor in found.factors]
    strength = np.asarray(found.weights, np.float64) * scale
    for k, factor in enumerate(factors):
        lengths = np.linalg.norm(factor, axis=0)
        strength = strength * lengths
        factors[k] = factor / np.where(lengths > 0, lengths, 1.0)
    order = np.argsort(-strength, kind="stable")
    strength, factors = strength[order], [factor[:, order] for factor in factors]
    fitted = np.einsum("k,rk,tk,pk->rtp", strength, *factors, optimize=True)
    return strength, factors, float(np.linalg.norm(values - fitted)) / scale


def _scores_above_mean(activity: Float64s) -> Float64s:
    """Return the standard scores over time (time, neuron) where positive, else 0."""
    if not len(activity):
        return activity
    mean = activity.mean(axis=0)
    spread = activity.std(axis=0)
    # What rounding leaves of a constant is no variation.
    varies = ~(spread <= 1e-12 * np.abs(mean))
    scores = (activity - mean) / np.where(varies, spread, 1.0)
    return np.where(varies, np.maximum(scores, 0.0), 0.0)


def _tensorly(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise AnalysisError(
            "a dynamic connectome needs tensorly, which is not installed: "
            "pip install 'biosim[analysis]'"
        ) from None
