"""How much memory a spiking network needs, said before it is built; and how much there is."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from biosim.errors import ScenarioError
from biosim.kernels.plastic import HISTORY
from biosim.spiking.building import Wires
from biosim.spiking.description import Sparse
from biosim.spiking.layout import Layout
from biosim.wiring.values import Constant
from scenarios.disk import size_text

PROGRAM_BYTES = 500 << 20
"""The interpreter and its libraries."""

RUN_BYTES = 18
"""Of what one source sends at one delay: its delay, where its synapses begin, when it is due."""

SINGLE_BYTES = 8
"""Of what one source sends, where all delays are the same: where its synapses begin, a weight."""

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
    sizes = {i: population.size for i, population in enumerate(layout.network.populations)}
    synapses, held = synapses_held(layout, wires, sizes, shards, precision)
    total = other_bytes(layout, sizes, layout.emitting * shards) + held * SPARE
    return Estimate(sum(sizes.values()), synapses, held, total)


def synapses_held(
    layout: Layout, wires: Wires, owned: Mapping[int, int], shards: int, precision: str
) -> tuple[float, float]:
    """Return how many synapses end on some of the neurons, and the bytes that these keep.

    Args:
        layout: of the network.
        wires: its weights and delays.
        owned: population -> how many of its neurons.
        shards: threads among which they are cut.
        precision: "float32" or "float64".
    """
    network = layout.network
    number_bytes = 4 if precision == "float32" else 8
    slots = sum(
        owned[i] * len(sheet.code.receptors) for sheet in layout.sheets for i in sheet.populations
    )
    slot_bytes = 2 if slots <= shards << 16 else 4
    plastic = {p.projection: p.code for p in layout.plastic}
    synapses, held = 0.0, 0.0
    # Synapses of one source at one delay lie together, over all projections of a kind.
    runs: dict[tuple[object, str], tuple[float, float, int]] = {}
    for i, projection in enumerate(network.projections):
        if not isinstance(projection.weights, Sparse):
            continue
        n_pre, n_post = network.size(projection.source), network.size(projection.target)
        n_here = owned[network.population_at[projection.target]]
        here = projection.weights.wiring.synapses(n_pre, n_post) * n_here / n_post
        shared = isinstance(wires.weight[i], Constant)
        if i in plastic:
            code = plastic[i]
            each = slot_bytes + number_bytes * max(1, len(code.variables) + len(code.own_traces))
            each += 4 if code.own_traces else 0
            # Every neuron that runs the target's code has a place for its last spikes.
            sheet = layout.sheets[layout.sheet_of(layout.ends(i)[1])]
            held += HISTORY * (4 + number_bytes) * sum(owned[j] for j in sheet.populations)
        else:
            each = slot_bytes + (0 if shared else number_bytes)
        ends = wires.delay[i].ends or (1.0, 256.0)
        delays = ends[1] - ends[0] + 1.0
        kind = i if i in plastic else (shared, ends if delays == 1.0 else None)
        run_bytes = SINGLE_BYTES if delays == 1.0 and i not in plastic else RUN_BYTES
        before = runs.get((kind, projection.source), (0.0, 0.0, 0))
        most = max(before[1], n_pre * delays * shards)
        runs[kind, projection.source] = before[0] + here, most, run_bytes
        synapses += here
        held += here * each
    # Of so many places, those that one of the synapses falls on.
    held += sum(-most * math.expm1(-here / most) * each for here, most, each in runs.values())
    return synapses, held


def other_bytes(layout: Layout, owned: Mapping[int, int], numbered: float) -> float:
    """Return what a process keeps beside its synapses.

    Args:
        layout: of the network.
        owned: population -> how many of its neurons.
        numbered: sources that tables of synapses have a place for.
    """
    rows = 8 * numbered * (1 + len(layout.plastic))
    return sum(owned.values()) * RARE_BYTES + rows + PROGRAM_BYTES


def check_memory(needed: Estimate, free_bytes: float | None = None) -> None:
    """Hold an estimate against the memory that is free; nothing is said where that is unknown.

    Raises:
        ScenarioError: the network does not fit.
    """
    free = available_bytes() if free_bytes is None else free_bytes
    if free is not None and needed.total_bytes > free:
        raise ScenarioError(
            f"the network needs about {size_text(needed.total_bytes)}, "
            f"{size_text(needed.synapse_bytes)} of it for {needed.synapses:,.0f} synapses, and "
            f"{size_text(free)} are free; make populations smaller or connections sparser, or take "
            "a machine with more memory"
        )


def available_bytes() -> float | None:
    """Return the memory that this process may still take; None if nothing tells."""
    found = [_of_system(), _of_group()]
    return min((each for each in found if each is not None), default=None)


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
