"""Whatever happens while a checkpoint is stored, those that have their name are complete."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from biosim.checkpoints import directory
from biosim.checkpoints.arrays import Stretch, describe, write
from biosim.checkpoints.directory import (
    LATEST,
    PARTIAL,
    Checkpoint,
    CheckpointError,
    begin,
    complete,
    name_of,
    newest,
)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk."""
    monkeypatch.setattr(directory.arrays, "_synced", lambda path: None)


def made(folder: Path, tick: int, keep: int = 9) -> Path:
    path = begin(folder, tick)
    stretch = Stretch("x", np.arange(5) + tick, 0, 5)
    describe(path, stretch)
    write(path, stretch)
    return complete(path, {"now": tick}, keep)


def test_every_array_is_seen_by_who_browses(tmp_path: Path) -> None:
    path = begin(tmp_path, 5)
    stretch = Stretch("neurons/E/v", np.arange(5.0), 0, 5)
    describe(path, stretch)
    write(path, stretch)
    assert "neurons" not in zarr.open_group(path, mode="r")
    found = zarr.open_group(complete(path, {}, 1), mode="r")
    assert found["neurons/E/v"][...].tolist() == [0, 1, 2, 3, 4]
    assert list(found["neurons"].keys()) == ["E"]
    assert list(found["neurons/E"].keys()) == ["v"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_names_sort_as_ticks_do() -> None:
    ticks = [0, 9, 10, 10**6, 10**15]
    assert sorted(map(name_of, ticks)) == [name_of(tick) for tick in ticks]


def test_a_checkpoint_is_pointed_to_and_read(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    assert newest(tmp_path / "nothing") is None
    path = made(tmp_path, 12)
    assert newest(tmp_path) == path
    assert names(tmp_path) == [LATEST, name_of(12)]
    found = Checkpoint(path)
    assert (found.tick, found.attributes["now"]) == (12, 12)
    assert found.read("x", 1, 2).tolist() == [13, 14]
    assert found.rows("x") == 5
    assert found.has("x")
    assert not found.has("y")


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_last_ones_are_kept(tmp_path: Path, keep: int) -> None:
    for tick in (10, 20, 30, 40):
        made(tmp_path, tick, keep)
    expected = [name_of(tick) for tick in (10, 20, 30, 40)][-keep:]
    assert names(tmp_path) == [LATEST, *expected]


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    begin(tmp_path, 5)
    assert newest(tmp_path) is None
    begin(tmp_path, 6)
    assert names(tmp_path) == [f"{PARTIAL}{name_of(6)}"]


def test_one_that_is_stored_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    first = made(tmp_path, 5)
    (first / "old").touch()
    assert made(tmp_path, 5) == first
    assert not (first / "old").exists()
    assert names(tmp_path) == [LATEST, name_of(5)]


@pytest.mark.parametrize("said", [None, "", "\n", "..", "/", "tick-9", f"{PARTIAL}x", "run.zarr"])
def test_without_a_pointer_the_newest_is_taken(tmp_path: Path, said: str | None) -> None:
    for tick in (5, 30):
        made(tmp_path, tick)
    (tmp_path / LATEST).unlink()
    if said is not None:
        (tmp_path / LATEST).write_text(said)
    assert newest(tmp_path) == tmp_path / name_of(30)


def test_what_is_pointed_to_counts(tmp_path: Path) -> None:
    for tick in (5, 30):
        made(tmp_path, tick)
    (tmp_path / LATEST).write_text(name_of(5))
    assert newest(tmp_path) == tmp_path / name_of(5)


def test_once_the_newest_is_removed_the_one_before_is_taken(tmp_path: Path) -> None:
    for tick in (5, 30):
        made(tmp_path, tick)
    shutil.rmtree(tmp_path / name_of(30))
    assert newest(tmp_path) == tmp_path / name_of(5)


class KilledError(Exception):
    """As if the process were gone."""


def killing(after: int, action: Callable[..., Any], counted: list[int]) -> Callable[..., Any]:
    def acted(*given: Any, **more: Any) -> Any:
        counted[0] += 1
        if counted[0] > after:
            raise KilledError
        return action(*given, **more)

    return acted


@pytest.mark.parametrize("again", [False, True], ids=["the next one", "the same tick again"])
def test_a_kill_at_any_step_leaves_a_complete_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    steps = 0
    while True:
        folder, counted = tmp_path / str(steps), [0]
        for tick in (10, 20):
            made(folder, tick)
        with monkeypatch.context() as patch:
            for owner, name in (
                (directory.arrays, "synced"),
                (directory.shutil, "rmtree"),
                (Path, "rename"),
                (Path, "replace"),
                (Path, "write_text"),
                (Path, "mkdir"),
            ):
                patch.setattr(owner, name, killing(steps, getattr(owner, name), counted))
            try:
                made(folder, 20 if again else 30, keep=1)
            except KilledError:
                steps += 1
            else:
                break
        for path in folder.glob("tick-*"):
            assert Checkpoint(path).read("x").tolist() == list(np.arange(5) + Checkpoint(path).tick)
        found = newest(folder)
        assert found is not None
        assert Checkpoint(found).tick in (10, 20, 30)
        made(folder, 40, keep=1)  # nothing that was left is in the way
        assert names(folder) == [LATEST, name_of(40)]
    assert steps > 8, "every step should have been killed once"


def test_a_directory_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing cannot be read"):
        Checkpoint(tmp_path / "nothing")
    zarr.create_group(tmp_path / "other")
    with pytest.raises(CheckpointError, match="other is no checkpoint, and this version reads"):
        Checkpoint(tmp_path / "other")


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"zarr_format": 3}', "\xff"])
def test_a_description_that_is_damaged_is_refused(tmp_path: Path, text: str) -> None:
    path = made(tmp_path, 5)
    (path / "zarr.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"cannot be read|is no checkpoint"):
        Checkpoint(path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path, 5)
    said = json.loads((path / "zarr.json").read_text())
    said["attributes"]["format"] = "biosim-checkpoint-9"
    (path / "zarr.json").write_text(json.dumps(said))
    with pytest.raises(
        CheckpointError, match="is biosim-checkpoint-9, and this version reads biosim-checkpoint-1"
    ):
        Checkpoint(path)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    made(tmp_path, 4, keep=2)
    found = Checkpoint(made(tmp_path, 5, keep=2))
    advice = f"it is damaged; remove it, and the one before it, {name_of(4)}, is taken"
    with pytest.raises(CheckpointError, match=f"lacks the array y: {advice}"):
        found.read("y")
    with pytest.raises(CheckpointError, match=f"lacks the array y: {advice}"):
        found.rows("y")
    with pytest.raises(CheckpointError, match=f"lacks populations: {advice}"):
        found.tree("populations")
    with pytest.raises(CheckpointError, match="lacks x: it is damaged"):
        found.tree("x")
    assert advice in str(found.changed("x"))


def test_a_file_that_is_cut_off_or_gone_is_found(tmp_path: Path) -> None:
    found = Checkpoint(made(tmp_path, 5))
    file = found.path / "x" / "c" / "0"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"cannot be read \(x is cut off\)"):
        found.read("x")
    file.unlink()
    with pytest.raises(CheckpointError, match=r"cannot be read \(.*No such file"):
        found.read("x")
    (found.path / "x" / "zarr.json").write_text("{}")
    with pytest.raises(CheckpointError, match="cannot be read"):
        found.rows("x")
