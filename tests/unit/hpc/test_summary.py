"""Rows come from stores alone, and say what is missing from them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import zarr

from biosim.errors import OutputError
from biosim.events import Kind
from biosim.recorder import EPOCH
from biosim.store import STORE, RunStore, write_progress
from hpc.summary import Estimate, Row, collect, count, percent, summarise
from hpc.table import table

CARD: dict[str, Any] = {
    "locality": "nothing",
    "source": "A. Author 2001, eq. 1",
    "equations": "dW = lr post pre^T",
    "reads": ["post.apical", "pre.activity"],
    "pathways": {"error": "from the output straight to every hidden layer (2 projections)"},
    "weight_transport": "no",
    "phases": ["forward"],
    "supervised_readout": False,
}

# Name, source, target, kind, bytes a sample; only the output sends feedback to two layers.
PROJECTIONS = [
    ("input-hidden1", 0, 1, Kind.ACTIVITY, 256.0),
    ("hidden1-hidden2", 1, 2, Kind.ACTIVITY, 128.0),
    ("hidden2-output", 2, 3, Kind.ACTIVITY, 64.0),
    ("label-output", 0, 3, Kind.TARGET, 1.0),
    ("output-hidden1", 3, 1, Kind.FEEDBACK, 40.0),
    ("output-hidden2", 3, 2, Kind.FEEDBACK, 44.0),
    ("hidden2-hidden1", 2, 1, Kind.FEEDBACK, 30.0),
    ("phase-hidden1", 0, 1, Kind.PHASE, 8.0),
]
POPULATIONS = {
    "updates": [0, 5, 5, 5],
    "lag_ticks": [0.0, 3.5, 2.0, 0.0],
    "lag_ticks_max": [0, 4, 2, 0],
    "stale_updates": [0.0, 2.5, 1.0, 0.0],
    "stale_updates_max": [0, 3, 1, 0],
    "held_bytes_max": [0, 1000, 200, 30],
    "forward_multiply_adds": [0.0, 2048.0, 1024.0, 320.0],
    "feedback_multiply_adds": [0.0, 320.0, 320.0, 0.0],
    "plasticity_multiply_adds": [0.0, 2048.0, 1024.0, 320.0],
}


def store_run(
    path: Path,
    test: Sequence[float] = (0.1, 0.9),
    *,
    rule: str = "backprop",
    seed: int = 0,
    status: str = "complete",
    error: str | None = None,
    card: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    name: str = "made",
    rates: Sequence[float] = (100.0,),
    other_way: Sequence[float] | None = None,
    started: str = "2001-02-03T04:05:06+00:00",
) -> Path:
    """Store a run by hand, in directory `path`.

    Accuracy is given after each epoch, from epoch 0, on the test set: in the rule's `own` way
    (`test`) and perhaps in `other`; on the training samples it is half of that. `rates` are
    samples a second of each epoch after epoch 0, of 50 samples; `settings` belong to the rule.
    """
    path.mkdir(parents=True)
    store = RunStore(path / STORE, "w")
    ways = ["own"] if other_way is None else ["own", "other"]
    by_way = np.array([test] if other_way is None else [test, other_way])
    epochs = np.arange(len(test))
    store.write("learning/epoch", epochs, ["epoch"], EPOCH)
    store.write_names("learning/split", ["train", "test"], "split")
    store.write_names("learning/way", ways, "way")
    accuracy = np.stack([by_way.T / 2, by_way.T], axis=1)
    store.write("learning/accuracy", accuracy, ["epoch", "split", "way"])
    store.write("timing/epoch", np.arange(len(rates) + 1), ["epoch"], EPOCH)
    store.write("timing/learning", [0.0, *(50 / rate for rate in rates)], ["epoch"])
    store.write("timing/samples_per_second", [math.nan, *rates], ["epoch"])
    for projection, change in (("input-hidden1", [0.5, 0.25]), ("output-hidden1", [0.0, 0.0])):
        group = f"weights/{projection}"
        store.write(f"{group}/snapshot", [0], ["snapshot"], EPOCH)
        store.write(f"{group}/weight", np.ones((1, 32, 64)), ["snapshot", "post", "pre"])
        store.write(f"{group}/epoch", [1, 2], ["epoch"], EPOCH)
        store.write(f"{group}/change", change, ["epoch"])
    if status == "complete":
        names, sources, targets, kinds, sent = zip(*PROJECTIONS, strict=True)
        columns = {"source": sources, "target": targets, "kind": list(map(int, kinds))}
        columns |= {"bytes_per_sample": sent, "events": [7] * 8, "tied": [False] * 8}
        store.write_names("ledger/projections/projection", names, "projection")
        for column, values in columns.items():
            store.write(f"ledger/projections/{column}", values, ["projection"])
        populations = ["input", "hidden1", "hidden2", "output"]
        store.write_names("ledger/populations/population", populations, "population")
        for column, numbers in POPULATIONS.items():
            store.write(f"ledger/populations/{column}", numbers, ["population"])
    run = {"seed": seed, "epochs": len(test) - 1, "batch_size": 10, "device": "cpu"}
    run |= {"dtype": "float32", "evaluate_every": 1}
    store.describe(
        {
            "scenario": {
                "name": name,
                "rule": {"name": rule, **(settings or {})},
                "run": run,
                "record": {"samples": seed},
            },
            "rule": rule,
            "seed": seed,
            "card": {**CARD, **(card or {})},
            "data": {
                "name": "made",
                "description": "made up; 20 % held out for the test",
                "features": 64,
                "classes": 10,
                "samples": {"train": 1437, "validation": 0, "test": 360},
            },
            "versions": {"python": "3.11.0", "biosim": "0.1.0"},
            "git": "none",
            "host": "here",
            "ranks": 1,
            "started": started,
            "status": status,
        }
        | ({} if error is None else {"error": error})
    )
    return path


def list_runs(directory: Path, runs: Sequence[tuple[str, int]]) -> None:
    """Write the list of a comparison."""
    listed = [{"rule": r, "seed": s, "path": f"{r}/seed-{s}"} for r, s in runs]
    text = json.dumps({"scenario": "made", "runs": listed})
    (directory / "comparison.json").write_text(text, encoding="utf-8")


def only(rows: Sequence[Row]) -> Row:
    (row,) = rows
    return row


# --- numbers


def test_a_row_has_the_mean_of_the_last_epoch_over_seeds(tmp_path: Path) -> None:
    ends = [0.90, 0.92, 0.97]
    for seed, end in enumerate(ends):
        store_run(tmp_path / str(seed), [0.1, 0.99, end], seed=seed, other_way=[0.2, 0.3, end / 2])
    row = only(summarise(collect(tmp_path)))
    assert list(row.test) == ["own", "other"]
    assert tuple(row.accuracy) == pytest.approx(ends)
    assert row.accuracy.mean == pytest.approx(0.93)
    assert row.test["other"].mean == pytest.approx(0.465)
    assert row.train["own"].mean == pytest.approx(0.465)
    assert row.seeds == "3/3"


def test_the_interval_is_that_of_scipy() -> None:
    values = Estimate([0.901, 0.913, 0.954, 0.92, 0.899])
    low, high = scipy.stats.t.interval(
        0.95, len(values) - 1, loc=np.mean(list(values)), scale=scipy.stats.sem(list(values))
    )
    assert values.mean - values.half_width == pytest.approx(low)
    assert values.mean + values.half_width == pytest.approx(high)
    normal = 1.96 * scipy.stats.sem(list(values))
    assert values.half_width > 1.3 * normal, "a normal interval is too narrow for five seeds"


def test_the_interval_of_two_and_of_three_seeds_has_a_closed_form() -> None:
    # Quantiles of Student's t: tan(pi (p - 1/2)) for one degree of freedom, and
    # (2p - 1) / sqrt(2p (1 - p)) for two.
    two, three = Estimate([0.8, 0.9]), Estimate([0.8, 0.9, 1.0])
    assert two.half_width == pytest.approx(math.tan(math.pi * 0.475) * 0.05)
    quantile = 0.95 / math.sqrt(2 * 0.975 * 0.025)
    assert three.half_width == pytest.approx(quantile * 0.1 / math.sqrt(3))


def test_one_seed_has_no_interval_and_none_no_mean(tmp_path: Path) -> None:
    assert math.isnan(Estimate().mean)
    assert math.isnan(Estimate().half_width)
    store_run(tmp_path / "run", [0.1, 0.9])
    row = only(summarise(collect(tmp_path / "run")))
    assert row.accuracy.mean == pytest.approx(0.9)
    assert math.isnan(row.accuracy.half_width)
    assert "90.00 ±     -" in table([row])


def test_samples_per_second_is_the_median_of_samples_over_seconds(tmp_path: Path) -> None:
    # 100 samples in 50/100 + 50/25 s, not the mean of 100 and 25.
    for seed, rates in enumerate([(100.0, 25.0), (50.0, 50.0), (1000.0, 1000.0)]):
        store_run(tmp_path / str(seed), seed=seed, rates=rates)
    runs = collect(tmp_path)
    assert [run.samples_per_second() for run in runs] == pytest.approx([40.0, 50.0, 1000.0])
    assert only(summarise(runs)).samples_per_second == pytest.approx(50.0)


def test_the_ledger_is_summed_by_direction(tmp_path: Path) -> None:
    store_run(tmp_path / "0", seed=0)
    store_run(tmp_path / "1", seed=1)
    row = only(summarise(collect(tmp_path)))
    sent = {"up": 448.0, "down": 30.0, "broadcast": 84.0, "label": 1.0, "phase": 8.0, "score": 0.0}
    assert row.bytes_per_sample == sent
    assert row.lag_ticks_max == 4
    assert row.stale_updates_max == 3
    assert row.held_bytes == 1230
    assert row.multiply_adds == {"forward": 3392.0, "feedback": 640.0, "plasticity": 3392.0}
    assert row.weight_transport == "no"
    assert row.phases == ("forward",)
    assert not row.supervised_readout


# --- which runs make a row


def test_rules_are_in_the_order_of_the_comparison(tmp_path: Path) -> None:
    runs = [(rule, seed) for rule in ("noprop", "backprop", "frozen") for seed in (0, 1)]
    for rule, seed in runs:
        store_run(tmp_path / rule / f"seed-{seed}", rule=rule, seed=seed)
    list_runs(tmp_path, runs)
    rows = summarise(collect(tmp_path))
    assert [row.label for row in rows] == ["noprop", "backprop", "frozen"]
    assert [row.seeds for row in rows] == ["2/2"] * 3


def test_other_settings_of_a_rule_are_another_row(tmp_path: Path) -> None:
    for lr in (0.1, 0.2):
        for seed in (0, 1):
            store_run(tmp_path / f"{lr}-{seed}", [0.1, lr], seed=seed, settings={"lr": lr})
    rows = summarise(collect(tmp_path))
    assert {row.label: row.accuracy.mean for row in rows} == pytest.approx(
        {"backprop (lr=0.1)": 0.1, "backprop (lr=0.2)": 0.2}
    )


def test_another_scenario_is_another_row(tmp_path: Path) -> None:
    store_run(tmp_path / "0", name="first", settings={"lr": 1})
    store_run(tmp_path / "1", name="second", settings={"lr": 2})
    rows = summarise(collect(tmp_path))
    assert [row.label for row in rows] == ["backprop (first)", "backprop (second)"]


def test_a_seed_that_was_run_twice_counts_once(tmp_path: Path) -> None:
    store_run(tmp_path / "again", [0.1, 0.8], seed=0, started="2001-02-04T00:00:00+00:00")
    store_run(tmp_path / "first", [0.1, 0.6], seed=0, started="2001-02-03T00:00:00+00:00")
    store_run(tmp_path / "other", [0.1, 0.9], seed=1)
    row = only(summarise(collect(tmp_path)))
    assert tuple(row.accuracy) == pytest.approx((0.8, 0.9))
    assert row.seeds == "2/2"
    assert len(row.runs) == 3


def test_runs_are_found_at_any_depth_and_by_their_number(tmp_path: Path) -> None:
    for seed in (2, 10, 1):
        store_run(tmp_path / "a" / "b" / f"seed-{seed}", seed=seed)
    (tmp_path / "a" / "circle").symlink_to(tmp_path, target_is_directory=True)
    assert [run.seed for run in collect(tmp_path)] == [1, 2, 10]
    assert [run.seed for run in collect(tmp_path / "a" / "b" / "seed-2" / STORE)] == [2]


# --- runs that did not finish


def test_runs_that_did_not_finish_are_listed_and_in_no_mean(tmp_path: Path) -> None:
    runs = [("backprop", seed) for seed in range(7)]
    at = {seed: tmp_path / "backprop" / f"seed-{seed}" for _, seed in runs}
    store_run(at[0], [0.1, 0.9], seed=0)
    store_run(at[1], [0.1, 0.1], seed=1, status="diverged", error="layer 'hidden1' is infinite")
    store_run(at[2], [0.1, 0.1], seed=2, status="failed", error="no space left")
    store_run(at[3], [0.1, 0.1], seed=3, status="running")
    write_progress(at[3], {"epoch": 1, "epochs": 8, "updated": "now"})
    store_run(at[5], seed=5)
    zarr.open_group(str(at[5] / STORE), mode="r+").attrs["Conventions"] = "CF-1.12 biosim-0"
    at[6].mkdir()
    RunStore(at[6] / STORE, "w")
    list_runs(tmp_path, runs)
    found = collect(tmp_path)
    assert [run.status for run in found] == [
        *("complete", "diverged", "failed", "running", "missing", "unreadable", "running")
    ]
    row = only(summarise(found))
    assert tuple(row.accuracy) == (0.9,)
    assert row.seeds == "1/7"
    text = table([row])
    assert "Not finished, and not in any number above:" in text
    for line in (
        "backprop, seed 1: diverged; layer 'hidden1' is infinite",
        "backprop, seed 2: failed; no space left",
        "backprop, seed 3: running; epoch 1 of 8; last heard of now",
        "backprop, seed 4: missing; there is no run.zarr in its directory",
        "backprop, seed 5: unreadable; ",
        "backprop, seed 6: running; nothing is done",
    ):
        assert line in text


def test_a_store_that_is_damaged_hides_no_other(tmp_path: Path) -> None:
    store_run(tmp_path / "0", [0.1, 0.9], seed=0)
    store_run(tmp_path / "1", [0.1, 0.8], seed=1)
    # One row of the accuracy is there and its epoch is not: a run that was killed in between.
    zarr.open_array(str(tmp_path / "1" / STORE / "learning" / "epoch"), mode="r+").resize((1,))
    good, bad = collect(tmp_path)
    assert (good.status, bad.status) == ("complete", "unreadable")
    assert bad.error
    assert "\n" not in bad.error


def test_a_rule_without_a_finished_run_keeps_its_row(tmp_path: Path) -> None:
    store_run(tmp_path / "backprop" / "seed-0")
    store_run(tmp_path / "noprop" / "seed-0", rule="noprop", status="diverged", error="infinite")
    list_runs(tmp_path, [("noprop", 0), ("frozen", 0), ("backprop", 0)])
    rows = summarise(collect(tmp_path))
    assert [(row.label, row.seeds) for row in rows] == [
        ("noprop", "0/1"),
        ("frozen", "0/1"),
        ("backprop", "1/1"),
    ]
    assert rows[0].phases == ("forward",), "what its store says is kept"
    assert math.isnan(rows[1].samples_per_second)
    assert table(rows).splitlines()[3].split() == ["noprop", "0/1", "-", "±", "-", "-", "-"]


# --- refusals


def test_a_directory_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"holds no runs: expected run\.zarr in it or below it"):
        collect(tmp_path)
    with pytest.raises(OutputError, match="is not a directory; expected one with runs in it"):
        collect(tmp_path / "nothing")


@pytest.mark.parametrize("text", ["", "[]", '{"runs": [{"rule": "backprop"}]}', '{"runs": 3}'])
def test_a_damaged_list_of_a_comparison_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "comparison.json").write_text(text, encoding="utf-8")
    with pytest.raises(OutputError, match=r"comparison\.json is not a list of runs"):
        collect(tmp_path)


def test_a_directory_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(OutputError, match=r"cannot be read \(Permission denied\)"):
        collect(tmp_path)


# --- the table


def test_the_table_is_aligned_and_explains_itself(tmp_path: Path) -> None:
    for rule, starred in (("backprop", False), ("soft_hebb", True)):
        for seed in (0, 1):
            path = tmp_path / rule / f"seed-{seed}"
            card = {"supervised_readout": starred}
            store_run(path, [0.1, 0.9 + seed / 50], rule=rule, seed=seed, card=card)
    rows = summarise(collect(tmp_path))
    lines = table(rows).splitlines()
    assert lines[0] == "scenario made"
    head, first, second = lines[2:5]
    assert head.split("  ")[0] == "rule"
    assert first.startswith("backprop     ")
    assert second.startswith("soft_hebb *  ")
    assert first.index("91.00 ± 12.71") == second.index("91.00 ± 12.71")
    assert head.index("samples/s") + len("samples/s") == len(first), "numbers end with the heading"
    assert any("448    30         84      1" in line for line in lines)
    assert any(line.startswith("Test accuracy: the rule's own way") for line in lines)
    assert "* supervised read-out" in table(rows).replace("\n", " ")
    assert "* supervised read-out" not in table(rows[:1]).replace("\n", " ")
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (math.nan, "-"),
        (0, "0"),
        (3.25, "3.2"),
        (99.96, "100"),
        (1234.5, "1,234"),
        (12e6, "12,000,000"),
    ],
)
def test_a_count_is_short(number: float, text: str) -> None:
    assert count(number) == text


def test_a_share_is_shown_in_percent() -> None:
    assert percent(0.93456) == "93.46"
    assert percent(math.nan) == "-"
