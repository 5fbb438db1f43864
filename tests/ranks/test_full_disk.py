"""A disk that is really full: the run ends with one line, and what is committed is readable."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import biosim
from hpc.ending import repaired
from hpc.launch import environment, found_mpiexec, options
from tests.ranks.started import needs_mpi

pytestmark = needs_mpi()

# All neurons fire at 2 kHz, of which nothing tells beforehand: else the run would be refused.
NETWORK = """
name = "loud"
[populations.E]
size = 1024
model = "dv/dt = 2/ms : 1"
threshold = "v > 0.9"
reset = "v = 0"
method = "euler"
[run]
duration = "30 s"
"""

PROGRAM = """
import sys
from functools import partial
from biosim.spiking import spike_store
from hpc import cli, run_spiking
spike_store.COMMIT_SHARE = 0.5
run_spiking.StoreSink = partial(spike_store.StoreSink, commit_every_s=0.02)
cli.main()
"""


def can_mount() -> bool:
    """Return whether this user may have a small disk of his own."""
    if shutil.which("unshare") is None:
        return False
    tried = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs unshare, and the right to mount")
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_full_disk_ends_a_run_with_one_line_and_keeps_what_is_committed(
    ranks: int, tmp_path: Path
) -> None:
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    (tmp_path / "loud.toml").write_text(NETWORK)
    mpiexec = found_mpiexec()
    launcher = [mpiexec, "-n", str(ranks), *options(mpiexec, ranks, 2)] if ranks > 1 else []
    program = [*launcher, sys.executable, "-c", PROGRAM]
    steps = (
        f"mount -t tmpfs -o size=12m tmpfs {disk} || exit 99",
        f'"$@" run {tmp_path}/loud.toml --out {disk}/run; code=$?',
        f"cp -r {disk}/run {copy}; exit $code",
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", "\n".join(steps), "sh", *program],
        capture_output=True, text=True, check=False, timeout=200,
        env=environment(os.environ) | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("biosim: ")]
    assert len(told) == 1, done.stderr
    assert "cannot be written (No space left on device); what was committed before" in told[0]
    assert "Traceback" not in done.stderr
    committed = biosim.open_run(copy).attrs["committed_tick"]
    assert committed > 0
    said = repaired(copy)
    assert said == f"{copy} is repaired: everything before tick {committed:,} is stored"
    spikes = biosim.open_run(copy)["spikes/E"].to_dataset(inherit=False).load()
    ticks = np.rint(spikes.time.values / 1e-4).astype(int)
    assert ticks[-1] < committed
    # All fire at once, in every fifth tick.
    assert spikes.sizes["spike"] == 1024 * len(np.unique(ticks))
    assert (np.diff(np.unique(ticks)) == np.diff(np.unique(ticks))[0]).all()
    assert np.unique(ticks)[-1] >= committed - 5
