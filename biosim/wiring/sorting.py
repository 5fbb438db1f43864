"""The compiled part of ordering synapses: a counting sort by (source, column).

A column stands for a delay, or for a delay and a weight. Counters, uint32, are numbered
(source - first) x width + column.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from biosim.wiring.drawing import compiled


@compiled
def count(sources: Any, columns: Any, column: Any, first: Any, width: Any, table: Any) -> None:
    """Count synapses in `table`.

    Args:
        sources: uint32 (n,).
        columns: uint32 (n,), or (0,) where all are in one.
        column: that one.
        first: the source that the table begins with.
        width: columns a source.
        table: uint32, counted up.
    """
    if columns.shape[0]:
        for s in range(sources.shape[0]):
            table[(np.int64(sources[s]) - first) * width + np.int64(columns[s])] += np.uint32(1)
    else:
        for s in range(sources.shape[0]):
            table[(np.int64(sources[s]) - first) * width + column] += np.uint32(1)


@compiled
def place(
    sources: Any, columns: Any, column: Any, first: Any, width: Any, table: Any, places: Any
) -> None:
    """Fill places, uint32 (n,), with the next free place of each synapse's counter."""
    if columns.shape[0]:
        for s in range(sources.shape[0]):
            at = (np.int64(sources[s]) - first) * width + np.int64(columns[s])
            places[s] = table[at]
            table[at] += np.uint32(1)
    else:
        for s in range(sources.shape[0]):
            at = (np.int64(sources[s]) - first) * width + column
            places[s] = table[at]
            table[at] += np.uint32(1)


@compiled
def put(values: Any, places: Any, out: Any) -> None:
    """Write values (n,) at places (n,) of `out`."""
    for s in range(places.shape[0]):
        out[places[s]] = values[s]


@compiled
def runs_of(table: Any, width: Any, row: Any, columns: Any, lengths: Any) -> None:
    """Turn counters into runs: those that are not zero, in order.

    Args:
        table: uint32 (n_sources x width,); afterwards where each run begins.
        width: columns a source.
        row: int64 (n_sources,), filled with the number of runs of each source.
        columns: uint32 (n_runs,), filled.
        lengths: int64 (n_runs,), filled with the synapses of each run.
    """
    run, begin = np.int64(0), np.int64(0)
    for source in range(row.shape[0]):
        before = run
        counters = table[source * width : (source + 1) * width]
        for column in range(width):
            length = np.int64(counters[column])
            if length:
                columns[run] = np.uint32(column)
                lengths[run] = length
                counters[column] = np.uint32(begin)
                begin += length
                run += 1
        row[source] = run - before
