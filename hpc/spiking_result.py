"""What a run of a spiking network comes to, and what of its network is stored and said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from biosim.spiking.initial import start_values
from biosim.spiking.layout import Layout
from biosim.spiking.machine import Machine
from hpc.counting import Activity


@dataclass(frozen=True)
class Resolution:
    """The fixed point in which the input of a receptor is summed.

    Args:
        receptor: variable of the neurons.
        populations: that share it.
        step: what one unit stands for, a power of two, in the SI unit.
        unit: of the receptor.
    """

    receptor: str
    populations: tuple[str, ...]
    step: float
    unit: str


@dataclass(frozen=True)
class SpikingResult:
    """What a run comes to.

    Args:
        path: its directory.
        activity: what each population did.
        synapses: how many there are.
        seconds: that were simulated.
        build_s: wall time until everything was wired, and for a network compiled.
        wall_s: wall time of the simulation after that; a task's kernels, where no cache has
            them, are compiled in it.
        synaptic_events: how often a spike reached a synapse.
        resolutions: of every receptor.
    """

    path: Path
    activity: Mapping[str, Activity]
    synapses: int
    seconds: float
    build_s: float
    wall_s: float
    synaptic_events: int
    resolutions: tuple[Resolution, ...]

    @property
    def real_time_factor(self) -> float:
        """Wall time for a second of simulated time."""
        return self.wall_s / self.seconds


def owned(machine: Machine) -> dict[str, tuple[int, int]]:
    """Return population -> the neurons [lo, hi) that a rank owns."""
    first, last = machine.shards[0], machine.shards[-1]
    populations = machine.layout.network.populations
    return {populations[i].name: (first.slices[i][0], last.slices[i][1]) for i in first.slices}


def numbered(layout: Layout, seed: int) -> tuple[dict[str, int], dict[str, Any]]:
    """Return populations -> size, as neurons are numbered, and -> parameters -> start values."""
    populations = layout.network.populations
    sizes = {populations[i].name: populations[i].size for i in layout.first}
    parameters = {}
    for i, code in layout.neurons.items():
        names = [v.name for v in code.variables if v.role == "parameter"]
        if names:
            start = start_values(layout, i, 0, populations[i].size, seed)
            parameters[populations[i].name] = {name: start[name] for name in names}
    return sizes, parameters


def units(machine: Machine) -> dict[tuple[str, str], str]:
    """Return (population or projection, variable) -> its unit."""
    layout = machine.layout
    network = layout.network
    found = {
        (network.populations[i].name, v.name): v.unit
        for i, code in layout.neurons.items()
        for v in code.variables
    }
    return found | {
        (network.projections[p.projection].name, v.name): v.unit
        for p in layout.plastic
        for v in p.code.variables
    }


def resolutions(machine: Machine) -> tuple[Resolution, ...]:
    """Return the fixed point of every receptor, as `Machine.scales` has it."""
    layout = machine.layout
    found = []
    for (s, receptor), step in machine.scales.items():
        sheet = layout.sheets[s]
        unit = next(v.unit for v in sheet.code.code.variables if v.name == receptor)
        names = tuple(layout.network.populations[i].name for i in sheet.populations)
        found.append(Resolution(receptor, names, step, unit))
    return tuple(found)


def summary(result: SpikingResult) -> dict[str, Any]:
    """Return a result as the store keeps it."""
    said = {key: value for key, value in asdict(result).items() if key != "path"}
    for population in said["activity"].values():
        if math.isnan(population["cv"]):
            population["cv"] = None  # JSON has no NaN
    return said


def lines(said: Mapping[str, Any]) -> list[str]:
    """Return a result, as `summary` gives it and the store keeps it, for a terminal."""
    activity = said["activity"]
    neurons = sum(each["neurons"] for each in activity.values())
    wide = max(len("population"), *(len(name) for name in activity))
    found = [
        f"{neurons:,} neurons, {said['synapses']:,} synapses, {said['seconds']:g} s simulated",
        "",
        f"{'population':{wide}}{'neurons':>10}{'rate Hz':>10}{'CV':>8}",
    ]
    for name, each in activity.items():
        cv = "-" if each["cv"] is None else f"{each['cv']:.2f}"
        found.append(f"{name:{wide}}{each['neurons']:>10,}{each['rate_hz']:>10.2f}{cv:>8}")
    events, wall_s = said["synaptic_events"], said["wall_s"]
    event = f", {1e9 * wall_s / events:.2f} ns a synaptic event" if events else ""
    found += [
        "",
        f"wall time {wall_s:.3g} s: {wall_s / said['seconds']:.3g} times real time{event}; "
        f"built in {said['build_s']:.3g} s",
    ]
    for each in said["resolutions"]:
        unit = "" if each["unit"] == "1" else f" {each['unit']}"
        found.append(
            f"input to {each['receptor']} of {', '.join(each['populations'])} is summed in steps "
            f"of 2^{round(math.log2(each['step']))}{unit} ({each['step']:.2g})"
        )
    return found
