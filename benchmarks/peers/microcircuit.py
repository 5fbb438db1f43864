"""The cortical microcircuit at full scale in biosim, and at a tenth beside NEST.

NEST takes more memory at full scale than the bar allows, so its own spread between seeds, of
rates and of intervals, is had at a tenth, where both have the same numbers. The full network
stands beside the rates that NEST's implementation publishes; no CV has been published that was
estimated from as short a run, and a short run makes it smaller where rates are low.
"""

from __future__ import annotations

import statistics

from benchmarks.peers import bars
from benchmarks.peers.bars import shown, table, verdict
from benchmarks.peers.environments import NEST
from benchmarks.peers.measure import Measured, biosim_script, peer_script
from benchmarks.peers.sides import Asked, interleaved

PUBLISHED_HZ = {
    "L23E": 0.903,
    "L23I": 2.965,
    "L4E": 4.414,
    "L4I": 5.876,
    "L5E": 7.569,
    "L5I": 8.633,
    "L6E": 1.105,
    "L6I": 7.829,
}
"""`full_mean_rates` of NEST's implementation of Potjans and Diesmann 2014."""

THREADS = 2
FULL_S = 5.0
TENTH_S = 3.0
STATISTICS = {"steady_rate_hz": "Hz", "cv": "CV"}


def microcircuit(asked: Asked) -> None:
    """Print building, memory, speed, rates and CV of the cortical microcircuit."""
    found = interleaved({"float32": lambda seed: of_biosim(1.0, FULL_S, seed)}, 1)
    if found.get("float32"):
        full(found["float32"][0])
    sides = {
        "NEST": lambda seed: of_nest(0.1, TENTH_S, seed),
        "float32": lambda seed: of_biosim(0.1, TENTH_S, seed),
    }
    tenth(interleaved(sides, max(asked.repeats, 3)))


def of_biosim(scale: float, seconds: float, seed: int) -> Measured:
    size = ("--scale", str(scale), "--seconds", str(seconds))
    return biosim_script("biosim_microcircuit", *size, threads=THREADS, seed=seed)


def of_nest(scale: float, seconds: float, seed: int) -> Measured:
    size = ("--scale", str(scale), "--seconds", str(seconds))
    return peer_script(NEST, "nest_microcircuit", *size, threads=THREADS, seed=seed)


def full(measured: Measured) -> None:
    """Print one run at full scale, with the bars."""
    times = measured["simulate_s"] / measured["seconds"]
    memory = measured["peak_rss_bytes"]
    row = [
        shown(measured["build_s"]),
        shown(memory and memory / 1e9),
        verdict(memory and memory / 1e9, bars.MICROCIRCUIT_GB, least=False),
        shown(times),
        verdict(times, bars.MICROCIRCUIT_TIMES, least=False),
    ]
    how = f"scale {measured['scale']:g}, {measured['seconds']:g} s biological, {THREADS} threads"
    print(f"\nMicrocircuit, {how}")
    print(table(["build s", "peak GB", "bar", "real-time factor", "bar"], [row]))
    rows = []
    for name, published in PUBLISHED_HZ.items():
        rate, cv = (measured[name][key] for key in STATISTICS)
        of_it = rate / published if rate is not None else None
        rows.append([name, shown(rate), shown(published), shown(of_it, ".2f"), shown(cv)])
    print(table(["population", "Hz", "published", "of it", "CV"], rows))


def tenth(found: dict[str, list[Measured]]) -> None:
    """Print means and standard deviations over seeds at a tenth, NEST's beside biosim's."""
    rows = []
    for name in PUBLISHED_HZ:
        row = [name]
        for key in STATISTICS:
            for side in ("NEST", "float32"):
                values = [one[name][key] for one in found.get(side, ()) if one[name][key]]
                row.append(spread(values))
        rows.append(row)
    heads = [f"{unit}, {side}" for unit in STATISTICS.values() for side in ("NEST", "float32")]
    print("\nMicrocircuit, scale 0.1, mean and standard deviation over seeds")
    print(table(["population", *heads], rows))


def spread(values: list[float]) -> str:
    """Return mean and standard deviation, or a dash."""
    if len(values) < 2:
        return "-"
    return f"{statistics.mean(values):.3f} +- {statistics.stdev(values):.3f}"
