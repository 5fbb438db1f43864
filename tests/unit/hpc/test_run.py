"""A run leaves a store that can be read, and says why when it cannot finish."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr

import biosim
from biosim.errors import BiosimError, DivergedError, OutputError
from biosim.simulation import Simulation
from hpc import run
from hpc.predict import predict, write_prediction
from hpc.stored import stored_parameters, stored_scenario
from rules import RULES
from scenarios.data import Dataset, digits
from scenarios.reading import read_tree, resolve, with_rule
from scenarios.scenario import Data, Scenario

SMALL = ["network.hidden=[8]", "run.batch_size=128", "record.samples=7"]


def small(rule: str, *overrides: str, epochs: int = 2) -> Scenario:
    tree = with_rule(read_tree("digits"), rule)
    return resolve(tree, [*SMALL, f"run.epochs={epochs}", *overrides])


@pytest.mark.parametrize("rule", list(RULES))
def test_what_a_run_of_any_rule_stores_is_labelled_and_whole(rule: str, tmp_path: Path) -> None:
    scenario = small(rule)
    result = run(scenario, tmp_path / "out")
    tree = biosim.open_run(result.path)
    accuracy = tree["learning"].accuracy
    assert accuracy.dims == ("epoch", "split", "way")
    assert accuracy.epoch.values.tolist() == [0, 1, 2]
    assert accuracy.split.values.tolist() == ["train", "test"]
    assert accuracy.way.values.tolist() == list(scenario.rule.ways)
    assert not accuracy.isnull().any()
    last = accuracy.sel(split="test").isel(epoch=-1)
    assert dict(zip(last.way.values, last.values, strict=True)) == result.accuracy
    assert tree.attrs["status"] == "complete"
    assert stored_scenario(tree) == scenario
    weights = tree["weights"].children
    assert weights
    for group in weights.values():
        assert group.snapshot.values.tolist() == [0, 2]
        assert group.weight.dims == ("snapshot", "post", "pre")
        assert not group.weight.isnull().any()
    for group in tree["activity"].children.values():
        assert group.activity.dims == ("snapshot", "sample", "neuron")
        assert group.activity.sizes["sample"] == 7
        assert group.label.values.tolist() == digits().test.y[:7].tolist()
        assert not group.activity.isnull().any()
    flows = tree["ledger/projections"]
    assert set(flows.projection.values) == {p.name for p in scenario.wire(digits()).projections}
    assert float(flows.bytes_per_sample.sum()) > 0
    assert "units" in flows.bytes_per_sample.attrs
    progress = json.loads((result.path / "progress.json").read_text())
    assert (progress["status"], progress["percent"]) == ("complete", 100.0)


def test_weights_that_learn_change_and_frozen_ones_do_not(tmp_path: Path) -> None:
    run(small("frozen"), tmp_path / "out")
    weights = biosim.open_run(tmp_path / "out")["weights"]
    hidden, output = weights["input-hidden1"].weight, weights["hidden1-output"].weight
    assert bool((hidden[0] == hidden[1]).all())
    assert not bool((output[0] == output[1]).all())


def test_what_is_recorded_follows_the_scenario(tmp_path: Path) -> None:
    asked = ["record.weights=[1]", "record.activity=never", "run.evaluate_every=2"]
    run(small("backprop", *asked, epochs=3), tmp_path / "out")
    tree = biosim.open_run(tmp_path / "out")
    assert tree["learning"].epoch.values.tolist() == [0, 2, 3]
    assert not tree["activity"].children
    # Epoch 1 is stored although it is not evaluated.
    assert tree["weights/input-hidden1"].snapshot.values.tolist() == [1]


def test_a_validation_split_is_followed_as_well(tmp_path: Path) -> None:
    run(small("backprop", "data.validation=0.2"), tmp_path / "out")
    splits = biosim.open_run(tmp_path / "out")["learning"].split.values.tolist()
    assert splits == ["train", "validation", "test"]


QUICK = ("backprop",)
"""Of the others, runs on real ranks say the same (`tests/ranks`)."""

RULES_IN_TURN = [
    rule if rule in QUICK else pytest.param(rule, marks=pytest.mark.slow) for rule in RULES
]


@pytest.mark.parametrize("rule", RULES_IN_TURN)
def test_the_bytes_of_a_store_are_the_same_for_any_number_of_pretend_ranks(
    rule: str, tmp_path: Path
) -> None:
    one, three = (
        stored_bytes(rule, tmp_path / ranks, f"run.pretend_ranks={ranks}") for ranks in ("1", "3")
    )
    assert one == three
    # The control: another seed gives other bytes.
    other = stored_bytes(rule, tmp_path / "other", "run.seed=1")
    assert other.keys() == one.keys()
    assert other != one


@pytest.mark.parametrize(
    "rule", [r if r == "backprop" else pytest.param(r, marks=pytest.mark.slow) for r in RULES]
)
def test_the_bytes_of_a_store_are_the_same_for_any_number_of_replicas(
    rule: str, tmp_path: Path
) -> None:
    one, four, of_two = (
        stored_bytes(rule, tmp_path / str(i), "place.parts=4", *more)
        for i, more in enumerate(
            [
                (),
                ("run.pretend_ranks=4",),
                ("run.pretend_ranks=4", "place.replicas=2"),
            ]
        )
    )
    assert one == four == of_two


@pytest.mark.parametrize("more", [(), ("place.parts=2", "run.pretend_ranks=2")])
def test_samples_a_second_are_those_of_all_replicas(more: tuple[str, ...], tmp_path: Path) -> None:
    result = run(small("backprop", *more), tmp_path / "out")
    seconds = float(biosim.open_run(result.path)["timing"].learning.sum())
    # Two epochs of eleven whole minibatches.
    assert result.samples_per_second * seconds == pytest.approx(2 * 11 * 128)


def stored_bytes(rule: str, out: Path, *overrides: str) -> dict[str, bytes]:
    """Every file of the store but the timings and the root, which holds hosts and dates."""
    run(small(rule, *overrides, epochs=1), out)
    store = out / "run.zarr"
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and path.parent != store and "timing" not in path.parts
    }


def test_a_start_from_another_run_begins_with_its_weights(tmp_path: Path) -> None:
    run(small("backprop"), tmp_path / "first")
    run(small("backprop", f"run.start_from={tmp_path / 'first'}"), tmp_path / "second")
    first = biosim.open_run(tmp_path / "first")
    second = biosim.open_run(tmp_path / "second")
    for name in first["weights"].children:
        before = first[f"weights/{name}"].weight.isel(snapshot=-1)
        np.testing.assert_array_equal(before, second[f"weights/{name}"].weight.isel(snapshot=0))


def test_a_start_from_another_network_is_refused_and_nothing_written(tmp_path: Path) -> None:
    run(small("backprop"), tmp_path / "first")
    start = f"run.start_from={tmp_path / 'first'}"
    with pytest.raises(BiosimError, match=r"expected \(9, 64\): start from a run of the same"):
        run(small("backprop", start, "network.hidden=[9]"), tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_a_run_that_diverges_names_epoch_and_layer_and_keeps_what_it_recorded(
    tmp_path: Path,
) -> None:
    scenario = small("backprop", "rule.optimiser=sgd", "rule.lr=1e30", epochs=4)
    with pytest.raises(
        DivergedError, match=r"layers hidden1, output became .* in epoch 1 of backprop"
    ):
        run(scenario, tmp_path / "out")
    tree = biosim.open_run(tmp_path / "out")
    assert tree.attrs["status"] == "diverged"
    assert "lower rule.lr" in tree.attrs["error"]
    assert tree.attrs["committed_epoch"] == 1
    assert tree["learning"].accuracy.sel(epoch=[0, 1]).notnull().all()
    assert tree["learning"].accuracy.sel(epoch=[2, 3, 4]).isnull().all()
    assert tree["ledger"].attrs["samples"] > 0
    progress = json.loads((tmp_path / "out" / "progress.json").read_text())
    assert (progress["status"], progress["epoch"]) == ("diverged", 1)


def test_an_output_that_exists_is_refused_and_left_alone(tmp_path: Path) -> None:
    run(small("frozen"), tmp_path / "out")
    before = sorted(p.name for p in (tmp_path / "out").rglob("*"))
    with pytest.raises(OutputError, match="exists; choose another --out, or give --overwrite"):
        run(small("backprop"), tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").rglob("*")) == before
    run(small("backprop"), tmp_path / "out", overwrite=True)
    assert biosim.open_run(tmp_path / "out").attrs["rule"] == "backprop"


def test_overwriting_never_removes_what_biosim_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"holds 'thesis.tex', which is no result"):
        run(small("frozen"), tmp_path, overwrite=True)
    run(small("frozen"), tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("what I saw")
    with pytest.raises(OutputError, match=r"holds 'notes.txt', which is no result"):
        run(small("frozen"), tmp_path / "out", overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert (tmp_path / "out" / "notes.txt").read_text() == "what I saw"


def test_a_directory_that_another_run_made_meanwhile_is_left_alone(tmp_path: Path) -> None:
    class Late:
        def say(self, line: str) -> None:
            pass

        def step(self, done: int, total: int, note: str) -> None:
            raise AssertionError("the run went on")

    def load(self: Data) -> Dataset:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "progress.json").write_text("{}")
        return digits()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Data, "load", load)
        with pytest.raises(OutputError, match="exists; choose another --out"):
            run(small("frozen"), tmp_path / "out", watcher=Late())


def test_a_link_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    with pytest.raises(OutputError, match="is a link; give --out the directory itself"):
        run(small("frozen"), tmp_path / "out", overwrite=True)


def test_a_name_that_the_file_system_refuses_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        run(small("frozen"), tmp_path / ("x" * 300))


class Stops(Exception):
    """A run is killed."""


def test_a_run_that_stopped_can_be_opened_and_gives_its_last_weights(tmp_path: Path) -> None:
    opened = []

    class Watches:
        def say(self, line: str) -> None:
            pass

        def step(self, done: int, total: int, note: str) -> None:
            opened.append(biosim.open_run(tmp_path / "out").attrs["committed_epoch"])
            if done == 2:
                raise Stops("enough")

    scenario = small("backprop", "record.weights=every", epochs=4)
    with pytest.raises(Stops):
        run(scenario, tmp_path / "out", watcher=Watches())
    assert opened == [-1, 0, 1]
    tree = biosim.open_run(tmp_path / "out")
    assert (tree.attrs["status"], tree.attrs["error"]) == ("failed", "enough")
    weight = tree["weights/input-hidden1"].weight
    assert weight.sel(snapshot=2).notnull().all()
    assert weight.sel(snapshot=3).isnull().all()
    last = stored_parameters(tmp_path / "out")["input-hidden1"]["weight"]
    np.testing.assert_array_equal(last, weight.sel(snapshot=2))


def test_a_failure_of_another_rank_is_no_end_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Simulation.__init__

    def with_a_fault(self: Simulation, *given: Any, **named: Any) -> None:
        make(self, *given, **named)
        if self.ranks.rank == 1:
            for actor in self._actors.values():
                monkeypatch.setattr(actor, "advance", fails)

    def fails(window: object, inbox: object) -> None:
        raise Stops("a defect")

    monkeypatch.setattr(Simulation, "__init__", with_a_fault)
    with pytest.raises(Stops):
        run(small("backprop", "run.pretend_ranks=2"), tmp_path / "out")
    assert biosim.open_run(tmp_path / "out").attrs["status"] == "failed"


def test_an_epoch_that_failed_is_not_called_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Simulation.begin_epoch

    def fails(self: Simulation, x: object, y: object, epoch: int, batch_size: int) -> None:
        if epoch == 1:
            raise Stops("in the midst of the second epoch")
        begin(self, x, y, epoch, batch_size)  # type: ignore[arg-type]

    monkeypatch.setattr(Simulation, "begin_epoch", fails)
    scenario = small("backprop", "record.weights=every", epochs=3)
    with pytest.raises(Stops):
        run(scenario, tmp_path / "out")
    tree = biosim.open_run(tmp_path / "out")
    assert (tree.attrs["status"], tree.attrs["committed_epoch"]) == ("failed", 1)
    last = stored_parameters(tmp_path / "out")["input-hidden1"]["weight"]
    np.testing.assert_array_equal(last, tree["weights/input-hidden1"].weight.sel(snapshot=1))


def test_weights_that_are_older_than_the_run_are_not_used(tmp_path: Path) -> None:
    run(small("backprop", "record.weights=[0,1]"), tmp_path / "out")
    with pytest.raises(OutputError, match=r"went on to epoch 2, but the last weights .* epoch 1;"):
        stored_parameters(tmp_path / "out")


def test_a_damaged_store_is_one_line(tmp_path: Path) -> None:
    run(small("frozen"), tmp_path / "out")
    epoch = zarr.open_array(tmp_path / "out" / "run.zarr" / "learning" / "epoch", mode="r+")
    epoch.resize((1,))
    with pytest.raises(OutputError, match=r"is damaged: .*epoch"):
        biosim.open_run(tmp_path / "out")


def test_weights_that_are_not_finite_are_not_used(tmp_path: Path) -> None:
    scenario = small("backprop", "rule.optimiser=sgd", "rule.lr=1e30", "record.weights=[1]")
    with pytest.raises(DivergedError):
        run(scenario, tmp_path / "out")
    with pytest.raises(OutputError, match=r"not finite \(status diverged\); take a run"):
        stored_parameters(tmp_path / "out")


def test_chosen_samples_are_recorded_by_their_position(tmp_path: Path) -> None:
    run(small("backprop", "record.samples=[5,3]"), tmp_path / "out")
    activity = biosim.open_run(tmp_path / "out")["activity/hidden1"]
    assert activity.sample.values.tolist() == [5, 3]
    assert activity.label.values.tolist() == digits().test.y[[5, 3]].tolist()


def test_an_output_that_is_a_file_or_below_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file; expected a directory"):
        run(small("frozen"), tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be written; choose another --out"):
        run(small("frozen"), tmp_path / "file" / "below")


def test_predictions_equal_the_accuracy_that_was_stored(tmp_path: Path) -> None:
    result = run(small("soft_hebb"), tmp_path / "out")
    test = digits().test
    np.savez(tmp_path / "test.npz", x=test.x, y=test.y)
    prediction = predict(tmp_path / "out", tmp_path / "test.npz")
    assert prediction.accuracy == result.accuracy["softmax"]
    assert prediction.labels.shape == (360,)
    write_prediction(tmp_path / "answers.npz", prediction)
    with np.load(tmp_path / "answers.npz") as stored:
        assert (stored["labels"] == prediction.labels).all()
    with pytest.raises(OutputError, match="exists; choose another"):
        write_prediction(tmp_path / "answers.npz", prediction)
    with pytest.raises(OutputError, match=r"is not an \.npz file"):
        write_prediction(tmp_path / "answers.csv", prediction)
    with pytest.raises(OutputError, match="cannot be written"):
        write_prediction(tmp_path / "nowhere" / "answers.npz", prediction)


def test_samples_of_another_size_cannot_be_predicted(tmp_path: Path) -> None:
    run(small("frozen"), tmp_path / "out")
    np.savez(tmp_path / "other.npz", x=np.zeros((2, 5), np.float32))
    with pytest.raises(BiosimError, match=r"has 5 features a sample; .* learnt from 64"):
        predict(tmp_path / "out", tmp_path / "other.npz")


def test_a_run_without_weights_gives_none(tmp_path: Path) -> None:
    run(small("frozen", "record.weights=[]"), tmp_path / "out")
    with pytest.raises(OutputError, match="stored no weights; run it again"):
        stored_parameters(tmp_path / "out")


def test_what_is_not_a_run_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no run"):
        biosim.open_run(tmp_path)
    (tmp_path / "run.zarr").mkdir()
    with pytest.raises(OutputError, match="is not a Zarr store of a run"):
        biosim.open_run(tmp_path)


def test_a_store_of_another_layout_is_not_opened(tmp_path: Path) -> None:
    run(small("frozen"), tmp_path / "out")
    meta = tmp_path / "out" / "run.zarr" / "zarr.json"
    meta.write_text(meta.read_text().replace("biosim-1", "biosim-99"))
    with pytest.raises(OutputError, match=r"biosim-99.*newer than biosim-1, the one"):
        biosim.open_run(tmp_path / "out")


def test_the_seed_fixes_a_run_and_another_seed_changes_it(tmp_path: Path) -> None:
    found = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(small("noprop", f"run.seed={seed}"), tmp_path / name)
        found[name] = stored_parameters(tmp_path / name)["block1.joint"]["weight"]
    assert torch.equal(found["a"], found["b"])
    assert not torch.equal(found["a"], found["c"])
