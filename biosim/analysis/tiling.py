"""The spike-time tiling coefficient (STTC): correlation of pairs that rates do not confound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from numba import njit

from biosim.analysis.binning import refuse_large
from biosim.analysis.spikes import SpikeColumns, spike_trains
from biosim.errors import AnalysisError


def tiling_coefficient(
    spikes: SpikeColumns,
    window_s: float,
    *,
    neurons: Sequence[int] | npt.NDArray[Any] | None = None,
    start_s: float | None = None,
    stop_s: float | None = None,
) -> xr.DataArray:
    """Return the spike-time tiling coefficient of every pair of neurons.

    With T the share of the time within `window_s` of a train's spikes, and P_A the share of A's
    spikes within `window_s` of one of B's, STTC = ((P_A - T_B) / (1 - P_A T_B) + (P_B - T_A) /
    (1 - P_B T_A)) / 2. A term of 0/0, where a train tiles all the time, is 1.

    Source: Cutts and Eglen (2014), Journal of Neuroscience 34, 14288-14303.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        window_s: the synchronicity window to both sides, in seconds; ends included.
        neurons: that are compared; by default all that were recorded. The work grows with their
            square; their spikes are held in memory.
        start_s: begin of the stretch; by default of the recording.
        stop_s: end; by default of the recording.

    Returns:
        Coefficients from -1 to 1 (neuron, other), symmetric, 1 for a neuron with itself. NaN where
        one of the two did not fire.

    Raises:
        AnalysisError: the window is not above 0, or as `spike_trains`.
    """
    if not (np.isfinite(window_s) and window_s > 0):
        raise AnalysisError(f"got a window of {window_s} s; expected one above 0")
    trains = spike_trains(spikes, neurons, start_s, stop_s)
    size = len(trains.neurons)
    refuse_large(8 * size * size, "the coefficients", "choose fewer neurons")
    times, begins = trains.trains()
    result = np.full((size, size), np.nan)
    if size:
        edges = np.array([trains.start_s, trains.stop_s])
        _tile(times, begins.astype(np.int64), window_s, trains.slack_s, edges, result)
    return xr.DataArray(
        result,
        {"neuron": trains.coordinate(), "other": ("other", trains.neurons)},
        ("neuron", "other"),
        name="sttc",
        attrs={
            "units": "1",
            "long_name": "spike-time tiling coefficient",
            "window_s": window_s,
        },
    )


@njit(nogil=True, cache=True)
def _tile(
    times: Any, begins: Any, window_s: float, slack_s: float, edges: Any, result: Any
) -> None:
    size = len(begins) - 1
    tiled = np.zeros(size)
    for i in range(size):
        covered = edges[0]
        for k in range(begins[i], begins[i + 1]):
            low = max(times[k] - window_s, covered)
            covered = min(times[k] + window_s, edges[1])
            tiled[i] += max(covered - low, 0.0)
    tiled /= edges[1] - edges[0]
    for i in range(size):
        for j in range(i, size):
            one = times[begins[i] : begins[i + 1]]
            two = times[begins[j] : begins[j + 1]]
            if len(one) == 0 or len(two) == 0:
                continue
            value = 0.5 * (
                _term(_near(one, two, window_s + slack_s), tiled[j])
                + _term(_near(two, one, window_s + slack_s), tiled[i])
            )
            result[i, j] = value
            result[j, i] = value


@njit(nogil=True, cache=True)
def _near(one: Any, two: Any, reach_s: float) -> float:
    """Return the share of one's spikes that have one of two's within reach; both sorted."""
    low = 0
    found = 0
    for k in range(len(one)):
        while low < len(two) and two[low] < one[k] - reach_s:
            low += 1
        if low < len(two) and two[low] <= one[k] + reach_s:
            found += 1
    return found / len(one)


@njit(nogil=True, cache=True)
def _term(share: float, tiled: float) -> float:
    # Both are 1 up to rounding, or the quotient is well defined.
    if 1.0 - share * tiled < 1e-12:
        return 1.0
    return (share - tiled) / (1.0 - share * tiled)
