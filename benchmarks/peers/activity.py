"""What a run printed: rates, irregularity, correlation, memory. Needs numpy only."""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

SKIP_S = 0.2
BIN_S = 0.005
SAMPLE = 200
LEAST_SPIKES = 5
WEIGHT_BINS = 200


def arguments(description: str, networks: Sequence[str]) -> ArgumentParser:
    """Return the options that all scripts share."""
    parser = ArgumentParser(description=description)
    parser.add_argument("network", choices=sorted(networks))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="biological; by default the network's own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="record spikes; adds cv, correlation")
    parser.add_argument(
        "--without-synapses", action="store_true", help="for the memory of synapses"
    )
    parser.add_argument("--as-nest", action="store_true", help="STDP in the convention of NEST")
    parser.add_argument("--json", action="store_true", help="one line of JSON, and nothing else")
    return parser


def of_microcircuit(description: str) -> ArgumentParser:
    """Return the options of the scripts of the cortical microcircuit."""
    parser = ArgumentParser(description=description)
    parser.add_argument("--scale", type=float, default=1.0, help="of neurons and of in-degrees")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="biological")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one line of JSON, and nothing else")
    return parser


def say(asked: Namespace, measured: Mapping[str, object]) -> None:
    """Print what was measured, together with what was asked for."""
    whole = {**{k: v for k, v in vars(asked).items() if k != "json"}, **measured}
    if asked.json:
        print(json.dumps(whole, allow_nan=False))
    else:
        for name, value in whole.items():
            print(f"{name:20} {value}")


def of_spikes(
    times_s: npt.NDArray[np.float64], neurons: npt.NDArray[np.int64], n: int, seconds: float
) -> dict[str, float | None]:
    """Return the rate, irregularity and correlation of spikes after the first `SKIP_S`.

    Args:
        times_s: (n_spikes,) in any order.
        neurons: (n_spikes,) below `n`.
        n: number of neurons.
        seconds: end of the recording.

    Returns:
        steady_rate_hz: mean over neurons. cv: standard deviation over mean of the intervals,
        mean over the neurons with at least `LEAST_SPIKES` spikes. correlation: of counts in bins
        of `BIN_S`, mean over the pairs of `SAMPLE` evenly spaced neurons. None where there is
        too little to tell.
    """
    kept = times_s >= SKIP_S
    order = np.lexsort((times_s[kept], neurons[kept]))
    t, i = times_s[kept][order], neurons[kept][order]
    lasting = seconds - SKIP_S
    if lasting <= 0:
        return {"steady_rate_hz": None, "cv": None, "correlation": None}
    return {
        "steady_rate_hz": len(t) / n / lasting,
        "cv": _cv(t, i, n),
        "correlation": _correlation(t, i, n, seconds),
    }


def _cv(t: npt.NDArray[np.float64], i: npt.NDArray[np.int64], n: int) -> float | None:
    """Return the mean CV of spikes ordered by neuron, then time."""
    counts = np.bincount(i, minlength=n)
    same = np.diff(i) == 0
    intervals, owner = np.diff(t)[same], i[1:][same]
    number = np.maximum(counts - 1, 1)
    mean = np.bincount(owner, intervals, minlength=n) / number
    spread = np.bincount(owner, (intervals - mean[owner]) ** 2, minlength=n) / number
    enough = counts >= LEAST_SPIKES
    return float(np.mean(np.sqrt(spread[enough]) / mean[enough])) if enough.any() else None


def _correlation(
    t: npt.NDArray[np.float64], i: npt.NDArray[np.int64], n: int, seconds: float
) -> float | None:
    """Return the mean correlation over the pairs of a sample of neurons that fire."""
    sample = np.unique(np.linspace(0, n - 1, SAMPLE).astype(np.int64))
    bins = int((seconds - SKIP_S) / BIN_S + 1e-9)
    counts = np.zeros((len(sample), bins))
    place = np.minimum(np.searchsorted(sample, i), len(sample) - 1)
    column = ((t - SKIP_S) / BIN_S).astype(np.int64)
    chosen = (sample[place] == i) & (column < bins)
    np.add.at(counts, (place[chosen], column[chosen]), 1)
    counts = counts[counts.std(axis=1) > 0]
    if len(counts) < 2:
        return None
    matrix = np.corrcoef(counts)
    return float(matrix[np.triu_indices(len(counts), 1)].mean())


def of_weights(weights: npt.NDArray[np.float64], most_mv: float) -> dict[str, object]:
    """Return the distribution of plastic weights (n,) in mV, bounded by 0 and `most_mv`.

    Returns:
        weight_mean_mv, weight_sd_mv, and weight_shares: (WEIGHT_BINS,) shares of the weights below
        (k + 1/2) / WEIGHT_BINS of the bound. Bounds and start, where many are equal, lie between.
    """
    edges = (np.arange(WEIGHT_BINS) + 0.5) / WEIGHT_BINS * most_mv
    below = np.searchsorted(np.sort(weights), edges) / len(weights)
    return {
        "weight_mean_mv": float(weights.mean()),
        "weight_sd_mv": float(weights.std()),
        "weight_shares": below.round(6).tolist(),
    }


def memory(status: str | None = None) -> dict[str, int | None]:
    """Return the resident memory of this process, now and at its highest, in bytes.

    Args:
        status: text of another process's /proc/PID/status.
    """
    if status is None:
        _give_back()
        path = Path(f"/proc/{os.getpid()}/status")
        status = path.read_text() if path.exists() else ""
    values: dict[str, int | None] = {"rss_bytes": None, "peak_rss_bytes": None}
    for line in status.splitlines():
        for key, name in (("VmRSS:", "rss_bytes"), ("VmHWM:", "peak_rss_bytes")):
            if line.startswith(key):
                values[name] = int(line.split()[1]) * 1024
    return values


def _give_back() -> None:
    """Return freed memory to the system, where the C library can; else it counts as used.

    What imports and compilers have freed would otherwise hide the growth by synapses.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def steps(ms: float, dt_ms: float) -> int:
    """Return a time as a number of steps.

    Raises:
        ValueError: it is no whole number of steps.
    """
    number = round(ms / dt_ms)
    if not math.isclose(number * dt_ms, ms, abs_tol=1e-9):
        raise ValueError(f"{ms} ms is no whole number of steps of {dt_ms} ms")
    return number
