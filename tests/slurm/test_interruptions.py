"""Jobs that are warned, put back, killed or cancelled end with the bits of one that was not."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hpc.run import run
from scenarios.reading import read_tree, resolve_any
from tests.ranks.started import needs_mpi, same_bytes
from tests.ranks.test_bits import LAYERS, SMALL_NETWORK
from tests.slurm.commands import Biosim, over

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1200)]

SCENARIOS = {
    "digits": ["rule.name=noprop", *LAYERS, "data.samples=400", "run.epochs=24"],
    "brunel_stdp": [*SMALL_NETWORK, "run.duration=60 ms", "checkpoint.ticks=100"],
}

PAUSES = {"digits": 0.02, "brunel_stdp": 0.8}
"""Seconds by which jobs are slowed in every exchange: runs of half a minute."""

SLOWED = """
import sys
if any("hpc.submission.work" in word for word in sys.orig_argv):
    import time
    from hpc.stopping import Heeding
    def slowed(method):
        def later(*arguments):
            time.sleep({seconds})
            return method(*arguments)
        return later
    Heeding.post = slowed(Heeding.post)
    Heeding.exchange = slowed(Heeding.exchange)
"""
"""A module that makes the runs of jobs take a while, whatever the machine: a pause an exchange."""


def slowed(biosim: Biosim, seconds: float) -> str:
    """Return the option by which jobs wait so long in every exchange."""
    (biosim.home / "sitecustomize.py").write_text(SLOWED.format(seconds=seconds))
    return f"--setup=export PYTHONPATH={biosim.home}:$PYTHONPATH"


def alone(name: str, biosim: Biosim, *settings: str) -> Path:
    """Return a run that nothing disturbs."""
    out = biosim.home / "alone"
    run(resolve_any(read_tree(name), [*SCENARIOS[name], *settings]), out)
    return out


def begun(biosim: Biosim, out: Path, beyond: float = 0.0) -> tuple[str, float]:
    """Wait until the only job of a submission is beyond a percentage; return its number, and it."""

    def ready(entry: Mapping[str, Any]) -> bool:
        assert entry["state"] in ("running", "waiting"), (entry, biosim.logs(out))
        told = entry["progress"]
        # What an earlier attempt has left is not "running".
        return told.get("status") == "running" and told.get("percent", 0) > beyond

    (entry,) = biosim.until(out, ready).values()
    return str(entry["jobs"][-1]), entry["progress"]["percent"]


def check_whole(biosim: Biosim, out: Path, name: str, restarts: int) -> None:
    """Wait for the end, and compare with a run that nothing disturbed."""
    (entry,) = biosim.until(out, over, 400).values()
    assert entry["state"] == "complete", (entry, biosim.logs(out))
    assert int(biosim.slurm.shown(entry["jobs"][-1])["Restarts"]) == restarts
    assert same_bytes(out / entry["path"], alone(name, biosim)) == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_job_that_is_warned_three_times_stores_what_one_that_is_not_does(
    name: str, biosim: Biosim
) -> None:
    out = biosim.submit("out", name, *SCENARIOS[name], slowed(biosim, PAUSES[name]))
    percent = 0.0
    for times in range(3):
        job, percent = begun(biosim, out, percent)
        biosim.slurm.asked("scancel", "--signal=USR1", job)
        biosim.slurm.wait(job, "PENDING", "RUNNING", Restarts=str(times + 1))
    check_whole(biosim, out, name, 3)


@needs_mpi()
@pytest.mark.parametrize("mpi", [[], ["--mpi=mpiexec"]])
def test_ranks_on_two_nodes_that_are_warned_go_on(mpi: list[str], biosim: Biosim) -> None:
    name = "brunel_stdp"
    two = ["--nodes=2", "--tasks=2", *mpi]
    out = biosim.submit("out", name, *SCENARIOS[name], slowed(biosim, PAUSES[name]), *two)
    job, _ = begun(biosim, out)
    # As Slurm does it: to the ranks, or to the shell that started mpiexec.
    to = ["--batch"] if mpi else []
    biosim.slurm.asked("scancel", *to, "--signal=USR1", job)
    biosim.slurm.wait(job, "PENDING", "RUNNING", Restarts="1")
    check_whole(biosim, out, name, 1)


def test_a_job_that_its_time_limit_ends_three_times_over_stores_what_one_run_does(
    biosim: Biosim,
) -> None:
    name, long = "brunel_stdp", "run.duration=180 ms"
    out = biosim.home / "out"
    # Slurm warns up to a minute early: of two minutes at least half a one is left.
    limits = ["--time=2 min", "--lead=30 s", "--memory=800 MiB"]
    biosim.well(
        "submit", name, *SCENARIOS[name], long, slowed(biosim, 7), *limits, "--out", str(out)
    )
    (entry,) = biosim.until(out, over, 1000).values()
    assert entry["state"] == "complete", (entry, biosim.logs(out))
    assert int(biosim.slurm.shown(entry["jobs"][-1])["Restarts"]) >= 3
    assert same_bytes(out / entry["path"], alone(name, biosim, long)) == []


def test_a_job_that_is_put_back_goes_on(biosim: Biosim) -> None:
    out = biosim.submit(
        "out", "brunel_stdp", *SCENARIOS["brunel_stdp"], slowed(biosim, PAUSES["brunel_stdp"])
    )
    job, _ = begun(biosim, out)
    biosim.slurm.asked("scontrol", "requeue", job)
    biosim.slurm.wait(job, "RUNNING", Restarts="1")
    check_whole(biosim, out, "brunel_stdp", 1)


def test_a_job_that_is_cancelled_does_not_rise_again_until_it_is_submitted_again(
    biosim: Biosim,
) -> None:
    name = "brunel_stdp"
    out = biosim.submit(
        "out", name, *SCENARIOS[name], slowed(biosim, PAUSES["brunel_stdp"]), "--chain=2"
    )
    begun(biosim, out)
    biosim.well("cancel", str(out))
    (entry,) = biosim.until(out, over).values()
    assert entry["state"] == "cancelled"
    time.sleep(10)  # a job that is put back begins within 7 s
    assert biosim.slurm.asked("squeue", "--noheader") == ""
    assert biosim.entry(out)["state"] == "cancelled"
    assert biosim.entry(out)["progress"]["status"] == "stopped"
    biosim.well("resubmit", "--failed", str(out))
    check_whole(biosim, out, name, 0)


def test_a_job_that_was_killed_goes_on_when_it_is_submitted_again(biosim: Biosim) -> None:
    name = "brunel_stdp"
    out = biosim.submit("out", name, *SCENARIOS[name], slowed(biosim, PAUSES[name]))
    begun(biosim, out, 30)  # two checkpoints are there
    killed = subprocess.run(["pkill", "-KILL", "-f", f"hpc.submission.work {out} 0$"], check=False)
    assert killed.returncode == 0
    (entry,) = biosim.until(out, over).values()
    assert entry["state"] == "failed"
    assert "it was killed by SIGKILL" in entry["why"]
    biosim.well("resubmit", "--failed", str(out))
    check_whole(biosim, out, name, 0)
