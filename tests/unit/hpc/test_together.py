"""Ranks that were started together do the same, fail together, or one ends them all."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from biosim.contracts import Ranks
from biosim.errors import BiosimError, DataError, DivergedError, OutputError
from biosim.ranks import OneRank, PretendRanks, RankFailedError, StoppedError
from hpc import together
from hpc.cli import main
from hpc.run import run
from hpc.stopping import Heeding
from hpc.together import (
    by_first,
    check_alone,
    end_all,
    failing_together,
    first,
    run_together,
    take_part,
    to_be_launched,
)
from hpc.world import LAUNCHERS, RANKS
from scenarios.reading import read_tree, resolve_any
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
        for names in (*LAUNCHERS, RANKS, ("SLURM_STEP_ID",)):
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
    monkeypatch.setattr(together, "mpi", lambda: pytest.fail("MPI is not needed"))
    for environment in ({}, BATCH, {"OMPI_COMM_WORLD_SIZE": "1"}):
        started(environment)
        assert isinstance(take_part(), OneRank)
        assert first()


def test_processes_that_do_not_see_each_other_are_refused(
    started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = SimpleNamespace(COMM_WORLD=SimpleNamespace(Get_size=lambda: 1))
    monkeypatch.setattr(together, "mpi", lambda: world)
    for environment, message in ((OPEN_MPI, "promises 3 ranks and the MPI"), (SRUN, "promises 2")):
        started(environment)
        with pytest.raises(BiosimError, match=message):
            run_together(1, 1.0, lambda ranks: None)


def test_ranks_are_made_once(started: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    comm = SimpleNamespace(Get_size=lambda: 3)
    made: list[Any] = []

    def make(given: Any) -> Any:
        made.append(given)
        return SimpleNamespace(rank=1, size=3)

    monkeypatch.setattr(together, "mpi", lambda: SimpleNamespace(COMM_WORLD=comm))
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


# Processes, with a stand-in for what MPI carries between them.


class Process:
    """A rank under MPI, as far as failing goes."""

    def __init__(self, rank: int, size: int, said: str | None) -> None:
        self.rank, self.size, self._said = rank, size, said
        self.heard: list[tuple[bool, str]] = []
        self.limit_s, self.device = 0.0, ""
        self.connect = self.collect = self.sum = self.trade = None

    def agree(self, flag: bool) -> bool:
        return flag

    def fail_together(self, first: bool, message: str) -> str | None:
        self.heard.append((first, message))
        return self._said

    def end_all(self, code: int) -> None:
        raise SystemExit(code)


@pytest.fixture
def under_mpi(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Process]:
    """Return a function: this process is a rank, and all together say so if they fail."""
    monkeypatch.setattr(together.time, "sleep", lambda seconds: None)

    def put(said: str | None, rank: int = 1) -> Process:
        ranks = Process(rank, 3, said)
        monkeypatch.setattr(together, "_mpi_ranks", lambda: ranks)
        return ranks

    return put


def failing(failure: Exception) -> Callable[[Ranks], None]:
    def program(ranks: Ranks) -> None:
        raise failure

    return program


def test_settings_reach_the_ranks_under_mpi(under_mpi: Callable[..., Process]) -> None:
    ranks = under_mpi(None)
    assert run_together(1, 7.0, lambda ranks: ranks.rank, "cuda:1") == 1
    assert (ranks.limit_s, ranks.device) == (7.0, "cuda:1")


def test_ranks_are_not_pretended_under_mpi(under_mpi: Callable[..., Process]) -> None:
    under_mpi(None)
    with pytest.raises(BiosimError, match=r"got run.pretend_ranks=2 on 3 ranks under MPI; exp"):
        run_together(2, 1.0, lambda ranks: None)


FAILURES = (
    (BiosimError("a"), True, "0 a"),
    (OutputError("a"), True, "0 a"),
    (DivergedError("a"), True, "1 a"),
    (StoppedError("a"), False, "2 a"),
    (RankFailedError("a"), False, "3 a"),
    (ValueError("a"), True, "-1 ValueError: a"),
)


@pytest.mark.parametrize(("failure", "own", "message"), FAILURES, ids=lambda each: str(each))
def test_a_rank_that_fails_tells_the_others_what_and_whether_it_was_the_first(
    under_mpi: Callable[..., Process], failure: Exception, own: bool, message: str
) -> None:
    ranks = under_mpi("0 all alike")
    with pytest.raises(BiosimError, match="all alike"):
        run_together(1, 1.0, failing(failure))
    assert ranks.heard == [(own, message)]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("0 the disk is full", BiosimError),
        ("1 v is inf in tick 3", DivergedError),
        ("2 stopped at tick 5", StoppedError),
        ("3 rank 0 waited", RankFailedError),
        ("-1 ValueError: a defect", RankFailedError),
    ],
)
def test_all_ranks_raise_what_the_first_says(
    under_mpi: Callable[..., Process], said: str, expected: type[BiosimError]
) -> None:
    under_mpi(said)
    with pytest.raises(expected, match=said.partition(" ")[2]) as failed:
        run_together(1, 1.0, failing(RankFailedError("because of another")))
    assert type(failed.value) is expected
    assert failed.value.__suppress_context__


def test_a_defect_keeps_its_traceback_on_the_rank_that_has_it(
    under_mpi: Callable[..., Process],
) -> None:
    under_mpi("-1 ValueError: a defect")
    own = ValueError("a defect")
    with pytest.raises(ValueError, match="a defect") as failed:
        run_together(1, 1.0, failing(own))
    assert failed.value is own


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (DataError("the file is gone"), 2, "biosim: rank 1 of 3: the file is gone\n"),
        (ValueError("a defect"), 1, "biosim: rank 1 of 3: ValueError: a defect\n"),
    ],
)
def test_a_rank_that_fails_alone_says_so_and_ends_all(
    under_mpi: Callable[..., Process],
    capsys: pytest.CaptureFixture[str],
    failure: Exception,
    code: int,
    said: str,
) -> None:
    under_mpi(None)
    with pytest.raises(SystemExit) as ended:
        run_together(1, 1.0, failing(failure))
    assert ended.value.code == code
    err = capsys.readouterr().err
    assert err.endswith(said)
    assert ("Traceback" in err) == (code == 1)


def test_the_last_words_are_written_before_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    class Silent(Process):
        def end_all(self, code: int) -> None:
            assert capsys.readouterr().err == "biosim: rank 2 of 3: over\n"
            raise SystemExit(code)

    with pytest.raises(SystemExit) as ended:
        end_all(Silent(2, 3, None), "over", 5)  # type: ignore[arg-type]
    assert ended.value.code == 5


def test_alone_a_failure_is_what_it_is() -> None:
    own = DataError("the file is gone")
    with pytest.raises(DataError) as failed, failing_together():
        raise own
    assert failed.value is own


@pytest.mark.parametrize("name", ["digits", "digits_spiking", "brunel"])
def test_a_rank_that_cannot_prepare_its_run_says_why_and_ends_all(
    under_mpi: Callable[..., Process],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
) -> None:
    def refuse(*given: Any) -> None:
        raise DataError("the file is not on this node")

    settings = resolve_any(read_tree(name))
    if name == "brunel":
        monkeypatch.setattr("hpc.run_spiking.check", refuse)
    else:
        monkeypatch.setattr(type(settings.data), "load", refuse)
    under_mpi(None)
    with pytest.raises(SystemExit) as ended:
        run(settings, tmp_path / "out")
    assert ended.value.code == 2
    said = "biosim: rank 1 of 3: the file is not on this node\n"
    assert capsys.readouterr().err == said
    assert not (tmp_path / "out").exists()


def test_a_rank_that_cannot_read_the_scenario_says_why_and_ends_all(
    under_mpi: Callable[..., Process],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    under_mpi(None)
    monkeypatch.setattr(sys, "argv", ["biosim", "run", str(tmp_path / "gone.toml")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("biosim: rank 1 of 3: ")


def test_a_task_is_started_once(started: Start, tmp_path: Path) -> None:
    started(OPEN_MPI)
    message = "reward_choice was started 3 times by mpiexec; start it once: a task runs on one rank"
    with pytest.raises(BiosimError, match=message):
        run(RewardChoice(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
