"""What stored runs come to: one row a learning rule, read from their stores only.

Why rows are told apart by the resolved scenario and not by the rule's name alone: a directory
may hold a sweep, and a mean over runs with different settings has no confidence interval. Why
runs that did not finish stay in their row: a mean over the seeds that happened to survive must
say how many did not.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import stdtrit

from biosim.errors import OutputError
from biosim.events import Kind
from biosim.ledger import ARITHMETIC
from biosim.store import STORE
from biosim.traces import open_run
from hpc.output import COMPARISON

COMPLETE = "complete"
MISSING = "missing"
UNREADABLE = "unreadable"

DIRECTIONS = ("up", "down", "broadcast", "label", "phase", "score")
"""Where bytes go: from `direction`."""

IRRELEVANT = ("record", "run.seed", "run.evaluate_every", "run.pretend_ranks")
"""Settings that runs of one row may differ in: they do not change what is learnt, or how."""


@dataclass(frozen=True)
class StoredRun:
    """One run, or the place where one should be.

    Args:
        path: its directory.
        rule: its learning rule.
        seed: its seed; None if nothing tells.
        status: "complete", "running" (also of a run that was killed), "diverged", "failed",
            "missing" or "unreadable".
        error: why it is not complete, in one line.
        tree: the store; None if it is missing or unreadable.
    """

    path: Path
    rule: str
    seed: int | None
    status: str
    error: str = ""
    tree: xr.DataTree | None = None

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.status == COMPLETE

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What the root of the store says: scenario, card, data, versions; empty without one."""
        return {} if self.tree is None else self.tree.attrs

    def stored(self, name: str) -> xr.DataArray | None:
        """Return the array of that name, such as "learning/accuracy", or None."""
        try:
            return None if self.tree is None else self.tree[name]  # type: ignore[return-value]
        except KeyError:
            return None

    def samples_per_second(self) -> float:
        """Return the learning samples a second over the stored epochs; NaN if there are none."""
        rate, seconds = self.stored("timing/samples_per_second"), self.stored("timing/learning")
        if rate is None or seconds is None:
            return math.nan
        total = float(seconds.where(rate.notnull()).sum())
        return float((rate * seconds).sum()) / total if total else math.nan


@dataclass(frozen=True)
class Estimate:
    """A quantity over seeds.

    Args:
        values: one a seed.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean; NaN without values."""
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def half_width(self) -> float:
        """Half the width of the 95 % confidence interval (Student's t); NaN below two values."""
        n = len(self.values)
        if n < 2:
            return math.nan
        return float(stdtrit(n - 1, 0.975) * np.std(self.values, ddof=1) / math.sqrt(n))

    @property
    def least(self) -> float:
        """The smallest value; NaN without values."""
        return min(self.values, default=math.nan)


@dataclass(frozen=True)
class Row:
    """A learning rule under one scenario, over seeds.

    Args:
        label: the rule's name, with the settings that tell it from other rows of that rule.
        rule: the rule's name.
        scenario: the scenario's name.
        runs: all its runs, those that did not finish too.
        finished: the runs that count, one a seed.
        test: accuracy on the test set after the last epoch, in 0..1, by way of answering; the
            rule's own way first.
        train: the same on the training samples that were followed.
        supervised_readout: whether the answer is read by a layer that learns from labels while
            the rest does not.
        samples_per_second: learning samples, median over seeds; evaluation left out.
        bytes_per_sample: that crossed projections for a learning sample, by direction.
        lag_ticks_max: most ticks between a layer's forward pass and its update.
        held_bytes: what layers kept while they waited: the peak of each, summed.
        multiply_adds: of dense products for a learning sample, by "forward", "feedback",
            "plasticity".
        weight_transport: "yes" or "no".
        phases: of a learning presentation.
    """

    label: str
    rule: str
    scenario: str
    runs: tuple[StoredRun, ...]
    finished: tuple[StoredRun, ...]
    test: Mapping[str, Estimate]
    train: Mapping[str, Estimate]
    supervised_readout: bool
    samples_per_second: float
    bytes_per_sample: Mapping[str, float]
    lag_ticks_max: float
    held_bytes: float
    multiply_adds: Mapping[str, float]
    weight_transport: str
    phases: tuple[str, ...]

    @property
    def accuracy(self) -> Estimate:
        """Test accuracy of the rule's own way of answering, in 0..1."""
        return next(iter(self.test.values()), Estimate(()))

    @property
    def seeds(self) -> int:
        """How many seeds there are, finished or not."""
        return len({run.seed for run in self.runs})

    @property
    def unfinished(self) -> tuple[StoredRun, ...]:
        """The runs that did not come to their end."""
        return tuple(run for run in self.runs if not run.finished)

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What the store of one of its runs says, a finished one if there is one."""
        return next((r.attributes for r in (*self.finished, *self.runs) if r.attributes), {})


def collect(directory: Path) -> list[StoredRun]:
    """Return the runs of a comparison, the run of a directory, or all runs below it.

    Runs of a comparison are in its order, with those that are missing; others by path.

    Raises:
        OutputError: there is no such directory, no run below it, or a comparison's list that
            cannot be read.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise OutputError(f"{directory} is not a directory; expected one with runs in it")
    runs = list(_below(directory.parent if directory.name == STORE else directory))
    if not runs:
        raise OutputError(
            f"{directory} holds no runs: expected {STORE} or {COMPARISON} in it or below it"
        )
    return runs


