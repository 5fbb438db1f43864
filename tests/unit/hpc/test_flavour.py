"""What an MPI library says of itself tells which --mpi of srun it understands."""

import os
from pathlib import Path

import pytest

from hpc.flavour import advice, flavour, given, misunderstood, name, offered

OPEN_MPI = "Open MPI v5.0.11, package: Open MPI user@host Distribution, ident: 5.0.11\0"
OPEN_MPI_4 = "Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4"
MPICH = "MPICH Version:      5.0.2\nMPICH Device: ch4:ucx ofi\nMPICH configure: --with-pm=hydra\n"
MPICH_PMIX = MPICH + "MPICH configure: --with-pmix=/usr\n"
INTEL = "Intel(R) MPI Library 2021.13 for Linux* OS\n"
MVAPICH = "MVAPICH2 Version      :\t2.3.7\nMVAPICH2 Release date : ...\n"
CRAY = "MPI VERSION    : CRAY MPICH version 8.1.29.8 (ANL base 3.4a2)\nMPI BUILD INFO : ...\n"


@pytest.mark.parametrize(
    ("library", "called", "wanted"),
    [
        (OPEN_MPI, "Open MPI 5.0.11", "pmix"),
        (OPEN_MPI_4, "Open MPI 4.1.4", "pmix"),
        (MPICH, "MPICH 5.0.2", "pmi2"),
        (MPICH_PMIX, "MPICH 5.0.2", "pmix"),
        (INTEL, "Intel MPI 2021.13", "pmi2"),
        (MVAPICH, "MVAPICH2 2.3.7", "pmi2"),
        (CRAY, "CRAY MPICH 8.1.29.8", "cray_shasta"),
        ("something else", "the MPI library", None),
    ],
)
def test_a_library_has_a_name_and_a_flavour(library: str, called: str, wanted: str | None) -> None:
    assert name(library) == called
    assert flavour(library) == wanted


@pytest.mark.parametrize(
    ("library", "environment", "sure"),
    [
        (OPEN_MPI, {}, True),
        (OPEN_MPI, {"SLURM_MPI_TYPE": "pmi2", "PMI_RANK": "0"}, True),
        (OPEN_MPI, {"SLURM_MPI_TYPE": "pmix", "PMIX_RANK": "0"}, False),
        # It may have been built with PMI, and the number of ranks tells later.
        (OPEN_MPI_4, {"SLURM_MPI_TYPE": "pmi2"}, False),
        (MPICH, {"SLURM_MPI_TYPE": "pmix_v4"}, True),
        (MPICH, {"SLURM_MPI_TYPE": "pmi2"}, False),
        (MPICH_PMIX, {"SLURM_MPI_TYPE": "pmix"}, False),
        (INTEL, {"SLURM_MPI_TYPE": "pmix"}, False),
    ],
)
def test_only_what_is_sure_is_refused_before_mpi_begins(
    library: str, environment: dict[str, str], sure: bool
) -> None:
    assert misunderstood(library, environment) == sure


def test_a_srun_that_says_nothing_speaks_no_flavour() -> None:
    assert given({}) == "none"
    assert given({"SLURM_MPI_TYPE": "pmi2"}) == "pmi2"


def test_advice_is_what_the_library_was_built_for_and_srun_offers() -> None:
    assert advice(MPICH, []) == "start it by srun --mpi=pmi2, or by the mpiexec of MPICH 5.0.2"
    assert advice(MPICH, ["none", "pmi2"]) == advice(MPICH, [])
    assert advice(OPEN_MPI, ["none", "pmi2"]) == (
        "start it by the mpiexec of Open MPI 5.0.11, for srun has no --mpi=pmix here, only "
        "none, pmi2"
    )
    assert advice("?", []).startswith("start it by the mpiexec of the MPI library, or by srun with")


@pytest.mark.parametrize(
    "said",
    [
        "MPI plugin types are...\n\tpmix\n\tnone\n\tpmi2\nspecific pmix plugin versions available",
        "srun: MPI types are...\nsrun: none\nsrun: pmi2\nsrun: pmix\n",
    ],
)
def test_what_srun_offers_is_read(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    srun = tmp_path / "srun"
    srun.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}\nEND\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert offered() == ["none", "pmi2", "pmix"]


def test_without_srun_nothing_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert offered() == []
