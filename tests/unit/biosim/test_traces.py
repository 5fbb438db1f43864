"""Opening a run: what is found by label, and one line for what is not there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from biosim import open_run
from biosim.analysis import layer_rotation
from biosim.errors import OutputError
from biosim.traces import spike_times, spikes_between
from tests.unit.biosim.spiking.made_up_run import Activity, made, recorded, shares, sink_at


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def tree(stored: Path) -> xr.DataTree:
    return open_run(stored)


@pytest.mark.parametrize("finished", [True, False])
def test_snapshots_are_selected_by_time(stored: Path, tmp_path: Path, finished: bool) -> None:
    if not finished:
        stored = made(tmp_path)
        sink = sink_at(stored, shares(1)[0])
        Activity().play(sink, shares(1)[0])
        sink.flush()
    w = open_run(stored)["weights/E->E"].w
    np.testing.assert_array_equal(w.sel(time=0.02, method="nearest"), w.isel(snapshot=4))
    np.testing.assert_array_equal(w.sel(time=slice(0.004, 0.011)), w.isel(snapshot=slice(1, 3)))
    assert layer_rotation(w).time.values[1] == pytest.approx(0.005)


def test_a_neuron_that_was_not_recorded_is_no_silent_one(tree: xr.DataTree) -> None:
    assert len(spike_times(tree, "I", np.int64(11)))  # type: ignore[arg-type]
    line = r"neuron 1 of 'I' was not recorded; those that were: 0, 3, 11, 19$"
    with pytest.raises(OutputError, match=line):
        spike_times(tree, "I", 1)


@pytest.mark.parametrize("neuron", [1.5, "3", None])
def test_a_neuron_is_a_whole_number(tree: xr.DataTree, neuron: Any) -> None:
    with pytest.raises(OutputError, match=rf"got neuron {neuron} of 'E'; expected 0 to 69, a who"):
        spike_times(tree, "E", neuron)


@pytest.mark.parametrize("ends", [(float("nan"), 1.0), (0.0, float("nan")), (0.2, 0.1)])
def test_a_stretch_that_is_none_is_refused(tree: xr.DataTree, ends: tuple[float, float]) -> None:
    with pytest.raises(OutputError, match=r"got the stretch from .* expected two times in seconds"):
        spikes_between(tree, "E", *ends)
    assert not spikes_between(tree, "E", 0.01, 0.01).sizes["spike"]


@pytest.mark.parametrize("chunks", ["foo", 5, {"time": 0}, {"time": "x"}])
def test_chunks_that_are_none_are_refused_before_the_run_is_looked_at(chunks: Any) -> None:
    with pytest.raises(OutputError, match=r"got chunks=.*; expected None, \"auto\""):
        open_run("nowhere", chunks=chunks)


def test_a_broken_description_is_named(stored: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(stored, tmp_path / "run.zarr")
    for place in ("weights/E->E", "spikes/E/by_time/step"):
        described = copy / place / "zarr.json"
        before = described.read_bytes()
        described.write_bytes(b"{broken")
        with pytest.raises(OutputError, match=rf"{place}/zarr.json is damaged: "):
            open_run(copy)
        described.write_bytes(before)
    assert open_run(copy)
