"""Two ranks on two cores against one, one thread each: `python -m benchmarks.ranks`.

Runs on one rank and on two take turns, so that a change of the machine's speed falls on both, and
each is a process started anew. What counts is the ratio of wall times, pair by pair. What ranks
spend their time on, and what they send, is the ledger's (`hpc.rank_times`). "left" is the share of
the multiply-adds that no rank can do beside another's, which follows from network and placement.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.peers.bars import table
from biosim.contracts import Ranks
from biosim.events import Course
from biosim.network import Network
from biosim.placement import placed
from biosim.rehearsal import Rehearsal
from biosim.simulation import WINDOW, Simulation
from hpc.launch import environment, found_mpiexec, options
from hpc.rank_times import NAMES, Clock
from hpc.together import take_part
from rules import RULES, Rule, Stack
from scenarios.reading import read_tree, resolve_any
from scenarios.spiking.network import Described

LAYERS, WIDTH, FEATURES, CLASSES = 4, 1000, 1000, 10
"""Of the layered networks: as many features as units, so that all layers cost the same."""

ROWS, BATCHES, EPOCHS = 128, 60, 2
"""Of a minibatch, an epoch, a measurement; the first epoch does not count."""

SIMULATED_S, WARM_S = 5.0, 0.5
"""Of brunel, and before that."""


@dataclass(frozen=True)
class Case:
    """What is measured.

    Args:
        rule: of a layered network; "" for brunel.
        streaming: minibatches follow each other as closely as they can, or wait for the last one.
        bar: the least ratio that is asked for.
        replicas: of the network on two ranks, of a minibatch in as many parts.
        settings: of the rule.
    """

    rule: str = ""
    streaming: bool = False
    bar: float | None = None
    replicas: int = 1
    settings: tuple[tuple[str, Any], ...] = ()


BLOCKS = (("blocks", LAYERS), ("image_units", 500), ("state_units", 500), ("joint_units", 500))

CASES = {
    "brunel": Case(bar=1.5),
    "forward_forward": Case("forward_forward", True, 1.6, settings=(("with_readout", False),)),
    "noprop": Case("noprop", bar=1.6, settings=BLOCKS),
    "DFA, exact": Case("direct_feedback_alignment"),
    "DFA, streaming": Case("direct_feedback_alignment", True),
    "backprop, exact": Case("backprop"),
    "backprop, streaming": Case("backprop", True),
    "backprop, replicas": Case("backprop", replicas=2),
}


def rule_of(case: Case) -> Rule:
    return RULES[case.rule](**dict(case.settings))


def one(case: Case, ranks: Ranks) -> dict[str, Any]:
    """Measure a case on the ranks that there are; return seconds and the ledger of each rank."""
    clock = Clock(ranks)
    pieces = spiking(ranks) if not case.rule else layered(case, ranks)
    next(pieces)
    ranks.agree(False)
    began = time.perf_counter()
    with clock.running():
        for _ in pieces:
            pass
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "times": clock.gathered().tolist()}


def spiking(ranks: Ranks) -> Any:
    """Yield once when brunel is warm, and once when it is done."""
    scenario = resolve_any(read_tree("brunel"), ["run.duration=1 s"])
    network = Described(scenario).network
    simulation = Simulation(network, ranks=ranks)
    first, last = (round(seconds / network.dt) for seconds in (WARM_S, WARM_S + SIMULATED_S))
    simulation.run_to(first)
    yield
    for tick in range(first + WINDOW, last + 1, WINDOW):
        simulation.run_to(tick)
    yield


def layered(case: Case, ranks: Ranks) -> Any:
    """Yield once when an epoch has been learnt, and once when all have."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(ROWS * BATCHES, FEATURES, generator=generator)
    y = torch.randint(0, CLASSES, (len(x),), generator=generator, dtype=torch.uint8)
    network = wired(case, x)
    period = network.learning_ticks if case.streaming else None
    # The same parts on one rank, which then computes the same.
    replicas = case.replicas if ranks.size > 1 else 1
    simulation = Simulation(
        network, Course(EPOCHS, BATCHES, len(x)), 0, ranks, period=period, parts=case.replicas,
        replicas=replicas,
    )  # fmt: skip
    simulation.learn(x, y, 0, ROWS)
    yield
    for epoch in range(1, EPOCHS):
        simulation.learn(x, y, epoch, ROWS)
    yield


