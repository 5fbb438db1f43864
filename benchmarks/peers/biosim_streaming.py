"""What a run holds in memory while it stores much, and how fast that goes.

`spikes`: a thousand sources at 1,000 Hz. `states`: a variable of 10,000 neurons with noise at
every tick, beside the speed at which the same disk takes as many bytes in one file.
"""

from __future__ import annotations

import os
import resource
import tempfile
import threading
import time
from argparse import ArgumentParser
from pathlib import Path

import numpy as np

from benchmarks.peers import activity
from biosim.network import Network, Population
from biosim.simulation import WINDOW, Simulation
from biosim.spiking import PoissonSource, Recording, SpikeRecord, Spiking, StateRecord
from biosim.spiking.finalising import finalise
from biosim.spiking.spike_store import StoreSink
from biosim.spiking.write_behind import WriteBehind
from biosim.store import STORE, RunStore

SOURCES = 1_000
NEURONS = 10_000
DT_S = 1e-4
NOISY = Spiking("dv/dt = -v/(20*ms) + xi*(20*ms)**-0.5 : 1", method="euler")


class Resident:
    """The most memory that this process has while it is looked at."""

    def __init__(self) -> None:
        self.most = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Resident:
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        page = resource.getpagesize()
        while not self._over.wait(0.02):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.most = max(self.most, pages * page)


def described(what: str) -> tuple[Network, Recording]:
    """Return the network and what is recorded of it."""
    if what == "spikes":
        sources = Population("many", SOURCES, PoissonSource("1000*Hz"))
        return Network((sources,), (), dt=DT_S), Recording((SpikeRecord("many"),))
    noisy = Population("many", NEURONS, NOISY)
    return Network((noisy,), (), dt=DT_S), Recording(states=(StateRecord("many", ("v",)),))


def measure(what: str, seconds: float, threads: int, seed: int, store: Path) -> dict[str, object]:
    """Run and store, and return seconds and bytes."""
    network, recording = described(what)
    size = network.populations[0].size
    ticks = activity.steps(seconds * 1000, DT_S * 1000)
    RunStore(store, "w")
    sink = WriteBehind(StoreSink(store, recording, {"many": size}, {"many": (0, size)}, DT_S))
    simulation = Simulation(network, seed=seed, threads=threads, recording=recording, sink=sink)
    simulation.run_to(1)
    os.sync()
    began = time.perf_counter()
    with Resident() as running:
        for tick in range(WINDOW, ticks + WINDOW, WINDOW):
            simulation.run_to(min(tick, ticks))
        computed_s = time.perf_counter() - began
        sink.close()
    os.sync()
    streamed_s = time.perf_counter() - began
    logged = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    with Resident() as ending:
        finalise(store)
    os.sync()
    return {
        "computed_s": computed_s,
        "waited_s": sink.waited_s,
        "streamed_s": streamed_s,
        "finished_s": time.perf_counter() - began,
        "running_bytes": running.most,
        "ending_bytes": ending.most,
        "backlog_bytes": sink.most_bytes,
        "logged_bytes": logged,
        "stored_bytes": sum(path.stat().st_size for path in store.rglob("*") if path.is_file()),
    }


def disk_bytes_per_s(folder: Path, total: int) -> float:
    """Return how fast the disk takes one file, until it is on the disk."""
    part = np.random.default_rng(0).bytes(16 << 20)
    os.sync()
    began = time.perf_counter()
    with (folder / "plain").open("wb") as file:
        for _ in range(-(-total // len(part))):
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    took = time.perf_counter() - began
    (folder / "plain").unlink()
    return total / took


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("spikes", "states"))
    parser.add_argument("--seconds", type=float, default=10.0, help="biological")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one line of JSON, and nothing else")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / STORE
        measured = measure(asked.what, asked.seconds, asked.threads, asked.seed, store)
        if asked.what == "states":
            raw = round(asked.seconds / DT_S) * NEURONS * 4
            measured["raw_bytes"] = raw
            measured["disk_bytes_per_s"] = disk_bytes_per_s(Path(folder), raw)
    activity.say(asked, measured)


if __name__ == "__main__":
    main()
