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
