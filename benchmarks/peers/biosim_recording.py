"""What recording costs: Brunel's network with every spike stored in Zarr, and with none.

The time of storing counts until the run's store is as a finished run leaves it.
"""

from __future__ import annotations

import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

import zarr

from benchmarks.peers import activity
from benchmarks.peers.biosim_networks import build
from benchmarks.peers.networks import DT_MS, NETWORKS
from biosim.network import Network
from biosim.simulation import Simulation
from biosim.spiking.finalising import finalise
from biosim.spiking.recording import NullSink, Recording, SpikeRecord
from biosim.spiking.spike_store import StoreSink
from biosim.spiking.write_behind import WriteBehind
from biosim.store import STORE, RunStore


def stored_bytes(store: Path) -> int:
    """Return the size of all files that hold spikes."""
    return sum(path.stat().st_size for path in (store / "spikes").rglob("*") if path.is_file())


def simulate(network: Network, ticks: int, seed: int, threads: int, store: Path | None) -> float:
    """Return the seconds of all ticks but the first."""
    sizes = {population.name: population.size for population in network.populations}
    recording = Recording(spikes=tuple(SpikeRecord(name) for name in sizes if store is not None))
    sink: NullSink | WriteBehind = NullSink()
    if store is not None:
        RunStore(store, "w")
        owned = {name: (0, size) for name, size in sizes.items()}
        sink = WriteBehind(StoreSink(store, recording, sizes, owned, network.dt))
    simulation = Simulation(network, seed=seed, threads=threads, recording=recording, sink=sink)
    simulation.run_to(1)
    began = time.perf_counter()
    simulation.run_to(ticks)
    if isinstance(sink, WriteBehind):
        sink.close()
        finalise(store or "")
    return time.perf_counter() - began


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=14.0, help="biological")
    parser.add_argument("--store", action="store_true", help="store every spike")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one line of JSON, and nothing else")
    asked = parser.parse_args()
    network = build(NETWORKS["brunel"], synapses=True, as_nest=False)
    ticks = activity.steps(asked.seconds * 1000, DT_MS)
    measured: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / STORE if asked.store else None
        measured["simulate_s"] = simulate(network, ticks, asked.seed, asked.threads, store)
        if store is not None:
            measured["stored_bytes"] = stored_bytes(store)
            measured["spikes"] = spikes_in(store)
    activity.say(asked, measured)


def spikes_in(store: Path) -> int:
    """Return how many spikes a finished store holds."""
    spikes = zarr.open_group(str(store / "spikes"), mode="r")
    return sum(spikes[f"{name}/by_time/id"].shape[0] for name in spikes.group_keys())


if __name__ == "__main__":
    main()