def summarise(runs: Iterable[StoredRun]) -> list[Row]:
    """Return a row for every rule, or for every set of settings of a rule, in order.

    Where a seed was run more than once, the run that was begun last counts: equal seeds give
    equal results, and counted twice they would narrow the confidence interval.
    """
    grouped: dict[tuple[str, str], list[StoredRun]] = {}
    unread: list[StoredRun] = []
    for run in runs:
        if "scenario" in run.attributes:
            grouped.setdefault((run.rule, json.dumps(_settings(run), sort_keys=True)), []).append(
                run
            )
        else:
            # Only the rule's name is known: its first row takes it.
            unread.append(run)
    for run in unread:
        key = next((key for key in grouped if key[0] == run.rule), (run.rule, ""))
        grouped.setdefault(key, []).append(run)
    labels = _labels(list(grouped.values()))
    return [_row(label, of) for label, of in zip(labels, grouped.values(), strict=True)]


def direction(kind: int, fan_out: int) -> str:
    """Return where a projection sends, as one of `DIRECTIONS`.

    Args:
        kind: of its events, a number of `biosim.events.Kind`.
        fan_out: how many populations its source sends feedback to; feedback to more than one
            is a broadcast.
    """
    if kind == Kind.FEEDBACK:
        return "broadcast" if fan_out > 1 else "down"
    return {Kind.ACTIVITY: "up", Kind.TARGET: "label", Kind.PHASE: "phase"}.get(Kind(kind), "score")


def directions(run: StoredRun) -> list[str]:
    """Return the direction of every projection of a run's ledger."""
    kinds, sources = run.stored("ledger/projections/kind"), run.stored("ledger/projections/source")
    if kinds is None or sources is None:
        return []
    down = [s for s, k in zip(sources.values, kinds.values, strict=True) if k == Kind.FEEDBACK]
    pairs = zip(kinds.values, sources.values, strict=True)
    return [direction(int(kind), down.count(source)) for kind, source in pairs]


