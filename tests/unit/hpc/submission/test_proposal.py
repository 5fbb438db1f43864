"""What nobody said of a job is proposed, said, and fits the partition."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hpc.needs import Needs
from hpc.submission.command import found_flavour
from hpc.submission.description import Description
from hpc.submission.proposal import proposed
from hpc.submission.site import read_site, settled
from scenarios.reading import read_tree, resolve_any
from tests.unit.hpc.test_flavour import CRAY, MPICH, MPICH_PMIX, OPEN_MPI

GIB = 2**30


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let runs need 1 GiB and 2 h a rank; note for how many ranks it was asked."""
    ranks: list[int] = []

    def needs(scenario, n):
        ranks.append(n)
        return Needs(1.0 * GIB, 7200.0)

    monkeypatch.setattr("hpc.needs.needs", needs)
    return ranks


SCENARIOS = [resolve_any(read_tree("digits"))]


def test_memory_and_time_are_proposed_with_a_margin(told: list[int]) -> None:
    known = settled(None, None, {"nodes": 2, "tasks_per_node": 3, "mpi": "srun"}, None)
    found, said = proposed(known, SCENARIOS, "slurm", 1)
    assert (found.description.memory, found.description.time) == ("4000 MiB", "06:10:00")
    assert said == [
        "memory 4000 MiB: proposed by biosim plan", "time 06:10:00: proposed by biosim plan",
    ]  # fmt: skip
    assert told == [6]
    assert found.origins["memory"] == "proposed by biosim plan"


def test_what_is_said_is_not_measured(told: list[int]) -> None:
    given = {"memory": "1 GiB", "time": "1 h", "mpi": "srun"}
    known = settled(None, None, given, None)
    found, said = proposed(known, SCENARIOS, "slurm", 1)
    assert (found.description, said, told) == (known.description, [], [])


def test_jobs_of_a_chain_share_the_time() -> None:
    known = settled(None, None, {"memory": "1 GiB", "mpi": "srun"}, None)
    assert proposed(known, SCENARIOS, "slurm", 4)[0].description.time == "01:40:00"
    slow = settled(None, None, {"memory": "1 GiB", "mpi": "srun", "lead": "2 h"}, None)
    assert proposed(slow, SCENARIOS, "slurm", 100)[0].description.time == "04:00:00"


def test_no_more_time_is_proposed_than_a_partition_has(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text("partition = 'short'\nmpi = 'srun'\n[partitions.short]\nmax_time = '1 h'")
    found, said = proposed(settled(read_site(path), path, {}, None), SCENARIOS, "slurm", 1)
    assert found.description.time == "01:00:00"
    found.check_limits()
    assert said[0] == (
        "the run is expected to take 06:10:00, and the partition allows 01:00:00: it is continued "
        "after a requeue, or give --chain"
    )


@pytest.mark.parametrize(
    ("library", "mpi", "why"),
    [
        (OPEN_MPI, "srun --mpi=pmix", "Open MPI 5.0.11"),
        (MPICH, "srun --mpi=pmi2", "MPICH 5.0.2"),
        (MPICH_PMIX, "srun --mpi=pmix", "MPICH 5.0.2"),
        (CRAY, "srun --mpi=cray_shasta", "CRAY MPICH 8.1.29.8"),
        ("something else", "srun", "the cluster's own default"),
        ("", "srun", "the cluster's own default"),
    ],
)
def test_the_flavour_follows_from_the_mpi_library(
    library: str, mpi: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command, **given):
        if not library:
            raise subprocess.CalledProcessError(1, command)
        return subprocess.CompletedProcess(command, 0, f"{library}\n", "")

    monkeypatch.setattr(subprocess, "run", run)
    assert found_flavour(Description(tasks=2)) == (mpi, why)
    assert found_flavour(Description()) == ("srun", "the cluster's own default")


def test_the_library_that_is_here_is_found() -> None:
    flavour, why = found_flavour(Description(tasks=2))
    assert flavour in ("srun --mpi=pmix", "srun --mpi=pmi2", "srun")
    assert why


def test_other_schedulers_start_ranks_by_mpiexec() -> None:
    known = settled(None, None, {}, None)
    assert proposed(known, SCENARIOS, "pbs", 1)[0].description.mpi == "mpiexec"
