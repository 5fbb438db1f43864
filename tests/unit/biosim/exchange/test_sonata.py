"""SONATA: the layout that its readers expect, and every spike back."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings

from biosim.errors import DataError
from biosim.exchange import read_sonata, write_recording, write_sonata
from biosim.traces import open_run
from tests.unit.biosim.exchange.runs import (
    ATTRIBUTES,
    finished,
    in_stretches,
    of_spikes,
    spike_sets,
    trains,
)


def again(directory: Path) -> dict[str, list[tuple[int, int]]]:
    (directory / "back").mkdir()
    write_recording(read_sonata(directory / "a.h5"), directory / "back")
    return trains(open_run(directory / "back"))


def test_libsonata_reads_every_spike(tmp_path: Path) -> None:
    libsonata = pytest.importorskip("libsonata", reason="needs libsonata")
    tree = finished(tmp_path / "run")
    write_sonata(tree, tmp_path / "a.h5")
    reader = libsonata.SpikeReader(str(tmp_path / "a.h5"))
    assert reader.get_population_names() == ["E", "I", "silent"]
    for name, spikes in trains(tree).items():
        assert reader[name].sorting == "by_time"
        read = [(round(ms * 10), node) for node, ms in reader[name].get()]
        assert sorted(read) == spikes


def test_the_columns_are_as_sonata_names_them(tmp_path: Path) -> None:
    tree = finished(tmp_path / "run")
    write_sonata(tree, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert (file.attrs["magic"], list(file.attrs["version"])) == (0x0A7A, [0, 1])
        group = file["spikes/E"]
        kind = h5py.check_enum_dtype(group.attrs.get_id("sorting").dtype)
        assert kind == {"none": 0, "by_id": 1, "by_time": 2}
        assert group.attrs["sorting"] == kind["by_time"]
        assert group["timestamps"].attrs["units"] == "ms"
        assert group["timestamps"].dtype == np.float64
        assert group["node_ids"].dtype == np.uint64
        assert (np.diff(group["timestamps"][:]) >= 0).all()
        assert list(file["spikes/I/recorded"]) == [0, 3, 11, 19]
        noted = json.loads(file["biosim/provenance"][()])
        assert (noted["scenario"], noted["seed"]) == (ATTRIBUTES["scenario"], 7)


@settings(max_examples=15)
@given(spike_sets())
def test_the_round_trip_keeps_every_spike_to_a_tick(made: tuple) -> None:
    populations, dt_s, ticks = made
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_sonata(of_spikes(directory / "run", populations, dt_s, ticks), directory / "a.h5")
        assert again(directory) == {name: sorted(s) for name, (_, s) in populations.items()}
        back = open_run(directory / "back")
        assert back.attrs["dt_s"] == dt_s
        assert back.attrs["committed_tick"] == ticks


def foreign(path: Path, where: str = "spikes/V1", **changed: object) -> Path:
    parts = {"timestamps": np.array([20.0, 1.5, 3.0]), "node_ids": np.array([2, 0, 0]), **changed}
    unit = parts.pop("unit", None)
    with h5py.File(path, "w") as file:
        for name, values in parts.items():
            if values is not None:
                file[f"{where}/{name}"] = values
        if unit is not None:
            file[f"{where}/timestamps"].attrs["units"] = unit
    return path


@pytest.mark.parametrize(
    ("where", "name", "nodes"),
    [("spikes/V1", "V1", "node_ids"), ("spikes", "All", "node_ids"), ("spikes/V1", "V1", "gids")],
)
def test_unsorted_and_older_files_are_read(
    tmp_path: Path, where: str, name: str, nodes: str
) -> None:
    ids = {"node_ids": None, nodes: np.array([2, 0, 0])}
    foreign(tmp_path / "a.h5", where, **ids)
    assert again(tmp_path) == {name: [(3, 0), (6, 0), (40, 2)]}
    assert open_run(tmp_path / "back").attrs["dt_s"] == 5e-4


def test_the_unit_of_the_times_is_heeded(tmp_path: Path) -> None:
    foreign(tmp_path / "a.h5", unit="s")
    assert again(tmp_path) == {"V1": [(1500, 0), (3000, 0), (20000, 2)]}
    assert open_run(tmp_path / "back")["spikes/V1"].time.values.tolist() == [1.5, 3.0, 20.0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"timestamps": None}, "spikes of 'V1' have no timestamps"),
        ({"node_ids": None}, "spikes of 'V1' have no gids"),
        ({"unit": "weeks"}, "the times of 'V1' are in 'weeks'; expected one of ms, s"),
        ({"node_ids": np.array([0.5, 1, 2])}, "expected whole numbers"),
        ({"node_ids": np.array([0, 1])}, "got 3 times for 2 spikes"),
        ({"node_ids": np.array([0, 1, -2])}, "got spikes of units -2 to 1; expected 0 to 1"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, changed: dict, message: str) -> None:
    foreign(tmp_path / "a.h5", **changed)
    with pytest.raises(DataError, match=message):
        again(tmp_path)


def test_a_file_without_spikes_is_refused(tmp_path: Path) -> None:
    foreign(tmp_path / "a.h5", "report/V1")
    with pytest.raises(DataError, match="no group /spikes"):
        read_sonata(tmp_path / "a.h5")


def test_spikes_without_a_population_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("spikes")
    with pytest.raises(DataError, match="no population in /spikes"):
        read_sonata(tmp_path / "a.h5")


def test_stretches_that_were_recorded_come_back(tmp_path: Path) -> None:
    tree = in_stretches(tmp_path / "run")
    write_sonata(tree, tmp_path / "a.h5")
    assert again(tmp_path) == trains(tree)
    back = open_run(tmp_path / "back")["spikes"]
    assert back["E"].attrs["recorded_ticks"] == [[100, 300], [400, 600]]
    assert "recorded_ticks" not in back["I"].attrs


def test_stretches_without_an_end_are_refused(tmp_path: Path) -> None:
    write_sonata(finished(tmp_path / "run"), tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["spikes/E/recorded_s"][0, 1] = np.inf
    with pytest.raises(DataError, match=r"recorded_s of 'E' is not finite; expected seconds"):
        read_sonata(tmp_path / "a.h5")
