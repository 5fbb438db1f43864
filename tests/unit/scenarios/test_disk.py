"""What a run that learns from data will store is said before, and held against the room."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest

from biosim.errors import OutputError
from hpc.plan import plan_text
from hpc.run import run
from scenarios import disk
from scenarios.disk import Kept, check_kept, kept
from scenarios.images.schema import ImagesScenario
from scenarios.reading import read_tree, resolve_any
from scenarios.scenario import Scenario

SMALL = {
    "digits": ("run.epochs=2", "network.hidden=[200, 100]", "record.samples=300"),
    "digits_spiking": ("run.epochs=1", "record.samples=300"),
}


def small(name: str, *more: str) -> Scenario | ImagesScenario:
    found = resolve_any(read_tree(name), [*SMALL[name], *more])
    assert isinstance(found, Scenario | ImagesScenario)
    return found


def kept_by(scenario: Scenario | ImagesScenario) -> Kept:
    dataset = scenario.data.load()
    return kept(scenario, scenario.wire(dataset), dataset)


def stored_bytes(store: Path, kind: str) -> int:
    files = (store / kind).rglob("*")
    return sum(path.stat().st_size for path in files if path.is_file() and "c" in path.parts)


def test_what_layers_store_is_what_was_expected(tmp_path: Path) -> None:
    given = small("digits", "record.weights=every", "record.activity=every")
    found, store = kept_by(given), run(given, tmp_path / "run").path / "run.zarr"
    assert found.weight_bytes > 3 * 4 * 64 * 200
    assert stored_bytes(store, "weights") == pytest.approx(found.weight_bytes, rel=0.15)
    # Half of the activity is silence, which takes no room.
    assert 0.2 * found.activity_bytes < stored_bytes(store, "activity") < found.activity_bytes
    assert kept_by(small("digits")).weight_bytes == found.weight_bytes * 2 // 3


def test_what_neurons_that_learn_from_images_store_is_no_more_than_expected(tmp_path: Path) -> None:
    given = small("digits_spiking", "data.samples=400")
    found, store = kept_by(given), run(given, tmp_path / "run").path / "run.zarr"
    assert 0.3 * found.weight_bytes < stored_bytes(store, "weights") <= found.weight_bytes
    assert 0 < stored_bytes(store, "activity") <= found.activity_bytes


def test_less_is_stored_of_less() -> None:
    never = kept_by(small("digits", "record.activity=never"))
    assert never.activity_bytes == 0
    assert never.weight_bytes == kept_by(small("digits")).weight_bytes
    ends, last = kept_by(small("digits")), kept_by(small("digits", "record.weights=last"))
    assert last.weight_bytes * 2 == ends.weight_bytes


@pytest.mark.parametrize("name", list(SMALL))
def test_a_run_that_would_fill_the_disk_is_refused_and_writes_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: usage(1 << 20, 0, 100 << 10))
    said = r"would store about .* of weights, .* of activity: .* in all; .* has room for 100.0 KiB"
    with pytest.raises(OutputError, match=said + r": record less \(record.weights, record.act"):
        run(small(name), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(disk.shutil, "disk_usage", shutil.disk_usage)


def test_a_task_that_would_fill_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "room", lambda out: 1000.0)
    with pytest.raises(OutputError, match=r"the run would store about .* in the end.* has room"):
        run(resolve_any(read_tree("reward_choice"), ["task.trials=20"]), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_run_with_room_is_let_pass() -> None:
    needed = Kept(1000, 500)
    check_kept(needed, Path(), free_bytes=needed.total_bytes)
    with pytest.raises(OutputError, match=r"has room for 129.5 KiB: record less"):
        check_kept(needed, Path(), free_bytes=needed.total_bytes - 1)


def test_the_room_of_a_run_that_is_overwritten_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = Kept(1 << 20, 0)
    monkeypatch.setattr(disk, "room", lambda out: needed.total_bytes - 5000.0)
    with pytest.raises(OutputError, match="record less"):
        check_kept(needed, tmp_path / "run")
    (tmp_path / "run/run.zarr").mkdir(parents=True)
    (tmp_path / "run/run.zarr/0").write_bytes(bytes(4999))
    with pytest.raises(OutputError, match="record less"):
        check_kept(needed, tmp_path / "run")
    (tmp_path / "run/run.zarr/1").write_bytes(bytes(1))
    check_kept(needed, tmp_path / "run")


def test_a_file_system_without_a_size_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < disk.room(Path("no-such-directory/below")) < float("inf")
    nothing = SimpleNamespace(total=0, used=0, free=0)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: nothing)
    assert disk.room(Path()) == float("inf")


@pytest.mark.parametrize("name", list(SMALL))
def test_a_plan_tells_what_is_stored(name: str) -> None:
    found = small(name)
    epochs = "2 epochs" if name == "digits" else "1 epoch"
    assert f"In {epochs} it stores {kept_by(found).line()}; " in plan_text(found, 1)
