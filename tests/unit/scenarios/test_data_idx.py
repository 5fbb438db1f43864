"""IDX files: what is written is read, and what is damaged is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from biosim.errors import DataError
from scenarios.data.idx import read_idx, write_idx

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@given(
    array=arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=4, min_side=0)),
    name=st.sampled_from(["array-idx", "array-idx.gz"]),
)
def test_what_is_written_is_read(
    array: np.ndarray, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("idx") / name
    write_idx(path, array)
    came = read_idx(path, array.ndim)
    assert came.dtype == np.uint8
    np.testing.assert_array_equal(came, array)


def test_the_header_is_the_published_one(tmp_path: Path) -> None:
    write_idx(tmp_path / "images", IMAGES)
    header = "00 00 08 03  00 00 00 02  00 00 00 03  00 00 00 04"
    assert (tmp_path / "images").read_bytes() == bytes.fromhex(header) + IMAGES.tobytes()


def test_the_same_array_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.gz", "two.gz"):
        write_idx(tmp_path / name, IMAGES)
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()


def test_zipped_files_are_known_by_their_content(tmp_path: Path) -> None:
    write_idx(tmp_path / "images.gz", IMAGES)
    (tmp_path / "images.gz").rename(tmp_path / "images")
    np.testing.assert_array_equal(read_idx(tmp_path / "images", 3), IMAGES)


def damaged(path: Path, content: bytes) -> str:
    """Writes the content and returns the message, which names the file on one line."""
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(str(path))) as caught:
        read_idx(path, 3)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def stored(path: Path) -> bytes:
    write_idx(path, IMAGES)
    return path.read_bytes()


def test_a_wrong_magic_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images"
    content = b"\x00\x00\x0d\x03" + stored(path)[4:]
    assert "starts with 0x00000d03, expected 0x00000803" in damaged(path, content)


def test_another_number_of_dimensions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    write_idx(path, IMAGES.ravel())
    with pytest.raises(DataError, match="starts with 0x00000801, expected 0x00000803"):
        read_idx(path, 3)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "starts with 0x, expected 0x00000803" in damaged(tmp_path / "images", b"")


def test_a_truncated_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images"
    assert "ends after 9 bytes, expected a header of 16" in damaged(path, stored(path)[:9])


def test_a_truncated_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images"
    message = damaged(path, stored(path)[:-1])
    assert "has 39 bytes, expected 40 for an array of shape (2, 3, 4): it is truncated" in message


def test_trailing_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "images"
    message = damaged(path, stored(path) + b"\n")
    assert "has 41 bytes, expected 40" in message
    assert "followed by other bytes" in message


def test_a_truncated_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    assert "cannot be read" in damaged(path, stored(path)[:-10])


def test_a_flipped_bit_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    content = bytearray(stored(path))
    content[-6] ^= 1
    assert "cannot be read" in damaged(path, bytes(content))


def test_damaged_compressed_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    content = bytearray(stored(path))
    content[10:14] = b"\xff\xff\xff\xff"
    assert "cannot be read" in damaged(path, bytes(content))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: cannot be read \(.*No such file"):
        read_idx(tmp_path / "nowhere", 3)


def test_only_unsigned_bytes_are_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the array holds float64, expected uint8"):
        write_idx(tmp_path / "images", IMAGES / 255)  # type: ignore[arg-type]
