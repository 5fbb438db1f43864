"""Processes under MPI that fail: together they raise the same, and one alone ends all."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biosim.contracts import Ranks
from biosim.errors import BiosimError, DataError, DivergedError, OutputError
from biosim.ranks import RankFailedError, StoppedError
from hpc import together
from hpc.cli import main
from hpc.run import run
from hpc.together import end_all, failing_together, run_together
from scenarios.reading import read_tree, resolve_any


class Process:
    """A stand-in for a rank under MPI, as far as failing goes."""

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
    (ValueError("a"), True, "-1 rank 1 of 3: ValueError: a"),
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
        ("-1 rank 2 of 3: ValueError: a defect", RankFailedError),
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
