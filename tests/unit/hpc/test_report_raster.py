"""Dots, rates and the map of a report are those of the stored spikes, whatever their number."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
import xarray as xr

from hpc import report_raster
from hpc.report_raster import raster

DT_S = 1e-4


def stored(
    populations: dict[str, tuple[np.ndarray, np.ndarray, int]], ticks: int, **more: Any
) -> xr.DataTree:
    """The tree of a run with these spikes: ticks, neurons and size, by name."""
    found = {"/": xr.Dataset(attrs={"dt_s": DT_S, "ticks": ticks, "populations": {}} | more)}
    for name, (at, who, size) in populations.items():
        found["/"].attrs["populations"][name] = size
        order = np.lexsort((who, at))
        windows = np.searchsorted(at[order], np.arange(0, ticks + 100, 100))
        found[f"/spikes/{name}"] = xr.Dataset(
            {
                "time": ("spike", at[order] * DT_S),
                "neuron": ("spike", who[order].astype(np.uint32)),
                "window_ptr": ("window_edge", windows.astype(np.uint64)),
            },
            attrs={"size": size, "dt_s": DT_S, "window_ticks": 100, "committed_tick": ticks},
        )
    return xr.DataTree.from_dict(found)


def poisson(count: int, size: int, ticks: int, seed: int = 0) -> Any:
    chance = np.random.default_rng(seed)
    return np.sort(chance.integers(0, ticks, count)), chance.integers(0, size, count), size


@pytest.fixture
def some() -> xr.DataTree:
    return stored({"E": poisson(4000, 90, 4320), "I": poisson(1000, 30, 4320, 1)}, 4320)


@pytest.fixture
def few_dots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_raster, "MOST_DOTS", 500)
    monkeypatch.setattr(report_raster, "RASTER_NEURONS", 40)
    monkeypatch.setattr(report_raster, "GROUPS", 24)


def test_every_spike_is_a_dot_where_they_are_few(some: xr.DataTree) -> None:
    drawn = raster(some)
    assert drawn["whole"]
    assert drawn["raster_s"] == [0.0, pytest.approx(0.432)]
    for row in drawn["populations"]:
        spikes = some[f"spikes/{row['name']}"]
        np.testing.assert_allclose(row["at_s"], spikes.time.values, atol=1e-6)
        np.testing.assert_array_equal(row["neuron"], spikes.neuron.values)
        assert row["hz"] == []


@pytest.mark.usefixtures("few_dots")
def test_the_map_of_many_spikes_is_numpys_histogram(some: xr.DataTree) -> None:
    drawn = raster(some)
    json.dumps(drawn, allow_nan=False)
    assert not drawn["whole"]
    edges = np.array(drawn["edge_s"])
    assert edges[-1] == pytest.approx(0.432)
    for row, groups in zip(drawn["populations"], (18, 8), strict=True):
        spikes = some[f"spikes/{row['name']}"]
        bounds = np.append(np.arange(0, row["size"], row["group"]), row["size"])
        assert len(bounds) - 1 == groups
        # A spike at an edge belongs to the bin that begins there.
        at = spikes.time.values + 1e-9
        counts = np.histogram2d(spikes.neuron.values, at, (bounds - 0.5, edges))[0]
        expected = counts / np.diff(bounds)[:, None] / np.diff(edges)
        np.testing.assert_allclose(row["hz"], expected, rtol=5e-3)
        together = np.histogram(at, edges)[0] / row["size"] / np.diff(edges)
        np.testing.assert_allclose(row["rate"], together, rtol=1e-6)
        assert not np.allclose(row["hz"], expected[:, ::-1], rtol=0.1)
    assert 0 < drawn["most_hz"] < max(np.max(row["hz"]) for row in drawn["populations"])


@pytest.mark.usefixtures("few_dots")
def test_dots_of_many_spikes_are_the_last_of_some_neurons(some: xr.DataTree) -> None:
    drawn = raster(some)
    begin_s, end_s = drawn["raster_s"]
    assert end_s == pytest.approx(0.432)
    assert 0 < begin_s < end_s
    for row, every in zip(drawn["populations"], (3, 3), strict=True):
        spikes = some[f"spikes/{row['name']}"]
        time, who = spikes.time.values, spikes.neuron.values
        expected = (time >= begin_s - 1e-9) & (who % every == 0)
        np.testing.assert_allclose(row["at_s"], time[expected], atol=1e-6)
        np.testing.assert_array_equal(row["neuron"], who[expected])
    assert 350 < sum(len(row["at_s"]) for row in drawn["populations"]) < 650


def test_the_last_spikes_are_of_all_neurons_where_that_is_little(
    some: xr.DataTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_raster, "MOST_DOTS", 500)
    monkeypatch.setattr(report_raster, "RASTER_S", 0.03)
    drawn = raster(some)
    assert not drawn["whole"]
    assert not drawn["thinned"]
    for row in drawn["populations"]:
        time = some[f"spikes/{row['name']}"].time.values
        assert len(row["at_s"]) == np.count_nonzero(time >= 0.402 - 1e-9)
    monkeypatch.setattr(report_raster, "MOST_DOTS", 100)
    monkeypatch.setattr(report_raster, "RASTER_NEURONS", 40)
    assert raster(some)["thinned"]


@pytest.mark.parametrize("ticks", [1, 49, 50, 74, 75, 76, 4325, 99_999, 12_345_678])
def test_bins_are_few_and_the_last_is_neither_narrow_nor_wide(ticks: int) -> None:
    drawn = raster(stored({"E": poisson(10, 5, ticks)}, ticks))
    widths = np.diff(drawn["edge_s"])
    width_s = drawn["bin_ms"] * 1e-3
    assert len(widths) <= report_raster.BINS
    np.testing.assert_allclose(widths[:-1], width_s)
    assert sum(widths) == pytest.approx(ticks * DT_S)
    if len(widths) > 1:
        assert 0.5 * width_s - 1e-9 <= widths[-1] < 1.5 * width_s
    (row,) = drawn["populations"]
    assert np.dot(row["rate"], widths) * 5 == pytest.approx(10)


def test_without_spikes_rates_are_zero_and_nothing_is_a_dot() -> None:
    silent = (np.empty(0, np.int64), np.empty(0, np.int64), 4)
    (row,) = raster(stored({"E": silent}, 500))["populations"]
    assert set(row["rate"]) == {0.0}
    assert row["at_s"] == row["neuron"] == []


@pytest.mark.usefixtures("few_dots")
def test_a_silent_population_beside_a_busy_one_is_dark(some: xr.DataTree) -> None:
    silent = (np.empty(0, np.int64), np.empty(0, np.int64), 4)
    drawn = raster(stored({"E": poisson(4000, 90, 4320), "S": silent, "none": silent}, 4320))
    row = drawn["populations"][1]
    assert np.shape(row["hz"]) == (4, len(drawn["edge_s"]) - 1)
    assert not np.any(row["hz"])


def test_a_run_that_was_killed_is_drawn_as_far_as_it_came() -> None:
    drawn = raster(
        stored({"E": poisson(100, 9, 1000)}, 1000, committed_tick=1000, status="running")
    )
    whole = stored({"E": poisson(100, 9, 1000)}, 8000, committed_tick=1000, status="running")
    killed = raster(whole)
    assert killed["edge_s"][-1] == pytest.approx(0.1)
    assert killed["populations"] == drawn["populations"]
    nothing = raster(stored({"E": poisson(0, 9, 1000)}, 1000, committed_tick=0))
    assert nothing["edge_s"] == [0.0, DT_S]


def test_places_count_the_neurons_that_were_recorded() -> None:
    tree = stored({"E": (np.array([5, 9]), np.array([700, 40]), 1000)}, 100)
    node = tree["spikes/E"].to_dataset()
    node["recorded"] = ("recorded_neuron", np.array([40, 700]))
    tree["spikes/E"] = xr.DataTree(node)
    (row,) = raster(tree)["populations"]
    assert (row["recorded"], row["size"]) == (2, 1000)
    assert row["neuron"] == [1, 0]


def test_what_is_held_and_written_does_not_grow_with_the_spikes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("biosim.analysis.spikes.PART", 1 << 14)
    monkeypatch.setattr(report_raster, "MOST_DOTS", 2000)
    peaks, sizes = [], []
    for count in (50_000, 1_000_000):
        tree = stored({"E": poisson(count, 500, 20_000)}, 20_000)
        raster(tree)
        tracemalloc.start()
        drawn = raster(tree)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append(len(json.dumps(drawn)))
    # What grows is how many cells of the map are not 0, and their digits.
    assert peaks[1] < 1.3 * peaks[0] + 1_000_000
    assert sizes[1] < 2 * sizes[0] < 2e6


def test_what_was_recorded_in_stretches_is_drawn_and_the_rest_is_unknown() -> None:
    at = np.array([1000, 1500, 3000])
    tree = stored({"E": (at, np.zeros(3, int), 2)}, 4000)
    tree["spikes/E"].attrs["recorded_ticks"] = [[1000, 2000], [3000, 3050]]
    drawn = raster(tree)
    row = drawn["populations"][0]
    assert row["at_s"] == [0.1, 0.15, 0.3]
    begins = np.array(drawn["edge_s"][:-1])
    inside = ((begins > 0.099) & (begins < 0.199)) | np.isclose(begins, 0.3)
    assert [rate is not None for rate in row["rate"]] == inside.tolist()
    assert row["rate"][60] == pytest.approx(1 / 2 / 0.005)
    assert raster(stored({"E": (at[:0], at[:0], 2)}, 4000))["populations"][0]["rate"][0] == 0.0
