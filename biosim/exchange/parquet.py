"""Parquet: spikes or learning metrics as one table, for pandas, Polars, DuckDB and R."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from biosim.errors import OutputError
from biosim.exchange.files import required
from biosim.exchange.stored import provenance_text, stored_spikes, summary

What = Literal["spikes", "learning"]
METRICS = ("learning", "timing")
"""Groups of a store that hold metrics."""


def tables(tree: xr.DataTree) -> list[What]:
    """Return which tables a run can give."""
    found: list[What] = []
    if "spikes" in tree.children and tree.children["spikes"].children:
        found.append("spikes")
    if _metrics(tree):
        found.append("learning")
    return found


def write_parquet(
    tree: xr.DataTree,
    path: Path,
    populations: Sequence[str] | None = None,
    what: What | None = None,
) -> None:
    """Write the spikes or the learning metrics of a run as a Parquet file.

    Spikes have the columns population, neuron, tick and time (in seconds), in the order of time
    in each population, and are written a part at a time. Metrics have one row a number: group,
    metric, units, value, and a column for every dimension, empty where a metric has it not.

    Args:
        tree: of `biosim.open_run`.
        path: of the file.
        populations: whose spikes; all that were recorded if left out.
        what: "spikes" or "learning"; if left out, spikes where there are any.

    Raises:
        OutputError: pyarrow is missing, or the run has no such table.
    """
    has = tables(tree)
    if not has:
        raise OutputError("the run has neither spikes nor learning metrics; nothing to export")
    chosen = what or has[0]
    if chosen not in has:
        raise OutputError(f"the run has no {chosen}; it has {' and '.join(has)}")
    arrow, parquet = required("pyarrow", "parquet"), required("pyarrow.parquet", "parquet")
    said = {"description": summary(tree), "biosim": provenance_text(tree)}
    if chosen == "spikes":
        fields = [
            arrow.field("population", arrow.dictionary(arrow.int32(), arrow.string())),
            arrow.field("neuron", arrow.uint32()),
            arrow.field("tick", arrow.int64()),
            arrow.field("time", arrow.float64(), metadata={"units": "s"}),
        ]
        batches = _spikes(arrow, tree, populations)
    else:
        table = _learning(arrow, tree)
        fields, batches = list(table.schema), iter([table])
    schema = arrow.schema(fields, metadata=said)
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_table(batch.cast(schema))


def _spikes(arrow: Any, tree: xr.DataTree, populations: Sequence[str] | None) -> Iterator[Any]:
    spikes = stored_spikes(tree, populations)
    names = arrow.array(list(spikes), arrow.string())
    for number, stored in enumerate(spikes.values()):
        for ticks, neurons in stored.parts():
            which = arrow.array(np.full(len(ticks), number, np.int32))
            yield arrow.table(
                {
                    "population": arrow.DictionaryArray.from_arrays(which, names),
                    "neuron": arrow.array(neurons.astype(np.uint32)),
                    "tick": arrow.array(ticks),
                    "time": arrow.array(ticks * stored.dt_s),
                }
            )


def _metrics(tree: xr.DataTree) -> dict[tuple[str, str], xr.DataArray]:
    """Return the metrics of numbers, by group and name."""
    return {
        (group, str(name)): array
        for group in METRICS
        if group in tree.children
        for name, array in tree[group].to_dataset().data_vars.items()
        if array.dtype.kind in "fiub"
    }


def _learning(arrow: Any, tree: xr.DataTree) -> Any:
    metrics = _metrics(tree)
    dimensions = list(dict.fromkeys(str(d) for array in metrics.values() for d in array.dims))
    columns: dict[str, list[Any]] = {
        name: [] for name in ("group", "metric", "units", "value", *dimensions)
    }
    for (group, name), array in metrics.items():
        at = np.indices(array.shape).reshape(array.ndim, array.size)
        places = dict(zip(map(str, array.dims), at, strict=True))
        columns["group"] += [group] * array.size
        columns["metric"] += [name] * array.size
        columns["units"] += [str(array.attrs.get("units", "1"))] * array.size
        columns["value"] += array.values.ravel().astype(np.float64).tolist()
        for dimension in dimensions:
            if dimension in places:
                # Where a dimension has no labels, xarray counts.
                columns[dimension] += array[dimension].values[places[dimension]].tolist()
            else:
                columns[dimension] += [None] * array.size
    return arrow.table({name: arrow.array(values) for name, values in columns.items()})
