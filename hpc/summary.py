"""What stored runs come to: one row a learning rule, read from their stores only.

Why rows are told apart by settings and not by the rule's name alone: a directory may hold a
sweep, and a mean over runs with different settings has no confidence interval. Why runs that
did not finish stay in their row: a mean over the seeds that survived must say how many did not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.special import stdtrit

from biosim.errors import OutputError
from biosim.events import Kind
from biosim.grid import IRRELEVANT, NO_RESULT
from biosim.ledger import ARITHMETIC
from biosim.runs import Listed, listed_runs
from biosim.store import PROGRESS, STORE
from biosim.traces import open_run
from hpc.exchange import is_recording
from hpc.report_spiking import is_spiking

DIRECTIONS = ("up", "down", "broadcast", "label", "phase", "score")
"""Where bytes go; feedback that leaves a population for several others is a broadcast."""

WAY = {
    Kind.ACTIVITY: "up",
    Kind.SPIKE: "up",
    Kind.FEEDBACK: "down",
    Kind.TARGET: "label",
    Kind.PHASE: "phase",
}


@dataclass(frozen=True, eq=False)
class StoredRun:
    """One run, or the place where one should be.

    Args:
        path: its directory.
        rule: its learning rule.
        seed: its seed; None if nothing tells.
        status: "complete", "running" (or killed), "diverged", "failed", "missing", "unreadable".
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
        return self.status == "complete"

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What the root of the store says: scenario, card, data, versions; empty without one."""
        return {} if self.tree is None else dict(self.tree.attrs)  # type: ignore[arg-type]

    def array(self, name: str) -> xr.DataArray | None:
        """Return the stored array of that name, such as "learning/accuracy", or None."""
        try:
            found = None if self.tree is None else self.tree[name]
        except KeyError:
            return None
        return found if isinstance(found, xr.DataArray) else None

    def values(self, name: str) -> npt.NDArray[Any]:
        """Return the values of the stored array of that name; one NaN if there is none."""
        found = self.array(name)
        return np.full(1, math.nan) if found is None else found.to_numpy()

    def directions(self) -> list[str]:
        """Return, for every projection of the ledger, which of `DIRECTIONS` it goes."""
        kinds = self.values("ledger/projections/kind")
        ends = self.values("ledger/projections/source")
        back = [end for end, kind in zip(ends, kinds, strict=True) if kind == Kind.FEEDBACK]
        return [
            "broadcast" if kind == Kind.FEEDBACK and back.count(end) > 1 else WAY.get(kind, "score")
            for end, kind in zip(ends, kinds, strict=True)
        ]

    def samples_per_second(self) -> float:
        """Return learning samples a second over the stored epochs; NaN if there are none."""
        rates, seconds = (self.values(f"timing/{n}") for n in ("samples_per_second", "learning"))
        learnt, spent = np.nansum(rates * seconds), seconds[np.isfinite(rates)].sum()
        return float(learnt / spent) if spent > 0 else math.nan


class Estimate(tuple[float, ...]):
    """A quantity, one value a seed."""

    @property
    def mean(self) -> float:
        """The mean; NaN without values."""
        return float(np.mean(list(self))) if self else math.nan

    @property
    def half_width(self) -> float:
        """Half the 95 % confidence interval of the mean (Student's t); NaN below two values."""
        n = len(self)
        if n < 2:
            return math.nan
        return float(stdtrit(n - 1, 0.975) * np.std(list(self), ddof=1) / math.sqrt(n))


@dataclass(frozen=True)
class Row:
    """A learning rule under one set of settings, over seeds.

    Args:
        label: the rule's name, with the settings that tell it from other rows of that rule.
        rule: the rule's name.
        scenario: the scenario's name.
        runs: all its runs.
        finished: those that count, one a seed.
        attributes: what the store of one of its runs says, a finished one if there is one.
        test: accuracy on the test set after the last epoch, in 0..1, by way of answering; the
            rule's own way first. `train`: the same on the training samples that were followed.
        supervised_readout: whether labels help to read the answer, beside the rule.
        samples_per_second: learning samples, median over seeds; evaluation left out.
        bytes_per_sample: that crossed projections for a learning sample, by direction.
        lag_ticks_max: most ticks between a layer's forward pass and its update.
        stale_updates_max: most updates of a layer that came in between: 0 where learning is exact.
        held_bytes: what layers kept while they waited: the peak of each, summed.
        multiply_adds: of dense products for a learning sample: forward, feedback, plasticity.
        weight_transport: "yes" or "no".
        phases: of a learning presentation.
    """

    label: str
    rule: str
    scenario: str
    runs: tuple[StoredRun, ...]
    finished: tuple[StoredRun, ...]
    attributes: Mapping[str, Any]
    test: Mapping[str, Estimate]
    train: Mapping[str, Estimate]
    supervised_readout: bool
    samples_per_second: float
    bytes_per_sample: Mapping[str, float]
    lag_ticks_max: float
    stale_updates_max: float
    held_bytes: float
    multiply_adds: Mapping[str, float]
    weight_transport: str
    phases: tuple[str, ...]

    @property
    def accuracy(self) -> Estimate:
        """Test accuracy of the rule's own way of answering, in 0..1."""
        return next(iter(self.test.values()), Estimate())

    @property
    def seeds(self) -> str:
        """How many seeds finished, of how many."""
        return f"{len(self.finished)}/{len({run.seed for run in self.runs})}"


def collect(directory: Path) -> list[StoredRun]:
    """Return the runs of a comparison, the run of a directory, or all runs below it.

    Runs of a comparison are in its order, with those that are missing; others by path.

    Raises:
        OutputError: no such directory, no run below it, or it cannot be read.
    """
    runs = list(_below(directory))
    if not runs:
        raise OutputError(
            f"{directory} holds no runs: expected {STORE} in it or below it; a spiking "
            "run is reported by its own directory"
        )
    return runs


def summarise(runs: Sequence[StoredRun]) -> list[Row]:
    """Return a row for every rule, or for every set of settings of a rule, in order.

    Where a seed was run more than once, the run that was begun last counts: equal seeds give
    equal results, and counted twice they would narrow the confidence interval.
    """
    rows: dict[tuple[str, str], list[StoredRun]] = {}
    for run in sorted(runs, key=lambda run: not run.attributes):  # those with settings first
        key = (run.rule, json.dumps(_settings(run), sort_keys=True))
        if not run.attributes:  # nothing but its rule is known: the rule's first row takes it
            key = next((known for known in rows if known[0] == run.rule), key)
        rows.setdefault(key, []).append(run)
    ordered = sorted(rows.values(), key=lambda row: min(map(runs.index, row)))
    return [_row(label, row) for label, row in zip(_labels(ordered), ordered, strict=True)]


def percent(share: float) -> str:
    """Return a share as a percentage with two digits; "-" for NaN."""
    return "-" if math.isnan(share) else f"{100 * share:.2f}"


def count(number: float) -> str:
    """Return a number with thousands marked, one digit only where it matters; "-" for NaN."""
    if math.isnan(number):
        return "-"
    digits = 1 if abs(number) < 100 and round(number, 1) != round(number) else 0
    return f"{number:,.{digits}f}"


def _below(directory: Path) -> Iterator[StoredRun]:
    for run in listed_runs(directory):
        if run.rule or not (is_spiking(run.path) or is_recording(run.path)):
            yield stored(run)


def stored(run: Listed) -> StoredRun:
    """Return a run as far as it can be read."""
    path, rule, seed = run.path, run.rule or "-", run.seed
    if not run.there:
        return StoredRun(path, run.rule, seed, "missing", f"there is no {STORE} in its directory")
    try:
        tree = open_run(path)
    except (OutputError, OSError, ValueError, KeyError) as problem:
        # A run that was killed while it wrote, or a damaged store, must not hide the others.
        return StoredRun(path, rule, seed, "unreadable", " ".join(str(problem).split()))
    said = tree.attrs
    status, error = str(said.get("status", "running")), str(said.get("error", ""))
    if status == "running":
        try:
            told = json.loads((path / PROGRESS).read_text(encoding="utf-8"))
            unit = "epoch" if "epochs" in told else "tick"
            done = f"{unit} {told[unit]:,} of {told[f'{unit}s']:,}"
            error = f"{done}; last heard of {told['updated']}"
        except (OSError, ValueError, KeyError, TypeError):
            error = "nothing is done"
    known = tree if "scenario" in said else None  # else it was killed before it wrote anything
    return StoredRun(path, said.get("rule", rule), said.get("seed", seed), status, error, known)


def _settings(run: StoredRun) -> dict[str, Any]:
    """Return the settings by which rows are told apart, as {"table.key": value}."""
    scenario = run.attributes.get("scenario", {})
    found = {"scenario": scenario.get("name")}
    for table, keys in scenario.items():
        if isinstance(keys, Mapping) and table not in NO_RESULT:
            found |= {f"{table}.{k}": v for k, v in keys.items()}
    return {key: value for key, value in found.items() if key not in IRRELEVANT}


def _labels(rows: Sequence[Sequence[StoredRun]]) -> list[str]:
    """Return the rule of each row, with the settings in which rows of that rule differ."""
    settings = [_settings(row[0]) for row in rows]
    kinds = [(row[0].rule, own["scenario"]) for row, own in zip(rows, settings, strict=True)]
    labels = []
    for (rule, scenario), own in zip(kinds, settings, strict=True):
        told = [str(scenario)] if len({other for _, other in kinds if other}) > 1 else []
        alike = [s for s, kind in zip(settings, kinds, strict=True) if kind == (rule, scenario)]
        told += [
            f"{key.rpartition('.')[2]}={own[key]}"
            for key in own
            if any(other.get(key) != own[key] for other in alike)
        ]
        labels.append(f"{rule} ({', '.join(told)})" if told else rule)
    return labels


def _row(label: str, runs: Sequence[StoredRun]) -> Row:
    by_seed: dict[int | None, StoredRun] = {}
    for run in sorted(runs, key=lambda run: str(run.attributes.get("started"))):
        if run.finished:
            by_seed[run.seed] = run
    finished = tuple(run for run in runs if by_seed.get(run.seed) is run)
    about = next((run.attributes for run in (*finished, *runs) if run.attributes), {})
    card = about.get("card", {})

    def each(column: str) -> list[npt.NDArray[Any]]:
        return [run.values(f"ledger/{column}") for run in finished]

    rates = [run.samples_per_second() for run in finished]
    sent = list(zip(each("projections/bytes_per_sample"), finished, strict=True))
    return Row(
        label=label,
        rule=runs[0].rule,
        scenario=str(about.get("scenario", {}).get("name", "")),
        runs=tuple(runs),
        finished=finished,
        attributes=about,
        test=_at_end(finished, "test"),
        train=_at_end(finished, "train"),
        supervised_readout=bool(card.get("supervised_readout", False)),
        samples_per_second=float(np.median(rates)) if rates else math.nan,
        bytes_per_sample={
            way: _mean([b[np.array(run.directions()) == way].sum() for b, run in sent])
            for way in DIRECTIONS
        },
        lag_ticks_max=max((v.max() for v in each("populations/lag_ticks_max")), default=math.nan),
        stale_updates_max=max(
            (v.max() for v in each("populations/stale_updates_max")), default=math.nan
        ),
        held_bytes=max((v.sum() for v in each("populations/held_bytes_max")), default=math.nan),
        multiply_adds={
            part: _mean([v.sum() for v in each(f"populations/{part}_multiply_adds")])
            for part in ARITHMETIC
        },
        weight_transport=str(card.get("weight_transport", "")),
        phases=tuple(card.get("phases", ())),
    )


def _at_end(runs: Sequence[StoredRun], split: str) -> dict[str, Estimate]:
    """Return accuracy after the last epoch over runs, by way of answering."""
    curves = [run.array("learning/accuracy") for run in runs]
    ends = [c.sel(split=split).isel(epoch=-1) for c in curves if c is not None]
    ways = [str(way) for way in ends[0]["way"].values] if ends else []
    return {way: Estimate(float(end.sel(way=way)) for end in ends) for way in ways}


def _mean(values: Sequence[Any]) -> float:
    return float(np.mean(values)) if values else math.nan
