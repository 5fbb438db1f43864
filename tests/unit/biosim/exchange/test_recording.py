"""What recordings become: their ticks, their end, their names; and files that are none."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from biosim.errors import DataError, OutputError
from biosim.exchange import Recording, Units, check_free, read_electrodes, whole, write_recording
from biosim.exchange.files import required
from biosim.exchange.recording import fitting_tick
from biosim.traces import open_run
from tests.unit.biosim.exchange.runs import trains


def of(*times: float, tick_s: float | None = None, name: str = "E") -> Recording:
    when = np.array(times, np.float64)
    units = Units(when, np.zeros(len(when), np.int64), 1)
    return Recording(Path("file.h5"), "nwb", {name: units}, tick_s=tick_s)


@pytest.mark.parametrize(
    ("recording", "tick_s"),
    [
        (of(0.001, 0.5), 1e-3),
        (of(0.0012, 0.5), 2e-4),
        (of(0.00125, 3000.00005), 5e-5),
        (of(4 / 30000, 1e5 / 30000), 1 / 30000),
        (of(0.123456789), 1e-5),
        (of(0.002, 0.5, tick_s=2.5e-4), 2.5e-4),
        (of(0.002, 0.5, tick_s=-1.0), 1e-3),
        (of(0.0021, 0.5, tick_s=1e-3), 1e-4),
        (of(), 1e-3),
    ],
)
def test_the_tick_is_the_longest_that_fits(recording: Recording, tick_s: float) -> None:
    assert fitting_tick(recording) == tick_s


def test_what_rounding_moved_is_told(tmp_path: Path) -> None:
    found = write_recording(of(0.123456, 1.0), tmp_path)
    assert found.shift_s == pytest.approx(4e-6, abs=1e-9)
    assert write_recording(of(0.1, 1.0), tmp_path).shift_s < 1e-12


def test_tick_and_end_can_be_given(tmp_path: Path) -> None:
    found = write_recording(of(0.1, 1.0), tmp_path, tick_s=1e-2, stop_s=5.0)
    assert (found.tick_s, found.stop_s, found.stop_known) == (1e-2, 5.0, True)
    assert trains(open_run(tmp_path)) == {"E": [(10, 0), (100, 0)]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stop_s": 0.5}, r"got 0.5 s for the end, but file.h5 has a spike at 1 s"),
        ({"tick_s": 0.0}, "got a tick of 0.0 s; expected a positive number"),
        ({"tick_s": float("inf")}, "got a tick of inf s"),
        ({"tick_s": 1e-12}, r"lasts 1 s in ticks of 1e-12 s; expected at most 0\.00858993 s: give"),
        ({"stop_s": 1e9}, r"lasts 1e\+09 s in ticks of 0\.001 s; expected at most 8\.58993e\+06"),
        ({"stop_s": float("nan")}, r"got nan s for the end of file\.h5; expected a finite number"),
        ({"stop_s": float("inf")}, r"got inf s for the end of file\.h5; expected a finite number"),
    ],
)
def test_an_impossible_tick_or_end_is_refused(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_recording(of(0.1, 1.0), tmp_path, **options)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": 1 << 33}, "got 8,589,934,592 units, by the greatest number of one; expected at"),
        ({"recorded": np.array([1])}, r"got a spike of unit 0, which is not among the 1 that were"),
        ({"recorded": np.array([1, 0])}, "recorded units are no increasing numbers from 0 to 2"),
        ({"recorded": np.array([0, 3])}, "recorded units are no increasing numbers from 0 to 2"),
    ],
)
def test_units_that_do_not_fit_are_refused(tmp_path: Path, changed: dict, message: str) -> None:
    units = Units(np.array([0.1]), np.array([0]), **{"size": 3, **changed})
    with pytest.raises(DataError, match=message):
        write_recording(Recording(Path("file.h5"), "nwb", {"E": units}), tmp_path)


@pytest.mark.parametrize(
    ("name", "stored"),
    [("CA1/pyr", "CA1_pyr"), ("_raw", "raw"), ("by_time", "by_time_"), ("..", "units")],
)
def test_a_name_that_a_store_has_not_is_changed(tmp_path: Path, name: str, stored: str) -> None:
    write_recording(of(0.1, name=name), tmp_path)
    assert trains(open_run(tmp_path)) == {stored: [(100, 0)]}


def test_names_that_would_become_one_are_refused(tmp_path: Path) -> None:
    groups = {**of(0.1, name="a/b").groups, **of(0.1, name="a:b").groups}
    with pytest.raises(DataError, match="differ in signs only"):
        write_recording(Recording(Path("f"), "nwb", groups), tmp_path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.h5 is no file; expected an HDF5 file"):
        read_electrodes(tmp_path / "none.h5")


def test_a_file_that_is_no_hdf5_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("spikes")
    with pytest.raises(DataError, match="is not a whole HDF5 file"):
        read_electrodes(tmp_path / "a.h5")


def test_a_file_with_a_damaged_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["sCount"] = [50_000]
        options = {"chunks": (50_000,), "compression": "gzip"}
        file.create_dataset("spikes", data=np.random.default_rng(0).random(50_000), **options)
    content = bytearray(path.read_bytes())
    content[100_000:101_000] = bytes(1000)
    path.write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        read_electrodes(path)


def test_text_where_numbers_belong_is_one_line(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["sCount"], file["spikes"] = [1], np.array([b"soon"])
    with pytest.raises(DataError, match=r"holds something else than it should \(could not convert"):
        read_electrodes(tmp_path / "a.h5")


def test_a_missing_library_is_one_line_that_says_what_to_install() -> None:
    with pytest.raises(OutputError, match=r"no_such_library is not installed.*biosim\[nwb\]"):
        required("no_such_library.part", "nwb")


# --- files are written whole


def test_a_file_that_fails_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "a.txt"
    out.write_text("before")

    def half() -> None:
        with whole(out, overwrite=True) as beside:
            beside.write_text("half")
            assert out.read_text() == "before"
            raise ValueError("the middle")

    with pytest.raises(ValueError, match="the middle"):
        half()
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "before"}


def test_a_whole_file_takes_its_name(tmp_path: Path) -> None:
    with whole(tmp_path / "a.txt", overwrite=False) as beside:
        beside.write_text("whole")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "whole"}


def test_a_file_that_came_first_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "a.txt"

    def late() -> None:
        with whole(out, overwrite=False) as beside:
            beside.write_text("late")
            out.write_text("first")

    with pytest.raises(OutputError, match="exists; choose another --out, or give --overwrite"):
        late()
    assert out.read_text() == "first"


def test_a_disk_that_is_full_is_one_line(tmp_path: Path) -> None:
    def full() -> None:
        with whole(tmp_path / "a.txt", overwrite=False):
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\)"):
        full()


def test_a_place_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a directory; expected the name of a file"):
        check_free(tmp_path, overwrite=True)
    with pytest.raises(OutputError, match="nowhere is no directory; make it"):
        check_free(tmp_path / "nowhere" / "a.txt", overwrite=True)


def test_a_place_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever runs the tests may be allowed everything.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="cannot be written; choose another --out"):
        check_free(tmp_path / "a.txt", overwrite=False)
