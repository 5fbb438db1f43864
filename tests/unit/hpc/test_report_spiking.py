"""The report of a spiking run shows what its store holds, and loads nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import biosim
from biosim.errors import OutputError
from hpc.report_spiking import figures, is_spiking, spiking_table, write_spiking_report
from hpc.run import run
from hpc.spiking_result import SpikingResult
from hpc.summary import collect
from scenarios.reading import resolve_any
from scenarios.spiking import SpikingScenario
from tests.unit.hpc.test_report import Page
from tests.unit.hpc.test_run_spiking import TREE


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> SpikingResult:
    given = resolve_any(TREE, ["record.spikes=['I', 'noise']", "name=<tiny>"])
    assert isinstance(given, SpikingScenario)
    return run(given, tmp_path_factory.mktemp("runs") / "one")


def test_the_page_has_the_table_of_the_run_and_loads_nothing(done: SpikingResult) -> None:
    path = write_spiking_report(done.path)
    assert path == done.path / "report.html"
    page = Page(path.read_text(encoding="utf-8"))
    assert set(page.loads) == {"data:,"}
    for name, row in page.rows("table-populations").items():
        if name in done.activity:
            found = done.activity[name]
            assert row[:3] == [f"{found.neurons:,}", f"{found.spikes:,}", f"{found.rate_hz:.2f}"]
    assert {"E", "I", "noise"} <= set(page.rows("table-populations"))
    assert "<tiny>" in page.text  # shown as text, not as a tag
    assert page.text.count("complete") == 1


def test_there_is_no_rate_where_nothing_was_recorded(tmp_path: Path) -> None:
    rates = []
    for name, during in (("whole", ""), ("part", ", during=[['25 ms', '50 ms']]")):
        asked = [f"record.spikes=[{{population='noise'{during}}}]", "populations.noise.size=200"]
        given = resolve_any(TREE, asked)
        assert isinstance(given, SpikingScenario)
        drawn = figures(biosim.open_run(run(given, tmp_path / name).path))
        rates.append(next(r["rate"] for r in drawn["populations"] if r["name"] == "noise"))
        bins = len(drawn["edge_s"]) - 1
        json.dumps(drawn, allow_nan=False)
    whole, part = rates
    width_s = 0.12 / bins
    known = [n for n in range(bins) if part[n] is not None]
    assert known == [n for n in range(bins) if 0.025 - width_s < n * width_s < 0.05 - 1e-9]
    inside = [n for n in known if n * width_s >= 0.025 and (n + 1) * width_s <= 0.05]
    assert [part[n] for n in inside] == pytest.approx([whole[n] for n in inside])


def test_the_figures_are_those_of_the_store(
    done: SpikingResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biosim.analysis.spikes.PART", 100)  # several reads
    tree = biosim.open_run(done.path)
    drawn = figures(tree)
    json.dumps(drawn, allow_nan=False)
    rows = {row["name"]: row for row in drawn["populations"]}
    assert rows["E"]["rate"] == rows["E"]["neuron"] == []  # not stored
    width_s = drawn["bin_ms"] * 1e-3
    for name in ("I", "noise"):
        spikes = tree[f"spikes/{name}"]
        assert sum(rows[name]["rate"]) * width_s * rows[name]["size"] == pytest.approx(
            len(spikes.time)
        )
    # Of a small network every spike is a dot.
    assert drawn["whole"]
    at, neuron = np.array(rows["I"]["at_s"]), np.array(rows["I"]["neuron"])
    np.testing.assert_allclose(at, tree["spikes/I"].time.values, atol=1e-6)
    np.testing.assert_array_equal(neuron, tree["spikes/I"].neuron.values)


def test_rates_over_time_cover_a_run_that_is_no_multiple_of_a_bin(tmp_path: Path) -> None:
    given = resolve_any(TREE, ["run.duration=13 ms", "record.spikes=true"])
    assert isinstance(given, SpikingScenario)
    tree = biosim.open_run(run(given, tmp_path / "run").path)
    drawn = figures(tree)
    assert drawn["edge_s"] == pytest.approx([0.0, 0.005, 0.01, 0.013])
    for row in drawn["populations"]:
        spikes = np.dot(row["rate"], [0.005, 0.005, 0.003]) * row["size"]
        assert spikes == pytest.approx(row["spikes"])
        assert row["spikes"] > 0


def test_the_table_is_that_of_the_run(done: SpikingResult) -> None:
    text = spiking_table(done.path)
    assert text.startswith("scenario <tiny>, seed 3: complete\n")
    assert re.search(rf"^I +260 +{done.activity['I'].rate_hz:.2f} ", text, re.MULTILINE)


def test_a_run_that_was_stopped_has_a_report(tmp_path: Path) -> None:
    class Stops:
        def say(self, line: str) -> None:
            pass

        def step(self, done: int, total: int, note: str) -> None:
            raise RuntimeError("out of power")

    given = resolve_any(TREE)
    assert isinstance(given, SpikingScenario)
    with pytest.raises(RuntimeError):
        run(given, tmp_path / "run", watcher=Stops())
    assert "out of power; stored are the first 0.1 s" in spiking_table(tmp_path / "run")
    page = Page(write_spiking_report(tmp_path / "run").read_text(encoding="utf-8"))
    assert "failed: out of power" in page.text
    assert page.rows("table-populations")["I"] == ["260", "-", "-", "-"]


def test_without_stored_spikes_nothing_is_drawn(tmp_path: Path) -> None:
    given = resolve_any(TREE, ["record.spikes=false", "run.duration=1 ms"])
    assert isinstance(given, SpikingScenario)
    path = write_spiking_report(run(given, tmp_path / "run").path)
    page = path.read_text(encoding="utf-8")
    assert "No spikes were stored" in page
    assert 'id="raster"' not in page


def test_a_spiking_run_is_known_by_its_store(done: SpikingResult, tmp_path: Path) -> None:
    assert is_spiking(done.path)
    assert is_spiking(done.path / "run.zarr")
    assert not is_spiking(tmp_path)


def test_spiking_runs_are_in_no_table_of_layers(done: SpikingResult) -> None:
    with pytest.raises(OutputError, match="a spiking run is reported by its own directory"):
        collect(done.path.parent)


def test_a_place_that_cannot_be_written_is_refused(done: SpikingResult) -> None:
    (done.path / "report.html").unlink(missing_ok=True)
    (done.path / "report.html").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_spiking_report(done.path)
    assert not (done.path / ".report.html").exists()
    (done.path / "report.html").rmdir()
