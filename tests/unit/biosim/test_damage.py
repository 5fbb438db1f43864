"""What cannot be read is said in one line that names it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from biosim.damage import named
from biosim.errors import OutputError
from biosim.spiking import finalising
from biosim.spiking.finalising import finalise
from biosim.store import RunStore
from biosim.traces import open_run, spike_times, spikes_between
from tests.unit.biosim.spiking.made_up_run import (
    Activity,
    differences,
    in_memory,
    made,
    recorded,
    shares,
    sink_at,
)


def flip(file: Path, at: int = -6) -> None:
    """Change one bit of a file."""
    content = bytearray(file.read_bytes())
    content[at] ^= 16
    file.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("array", "read"),
    [
        ("spikes/E/by_time/id", lambda tree: tree["spikes/E"].neuron.values),
        ("spikes/E/by_time/step", lambda tree: spikes_between(tree, "E", 0.0, 0.01).time),
        ("spikes/E/by_neuron/step", lambda tree: spike_times(tree, "E", 33)),
        ("traces/E/v", lambda tree: tree["traces/E"].v.isel(neuron=3).values),
        ("traces/E/v", lambda tree: tree["traces/E"].v.isel(neuron=[3, 5]).values),
        ("weights/E->E/w", lambda tree: tree["weights/E->E"].w.values),
    ],
)
def test_a_chunk_that_is_damaged_is_named(tmp_path: Path, array: str, read) -> None:
    store = recorded(tmp_path)
    file = next(path for path in (store / array / "c").rglob("*") if path.is_file())
    flip(file)
    tree = open_run(store)
    with pytest.raises(OutputError, match=r"is damaged \(its checksum is another\)") as said:
        np.asarray(read(tree))
    assert str(file) in str(said.value)
    assert array in str(said.value)


def test_a_chunk_of_a_shard_that_is_damaged_is_named_and_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finalising, "CHUNK", 64)
    monkeypatch.setattr(finalising, "SHARD", 512)
    store = recorded(tmp_path)
    flip(store / "spikes/E/by_time/id/c/1", at=3)  # in the first chunk of the second shard
    neurons = open_run(store)["spikes/E"].neuron
    expected = in_memory().spikes["E"].neurons
    np.testing.assert_array_equal(neurons[:512], expected[:512])
    np.testing.assert_array_equal(neurons[576:], expected[576:])
    with pytest.raises(OutputError, match=r"by_time/id/c/1 is damaged .* it holds \[512 to 575\]"):
        neurons[550:560].load()


def test_a_log_that_is_damaged_is_named(tmp_path: Path) -> None:
    store, owned = made(tmp_path), shares(1)[0]
    sink = sink_at(store, owned)
    Activity().play(sink, owned)
    sink.flush()
    flip(store / "spikes/E/_raw/b0000000000/id/c/0")
    flip(store / "traces/E/_raw/v/b0000000000/value/c/0/0")
    tree = open_run(store)
    with pytest.raises(OutputError, match=r"id/c/0 is damaged .*; take a copy of the run, or run"):
        tree["spikes/E"].neuron.load()
    with pytest.raises(OutputError, match=r"value/c/0/0 is damaged"):
        tree["traces/E"].v.load()
    with pytest.raises(OutputError, match=r"id/c/0 is damaged"):
        finalise(store)


def test_arrays_of_layers_are_summed_too(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run.zarr", "w")
    store.write("data/mean", np.arange(100.0), ["feature"])
    store.allocate("weights/a/weight", (2, 3, 4), np.float32, ["snapshot", "post", "pre"])
    store.fill("weights/a/weight", 1, np.ones((3, 4)))
    assert open_run(tmp_path)["data"]["mean"].values.tolist() == list(range(100))
    flip(tmp_path / "run.zarr/data/mean/c/0")
    flip(tmp_path / "run.zarr/weights/a/weight/c/1/0/0")
    tree = open_run(tmp_path)
    with pytest.raises(OutputError, match=r"data/mean/c/0 is damaged"):
        tree["data"]["mean"].load()
    with pytest.raises(OutputError, match=r"weight/c/1/0/0 is damaged .* \[1 to 1, 0 to 2, 0 to 3"):
        tree["weights/a"].weight.load()


def test_an_error_that_is_no_damage_stays_what_it_is(tmp_path: Path) -> None:
    root = zarr.open_group(str(tmp_path / "x"), mode="w")
    array = root.create_array("a", data=np.arange(10))
    with pytest.raises(ValueError, match="of something else"), named(array):
        raise ValueError("of something else")


def test_an_array_that_is_missing_is_named(tmp_path: Path) -> None:
    store = recorded(tmp_path)
    RunStore(store).finish({"status": "complete"})
    assert differences(open_run(store), in_memory()) == []
    shutil.rmtree(store / "spikes/E/by_time/id")
    with pytest.raises(OutputError, match=r"lacks 'spikes/E/by_time/id', which it had"):
        open_run(store)
    shutil.rmtree(store / "traces/E/v")
    with pytest.raises(OutputError, match=r"lacks 'spikes/.*' and 1 more"):
        open_run(store)
    (store / "traces/I/zarr.json").unlink()
    with pytest.raises(OutputError, match=r"lacks 'traces/I' and 2 more"):
        open_run(store)


def test_an_array_that_may_not_be_looked_for_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = recorded(tmp_path)
    RunStore(store).finish({"status": "complete"})
    is_file = Path.is_file

    def refused(self: Path) -> bool:
        if str(self).endswith("E/v/zarr.json"):
            raise PermissionError(13, "Permission denied", str(self))
        return is_file(self)

    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(OutputError, match=r"E/v/zarr.json cannot be read \(Permission denied\)"):
        open_run(store)


@pytest.mark.parametrize(
    ("array", "read"),
    [
        ("spikes/E/by_time/id", lambda tree: tree["spikes/E"].neuron.values),
        ("spikes/E/by_neuron/step", lambda tree: spike_times(tree, "E", 33)),
        ("spikes/E/by_time/window_ptr", lambda tree: tree["spikes/E"].window_ptr.values),
        ("traces/E/v", lambda tree: tree["traces/E"].v.isel(neuron=[3, 5]).values),
        ("weights/E->E/w", lambda tree: tree["weights/E->E"].w.values),
    ],
)
def test_a_chunk_that_is_missing_is_named_once_the_run_is_over(
    tmp_path: Path, array: str, read
) -> None:
    store = recorded(tmp_path)
    RunStore(store).finish({"status": "complete"})
    whole = open_run(store)
    assert whole.attrs["whole"] == whole.attrs["arrays"]
    assert differences(whole, in_memory()) == []
    file = next(path for path in (store / array / "c").rglob("*") if path.is_file())
    file.unlink()
    with pytest.raises(OutputError, match=rf"{array}/c/.* is missing: .* when the run ended; take"):
        np.asarray(read(open_run(store)))


@pytest.mark.parametrize("array", ["neurons/c/v", "neurons/E/c", "neurons/c/c"])
def test_a_chunk_that_is_missing_is_named_where_something_is_called_c(
    tmp_path: Path, array: str
) -> None:
    store = RunStore(tmp_path / "run.zarr", "w", groups=("neurons/c", "neurons/E"))
    store.write(array, np.arange(3.0), ["neuron"])
    store.finish({"status": "complete"})
    (tmp_path / "run.zarr" / array / "c/0").unlink()
    with pytest.raises(OutputError, match=rf"{array}/c/0 is missing: it holds a part of '{array}'"):
        open_run(tmp_path)[array].load()


def test_a_shard_that_is_missing_is_named_and_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finalising, "CHUNK", 64)
    monkeypatch.setattr(finalising, "SHARD", 512)
    store = recorded(tmp_path)
    RunStore(store).finish({"status": "complete"})
    (store / "spikes/E/by_time/id/c/1").unlink()
    neurons = open_run(store)["spikes/E"].neuron
    expected = in_memory().spikes["E"].neurons
    np.testing.assert_array_equal(neurons[:512], expected[:512])
    np.testing.assert_array_equal(neurons[1024:], expected[1024:])
    with pytest.raises(OutputError, match=r"by_time/id/c/1 is missing"):
        neurons[550:560].load()


def test_a_chunk_that_was_never_written_is_not_missed(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run.zarr", "w")
    store.write("data/zeros", np.zeros(5), ["feature"])
    store.allocate("weights/a/weight", (2, 3, 4), np.float32, ["snapshot", "post", "pre"])
    store.fill("weights/a/weight", 0, np.full((3, 4), np.nan))
    store.finish({"status": "failed"})
    tree = open_run(tmp_path)
    assert tree.attrs["whole"] == ["data/zeros"]
    assert np.isnan(tree["weights/a"].weight.values).all()
    (tmp_path / "run.zarr/data/zeros/c/0").unlink()
    with pytest.raises(OutputError, match=r"data/zeros/c/0 is missing"):
        open_run(tmp_path)["data"].zeros.load()


def with_layout(tmp_path: Path, layout: str) -> Path:
    RunStore(tmp_path / "run.zarr", "w")
    path = tmp_path / "run.zarr/zarr.json"
    described = json.loads(path.read_text())
    described["attributes"]["Conventions"] = layout
    path.write_text(json.dumps(described))
    return tmp_path


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("CF-1.12 biosim-2", r"layout 'biosim-2', which is newer than biosim-1, .* a newer biosim"),
        ("CF-1.12 biosim-12", r"layout 'biosim-12', which is newer"),
        ("CF-1.12 biosim-0", r"has the layout 'CF-1.12 biosim-0'; this version reads biosim-1"),
        ("biosim-x", r"has the layout 'biosim-x'; this version reads biosim-1"),
        ("", r"has the layout 'of something else'; this version reads biosim-1"),
    ],
)
def test_another_layout_is_refused(tmp_path: Path, layout: str, said: str) -> None:
    with pytest.raises(OutputError, match=said):
        open_run(with_layout(tmp_path, layout))


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"holds no run: expected a directory with run.zarr in"):
        open_run(tmp_path)
    (tmp_path / "run.zarr").mkdir()
    with pytest.raises(OutputError, match=r"is not a Zarr store of a run: it has no root group"):
        open_run(tmp_path)
    (tmp_path / "run.zarr/zarr.json").write_text("{")
    with pytest.raises(OutputError, match=r"is not a Zarr store of a run: it has no root group"):
        open_run(tmp_path)


@pytest.mark.parametrize("where", ["run.zarr", "run.zarr/zarr.json", "run.zarr/traces", "v/c/0/0"])
def test_what_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    recorded(tmp_path)
    if os.geteuid() > 0:
        file = next(path for path in tmp_path.rglob("*") if str(path).endswith(where))
        file.chmod(0)
    else:  # who may read everything has to be refused by hand
        refuse(monkeypatch, where)
    try:
        with pytest.raises(OutputError, match=rf"{where}.* cannot be read \(Permission denied\)"):
            open_run(tmp_path)["traces/E"].v.load()
    finally:
        monkeypatch.undo()


def refuse(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Refuse to look at what ends in these words."""
    for name in ("stat", "open", "iterdir", "read_bytes"):
        ours = getattr(Path, name)

        def refused(self: Path, *args: object, ours=ours, name=name, **more: object) -> object:
            if str(self).endswith(where) and (name != "stat" or where == "run.zarr"):
                raise PermissionError(13, "Permission denied", str(self))
            return ours(self, *args, **more)

        monkeypatch.setattr(Path, name, refused)
