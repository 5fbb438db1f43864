"""A comparison: the same scenario under several rules and seeds, several runs at a time."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from biosim.errors import BiosimError
from biosim.runs import COMPARISON
from hpc.output import check_free, make
from hpc.progress import Silent, Watcher
from hpc.run import run
from hpc.stored import check_start
from hpc.world import cores
from scenarios.data import Dataset
from scenarios.images.schema import ImagesScenario
from scenarios.reading import Tree, resolve_any, with_rule
from scenarios.scenario import Data, Scenario
from scenarios.spiking.schema import SpikingScenario
from scenarios.tasks.schema import TaskScenario


@dataclass(frozen=True)
class Entry:
    """One run of a comparison.

    Args:
        rule: its learning rule.
        seed: its seed.
        path: its directory, relative to the comparison's.
        scenario: what it simulates.
    """

    rule: str
    seed: int
    path: str
    scenario: Scenario | ImagesScenario


def plan(tree: Tree, rules: Sequence[str], seeds: int, overrides: Sequence[str]) -> list[Entry]:
    """Return the runs of a comparison, checked, seeds of one rule together.

    Args:
        tree: tables of the scenario.
        rules: names of the rules, each once.
        seeds: how many seeds, counted up from `run.seed`.
        overrides: for every rule; one that only some scenarios or rules know is for those.

    Raises:
        ScenarioError: a rule is unknown, or the scenario is wrong for one of them.
        BiosimError: no seed or rule is asked for, or one twice.
    """
    if seeds < 1:
        raise BiosimError(f"got {seeds} seeds; expected at least 1")
    if len(set(rules)) < len(rules) or not rules:
        raise BiosimError(f"got rules {', '.join(rules) or 'none'}; expected each once")
    scenarios = {rule: resolve_any(with_rule(tree, rule)) for rule in rules}
    entries = []
    for rule, known in scenarios.items():
        kept = [each for each in overrides if _belongs(each, known, scenarios.values())]
        scenario = resolve_any(with_rule(tree, rule), kept)
        if isinstance(scenario, SpikingScenario | TaskScenario):
            raise BiosimError(
                f"{scenario.name} is a spiking network; there are no rules to compare"
            )
        if scenario.rule.name != rule:
            raise BiosimError("rule.name is set by --rules in a comparison; leave it out")
        for seed in range(scenario.run.seed, scenario.run.seed + seeds):
            run = scenario.run.model_copy(update={"seed": seed})
            of_seed = scenario.model_copy(update={"run": run})
            entries.append(Entry(rule, seed, f"{rule}/seed-{seed}", of_seed))
    return entries


def _belongs(override: str, to: BaseModel, compared: Iterable[BaseModel]) -> bool:
    """Return whether an override is for a scenario: it has the key, or no other one has it."""
    path = override.partition("=")[0].split(".")
    return _has(to, path) or not any(_has(other, path) for other in compared)


def _has(tables: Any, path: Sequence[str]) -> bool:
    for key in path:
        if not isinstance(tables, BaseModel) or key not in type(tables).model_fields:
            return False
        tables = getattr(tables, key)
    return True


def compare(
    entries: Sequence[Entry],
    out: Path,
    overwrite: bool = False,
    jobs: int | None = None,
    watcher: Watcher | None = None,
) -> list[str]:
    """Run all entries, `jobs` at a time; return a line for each one that failed.

    Every run has a process and a core to itself. A run that diverges does not end the others.

    Raises:
        BiosimError: data or directory cannot be used; nothing is written.
    """
    check_free(out, overwrite)
    data: dict[Data, Dataset] = {}
    for scenario in {entry.rule: entry.scenario for entry in entries}.values():
        if scenario.data not in data:
            data[scenario.data] = scenario.data.load()
        network = scenario.wire(data[scenario.data])
        if isinstance(scenario, Scenario):
            check_start(scenario, network)
    make(out, overwrite)
    listed = [{"rule": e.rule, "seed": e.seed, "path": e.path} for e in entries]
    about: dict[str, Any] = {"scenario": entries[0].scenario.name, "runs": listed}
    (out / COMPARISON).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    workers = min(jobs or cores(), len(entries))
    failures: dict[int, str] = {}
    watching = watcher or Silent()
    # Threads of a library that is already running do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        # The longest first, so that no core waits for one long run at the end.
        order = sorted(range(len(entries)), key=lambda i: -_work(entries[i].scenario))
        futures = {pool.submit(_one, entries[i].scenario, out / entries[i].path): i for i in order}
        for done, future in enumerate(as_completed(futures), start=1):
            i = futures[future]
            failure = future.result()
            if failure is not None:
                failures[i] = f"{entries[i].path}: {failure}"
            watching.step(done, len(entries), entries[i].path)
    return [failures[i] for i in sorted(failures)]


def _one(scenario: Scenario | ImagesScenario, out: Path) -> str | None:
    """Run in a process of the pool; return why it could not end, or None."""
    try:
        run(scenario, out)
    except BiosimError as failure:
        return str(failure)
    return None


def _work(scenario: Scenario | ImagesScenario) -> float:
    if isinstance(scenario, ImagesScenario):
        return 10.0 * scenario.run.epochs  # an image takes a thousand ticks
    ticks = getattr(scenario.rule, "free_ticks", 1) + getattr(scenario.rule, "blocks", 1)
    return scenario.run.epochs / scenario.run.batch_size * ticks
