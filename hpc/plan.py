"""`biosim plan`: what a scenario will need on so many ranks, from its description; nothing is run.

Speeds are measured on this machine, in a few seconds; a cluster's network is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from biosim.errors import ScenarioError
from biosim.network import Network
from hpc.calibration import exchange_speed
from hpc.needs import measured_layers, slowest_s, spike_planner
from hpc.plan_layers import LayerPlan
from hpc.plan_spiking import SpikePlan, SpikePlanner, SpikeShare
from scenarios.data import Dataset
from scenarios.disk import kept, room, size_text
from scenarios.images.schema import ImagesScenario
from scenarios.reading import AnyScenario
from scenarios.scenario import Scenario
from scenarios.spiking.rates import RATE_HZ
from scenarios.spiking.schema import SpikingScenario
from scenarios.tasks.schema import TaskScenario

SHOWN = 16
"""Ranks that have a row of their own; of more there are the least, the mean and the most."""

Column = tuple[str, npt.NDArray[np.float64], Callable[[float], str]]


def plan_text(scenario: AnyScenario, ranks: int, rate_hz: float | None = None) -> str:
    """Return what ranks will need and how long they will take, as text.

    Args:
        scenario: to plan.
        ranks: to plan it for.
        rate_hz: expected of neurons that spike; `RATE_HZ` where it is left out.

    Raises:
        BiosimError: the scenario cannot be run, or not on so many ranks, or has no neurons that
            spike at a rate that is given.
    """
    if rate_hz is not None and not (math.isfinite(rate_hz) and rate_hz >= 0.0):
        raise ScenarioError(f"--rate: got {rate_hz:g}; expected spikes a second, 0 or more")
    if isinstance(scenario, TaskScenario):
        raise ScenarioError(
            f"{scenario.name} is a task, which runs on one rank; expected a network of layers, "
            "images or a spiking network: see biosim validate for what it needs"
        )
    if isinstance(scenario, Scenario):
        if rate_hz is not None:
            raise ScenarioError(
                f"--rate: got {rate_hz:g} and {scenario.name}, whose layers do not spike; leave it "
                "out"
            )
        return _layers_text(scenario, ranks)
    return _spiking_text(scenario, ranks, RATE_HZ if rate_hz is None else rate_hz)


def _layers_text(scenario: Scenario, ranks: int) -> str:
    dataset = scenario.data.load()
    network = scenario.wire(dataset)
    run, place = scenario.run, scenario.place
    measured = measured_layers(scenario, network, ranks)
    found, alone, speed = measured.found, measured.alone, measured.speed
    period = None if run.period == "exact" else run.period
    added: list[Column] = []
    directions = ""
    if place.parts > 1:
        added = [("of parts", _of(found.shares, lambda s: s.added_bytes), _bytes)]
        directions = "of parts: their directions, while added up; "
    columns: list[Column] = [
        ("parameters", _of(found.shares, lambda s: s.parameter_bytes), _bytes),
        ("held", _of(found.shares, lambda s: s.held_bytes), _bytes),
        *added,
        ("sent", _of(found.shares, lambda s: s.sent_bytes), _bytes),
        ("messages", _of(found.shares, lambda s: s.messages), _count),
        ("mult.-adds", _of(found.shares, lambda s: s.multiply_adds), _count),
        ("compute", _of(found.shares, lambda s: s.compute_s), _seconds),
    ]
    stream = "" if period is None else f", one every {_many(period, 'tick')}"
    cut = "" if place.parts == 1 else f" in {place.parts} parts"
    return "\n".join(
        [
            f"{scenario.name}, {scenario.rule.name}, minibatches of {run.batch_size}{cut}{stream}; "
            "nothing is run",
            *place.lines(network, ranks),
            f"measured on this CPU: {speed.multiply_add_s * 1e9:.2g} ns a multiply-add, "
            f"{speed.visit_s * 1e6:.0f} us to wake a layer; {_network_line()}",
            "",
            table(columns),
            "",
            "Of a minibatch: parameters with what plasticity keeps; held: kept for updates to "
            f"come; {directions}sent to other ranks.",
            _takes_line(found, alone.compute_s),
            _kept_line(scenario, network, dataset),
        ]
    )


def _takes_line(found: LayerPlan, alone_s: float) -> str:
    said = f"A minibatch takes about {_seconds(found.compute_s + found.exchange_s)}"
    if not found.exchanges:
        return f"{said}."
    sums = f" and {_many(found.sums, 'sum')} over replicas" if found.sums else ""
    slower = found.compute_s + found.exchange_s > alone_s
    why = ": layers that wait for each other do not share the work" if slower else ""
    return (
        f"{said}, {_seconds(found.exchange_s)} of it for {_many(found.exchanges, 'exchange')}"
        f"{sums}; on one rank {_seconds(alone_s)}{why}."
    )


def _spiking_text(scenario: SpikingScenario | ImagesScenario, ranks: int, rate_hz: float) -> str:
    network = _spiking_network(scenario)
    assert network.dt is not None
    if rate_hz * network.dt > 1.0:
        raise ScenarioError(
            f"--rate: got {rate_hz:g} with ticks of {network.dt * 1e3:g} ms; expected at most "
            f"{1 / network.dt:g} spikes a second: a neuron fires once a tick"
        )
    planner, speed = spike_planner(scenario, network, rate_hz)
    found = planner.plan(ranks)
    rates: dict[float, list[str]] = {}
    for i, rate in planner.rates_hz.items():
        rates.setdefault(rate, []).append(network.populations[i].name)
    said = "; ".join(f"{_names(names)} {rate:.3g} Hz" for rate, names in rates.items())
    larger = planner.talks_more_from()
    return "\n".join(
        [
            f"{scenario.name}, {_count(sum(p.size for p in network.populations))} neurons; "
            "nothing is run",
            *scenario.place.lines(network, ranks),
            f"expected rates: {said} (--rate {rate_hz:g} where the description says nothing)",
            _windows_line(found, planner.layout.dt),
            f"measured on this CPU: {speed.neuron_s * 1e9:.2g} ns a neuron and tick, "
            f"{speed.spike_s * 1e9:.2g} ns a spike, {speed.synapse_s * 1e9:.2g} ns a synapse, "
            f"{speed.window_s * 1e6:.0f} us a window; {_network_line()}",
            "",
            table(_spiking_columns(found)),
            "",
            "In a second of biological time, but for neurons, synapses, memory and what is sent "
            "in one window.",
            f"It takes about {_seconds(slowest_s(found))} on the rank with most to do.",
            *_storing_lines(scenario, planner),
            "The exchange stays the smaller part on any number of ranks."
            if larger is None
            else f"The exchange becomes the larger part from {larger:,} ranks on.",
        ]
    )


def _spiking_network(scenario: SpikingScenario | ImagesScenario) -> Network:
    # Only what spikes needs Brian2's parser. What is too large for this machine is planned, too.
    if isinstance(scenario, ImagesScenario):
        from scenarios.images.network import wire

        return wire(scenario, scenario.data.load())
    from scenarios.spiking.network import Described

    return Described(scenario).network


def _storing_lines(
    scenario: SpikingScenario | ImagesScenario, planner: SpikePlanner
) -> Sequence[str]:
    if isinstance(scenario, ImagesScenario):
        return [_kept_line(scenario, planner.layout.network, scenario.data.load())]
    from scenarios.spiking.disk import stored
    from scenarios.spiking.network import Described

    described = Described(scenario)
    found = stored(
        planner.layout, described.recording, described.ticks, scenario.run.dtype, planner.rates_hz
    )
    duration = described.ticks * planner.layout.dt
    return [f"In its {duration:g} s it stores {found.line()}; {_free()} are free here."]


def _kept_line(scenario: Scenario | ImagesScenario, network: Network, dataset: Dataset) -> str:
    epochs, found = _many(scenario.run.epochs, "epoch"), kept(scenario, network, dataset)
    return f"In {epochs} it stores {found.line()}; {_free()} are free here."


def _free() -> str:
    return size_text(room(Path()))


def _windows_line(found: SpikePlan, dt: float) -> str:
    if found.ranks == 1:
        return "one rank exchanges nothing"
    ticks = round(1.0 / found.exchanges / dt)
    halves = ""
    if ticks > 1:
        halves = "; half of it is tried, too, while spikes travel"
    return (
        f"{found.exchanges:,.0f} exchanges a second: a window is {_many(ticks, 'tick')} of "
        f"{dt * 1e3:g} ms, the shortest delay{halves}"
    )


def _spiking_columns(found: SpikePlan) -> list[Column]:
    def of(figure: Callable[[SpikeShare], float]) -> npt.NDArray[np.float64]:
        return found.column(figure)

    return [
        ("neurons", of(lambda s: s.neurons), _count),
        ("synapses", of(lambda s: s.synapses), _count),
        ("of synapses", of(lambda s: s.synapse_bytes), _bytes),
        ("memory", of(lambda s: s.total_bytes), _bytes),
        ("events", of(lambda s: s.events), _count),
        ("spikes", of(lambda s: s.spikes), _count),
        ("leaving", of(lambda s: s.leaving), _count),
        ("arriving", of(lambda s: s.arriving), _count),
        ("sent/window", of(lambda s: s.sent_bytes) / found.exchanges, _bytes),
        ("compute", of(lambda s: s.compute_s), _seconds),
        ("exchange", of(lambda s: s.exchange_s), _seconds),
    ]


def table(columns: Sequence[Column]) -> str:
    """Return a row a rank, or the least, the mean and the most with the rank that has it."""
    ranks = len(columns[0][1])
    if ranks <= SHOWN:
        head = ["rank", *(title for title, _, _ in columns)]
        rows = [
            [str(rank), *(form(values[rank]) for _, values, form in columns)]
            for rank in range(ranks)
        ]
        return _aligned([head, *rows])
    head = [f"{ranks:,} ranks", "least", "on rank", "mean", "most", "on rank"]
    rows = [
        [
            title, form(values.min()), str(values.argmin()), form(float(values.mean())),
            form(values.max()), str(values.argmax()),
        ]
        for title, values, form in columns
    ]  # fmt: skip
    return _aligned([head, *rows])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if n == 0 else f"{cell:>{width}}"
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _of(shares: Sequence[object], figure: Callable[..., float]) -> npt.NDArray[np.float64]:
    return np.array([float(figure(share)) for share in shares])


def _network_line() -> str:
    speed = exchange_speed()
    return (
        f"{speed.message_s * 1e6:.0f} us a message; a network of {speed.latency_s * 1e6:g} us and "
        f"{speed.bytes_per_s / 1e9:g} GB/s is assumed"
    )


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{names[0]}, ..., {names[-1]}"


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _count(n: float) -> str:
    return f"{n:,.0f}" if n < 1e9 else f"{n:.3g}"


def _bytes(n: float) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{n:.0f} B"


def _seconds(s: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if s >= size:
            return f"{s / size:.3g} {unit}"
    return f"{s * 1e6:.3g} us"
