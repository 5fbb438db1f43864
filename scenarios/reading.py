"""From a file and overrides to a checked scenario, with messages that name the place."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from biosim.errors import ScenarioError
from rules import RULES, rule_of
from scenarios.complaints import complaints, nearest
from scenarios.images.schema import ImagesScenario, image_rule_of, image_rules
from scenarios.scenario import Scenario
from scenarios.spiking.schema import SpikingScenario
from scenarios.tasks.schema import (
    HiddenPattern,
    RewardChoice,
    TaskScenario,
    choice_rule_of,
    choice_rules,
    pattern_rule_of,
)

BUILT_IN_DIRECTORY = Path(__file__).parent

Tree = dict[str, Any]
AnyScenario = Scenario | ImagesScenario | SpikingScenario | TaskScenario


@dataclass(frozen=True)
class _Kind:
    """What tables are held against.

    Args:
        model: all of them.
        rules: there are, by name.
        rule_of: makes a rule of its table.
        rule: taken where none is named.
    """

    model: type[Scenario | ImagesScenario | HiddenPattern | RewardChoice]
    rules: Mapping[str, type[BaseModel]]
    rule_of: Callable[[Any], Any]
    rule: str


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
    """Return the checked scenario of layers: tables, then those of its rule, then the overrides.

    Args:
        tree: tables as `read_tree` gives them.
        overrides: "table.key=value", values as in TOML; quotes around text may be left out.

    Raises:
        ScenarioError: an unknown key, a wrong type or an impossible value; all are named. Or the
            scenario is not one of layers.
    """
    found = resolve_any(tree, overrides)
    if isinstance(found, SpikingScenario | TaskScenario):
        raise _runs_alone(found.name)
    if isinstance(found, ImagesScenario):
        raise ScenarioError(
            f"{found.name} with rule {found.rule.name} learns by spikes; expected a network of "
            "layers"
        )
    return found


def resolve_any(tree: Mapping[str, Any], overrides: Sequence[str] = ()) -> AnyScenario:
    """Return the checked scenario: of layers, images for spikes, a spiking network, or a task.

    A rule may have a scenario of its own, `for.RULE.scenario`: see `with_rule`.

    Raises:
        ScenarioError: as for `resolve`.
    """
    given = [_parsed(override) for override in overrides]
    if spikes(tree):
        tables: Tree = copy.deepcopy(dict(tree))
        for path, value in given:
            _set(tables, path, value)
        try:
            return SpikingScenario.model_validate(tables)
        except ValidationError as problem:
            raise ScenarioError(complaints(problem, (), SpikingScenario)) from None
    asked = [value for path, value in given if path == ["rule", "name"]]
    rule = asked[-1] if asked else _rule_name(tree)
    if _own_scenario(tree, rule) is not None:
        tree = with_rule(tree, rule)
    return _resolved(tree, given)


def spikes(tree: Mapping[str, Any]) -> bool:
    """Return whether the tables describe a spiking network: they have populations."""
    return "populations" in tree


def shows_images(tree: Mapping[str, Any]) -> bool:
    """Return whether the tables are about images for spiking neurons: that is their task."""
    return _kind(tree).model is ImagesScenario


def compared_rules(tree: Mapping[str, Any]) -> list[str]:
    """Return the rules under which a scenario is compared when none are named."""
    by_rule = tree.get("for", {})
    if shows_images(tree):
        return list(dict.fromkeys([_rule_name(tree), *by_rule, "frozen"]))
    return [*RULES, *(rule for rule in by_rule if _own_scenario(tree, rule) is not None)]


def with_rule(tree: Mapping[str, Any], rule: str) -> Tree:
    """Return the tables with another rule; parameters of the rule before are dropped.

    Where the rule has a scenario of its own, `for.RULE.scenario`, its tables are taken: all but
    the name and the data, which stay.

    Raises:
        ScenarioError: there is no such rule, or it is a scenario without rules.
    """
    if spikes(tree) or _kind(tree).model in (HiddenPattern, RewardChoice):
        raise _runs_alone(str(tree.get("name", "the scenario")))
    own = _own_scenario(tree, rule)
    if own is not None:
        other = read_tree(own)
        kept = {key: tree[key] for key in ("name", "data") if key in tree}
        more = {key: value for key, value in tree["for"][rule].items() if key != "scenario"}
        found = with_rule(other | kept, rule)
        _merge(found, more)
        return found
    known = _kind(tree).rules
    if rule not in known:
        raise ScenarioError(f"no rule {rule!r}" + nearest(rule, known))
    changed = dict(tree)
    old = tree.get("rule")
    if not isinstance(old, dict) or old.get("name") != rule:
        changed["rule"] = {"name": rule}
    return changed


def _kind(tree: Mapping[str, Any]) -> _Kind:
    """Return what tables without populations are about: their task tells."""
    task = tree.get("task")
    if not isinstance(task, Mapping):
        return _Kind(Scenario, RULES, rule_of, "backprop")
    kinds = {
        "images": _Kind(ImagesScenario, image_rules(), image_rule_of, "stdp"),
        "hidden_pattern": _Kind(HiddenPattern, image_rules(), pattern_rule_of, "stdp"),
        "reward_choice": _Kind(RewardChoice, choice_rules(), choice_rule_of, "reward_stdp"),
    }
    kind = task.get("kind", "images")
    if kind not in kinds:
        raise ScenarioError(f"task.kind: got {kind!r}" + nearest(str(kind), kinds))
    return kinds[kind]


def _runs_alone(name: str) -> ScenarioError:
    return ScenarioError(
        f"{name} is a spiking network, which learns from no data set; run it by itself: biosim run"
    )


def _own_scenario(tree: Mapping[str, Any], rule: Any) -> str | None:
    """Return the name of the scenario that a rule has for itself, if it has one."""
    by_rule = tree.get("for", {})
    table = by_rule.get(str(rule)) if isinstance(by_rule, dict) else None
    return table.get("scenario") if isinstance(table, dict) else None


def _rule_name(tree: Mapping[str, Any]) -> str:
    table = tree.get("rule")
    default = _kind(tree).rule
    return str(table.get("name", default)) if isinstance(table, dict) else default


def _resolved(
    tree: Mapping[str, Any], given: list[tuple[list[str], Any]]
) -> Scenario | ImagesScenario | TaskScenario:
    """Return the tables, those of the rule and the parsed overrides, checked.

    Args:
        tree: tables.
        given: path and value of each override.
    """
    kind = _kind(tree)
    known = kind.rules
    tables: Tree = copy.deepcopy(dict(tree))
    by_rule = tables.pop("for", {})
    if not isinstance(by_rule, dict):
        raise ScenarioError(f"for: got {by_rule!r}; expected tables named after rules")
    for name, table in by_rule.items():
        if not isinstance(table, dict):
            raise ScenarioError(f"for.{name}: got {table!r}; expected tables such as run or rule")
        if name not in known and "scenario" not in table:
            raise ScenarioError(f"for.{name}: no such rule" + nearest(name, known))
    paths = [path for path, _ in given]
    if ["data", "file"] in paths and ["data", "name"] not in paths:
        given = [*given, (["data", "name"], "file")]  # in place of the scenario's own data set
    for path, value in given:
        _set(tables, path, value)
    name = _rule_name(tables)
    _merge(tables, by_rule.get(name, {}))
    for path, value in given:  # what was asked for on the command line stands above all
        _set(tables, path, value)
    rule = tables.get("rule", {"name": name})
    try:
        # Before the rest, so that a complaint about a parameter names its place.
        tables["rule"] = kind.rule_of(rule)
    except ValidationError as problem:
        raise ScenarioError(complaints(problem, ("rule",), known[_rule_name(tables)])) from None
    except ValueError as problem:
        named = str(rule.get("name")) if isinstance(rule, dict) else ""
        raise ScenarioError(f"rule.name: {problem}" + nearest(named, known)) from None
    try:
        return kind.model.model_validate(tables)
    except ValidationError as problem:
        raise ScenarioError(complaints(problem, (), kind.model)) from None


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
