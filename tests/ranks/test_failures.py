"""Law 6 under real MPI: a rank that fails ends all, and says why; nobody waits for ever."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import biosim
from hpc.launch import environment
from tests.ranks.started import needs_mpi, started

pytestmark = needs_mpi()

LONG = ["constants.CE=60", "constants.CI=15", "constants.J=1.6 mV", "record.spikes=true"]

KILLS = 50

LIMIT_S = 60.0
"""By which everything must be over."""


def command(out: Path, *overrides: str, ranks: int = 2, scenario: str = "brunel") -> list[str]:
    asked = ["run", scenario, *overrides, "--out", str(out), "--ranks", str(ranks)]
    return [sys.executable, "-m", "hpc.cli", *asked]


def begun(arguments: list[str]) -> subprocess.Popen[str]:
    """Start a command, as a user would."""
    return subprocess.Popen(
        arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=environment(os.environ),
    )  # fmt: skip


def processes_of(parent: int) -> dict[int, int]:
    """Return rank -> process, of the ranks that descend from this process."""
    parents, ranks = {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            stat = (entry / "stat").read_text()
            told = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended meanwhile
        parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
        for word in told:
            if word.startswith(b"OMPI_COMM_WORLD_RANK="):
                ranks[int(entry.name)] = int(word.partition(b"=")[2])

    def descends(process: int) -> bool:
        while process > 1 and process != parent:
            process = parents.get(process, 0)
        return process == parent

    return {rank: process for process, rank in ranks.items() if descends(process)}


def running(process: subprocess.Popen[str], out: Path) -> dict[int, int]:
    """Wait until the run has written its progress; return its ranks' processes."""
    until = time.monotonic() + LIMIT_S
    while not (out / "progress.json").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    return processes_of(process.pid)


def wait_for_spikes(out: Path) -> None:
    """Wait until spikes of all ranks are stored."""
    until = time.monotonic() + LIMIT_S
    while biosim.open_run(out).attrs.get("committed_tick", 0) == 0:
        assert time.monotonic() < until
        time.sleep(0.1)


def spikes_of(out: Path) -> int:
    """Return how many spikes can be read; they are in order and of neurons that there are."""
    spikes = biosim.open_run(out)["spikes/E"].to_dataset(inherit=False).load()
    assert (np.diff(spikes.time.values) >= 0).all()
    assert (spikes.neuron.values < 600).all()
    return spikes.sizes["spike"]


