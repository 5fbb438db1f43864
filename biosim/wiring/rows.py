"""Synapses as they are delivered: ordered by source and delay, for all that ends on one shard.

Why in two passes over the targets: what is drawn can be drawn again. The first pass counts the
synapses of each (source, delay), the second puts every synapse where it belongs; no list of
all synapses is ever held beside the result, which takes 2 bytes a synapse where weights are
shared and 6 where they are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from biosim.wiring.rules import Int64s, UInt32s, Wiring
from biosim.wiring.sorting import count, place, put, runs_of
from biosim.wiring.values import Amount, Constant, Floats, Stretch, stretch_of

Array = npt.NDArray[Any]

AT_ONCE = 1 << 17
"""Synapses, about, that are drawn before they are put away: they stay in the cache."""

TABLE = 1 << 22
"""Counters of (source, delay) that may always be held at once, 4 bytes each."""


@dataclass(frozen=True, eq=False)
class Part:
    """The synapses of one projection that end on one shard.

    Args:
        name: of the projection.
        wiring: its rule.
        weight: of each synapse, in SI units.
        delay: of each synapse, in whole ticks.
        seed: of the run.
        lo: first target that the shard owns.
        hi: end of the targets that it owns.
        n_pre: neurons of the source population.
        n_post: neurons of the target population.
        source_offset: where the source population begins among all sources.
        slot: where target `lo` is summed.
        scale: of the fixed point, a power of two: weights are stored as round(weight / scale)
            where they are stored as integers.
        purpose: for which weights are drawn. Another variable of the synapses is put in the
            order of the rows by building them from `replace(part, weight=..., purpose=...)`.
    """

    name: str
    wiring: Wiring
    weight: Amount
    delay: Amount
    seed: int
    lo: int
    hi: int
    n_pre: int
    n_post: int
    source_offset: int = 0
    slot: int = 0
    scale: float = 1.0
    purpose: str = "weight"

    def numbers(self) -> Int64s:
        """Return how many synapses each of the targets has, (hi - lo,)."""
        return self.wiring.numbers(self.lo, self.hi, self.n_pre, self.n_post, self.seed, self.name)

    def stretches(self) -> Iterator[Stretch]:
        """Draw the synapses, a stretch of targets after the other."""
        each = self.wiring.synapses(self.n_pre, self.n_post) / self.n_post
        step = max(1, int(AT_ONCE / max(each, 1.0)))
        for lo in range(self.lo, self.hi, step):
            hi = min(lo + step, self.hi)
            yield stretch_of(self.wiring, lo, hi, self.n_pre, self.n_post, self.seed, self.name)


@dataclass(eq=False)
class Rows:
    """The synapses of a shard, ordered by (source, delay).

    A run is what one source sends at one delay (and with one weight, where weights are kept a
    run). Within a run synapses are in the order of the parts, of the targets, and of the
    target's list.

    Args:
        row: int64 (n_sources + 1,): the runs of a source.
        delay: uint16 (n_runs,), ticks.
        start: int64 (n_runs + 1,): the synapses of a run.
        slot: uint16 or uint32 (n_synapses,): where the input of the target is summed.
        weight: (n_synapses,), or None where all of a run have one weight.
        run_weight: (n_runs,), or None.
    """

    row: Int64s
    delay: npt.NDArray[np.uint16]
    start: Int64s
    slot: npt.NDArray[np.uint16] | UInt32s
    weight: Array | None
    run_weight: Array | None

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        arrays = (self.row, self.delay, self.start, self.slot, self.weight, self.run_weight)
        return sum(array.nbytes for array in arrays if array is not None)

    @property
    def single(self) -> bool:
        """Whether no source has more than one run."""
        return bool((np.diff(self.row) <= 1).all())

    def runs_of_sources(self) -> tuple[Array, Array | None]:
        """Return start (n_sources + 1,) and run_weight (n_sources,) where all are `single`."""
        kind = np.int32 if len(self.slot) < 2**31 else np.int64
        weight = self.run_weight
        if weight is not None:
            at = np.minimum(self.row[:-1], len(weight) - 1)
            weight = weight[at] if len(weight) else np.zeros(len(at), weight.dtype)
        return self.start[self.row].astype(kind), weight

    def make_room(self, n: int) -> None:
        """Make room for n synapses, and forget those there are."""
        self.slot = np.empty(n, self.slot.dtype)
        if self.weight is not None:
            self.weight = np.empty(n, self.weight.dtype)

    def make_runs(self, n: int) -> int:
        """Make room for n more runs; return how many there were."""
        there = len(self.delay)
        for array in (self.delay, self.start, self.run_weight):
            if array is not None:
                # In place: where there are many runs, they must not be held twice.
                array.resize(len(array) + n, refcheck=False)
        return there


def build_rows(
    parts: Sequence[Part],
    n_sources: int,
    dtype: npt.DTypeLike = np.int32,
    weights: Literal["auto", "each"] = "auto",
) -> Rows:
    """Draw the synapses of a shard and order them by (source, delay).

    Args:
        parts: what ends on the shard, projection by projection.
        n_sources: of all populations that send.
        dtype: of weights: int32 or int64 for fixed point, float32 or float64 for weights as
            they are.
        weights: "each": a weight for every synapse; "auto": one a run where every part's
            weight is constant.

    Returns:
        The rows; the same synapses come out however targets are cut into shards.
    """
    kind = np.dtype(dtype)
    columns = _Columns(parts, kind, weights == "auto")
    slots = max((part.slot + part.hi - part.lo for part in parts), default=0)
    slot_kind = np.dtype(np.uint16 if slots <= 1 << 16 else np.uint32)
    bounds = _bounds(parts, n_sources, columns, slot_kind.itemsize + kind.itemsize)
    rows = Rows(
        np.zeros(n_sources + 1, np.int64),
        np.empty(0, np.uint16),
        np.zeros(1, np.int64),
        np.empty(0, slot_kind),
        None if columns.shared else np.empty(0, kind),
        np.empty(0, kind) if columns.shared else None,
    )
    if len(bounds) > 2:
        rows.make_room(_total(parts))
    for first, last in pairwise(bounds):
        cut = (first, last) if len(bounds) > 2 else None
        table = np.zeros((last - first) * columns.width, np.uint32)
        for n, part in enumerate(parts):
            for stretch in part.stretches():
                sources, column, each, _ = columns.of(n, part, stretch, cut)
                count(sources, column, each, first - part.source_offset, columns.width, table)
        done = int(rows.start[-1])
        columns.add_runs(rows, first, last, table)
        if len(bounds) == 2:  # so far nobody knew how many synapses there are
            rows.make_room(int(rows.start[-1]))
        _fill(rows, done, parts, columns, first, cut, table)
    np.cumsum(rows.row, out=rows.row)
    return rows


def _fill(
    rows: Rows,
    done: int,
    parts: Sequence[Part],
    columns: _Columns,
    first: int,
    cut: tuple[int, int] | None,
    table: UInt32s,
) -> None:
    """Put every synapse where it belongs; `table` says where, counted from `done`."""
    slot = rows.slot[done:]
    weight = None if rows.weight is None else rows.weight[done:]
    for n, part in enumerate(parts):
        for stretch in part.stretches():
            sources, column, each, kept = columns.of(n, part, stretch, cut)
            places = np.empty(len(sources), np.uint32)
            place(sources, column, each, first - part.source_offset, columns.width, table, places)
            put(_slots(part, stretch, slot.dtype)[kept], places, slot)
            if weight is not None:
                drawn = stored(part.weight.draw(stretch, part.purpose), part.scale, weight.dtype)
                put(drawn[kept], places, weight)


def absolute_sums(part: Part) -> Floats:
    """Return the sum of |weight| over the synapses of each target, float64 (hi - lo,).

    A target's sum is taken in the order of its list, and so is the same however targets are cut
    into shards.
    """
    if isinstance(part.weight, Constant):
        return part.numbers().astype(np.float64) * abs(part.weight.value)
    sums: list[Floats] = [np.zeros(0)]
    for stretch in part.stretches():
        n = len(stretch.indptr) - 1
        target = np.repeat(np.arange(n), np.diff(stretch.indptr))
        weights = part.weight.draw(stretch, part.purpose)
        counted: Any = np.bincount(target, np.abs(weights, out=weights), minlength=n)
        sums.append(counted)
    return np.concatenate(sums)


class _Columns:
    """What a source's synapses are sorted by: delays, with shared weights (delay, weight)."""

    def __init__(self, parts: Sequence[Part], kind: np.dtype[Any], share: bool) -> None:
        self.shared = share and all(isinstance(part.weight, Constant) for part in parts)
        self._ticks = [_ticks(part) for part in parts]
        self._weight = [_constant(part, kind) if self.shared else kind.type(0) for part in parts]
        found = {
            (int(tick), weight)
            for ticks, weight in zip(self._ticks, self._weight, strict=True)
            for tick in range(ticks[0], ticks[1] + 1)
        }
        ordered = sorted(found)
        self._at = {pair: column for column, pair in enumerate(ordered)}
        self.width = len(ordered)
        self._delay = np.array([tick for tick, _ in ordered], np.uint16)
        self._run_weight = np.array([weight for _, weight in ordered], kind)
        self._columns = [
            np.array([self._at[tick, weight] for tick in range(ticks[0], ticks[1] + 1)], np.uint32)
            for ticks, weight in zip(self._ticks, self._weight, strict=True)
        ]

    def of(
        self, n: int, part: Part, stretch: Stretch, cut: tuple[int, int] | None
    ) -> tuple[UInt32s, UInt32s, int, Any]:
        """Return sources, columns (or none), the column of all, and which synapses these are.

        Args:
            n: number of the part.
            part: the part.
            stretch: its synapses.
            cut: sources, of all, that count; None for all.
        """
        sources = stretch.sources
        kept: Any = slice(None)
        if cut is not None:
            at = sources.astype(np.int64) + part.source_offset
            kept = np.flatnonzero((at >= cut[0]) & (at < cut[1]))
            sources = sources[kept]
        columns = self._columns[n]
        if len(columns) <= 1:
            return sources, columns[:0], int(columns[0]) if len(columns) else 0, kept
        ticks = part.delay.draw(stretch, "delay")[kept]
        ticks -= self._ticks[n][0]
        return sources, columns[ticks.astype(np.intp)], 0, kept

    def add_runs(self, rows: Rows, first: int, last: int, table: UInt32s) -> None:
        """Add the runs of the sources [first, last) that are counted in `table`.

        Afterwards the table says where each run begins.
        """
        there = rows.make_runs(int(np.count_nonzero(table)))
        column = np.empty(len(rows.delay) - there, np.uint32)
        ends = rows.start[there + 1 :]
        runs_of(table, self.width, rows.row[first + 1 : last + 1], column, ends)
        np.cumsum(ends, out=ends)
        assert not len(ends) or ends[-1] < 2**32, "places are uint32: `_bounds` cuts too coarsely"
        ends += rows.start[there]
        np.take(self._delay, column, out=rows.delay[there:], mode="clip")
        if rows.run_weight is not None:
            np.take(self._run_weight, column, out=rows.run_weight[there:], mode="clip")


