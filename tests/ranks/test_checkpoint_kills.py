"""A run that is killed while it stores checkpoints goes on from the newest complete one."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from biosim.checkpoints.directory import FOLDER, LATEST, Checkpoint, newest
from biosim.checkpoints.simulation import verify
from biosim.ranks import OneRank
from tests.ranks.started import same_bytes

SMALL = ["constants.CE=60", "constants.CI=15", "constants.J=1.6 mV", "run.duration=4 s"]
RECORDED = ['record.weights=[{ projection="learning", every="500 ms" }]']
OFTEN = "checkpoint.ticks=50"
LIMIT_S = 120.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "hpc.cli", "run", *arguments]


def killed(arguments: list[str], out: Path, after_s: float) -> bool:
    """Run, and kill it so long after it has stored its first checkpoint; False if it ended."""
    before = newest(out / FOLDER)
    with subprocess.Popen(command(*arguments), stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + LIMIT_S
        while newest(out / FOLDER) == before and process.poll() is None:
            assert time.monotonic() < until, "no checkpoint was stored"
            time.sleep(0.002)
        time.sleep(after_s)
        process.kill()
        return process.wait() < 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [1, pytest.param(30, marks=pytest.mark.slow)])
def test_kills_while_checkpoints_are_stored_lose_nothing(tmp_path: Path, kills: int) -> None:
    chance, partial, ticks = random.Random(kills), 0, [0]
    out, whole = tmp_path / "killed", tmp_path / "whole"
    started = ["brunel_stdp", *SMALL, *RECORDED, OFTEN, "--out", str(out)]
    for _ in range(kills):
        assert killed(started, out, chance.uniform(0.0, 0.4)), "it came to its end"
        started = ["--resume", str(out), OFTEN]
        partial += any(path.name.startswith(".partial") for path in (out / FOLDER).iterdir())
        path = newest(out / FOLDER)
        assert path is not None
        assert (out / FOLDER / LATEST).read_text().strip() == path.name
        verify(Checkpoint(path), OneRank())
        ticks.append(int(path.name.rpartition("-")[2]))
    assert ticks == sorted(set(ticks)), "every attempt should have come further"
    if kills > 10:
        assert partial > 0, "some kills should have come in the midst of one"
    rare = "checkpoint.ticks=100000"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for arguments in (
        ["--resume", str(out), rare],
        ["brunel_stdp", *SMALL, *RECORDED, rare, "--out", str(whole)],
    ):
        subprocess.run(command(*arguments), check=True, capture_output=True, env=environment)
    assert same_bytes(out, whole) == []
