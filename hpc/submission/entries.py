"""Which runs a submission consists of: rules, times sweeps, times seeds."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from hpc.compare import plan
from hpc.submission.site import SubmissionError
from scenarios.reading import AnyScenario, Tree, resolve_any
from scenarios.spiking.schema import SpikingScenario
from scenarios.tasks.schema import TaskScenario

MOST = 10_000
"""Entries of one submission; few clusters allow longer arrays."""

NO_FILE_NAME = re.compile(r"[^\w.+=-]+")


@dataclass(frozen=True)
class PlannedRun:
    """One run of a submission, before it has a job.

    Args:
        name: what users call it.
        path: its directory, relative to the submission's.
        rule: its learning rule; "" if it has none.
        seed: its seed.
        settings: what sweeps set for it, by key.
        scenario: what it simulates.
    """

    name: str
    path: str
    rule: str
    seed: int
    settings: dict[str, Any]
    scenario: AnyScenario

    def with_threads(self, threads: int) -> PlannedRun:
        """Return the run with the threads that a rank has cores for, if it asks for none."""
        run = self.scenario.run
        if "threads" in run.model_fields_set:
            return self
        given = run.model_copy(update={"threads": threads})
        return replace(self, scenario=self.scenario.model_copy(update={"run": given}))


@dataclass(frozen=True)
class Sweep:
    """A key, and what it is set to in turn."""

    key: str
    values: tuple[str, ...]


def sweep(text: str) -> Sweep:
    """Return what `--sweep key=a,b,c` asks for; commas in brackets or quotes part nothing.

    Raises:
        SubmissionError: there is no key or no value, or one value twice.
    """
    key, equals, rest = text.partition("=")
    values = [value.strip() for value in _parts(rest)]
    if not equals or not all(key.split(".")) or not all(values):
        raise SubmissionError(
            f"--sweep: got {text!r}; expected table.key=a,b,c, such as rule.lr=0.1,0.01"
        )
    if len(set(values)) < len(values):
        raise SubmissionError(f"--sweep {key}: got {rest!r}; expected each value once")
    return Sweep(key, tuple(values))


def planned(
    tree: Tree,
    overrides: Sequence[str],
    rules: Sequence[str] = (),
    sweeps: Sequence[Sweep] = (),
    seeds: int = 1,
) -> list[PlannedRun]:
    """Return the runs of a submission, checked; seeds of one setting together.

    Args:
        tree: tables of the scenario.
        overrides: for all; one that only some rules know is for those.
        rules: to compare; the scenario's own if none.
        sweeps: every combination of them; a rule without the key has one run in place of many.
        seeds: how many, counted up from `run.seed`.

    Raises:
        BiosimError: the scenario is wrong for one of them, or nothing or too much is asked for.
    """
    keys = [each.key for each in sweeps]
    fixed = [each.partition("=")[0] for each in overrides]
    twice = next((key for key in keys if keys.count(key) > 1 or key in fixed), None)
    if twice is not None:
        raise SubmissionError(f"{twice} is set twice; expected one --sweep of it, or one setting")
    if "run.seed" in keys:
        raise SubmissionError("--sweep run.seed: seeds are counted by --seeds, from run.seed up")
    if seeds < 1:
        raise SubmissionError(f"--seeds: got {seeds}; expected at least 1")
    combinations = list(itertools.product(*(each.values for each in sweeps)))
    if (many := len(combinations) * seeds * max(1, len(rules))) > MOST:
        raise SubmissionError(f"{many:,} runs are asked for; expected at most {MOST:,}")
    found: dict[str, PlannedRun] = {}
    for values in combinations:
        settings = dict(zip(keys, values, strict=True))
        for rule, seed, scenario in _scenarios(tree, overrides, settings, rules, seeds):
            kept = {key: text for key, text in settings.items() if _has(scenario, key)}
            run = _named(rule, seed, kept, scenario)
            if found.setdefault(run.path, run).scenario != run.scenario:
                raise SubmissionError(
                    f"two runs would be named {run.name!r}; give the sweep values that differ in "
                    "more than signs"
                )
    return list(found.values())


def _scenarios(
    tree: Tree,
    overrides: Sequence[str],
    settings: dict[str, str],
    rules: Sequence[str],
    seeds: int,
) -> list[tuple[str, int, AnyScenario]]:
    given = [*overrides, *(f"{key}={text}" for key, text in settings.items())]
    if rules:
        if isinstance(found := resolve_any(tree), SpikingScenario | TaskScenario):
            raise SubmissionError(
                f"--rules: {found.name} has no rules for layers to compare; leave it out, or name "
                "its own by --sweep rule.name=... where it learns"
            )
        return [(e.rule, e.seed, e.scenario) for e in plan(tree, rules, seeds, given)]
    scenario = resolve_any(tree, given)
    rule = "" if isinstance(scenario, SpikingScenario) else scenario.rule.name
    first = scenario.run.seed
    return [
        (rule, seed, scenario.model_copy(update={"run": _with_seed(scenario, seed)}))
        for seed in range(first, first + seeds)
    ]


def _with_seed(scenario: AnyScenario, seed: int) -> BaseModel:
    return scenario.run.model_copy(update={"seed": seed})


def _named(rule: str, seed: int, settings: dict[str, str], scenario: AnyScenario) -> PlannedRun:
    shown = [f"{key}={NO_FILE_NAME.sub('_', text).strip('_')}" for key, text in settings.items()]
    # A comparison has two levels: what is compared, and its seeds.
    parts = [rule] if rule and "rule.name" not in settings else []
    name = "/".join(filter(None, ["-".join([*parts, *shown]), f"seed-{seed}"]))
    values = {key: _value(text) for key, text in settings.items()}
    return PlannedRun(name, f"runs/{name}", rule, seed, values, scenario)


def _has(tables: Any, key: str) -> bool:
    """Return whether a scenario has a key; what is below a free table is taken to be there."""
    for part in key.split("."):
        if not isinstance(tables, BaseModel):
            return True
        if part not in type(tables).model_fields:
            return False
        tables = getattr(tables, part)
    return True


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _parts(text: str) -> list[str]:
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        else:
            depth += (sign in "[{(") - (sign in "]})")
        if sign == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += sign
    return parts
