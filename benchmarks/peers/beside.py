"""biosim beside its peers: speed, memory, connecting, and Diehl & Cook's step."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from benchmarks.peers import bars
from benchmarks.peers.bars import paired, shown, table, verdict
from benchmarks.peers.measure import Measured, bindsnet_measure, biosim_script
from benchmarks.peers.networks import NETWORKS, Brunel
from benchmarks.peers.sides import SHORT_S, SIDES, Asked, each, interleaved, median, simulators

Found = Mapping[str, list[Measured]]


def ratio_of(found: Found, slow: str, fast: str, key: str) -> float | None:
    """Return the median ratio of two sides, or None where one of them is missing."""
    if slow not in found or fast not in found:
        return None
    return paired(each(found[slow], key), each(found[fast], key))


def speed(asked: Asked) -> None:
    """Print seconds, ratios and rates of the networks."""
    rows, rates = [], []
    ratios: dict[str, list[float]] = {peer: [] for peer in bars.SPEED}
    for name in asked.networks:
        found = interleaved(simulators(name, asked), asked.repeats)
        rates.append([name, *(shown(median(found, side, "rate_hz"), ".2f") for side in SIDES)])
        row = [name, *(shown(median(found, side, "simulate_s")) for side in SIDES)]
        for peer, bar in bars.SPEED.items():
            ratio = ratio_of(found, peer, "float32", "simulate_s")
            ratios[peer] += [] if ratio is None else [ratio]
            row += [shown(ratio), verdict(ratio, bar.each, least=True)]
        rows.append(row)
    row = ["geometric mean", *("" for _ in SIDES)]
    for peer, bar in bars.SPEED.items():
        whole = len(ratios[peer]) == len(asked.networks)
        mean = bars.geometric_mean(ratios[peer]) if whole else None
        row += [shown(mean), verdict(mean, bar.mean, least=True)]
    heads = [head for peer in bars.SPEED for head in (f"{peer}/float32", "bar")]
    print(f"\nSpeed, threads: {asked.threads}, median of {asked.repeats}, seconds")
    print(table(["network", *SIDES, *heads], [*rows, row]))
    print("\nRates, Hz: mean over neurons and the whole run, median over seeds")
    print(table(["network", *SIDES], rates))


def memory(asked: Asked) -> None:
    """Print bytes a synapse, and how long connecting takes."""
    static, plastic = NETWORKS["brunel"], NETWORKS["brunel_stdp"]
    assert isinstance(static, Brunel)
    assert isinstance(plastic, Brunel)
    number = static.in_degree * static.neurons
    learning = float(plastic.excitatory * plastic.from_excitatory)
    found = with_and_without(static.name, asked)
    found_plastic = with_and_without(plastic.name, asked)
    rows = []
    for key, moment in (("rss_bytes", "at the end"), ("peak_rss_bytes", "at the peak")):
        one = {side: grown(found, side, key) for side in SIDES}
        all_plastic = {side: grown(found_plastic, side, key) for side in SIDES}
        each_static = {side: g and g / number for side, g in one.items()}
        each_plastic = {
            side: g and e and bars.bytes_a_plastic_synapse(g, number - learning, learning, e)
            for (side, g), e in zip(all_plastic.items(), each_static.values(), strict=True)
        }
        for kind, values, bar in (
            ("static", each_static, bars.STATIC_BYTES),
            ("pair STDP", each_plastic, bars.PLASTIC_BYTES),
        ):
            verdicts = verdict(values["float32"], bar, least=False)
            rows.append([f"{kind}, {moment}", *(shown(values[s]) for s in SIDES), verdicts])
    print("\nBytes a synapse: growth of the process over the same network without synapses")
    print(table(["synapse", *SIDES, "bar"], rows))
    connecting = {
        side: [
            full["build_s"] - empty["build_s"]
            for full, empty in zip(found[side], found[without(side)], strict=True)
        ]
        for side in SIDES
        if side in found and without(side) in found
    }
    ratio = None
    if {"float32", "Brian2"} <= set(connecting):
        ratio = paired(connecting["float32"], connecting["Brian2"])
    seconds = [shown(statistics.median(connecting[s])) if s in connecting else "-" for s in SIDES]
    print(f"\nConnecting {number / 1e6:.1f} million synapses, compilation excluded, seconds")
    row = [static.name, *seconds, shown(ratio), verdict(ratio, bars.CONNECT_TIMES, least=False)]
    print(table(["network", *SIDES, "float32/Brian2", "bar"], [row]))


def without(side: str) -> str:
    return f"{side} without synapses"


def with_and_without(network: str, asked: Asked) -> Found:
    """Return short runs of every side, each followed by its twin without synapses."""
    seconds = ("--seconds", str(SHORT_S))
    full = simulators(network, asked, *seconds)
    empty = simulators(network, asked, *seconds, "--without-synapses")
    sides = {}
    for side in SIDES:
        sides[side], sides[without(side)] = full[side], empty[side]
    # The median of three leaves out the first run, in which biosim compiles.
    return interleaved(sides, max(asked.repeats, 3))


def grown(found: Found, side: str, key: str) -> float | None:
    """Return by how many bytes a side is larger with synapses."""
    full, empty = median(found, side, key), median(found, without(side), key)
    return None if full is None or empty is None else full - empty


def diehl_cook(asked: Asked) -> None:
    """Print the time of a step of Diehl & Cook's network."""

    def own(seed: int) -> Measured:
        return biosim_script("biosim_diehl_cook", threads=asked.threads, seed=seed)

    def peer(seed: int) -> Measured:
        return bindsnet_measure(threads=asked.threads, seed=seed)

    found = interleaved({"BindsNET": peer, "float32": own}, asked.repeats)
    ratio = ratio_of(found, "BindsNET", "float32", "step_s")
    micro = [median(found, side, "step_s") for side in ("BindsNET", "float32")]
    row = [
        *(shown(value and value * 1e6) for value in micro),
        shown(ratio),
        verdict(ratio, bars.DIEHL_COOK_TIMES, least=True),
    ]
    print("\nDiehl & Cook, 400 excitatory neurons, learning, microseconds a step")
    print(table(["BindsNET", "float32", "BindsNET/float32", "bar"], [row]))