def table(rows: Sequence[Row]) -> str:
    """Return rows as plain text, about a hundred columns wide, with what the columns mean."""
    scenarios = sorted({row.scenario for row in rows if row.scenario})
    several = len(scenarios) > 1
    named = [
        row.label
        + (f" [{row.scenario}]" if several else "")
        + (" *" if row.supervised_readout else "")
        for row in rows
    ]
    answers = [("rule", "seeds", "test accuracy %", "least", "samples/s", "other ways %")]
    costs = [
        ("rule", "up", "down", "broadcast", "label", "lag", "held", "mult.-adds", "transp.",
         "phases")
    ]  # fmt: skip
    for name, row in zip(named, rows, strict=True):
        own, *others = row.test or [""]
        accuracy = percent(row.accuracy.mean)
        if row.finished:
            accuracy += f" ± {percent(row.accuracy.half_width):>5}"
        answers.append(
            (
                name,
                f"{len(row.finished)}/{row.seeds}",
                accuracy,
                percent(row.accuracy.least),
                count(row.samples_per_second),
                ", ".join(f"{way} {percent(row.test[way].mean)}" for way in others)
                + (f" (not {own})" if others else ""),
            )
        )
        sent = row.bytes_per_sample
        costs.append(
            (
                name,
                *(count(sent.get(way, math.nan)) for way in DIRECTIONS[:4]),
                count(row.lag_ticks_max),
                count(row.held_bytes),
                count(sum(row.multiply_adds.values()) if row.multiply_adds else math.nan),
                row.weight_transport or "-",
                ", ".join(row.phases) or "-",
            )
        )
    meaning = (
        "Test accuracy: the rule's own way of answering after the last epoch, mean over finished "
        "seeds ± half the 95 % confidence interval (Student's t); least: the worst seed. "
        "samples/s: learning only, median over seeds. up, down, broadcast, label: bytes that "
        "crossed projections for a learning sample. lag: most ticks from a layer's forward pass "
        "to its update. held: peak bytes that layers keep meanwhile. mult.-adds: of dense "
        "products for a learning sample. transp.: whether weights are used at both of their ends."
    )
    if any(row.supervised_readout for row in rows):
        meaning += " * the read-out alone learns from labels, by the delta rule: supervised."
    parts = [
        f"scenario {', '.join(scenarios) or '-'}",
        _aligned(answers, left={0, 5}),
        _aligned(costs, left={0, 8, 9}),
        textwrap.fill(meaning, 100),
    ]
    unfinished = [
        f"  {name}, seed {'-' if run.seed is None else run.seed}: {run.status}"
        + (f": {run.error}" if run.error else "")
        for name, row in zip(named, rows, strict=True)
        for run in row.unfinished
    ]
    if unfinished:
        parts.append("\n".join(["Not finished, and not in any number above:", *unfinished]))
    return "\n\n".join(parts)


def percent(share: float) -> str:
    """Return a share as a percentage with two digits; "-" for NaN."""
    return "-" if math.isnan(share) else f"{100 * share:.2f}"


def count(number: float) -> str:
    """Return a number with thousands marked, and one digit only where it matters."""
    if math.isnan(number):
        return "-"
    digits = 1 if abs(number) < 100 and round(number, 1) != round(number) else 0
    return f"{number:,.{digits}f}"


