"""How much memory a spiking network needs, said before it is built; and how much there is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from biosim.errors import ScenarioError
from biosim.kernels.plastic import HISTORY
from biosim.spiking.building import Wires
from biosim.spiking.description import Sparse
from biosim.spiking.layout import Layout
from biosim.wiring.values import Constant

PROGRAM_BYTES = 500 << 20
"""The interpreter and its libraries."""

RUN_BYTES = 18
"""Of what one source sends at one delay: its delay, where its synapses begin, when it is due."""

RARE_BYTES = 1024
"""For each neuron: start values, flags, windows of spikes, what is recorded."""

CONTAINER = Path("/sys/fs/cgroup")
"""Where Linux tells what a container may take."""

SPARE = 1.2
"""What is asked for beyond the arrays, for what only building needs."""


@dataclass(frozen=True)
class Estimate:
    """What a network is expected to need.

    Args:
        neurons: of all populations.
        synapses: expected number.
        synapse_bytes: of what is kept for each synapse.
        total_bytes: of the process.
    """

    neurons: int
    synapses: float
    synapse_bytes: float
    total_bytes: float


def estimate(layout: Layout, wires: Wires, shards: int, precision: str) -> Estimate:
    """Return what a network is expected to need, all ranks of this process together.

    Args:
        layout: of the network.
        wires: its weights and delays.
        shards: threads times ranks.
        precision: "float32" or "float64".
    """
    network = layout.network
    number_bytes = 4 if precision == "float32" else 8
    slots = sum(
        network.populations[i].size * len(sheet.code.receptors)
        for sheet in layout.sheets
        for i in sheet.populations
    )
    slot_bytes = 2 if slots <= shards << 16 else 4
    plastic = {p.projection: p.code for p in layout.plastic}
    synapses, held = 0.0, 0.0
    # Synapses of one source at one delay lie together, over all projections of a kind.
    runs: dict[object, tuple[float, float]] = {}
    for i, projection in enumerate(network.projections):
        if not isinstance(projection.weights, Sparse):
            continue
        n_pre, n_post = network.size(projection.source), network.size(projection.target)
        here = projection.weights.wiring.synapses(n_pre, n_post)
        shared = isinstance(wires.weight[i], Constant)
        if i in plastic:
            code = plastic[i]
            each = slot_bytes + number_bytes * max(1, len(code.variables) + len(code.own_traces))
            each += 4 if code.own_traces else 0
            held += HISTORY * n_post * (4 + number_bytes)
        else:
            each = slot_bytes + (0 if shared else number_bytes)
        ends = wires.delay[i].ends or (1.0, 256.0)
        delays = ends[1] - ends[0] + 1.0
        kind = i if i in plastic else (shared, ends if delays == 1.0 else None)
        before = runs.get((kind, projection.source), (0.0, 0.0))
        runs[kind, projection.source] = before[0] + here, max(before[1], n_pre * delays * shards)
        synapses += here
        held += here * each
    held += sum(min(here, most) for here, most in runs.values()) * RUN_BYTES
    neurons = sum(population.size for population in network.populations)
    rows = 8 * layout.emitting * (1 + len(plastic)) * shards
    other = neurons * RARE_BYTES + rows + PROGRAM_BYTES
    return Estimate(neurons, synapses, held, held * SPARE + other)


def check_memory(needed: Estimate, free_bytes: float | None = None) -> None:
    """Hold an estimate against the memory that is free; nothing is said where that is unknown.

    Raises:
        ScenarioError: the network does not fit.
    """
    free = available_bytes() if free_bytes is None else free_bytes
    if free is not None and needed.total_bytes > free:
        raise ScenarioError(
            f"the network needs about {gib(needed.total_bytes)}, {gib(needed.synapse_bytes)} of it "
            f"for {needed.synapses:,.0f} synapses, and {gib(free)} are free; make populations "
            "smaller or connections sparser, or take a machine with more memory"
        )


def available_bytes() -> float | None:
    """Return the memory that this process may still take; None if nothing tells."""
    found = [_of_system(), _of_group()]
    return min((each for each in found if each is not None), default=None)


def gib(size: float) -> str:
    """Return a size as text."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def _of_system() -> float | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        sizes = dict(line.split(":", 1) for line in lines)
        return float(sizes["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (OSError, ValueError):
        return None


def _of_group() -> float | None:
    """Return what a container's limit leaves."""
    try:
        limit = (CONTAINER / "memory.max").read_text(encoding="ascii").strip()
        used = float((CONTAINER / "memory.current").read_text(encoding="ascii"))
        stat = (CONTAINER / "memory.stat").read_text(encoding="ascii").split()
        # The cache of files counts as used, and is given up when memory is wanted.
        cached = float(stat[stat.index("inactive_file") + 1])
        return None if limit == "max" else float(limit) - used + cached
    except (OSError, ValueError):
        return None
