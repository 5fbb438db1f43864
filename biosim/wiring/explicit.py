"""Wiring that is listed: pairs, sparse matrices, tables of connectomes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from biosim.errors import DataError
from biosim.wiring.rules import Int64s, Lists, UInt32s, check_sizes, refusal


@dataclass(frozen=True, eq=False)
class Pairs:
    """Synapses that are listed, in any order; a pair may be listed more than once.

    Args:
        pre: (n_synapses,) index of each synapse's source.
        post: (n_synapses,) index of each synapse's target.
        shape: (n_post, n_pre) that the populations must have; None for any that reach as far.
    """

    pre: npt.ArrayLike
    post: npt.ArrayLike
    shape: tuple[int, int] | None = None

    def check(self, n_pre: int, n_post: int, name: str) -> None:
        """Raise NetworkError if an index points beyond its population."""
        check_sizes(n_pre, n_post, name)
        if self.shape is not None and tuple(self.shape) != (n_post, n_pre):
            raise refusal(
                f"projection {name!r} is wired by a matrix of shape {tuple(self.shape)}; expected "
                f"{(n_post, n_pre)}, a row for each target and a column for each source"
            )
        pre, post = np.asarray(self.pre), np.asarray(self.post)
        if pre.ndim != 1 or pre.shape != post.shape:
            raise refusal(
                f"projection {name!r} lists sources of shape {pre.shape} and targets of shape "
                f"{post.shape}; expected one of each a synapse"
            )
        for index, n, end in ((pre, n_pre, "source"), (post, n_post, "target")):
            if len(index) and index.dtype.kind not in "iu":
                raise refusal(
                    f"projection {name!r} lists {end}s as {index.dtype}; expected whole numbers"
                )
            wrong = np.flatnonzero((index < 0) | (index >= n))
            if len(wrong):
                raise refusal(
                    f"projection {name!r} lists {end} {index[wrong[0]]} for synapse {wrong[0]}; "
                    f"expected 0 to {n - 1}"
                )

    @cached_property
    def order(self) -> Int64s:
        """The listed synapses by target, (n_synapses,); those of one target as they are listed."""
        return np.argsort(np.asarray(self.post), kind="stable")

    @cached_property
    def _ordered(self) -> tuple[Int64s, UInt32s]:
        """Targets and sources by target."""
        post, pre = np.asarray(self.post), np.asarray(self.pre)
        return post[self.order].astype(np.int64), pre[self.order].astype(np.uint32)

    def listed(self, lo: int, hi: int) -> Int64s:
        """Return which of the listed synapses end on targets [lo, hi), in the order of `sources`.

        By these, arrays that go with the list are read.
        """
        first, last = np.searchsorted(self._ordered[0], [lo, hi])
        return self.order[first:last]

    def synapses(self, n_pre: int, n_post: int) -> float:
        """Return how many synapses are listed."""
        return float(len(np.asarray(self.post)))

    def numbers(self, lo: int, hi: int, n_pre: int, n_post: int, seed: int, name: str) -> Int64s:
        """Return how many synapses each of the targets [lo, hi) has."""
        return np.diff(np.searchsorted(self._ordered[0], np.arange(lo, hi + 1)))

    def sources(self, lo: int, hi: int, n_pre: int, n_post: int, seed: int, name: str) -> Lists:
        """Return the sources of the targets [lo, hi)."""
        targets, sources = self._ordered
        ends = np.searchsorted(targets, np.arange(lo, hi + 1))
        return ends - ends[0], sources[ends[0] : ends[-1]]


class Weighted(NamedTuple):
    """A listed wiring, and the weight of each listed synapse."""

    wiring: Pairs
    weights: npt.NDArray[np.float64]


class Connectome(NamedTuple):
    """A wiring read from a table, the weight of each synapse, and where each name stands."""

    wiring: Pairs
    weights: npt.NDArray[np.float64]
    names: dict[str, int]


def from_matrix(matrix: Any) -> Weighted:
    """Return the wiring and the weights of a matrix (n_post, n_pre), sparse or dense.

    What a sparse matrix stores is a synapse, also if it is zero; a dense one's zeros are none.

    Raises:
        NetworkError: it is no matrix.
    """
    from scipy import sparse

    if not sparse.issparse(matrix) and np.ndim(matrix) != 2:
        raise refusal(
            f"a wiring was to be made of an array of shape {np.shape(matrix)}; expected a matrix "
            "with a row for each target and a column for each source"
        )
    listed = sparse.coo_array(matrix)
    wiring = Pairs(listed.col.astype(np.int64), listed.row.astype(np.int64), listed.shape)
    return Weighted(wiring, listed.data.astype(np.float64))


def from_table(
    path: str | Path,
    source: str = "source",
    target: str = "target",
    weight: str | None = "weight",
    names: Mapping[str, int] | Sequence[str] | None = None,
    only: Mapping[str, str] | None = None,
) -> Connectome:
    """Read a connectome: one synapse, or bundle of synapses, a line, under a line of headings.

    Cells are separated by tabs or commas, in lines without either by blanks; they are stripped,
    and headings are found whether large or small letters are used.

    Args:
        path: of the file.
        source: heading of the column with the names of the sources.
        target: heading of the column with the names of the targets.
        weight: heading of the column of numbers; None: every synapse weighs 1.
        names: neurons in the order of their index, or name -> index; None: all that occur,
            sorted.
        only: heading -> what has to stand there for a line to count.

    Raises:
        DataError: the file cannot be read, lacks a column, has a line with too few cells, a
            weight that is no number, or a name that is not among those given.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the table {path}: {error}") from error
    lines = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
    headings = [cell.lower() for cell in _cells(lines[0][1])] if lines else []
    wanted = [source, target, *([] if weight is None else [weight]), *(only or {})]
    for heading in wanted:
        if heading.lower() not in headings:
            raise DataError(
                f"the table {path} has no column {heading!r}; it has "
                f"{', '.join(headings) or 'no headings'}"
            )
    column = {heading: headings.index(heading.lower()) for heading in wanted}
    pre: list[str] = []
    post: list[str] = []
    weights: list[float] = []
    for number, line in lines[1:]:
        cells = _cells(line)
        if len(cells) <= max(column.values()):
            raise DataError(
                f"line {number} of {path} has {len(cells)} cells; expected {len(headings)}"
            )
        if any(cells[column[heading]] != value for heading, value in (only or {}).items()):
            continue
        pre.append(cells[column[source]])
        post.append(cells[column[target]])
        weights.append(1.0 if weight is None else _number(cells[column[weight]], number, path))
    if names is None:
        names = sorted({*pre, *post})
    index = dict(names) if isinstance(names, Mapping) else {name: i for i, name in enumerate(names)}
    for name in (*pre, *post):
        if name not in index:
            raise DataError(f"the table {path} names {name!r}, which is not among the names given")
    wiring = Pairs(
        np.array([index[name] for name in pre], np.int64),
        np.array([index[name] for name in post], np.int64),
    )
    return Connectome(wiring, np.array(weights, np.float64), index)


def _cells(line: str) -> list[str]:
    """Return the cells of a line, stripped."""
    apart = re.split(r"[\t,]", line) if re.search(r"[\t,]", line) else line.split()
    return [cell.strip() for cell in apart]


def _number(cell: str, line: int, path: str | Path) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"line {line} of {path} has the weight {cell!r}; expected a number")
    return number