def test_a_rank_that_is_killed_is_named_and_what_was_recorded_is_readable(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = begun(command(out, *LONG, "run.duration=1000 s", ranks=3))
    ranks = running(process, out)
    assert sorted(ranks) == [0, 1, 2]
    wait_for_spikes(out)
    os.kill(ranks[1], signal.SIGKILL)
    said = process.communicate(timeout=LIMIT_S)[1]
    assert process.returncode not in (0, 1)
    assert "biosim: rank 1 of 3 was killed by signal 9 (SIGKILL)" in said
    assert "Traceback" not in said
    assert spikes_of(out) > 0


def test_a_signal_to_one_rank_ends_all_with_what_they_have_recorded(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = begun(command(out, *LONG, "run.duration=1000 s"))
    ranks = running(process, out)
    os.kill(ranks[1], signal.SIGTERM)
    said = process.communicate(timeout=LIMIT_S)[1]
    assert process.returncode == 143
    told = [line for line in said.splitlines() if line.startswith("biosim: ")]
    assert len(told) == 1
    assert re.match(
        r"biosim: the run was asked to end by SIGTERM and stopped at tick [\d,]+", told[0]
    )
    tree = biosim.open_run(out)
    assert tree.attrs["status"] == "stopped"
    assert spikes_of(out) > 0
    assert json.loads((out / "progress.json").read_text())["status"] == "stopped"


@pytest.mark.slow
def test_bad_input_is_said_once_and_nothing_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = begun(command(out, "constants.CE=-1"))
    said = process.communicate(timeout=LIMIT_S)[1]
    assert process.returncode == 2
    assert len(said.splitlines()) == 1
    assert said.startswith("biosim: ")
    assert not out.exists()


@pytest.mark.slow
def test_a_directory_that_is_taken_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    process = begun(command(tmp_path / "out", *LONG))
    said = process.communicate(timeout=LIMIT_S)[1]
    assert process.returncode == 2
    assert said.splitlines() == [
        f"biosim: {tmp_path / 'out'} exists; choose another --out, or give --overwrite"
    ]


@pytest.mark.slow
def test_a_state_that_diverges_on_one_rank_ends_all(tmp_path: Path) -> None:
    # Neuron 700 of 1024 belongs to one rank only.
    scenario = tmp_path / "grows.toml"
    scenario.write_text(
        """
        name = "grows"
        dt = "0.1 ms"
        [populations.A]
        size = 1024
        model = "dv/dt = k*v*v : 1\\nk : Hz"
        threshold = "v > 1e30"
        method = "euler"
        initial = { v = 1, k = "8*Hz*int(i == 700)" }
        [run]
        duration = "1 s"
        [record]
        spikes = true
        """
    )
    out = tmp_path / "out"
    process = begun(command(out, scenario=str(scenario)))
    said = process.communicate(timeout=LIMIT_S)[1]
    assert process.returncode == 2, said
    told = [line for line in said.splitlines() if line.startswith("biosim: ")]
    assert len(told) == 1
    assert "population 'A', neuron 700: v is" in told[0]
    assert biosim.open_run(out).attrs["status"] == "diverged"


@pytest.mark.slow
def test_processes_that_do_not_see_each_other_are_refused(tmp_path: Path) -> None:
    alone = {k: v for k, v in environment(os.environ).items() if not k.startswith("SLURM_")}
    told = {"SLURM_NTASKS": "2", "SLURM_STEP_ID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    asked = ["run", "brunel", *LONG, "--out", str(tmp_path / "out")]
    for variables, advice in (
        (told, "SLURM_NTASKS promises 2 ranks and the MPI library sees 1"),
        ({"SLURM_NTASKS": "2"}, "SLURM_NTASKS promises 2 ranks and this process was started alone"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "hpc.cli", *asked],
            env=alone | variables, capture_output=True, text=True, check=False, timeout=LIMIT_S,
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stderr.startswith(f"biosim: {advice}")
    assert not (tmp_path / "out").exists()


FAILS = """
import sys, time
from hpc.together import run_together

def program(ranks):
    if ranks.rank == 1:
        {what}
    ranks.agree(False)

run_together(1, {limit}, program)
"""


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("time.sleep(40)", r"biosim: rank 0 of 2 waited 1 s in .* for rank 1; look"),
        pytest.param(
            "raise ValueError('no such synapse')",
            r"rank 1 of 2: ValueError: no such synapse",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "sys.exit(3)",
            r"rank 0 of 2 waited 1 s in .* for rank 1|exit",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_rank_that_does_not_come_is_named(what: str, expected: str) -> None:
    began = time.monotonic()
    done = started(2, "-c", FAILS.format(what=what, limit=1.0))
    assert time.monotonic() - began < 35
    assert done.returncode != 0
    assert re.search(expected, done.stderr), done.stderr


@pytest.mark.slow
def test_fifty_kills_at_random_moments_leave_no_run_hanging_and_no_store_corrupt(
    tmp_path: Path,
) -> None:
    numbers = random.Random(0)
    stored = 0
    for attempt in range(KILLS):
        out = tmp_path / str(attempt)
        process = begun(command(out, *LONG, "run.duration=1000 s", ranks=2))
        until = time.monotonic() + LIMIT_S
        while len(ranks := processes_of(process.pid)) < 2:
            assert time.monotonic() < until
            time.sleep(0.05)
        # While they import, build or wait for each other; every other time while they run.
        if attempt % 2:
            running(process, out)
        after_s = numbers.uniform(0.0, 4.0 if attempt % 2 else 8.0)
        time.sleep(after_s)
        victim = numbers.choice(sorted(ranks))
        os.kill(ranks[victim], signal.SIGKILL)
        said = process.communicate(timeout=LIMIT_S)[1]
        assert process.returncode != 0
        assert f"biosim: rank {victim} of 2 was killed by signal 9" in said, (after_s, said)
        if (out / "progress.json").exists():
            stored += spikes_of(out) > 0
    assert stored > KILLS / 8
