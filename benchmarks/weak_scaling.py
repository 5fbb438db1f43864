"""Weak scaling: one rank's share of a network that grows with the number of ranks.

`python -m benchmarks.weak_scaling` builds and advances the share of rank 0 for 1 to 1,024 ranks,
each in a process of its own, prints tables and writes them into docs/weak_scaling.md. Neurons are
Brunel's (2000), as many on every rank, with as many synapses from anywhere in the network each: the
more ranks there are, the fewer synapses a rank has of one source. What other ranks send is drawn
(`benchmarks.dry_ranks`). Seconds are of the processor, so that other work does not count.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from benchmarks.dry_ranks import DryRanks
from biosim.network import Network, Population, Projection
from biosim.simulation import Simulation
from biosim.spiking.description import PoissonInput, Sparse, Spiking
from biosim.wiring import FixedInDegree
from hpc.calibration import exchange_speed

RANKS = (1, 4, 16, 64, 256, 1024)
PAGE = Path(__file__).parents[1] / "docs" / "weak_scaling.md"


@dataclass(frozen=True)
class Size:
    """Of a rank: neurons, in whole blocks so that every rank has as many, and synapses of each."""

    excitatory: int
    inhibitory: int
    in_degree: int

    @property
    def neurons(self) -> int:
        return self.excitatory + self.inhibitory


SIZES = {"wide": Size(7680, 2560, 1000), "dense": Size(768, 256, 10_000)}
"""Both of 10 million synapses a rank."""

DELAY = 15
"""Ticks of 0.1 ms: of every synapse, and of a window."""

RATE_HZ = 9.0
"""At which neurons fire, by the input they get from outside."""

WARM, PIECE, PIECES = 20 * DELAY, 60 * DELAY, 3

LAW = 1.3


def network(ranks: int, size: Size) -> Network:
    """Return the network of so many ranks."""
    model = Spiking(
        "dv/dt = -v / (20*ms) : volt (unless refractory)",
        threshold="v > 20*mV",
        reset="v = 10*mV",
        refractory="2*ms",
        method="exact",
        initial={"v": "10*mV + rand()*10*mV"},
    )
    sizes = {"E": size.excitatory * ranks, "I": size.inhibitory * ranks}
    few = size.in_degree // 4
    # In balance, and so weak that the input from outside sets the rate.
    weight = 20 / size.in_degree
    weights = {"E": (f"{weight}*mV", 3 * few), "I": (f"{-3 * weight}*mV", few)}
    return Network(
        tuple(Population(name, size, model) for name, size in sizes.items()),
        tuple(
            Projection.of_spikes(source, target, "v", Sparse(FixedInDegree(n), weight), delay=DELAY)
            for source, (weight, n) in weights.items()
            for target in sizes
        ),
        dt=1e-4,
        stimuli=tuple(
            PoissonInput(f"external {name}", name, "v", "9.6*Hz", "0.1*mV", n=1000)
            for name in sizes
        ),
    )


def timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """Return a function that adds the seconds of every call to `seconds[0]`."""

    def call(*arguments: Any) -> Any:
        began = time.thread_time()
        try:
            return function(*arguments)
        finally:
            seconds[0] += time.thread_time() - began

    return call


def one(ranks: int, size: Size) -> dict[str, float]:
    """Build and advance the share of rank 0; return what was measured."""
    until = WARM + PIECE * PIECES
    others = DryRanks(ranks, size.neurons, RATE_HZ * 1e-4, DELAY, until)
    began = time.thread_time()
    simulation = Simulation(
        network(ranks, size), ranks=others if ranks > 1 else None, overlap=False
    )
    build_s = time.thread_time() - began
    machine = simulation.machine
    assert machine is not None
    advance, unpack, pack = [0.0], [0.0], [0.0]
    machine.advance = timed(machine.advance, advance)  # type: ignore[method-assign]
    if machine.packets is not None:
        machine.packets.put = timed(machine.packets.put, unpack)  # type: ignore[method-assign]
        machine.packets.sent = timed(machine.packets.sent, pack)  # type: ignore[method-assign]
    pieces = []
    for piece in range(PIECES + 1):
        for clock in (advance, unpack, pack):
            clock[0] = 0.0
        before_s, events = others.travel_s, machine.synaptic_events
        sent = others.sent_packets, others.sent_bytes
        began = time.thread_time()
        simulation.run_to(WARM + piece * PIECE)
        whole = time.thread_time() - began - (others.travel_s - before_s)
        row = {
            "compute_s": advance[0] - unpack[0] - pack[0],
            "packets_s": unpack[0] + pack[0] + whole - advance[0],
            "events": machine.synaptic_events - events,
            "messages": others.sent_packets - sent[0],
            "sent_bytes": others.sent_bytes - sent[1],
        }
        pieces.append({name: each * 1e4 / PIECE for name, each in row.items()})
    found = min(pieces[1:], key=lambda row: row["compute_s"])
    windows = 1e4 / DELAY
    messages, sent_bytes = found["messages"] / windows, found["sent_bytes"] / windows
    sources = size.neurons * ranks
    return found | {
        "ranks": ranks,
        "build_s": build_s,
        "wanted": sources * -math.expm1(-size.in_degree / ranks),
        "rate_hz": found["events"] / size.neurons / size.in_degree,
        "resident_mib": kibibytes("VmRSS") / 1024,
        "peak_mib": kibibytes("VmHWM") / 1024,
        "exchange_s": windows * exchange_speed().seconds(ranks, messages, sent_bytes),
    }


def kibibytes(of: str) -> int:
    """Return a figure of /proc/self/status."""
    with open("/proc/self/status", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith(of)).split()[1])


HEAD = (
    "ranks", "sources with synapses here", "synapses of each", "rate, Hz", "build, s",
    "memory, MiB", "and while building", "compute, s", "against 1 rank", "packets, s",
    "exchange, s",
)  # fmt: skip


def table(size: Size, rows: Sequence[Mapping[str, float]]) -> str:
    """Return the rows as a table of Markdown."""
    lines = [HEAD, tuple("---:" for _ in HEAD)]
    for row in rows:
        lines.append(
            (
                f"{row['ranks']:,.0f}",
                f"{row['wanted']:,.0f}",
                f"{size.neurons * size.in_degree / row['wanted']:,.1f}",
                f"{row['rate_hz']:.1f}",
                f"{row['build_s']:.1f}",
                f"{row['resident_mib']:.0f}",
                f"{row['peak_mib']:.0f}",
                f"{row['compute_s']:.3f}",
                f"{row['compute_s'] / rows[0]['compute_s']:.2f}",
                f"{row['packets_s']:.3f}",
                f"{row['exchange_s']:.2f}",
            )
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def verdict(rows: Sequence[Mapping[str, float]]) -> str:
    """Return what the rows say of the law, and where the exchange takes longer."""
    first = rows[0]

    def flat(of: str) -> str:
        within = [*takewhile(lambda row: row[of] <= LAW * first[of], rows)][-1]["ranks"]
        worst = max(r[of] for r in rows) / first[of]
        said = "1 rank only" if within == 1 else f"{within:,.0f} ranks"
        return f"flat within {LAW} up to {said} (at most {worst:.2f} times)"

    more = [row["ranks"] for row in rows if row["exchange_s"] + row["packets_s"] > row["compute_s"]]
    larger = f"from {min(more):,.0f} ranks on" if more else "on none of these numbers of ranks"
    return (
        f"Memory is {flat('resident_mib')}, computing is {flat('compute_s')}. Packets and exchange "
        f"together take longer than computing {larger}."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the page."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--one", type=int, help="this number of ranks, as JSON; needs --size")
    parser.add_argument("--size", choices=sorted(SIZES), help="one of the networks")
    parser.add_argument("--ranks", nargs="+", type=int, default=list(RANKS), help="from 1 up")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args(arguments)
    ranks = [options.one] if options.one is not None else options.ranks
    if min(ranks) < 1 or (options.one is None and ranks[0] != 1) or ranks != sorted(set(ranks)):
        parser.error(f"got ranks {ranks}; expected numbers from 1 up, in order: 1 is compared with")
    if options.one is not None:
        if options.size is None:
            parser.error(f"--one {options.one} needs --size: {', '.join(sorted(SIZES))}")
        print(json.dumps(one(options.one, SIZES[options.size])))
        return
    parts = []
    for name in [options.size] if options.size else SIZES:
        size, rows = SIZES[name], []
        for ranks in options.ranks:
            command = [sys.executable, "-m", "benchmarks.weak_scaling"]
            command += ["--one", str(ranks), "--size", name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout))
            print({key: round(each, 3) for key, each in rows[-1].items()}, flush=True)
        title = f"## {size.neurons:,} neurons a rank, {size.in_degree:,} synapses a neuron"
        parts += [title, table(size, rows), verdict(rows)]
    text = "\n\n".join([HEADING, *parts, TAIL])
    print(text)
    options.page.parent.mkdir(exist_ok=True)
    options.page.write_text(text + "\n", encoding="utf-8")


HEADING = """# Weak scaling

