"""Spiking networks in biosim beside NEST, Brian2 and BindsNET: speed, memory, building, start.

`python -m benchmarks.spiking` runs everything, `--only speed` a part. All sides of a row run in
turn, each in a process of its own, with the same seeds; what counts is the median of the ratios
of neighbours. What is timed is the simulation, without start, building and compilation. The
networks are those of peers/NETWORKS.md. Ratios are for biosim's float32 (float64 is printed
beside), the peers in their own precision.
"""

from __future__ import annotations

import platform
from argparse import ArgumentParser
from collections.abc import Callable, Sequence

from benchmarks.peers import alone, beside, microcircuit
from benchmarks.peers.environments import PEERS, Missing, python_of, version_of
from benchmarks.peers.networks import NETWORKS
from benchmarks.peers.sides import Asked

PARTS: dict[str, Callable[[Asked], None]] = {
    "speed": beside.speed,
    "memory": beside.memory,
    "diehl_cook": beside.diehl_cook,
    "start": alone.start,
    "silent": alone.silent,
    "events": alone.events,
    "recording": alone.recording,
    "streaming": alone.streaming,
    "microcircuit": microcircuit.microcircuit,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(PARTS), default=list(PARTS))
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    print(f"Python {platform.python_version()}, {platform.machine()}")
    for peer in PEERS:
        try:
            python_of(peer)
            print(f"{peer.package} {version_of(peer)}")
        except Missing as reason:
            print(f"{peer.package} is left out: {reason}")
    print("NEST and Brian2: their own precision; float32 and float64: biosim")
    asked = Asked(tuple(options.networks), options.repeats, options.threads)
    for part in PARTS:
        if part in options.only:
            PARTS[part](asked)


if __name__ == "__main__":
    main()
