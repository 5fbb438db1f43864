"""Checkpoints on the disk: complete ones, the newest first.

    checkpoints/
        LATEST                      the name of the newest
        tick-000000012345/          a Zarr group: arrays, and trees in the attributes of groups
        .partial-...                one that is being written or removed, or was when its run was
                                    killed

A checkpoint is written beside the others under a name of its own, seen onto the disk, renamed, and
then pointed to: whatever happens meanwhile, those that have their name are complete.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy.typing as npt
import zarr
import zarr.errors

from biosim.checkpoints import arrays
from biosim.errors import OutputError

FOLDER = "checkpoints"
LATEST = "LATEST"
PARTIAL = ".partial-"
FORMAT = "biosim-checkpoint-1"
GROUP = {"zarr_format": 3, "node_type": "group", "attributes": {}}
"""What describes a group that has nothing to say."""
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, zarr.errors.BaseZarrError)
"""What the library raises where a file is missing, or holds something else."""


class CheckpointError(OutputError):
    """A checkpoint is missing, damaged, or of something else."""


def begin(folder: Path, tick: int) -> Path:
    """Make an empty checkpoint under a name that says it is not complete; one process only.

    What a killed run left of another is removed.
    """
    for left in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(left)
    path = folder / f"{PARTIAL}{name_of(tick)}"
    path.mkdir(parents=True)
    zarr.create_group(str(path), zarr_format=3)
    return path


def complete(path: Path, attributes: Mapping[str, Any], keep: int) -> Path:
    """Give a checkpoint its name and point to it; remove all but the last so many.

    Args:
        path: as `begin` gave it; all ranks have written.
        attributes: of its root.
        keep: how many complete ones are left, at least 1.
    """
    folder = path.parent
    zarr.open_group(str(path), mode="r+", zarr_format=3).attrs.update(
        {"format": FORMAT, **attributes}
    )
    _group_all(path)
    # Arrays were seen onto the disk by who wrote them; what describes them was not.
    found = [(Path(at), names) for at, _, names in os.walk(path)]
    arrays.synced(at / name for at, names in found for name in names if name == "zarr.json")
    arrays.synced(at for at, _ in found)
    final = folder / path.name.removeprefix(PARTIAL)
    if final.exists():  # of an attempt that went as far
        _remove(final)
    path.rename(final)
    arrays.synced([folder])
    beside = folder / f".{LATEST}"
    beside.write_text(final.name + "\n", encoding="utf-8")
    arrays.synced([beside])
    beside.replace(folder / LATEST)
    arrays.synced([folder])
    for old in sorted(_complete(folder), reverse=True):
        if old.name < final.name:
            keep -= 1
            if keep < 1:
                _remove(old)
    return final


def _group_all(path: Path) -> None:
    """Make groups of the directories between the root and its arrays, for who browses them.

    By hand, like arrays (`arrays.describe`): by the library it takes a tenth of the time that a
    checkpoint of ten million synapses does.
    """
    for inner in path.iterdir():
        if inner.is_dir() and not _is_array(inner):
            if not (inner / "zarr.json").exists():
                (inner / "zarr.json").write_text(json.dumps(GROUP), encoding="utf-8")
            _group_all(inner)


def _is_array(path: Path) -> bool:
    described = path / "zarr.json"
    if not described.is_file():
        return False
    return bool(json.loads(described.read_text(encoding="utf-8"))["node_type"] == "array")


def _remove(path: Path) -> None:
    """Remove a complete checkpoint; one that is half removed does not have its name."""
    gone = path.with_name(f"{PARTIAL}old-{path.name}")
    path.rename(gone)
    shutil.rmtree(gone)


def name_of(tick: int) -> str:
    """Return the name of the checkpoint of a tick; names sort as ticks do."""
    return f"tick-{tick:018}"


def newest(folder: Path) -> Path | None:
    """Return the newest complete checkpoint; None if there is none."""
    with suppress(OSError):
        named = folder / (folder / LATEST).read_text(encoding="utf-8").strip()
        if named in _complete(folder):
            return named
    return max(_complete(folder), default=None)


def _complete(folder: Path) -> Iterator[Path]:
    return folder.glob(f"{name_of(0)[:5]}*")


class Checkpoint:
    """A complete checkpoint, to be read.

    Args:
        path: its directory.

    Attributes:
        attributes: of its root.

    Raises:
        CheckpointError: it cannot be read, or another version of biosim made it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._root = zarr.open_group(str(path), mode="r", zarr_format=3)
        except DAMAGE as problem:
            raise CheckpointError(f"{path} cannot be read ({problem})") from None
        self.attributes: dict[str, Any] = self._root.attrs.asdict()
        made = self.attributes.get("format")
        if made != FORMAT:
            raise CheckpointError(
                f"{path} is {made or 'no checkpoint'}, and this version reads {FORMAT}; take "
                "the version that wrote it, or run from the beginning"
            )

    @property
    def tick(self) -> int:
        """At which the run stood."""
        return int(self.attributes["now"])

    def tree(self, group: str) -> dict[str, Any]:
        """Return the attributes of a group.

        Raises:
            CheckpointError: it is not there.
        """
        found = self._members(lambda: self._root.get(group))
        if not isinstance(found, zarr.Group):
            raise CheckpointError(f"{self.path} lacks {group}: {self._advice()}")
        return found.attrs.asdict()

    def rows(self, path: str) -> int:
        """Return how many rows an array has.

        Raises:
            CheckpointError: it is not there.
        """
        if not self.has(path):
            raise CheckpointError(f"{self.path} lacks the array {path}: {self._advice()}")
        return int(self._members(lambda: arrays.rows(self.path, path)))

    def changed(self, path: str) -> CheckpointError:
        """Return what to say of an array whose check sum is another."""
        return CheckpointError(f"{self.path}: the array {path} has changed: {self._advice()}")

    def has(self, path: str) -> bool:
        """Return whether there is an array."""
        return (self.path / path / "zarr.json").is_file()

    def read(self, path: str, first: int = 0, rows: int | None = None) -> npt.NDArray[Any]:
        """Return rows of an array: its path, the first one, and how many; None for all.

        Raises:
            CheckpointError: it is not there, or damaged.
        """
        self.rows(path)
        found: npt.NDArray[Any] = self._members(lambda: arrays.read(self.path, path, first, rows))
        return found

    def _members(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except DAMAGE as problem:
            what = problem or type(problem).__name__
            raise CheckpointError(
                f"{self.path} cannot be read ({what}): {self._advice()}"
            ) from None

    def _advice(self) -> str:
        before = [each.name for each in _complete(self.path.parent) if each.name < self.path.name]
        if before:
            return f"it is damaged; remove it, and the one before it, {max(before)}, is taken"
        return "it is damaged, and there is none before it; run from the beginning"
