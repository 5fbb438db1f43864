"""A run that is killed at any moment keeps what it committed, equal to that of a whole run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import biosim
from hpc.ending import repaired
from hpc.launch import environment, found_mpiexec, options
from hpc.run import run
from scenarios.reading import read_tree, resolve_any
from tests.ranks.started import needs_mpi
from tests.ranks.test_failures import LIMIT_S, processes_of

pytestmark = [needs_mpi(), pytest.mark.slow, pytest.mark.timeout(3000)]

KILLS = int(os.environ.get("BIOSIM_KILLS", "50"))

SCENARIO = [
    *("constants.CE=60", "constants.CI=15", "constants.J=1.6 mV"),
    "record.states=[{population='E', variables=['v'], neurons=[3, 290, 599], every='0.7 ms'}]",
    "record.weights=[{projection='learning', every='500 ms'}]",
]

# Commits come as often as they can: the more there are, the more of them are hit.
PROGRAM = """
import sys
from functools import partial
from biosim.spiking import spike_store
from hpc import run_spiking
from scenarios.reading import read_tree, resolve_any
spike_store.COMMIT_SHARE = 0.5
run_spiking.StoreSink = partial(spike_store.StoreSink, commit_every_s=0.02)
run_spiking.run_spiking(resolve_any(read_tree("brunel_stdp"), sys.argv[2:]), sys.argv[1])
"""


def begun(out: Path, ranks: int) -> subprocess.Popen[bytes]:
    mpiexec = found_mpiexec()
    launcher = [mpiexec, "-n", str(ranks), *options(mpiexec, ranks, 2)] if ranks > 1 else []
    settings = [*SCENARIO, "run.duration=1000 s"]
    return subprocess.Popen(
        [*launcher, sys.executable, "-c", PROGRAM, str(out), *settings],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(os.environ) | {"OMP_NUM_THREADS": "1"},
    )


def has_committed(out: Path, ranks: int) -> bool:
    """Return whether all ranks have committed something."""
    owners = [
        json.loads(path.read_text())["attributes"]
        for path in (out / "run.zarr/_owners").glob("*/zarr.json")
    ]
    return len(owners) == ranks and all(owner["committed_tick"] for owner in owners)


def killed(out: Path, ranks: int, numbers: random.Random, early: bool) -> None:
    """Start a run and kill one of its processes, the others with it.

    Args:
        out: directory of the run.
        ranks: of the run.
        numbers: say when, and whom.
        early: whether at any moment from the start on, else after something is committed.
    """
    process = begun(out, ranks)
    until = time.monotonic() + LIMIT_S
    while not early and not has_committed(out, ranks) and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(numbers.uniform(0.0, 4.0))
    found = processes_of(process.pid) if ranks > 1 else {0: process.pid}
    victim = numbers.choice(sorted(found.values())) if found else process.pid
    os.kill(victim, signal.SIGKILL)
    process.communicate(timeout=LIMIT_S)
    assert process.returncode != 0


def differences(tree: xr.DataTree, whole: xr.DataTree) -> list[str]:
    """Return what of a tree is not what a whole run has up to the tick that is committed."""
    ticks = tree.attrs["committed_tick"]
    end_s = (ticks - 0.5) * 1e-4
    found = []
    for name in ("E", "I"):
        mine, theirs = tree[f"spikes/{name}"], whole[f"spikes/{name}"]
        count = int(np.searchsorted(theirs.time.values, end_s))
        for column in ("time", "neuron"):
            if not np.array_equal(mine[column], theirs[column][:count]):
                found.append(f"spikes/{name}/{column}")
    rows = -(-ticks // 7)
    if rows and not np.array_equal(tree["traces/E"].v, whole["traces/E"].v[:rows]):
        found.append("traces/E/v")
    rows = ticks // 5000 + 1 if ticks else 0
    if rows and not np.array_equal(tree["weights/learning"].w, whole["weights/learning"].w[:rows]):
        found.append("weights/learning/w")
    return found


@pytest.mark.parametrize("ranks", [1, 3])
def test_what_is_committed_when_a_run_is_killed_is_what_a_whole_run_has(
    ranks: int, tmp_path: Path
) -> None:
    numbers = random.Random(ranks)
    runs = [tmp_path / str(attempt) for attempt in range(KILLS)]
    for attempt, out in enumerate(runs):
        killed(out, ranks, numbers, early=attempt % 5 == 4)
    begun_runs = [out for out in runs if (out / "run.zarr/zarr.json").exists()]
    trees = {out: biosim.open_run(out) for out in begun_runs}
    committed = {out: tree.attrs.get("committed_tick", 0) for out, tree in trees.items()}
    longest = max(committed.values())
    assert sum(ticks > 0 for ticks in committed.values()) > KILLS // 2
    assert len(set(committed.values())) > KILLS // 3
    settings = [*SCENARIO, f"run.duration={longest // 10 + 500} ms"]
    run(resolve_any(read_tree("brunel_stdp"), settings), tmp_path / "whole")
    whole = biosim.open_run(tmp_path / "whole")
    for out in begun_runs:
        if committed[out]:
            assert differences(trees[out], whole) == [], out
        repaired(out)
        again = biosim.open_run(out)
        assert again.attrs.get("committed_tick", 0) == committed[out]
        if committed[out]:
            assert differences(again, whole) == [], out
    # The check can fail: a run of another seed is no part of the whole one.
    other = run(resolve_any(read_tree("brunel_stdp"), [*settings, "run.seed=1"]), tmp_path / "x")
    assert differences(biosim.open_run(other.path), whole)
