"""What a checkpoint costs: brunel_stdp, with 15.6 million synapses of which 10 million learn.

    python -m benchmarks.checkpoints [--ticks 2000] [--repeats 5]

Beside each checkpoint, as many bytes are written to the same disk in one file and synced. A disk
takes so few at once, into a cache of its own; its speed is that of a file of 1 GiB, synced. The
share of the run time is that at the default interval.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from biosim.checkpoints.directory import Checkpoint, newest
from biosim.checkpoints.simulation import restore, store
from biosim.simulation import Simulation
from scenarios.reading import read_tree, resolve_any
from scenarios.scenario import Checkpoints
from scenarios.spiking.network import Described


def written_bytes(path: Path) -> int:
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def plain_s(path: Path, size: int) -> float:
    """Write so many bytes in one file, synced; return how long it took."""
    block = os.urandom(1 << 20)
    began = time.perf_counter()
    with path.open("wb") as file:
        for _ in range(size >> 20):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    took = time.perf_counter() - began
    path.unlink()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to measure")
    asked = parser.parse_args()
    network = Described(resolve_any(read_tree("brunel_stdp"))).network
    simulation = Simulation(network)
    simulation.run_to(1)
    began = time.perf_counter()
    simulation.run_to(asked.ticks)
    assert simulation.machine is not None
    print(
        f"{simulation.machine.synapses:,} synapses; {asked.ticks} ticks in "
        f"{time.perf_counter() - began:.2f} s"
    )
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        took, floor, size = [], [], 0
        for n in range(asked.repeats):
            simulation.run_to(asked.ticks + n + 1)
            began = time.perf_counter()
            path = store(simulation, Path(folder), {})
            took.append(time.perf_counter() - began)
            size = written_bytes(path)
            floor.append(plain_s(Path(folder) / "plain", size))
        large = 1 << 30
        disk = large / plain_s(Path(folder) / "plain", large)
        seconds = statistics.median(took)
        interval_s = 60.0 * Checkpoints().minutes
        print(
            f"a checkpoint of {size / 1e6:.1f} MB takes {seconds:.3f} s "
            f"({min(took):.3f} to {max(took):.3f}), {size / seconds / 1e6:.0f} MB/s; a plain "
            f"file of that size {statistics.median(floor):.3f} s, of 1 GiB {disk / 1e6:.0f} MB/s: "
            f"{size / seconds / disk:.2f} of the disk's speed "
            f"({size / max(took) / disk:.2f} to {size / min(took) / disk:.2f})"
        )
        print(f"every {interval_s:g} s that is {100 * seconds / interval_s:.3f} % of the run time")
        other = Simulation(network)
        began = time.perf_counter()
        restore(other, Checkpoint(newest(Path(folder)) or Path(folder)))
        print(f"read back in {time.perf_counter() - began:.3f} s")


if __name__ == "__main__":
    main()
