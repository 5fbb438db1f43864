"""Law 2 under real MPI: every number of ranks stores the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rules import RULES
from scenarios.data import digits
from tests.ranks.started import PROGRAM, needs_mpi, same_bytes, started

pytestmark = needs_mpi()

LAYERS = ["network.hidden=[12,8]", "run.batch_size=128", "run.epochs=1", "record.samples=5"]
SPIKES = ["run.duration=30 ms", "record.spikes=true"]
SMALL_NETWORK = ["constants.CE=60", "constants.CI=15", "constants.J=1.6 mV", *SPIKES]
IMAGES = ["run.epochs=1", "data.samples=30", "network.excitatory=300", "record.samples=5"]


THREADED = ["brunel", "brunel_stdp", "streaming", "noprop"]


def runs() -> dict[str, dict[str, Any]]:
    """Return the scenarios, by name: every rule, and the spiking networks."""
    found = {
        rule: {"scenario": "digits", "rule": rule, "overrides": [*LAYERS, "data.samples=400"]}
        for rule in RULES
    }
    found["streaming"] = {
        "scenario": "digits",
        "rule": "backprop",
        "overrides": [*LAYERS, "run.period=1"],
    }
    for name in ("brunel", "brunel_stdp"):
        found[name] = {"scenario": name, "overrides": SMALL_NETWORK}
    for name in THREADED:
        threads = [*found[name]["overrides"], "run.threads=2"]
        found[f"{name}, 2 threads"] = {**found[name], "overrides": threads}
    few = [setting for setting in IMAGES if not setting.startswith("data.")]
    found["digits_spiking"] = {"scenario": "digits_spiking", "overrides": few}
    found["nmnist"] = {"scenario": "nmnist", "overrides": IMAGES}
    return found


RUNS = runs()

SLOW = ["digits_spiking", "nmnist"]
"""Ranks exchange in every tick, and more ranks than cores take turns."""

QUICK = [name for name in RUNS if name not in SLOW]


def few_images(path: Path) -> None:
    """Write a few images, for runs in which every tick takes an exchange."""
    data = digits()
    np.savez(
        path,
        x=data.train.x[:40], y=data.train.y[:40], x_test=data.test.x[:6], y_test=data.test.y[:6],
    )  # fmt: skip


def listed(directory: Path, names: list[str]) -> Path:
    """Write the list of these runs, whose results go into the directory."""
    entries = [{**RUNS[name], "out": str(directory / name)} for name in names]
    for entry in entries:
        if entry["scenario"] == "digits_spiking":
            entry["overrides"] = [*entry["overrides"], f"data.file={directory / 'few.npz'}"]
    path = directory.with_suffix(".json")
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def run_on(ranks: int, directory: Path, names: list[str], *how: str) -> Path:
    """Run these on so many ranks."""
    directory.mkdir()
    few_images(directory / "few.npz")
    done = started(ranks, str(PROGRAM), str(listed(directory, names)), *how)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_on(1, tmp_path_factory.mktemp("bits") / "1", QUICK)


@pytest.fixture(
    scope="module",
    params=[2, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 4))],
)
def several(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    size: int = request.param
    return run_on(size, tmp_path_factory.mktemp("bits") / str(size), QUICK)


@pytest.mark.parametrize("name", QUICK)
def test_what_ranks_store_is_what_one_stores(name: str, several: Path, alone: Path) -> None:
    assert same_bytes(several / name, alone / name) == []


@pytest.mark.parametrize("name", THREADED)
def test_threads_of_ranks_change_nothing(name: str, several: Path, alone: Path) -> None:
    assert same_bytes(several / f"{name}, 2 threads", alone / name) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_what_ranks_store_of_images_is_what_one_stores(
    name: str, tmp_path: Path, shared_data: Path
) -> None:
    one = run_on(1, tmp_path / "1", [name])
    for ranks in (2, 3, 4):
        several = run_on(ranks, tmp_path / str(ranks), [name])
        assert same_bytes(several / name, one / name) == []


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [3, 4])
def test_some_runs_on_other_numbers_of_ranks(ranks: int, alone: Path, tmp_path: Path) -> None:
    names = ["noprop", "brunel_stdp"]
    found = run_on(ranks, tmp_path / "some", names)
    for name in names:
        assert same_bytes(found / name, alone / name) == []


def test_a_draw_that_depends_on_the_rank_is_caught(alone: Path, tmp_path: Path) -> None:
    names = ["backprop", "brunel"]
    cheated = run_on(2, tmp_path / "cheat", names, "cheat")
    for name in names:
        assert same_bytes(cheated / name, alone / name), name
