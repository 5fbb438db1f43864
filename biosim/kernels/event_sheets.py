"""Source text of an event-driven sheet's kernels: neurons move when something happens.

A neuron is awake in a tick if input has reached it, if it spiked in the tick before, or if the
ceiling of its future, were no input to come, is above the threshold. Awake neurons take the same
step as clock-driven ones; a neuron that wakes first jumps, by the exact solution, over the ticks
that it slept. So a spike is at the first tick at which the exact solution exceeds the threshold.
"""

from __future__ import annotations

from biosim.kernels.emit import Precision, names_in, printed, renamed
from biosim.kernels.sheets import (
    SheetCode,
    applied,
    function,
    loaded,
    opened,
    refraction,
)

LISTS = ("touched", "awake", "staying", "mark", "moved")
"""Arrays that an event-driven sheet has beside its state: who is awake, and since when asleep."""


def update_event_text(sheet: SheetCode, name: str, precision: Precision) -> str:
    """Return the function that advances the neurons that are awake by a tick.

    It returns the number of spikes, or -1 - i if the state of neuron i is not finite.
    """
    code, names = sheet.code, sheet.names()
    assert code.ceiling is not None
    body = ["k = touched[s]", *loaded(sheet), *jumped(sheet, precision)]
    body += [*applied(sheet, emptied=True), *opened(sheet, precision)]
    moved = [a.name for a in code.update if a.name in sheet.casts]
    for a in code.update:
        target = f"new_{a.name}" if a.name in sheet.casts else f"u{a.name}"
        cast = sheet.casts.get(a.name, "")
        body.append(f"{target} = {cast}({printed(a.expression, precision, names)})")
    for x in moved:
        kept = f" if open else v_{x}" if x in sheet.gated else ""
        body.append(f"v_{x} = new_{x}{kept}")
    stored = list(dict.fromkeys([*moved, *sheet.receptors]))
    body += [f"a_{x}[k] = v_{x}" for x in stored]
    size = " + ".join(f"abs(v_{x})" for x in stored if sheet.casts[x] == "F") or "F(0.0)"
    body += [f"if not ({size} <= GREATEST):", "    return -1 - k", "moved[k] = tick + 1"]
    spikes, rises = "False", "False"
    if code.threshold is not None:
        spikes = f"({printed(code.threshold, precision, names)}) & open"
        rises = printed(renamed(code.threshold, ceilings(sheet)), precision, names)
    body += [
        f"if {spikes}:",
        *(f"    {line}" for line in refraction(sheet, precision)),
        "    spiked[m] = k",
        "    ids[m] = gid[k]",
        "    m += 1",
        f"elif not ({rises}):",
        "    continue",
        "staying[left] = k",
        "left += 1",
    ]
    arguments = ["tick", "t", "gid", "ids", "spiked", "touched", "awake", "staying", "mark"]
    arguments += ["moved", *sheet.arguments()]
    return function(
        f"{name}({', '.join(arguments)})",
        [
            "m = 0",
            "left = 0",
            "for s in range(awake[0]):",
            *(f"    {line}" for line in body),
            "for s in range(left):",
            "    touched[s] = staying[s]",
            "    mark[staying[s]] = tick + 1",
            "awake[0] = left",
            "return m",
        ],
    )


def jumped(sheet: SheetCode, precision: Precision) -> list[str]:
    """Return lines that take neuron k over the ticks that it slept."""
    assert sheet.code.jump is not None
    lines = ["gap = tick - moved[k]"]
    body = []
    if sheet.refracts:
        # While it is refractory, some variables hold still: first the others, then all.
        held = "max(np.int64(a__left[k]) - 1, 0)"
        body += [f"still = min({held}, gap)", "a__left[k] = max(np.int64(a__left[k]) - gap, 0)"]
        body += ["elapsed = F(still * DT)", *_solved(sheet, precision, sheet.gated)]
        body += ["elapsed = F((gap - still) * DT)", *_solved(sheet, precision, frozenset())]
    else:
        body += ["elapsed = F(gap * DT)", *_solved(sheet, precision, frozenset())]
    return [*lines, "if gap > 0:", *(f"    {line}" for line in body)]


def ceilings(sheet: SheetCode) -> dict[str, str]:
    """Return what to put in place of the variable that the threshold tests."""
    code = sheet.code
    assert code.threshold is not None
    assert code.ceiling is not None
    states = {a.name for a in code.update if a.name in sheet.casts}
    return dict.fromkeys(names_in(code.threshold) & states, f"({code.ceiling})")


def _solved(sheet: SheetCode, precision: Precision, held: frozenset[str]) -> list[str]:
    assert sheet.code.jump is not None
    names = sheet.names() | {"elapsed": "elapsed"}
    names |= {a.name: f"j{a.name}" for a in sheet.code.jump if a.name not in sheet.casts}
    lines, states = [], []
    for a in sheet.code.jump:
        target = f"j_{a.name}" if a.name in sheet.casts else f"j{a.name}"
        lines.append(f"{target} = F({printed(a.expression, precision, names)})")
        if a.name in sheet.casts and a.name not in held:
            states.append(a.name)
    return [*lines, *(f"v_{x} = j_{x}" for x in states)]


def unsolvable(sheet: SheetCode) -> str:
    """Return in words why a sheet cannot be event-driven, or ""."""
    if sheet.waits:
        return "its refractoriness ends on a condition, which would be tested at every tick"
    return sheet.code.ceiling_reason
