"""N-MNIST, from files of the published form that are written here, and from the small file."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biosim.errors import DataError
from scenarios.data import Dataset, load, nmnist
from scenarios.data.nmnist import SMALL, read_recording, write_recording
from scenarios.data.published import CHECKOUT_DATA

PIXELS = 34 * 34
LABELS = {"Train": [5, 0, 4, 0], "Test": [7, 1]}


def recording(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Times that need all 23 bits, addresses of both polarities."""
    draws = np.random.default_rng(seed)
    times = np.sort(draws.integers(0, 1 << 23, 40 + seed)).astype(np.int32)
    return times, draws.integers(0, 2 * PIXELS, 40 + seed).astype(np.uint16)


def place(root: Path) -> Path:
    """Write the published form: a directory a class, a file a recording."""
    number = 0
    for part, labels in LABELS.items():
        for label in range(10):
            (root / part / str(label)).mkdir(parents=True)
        for label in labels:
            number += 1
            write_recording(root / part / str(label) / f"{number:05}.bin", *recording(number))
    return root


def arrays(part: str, first: int) -> dict[str, Any]:
    """The small form of the same recordings."""
    found = [recording(first + k) for k in range(len(LABELS[part]))]
    address = np.concatenate([addresses for _, addresses in found]).astype(np.int64)
    elapsed = [np.diff(times // 200, prepend=0) for times, _ in found]
    name = part.lower()
    return {
        f"{name}_dt_us": np.concatenate(elapsed).astype(np.uint16),
        f"{name}_x": (address % 34).astype(np.uint8),
        f"{name}_y": (address // 34 % 34).astype(np.uint8),
        f"{name}_p": np.packbits(address >= PIXELS),
        f"{name}_offsets": np.cumsum([0, *(len(times) for times, _ in found)]).astype(np.uint32),
        f"{name}_labels": np.array(LABELS[part], dtype=np.uint8),
    }


def place_small(folder: Path, **changed: Any) -> Path:
    np.savez(folder / SMALL, **(arrays("Train", 1) | arrays("Test", 5) | changed))
    return folder


def test_a_written_recording_is_read_back(tmp_path: Path) -> None:
    times, addresses = recording(3)
    write_recording(tmp_path / "one.bin", times, addresses)
    assert (tmp_path / "one.bin").stat().st_size == 5 * len(times)
    for found, expected in zip(
        read_recording(tmp_path / "one.bin"), (times, addresses), strict=True
    ):
        assert np.array_equal(found, expected)
        assert found.dtype == expected.dtype


def test_five_bytes_are_x_y_polarity_and_23_bits_of_microseconds(tmp_path: Path) -> None:
    # x 33, y 2, ON, 0x012345 us; then x 0, y 1, OFF, 0x7fffff us.
    content = bytes([33, 2, 0x81, 0x23, 0x45, 0, 1, 0x7F, 0xFF, 0xFF])
    (tmp_path / "two.bin").write_bytes(content)
    times, addresses = read_recording(tmp_path / "two.bin")
    assert times.tolist() == [0x012345, 0x7FFFFF]
    assert addresses.tolist() == [PIXELS + 2 * 34 + 33, 34]


def test_a_mark_of_the_clock_s_end_moves_what_follows(tmp_path: Path) -> None:
    content = bytes([1, 1, 0, 0, 9, 0, 240, 0, 0, 0, 1, 1, 0, 0, 3])
    (tmp_path / "long.bin").write_bytes(content)
    assert read_recording(tmp_path / "long.bin")[0].tolist() == [9, 8192 + 3]


def test_the_published_form_is_loaded_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    dataset = nmnist(place(tmp_path))
    assert dataset.shape == (2, 34, 34)
    assert dataset.train.y.tolist() == LABELS["Train"]
    assert dataset.test.y.tolist() == LABELS["Test"]
    assert dataset.train.events is not None
    times, addresses = recording(3)
    assert np.array_equal(dataset.train.events.of(2)[0], times)
    assert np.array_equal(dataset.train.events.of(2)[1], addresses)
    assert dataset.train.x[2].sum() * 16 == len(times)


def test_a_folder_of_the_data_set_s_name_is_found_by_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path / "nmnist")
    monkeypatch.setenv("BIOSIM_DATA", str(tmp_path))
    assert len(load("nmnist").train) == 4


def test_both_forms_hold_the_same_events(tmp_path: Path) -> None:
    published = nmnist(place(tmp_path / "published"))
    (tmp_path / "small").mkdir()
    small = nmnist(place_small(tmp_path / "small"))
    for part in ("train", "test"):
        theirs, ours = getattr(published, part), getattr(small, part)
        assert np.array_equal(theirs.x, ours.x)
        assert np.array_equal(theirs.y, ours.y)
        for k in range(len(ours)):
            assert np.array_equal(theirs.events.of(k)[0] // 200, ours.events.of(k)[0])
            assert np.array_equal(theirs.events.of(k)[1], ours.events.of(k)[1])


def test_held_out_and_fewer_samples_keep_their_recordings(tmp_path: Path) -> None:
    place_small(tmp_path)
    dataset = load("nmnist", directory=tmp_path, samples=2)
    assert dataset.train.events is not None
    assert len(dataset.train.events) == 2


@pytest.mark.skipif(not (CHECKOUT_DATA / "nmnist").is_dir(), reason="the small file is not here")
def test_the_small_file_holds_a_thousand_recordings_and_a_hundred() -> None:
    dataset: Dataset = nmnist(CHECKOUT_DATA)
    assert (len(dataset.train), len(dataset.test)) == (1000, 100)
    assert dataset.train.y[:5].tolist() == [5, 0, 4, 1, 9]
    assert dataset.train.events is not None
    times = dataset.train.events.of(0)[0]
    # Three saccades of 100 ms each.
    assert 290_000 < times[-1] < 320_000
    assert (np.diff(times) >= 0).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(7), "has 7 bytes, expected 5 for each event: it is truncated"),
        (bytes([34, 0, 0, 0, 0]), "event 0 is at x 34, y 0, expected below 34"),
        (bytes([0, 0, 0, 0, 5, 0, 0, 0, 0, 4]), "event 1 is at 4 us, before the one at 5 us"),
    ],
)
def test_a_damaged_recording_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "00001.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(message)):
        read_recording(path)