def flat(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return nested tables as {"table.key": value}."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = value
    return found


def _below(directory: Path) -> Iterator[StoredRun]:
    if (directory / COMPARISON).is_file():
        yield from _compared(directory)
    elif (directory / STORE).is_dir():
        yield _opened(directory, "-", None)
    else:
        try:
            # Links are not followed: they could lead in circles.
            inner = [
                path for path in directory.iterdir() if path.is_dir() and not path.is_symlink()
            ]
        except OSError as problem:
            raise OutputError(f"{directory} cannot be read ({problem.strerror})") from None
        for path in sorted(inner, key=lambda path: (len(path.name), path.name)):
            yield from _below(path)


def _compared(directory: Path) -> Iterator[StoredRun]:
    path = directory / COMPARISON
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["runs"]
        entries = [(directory / e["path"], str(e["rule"]), int(e["seed"])) for e in listed]
    except (OSError, ValueError, KeyError, TypeError):
        raise OutputError(f"{path} is not a list of runs; run the comparison again") from None
    for at, rule, seed in entries:
        if (at / STORE).is_dir():
            yield _opened(at, rule, seed)
        else:
            yield StoredRun(at, rule, seed, MISSING, f"there is no {STORE} in its directory")


def _opened(path: Path, rule: str, seed: int | None) -> StoredRun:
    try:
        tree = open_run(path)
    except (OutputError, OSError, ValueError, KeyError) as problem:
        # A run that was killed while it wrote, or a damaged store, must not hide the others.
        error = " ".join(str(problem).split())
        return StoredRun(path, rule, seed, UNREADABLE, error)
    found = tree.attrs
    status = str(found.get("status", "running"))
    error = str(found.get("error", ""))
    if status == "running":
        error = _progress(path)
    return StoredRun(
        path, str(found.get("rule", rule)), found.get("seed", seed), status, error, tree
    )


def _progress(path: Path) -> str:
    try:
        told = json.loads((path / "progress.json").read_text(encoding="utf-8"))
        return f"epoch {told['epoch']} of {told['epochs']}; last heard of {told['updated']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "no epoch is done"


def _settings(run: StoredRun) -> dict[str, Any]:
    leaves = flat(run.attributes["scenario"])
    return {
        key: value
        for key, value in leaves.items()
        if not any(key == name or key.startswith(f"{name}.") for name in IRRELEVANT)
    }


def _labels(groups: Sequence[Sequence[StoredRun]]) -> list[str]:
    settings = [_settings(g[0]) if "scenario" in g[0].attributes else {} for g in groups]
    labels = []
    for i, group in enumerate(groups):
        rule = group[0].rule
        alike = [s for s, other in zip(settings, groups, strict=True) if other[0].rule == rule]
        differing = [
            key
            for key in dict.fromkeys(key for s in alike for key in s)
            if any(s.get(key) != settings[i].get(key) for s in alike)
        ]
        what = [f"{key.split('.')[-1]}={settings[i].get(key)}" for key in differing]
        labels.append(f"{rule} ({', '.join(what)})" if what else rule)
    return labels


def _row(label: str, runs: Sequence[StoredRun]) -> Row:
    by_seed: dict[int | None, StoredRun] = {}
    for run in sorted(
        (run for run in runs if run.finished), key=lambda run: str(run.attributes.get("started"))
    ):
        by_seed[run.seed] = run
    finished = tuple(run for run in runs if by_seed.get(run.seed) is run)
    about = next((run.attributes for run in (*finished, *runs) if run.attributes), {})
    card = about.get("card", {})
    rates = [run.samples_per_second() for run in finished]
    return Row(
        label=label,
        rule=runs[0].rule,
        scenario=str(about.get("scenario", {}).get("name", "")),
        runs=tuple(runs),
        finished=finished,
        test=_last(finished, "test"),
        train=_last(finished, "train"),
        supervised_readout=bool(card.get("supervised_readout", False)),
        samples_per_second=float(np.median(rates)) if rates else math.nan,
        bytes_per_sample=_bytes(finished),
        lag_ticks_max=max((_of(r, "lag_ticks_max").max() for r in finished), default=math.nan),
        held_bytes=max((_of(r, "held_bytes_max").sum() for r in finished), default=math.nan),
        multiply_adds={
            part: float(np.mean([_of(r, f"{part}_multiply_adds").sum() for r in finished]))
            for part in ARITHMETIC
            if finished
        },
        weight_transport=str(card.get("weight_transport", "")),
        phases=tuple(card.get("phases", ())),
    )


def _last(runs: Sequence[StoredRun], split: str) -> dict[str, Estimate]:
    """Return accuracy after the last epoch over runs, by way of answering."""
    ends = [
        accuracy.sel(split=split).isel(epoch=-1)
        for accuracy in (run.stored("learning/accuracy") for run in runs)
        if accuracy is not None and accuracy.sizes["epoch"]
    ]
    ways = [str(way) for way in ends[0]["way"].values] if ends else []
    return {way: Estimate(tuple(float(end.sel(way=way)) for end in ends)) for way in ways}


def _bytes(runs: Sequence[StoredRun]) -> dict[str, float]:
    """Return bytes a learning sample by direction, mean over runs."""
    sums = []
    for run in runs:
        sent = run.stored("ledger/projections/bytes_per_sample")
        if sent is not None:
            where = np.array(directions(run))
            sums.append({way: float(sent.values[where == way].sum()) for way in DIRECTIONS})
    return {way: float(np.mean([s[way] for s in sums])) for way in DIRECTIONS if sums}


def _of(run: StoredRun, column: str) -> np.ndarray[Any, Any]:
    values = run.stored(f"ledger/populations/{column}")
    return np.full(1, np.nan) if values is None else values.to_numpy()


def _aligned(lines: Sequence[Sequence[str]], left: set[int]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
