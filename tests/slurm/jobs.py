"""What tests ask of Slurm: submit, wait, look."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.slurm import cluster

REPOSITORY = Path(__file__).resolve().parents[2]

BIOSIM = (sys.executable, "-m", "hpc.cli")
"""The command line, whether it is installed or not."""

OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED")

FOREIGN = re.compile(r"(SLURM|SBATCH|SRUN|SQUEUE|OMPI|PMIX?|PRTE|MPI)_")
"""Variables of another launcher, under which the tests themselves may run."""


def scripted(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script that installs, starts and stops a cluster."""
    return subprocess.run(
        [sys.executable, cluster.__file__, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@dataclass(frozen=True)
class Slurm:
    """A cluster of `cluster.py` that is there.

    Args:
        here: its directory.
    """

    here: Path

    def environment(self) -> dict[str, str]:
        """Return what commands and jobs are given."""
        own = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
        # In a container everyone is root, which Open MPI wants to be told twice.
        root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        ours = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        return own | root | ours | cluster.environment(self.here)

    def run(
        self, *command: str, cwd: Path, limit_s: float = 120.0, given: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that speaks to this cluster, whatever its exit code."""
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
            cwd=cwd,
            env=self.environment(),
            input=given,
        )

    def asked(self, *command: str) -> str:
        """Return what a command prints; it must not fail."""
        done = self.run(*command, cwd=self.here, limit_s=20)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def submit(self, script: str, *options: str, cwd: Path) -> str:
        """Submit the lines of a batch script; return the number of the job."""
        text = f"#!/bin/sh\n{script}\n"
        done = self.run("sbatch", "--parsable", *options, cwd=cwd, given=text)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def shown(self, job: str) -> dict[str, str]:
        """Return what scontrol knows of a job, by its names."""
        words = self.asked("scontrol", "--oneliner", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(
        self, job: str, *states: str, limit_s: float = 120.0, **also: str
    ) -> Mapping[str, str]:
        """Wait until a job is in one of these states (any in which it is over, if none is given).

        Args:
            job: its number.
            states: to wait for.
            limit_s: after which the test fails.
            also: what scontrol must show besides, such as Restarts="1".
        """
        until = time.monotonic() + limit_s
        while True:
            shown = self.shown(job)
            if shown["JobState"] in (states or OVER) and also.items() <= shown.items():
                return shown
            assert time.monotonic() < until, f"after {limit_s:g} s job {job} is {shown}"
            time.sleep(0.2)

    def cancel_all(self) -> None:
        """Cancel every job, and wait until none is left."""
        self.asked("scancel", "--user=root")
        until = time.monotonic() + 30
        while self.asked("squeue", "--noheader") and time.monotonic() < until:
            time.sleep(0.1)
