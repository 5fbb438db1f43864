"""Which event-driven variables need not be kept by every synapse, and what an event does to them.

Why: a trace of pre-synaptic spikes is the same number in all synapses of one source and one
delay, so keeping it there once saves memory and time, synapse by synapse. That it is the same
number must be proved, not hoped for:

A variable is a *pre trace* if it starts with the same number everywhere, all statements that
write it are in `on_pre`, and each of them, like its own equation, reads only what is alike in
the row: constants, variables of the pre neuron, shared variables, time, and other pre traces. By
induction over the arrivals all copies are then equal. The same holds for a *post trace* with
`on_post` and the post neuron. An equation that couples a variable with one that every synapse
keeps needs both at the same time, so that the other is kept by every synapse too.

A row's statements are written in single assignment form, so that the code of one synapse can
read a trace as it was before, between or after the changes of the event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from biosim.equations import simplify
from biosim.equations.code import Assign, Effect
from biosim.equations.nodes import Name

Place = Literal["pre", "post", "own"]


@dataclass(frozen=True)
class Step:
    """One statement with its names resolved: `target = expression`.

    Args:
        target: a variable of the synapse, a trace, or a name of the code's own.
        expression: over variables, traces, `x_pre`, `x_post`, `t` and names assigned before.
        effect: `expression` is added to the variable `target` of the post neuron.
    """

    target: str
    expression: str
    effect: bool = False


@dataclass(frozen=True)
class Half:
    """What one of the two events does.

    Args:
        prelude: once a row (or post neuron): versions of its traces.
        final: trace of the row -> name of its last version.
        each: for every synapse, in order.
        effects: on the post neuron, to be evaluated when `each` has run.
    """

    prelude: tuple[Assign, ...]
    final: dict[str, str]
    each: tuple[Assign, ...]
    effects: tuple[Effect, ...]


def reads(expression: str) -> frozenset[str]:
    """Return the names that an expression reads."""
    return simplify.names_in(simplify.parse(expression))


def place(
    equations: Mapping[str, Set[str]],
    on_pre: Sequence[Step],
    on_post: Sequence[Step],
    *,
    kept: Set[str],
    alike_pre: Set[str],
    alike_post: Set[str],
    apart: Set[str] = frozenset(),
) -> dict[str, Place]:
    """Decide where each event-driven variable lives.

    Args:
        equations: variable -> names that its differential equation reads, itself included.
        on_pre: statements.
        on_post: statements.
        kept: other variables of every synapse.
        alike_pre: names with one value in all synapses of a row.
        alike_post: names with one value in all synapses of a post neuron.
        apart: variables that do not start with the same number everywhere.

    Returns:
        variable -> "pre", "post", or "own" for the synapse itself.
    """
    written_pre = {step.target for step in on_pre if not step.effect}
    written_post = {step.target for step in on_post if not step.effect}
    where: dict[str, Place] = {}
    for name in equations:
        if name in apart or (name in written_pre and name in written_post):
            where[name] = "own"
        else:
            where[name] = "post" if name in written_post else "pre"
    while True:
        pre = {name for name, at in where.items() if at == "pre"}
        post = {name for name, at in where.items() if at == "post"}
        everywhere = set(kept) | set(equations)
        wrong = written_apart(on_pre, pre, alike_pre, everywhere)
        wrong |= written_apart(on_post, post, alike_post, everywhere)
        wrong |= {name for name in pre if not equations[name] <= alike_pre | pre}
        wrong |= {name for name in post if not equations[name] <= alike_post | post}
        for name, at in where.items():
            if at == "own":
                wrong |= equations[name] & (pre | post)
        if not wrong:
            return where
        where |= dict.fromkeys(wrong, "own")


def split(
    steps: Iterable[Step], row: Sequence[str], *, kept: Set[str], alike: Set[str], taken: set[str]
) -> Half:
    """Separate what an event does once a row from what it does to each synapse.

    Args:
        steps: the event's statements.
        row: traces that live in the row of this event.
        kept: variables and traces of every synapse.
        alike: other names with one value in the row.
        taken: names that cannot be given to a version; new ones are added.
    """
    version = {name: name for name in row}
    known = set(alike) | set(row)
    prelude: list[Assign] = []
    each: list[Assign] = []
    sent: list[tuple[int, Effect]] = []
    for step in steps:
        newest = {old: Name(new) for old, new in version.items()}
        expression = simplify.simplified(step.expression, newest)
        alone = reads(expression) <= known
        if step.effect:
            sent.append((len(each), Effect(step.target, expression)))
        elif step.target in kept:
            each.append(Assign(step.target, expression))
        else:
            name = fresh(step.target, taken)
            version[step.target] = name
            (prelude if alone else each).append(Assign(name, expression))
            if alone:
                known.add(name)
    each, effects = settled(each, sent, taken)
    final = {name: version[name] for name in row}
    needed = set(final.values()) | set(kept)
    for effect in effects:
        needed |= reads(effect.expression)
    each = live(each, needed)
    return Half(tuple(live(prelude, needed)), final, tuple(each), tuple(effects))


def written_apart(
    steps: Sequence[Step], traces: Set[str], alike: Set[str], everywhere: Set[str]
) -> set[str]:
    """Return the traces that a statement sets to what differs between synapses of a row."""
    known = set(alike) | set(traces)
    wrong = set()
    for step in steps:
        alone = reads(step.expression) <= known
        if step.effect:
            continue
        if step.target in traces:
            if not alone:
                wrong.add(step.target)
        elif step.target not in everywhere:
            (known.add if alone else known.discard)(step.target)
    return wrong


def settled(
    each: list[Assign], sent: list[tuple[int, Effect]], taken: set[str]
) -> tuple[list[Assign], list[Effect]]:
    """Let every effect be evaluated at the end, keeping in a name what is overwritten later."""
    effects: list[Effect] = []
    copies: dict[tuple[int, str], str] = {}
    for at, effect in sent:
        if reads(effect.expression).isdisjoint(step.name for step in each[at:]):
            effects.append(effect)
            continue
        name = copies.get((at, effect.expression))
        if name is None:
            name = copies[at, effect.expression] = fresh("_sent", taken)
        effects.append(Effect(effect.variable, name))
    steps: list[Assign] = []
    for at in range(len(each) + 1):
        steps += [Assign(name, text) for (place, text), name in copies.items() if place == at]
        steps += each[at : at + 1]
    return steps, effects


def live(steps: list[Assign], needed: set[str]) -> list[Assign]:
    """Return the steps whose result is needed; `needed` grows by what these read."""
    kept = []
    for step in reversed(steps):
        if step.name in needed:
            kept.append(step)
            needed |= reads(step.expression)
    return kept[::-1]


def fresh(name: str, taken: set[str]) -> str:
    """Return the name with the first number that makes it new, and take it."""
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    taken.add(f"{name}_{number}")
    return f"{name}_{number}"
