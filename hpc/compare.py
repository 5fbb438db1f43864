"""A comparison: the same scenario under several rules and seeds, several runs at a time."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biosim.errors import BiosimError
from hpc.output import COMPARISON, check_free, make
from hpc.progress import Silent, Watcher
from hpc.run import run
from hpc.stored import check_start
from rules import RULES
from scenarios.data import Dataset
from scenarios.reading import Tree, resolve, with_rule
from scenarios.scenario import Data, Scenario


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
    scenario: Scenario


def plan(tree: Tree, rules: Sequence[str], seeds: int, overrides: Sequence[str]) -> list[Entry]:
    """Return the runs of a comparison, checked, seeds of one rule together.

    Args:
        tree: tables of the scenario.
        rules: names of the rules, each once.
        seeds: how many seeds, counted up from `run.seed`.
        overrides: for every rule; those of `rule.` parameters only where the rule has them.

    Raises:
        ScenarioError: a rule is unknown, or the scenario is wrong for one of them.
        BiosimError: no seed or rule is asked for, or one twice.
    """
    if seeds < 1:
        raise BiosimError(f"got {seeds} seeds; expected at least 1")
    if len(set(rules)) < len(rules) or not rules:
        raise BiosimError(f"got rules {', '.join(rules) or 'none'}; expected each once")
    entries = []
    for rule in rules:
        scenario = resolve(with_rule(tree, rule), _of_rule(rule, rules, overrides))
        if scenario.rule.name != rule:
            raise BiosimError("rule.name is set by --rules in a comparison; leave it out")
        for seed in range(scenario.run.seed, scenario.run.seed + seeds):
            of_seed = scenario.model_copy(
                update={"run": scenario.run.model_copy(update={"seed": seed})}
            )
            entries.append(Entry(rule, seed, f"{rule}/seed-{seed}", of_seed))
    return entries


def _of_rule(rule: str, rules: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Return the overrides without parameters that this rule lacks and another one has."""
    fields = {name: RULES[name].model_fields for name in rules if name in RULES}
    kept = []
    for override in overrides:
        table, _, key = override.partition("=")[0].partition(".")
        elsewhere = any(key in known for name, known in fields.items() if name != rule)
        if table != "rule" or not elsewhere or key in fields.get(rule, {}):
            kept.append(override)
    return kept


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
        check_start(scenario, scenario.wire(data[scenario.data]))
    make(out, overwrite)
    listed = [{"rule": e.rule, "seed": e.seed, "path": e.path} for e in entries]
    about: dict[str, Any] = {"scenario": entries[0].scenario.name, "runs": listed}
    (out / COMPARISON).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    workers = min(jobs or _cores(), len(entries))
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


def _one(scenario: Scenario, out: Path) -> str | None:
    """Run in a process of the pool; return why it could not end, or None."""
    try:
        run(scenario, out)
    except BiosimError as failure:
        return str(failure)
    return None


def _cores() -> int:
    """Return the cores that this process may use: a scheduler may have given it only some."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _work(scenario: Scenario) -> float:
    ticks = getattr(scenario.rule, "free_ticks", 1) + getattr(scenario.rule, "blocks", 1)
    return scenario.run.epochs / scenario.run.batch_size * ticks
