"""What is read of the files that jobs write."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpc.jobs import logs
from hpc.jobs.logs import complaint, followed, last_lines, log_path


def test_the_last_lines_are_those_that_a_terminal_would_show(tmp_path: Path) -> None:
    path = tmp_path / "7.err"
    path.write_text("one\n10 %\r20 %\r30 %\ntwo\n\n")
    assert last_lines(path, 2) == ["30 %", "two"]
    assert last_lines(path, 9) == ["one", "30 %", "two"]


def test_a_file_that_is_not_there_or_empty_has_no_lines(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "7.err", 9) == []
    (tmp_path / "7.err").touch()
    assert last_lines(tmp_path / "7.err", 9) == []


def test_of_a_long_file_only_the_end_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "7.err"
    path.write_bytes(b"\xff" + b"".join(b"line %d\n" % i for i in range(20_000)))
    found = last_lines(path, 3)
    assert found == ["line 19997", "line 19998", "line 19999"]
    monkeypatch.setattr(logs, "TAIL_BYTES", 10)
    assert last_lines(path, 1) == ["line 19999"]
    assert 0 < len(last_lines(path, 40)) <= 40


def test_what_is_added_follows_until_the_job_is_over(tmp_path: Path) -> None:
    path = log_path(tmp_path, "7", "err")
    path.parent.mkdir()
    path.write_text("first\nsecond\n")
    answers = iter([False, False, True])

    def over() -> bool:
        answer = next(answers)
        with path.open("a") as file:
            file.write("last\n" if answer else "more\n")
        return answer

    said = list(followed(path, 1, over, every_s=0.0))
    assert "".join(said) == "second\nmore\nmore\nlast\n"


def test_a_file_that_comes_later_is_followed_too(tmp_path: Path) -> None:
    path = tmp_path / "7.err"
    answers = iter([False, True])

    def over() -> bool:
        answer = next(answers)
        if answer:
            path.write_text("here\n")
        return answer

    assert list(followed(path, 5, over, every_s=0.0)) == ["here\n"]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["biosim: first", "biosim: last", "srun: error: n1: task 0: Exited"], "last"),
        (["KeyError: 'a'", "During handling", "mpi4py.MPI.Exception: gone", ""], "mpi4py.MPI.Exce"),
        (["  File x", "AssertionError"], "AssertionError"),
        (["torch.cuda.OutOfMemoryError: CUDA"], "torch.cuda.OutOfMemoryError: CUDA"),
        (["all is well", "no Error here"], ""),
        ([], ""),
    ],
)
def test_the_line_that_complains_is_found(lines: list[str], found: str) -> None:
    assert complaint(lines).startswith(found)
    assert bool(complaint(lines)) == bool(found)