def test_a_missing_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.bin: cannot be read"):
        read_recording(tmp_path / "none.bin")


def test_a_time_beyond_23_bits_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"times from 0 to 8388608 us, expected 0 to 8388607"):
        write_recording(tmp_path / "a.bin", np.array([0, 1 << 23]), np.array([0, 0]))


def test_files_that_lie_nowhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither Train/ and Test/ nor nmnist_small\.npz in"):
        nmnist(tmp_path)


def test_directories_without_recordings_are_refused(tmp_path: Path) -> None:
    for part in LABELS:
        (tmp_path / part).mkdir()
    with pytest.raises(DataError, match="Train: holds no recordings, expected folders 0 to 9"):
        nmnist(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_x": np.zeros(3, np.uint8)}, "its offsets do not fit its"),
        ({"test_offsets": np.array([0, 60, 50], np.uint32)}, "its offsets do not fit its"),
        ({"test_y": np.full(91, 40, np.uint8)}, r"event 0 is at x \d+, y 40, expected below 34"),
    ],
)
def test_a_small_file_that_does_not_fit_together_is_refused(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    place_small(tmp_path, **changed)
    with pytest.raises(DataError, match=message):
        nmnist(tmp_path)


def test_a_small_file_that_lacks_an_array_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / SMALL, **arrays("Train", 1))
    with pytest.raises(DataError, match=r"nmnist_small\.npz: cannot be read .*test_dt_us"):
        nmnist(tmp_path)
