"""How long a selection out of many spikes takes, and how much of the store it reads.

`python -m benchmarks.selections` makes a store of 100 million spikes in a temporary directory, by
the writer that runs use, and asks it for single neurons and for stretches of 10 ms. Every store
access is counted, that of metadata too: once by what zarr is given, and once by what the operating
system gave this process. A neuron and a stretch are never asked for twice; the files are in the
operating system's cache, as the first round of questions puts them there.
"""

from __future__ import annotations

import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from zarr.storage import LocalStore

from biosim.spiking.finalising import finalise
from biosim.spiking.recording import Recording, SpikeRecord
from biosim.spiking.spike_store import StoreSink
from biosim.store import RunStore
from biosim.traces import open_run, spike_times, spikes_between

DT_S = 1e-4
NEURONS = 100_000
RATE_HZ = 10.0
AT_ONCE = 10_000
"""Ticks that are drawn at a time."""
BAR_MS, BAR_SHARE = 50.0, 0.01


class Counted:
    """Counts what zarr is given of any local store."""

    def __init__(self) -> None:
        self.bytes = self.requests = 0
        ask = LocalStore.get

        async def get(store: LocalStore, *args: Any, **more: Any) -> Any:
            answer = await ask(store, *args, **more)
            self.requests += 1
            self.bytes += 0 if answer is None else len(answer)
            return answer

        LocalStore.get = get  # type: ignore[method-assign]


def read_by_system() -> int:
    """Bytes that this process has read so far; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return int(next(line for line in lines if line.startswith("rchar")).split()[1])


def make_store(directory: Path, spikes: int) -> Path:
    """Store spikes of Poisson neurons, about so many, as a run does."""
    path = directory / "run.zarr"
    RunStore(path, "w").describe({"kind": "spiking", "status": "complete"})
    sizes = {"E": NEURONS}
    recording = Recording((SpikeRecord("E"),), (), ())
    sink = StoreSink(path, recording, sizes, {"E": (0, NEURONS)}, DT_S)
    generator = np.random.default_rng(1)
    a_tick = NEURONS * RATE_HZ * DT_S
    for first in range(0, round(spikes / a_tick), AT_ONCE):
        ticks = np.repeat(np.arange(AT_ONCE), generator.poisson(a_tick, AT_ONCE))
        ordered = np.sort(ticks * NEURONS + generator.integers(NEURONS, size=len(ticks)))
        ordered = ordered[np.append(True, np.diff(ordered) > 0)]  # none fires twice in a tick
        ids = (ordered % NEURONS).astype(np.uint32)
        sink.spikes("E", first + ordered // NEURONS, ids)
        sink.commit(first + AT_ONCE)
    sink.flush()
    finalise(path)
    return path


def measured(
    name: str, ask: Callable[[int], int], repeats: int, counted: Counted, stored: int
) -> bool:
    """Ask, print what it took, and return whether it is within the bar."""
    ask(0)
    took, given, system, spikes = [], [], [], 0
    for k in range(1, repeats + 1):
        before, of_system = counted.bytes, read_by_system()
        began = time.perf_counter()
        spikes += ask(k)
        took.append(1e3 * (time.perf_counter() - began))
        given.append(counted.bytes - before)
        system.append(read_by_system() - of_system)
    most = max(*given, *system)
    good = float(np.median(took)) <= BAR_MS and most <= BAR_SHARE * stored
    share = f"{100 * most / stored:>9.3f} % {'yes' if good else 'NO'}"
    print(
        f"{name:24}{spikes // repeats:>10,}{np.median(took):>9.1f}{max(took):>9.1f}"
        f"{max(given):>12,}{max(system):>12,}{share}"
    )
    return good


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--spikes", type=int, default=100_000_000)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args(arguments)
    counted = Counted()
    with tempfile.TemporaryDirectory() as directory:
        began = time.perf_counter()
        path = make_store(Path(directory), options.spikes)
        files = [file for file in path.rglob("*") if file.is_file()]
        stored = sum(file.stat().st_size for file in files)
        print(f"made in {time.perf_counter() - began:.0f} s")
        began, before = time.perf_counter(), counted.bytes
        tree = open_run(path)
        opened_ms = 1e3 * (time.perf_counter() - began)
        spikes = tree["spikes/E"].sizes["spike"]
        seconds = tree["spikes/E"].attrs["committed_tick"] * DT_S
        print(
            f"{spikes:,} spikes of {NEURONS:,} neurons in {seconds:g} s, {stored:,} bytes in "
            f"{len(files)} files, {stored / spikes:.2f} bytes a spike for both orders"
        )
        print(f"opened in {opened_ms:.0f} ms, {counted.bytes - before:,} bytes")
        print(
            f"{'question':24}{'spikes':>10}{'ms':>9}{'most ms':>9}{'zarr bytes':>12}"
            f"{'read bytes':>12}{'of store':>11} {BAR_MS:g} ms, {100 * BAR_SHARE:g} %"
        )

        def neuron(k: int) -> int:
            return len(spike_times(tree, "E", (k * 48_271 + 7) % NEURONS))

        def window(k: int) -> int:
            # Beginnings that are no multiple of what the store is cut into.
            start_s = round((k * 0.61803 % 1) * (seconds - 0.01), 4)
            found = spikes_between(tree, "E", start_s, start_s + 0.01)
            return len(found.time.values) + 0 * len(found.neuron.values)

        def control(k: int) -> int:
            column = tree["spikes/E"].neuron[: spikes // 10 * (k + 1)]
            return len(column.values)

        measured("one neuron, all time", neuron, options.repeats, counted, stored)
        measured("all neurons, 10 ms", window, options.repeats, counted, stored)
        measured("control: much of it", control, 1, counted, stored)


if __name__ == "__main__":
    main()