def wired(case: Case, x: torch.Tensor) -> Any:
    return rule_of(case).wire(Stack(FEATURES, (WIDTH,) * LAYERS, CLASSES, len(x), x.mean(0)))


def started(name: str, ranks: int) -> dict[str, Any]:
    """Measure a case in processes of its own."""
    mpiexec = found_mpiexec()
    command = [mpiexec, "-n", str(ranks), *options(mpiexec, ranks, 1), sys.executable]
    command += ["-m", "benchmarks.ranks", "--one", name]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True,
        env=environment(os.environ) | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def along_the_way(network: Network, ranks: int, period: int | None = None) -> int:
    """Return the multiply-adds of a sample that come one after the other.

    Tick by tick, those of the rank that has most to do: layers that wait for each other do not
    share the work. In a stream the ticks of several minibatches fall together.
    """
    owners = placed(network, ranks)
    work: dict[int, dict[int, int]] = {}
    for (tick, population), count in Rehearsal(network).steps.items():
        by_rank = work.setdefault(tick if period is None else tick % period, {})
        rank = owners[population]
        by_rank[rank] = by_rank.get(rank, 0) + count
    return sum(max(by_rank.values()) for by_rank in work.values())


def least_share(case: Case) -> str:
    """Return what the placement leaves of the work of one rank, in percent."""
    if not case.rule or case.replicas > 1:
        return "50"
    network = wired(case, torch.rand(ROWS, FEATURES))
    period = network.learning_ticks if case.streaming else None
    return f"{100 * along_the_way(network, 2, period) / along_the_way(network, 1):.0f}"


def row(name: str, case: Case, pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> list[str]:
    """Return a line of the table."""
    ratios = sorted(one["seconds"] / two["seconds"] for one, two in pairs)
    median = statistics.median(ratios)
    alone = statistics.median(one["seconds"] for one, _ in pairs)
    best = min((two for _, two in pairs), key=lambda two: two["seconds"])
    of = [dict(zip(NAMES, times, strict=True)) for times in best["times"]]

    def both(figure: Callable[[dict[str, int]], float]) -> str:
        return " / ".join(f"{figure(times):.2f}" for times in of)

    bar = "" if case.bar is None else f"{case.bar:g} {'yes' if median >= case.bar else 'NO'}"
    return [
        name, f"{alone:.2f}", f"{median:.2f}", f"{ratios[0]:.2f} - {ratios[-1]:.2f}", bar,
        least_share(case), both(lambda t: (t["run"] - t["exchange"] - t["wait"]) / 1e9),
        both(lambda t: t["exchange"] / 1e9), both(lambda t: t["wait"] / 1e9),
        both(lambda t: t["messages"] / 1e3), both(lambda t: t["bytes"] / 1e6),
    ]  # fmt: skip


HEAD = [
    "case", "1 rank, s", "ratio", "least - most", "bar", "left, %", "compute, s", "exchange, s",
    "wait, s", "thousand messages", "MB",
]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--one", choices=sorted(CASES), help="this case, as JSON")
    parser.add_argument("--only", nargs="+", choices=sorted(CASES), default=list(CASES))
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args(arguments)
    if asked.one:
        ranks = take_part()
        found = one(CASES[asked.one], ranks)
        if ranks.rank == 0:
            print(json.dumps(found))
        return
    rows = []
    for name in asked.only:
        pairs = [(started(name, 1), started(name, 2)) for _ in range(asked.pairs)]
        rows.append(row(name, CASES[name], pairs))
        print(table(HEAD, [rows[-1]]), flush=True)
    print(table(HEAD, rows))


if __name__ == "__main__":
    main()
