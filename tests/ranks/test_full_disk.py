"""A disk that is really full: the run ends with one line, and what is committed is readable."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import biosim
from biosim.store import writing
from hpc.ending import repaired
from hpc.launch import environment, found_mpiexec, options
from tests.ranks.started import needs_mpi

pytestmark = needs_mpi()

NEURONS = 1024

# All neurons fire at every tick, of which nothing tells beforehand: else the run would be refused.
NETWORK = """
name = "loud"
[populations.E]
size = 1024
model = "dv/dt = 20/ms : 1"
threshold = "v > 0.9"
reset = "v = 0"
method = "euler"
[run]
duration = "{seconds} s"
"""

PROGRAM = """
import os, sys
from functools import partial
from biosim.spiking import append_log, spike_store
from hpc import cli, run_spiking
from tests.ranks import test_full_disk
spike_store.COMMIT_SHARE = 0.5
run_spiking.StoreSink = partial(spike_store.StoreSink, commit_every_s=0.02)
if os.environ.get("OMPI_COMM_WORLD_RANK") == "{alone}":
    append_log.AppendLog._write = test_full_disk.until_it_is_full(append_log.AppendLog._write)
cli.main()
"""

WRITES = 50


def until_it_is_full(write: Callable[..., None]) -> Callable[..., None]:
    """Return what writes so often, and then finds the disk of its rank full."""
    left = iter(range(WRITES))

    def limited(self: object, name: str, values: object) -> None:
        if next(left, None) is None:
            with writing("its disk"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, name, values)

    return limited


def can_mount() -> bool:
    """Return whether this user may have a small disk of his own."""
    if shutil.which("unshare") is None:
        return False
    tried = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def ended_run(
    directory: Path, ranks: int, seconds: int, disk_mb: int, alone: int | None = None
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run the network on a disk of its own; return how it ended and a copy of what it left."""
    disk, copy = directory / "disk", directory / "copy"
    disk.mkdir()
    (directory / "loud.toml").write_text(NETWORK.format(seconds=seconds))
    mpiexec = found_mpiexec()
    launcher = [mpiexec, "-n", str(ranks), *options(mpiexec, ranks, 2)] if ranks > 1 else []
    program = [*launcher, sys.executable, "-c", PROGRAM.format(alone=alone)]
    steps = (
        f"mount -t tmpfs -o size={disk_mb}m tmpfs {disk} || exit 99",
        f'"$@" run {directory}/loud.toml --out {disk}/run; code=$?',
        f"cp -r {disk}/run {copy}; exit $code",
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", "\n".join(steps), "sh", *program],
        capture_output=True, text=True, check=False, timeout=200,
        env=environment(os.environ) | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return done, copy


def check_end(done: subprocess.CompletedProcess[str], copy: Path, said: str) -> int:
    """Check that a run ended with one line; return until when it stored, having repaired it."""
    assert done.returncode == 2, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("biosim: ")]
    assert len(told) == 1, done.stderr
    assert said in told[0]
    assert "cannot be written (No space left on device); what was committed" in told[0]
    assert "Traceback" not in done.stderr
    committed = int(biosim.open_run(copy).attrs["committed_tick"])
    assert committed > 0
    assert repaired(copy) == f"{copy} is repaired: everything before tick {committed:,} is stored"
    spikes = biosim.open_run(copy)["spikes/E"].to_dataset(inherit=False)
    ticks = np.rint(spikes.time[::NEURONS].values / 1e-4).astype(int)
    first = int(ticks[0])
    assert np.array_equal(ticks, np.arange(first, committed))
    assert spikes.sizes["spike"] == NEURONS * (committed - first)
    assert np.array_equal(spikes.neuron[-NEURONS:], np.arange(NEURONS))
    return committed


@pytest.mark.skipif(not can_mount(), reason="needs unshare, and the right to mount")
@pytest.mark.parametrize("ranks", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3))])
def test_a_disk_that_is_full_in_the_middle_ends_all_ranks_and_keeps_what_is_committed(
    ranks: int, tmp_path: Path
) -> None:
    done, copy = ended_run(tmp_path, ranks, seconds=30, disk_mb=5)
    assert check_end(done, copy, "/spikes/E/_raw/") < 300_000


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="needs unshare, and the right to mount")
@pytest.mark.parametrize("alone", [0, 2])
def test_a_disk_that_is_full_on_one_rank_only_ends_all_ranks(alone: int, tmp_path: Path) -> None:
    done, copy = ended_run(tmp_path, 3, seconds=30, disk_mb=100, alone=alone)
    assert f"rank {alone} of 3: " in done.stderr
    assert check_end(done, copy, "its disk") < 300_000


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="needs unshare, and the right to mount")
def test_a_disk_that_is_full_while_logs_are_merged_keeps_all_of_them(tmp_path: Path) -> None:
    done, copy = ended_run(tmp_path, 2, seconds=1, disk_mb=2)
    assert check_end(done, copy, "/spikes/E/") == 10_000
