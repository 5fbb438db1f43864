"""The cluster of the tests starts, ends, leaves nothing, and says why where it cannot be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slurm import cluster
from tests.slurm.jobs import Slurm, scripted

SECLUDED = """
set -e
mount -t tmpfs none /tmp
mount -t tmpfs none /dev/shm
mount -t tmpfs none /var
mount -t tmpfs none /run
printf %s "$SCRIPT" > /run/cluster.py  # the repository may lie in what was /tmp
{
LINES
} >&2
rm -rf $HERE /run/cluster.py
find /tmp /dev/shm /run /var -mindepth 1
ps -e -o stat=,args= | grep -v -e '^Z' -e ' ps -e' -e ' grep ' -e ' sh -c' || true
"""
"""Alone in a space of files and processes: what is there at the end was left by the lines."""

SECLUSION = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]

HERE = f"/tmp/cluster-{os.getpid()}"
"""In such a space."""


def left_by(*lines: str) -> str:
    """Run lines of a shell, remove the directory HERE, and return the files and processes left."""
    script = Path(cluster.__file__).read_text(encoding="utf-8")
    done = subprocess.run(
        [*SECLUSION, "sh", "-c", SECLUDED.replace("LINES", "\n".join(lines))],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"HERE": HERE, "SLURM_CONF": f"{HERE}/slurm.conf", "SCRIPT": script},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def needs_seclusion() -> pytest.MarkDecorator:
    """A mark that skips where the machine grants no such space."""
    allowed = shutil.which(SECLUSION[0]) is not None and (
        subprocess.run([*SECLUSION, "true"], capture_output=True, check=False).returncode == 0
    )
    return pytest.mark.skipif(not allowed, reason="unshare is not allowed here")


def own(word: str) -> str:
    """Return a command line of the script."""
    return f"{Path(sys.executable).resolve()} /run/cluster.py {word} {HERE}"


# A script and a process of a job that heed no signal, and a step on both nodes.
JOBS = """
cd $HERE
sbatch --output=/dev/null --wrap 'trap "" TERM; setsid sleep 1000 & sleep 1001'
srun --nodes=2 --ntasks=2 --mpi=pmi2 sleep 1002 &
until test $(squeue --noheader --states=R | wc -l) = 2; do sleep 0.1; done
pgrep -f 'sleep 1000'
cd /
"""


@pytest.mark.slurm
@needs_seclusion()
def test_a_cluster_that_is_stopped_leaves_nothing(slurm: Slurm) -> None:
    assert left_by(own("start"), JOBS, own("stop"), "wait || true") == ""
    assert not list(cluster.MEMORY_CGROUPS.glob(cluster._name(Path(HERE))))


@pytest.mark.slurm
@needs_seclusion()
def test_what_is_left_would_be_seen(slurm: Slurm) -> None:
    left = left_by("touch /dev/shm/segment", "sleep 60 &")
    assert "/dev/shm/segment\n" in left
    assert " sleep 60\n" in left


@pytest.mark.slurm
@needs_seclusion()
def test_after_a_cluster_that_was_killed_there_is_another(slurm: Slurm) -> None:
    killed = "kill -9 $(pgrep -x 'munged|slurmctld|slurmd')"
    answers = "srun --nodes=2 --ntasks=2 true"
    assert (
        left_by(own("start"), JOBS, killed, own("start"), answers, own("stop"), "wait || true")
        == ""
    )


@pytest.mark.slurm
def test_there_is_one_cluster_in_a_directory(slurm: Slurm) -> None:
    again = scripted("start", str(slurm.here))
    assert again.returncode == 1
    assert again.stderr == f"no Slurm for tests: a cluster runs in {slurm.here}: run stop\n"
    assert scripted("status", str(slurm.here)).stdout.startswith("5 daemons, 0 processes of jobs\n")


# Why there is none; these need no Slurm.


def test_only_root_installs_and_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for attempt in (cluster.install, lambda: cluster.start(tmp_path)):
        with pytest.raises(cluster.UnavailableError, match="installed and started as root only"):
            attempt()


def test_another_system_than_debian_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(cluster.UnavailableError, match="this is no Debian or Ubuntu: apt-get is"):
        cluster.install()
    with pytest.raises(cluster.UnavailableError, match=r"munged, .*srun is not on the path: run i"):
        cluster.start(tmp_path)


def test_packages_that_do_not_come_are_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\necho 'E: Unable to locate package munge' >&2\nexit 100\n")
    apt.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    with pytest.raises(cluster.UnavailableError, match=r"slurm-wlm, munge, .*: E: Unable to loca"):
        cluster.install()


def test_a_path_that_is_too_long_for_sockets_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(cluster, "missing", list)
    with pytest.raises(cluster.UnavailableError, match="has more than 60 characters: sockets lie"):
        cluster.start(tmp_path / ("x" * 60))


def test_a_command_without_a_directory_is_refused() -> None:
    done = scripted("start")
    assert done.returncode == 2
    assert "start needs the cluster's directory" in done.stderr
