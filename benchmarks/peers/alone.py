"""What has a bar of its own, and no peer beside it: start, silence, the cost of an event."""

from __future__ import annotations

import statistics
import tempfile
from functools import partial

from benchmarks.peers import bars
from benchmarks.peers.bars import shown, table, verdict
from benchmarks.peers.measure import Measured, biosim_measure, biosim_script
from benchmarks.peers.sides import SHORT_S, Asked, each, interleaved, median

EVENT_SIZES = (1_000_000, 10_000_000, 100_000_000)
SILENT_NEURONS = 1_000_000
SILENT_S = 10.0
LONG_S = 160.0
STATES_S = 10.0
CLOCKED_S = 0.5
"""Of the clock-driven twin of the silent network, whose cost is the same in every tick."""


def start(asked: Asked) -> None:
    """Print how long it takes from equations to a running kernel.

    First: nothing was ever compiled. New equations: what is the same for every network was
    compiled before, which is what a user of other equations waits for. Cached: this network ran
    before.
    """

    def run(network: str, equations: str, kernels: str, seed: int) -> Measured:
        caches = {"BIOSIM_CACHE": equations, "NUMBA_CACHE_DIR": kernels}
        small = ("--small",)
        found = biosim_measure(network, SHORT_S, seed=seed, options=small, environment=caches)
        return {"start_s": found["build_s"] + found["first_tick_s"]}

    cold = bars.START_COLD_S
    kinds = {"first": cold, "new equations": cold, "cached": bars.START_CACHED_S}
    rows = []
    for name in asked.networks:
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(asked.repeats):
            with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
                sides = {
                    "first": partial(run, name, one, one),
                    "new equations": partial(run, name, other, one),
                    "cached": partial(run, name, other, one),
                }
                for kind, found in interleaved(sides, 1).items():
                    times[kind] += each(found, "start_s")
        row = [name]
        for kind, bar in kinds.items():
            seconds = statistics.median(times[kind]) if times[kind] else None
            row += [shown(seconds), verdict(seconds, bar, least=False)]
        rows.append(row)
    print("\nStart, from equations to the first tick, a tenth of the neurons, seconds")
    print(table(["network", "first", "bar", "new equations", "bar", "cached", "bar"], rows))


def silent(asked: Asked) -> None:
    """Print what silence costs, event-driven and clock-driven."""

    def run(integration: str, seconds: float, seed: int) -> Measured:
        size = ("--size", str(SILENT_NEURONS), "--seconds", str(seconds))
        how = ("--integration", integration)
        return biosim_script(
            "biosim_costs", "silent", *size, *how, threads=asked.threads, seed=seed
        )

    sides = {"event": partial(run, "event", SILENT_S), "clock": partial(run, "clock", CLOCKED_S)}
    found = interleaved(sides, asked.repeats)
    event, clock = (median(found, side, "simulate_s") for side in sides)
    clock = clock and clock * SILENT_S / CLOCKED_S
    share = event / clock if event and clock else None
    heads = ["event-driven", f"clock-driven, from {CLOCKED_S:g} s", "share", "bar"]
    kept = verdict(share, bars.SILENT_SHARE, least=False)
    print(f"\n{SILENT_NEURONS:,} silent neurons, {SILENT_S:g} s biological, seconds")
    print(table(heads, [[shown(event), shown(clock), shown(share), kept]]))


