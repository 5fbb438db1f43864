"""Each rank writes its stretch of one array; the sum of all sums tells whether it has changed."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from biosim.checkpoints import arrays
from biosim.checkpoints.arrays import Stretch, before, describe, read, rows, summed, synced, write
from biosim.contracts import Ranks
from biosim.ranks import OneRank, PretendRanks

KINDS = ["bool", "int8", "uint16", "int32", "uint32", "float32", "int64", "uint64", "float64"]


def values(kind: str, shape: tuple[int, ...]) -> np.ndarray:
    drawn = np.random.default_rng(0).integers(0, 256, (*shape, np.dtype(kind).itemsize), np.uint8)
    return (drawn & 1).astype(bool)[..., 0] if kind == "bool" else drawn.view(kind)[..., 0]


def stored(path: Path, whole: np.ndarray, cuts: list[int]) -> set[Path]:
    """Write an array in stretches, the last one first: no order is promised."""
    edges = [0, *cuts, len(whole)]
    parts = [Stretch("group/x", whole[a:b], a, len(whole)) for a, b in pairwise(edges)]
    describe(path, parts[0])
    return {file for part in reversed(parts) for file in write(path, part)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1,), (7,), (7, 3), (5, 2, 2), (0,), (0, 3), (4, 0)])
def test_what_several_write_is_one_array_that_any_program_reads(
    kind: str, shape: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "CHUNK_BYTES", 24)  # of three rows or fewer
    whole = values(kind, shape)
    stored(tmp_path, whole, [min(2, len(whole)), min(3, len(whole))])
    found = read(tmp_path, "group/x")
    assert found.dtype == whole.dtype
    assert found.tobytes() == whole.tobytes()
    assert rows(tmp_path, "group/x") == len(whole)
    other = zarr.open_array(tmp_path / "group/x", mode="r")
    assert other.shape == whole.shape


def test_a_part_of_an_array_is_read(tmp_path: Path) -> None:
    stored(tmp_path, np.arange(10), [4])
    assert read(tmp_path, "group/x", 3, 4).tolist() == [3, 4, 5, 6]
    assert read(tmp_path, "group/x", 10, 0).tolist() == []
    assert read(tmp_path, "group/x", 8).tolist() == [8, 9]


def test_a_file_is_as_long_as_its_chunk_from_the_first_write(tmp_path: Path) -> None:
    """NFS writes whole pages at the end of a file, also where another one has written."""
    whole = np.arange(100)
    describe(tmp_path, Stretch("x", whole, 0, 100))
    (file,) = write(tmp_path, Stretch("x", whole[:10], 0, 100))
    assert file.stat().st_size == 800


@given(cuts=st.lists(st.integers(0, 50), max_size=3), kind=st.sampled_from(KINDS))
@settings(max_examples=30, deadline=None)
def test_sums_of_stretches_add_up_to_that_of_the_array(cuts: list[int], kind: str) -> None:
    whole = values(kind, (50, 2))
    edges = [0, *sorted(cuts), 50]
    parts = pairwise(edges)
    total = sum(Stretch("x", whole[a:b], a, 50).sum for a, b in parts)
    assert total % (1 << 64) == summed(whole, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_any_bit_that_changes_changes_the_sum(kind: str) -> None:
    whole = values(kind, (9,))
    known = summed(whole, 0)
    for bit in range(1 if kind == "bool" else 8 * whole.itemsize):
        other = whole.copy()
        other.view(f"u{whole.itemsize}")[5] ^= np.array(1 << bit, f"u{whole.itemsize}")
        assert summed(other, 0) != known
    assert summed(whole, 0) == known
    assert summed(np.arange(9)[::-1], 0) != summed(np.arange(9), 0)


def test_a_sum_that_is_known_is_not_made_again() -> None:
    assert Stretch("x", np.arange(3), 0, 3, total=7).sum == 7


def test_a_file_that_is_cut_off_is_found(tmp_path: Path) -> None:
    (file,) = stored(tmp_path, np.arange(10), [])
    with file.open("r+b") as cut:
        cut.truncate(79)
    with pytest.raises(ValueError, match="group/x is cut off"):
        rows(tmp_path, "group/x")
    file.unlink()
    with pytest.raises(FileNotFoundError, match="No such file"):
        rows(tmp_path, "group/x")


def test_a_single_number_is_read_whole(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "x", data=np.array(3.5))
    assert rows(tmp_path, "x") == 1
    assert read(tmp_path, "x") == 3.5


def test_ranks_know_how_many_rows_are_before_theirs() -> None:
    def program(ranks: Ranks) -> tuple[int, int]:
        return before(ranks, (4, 0, 3)[ranks.rank])

    assert PretendRanks(3).run(program) == [(0, 7), (4, 7), (4, 7)]
    assert before(OneRank(), 5) == (0, 5)


def test_a_stretch_without_rows_writes_no_file(tmp_path: Path) -> None:
    assert write(tmp_path, Stretch("x", np.empty(0), 3, 3)) == set()
    assert list(tmp_path.iterdir()) == []


def test_files_and_directories_are_seen_onto_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(arrays.os, "fsync", seen.append)
    (tmp_path / "file").touch()
    synced([tmp_path, tmp_path / "file"])
    assert len(seen) == 2
    with pytest.raises(FileNotFoundError, match="lost"):
        synced([tmp_path / "lost"])


def test_tensors_are_written_as_arrays(tmp_path: Path) -> None:
    stored(tmp_path, torch.arange(4.0).numpy(), [])
    assert read(tmp_path, "group/x").tolist() == [0, 1, 2, 3]
