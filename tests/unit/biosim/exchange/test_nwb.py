"""NWB: the validator finds nothing, pynwb reads what was stored, and every spike comes back."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pynwb
import pytest
from hypothesis import given, settings

from biosim.errors import DataError, OutputError
from biosim.exchange import nwb, read_nwb, write_nwb, write_recording
from biosim.traces import open_run
from tests.unit.biosim.exchange.runs import (
    ATTRIBUTES,
    STARTED,
    finished,
    in_stretches,
    killed,
    of_spikes,
    spike_sets,
    trains,
)


def complaints(path: Path) -> list[object]:
    return list(pynwb.validate(path=str(path)))


def test_the_validator_finds_nothing(tmp_path: Path) -> None:
    write_nwb(finished(tmp_path / "run"), tmp_path / "a.nwb")
    assert complaints(tmp_path / "a.nwb") == []


def test_the_validator_finds_a_file_that_lacks_what_nwb_demands(tmp_path: Path) -> None:
    write_nwb(finished(tmp_path / "run"), tmp_path / "a.nwb")
    with h5py.File(tmp_path / "a.nwb", "r+") as file:
        del file["session_start_time"]
    assert complaints(tmp_path / "a.nwb")


def test_pynwb_reads_every_train_with_its_population_and_neuron(tmp_path: Path) -> None:
    tree = finished(tmp_path / "run")
    write_nwb(tree, tmp_path / "a.nwb")
    truth = trains(tree)
    with pynwb.NWBHDF5IO(str(tmp_path / "a.nwb"), "r") as io:
        units = io.read().units
        assert len(units) == 70 + 4 + 5
        assert units.resolution == pytest.approx(1e-4)
        for row in range(len(units)):
            name, neuron = str(units["population"][row]), int(units["neuron"][row])
            mine = [tick * 1e-4 for tick, who in truth[name] if who == neuron]
            np.testing.assert_allclose(units.get_unit_spike_times(row), mine, atol=1e-9)
            np.testing.assert_allclose(units.get_unit_obs_intervals(row), [[0.0, 0.073]])


def test_states_are_time_series_with_unit_clock_and_neurons(tmp_path: Path) -> None:
    tree = finished(tmp_path / "run")
    write_nwb(tree, tmp_path / "a.nwb")
    with pynwb.NWBHDF5IO(str(tmp_path / "a.nwb"), "r") as io:
        module = io.read().processing["states"]
        series = module["E_v"]
        assert (series.unit, series.starting_time) == ("V", 0.0)
        assert series.rate == pytest.approx(1e4)
        np.testing.assert_array_equal(series.data[:], tree["traces/E"].v.values)
        slow = module["E_w"]
        assert slow.rate == pytest.approx(1e3)
        np.testing.assert_array_equal(module["E_w_neurons"]["neuron"][:], [1, 40, 69])
        assert slow.data.shape == (73, 3)


def test_scenario_seed_version_and_start_are_in_the_file(tmp_path: Path) -> None:
    write_nwb(finished(tmp_path / "run"), tmp_path / "a.nwb")
    with pynwb.NWBHDF5IO(str(tmp_path / "a.nwb"), "r") as io:
        file = io.read()
        assert file.session_description == (
            "simulation of scenario made_up, seed 7, by biosim 0.1.0"
        )
        assert file.session_start_time.isoformat() == STARTED
        noted = json.loads(file.notes)["biosim"]
        assert noted["scenario"] == ATTRIBUTES["scenario"]
        assert (noted["seed"], noted["status"]) == (7, "complete")
        assert "host" not in noted


def test_long_columns_are_written_a_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nwb, "CHUNK", 64)
    monkeypatch.setattr(nwb, "BUFFER", 256)
    tree = finished(tmp_path / "run")
    read = []
    whole = nwb.Trains.read
    monkeypatch.setattr(
        nwb.Trains, "read", lambda self, a, b: read.append(b - a) or whole(self, a, b)
    )
    write_nwb(tree, tmp_path / "a.nwb")
    assert len(read) > 20
    assert max(read) <= 256
    assert _again(tmp_path) == trains(tree)


def _again(directory: Path) -> dict[str, list[tuple[int, int]]]:
    (directory / "back").mkdir()
    write_recording(read_nwb(directory / "a.nwb"), directory / "back")
    return trains(open_run(directory / "back"))


@settings(max_examples=15)
@given(spike_sets())
def test_the_round_trip_keeps_every_spike_to_a_tick(made: tuple) -> None:
    populations, dt_s, ticks = made
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        tree = of_spikes(directory / "run", populations, dt_s, ticks)
        write_nwb(tree, directory / "a.nwb")
        assert _again(directory) == {
            name: sorted(spikes) for name, (_, spikes) in populations.items()
        }
        back = open_run(directory / "back")
        assert back.attrs["dt_s"] == pytest.approx(dt_s)
        assert back.attrs["committed_tick"] == ticks
        assert back.attrs["populations"] == {n: size for n, (size, _) in populations.items()}


def test_the_round_trip_keeps_which_neurons_were_recorded(tmp_path: Path) -> None:
    write_nwb(finished(tmp_path / "run"), tmp_path / "a.nwb")
    _again(tmp_path)
    spikes = open_run(tmp_path / "back")["spikes/I"]
    assert spikes.attrs["size"] == 20
    np.testing.assert_array_equal(spikes.recorded, [0, 3, 11, 19])


def test_of_a_killed_run_what_was_committed_is_exported(tmp_path: Path) -> None:
    tree = killed(tmp_path / "run", 300)
    write_nwb(tree, tmp_path / "a.nwb")
    assert complaints(tmp_path / "a.nwb") == []
    back = _again(tmp_path)
    whole = trains(finished(tmp_path / "whole"))
    assert back == {name: [s for s in spikes if s[0] < 300] for name, spikes in whole.items()}
    assert back["E"]


def test_one_population_can_be_chosen(tmp_path: Path) -> None:
    write_nwb(finished(tmp_path / "run"), tmp_path / "a.nwb", ["I"])
    assert set(_again(tmp_path)) == {"I"}


def test_a_population_that_was_not_recorded_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"'X' were not recorded; those that were: E, I, silent"):
        write_nwb(finished(tmp_path / "run"), tmp_path / "a.nwb", ["X"])


# --- files of others


def foreign(path: Path, **changed: object) -> Path:
    """An NWB file of two units, as another tool writes it, with parts of it changed."""
    parts = {
        "spike_times": np.array([0.5, 0.1, 0.2]),
        "spike_times_index": np.array([1, 3]),
        "id": np.array([17, 4]),
        **changed,
    }
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        file["session_description"] = "a retina"
        for name, values in parts.items():
            if values is not None:
                file[f"units/{name}"] = values
    return path


def test_units_of_another_tool_are_one_population_with_their_ids(tmp_path: Path) -> None:
    foreign(tmp_path / "a.nwb")
    assert _again(tmp_path) == {"units": [(100, 1), (200, 1), (500, 0)]}
    tree = open_run(tmp_path / "back")
    np.testing.assert_array_equal(tree["neurons/units"].unit_id, [17, 4])
    assert tree.attrs["recording"]["session_description"] == "a retina"
    assert tree.attrs["recording"]["end_is"] == "after the last spike"


def test_observed_intervals_are_the_stretch_of_the_recording(tmp_path: Path) -> None:
    foreign(tmp_path / "a.nwb", obs_intervals=np.array([[0.05, 0.4], [0.45, 2.0]]))
    _again(tmp_path)
    spikes = open_run(tmp_path / "back")["spikes/units"]
    assert spikes.attrs["start_s"] == 0.05
    assert spikes.attrs["committed_tick"] * spikes.attrs["dt_s"] == pytest.approx(2.0)


def test_gaps_in_what_was_observed_stay_gaps(tmp_path: Path) -> None:
    observed = {
        "obs_intervals": np.array([[0.05, 0.4], [0.45, 2.0]] * 2),
        "obs_intervals_index": np.array([2, 4]),
    }
    foreign(tmp_path / "a.nwb", **observed, spike_times=np.array([0.5, 0.1, 0.4]))
    _again(tmp_path)
    spikes = open_run(tmp_path / "back")["spikes/units"]
    # A spike at the very end of an interval lies in the tick after it, which is kept with it.
    assert spikes.attrs["recorded_ticks"] == [[50, 401], [450, 2000]]
    foreign(tmp_path / "a.nwb", **observed, spike_times=np.array([0.5, 0.1, 0.42]))
    (tmp_path / "beside").mkdir()
    write_recording(read_nwb(tmp_path / "a.nwb"), tmp_path / "beside")
    assert "recorded_ticks" not in open_run(tmp_path / "beside")["spikes/units"].attrs


@pytest.mark.parametrize("running", [False, True])
def test_stretches_that_were_recorded_are_observed_and_come_back(
    tmp_path: Path, running: bool
) -> None:
    tree = in_stretches(tmp_path / "run", running)
    write_nwb(tree, tmp_path / "a.nwb")
    assert complaints(tmp_path / "a.nwb") == []
    last = 0.045 if running else 0.06
    with pynwb.NWBHDF5IO(str(tmp_path / "a.nwb"), "r") as io:
        units = io.read().units
        expected = {"E": [[0.01, 0.03], [0.04, last]], "I": [[0.0, 0.045 if running else 0.073]]}
        for row, name in enumerate(units["population"][:]):
            np.testing.assert_allclose(units.get_unit_obs_intervals(row), expected[name])
    assert _again(tmp_path) == trains(tree)
    back = open_run(tmp_path / "back")["spikes"]
    assert back["E"].attrs["recorded_ticks"] == [[100, 300], [400, round(last * 1e4)]]
    assert "recorded_ticks" not in back["I"].attrs


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"obs_intervals": np.array([[0.0, 1.0], [2.0, 1.0]])},
            r"got \[2\.0, 1\.0\] among obs_i",
        ),
        ({"obs_intervals": np.array([[0.0, np.inf], [0.0, 1.0]])}, r"got \[0\.0, inf\] among obs_"),
        ({"obs_intervals": np.array([[0.0, 1.0]])}, r"does not go with 2 units and 1 intervals"),
        ({"spike_times": None}, "has no units with spike_times"),
        ({"spike_times_index": np.array([1, 2])}, "does not go with the 3 spike_times"),
        ({"spike_times_index": np.array([3, 2])}, "does not go with the 3 spike_times"),
        ({"spike_times": np.array([0.5, np.nan, 0.2])}, "a time that is not a number"),
        ({"spike_times": np.array([0.5, -0.1, 0.2])}, r"a spike at -0.1 s; expected times from 0"),
        (
            {"spike_times": np.empty(0), "spike_times_index": np.empty(0, np.int64), "id": None},
            "has no units",
        ),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, changed: dict, message: str) -> None:
    foreign(tmp_path / "a.nwb", **changed)
    with pytest.raises(DataError, match=message):
        _again(tmp_path)


def test_an_hdf5_file_that_is_not_nwb_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        file["spikes"] = [1.0]
    with pytest.raises(DataError, match="no NWB file: it has no nwb_version"):
        read_nwb(tmp_path / "a.nwb")


def test_columns_of_populations_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    write_nwb(finished(tmp_path / "run"), tmp_path / "a.nwb")
    with h5py.File(tmp_path / "a.nwb", "r+") as file:
        del file["units/neuron"]
        file["units/neuron"] = np.arange(3)
    with pytest.raises(DataError, match="columns population and neuron do not fit 79 units"):
        read_nwb(tmp_path / "a.nwb")
