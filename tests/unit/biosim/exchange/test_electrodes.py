"""Recordings of electrode arrays, written here as the repository of retinal waves lays them out."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from biosim import analysis
from biosim.errors import DataError
from biosim.exchange import read_electrodes, write_recording
from biosim.traces import open_run, spike_times, spikes_between
from tests.unit.biosim.exchange.runs import trains

TRAINS = [[0.5, 1.25], [], [0.1, 0.10005, 2.0]]


def made(path: Path, **changed: object) -> Path:
    parts = {
        "spikes": np.concatenate(TRAINS),
        "sCount": np.array([len(train) for train in TRAINS], np.int32),
        "epos": np.array([[100.0, 200.0, 300.0], [50.0, 60.0, 70.0]]),
        "names": np.array([b"ch_1", b"ch_2", b"ch_3"]),
        "array": np.array([b"MCS_8x8_100um"]),
        "meta/age": np.array([12], np.int32),
        "meta/species": np.array([b"mouse"]),
        "meta/dose": np.array([np.nan]),
        **changed,
    }
    with h5py.File(path, "w") as file:
        for name, values in parts.items():
            if values is not None:
                file[name] = values
    return path


def imported(directory: Path, **changed: object):  # type: ignore[no-untyped-def]
    made(directory / "a.h5", **changed)
    (directory / "back").mkdir()
    found = write_recording(read_electrodes(directory / "a.h5"), directory / "back")
    return found, open_run(directory / "back")


def test_trains_positions_and_words_become_a_run(tmp_path: Path) -> None:
    found, tree = imported(tmp_path)
    assert (found.tick_s, found.spikes, found.sizes) == (5e-5, {"units": 5}, {"units": 3})
    for unit, train in enumerate(TRAINS):
        np.testing.assert_allclose(spike_times(tree, "units", unit), train, atol=1e-12)
    about = tree.attrs["recording"]
    assert about["array"] == "MCS_8x8_100um"
    assert about["names"] == ["ch_1", "ch_2", "ch_3"]
    assert (about["meta/age"], about["meta/species"], about["meta/dose"]) == (12, "mouse", "nan")
    assert tree["neurons/units"].x.values.tolist() == [100.0, 200.0, 300.0]
    assert tree["neurons/units"].y.attrs["units"] == "um"
    assert tree.attrs["status"] == "complete"


def test_the_analysis_takes_it_as_it_takes_a_run(tmp_path: Path) -> None:
    _, tree = imported(tmp_path)
    spikes = tree["spikes/units"]
    stop_s = tree.attrs["committed_tick"] * 5e-5
    np.testing.assert_allclose(analysis.mean_rate(spikes), np.array([2, 0, 3]) / stop_s)
    assert analysis.spike_counts(spikes, 0.5).sizes["neuron"] == 3
    assert np.isfinite(analysis.tiling_coefficient(spikes, window_s=0.05).sel(neuron=0)).any()
    near = spikes_between(tree, "units", 0.1, 0.5)
    np.testing.assert_allclose(near.time, [0.1, 0.10005])


@pytest.mark.parametrize("epos", [np.ones((3, 2)), np.ones((2, 3))])
def test_positions_are_read_in_either_order(tmp_path: Path, epos: np.ndarray) -> None:
    _, tree = imported(tmp_path, epos=epos)
    assert tree["neurons/units"].x.shape == (3,)


def test_a_file_without_positions_is_read(tmp_path: Path) -> None:
    _, tree = imported(tmp_path, epos=None, names=None)
    assert "x" not in tree["neurons/units"]


@pytest.mark.parametrize(
    ("said", "stop_s", "known"),
    [
        ([0.0, 30.0], 30.0, True),
        ([1.0], 2.0 + 5e-5, False),
        ([np.nan], 2.0 + 5e-5, False),
        (np.array([b"long"]), 2.0 + 5e-5, False),
    ],
)
def test_the_end_is_what_the_file_says_if_that_can_be(
    tmp_path: Path, said: object, stop_s: float, known: bool
) -> None:
    found, _ = imported(tmp_path, recordingtime=said)
    assert (found.stop_s, found.stop_known) == (pytest.approx(stop_s), known)


def test_an_array_without_spikes_is_read(tmp_path: Path) -> None:
    _, tree = imported(tmp_path, spikes=np.empty(0), sCount=np.zeros(3))
    assert trains(tree) == {"units": []}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"spikes": None}, "has no spikes; expected the arrays spikes, sCount and epos"),
        ({"sCount": None}, "has no sCount"),
        ({"sCount": np.array([2, 0, 4])}, "adds up to 6, but there are 5 spikes"),
        ({"sCount": np.array([2, -1, 4])}, "sCount has -1; expected whole numbers"),
        ({"sCount": np.array([2, 0.5, 2.5])}, "sCount has 0.5; expected whole numbers"),
        ({"epos": np.ones((2, 4))}, r"epos has the shape \(2, 4\); expected two coordinates of 3"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, changed: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_electrodes(made(tmp_path / "a.h5", **changed))
