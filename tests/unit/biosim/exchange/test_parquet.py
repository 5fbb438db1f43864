"""Parquet: spikes and learning metrics as tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr

from biosim.errors import OutputError
from biosim.exchange import write_parquet
from tests.unit.biosim.exchange.runs import ATTRIBUTES, finished, killed, trains


def learned() -> xr.DataTree:
    """A run of layers: accuracy by epoch and split, seconds by epoch."""
    accuracy = xr.DataArray(
        [[0.1, 0.2], [0.3, np.nan]],
        {"epoch": [0, 1], "split": ["train", "test"]},
        ("epoch", "split"),
        attrs={"units": "1"},
    )
    seconds = xr.DataArray([0.0, 2.5], {"epoch": [0, 1]}, ("epoch",), attrs={"units": "s"})
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"scenario": {"name": "digits"}, "rule": "noprop", "seed": 3}),
            "/learning": xr.Dataset({"accuracy": accuracy}),
            "/timing": xr.Dataset({"learning": seconds}),
        }
    )


def test_spikes_come_back_with_tick_time_and_population(tmp_path: Path) -> None:
    tree = finished(tmp_path / "run")
    write_parquet(tree, tmp_path / "a.parquet")
    table = pd.read_parquet(tmp_path / "a.parquet")
    for name, spikes in trains(tree).items():
        mine = table[table.population == name]
        assert sorted(zip(mine.tick, mine.neuron, strict=True)) == spikes
        np.testing.assert_allclose(mine.time, mine.tick * 1e-4)
        assert mine.tick.is_monotonic_increasing


def test_scenario_seed_and_units_are_in_the_schema(tmp_path: Path) -> None:
    write_parquet(finished(tmp_path / "run"), tmp_path / "a.parquet")
    schema = pq.read_schema(tmp_path / "a.parquet")
    noted = json.loads(schema.metadata[b"biosim"])
    assert (noted["scenario"], noted["seed"]) == (ATTRIBUTES["scenario"], 7)
    assert schema.field("time").metadata == {b"units": b"s"}


def test_of_a_killed_run_what_was_committed_is_exported(tmp_path: Path) -> None:
    tree = killed(tmp_path / "run", 300)
    write_parquet(tree, tmp_path / "a.parquet", ["E"])
    table = pd.read_parquet(tmp_path / "a.parquet")
    assert len(table) == len(trains(tree)["E"]) > 0
    assert table.tick.max() < 300


def test_metrics_have_a_row_a_number_and_a_column_a_dimension(tmp_path: Path) -> None:
    write_parquet(learned(), tmp_path / "a.parquet")
    table = pd.read_parquet(tmp_path / "a.parquet")
    assert list(table.columns) == ["group", "metric", "units", "value", "epoch", "split"]
    accuracy = table[table.metric == "accuracy"].set_index(["epoch", "split"]).value
    assert accuracy[0, "test"] == 0.2
    assert np.isnan(accuracy[1, "test"])
    seconds = table[(table.group == "timing") & (table.metric == "learning")]
    assert seconds.value.tolist() == [0.0, 2.5]
    assert seconds.units.tolist() == ["s", "s"]
    assert seconds.split.isna().all()


@pytest.mark.parametrize(
    ("tree", "what", "message"),
    [
        (learned(), "spikes", "the run has no spikes; it has learning"),
        (xr.DataTree(), None, "neither spikes nor learning metrics"),
    ],
)
def test_a_table_that_a_run_has_not_is_refused(
    tmp_path: Path, tree: xr.DataTree, what: str | None, message: str
) -> None:
    with pytest.raises(OutputError, match=message):
        write_parquet(tree, tmp_path / "a.parquet", None, what)  # type: ignore[arg-type]
