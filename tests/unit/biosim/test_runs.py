"""Many runs as one: every number is where its run's settings say, and no other is there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import LocalStore

import biosim
from biosim import open_run, open_runs
from biosim.errors import OutputError
from biosim.store import STORE, RunStore


def store_run(
    path: Path,
    rule: str | None = "backprop",
    seed: int = 0,
    epochs: Sequence[int] = (0, 1, 2),
    status: str = "complete",
    started: str = "2026-01-01",
    layers: Sequence[str] = ("input", "hidden1"),
    **settings: Any,
) -> Path:
    """A run whose accuracy at an epoch is 100 lr + 10 seed + epoch."""
    store = RunStore(path / STORE, "w")
    scenario: dict[str, Any] = {"name": "digits", "run": {"seed": seed, "threads": seed}}
    if rule is not None:
        scenario["rule"] = {"name": rule}
    for name, value in settings.items():
        table, key = name.split("__")
        scenario.setdefault(table, {})[key] = value
    about = {"status": status, "seed": seed, "started": started, "scenario": scenario}
    store.describe({**about, "kind": "made up", **({} if rule is None else {"rule": rule})})
    store.write("learning/epoch", list(epochs), ["epoch"], {"units": "1"})
    store.write_names("learning/split", ["test", "train"], "split")
    lr = settings.get("rule__lr", 0)
    value = [[100 * lr + 10 * seed + epoch, -1] for epoch in epochs]
    store.write("learning/accuracy", np.array(value, float), ["epoch", "split"], {"units": "1"})
    store.write("learning/updates", np.array(epochs), ["epoch"])
    store.write_names("ledger/populations/population", list(layers), "population")
    store.write("ledger/populations/updates", np.arange(len(layers)), ["population"])
    store.write_names("ledger/projections/projection", ["first"], "projection")
    store.write("ledger/projections/target", np.array([len(layers) - 1]), ["projection"])
    store.write("ledger/projections/source", np.array([0]), ["projection"])
    store.write("weights/first/w", np.full((2, 3 + seed), seed), ["snapshot", "synapse"])
    return path


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for rule in ("noprop", "backprop"):
        for lr in (0.1, 0.01):
            for seed in (3, 1):
                store_run(tmp_path / f"{rule}-{lr}-{seed}", rule, seed, rule__lr=lr)
    return tmp_path


def test_runs_lie_where_their_settings_say(sweep: Path) -> None:
    runs = open_runs(sweep)
    accuracy = runs["learning"].accuracy
    assert accuracy.dims == ("rule", "seed", "lr", "epoch", "split")
    assert runs.lr.values.tolist() == [0.01, 0.1]
    assert runs.seed.values.tolist() == [1, 3]
    for rule in ("backprop", "noprop"):
        for lr in (0.1, 0.01):
            for seed in (1, 3):
                at = accuracy.sel(rule=rule, lr=lr, seed=seed, split="test")
                expected = 100 * lr + 10 * seed + np.arange(3)
                np.testing.assert_array_equal(at, expected)
                one = open_run(runs.directory.sel(rule=rule, lr=lr, seed=seed).item())
                np.testing.assert_array_equal(at, one["learning"].accuracy.sel(split="test"))
    assert accuracy.attrs["units"] == "1"
    assert runs.attrs["kind"] == "made up"
    assert "seed" not in runs.attrs
    assert (runs.status == "complete").all()


def test_parts_of_a_stacked_array_are_those_of_the_whole(sweep: Path) -> None:
    store_run(sweep / "longer", "noprop", 1, (0, 2, 5), started="2027", rule__lr=0.1)
    accuracy = open_runs(sweep)["learning"].accuracy
    whole = accuracy.values
    for key in (
        {"seed": 1, "epoch": slice(None, None, -1)},
        {"rule": [1, 0, 1], "epoch": [3, 0]},
        {"lr": slice(1, None), "split": 0, "epoch": -1},
        {"seed": slice(0, 0)},
        {"epoch": xr.DataArray([0, 1], dims="k"), "seed": xr.DataArray([1, 0], dims="k")},
    ):
        found = accuracy.isel(key)
        expected = accuracy.copy(data=whole).isel(key)
        np.testing.assert_array_equal(found.values, expected.values)
        assert found.dims == expected.dims


def test_unequal_runs_have_all_labels_and_nothing_where_a_run_has_none(tmp_path: Path) -> None:
    store_run(tmp_path / "a", "backprop", epochs=(0, 1, 2), layers=("input", "hidden1"))
    store_run(tmp_path / "b", "noprop", epochs=(0, 2, 4), layers=("input", "block", "hidden1"))
    runs = open_runs(tmp_path)
    learning = runs["learning"].isel(seed=0)
    assert learning.epoch.values.tolist() == [0, 1, 2, 4]
    for rule, known in (("backprop", [0, 1, 2, np.nan]), ("noprop", [0, np.nan, 2, 4])):
        np.testing.assert_array_equal(learning.accuracy.sel(rule=rule, split="test"), known)
        np.testing.assert_array_equal(learning.updates.sel(rule=rule), known)
    assert learning.updates.dtype == np.float64
    ledger = runs["ledger/populations"].updates.isel(seed=0)
    assert ledger.population.values.tolist() == ["input", "hidden1", "block"]
    np.testing.assert_array_equal(ledger.sel(rule="backprop"), [0, 1, np.nan])
    np.testing.assert_array_equal(ledger.sel(rule="noprop"), [0, 2, 1])
    # Positions in a run's own list became names.
    assert runs["ledger/projections"].target.values.ravel().tolist() == ["hidden1", "hidden1"]


def test_whole_numbers_stay_whole_where_nothing_is_missing(sweep: Path) -> None:
    assert open_runs(sweep)["learning"].updates.dtype.kind == "i"


def test_what_differs_in_length_without_labels_is_left_out_and_named(tmp_path: Path) -> None:
    for seed in (0, 1):
        store_run(tmp_path / str(seed), seed=seed)
        store = zarr.open_group(str(tmp_path / str(seed) / STORE), mode="r+")
        store.create_array("spikes/E/time", data=np.arange(3.0), dimension_names=["spike"])
    runs = open_runs(tmp_path)
    assert runs["weights/first"].attrs["left_out"] == ["w"]
    assert "w" not in runs["weights/first"]
    assert runs.attrs["left_out"] == ["spikes"]
    assert "spikes" not in runs.children


def test_runs_that_are_missing_unreadable_or_unfinished_are_told(tmp_path: Path) -> None:
    listed = [{"rule": "backprop", "seed": s, "path": f"backprop/seed-{s}"} for s in range(4)]
    (tmp_path / "comparison.json").write_text(json.dumps({"runs": listed}))
    store_run(tmp_path / "backprop/seed-0")
    store_run(tmp_path / "backprop/seed-1", seed=1, status="running")
    store_run(tmp_path / "backprop/seed-2", seed=2)
    broken = tmp_path / "backprop/seed-2" / STORE / "zarr.json"
    broken.write_text(broken.read_text().replace("biosim-1", "biosim-9"))
    runs = open_runs(tmp_path)
    status = dict(zip(runs.seed.values.tolist(), runs.status.values[0].tolist(), strict=True))
    assert status == {0: "complete", 1: "running", 2: "unreadable", 3: "missing"}
    accuracy = runs["learning"].accuracy.sel(split="test", rule="backprop")
    np.testing.assert_array_equal(np.isnan(accuracy).all("epoch"), [False, False, True, True])


def test_of_two_runs_of_one_kind_the_complete_one_begun_last_counts(tmp_path: Path) -> None:
    store_run(tmp_path / "a", started="2026-01-02")
    store_run(tmp_path / "b", started="2026-01-01")
    store_run(tmp_path / "c", started="2026-01-03", status="diverged")
    assert open_runs(tmp_path).directory.values.tolist() == [[str(tmp_path / "a")]]
    every = open_runs(tmp_path, along="run")
    assert every.run.values.tolist() == ["a", "b", "c"]
    assert every["learning"].accuracy.dims == ("run", "epoch", "split")
    assert every.status.values.tolist() == ["complete", "complete", "diverged"]


def test_a_rule_without_a_setting_is_seen_at_each_of_its_values(tmp_path: Path) -> None:
    for lr in (0.1, 0.2):
        store_run(tmp_path / f"{lr}", rule__lr=lr)
    store_run(tmp_path / "frozen", "frozen")
    runs = open_runs(tmp_path)
    assert set(runs.directory.sel(rule="frozen").values.ravel()) == {str(tmp_path / "frozen")}
    assert runs["learning"].accuracy.sizes["lr"] == 2


def test_settings_that_change_together_make_one_dimension(tmp_path: Path) -> None:
    for lr, size in ((0.2, 10), (0.1, 20)):
        store_run(tmp_path / f"{lr}", rule__lr=lr, network__size=size)
    runs = open_runs(tmp_path)
    assert runs.status.dims == ("rule", "seed", "size") or runs.status.dims[-1] == "lr"
    assert dict(zip(runs.lr.values, runs["size"].values, strict=True)) == {0.1: 20, 0.2: 10}


def test_what_differs_between_rules_only_makes_no_dimension(tmp_path: Path) -> None:
    store_run(tmp_path / "a", "backprop", rule__lr=0.1, run__epochs=5)
    store_run(tmp_path / "b", "noprop", rule__lr=0.2, run__epochs=9)
    assert open_runs(tmp_path).status.dims == ("rule", "seed")


def test_names_that_stored_arrays_have_are_given_in_full(tmp_path: Path) -> None:
    for n in (1, 2):
        store_run(tmp_path / f"{n}", data__split=n, data__lr=n, rule__lr=(n + 1) % 2)
    dims = open_runs(tmp_path).coords
    assert "data.split" in dims
    assert {"data.lr", "rule.lr"} <= {*dims}


def test_runs_that_make_no_grid_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biosim.grid.MOST_CELLS", 2)
    for n in range(6):
        store_run(tmp_path / f"{n}", rule__lr=n // 2, rule__decay=n % 3, run__epochs=n)
    with pytest.raises(OutputError, match=r"6 runs make no grid of settings .*; .*along='run'"):
        open_runs(tmp_path)
    settings = open_runs(tmp_path, along="run")
    assert settings.decay.values.tolist() == [0, 1, 2, 0, 1, 2]


def test_runs_without_a_rule_have_none_as_theirs(tmp_path: Path) -> None:
    store_run(tmp_path / "a", None)
    assert open_runs(tmp_path / "a").rule.values.tolist() == ["none"]
    assert open_runs(tmp_path / "a" / STORE).rule.values.tolist() == ["none"]


@pytest.fixture
def read_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts what is read of chunks."""
    found = [0]
    ask = LocalStore.get

    async def get(self: LocalStore, key: str, *args: Any, **more: Any) -> Any:
        answer = await ask(self, key, *args, **more)
        if answer is not None and not key.endswith("zarr.json"):
            found[0] += len(answer)
        return answer

    monkeypatch.setattr(LocalStore, "get", get)
    return found