Written by `python -m benchmarks.weak_scaling`. Rank 0 of so many ranks is built and advanced on one
core; spikes of the other ranks are drawn, packed as real ones are, and handed to it. Seconds are
processor time for a second of biological time. A window is as long as the
delay, 1.5 ms; one rank alone needs none.

Sources are drawn evenly from the whole network, which is the hardest case: everyone talks to
everyone, and on many ranks a spike that arrives finds one or two synapses.

- *Packets*: packing and unpacking spikes, and what the engine does between windows.
- *Exchange*: expected of MPI, by the time that a message and a byte take here to pack and to
  unpack, and a network of 2 us and 10 GB/s, which is assumed."""

TAIL = """## What grows, and what does not

- A rank numbers only its own neurons and those of which it has synapses
  (`biosim/spiking/numbers.py`), so that no table, ring or counter has a place for every neuron of
  the network. Only while it is built there is for a moment a table of 8 bytes for each of them.
- Where every source has one delay and one weight, what says where its synapses begin takes 8 bytes.
- Computing grows where a spike finds few synapses: what belongs to it lies at three places in
  memory, none of them in the cache, whether it brings one synapse or a hundred. They are fetched
  ahead, which is enough from about a hundred synapses of each source on; see the third column.
- Packets and exchange grow with the number of ranks that talk: a message each, in every window.
  More neurons a rank, longer delays, or wiring that is denser nearby keep them small."""


if __name__ == "__main__":
    main()
