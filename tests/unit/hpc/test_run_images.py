"""What a run of spiking neurons that learn from images leaves behind, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from biosim import open_run
from biosim.errors import BiosimError, ScenarioError
from hpc import run
from hpc.image_store import BYTES_A_SPIKE, WAY
from hpc.progress import Silent
from hpc.report import write_report
from hpc.summary import collect, summarise
from scenarios.images.learner import Learner
from scenarios.images.schema import ImagesScenario
from scenarios.reading import read_tree, resolve_any, with_rule
from tests.unit.hpc.test_report import Page

NEURONS, IMAGES = 20, 12


def scenario(*overrides: str, rule: str = "stdp") -> ImagesScenario:
    asked = [f"network.excitatory={NEURONS}", f"data.samples={IMAGES}", "run.epochs=1", *overrides]
    found = resolve_any(with_rule(read_tree("digits_spiking"), rule), asked)
    assert isinstance(found, ImagesScenario)
    return found


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("images") / "out"
    result = run(scenario("record.samples=5"), out)
    assert set(result.accuracy) == {WAY}
    return out


def test_a_finished_run_says_so(stored: Path) -> None:
    said = json.loads((stored / "progress.json").read_text())
    assert (said["status"], said["percent"]) == ("complete", 100.0)
    assert open_run(stored).attrs["status"] == "complete"


def test_the_store_holds_what_was_learnt(stored: Path) -> None:
    tree = open_run(stored)
    assert tree["learning/accuracy"].shape == (1, 2, 1)
    weights = tree["weights/input-excitatory/weight"]
    assert weights.shape == (2, NEURONS, 64)
    assert not np.array_equal(weights[0], weights[1])
    assert tree["neurons/excitatory/class"].shape == (NEURONS,)
    assert (tree["neurons/excitatory/theta"] > 0.0).all()
    assert tree["activity/excitatory/activity"].shape == (1, 5, NEURONS)


def test_the_report_tells_the_neurons_of_both_populations(stored: Path) -> None:
    page = Page(write_report(stored).read_text(encoding="utf-8"))
    assert f"{NEURONS}, {NEURONS}" in page.text


def test_the_ledger_counts_spikes_and_what_they_reach(stored: Path) -> None:
    tree = open_run(stored)
    events = tree["ledger/projections/events"].to_numpy()
    inputs, excitatory, inhibitory = events
    # An excitatory spike makes its partner fire, a few ticks later.
    assert 0 < inhibitory <= excitatory
    np.testing.assert_allclose(
        tree["ledger/projections/bytes_per_sample"], BYTES_A_SPIKE * events / IMAGES
    )
    forward = tree["ledger/populations/forward_multiply_adds"].to_numpy() * IMAGES
    np.testing.assert_allclose(
        forward, [0, inputs * NEURONS + inhibitory * (NEURONS - 1), excitatory]
    )


def test_the_control_changes_no_weight_by_plasticity(tmp_path: Path) -> None:
    run(scenario(rule="frozen"), tmp_path / "out")
    tree = open_run(tmp_path / "out")
    assert not tree["ledger/populations/plasticity_multiply_adds"].any()


def test_a_run_is_summed_up_as_others_are(stored: Path) -> None:
    (row,) = summarise(collect(stored))
    assert (row.rule, row.supervised_readout, list(row.test)) == ("stdp", True, [WAY])


def test_a_run_on_several_ranks_says_who_owns_what_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StoppingError(Exception):
        pass

    def stop(*of: object) -> None:
        raise StoppingError

    class Told(Silent):
        def __init__(self) -> None:
            self.lines: list[str] = []

        def say(self, line: str) -> None:
            self.lines.append(line)

    # It is said before anything is learnt.
    monkeypatch.setattr("hpc.run_images.Learner.learn", stop)
    alone, together = Told(), Told()
    for pretend, watcher in ((1, alone), (2, together)):
        with pytest.raises(StoppingError):
            run(scenario(f"run.pretend_ranks={pretend}"), tmp_path / str(pretend), watcher=watcher)
    assert alone.lines == []
    blocks, why = together.lines
    assert blocks.startswith("2 ranks: blocks of 256 neurons: rank ")
    assert why == "place.strategy is auto: neurons that spike are cut in blocks"


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"network\.weight_sum is 100"):
        run(scenario("network.weight_sum=100"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_directory_in_use_is_refused(stored: Path) -> None:
    with pytest.raises(BiosimError, match="exists; choose another --out, or give --overwrite"):
        run(scenario(), stored)


def test_a_run_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Learner, epoch: int, step: object) -> None:
        raise RuntimeError("the light went out")

    monkeypatch.setattr(Learner, "learn", fail)
    with pytest.raises(RuntimeError, match="the light went out"):
        run(scenario(), tmp_path / "out")
    said = open_run(tmp_path / "out").attrs
    assert (said["status"], said["error"]) == ("failed", "the light went out")
