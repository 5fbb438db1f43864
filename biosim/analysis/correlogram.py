"""Cross-correlograms: how often one neuron fires how long after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numba import njit

from biosim.analysis.spikes import SpikeColumns, spike_trains
from biosim.errors import AnalysisError


def cross_correlogram(
    spikes: SpikeColumns,
    reference: int | Sequence[int],
    other: int | Sequence[int],
    bin_s: float,
    reach_s: float,
    *,
    spikes_of_other: SpikeColumns | None = None,
    start_s: float | None = None,
    stop_s: float | None = None,
) -> xr.DataArray:
    """Return how many spikes of one neuron, or group, lie how long after those of another.

    Bins lie symmetrically about lag 0, which is the middle of the middle one: bin k counts lags in
    [(k - 1/2) bin_s, (k + 1/2) bin_s). A spike is not counted against itself, so that the
    correlogram of a neuron with itself has only its other spikes. The work is the number of pairs;
    nothing is held for them.

    Source: Perkel, Gerstein and Moore (1967), Biophysical Journal 7, 419-440.

    Args:
        spikes: of `biosim.open_run` or of `spike_columns`.
        reference: the neuron or neurons at lag 0.
        other: the neuron or neurons whose spikes are counted.
        bin_s: width of a bin in seconds.
        reach_s: largest lag in seconds; rounded to whole bins.
        spikes_of_other: where `other` belongs to another population or recording.
        start_s: begin of the stretch; by default of the recording.
        stop_s: end; by default of the recording.

    Returns:
        Counts of pairs (lag), positive lags where `other` fires later; `lag` is the middle of the
        bin in seconds. The attributes `reference_spikes` and `other_spikes` say how many there
        were; without any all counts are 0. `expected` is the count in each bin, ends neglected,
        were the two independent.

    Raises:
        AnalysisError: the bins or the reach make no sense, or as `spike_trains`.
    """
    if not (np.isfinite(bin_s) and bin_s > 0 and np.isfinite(reach_s) and reach_s >= 0):
        raise AnalysisError(
            f"got bins of {bin_s} s to lags of {reach_s} s; expected widths above 0"
        )
    first = spike_trains(spikes, np.atleast_1d(reference), start_s, stop_s)
    second = spike_trains(
        spikes if spikes_of_other is None else spikes_of_other,
        np.atleast_1d(other),
        start_s,
        stop_s,
    )
    half = int(reach_s / bin_s + 1e-9)
    counts = np.zeros(2 * half + 1, np.int64)
    before, before_begins = first.trains()
    after, after_begins = second.trains()
    same = np.zeros((len(first.neurons), len(second.neurons)), np.bool_)
    if spikes_of_other is None:
        same = first.neurons[:, None] == second.neurons
    _count_lags(before, before_begins, after, after_begins, same, bin_s, first.slack_s, counts)
    span_s = min(first.duration_s, second.duration_s)
    lags = np.arange(-half, half + 1) * bin_s
    return xr.DataArray(
        counts,
        {"lag": xr.Variable("lag", lags, {"units": "s", "long_name": "lag of the other"})},
        name="count",
        attrs={
            "units": "1",
            "long_name": "pairs of spikes",
            "bin_s": bin_s,
            "reference_spikes": len(before),
            "other_spikes": len(after),
            "expected": len(before) * len(after) * bin_s / span_s,
        },
    )


@njit(nogil=True, cache=True)
def _count_lags(
    before: Any,
    before_begins: Any,
    after: Any,
    after_begins: Any,
    same: Any,
    bin_s: float,
    slack_s: float,
    counts: Any,
) -> None:
    """Count the lags of all near spikes of all pairs of trains, each sorted, into counts (odd,)."""
    half = len(counts) // 2
    lowest = -(half + 0.5) * bin_s - slack_s
    for one in range(len(before_begins) - 1):
        for two in range(len(after_begins) - 1):
            low = after_begins[two]
            for i in range(before_begins[one], before_begins[one + 1]):
                while low < after_begins[two + 1] and after[low] - before[i] < lowest:
                    low += 1
                for j in range(low, after_begins[two + 1]):
                    # Lags of exactly half a bin are found by the slack, as times are.
                    lag = int(np.floor((after[j] - before[i] + slack_s) / bin_s + 0.5))
                    if lag > half:
                        break
                    itself = same[one, two] and i - before_begins[one] == j - after_begins[two]
                    if lag >= -half and not itself:
                        counts[lag + half] += 1
