"""Law 2 under real MPI: replicas of the network store the bytes of one that has all parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rules import RULES
from tests.ranks.started import PROGRAM, needs_mpi, same_bytes, started

pytestmark = needs_mpi()

SMALL = [
    "network.hidden=[12,8]",
    "run.batch_size=128",
    "run.epochs=2",
    "record.samples=5",
    "data.samples=400",
    "place.parts=4",
]
CASES = {
    **{name: (name, SMALL) for name in RULES},
    # Scores of every replica come back to the sources of all.
    "hard negatives": ("forward_forward", [*SMALL, "rule.negatives=hard"]),
    "streaming": ("backprop", [*SMALL, "run.period=1"]),
}


QUICK = ["backprop", "noprop", "hard negatives"]
"""What `make test` runs; `make test-all` runs all, and more ranks."""


def stored(directory: Path, ranks: int, names: list[str], *more: str, how: str = "") -> Path:
    """Run these cases on so many ranks; return where the results are."""
    directory.mkdir()
    entries = [
        {
            "scenario": "digits",
            "rule": CASES[name][0],
            "overrides": [*CASES[name][1], *more],
            "out": str(directory / name),
        }
        for name in names
    ]
    listed = directory.with_suffix(".json")
    listed.write_text(json.dumps(entries), encoding="utf-8")
    done = started(ranks, str(PROGRAM), str(listed), how)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tmp_path_factory.mktemp("replicas") / "1", 1, list(CASES))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((2, ""), id="2 replicas", marks=pytest.mark.slow),
        pytest.param((4, ""), id="4 replicas", marks=pytest.mark.slow),
        pytest.param((4, "place.replicas=2"), id="2 replicas of 2 ranks", marks=pytest.mark.slow),
    ],
)
def several(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    ranks, more = request.param
    directory = tmp_path_factory.mktemp("replicas") / "several"
    return stored(directory, ranks, list(CASES), *filter(None, [more]))


@pytest.mark.parametrize("name", list(CASES))
def test_what_replicas_store_is_what_one_rank_stores(name: str, several: Path, alone: Path) -> None:
    assert same_bytes(several / name, alone / name) == []


@pytest.mark.slow
def test_of_a_few_rules_too_and_a_draw_that_depends_on_the_rank_is_caught(tmp_path: Path) -> None:
    one, two = (stored(tmp_path / str(ranks), ranks, QUICK) for ranks in (1, 2))
    for name in QUICK:
        assert same_bytes(two / name, one / name) == []
    cheated = stored(tmp_path / "cheat", 2, ["backprop"], how="cheat")
    assert same_bytes(cheated / "backprop", one / "backprop")
