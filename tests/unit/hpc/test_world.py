"""What the launcher promises is compared with what there is."""

import pytest

from biosim.errors import BiosimError
from hpc.world import (
    Promise,
    allotted,
    check_size,
    check_understood,
    device_here,
    promised,
    speaks,
)
from scenarios.reading import read_tree, resolve_any

OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"}
SRUN = {"SLURM_NTASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_STEP_ID": "0"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"OMPI_COMM_WORLD_SIZE": "many"}, None),
        (
            OPEN_MPI | {"OMPI_COMM_WORLD_LOCAL_RANK": "1"},
            Promise(4, "OMPI_COMM_WORLD_SIZE", "mpiexec", 1),
        ),
        ({"PMI_SIZE": "3"}, Promise(3, "PMI_SIZE", "mpiexec", 0)),
        (SRUN, Promise(2, "SLURM_NTASKS", "srun", 1)),
        (
            SRUN | {"SLURM_STEP_NUM_TASKS": "4"},
            Promise(4, "SLURM_STEP_NUM_TASKS", "srun", 1),
        ),
        # srun --mpi=pmi2 says what mpiexec does, but which process of its node this is.
        (SRUN | {"PMI_SIZE": "2", "PMI_RANK": "1"}, Promise(2, "SLURM_NTASKS", "srun", 1)),
        (
            SRUN | {"PMI_SIZE": "3", "MPI_LOCALRANKID": "2"},
            Promise(3, "PMI_SIZE", "mpiexec", 2),
        ),
        # In a batch script nothing has been started yet.
        ({"SLURM_NTASKS": "2"}, Promise(2, "SLURM_NTASKS", "srun", 0, started=False)),
        # mpiexec inside an allocation: its own number counts.
        ({**SRUN, **OPEN_MPI}, Promise(4, "OMPI_COMM_WORLD_SIZE", "mpiexec", 0)),
    ],
)
def test_launchers_tell_how_many_they_start(environment, expected) -> None:
    assert promised(environment) == expected


def test_one_process_speaks_for_all() -> None:
    assert speaks({})
    assert speaks({"OMPI_COMM_WORLD_RANK": "0"})
    assert not speaks(OPEN_MPI)
    assert not speaks(SRUN)


LIBRARY = "Open MPI v5.0.11, package: Open MPI"


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        (
            OPEN_MPI,
            "Open MPI 5.0.11 sees 1: .* start it by the mpiexec of Open MPI 5.0.11, or once",
        ),
        (SRUN, "Open MPI 5.0.11 sees 1 under srun --mpi=none: .* start it by srun --mpi=pmix, or "),
    ],
)
def test_ranks_that_do_not_see_each_other_are_refused(
    environment: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    promise = promised(environment)
    assert promise is not None
    check_size(promise.size, promise, LIBRARY)
    with pytest.raises(BiosimError, match=rf"{promise.variable} promises \d ranks and {told}"):
        check_size(1, promise, LIBRARY)


def test_a_library_that_cannot_understand_srun_is_refused_before_mpi_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    promise = promised(SRUN)
    assert promise is not None
    monkeypatch.setenv("SLURM_MPI_TYPE", "pmi2")
    with pytest.raises(BiosimError, match=r"under srun --mpi=pmi2: .* start it by srun --mpi=pmix"):
        check_understood(promise, LIBRARY)
    monkeypatch.setenv("PMIX_RANK", "0")
    check_understood(promise, LIBRARY)


def test_threads_are_those_of_the_allocation_unless_the_scenario_asks() -> None:
    given = {"SLURM_CPUS_PER_TASK": "3"}
    tree = read_tree("brunel")
    for name in ("brunel", "digits", "digits_spiking", "reward_choice"):
        assert allotted(resolve_any(read_tree(name)), given).run.threads == 3
    assert allotted(resolve_any(tree, ["run.threads=2"]), given).run.threads == 2
    assert allotted(resolve_any(tree), {}).run.threads == 1


def test_ranks_of_a_node_take_different_devices() -> None:
    third = Promise(8, "SLURM_NTASKS", "srun", 2)
    assert device_here("cuda", 4, third) == "cuda:2"
    assert device_here("cuda", 2, third) == "cuda:0"
    # Where the launcher shows each rank one device, or the scenario names one, that is it.
    assert device_here("cuda", 1, third) == "cuda"
    assert device_here("cuda:1", 4, third) == "cuda:1"
    assert device_here("cpu", 4, third) == "cpu"
    assert device_here("cuda", 4, None) == "cuda"
