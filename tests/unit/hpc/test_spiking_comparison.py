"""Spiking runs of many settings and seeds make one table, with the figures of their stores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import biosim
from hpc.run import run
from hpc.spiking_comparison import are_spiking, spiking_comparison
from scenarios.reading import read_tree, resolve_any
from tests.unit.hpc.test_run_spiking import TREE

WEIGHTS = ("-0.5 mV", "-2 mV")
SEEDS = 2


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs")
    for at, weight in enumerate(WEIGHTS):
        for seed in range(SEEDS):
            asked = [f"projections.rest.weight={weight}", f"run.seed={seed}"]
            run(resolve_any(TREE, asked), directory / f"{at}-{seed}")
    return directory


def rows(directory: Path) -> dict[tuple[str, str], list[str]]:
    """Return (weight, figure) -> the other cells of its row."""
    table = spiking_comparison(directory).split("\n\n")[1].splitlines()
    cells = [[cell for cell in line.split("  ") if cell] for line in table]
    assert [cell.strip() for cell in cells[0]] == [
        "weight", "figure", "seeds", "mean", "least", "most",
    ]  # fmt: skip
    return {(each[0], each[1]): [cell.strip() for cell in each[2:]] for each in cells[1:]}


def test_each_setting_has_the_mean_of_its_seeds(runs: Path) -> None:
    found = rows(runs)
    for at, weight in enumerate(WEIGHTS):
        rates = [
            biosim.open_run(runs / f"{at}-{seed}").attrs["result"]["activity"]["I"]["rate_hz"]
            for seed in range(SEEDS)
        ]
        wide = stats.sem(rates) * stats.t.ppf(0.975, SEEDS - 1)
        seeds, mean, least, most = found[weight, "rate of I, Hz"]
        assert seeds == "2/2"
        assert mean == f"{np.mean(rates):.4g} ± {wide:.4g}"
        assert (least, most) == (f"{min(rates):.4g}", f"{max(rates):.4g}")
    assert found[WEIGHTS[0], "rate of I, Hz"] != found[WEIGHTS[1], "rate of I, Hz"]


def changed(run: Path, **attributes: object) -> None:
    """Change what a store says of itself."""
    path = run / "run.zarr/zarr.json"
    tree = json.loads(path.read_text())
    tree["attributes"] |= attributes
    path.write_text(json.dumps(tree))


def test_what_is_not_finished_is_told_and_not_counted(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "some")
    changed(tmp_path / "some/1-1", status="stopped", error="cancelled")
    assert rows(tmp_path / "some")[WEIGHTS[1], "rate of I, Hz"][0] == "1/2"
    assert "  1-1: stopped; cancelled" in spiking_comparison(tmp_path / "some")
    assert "Not finished" not in spiking_comparison(runs)


def test_a_setting_of_which_nothing_finished_has_a_row(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "some")
    for seed in range(SEEDS):
        changed(tmp_path / f"some/1-{seed}", status="diverged", error="v is infinite")
    assert rows(tmp_path / "some")[WEIGHTS[1], "-"] == ["0/2", "- ± -", "-", "-"]


def test_a_damaged_run_does_not_hide_the_others(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "some")
    (tmp_path / "some/1-0/run.zarr/zarr.json").write_text("{")
    assert are_spiking(tmp_path / "some")
    assert rows(tmp_path / "some")[WEIGHTS[1], "rate of I, Hz"][0] == "1/1"
    assert "  1-0: unreadable; " in spiking_comparison(tmp_path / "some")


def test_of_a_seed_that_was_run_twice_the_later_counts(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "some")
    shutil.copytree(runs / "1-0", tmp_path / "some/0-again")
    result = biosim.open_run(runs / "1-0").attrs["result"]
    result["activity"]["I"] |= {"rate_hz": 1e6, "cv": None}
    changed(tmp_path / "some/0-again", started="9999", result=result)
    found = rows(tmp_path / "some")
    assert (found[WEIGHTS[1], "rate of I, Hz"][0], found[WEIGHTS[1], "rate of I, Hz"][3]) == (
        "2/2",
        "1e+06",
    )
    assert found[WEIGHTS[1], "CV of I"][0] == "1/2"
    changed(tmp_path / "some/0-again", started="0000")
    assert rows(tmp_path / "some") == rows(runs)


def test_only_spiking_runs_are_compared_so(runs: Path, tmp_path: Path) -> None:
    assert are_spiking(runs)
    assert not are_spiking(tmp_path)
    shutil.copytree(runs / "0-0", tmp_path / "spikes")
    layers = ["run.epochs=1", "run.batch_size=256", "network.hidden=[4]"]
    run(resolve_any(read_tree("digits"), layers), tmp_path / "layers")
    assert not are_spiking(tmp_path)