def _ticks(part: Part) -> tuple[int, int]:
    """Return the least and the greatest delay that occur."""
    ends = part.delay.ends
    if ends is None:
        drawn = [part.delay.draw(stretch, "delay") for stretch in part.stretches()]
        ends = (
            min((float(ticks.min(initial=np.inf)) for ticks in drawn), default=1.0),
            max((float(ticks.max(initial=0.0)) for ticks in drawn), default=0.0),
        )
    return (int(ends[0]), int(ends[1])) if ends[0] <= ends[1] else (1, 1)


def _constant(part: Part, kind: np.dtype[Any]) -> Any:
    assert isinstance(part.weight, Constant)
    return stored(np.array([part.weight.value]), part.scale, kind)[0]


def stored(weights: Floats, scale: float, kind: np.dtype[Any]) -> Array:
    """Return weights as they are stored: integers count in units of the scale."""
    if kind.kind == "f":
        return weights.astype(kind)
    scaled = weights / scale
    np.rint(scaled, out=scaled)
    return scaled.astype(kind)


def _slots(part: Part, stretch: Stretch, kind: np.dtype[Any]) -> Array:
    begin = part.slot + stretch.lo - part.lo
    numbers = np.diff(stretch.indptr)
    return np.repeat(np.arange(begin, begin + len(numbers), dtype=kind), numbers)


def _expected(part: Part) -> float:
    """Return about how many synapses a part has."""
    return part.wiring.synapses(part.n_pre, part.n_post) * (part.hi - part.lo) / part.n_post


def _total(parts: Sequence[Part]) -> int:
    """Return how many synapses there are."""
    return sum(int(part.numbers().sum()) for part in parts)


def _bounds(parts: Sequence[Part], n_sources: int, columns: _Columns, size: int) -> Int64s:
    """Return where the sources are cut, so that the counters are few beside the result."""
    expected = sum(_expected(part) for part in parts)
    room = max(TABLE, int(expected) * size // 40)
    cuts = max(1, -(-n_sources * columns.width // room), int(expected // 2**31) + 1)
    return np.arange(cuts + 1) * n_sources // cuts
