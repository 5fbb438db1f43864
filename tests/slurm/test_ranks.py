"""Ranks on two nodes store what one rank stores, or the whole job is refused with one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpc.launch import found_mpiexec
from hpc.run import run
from scenarios.reading import read_tree, resolve_any
from tests.ranks.started import needs_mpi, same_bytes
from tests.ranks.test_bits import LAYERS, SMALL_NETWORK
from tests.slurm.jobs import BIOSIM, Slurm

pytestmark = [pytest.mark.slurm, needs_mpi()]

SCENARIOS = {
    "digits": ["rule.name=noprop", *LAYERS, "data.samples=400"],
    "brunel_stdp": SMALL_NETWORK,
}


def flavour_here() -> str:
    """What srun is to be told for the MPI library of this environment."""
    import mpi4py

    mpi4py.rc.initialize, mpi4py.rc.finalize = False, True
    from mpi4py import MPI

    return "pmix" if "Open MPI" in MPI.Get_library_version() else "pmi2"


def alone(name: str, out: Path) -> Path:
    run(resolve_any(read_tree(name), SCENARIOS[name]), out)
    return out


@pytest.mark.parametrize("name", ["digits", pytest.param("brunel_stdp", marks=pytest.mark.slow)])
def test_two_nodes_under_srun_store_what_one_rank_stores(
    name: str, slurm: Slurm, tmp_path: Path
) -> None:
    srun = ["srun", "--nodes=2", "--ntasks=2", f"--mpi={flavour_here()}"]
    done = slurm.run(*srun, *BIOSIM, "run", name, *SCENARIOS[name], "--out", "two", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert same_bytes(tmp_path / "two", alone(name, tmp_path / "one")) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_four_ranks_of_mpiexec_in_a_batch_script_store_what_one_rank_stores(
    name: str, slurm: Slurm, tmp_path: Path
) -> None:
    biosim = " ".join([*BIOSIM, "run", name, *(f"'{word}'" for word in SCENARIOS[name])])
    job = slurm.submit(
        f"{found_mpiexec()} -n 4 {biosim} --out four",
        *("--nodes=2", "--ntasks-per-node=2", "--output=said", "--error=said"),
        cwd=tmp_path,
    )
    assert slurm.wait(job)["JobState"] == "COMPLETED", (tmp_path / "said").read_text()
    assert same_bytes(tmp_path / "four", alone(name, tmp_path / "one")) == []


@pytest.mark.parametrize("flavour", ["none", pytest.param("other", marks=pytest.mark.slow)])
def test_a_srun_that_starts_singletons_is_refused_with_one_line(
    flavour: str, slurm: Slurm, tmp_path: Path
) -> None:
    right = flavour_here()
    if flavour == "other":
        flavour = {"pmix": "pmi2", "pmi2": "pmix"}[right]
    srun = ["srun", "--nodes=2", "--ntasks=2", f"--mpi={flavour}"]
    done = slurm.run(
        *srun, *BIOSIM, "run", "digits", *SCENARIOS["digits"], "--out", "out", cwd=tmp_path
    )
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if not line.startswith("srun: ")]
    assert len(said) == 1, done.stderr
    assert "2 ranks and " in said[0]
    assert f"sees 1 under srun --mpi={flavour}: " in said[0]
    assert f"start it by srun --mpi={right}, or by the mpiexec of" in said[0]
    assert not (tmp_path / "out").exists()
