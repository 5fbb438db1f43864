"""The runs of a submission as one comparison."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import biosim
from biosim.errors import OutputError
from hpc.compare import Entry as Compared
from hpc.compare import plan
from hpc.jobs.fetching import fetch
from hpc.jobs.record import Entry, Submission, save
from hpc.report import write_report
from hpc.run import run
from hpc.summary import collect, summarise
from hpc.table import table
from scenarios.reading import read_tree

QUICK = ["run.epochs=1", "run.batch_size=256", "network.hidden=[4]", "record.samples=3"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Compared]]:
    """Return a submission whose runs are complete, and what they simulate."""
    out = tmp_path_factory.mktemp("submission")
    entries = plan(read_tree("digits"), ["frozen", "backprop"], 2, QUICK)
    for entry in entries:
        run(entry.scenario, out / "runs" / entry.path)
    save(
        out,
        Submission(
            scenario="digits",
            scheduler="local",
            created="2026-01-01T00:00:00+00:00",
            entries=tuple(
                Entry(index=i, name=e.path, path=f"runs/{e.path}", rule=e.rule, seed=e.seed)
                for i, e in enumerate(entries)
            ),
        ),
    )
    return out, entries


def figures(directory: Path) -> list[dict[str, Any]]:
    """Return all figures of the table of a comparison, but for the seconds that they took."""
    found = []
    for row in summarise(collect(directory)):
        kept = {k: v for k, v in vars(row).items() if k not in ("runs", "finished", "attributes")}
        del kept["samples_per_second"]
        found.append({k: str(v) for k, v in kept.items()} | {"seeds": row.seeds})
    return found


def test_the_table_is_that_of_the_same_runs_compared(
    runs: tuple[Path, list[Compared]], tmp_path: Path
) -> None:
    out, entries = runs
    compared = tmp_path / "compared"
    shutil.copytree(out / "runs", compared)
    listed = [{k: v for k, v in asdict(e).items() if k != "scenario"} for e in entries]
    (compared / "comparison.json").write_text(json.dumps({"scenario": "digits", "runs": listed}))
    found = fetch(out)
    assert (found.directory, found.complete, found.incomplete) == (out / "runs", 4, ())
    assert figures(found.directory) == figures(compared)
    assert len(figures(compared)) == 2
    again = fetch(out, tmp_path / "copied")
    assert figures(again.directory) == figures(compared)
    assert dict(biosim.open_runs(tmp_path / "copied").sizes) == {"rule": 2, "seed": 2}


def test_a_difference_in_the_runs_would_be_seen(
    runs: tuple[Path, list[Compared]], tmp_path: Path
) -> None:
    out, entries = runs
    other = entries[0].scenario.model_copy(
        update={"run": entries[0].scenario.run.model_copy(update={"seed": 9})}
    )
    run(other, tmp_path / "frozen")
    assert figures(fetch(out).directory)[0] != figures(tmp_path / "frozen")[0]


def damaged(out: Path, to: Path) -> Path:
    """Return a copy of a submission in which one run failed, and one never began."""
    shutil.copytree(out, to)
    shutil.rmtree(to / "runs/frozen/seed-0")
    at = to / "runs/backprop/seed-1"
    (at / "progress.json").write_text('{"status": "failed", "error": "it went wrong"}')
    described = json.loads((at / "run.zarr/zarr.json").read_text())
    described["attributes"]["status"] = "failed"
    (at / "run.zarr/zarr.json").write_text(json.dumps(described))
    return to


def test_runs_that_are_not_complete_are_said_and_marked(
    runs: tuple[Path, list[Compared]], tmp_path: Path
) -> None:
    out = damaged(runs[0], tmp_path / "sub")
    found = fetch(out)
    assert found.complete == 2
    assert found.incomplete == (
        "frozen/seed-0: not submitted: biosim resubmit submits it",
        "backprop/seed-1: failed: it went wrong",
    )
    frozen, backprop = summarise(collect(found.directory))
    assert (frozen.seeds, backprop.seeds) == ("1/2", "1/2")
    assert {run.status for run in frozen.runs} == {"complete", "missing"}
    assert {run.status for run in backprop.runs} == {"complete", "failed"}
    assert "frozen *, seed 0: missing" in table([frozen, backprop])
    assert "missing" in write_report(found.directory).read_text()


def test_checkpoints_stay_where_they_are(runs: tuple[Path, list[Compared]], tmp_path: Path) -> None:
    out = damaged(runs[0], tmp_path / "sub")
    (out / "runs/frozen/seed-1/checkpoints/5").mkdir(parents=True)
    fetch(out, tmp_path / "copied")
    assert not (tmp_path / "copied/frozen/seed-1/checkpoints").exists()
    assert (tmp_path / "copied/frozen/seed-1/run.zarr").is_dir()


def test_a_copy_replaces_nothing_that_it_was_not_told_to(
    runs: tuple[Path, list[Compared]], tmp_path: Path
) -> None:
    out, to = runs[0], tmp_path / "copied"
    fetch(out, to)
    with pytest.raises(OutputError, match="exists; choose another --out, or give --overwrite"):
        fetch(out, to)
    assert fetch(out, to, overwrite=True).complete == 4
    (to / "frozen/mine.txt").touch()
    with pytest.raises(OutputError, match=r"holds 'frozen/mine\.txt', which is no result"):
        fetch(out, to, overwrite=True)
    with pytest.raises(OutputError, match=r"is inside .*; choose another --out, or leave it out"):
        fetch(out, out / "fetched")


def test_a_submission_whose_runs_stored_nothing_is_refused(tmp_path: Path) -> None:
    save(
        tmp_path,
        Submission(
            scenario="digits",
            scheduler="local",
            created="2026-01-01",
            entries=(Entry(index=0, name="a", path="runs/a"),),
        ),
    )
    with pytest.raises(OutputError, match="has stored anything; see biosim status"):
        fetch(tmp_path)
