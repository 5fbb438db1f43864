"""Ranks that were started together do the same, fail together, or one ends them all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from biosim.contracts import Ranks
from biosim.errors import BiosimError, DataError, DivergedError, OutputError
from biosim.ranks import OneRank, PretendRanks, RankFailedError
from hpc import together
from hpc.run import run
from hpc.stopping import Heeding
from hpc.together import (
    by_first,
    check_alone,
    first,
    run_together,
    take_part,
    to_be_launched,
)
from hpc.world import LAUNCHED, LAUNCHERS, RANKS
from scenarios.tasks.schema import RewardChoice

OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "1"}
SRUN = {"SLURM_NTASKS": "2", "SLURM_PROCID": "1", "SLURM_STEP_ID": "0"}
BATCH = {"SLURM_NTASKS": "2"}

MADE = together._mpi_ranks
"""Keeps what it has made, which must not outlive a test."""

Start = Callable[[dict[str, str]], None]


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Return a function that pretends to be a launcher; without it there is none."""

    def start(environment: dict[str, str]) -> None:
        MADE.cache_clear()
        for names in (*LAUNCHERS, RANKS, ("SLURM_STEP_ID", LAUNCHED)):
            for name in names:
                monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    start({})
    yield start
    MADE.cache_clear()


# What the launcher promises, and what is asked for.


@pytest.mark.parametrize(
    ("environment", "asked", "expected"),
    [
        ({}, None, False),
        ({}, 1, False),
        ({}, 2, True),
        (OPEN_MPI, None, False),
        (OPEN_MPI, 3, False),
        (SRUN, 2, False),
        (BATCH, 1, False),
        (BATCH, 4, True),
        ({"SLURM_NTASKS": "1"}, None, False),
        # A shell on a node, which srun has started.
        (SRUN | {"SLURM_NTASKS": "1"}, 4, True),
        (SRUN | {"SLURM_NTASKS": "1"}, 1, False),
    ],
)
def test_ranks_are_launched_that_are_not_there(
    started: Start, environment: dict[str, str], asked: int | None, expected: bool
) -> None:
    started(environment)
    assert to_be_launched(asked) == expected


@pytest.mark.parametrize(
    ("environment", "asked", "message"),
    [
        (OPEN_MPI, 2, "got --ranks 2 where mpiexec has started 3; leave --ranks out"),
        (OPEN_MPI, 1, "got --ranks 1 where mpiexec has started 3"),
        (SRUN, 3, "got --ranks 3 where srun has started 2"),
        ({LAUNCHED: "2"}, 2, "mpiexec has started this process and does not say of how many; st"),
        (BATCH | {LAUNCHED: "2"}, 2, "mpiexec has started this process and does not say of how"),
        (BATCH, None, "SLURM_NTASKS promises 2 ranks and this process was started alone; .* srun"),
    ],
)
def test_other_ranks_than_there_are_are_refused(
    started: Start, environment: dict[str, str], asked: int | None, message: str
) -> None:
    started(environment)
    with pytest.raises(BiosimError, match=message):
        to_be_launched(asked)


def test_what_starts_runs_itself_is_started_once(started: Start) -> None:
    for environment in ({}, BATCH, {"OMPI_COMM_WORLD_SIZE": "1"}):
        started(environment)
        check_alone("compare", "it starts its runs itself")
    started(OPEN_MPI)
    with pytest.raises(
        BiosimError, match="compare was started 3 times by mpiexec; start it once: it st"
    ):
        check_alone("compare", "it starts its runs itself")


def test_a_process_of_its_own_speaks_and_needs_no_mpi(
    started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "mpi", lambda check: pytest.fail("MPI is not needed"))
    for environment in ({}, BATCH, {"OMPI_COMM_WORLD_SIZE": "1"}):
        started(environment)
        assert isinstance(take_part(), OneRank)
        assert first()


def test_processes_that_do_not_see_each_other_are_refused(
    started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = SimpleNamespace(
        COMM_WORLD=SimpleNamespace(Get_size=lambda: 1), Get_library_version=lambda: "MPICH 5.0"
    )
    monkeypatch.setattr(together, "mpi", lambda check: world)
    for environment, message in ((OPEN_MPI, "3 ranks and MPICH 5.0 sees 1"), (SRUN, "--mpi=pmi2")):
        started(environment)
        with pytest.raises(BiosimError, match=message):
            run_together(1, 1.0, lambda ranks: None)


def test_ranks_are_made_once(started: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    comm = SimpleNamespace(Get_size=lambda: 3)
    made: list[Any] = []

    def make(given: Any) -> Any:
        made.append(given)
        return SimpleNamespace(rank=1, size=3)

    world = SimpleNamespace(COMM_WORLD=comm, Get_library_version=lambda: "MPICH 5.0")
    monkeypatch.setattr(together, "mpi", lambda check: world)
    monkeypatch.setattr(together, "MpiRanks", make)
    started(OPEN_MPI)
    assert take_part() is take_part()
    assert not first()
    assert made == [comm]


# Rank 0 does something for all.


@pytest.mark.parametrize("size", [1, 3])
def test_what_the_first_does_is_done_once(size: int) -> None:
    done: list[str] = []
    PretendRanks(size).run(lambda ranks: by_first(ranks, lambda: done.append("made")))
    assert done == ["made"]


def test_if_the_first_cannot_no_rank_goes_on() -> None:
    def refuse() -> None:
        raise OutputError("the disk is full")

    def program(ranks: Ranks) -> str:
        try:
            by_first(ranks, refuse)
        except BiosimError as failure:
            return f"{type(failure).__name__}: {failure}"
        return "went on"

    assert PretendRanks(3).run(program) == [
        "OutputError: the disk is full",
        *["RankFailedError: rank 0 cannot go on; its message says why"] * 2,
    ]
    with pytest.raises(OutputError, match="the disk is full"):
        by_first(OneRank(), refuse)


# Pretended ranks.


def test_a_run_has_the_ranks_that_were_asked_for() -> None:
    seen: list[tuple[int, int]] = []

    def program(ranks: Ranks) -> int:
        assert isinstance(ranks, Heeding)  # a signal is heeded on each of them
        seen.append((ranks.rank, ranks.size))
        return ranks.rank + 10

    assert run_together(1, 1.0, program) == 10
    assert run_together(3, 1.0, program) == 10
    assert sorted(seen) == [(0, 1), (0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("bad", [0, 1, 2])
@pytest.mark.parametrize("kind", [ValueError, DataError, DivergedError])
def test_the_failure_of_one_pretended_rank_is_the_one_that_is_raised(
    bad: int, kind: type[Exception]
) -> None:
    def program(ranks: Ranks) -> None:
        if ranks.rank == bad:
            raise kind("no such synapse")
        ranks.agree(False)

    with pytest.raises(kind, match="no such synapse") as failed:
        run_together(3, 60.0, program)
    assert failed.value.__notes__ == [f"on rank {bad} of 3"]


def test_a_pretended_rank_that_does_not_come_is_named() -> None:
    done = threading.Event()

    def program(ranks: Ranks) -> None:
        if ranks.rank != 1:
            try:
                ranks.agree(False)
            finally:
                done.set()
        done.wait(10)

    with pytest.raises(RankFailedError, match=r"waited for rank 1, which .* within 0.05 s"):
        run_together(2, 0.05, program)


def test_a_task_is_started_once(started: Start, tmp_path: Path) -> None:
    started(OPEN_MPI)
    message = "reward_choice was started 3 times by mpiexec; start it once: a task runs on one rank"
    with pytest.raises(BiosimError, match=message):
        run(RewardChoice(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
