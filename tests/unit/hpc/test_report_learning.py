"""What a run has learnt, read off its store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import biosim
from hpc.report_learning import plots, window_lines, windows
from hpc.run import run
from scenarios.reading import read_tree, resolve_any
from scenarios.spiking.schema import SpikingScenario


def done(path: Path, *overrides: str) -> xr.DataTree:
    scenario = resolve_any(read_tree("spike_pair"), overrides)
    assert isinstance(scenario, SpikingScenario)
    return biosim.open_run(run(scenario, path).path)


def test_the_window_of_spike_pairs_is_the_closed_form(tmp_path: Path) -> None:
    tree = done(tmp_path / "run")
    (name,) = windows(tree)
    difference, change = windows(tree)[name]
    assert name == "learning"
    assert (np.diff(difference) > 0).all()
    expected = np.where(
        difference < 0, -0.0105 * np.exp(difference / 20), 0.01 * np.exp(-difference / 20)
    )
    # One tick lies between a spike and its arrival.
    np.testing.assert_allclose(change, expected, rtol=6e-3, atol=2e-7)
    assert [plot.title for plot in plots(tree)] == ["Window of learning", "Weights of learning"]
    assert len(window_lines(tree)) == 2 + 17


def test_where_a_neuron_fires_twice_there_is_no_window(tmp_path: Path) -> None:
    times = [f"{ms} ms" for ms in [100] * 17 + [150]]
    tree = done(
        tmp_path / "run",
        f"populations.pre.indices={[*range(17), 0]}",
        f"populations.pre.times={times}",
    )
    assert windows(tree) == {}
    assert window_lines(tree) == []
    assert [plot.title for plot in plots(tree)] == ["Weights of learning"]


@pytest.mark.parametrize(
    "override", ["record.weights=[]", "record.spikes=['pre']", "run.duration=199 ms"]
)
def test_without_the_spikes_and_two_snapshots_there_is_no_window(
    override: str, tmp_path: Path
) -> None:
    assert windows(done(tmp_path / "run", override)) == {}


def test_weights_are_counted_at_the_start_and_at_the_end(tmp_path: Path) -> None:
    tree = done(tmp_path / "run")
    start, end = plots(tree)[1].traces
    assert (start.name, end.name) == ("at 0 s", "at 0.2 s")
    assert sum(start.y) == max(start.y) == 17
    assert sum(end.y) == 17
    assert max(end.y) < 17
