"""The cortical microcircuit in biosim: `python -m benchmarks.peers.biosim_microcircuit --json`."""

from __future__ import annotations

import time

from benchmarks.peers import activity
from benchmarks.peers.activity import steps
from benchmarks.peers.networks import DT_MS
from biosim.simulation import Simulation
from biosim.spiking.recording import MemorySink, Recording, SpikeRecord
from scenarios.reading import read_tree, resolve_any
from scenarios.spiking.network import Described
from scenarios.spiking.schema import SpikingScenario


def main() -> None:
    asked = activity.of_microcircuit(str(__doc__)).parse_args()
    scenario = resolve_any(read_tree("microcircuit"), [f"scale={asked.scale}"])
    assert isinstance(scenario, SpikingScenario)
    network = Described(scenario).network
    ticks = steps(asked.seconds * 1000, DT_MS)
    recording = Recording(spikes=tuple(SpikeRecord(p.name) for p in network.populations))
    sink = MemorySink()
    began = time.perf_counter()
    simulation = Simulation(
        network, seed=asked.seed, threads=asked.threads, recording=recording, sink=sink
    )
    simulation.run_to(1)
    built = time.perf_counter()
    simulation.run_to(ticks)
    simulated = time.perf_counter()
    measured: dict[str, object] = {
        "build_s": built - began,
        "simulate_s": simulated - built,
        **activity.memory(),
    }
    for population in network.populations:
        spikes = sink.spikes[population.name]
        measured[population.name] = activity.of_spikes(
            spikes.ticks * (DT_MS / 1000),
            spikes.neurons.astype("int64"),
            population.size,
            asked.seconds,
        )
    activity.say(asked, measured)


if __name__ == "__main__":
    main()
