"""What the command line prints about rules and scenarios: text, no results."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import torch

from rules import RULES, SYNAPSE_RULES, Rule, Stack, SynapseRule, synaptic
from rules.card import facts, parameters
from scenarios.reading import built_in, read_tree
from scenarios.scenario import Checkpoints, Data, Layers, Place, Record, Run, Table

WIDTH = 92


def rules_text() -> str:
    """Return one line a rule."""
    layered = [f"{name:28}{_summary(rule)}" for name, rule in RULES.items()]
    spiking = [f"{name:28}{_summary(rule)}" for name, rule in SYNAPSE_RULES.items()]
    more = "More on one: biosim explain noprop"
    return "\n".join(
        ["of layers:", *layered, "", "of synapses between spiking neurons:", *spiking, "", more]
    )


def scenarios_text() -> str:
    """Return one line a built-in scenario: its name and what its file begins with."""
    lines = []
    for name, path in built_in().items():
        first = path.read_text(encoding="utf-8").splitlines()[0]
        lines.append(f"{name:16}{first.lstrip('# ')}")
    more = "A copy to change: biosim new my_scenario, or biosim new my_network --spiking"
    return "\n".join([*lines, "", more])


def card_text(name: str, rule: type[Rule]) -> str:
    """Return the card of a rule, read off a small network that it wires."""
    stack = Stack(inputs=8, hidden=(4, 4), classes=3, samples=16, mean=torch.zeros(8))
    made = rule.model_validate({"name": name})
    found = facts(made, made.wire(stack))
    rows = [
        ("source", found["source"]),
        ("equations", found["equations"]),
        ("locality", found["locality"]),
        ("weight transport", found["weight_transport"]),
        ("a synapse reads", ", ".join(found["reads"])),
        ("pathways", "; ".join(f"{k}: {v}" for k, v in found["pathways"].items()) or "none"),
        ("phases", ", ".join(found["phases"])),
        ("ticks", f"{found['ticks_a_presentation']} a presentation, at least"),
        ("answers by", ", ".join(found["ways_of_answering"])),
        ("read-out", "supervised, beside the rule" if found["supervised_readout"] else "its own"),
    ]
    lines = _titled(name, found["summary"], rows)
    lines += ["", "parameters (rule.NAME=VALUE):"]
    lines += [f"  {key:16}{default:16}{meaning}" for key, default, meaning in parameters(rule)]
    return "\n".join(lines)


def synapse_card_text(name: str, rule: type[SynapseRule]) -> str:
    """Return the card of a rule of synapses, read off its equations."""
    found = synaptic.facts(rule.model_validate({"name": name}))
    rows = [
        ("source", found["source"]),
        ("equations", found["equations"]),
        ("locality", found["locality"]),
        ("a synapse reads", ", ".join(found["reads"])),
    ]
    lines = _titled(name, found["summary"], rows)
    for title in ("model", "on_pre", "on_post"):
        text = textwrap.dedent(found[title]).strip()
        lines += ["", f"{title}:", textwrap.indent(text, "  ")] if text else []
    lines += ["", "parameters (of a projection's plasticity):"]
    lines += [f"  {key:18}{default:18}{meaning}" for key, default, meaning in parameters(rule)]
    return "\n".join(lines)


def _titled(name: str, summary: str, rows: list[tuple[str, str]]) -> list[str]:
    lines = [f"{name}: {summary}", ""]
    for title, text in rows:
        wrapped = textwrap.wrap(text, WIDTH - 18) or [""]
        lines.append(f"{title:18}{wrapped[0]}")
        lines += [" " * 18 + more for more in wrapped[1:]]
    return lines


def starter_text(name: str) -> str:
    """Return a commented scenario file: every table, every key, its default and meaning."""
    tables: dict[str, type[Table]] = {
        "data": Data,
        "network": Layers,
        "run": Run,
        "place": Place,
        "checkpoint": Checkpoints,
        "record": Record,
    }
    digits = read_tree("digits")
    lines = [
        f"# {name}: a scenario for biosim.",
        "# A line that begins with # shows a default, or ... where there is none; take the # away",
        "# to change it.",
        f"# Check it: biosim validate {name}.toml      Run it: biosim run {name}.toml",
        f"name = {_toml(name)}",
    ]
    for title, table in tables.items():
        lines += ["", f"[{title}]"]
        for key, field in table.model_fields.items():
            default = _toml(field.get_default(call_default_factory=True))
            given = digits.get(title, {}).get(key)
            shown = f"# {key} = {default}" if given is None else f"{key} = {_toml(given)}"
            lines.append(f"{shown:36}# {field.description}")
        if title == "network":
            lines += [
                "",
                "[rule]",
                f"{'name = ' + repr('backprop').replace(chr(39), chr(34)):36}# {', '.join(RULES)}",
                "# parameters of each rule: biosim explain RULE",
            ]
    lines += [
        "",
        "# What one rule needs otherwise, in a comparison or by rule.name=...",
        "# [for.noprop]",
        "# run = { epochs = 60 }",
    ]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if value is None:
        return "..."
    if isinstance(value, str | Path):
        return json.dumps(str(value))
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value)


def _summary(rule: type[Rule] | type[SynapseRule]) -> str:
    return (rule.__doc__ or "").strip().splitlines()[0]
