"""Recordings of an event camera are learnt by STDP, from when events come; the small set."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpc import run
from scenarios.data.nmnist import SMALL
from scenarios.reading import read_tree, resolve_any, with_rule

LEARNT, NOT_LEARNT = 55.0, 40.0
"""Percent of 100 recordings: chance is 10, one epoch gives 65 to 70 under STDP."""


@pytest.fixture
def recordings(shared_data: Path) -> Path:
    directory = shared_data / "nmnist"
    if not (directory / SMALL).is_file():
        pytest.skip(f"no {SMALL} in {directory}: set BIOSIM_DATA to the directory of the data sets")
    return directory


def percent(rule: str, recordings: Path, out: Path, *more: str) -> float:
    tree = with_rule(read_tree("nmnist"), rule)
    asked = [f"data.directory={recordings}", *more]
    return 100 * run(resolve_any(tree, asked), out).accuracy["class_mean"]


def test_recordings_are_learnt(recordings: Path, tmp_path: Path) -> None:
    assert percent("stdp", recordings, tmp_path / "out", "run.epochs=1") >= LEARNT


@pytest.mark.slow
def test_they_are_not_without_plasticity(recordings: Path, tmp_path: Path) -> None:
    assert percent("frozen", recordings, tmp_path / "out", "run.epochs=1") <= NOT_LEARNT


@pytest.mark.slow
def test_the_scenario_learns_under_every_seed(recordings: Path, tmp_path: Path) -> None:
    for seed in range(3):
        asked = f"run.seed={seed}"
        assert percent("stdp", recordings, tmp_path / f"s{seed}", asked) >= LEARNT, seed
        assert percent("frozen", recordings, tmp_path / f"f{seed}", asked) <= NOT_LEARNT, seed
