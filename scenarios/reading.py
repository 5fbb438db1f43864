"""From a file and overrides to a checked scenario, with messages that name the place."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from biosim.errors import ScenarioError
from rules import RULES, rule_of
from scenarios.complaints import complaints, nearest
from scenarios.scenario import Scenario
from scenarios.spiking.schema import SpikingScenario

BUILT_IN_DIRECTORY = Path(__file__).parent

Tree = dict[str, Any]


def built_in() -> dict[str, Path]:
    """Return the scenarios that come with biosim, by name."""
    return {path.stem: path for path in sorted(BUILT_IN_DIRECTORY.glob("*.toml"))}


def read_tree(scenario: str) -> Tree:
    """Return the tables of a built-in scenario or a file, not yet checked.

    Args:
        scenario: name of a built-in scenario, or path of a TOML or YAML file.

    Raises:
        ScenarioError: there is no such scenario or file, or it cannot be parsed.
    """
    known = built_in()
    path = known.get(scenario, Path(scenario))
    if not path.is_file():
        raise ScenarioError(
            f"no scenario {scenario!r}: expected a .toml or .yaml file that exists, or the name of "
            "one that is built in" + nearest(scenario, known)
        )
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix in (".yaml", ".yml"):
            tree = yaml.safe_load(text) or {}
        else:
            tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as problem:
        raise ScenarioError(f"{path} cannot be parsed: {problem}") from None
    except OSError as problem:
        raise ScenarioError(f"{path} cannot be read: {problem.strerror}") from None
    if not isinstance(tree, dict):
        raise ScenarioError(f"{path} holds a {type(tree).__name__}; expected tables of settings")
    tree.setdefault("name", path.stem)
    return tree


def resolve(tree: Mapping[str, Any], overrides: Sequence[str] = ()) -> Scenario:
    """Return the checked scenario: tables, then those of its rule, then the overrides.

    Args:
        tree: tables as `read_tree` gives them.
        overrides: "table.key=value", values as in TOML; quotes around text may be left out.

    Raises:
        ScenarioError: an unknown key, a wrong type or an impossible value; all are named. Or the
            scenario is one of a spiking network.
    """
    if spikes(tree):
        raise ScenarioError(
            f"{tree.get('name', 'the scenario')} is a spiking network, which learns from no data "
            "set; run it by itself: biosim run"
        )
    tables: Tree = copy.deepcopy(dict(tree))
    by_rule = tables.pop("for", {})
    if not isinstance(by_rule, dict):
        raise ScenarioError(f"for: got {by_rule!r}; expected tables named after rules")
    for name, table in by_rule.items():
        if name not in RULES:
            raise ScenarioError(f"for.{name}: no such rule" + nearest(name, RULES))
        if not isinstance(table, dict):
            raise ScenarioError(f"for.{name}: got {table!r}; expected tables such as run or rule")
    given = [_parsed(override) for override in overrides]
    paths = [path for path, _ in given]
    if ["data", "file"] in paths and ["data", "name"] not in paths:
        given.append((["data", "name"], "file"))  # in place of the scenario's own data set
    for path, value in given:
        _set(tables, path, value)
    table = tables.get("rule")
    name = table.get("name", "backprop") if isinstance(table, dict) else "backprop"
    _merge(tables, by_rule.get(str(name), {}))
    for path, value in given:  # what was asked for on the command line stands above all
        _set(tables, path, value)
    rule = tables.get("rule", {"name": "backprop"})
    try:
        # Before the rest, so that a complaint about a parameter names its place.
        tables["rule"] = rule_of(rule)
    except ValidationError as problem:
        raise ScenarioError(complaints(problem, ("rule",), RULES[rule["name"]])) from None
    except ValueError as problem:
        named = str(rule.get("name")) if isinstance(rule, dict) else ""
        raise ScenarioError(f"rule.name: {problem}" + nearest(named, RULES)) from None
    try:
        return Scenario.model_validate(tables)
    except ValidationError as problem:
        raise ScenarioError(complaints(problem, (), Scenario)) from None


def spikes(tree: Mapping[str, Any]) -> bool:
    """Return whether the tables describe a spiking network: they have populations."""
    return "populations" in tree


def resolve_any(
    tree: Mapping[str, Any], overrides: Sequence[str] = ()
) -> Scenario | SpikingScenario:
    """Return the checked scenario, of layers or of a spiking network; see `resolve`."""
    if not spikes(tree):
        return resolve(tree, overrides)
    tables: Tree = copy.deepcopy(dict(tree))
    for path, value in map(_parsed, overrides):
        _set(tables, path, value)
    try:
        return SpikingScenario.model_validate(tables)
    except ValidationError as problem:
        raise ScenarioError(complaints(problem, (), SpikingScenario)) from None


def with_rule(tree: Mapping[str, Any], rule: str) -> Tree:
    """Return the tables with another rule; parameters of the rule before are dropped."""
    if rule not in RULES:
        raise ScenarioError(f"no rule {rule!r}: {', '.join(RULES)}" + nearest(rule, RULES))
    changed = dict(tree)
    old = tree.get("rule")
    if not isinstance(old, dict) or old.get("name") != rule:
        changed["rule"] = {"name": rule}
    return changed


def _parsed(override: str) -> tuple[list[str], Any]:
    path, equals, text = override.partition("=")
    if not equals or not all(path.split(".")):
        raise ScenarioError(f"got {override!r}; expected table.key=value, such as run.epochs=5")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a word without quotes
    return path.split("."), value


def _set(tree: Tree, path: list[str], value: Any) -> None:
    *tables, key = path
    for depth, table in enumerate(tables):
        inner = tree.setdefault(table, {})
        if not isinstance(inner, dict):
            raise ScenarioError(
                f"{'.'.join(path)}: {'.'.join(tables[: depth + 1])} is a value, not a table"
            )
        tree = inner
    if path == ["rule", "name"] and tree.get("name") != value:
        tree.clear()  # parameters of another rule do not carry over
    tree[key] = value


def _merge(tree: Tree, over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = copy.deepcopy(value)