def test_nothing_is_read_of_a_run_that_is_not_asked_for(
    tmp_path: Path, read_bytes: list[int]
) -> None:
    for seed in (0, 1):
        store = RunStore(store_run(tmp_path / str(seed), seed=seed) / STORE)
        noise = np.random.default_rng(seed).normal(size=(2, 500, 500))
        store.write("activity/hidden/activity", noise, ["snapshot", "sample", "neuron"])
    activity = open_runs(tmp_path)["activity/hidden"].activity
    assert read_bytes[0] < 10_000
    activity.sel(seed=1).isel(snapshot=0).values  # noqa: B018
    assert 1e6 < read_bytes[0] < 2.1e6
    shutil.rmtree(tmp_path / "0")
    assert activity.sel(seed=1).isel(snapshot=1).values.any()
    read = read_bytes[0]
    activity.sel(seed=1).values  # noqa: B018
    assert read_bytes[0] > read + 2e6, "the count must be able to grow"


def test_dask_computes_the_same(sweep: Path) -> None:
    pytest.importorskip("dask")
    plain = open_runs(sweep)["learning"].accuracy
    for chunks in ("auto", {}, {"seed": 1, "epoch": 2}):
        cut = open_runs(sweep, chunks)["learning"].accuracy  # type: ignore[arg-type]
        assert cut.chunks is not None
        xr.testing.assert_identical(cut.mean("seed").compute(), plain.mean("seed"))
    assert plain.chunks is None


def test_dask_that_is_not_there_is_named(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for read in (open_run, open_runs):
        with pytest.raises(OutputError, match=r"got chunks='auto', which needs dask: pip install"):
            read(sweep, chunks="auto")


def test_no_runs_and_other_wrong_questions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"holds no runs: expected run\.zarr in it or below it"):
        open_runs(tmp_path)
    with pytest.raises(OutputError, match="is not a directory; expected one with runs in it"):
        open_runs(tmp_path / "nothing")
    with pytest.raises(OutputError, match="got along='rule'; expected settings or run"):
        biosim.open_runs(tmp_path, along="rule")  # type: ignore[arg-type]
    (tmp_path / "comparison.json").write_text("[]")
    with pytest.raises(OutputError, match="is not a list of runs; run the comparison again"):
        open_runs(tmp_path)