def events(asked: Asked) -> None:
    """Print the time of a synaptic event, from a million to a hundred million synapses."""

    def run(size: int, options: tuple[str, ...], seed: int) -> Measured:
        how = ("events", "--size", str(size), *options)
        return biosim_script("biosim_costs", *how, threads=asked.threads, seed=seed)

    rows, costs = [], []
    for size in EVENT_SIZES:
        full, empty = "with synapses", "without synapses"
        sides = {full: partial(run, size, ()), empty: partial(run, size, ("--without-synapses",))}
        found = interleaved(sides, asked.repeats)
        cost = None
        if len(found) == len(sides):
            taken = [
                a - b
                for a, b in zip(
                    each(found[full], "simulate_s"), each(found[empty], "simulate_s"), strict=True
                )
            ]
            number = each(found[full], "events")
            cost = statistics.median(t / n for t, n in zip(taken, number, strict=True))
            costs.append(cost)
        million = median(found, full, "events")
        rows.append([f"{size:,}", shown(million and million / 1e6), shown(cost and cost * 1e9)])
    spread = max(costs) / min(costs) if len(costs) == len(EVENT_SIZES) else None
    kept = verdict(spread, bars.EVENT_SPREAD, least=False)
    print("\nA synaptic event, static delta synapses, 1,000 a neuron")
    print(table(["synapses", "million events", "ns an event"], rows))
    print(f"dearest / cheapest: {shown(spread)}, bar {kept}")


def recording(asked: Asked) -> None:
    """Print what it costs to store every spike of Brunel's network."""

    def run(options: tuple[str, ...], seed: int) -> Measured:
        return biosim_script("biosim_recording", *options, threads=asked.threads, seed=seed)

    stored, silent = "stored", "not stored"
    found = interleaved({stored: partial(run, ("--store",)), silent: partial(run, ())}, 3)
    times = size = None
    if len(found) == 2:
        times = bars.paired(each(found[stored], "simulate_s"), each(found[silent], "simulate_s"))
        size = statistics.median(one["stored_bytes"] / one["spikes"] for one in found[stored])
    spikes = median(found, stored, "spikes")
    row = [
        *(shown(median(found, side, "simulate_s")) for side in (stored, silent)),
        shown(times),
        verdict(times, bars.RECORDING_TIMES, least=False),
        shown(spikes and spikes / 1e6),
        shown(size),
        verdict(size, bars.STORED_BYTES, least=False),
    ]
    heads = [stored, silent, "ratio", "bar", "million spikes", "bytes a spike", "bar"]
    print("\nEvery spike of Brunel's network in Zarr, until the store is final, seconds")
    print(table(heads, [row]))


def streaming(asked: Asked) -> None:
    """Print what a run holds while it stores much, and how fast it does."""

    def run(what: str, seconds: float, seed: int) -> Measured:
        how = ("--seconds", str(seconds))
        return biosim_script("biosim_streaming", what, *how, threads=asked.threads, seed=seed)

    short, long = "short", "20 times longer"
    sides = {short: partial(run, "spikes", LONG_S / 20), long: partial(run, "spikes", LONG_S)}
    found = interleaved(sides, 1)
    rows = []
    for phase in ("running", "ending"):
        ours = [median(found, side, f"{phase}_bytes") for side in (short, long)]
        times = ours[1] / ours[0] if ours[0] and ours[1] else None
        kept = verdict(times, bars.LONGER_BYTES, least=False)
        rows.append([phase, *(shown(one and one / 2**20) for one in ours), shown(times), kept])
    print(f"\nMemory while {LONG_S / 20:g} and {LONG_S:g} million spikes are stored, MiB")
    print(table(["phase", short, long, "ratio", "bar"], rows))
    found = interleaved({"states": partial(run, "states", STATES_S)}, 1)
    if "states" not in found:
        return
    one = found["states"][0]
    gigabytes = one["raw_bytes"] / 1e9
    speed, disk = gigabytes / one["streamed_s"], one["disk_bytes_per_s"] / 1e9
    cells = {
        "GB": gigabytes,
        "computed s": one["computed_s"],
        "of it waiting": one["waited_s"],
        "on disk s": one["streamed_s"],
        "GB/s": speed,
        "disk GB/s": disk,
        "share": speed / disk,
        "final s": one["finished_s"],
        "running MiB": one["running_bytes"] / 2**20,
        "ending MiB": one["ending_bytes"] / 2**20,
        "GB in the end": one["stored_bytes"] / 1e9,
    }
    print(f"\nA variable of 10,000 neurons at every tick of 0.1 ms, {STATES_S:g} s")
    print(table(list(cells), [[shown(cell) for cell in cells.values()]]))
