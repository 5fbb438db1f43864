"""The cortical microcircuit in NEST, from the numbers of biosim's scenario.

Runs in NEST's own environment, in the repository's root. Neurons, wiring, weights and delays are
those of NEST's implementation of Potjans and Diesmann 2014.
"""

from __future__ import annotations

import math
import re
import time
import tomllib
from pathlib import Path
from typing import Any

import nest

from benchmarks.peers import activity
from benchmarks.peers.networks import DT_MS

SCENARIO = Path(__file__).resolve().parents[2] / "scenarios" / "microcircuit.toml"


def first_number(text: str) -> float:
    """Return the first number of a text such as "20683 * scale"."""
    found = re.search(r"-?\d+(\.\d+)?", text)
    assert found, text
    return float(found.group())


def populations(tree: dict[str, Any], scale: float) -> dict[str, Any]:
    made = {}
    for name, table in tree["populations"].items():
        start = re.fullmatch(r"\((-?[\d.]+) \+ ([\d.]+)\*randn\(\)\)\*mV", table["initial"]["v"])
        lost = re.fullmatch(r"\(1 - sqrt\(scale\)\) \* ([\d.]+)\*pA", table["constants"]["dc"])
        assert start, name
        assert lost, name
        made[name] = nest.Create(
            "iaf_psc_exp",
            round(first_number(table["size"]) * scale),
            params={
                "C_m": 250.0,
                "tau_m": 10.0,
                "tau_syn_ex": 0.5,
                "tau_syn_in": 0.5,
                "E_L": -65.0,
                "V_th": -50.0,
                "V_reset": -65.0,
                "t_ref": 2.0,
                "I_e": (1 - math.sqrt(scale)) * float(lost.group(1)),
                "V_m": nest.random.normal(float(start.group(1)), float(start.group(2))),
            },
        )
    return made


def connect(source: Any, target: Any, p: float, weight_pa: float, delay_ms: float) -> None:
    """Join two populations: as many synapses as join each pair with chance p."""
    if p == 0.0:
        return
    number = round(math.log1p(-p) / math.log1p(-1.0 / (len(source) * len(target))))
    least, most = (0.0, math.inf) if weight_pa > 0 else (-math.inf, 0.0)
    weight = nest.random.normal(weight_pa, 0.1 * abs(weight_pa))
    delay = nest.random.normal(delay_ms, delay_ms / 2)
    nest.Connect(
        source,
        target,
        {"rule": "fixed_total_number", "N": number},
        {
            "weight": nest.math.redraw(weight, least, most),
            # What is below half a step would be no step.
            "delay": nest.math.redraw(delay, DT_MS / 2, math.inf),
        },
    )


def build(tree: dict[str, Any], scale: float) -> dict[str, Any]:
    made = populations(tree, scale)
    j = first_number(tree["constants"]["J"]) / math.sqrt(scale)
    g = tree["constants"]["g"]
    for name, strength in (("excitatory", j), ("inhibitory", g * j), ("L4E-L23E", 2 * j)):
        table = tree["projections"][name]
        sources, targets = table["source"], table["target"]
        chances = table["wiring"]["p"]
        if isinstance(chances, float):
            sources, targets, chances = [sources], [targets], [[chances]]
        delay = first_number(table["delay"]["normal"][0])
        for target, row in zip(targets, chances, strict=True):
            for source, p in zip(sources, row, strict=True):
                connect(made[source], made[target], p, strength, delay)
    background = tree["inputs"]["background"]
    for name, trains in zip(background["target"], background["n"], strict=True):
        rate = first_number(background["rate"]) * first_number(trains) * scale
        source = nest.Create("poisson_generator", params={"rate": rate})
        nest.Connect(source, made[name], syn_spec={"weight": j, "delay": DT_MS})
    return made


def main() -> None:
    asked = activity.of_microcircuit(str(__doc__)).parse_args()
    tree = tomllib.loads(SCENARIO.read_text(encoding="utf-8"))
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.ResetKernel()
    nest.set(resolution=DT_MS, local_num_threads=asked.threads, rng_seed=asked.seed)
    began = time.perf_counter()
    made = build(tree, asked.scale)
    recorders = {name: nest.Create("spike_recorder") for name in made}
    for name, neurons in made.items():
        nest.Connect(neurons, recorders[name])
    nest.Prepare()
    built = time.perf_counter()
    nest.Run(asked.seconds * 1000)
    simulated = time.perf_counter()
    nest.Cleanup()
    measured: dict[str, object] = {
        "build_s": built - began,
        "simulate_s": simulated - built,
        **activity.memory(),
    }
    for name, neurons in made.items():
        events = recorders[name].events
        senders = events["senders"] - neurons[0].global_id
        measured[name] = activity.of_spikes(
            events["times"] / 1000, senders, len(neurons), asked.seconds
        )
    activity.say(asked, measured)


if __name__ == "__main__":
    main()
