"""Which rank ended first, as the process knows that started them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc import launch as launching
from hpc import ranked
from hpc.ranked import ROLL_CALL, answer
from hpc.roll_call import RollCall


def until(happened: Callable[[], bool]) -> None:
    """Wait for what the listening thread does."""
    limit = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_the_first_that_ends_is_told_from_those_that_the_launcher_ends_then() -> None:
    with RollCall(3) as call:
        lines = [answer({ROLL_CALL: str(call.path), "PMI_RANK": str(n)}) for n in range(3)]
        until(lambda: len(call.came) == 3)
        assert call.first_gone() is None
        for rank in (1, 0, 2):
            lines[rank].close()  # type: ignore[union-attr]
            until(lambda: bool(call._went))
    assert call.first_gone() == 1
    assert call._went[1:] != []  # it does not only know one


def test_one_that_ended_at_the_very_end_is_seen() -> None:
    with RollCall(2) as call:
        line = answer({ROLL_CALL: str(call.path), "PMI_RANK": "1"})
        until(lambda: call.came == [1])
        assert line is not None
        line.close()
    assert call.first_gone() == 1


def test_the_only_one_that_never_came_is_told() -> None:
    with RollCall(3) as call:
        lines = [answer({ROLL_CALL: str(call.path), "PMI_RANK": str(n)}) for n in (0, 2)]
        until(lambda: len(call.came) == 2)
        assert call.first_gone() == 1
        for line in lines:
            assert line is not None
            line.close()
    with RollCall(2) as call:
        pass
    assert call.first_gone() is None  # none came: these are no ranks of ours


def test_a_process_that_nobody_awaits_goes_on(tmp_path: Path) -> None:
    assert answer({}) is None
    assert answer({"PMI_RANK": "0"}) is None
    assert answer({"PMI_RANK": "0", ROLL_CALL: str(tmp_path / "gone")}) is None


def test_a_path_that_is_too_long_for_a_socket_does_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("a" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with RollCall(2) as call:
        assert call.path is None
    assert call.first_gone() is None
    assert list(long.iterdir()) == []


def test_a_killed_process_is_named_where_the_launcher_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    mpiexec = tmp_path / "mpiexec"
    # Two processes that answer; the second is killed, and the first follows.
    mpiexec.write_text(
        f"""#!{sys.executable}
import os, subprocess, sys
if "--version" in sys.argv:
    sys.exit(0)
code = "from hpc.ranked import answer; kept = answer(); print(flush=True); input()"
ranks = [
    subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE, env=os.environ | {{"PMI_RANK": str(n)}})
    for n in range(2)
]
for rank in ranks:
    rank.stdout.readline()
for rank in reversed(ranks):
    rank.kill()
    rank.wait()
sys.exit(137)
"""
    )
    mpiexec.chmod(0o755)
    monkeypatch.setattr(launching, "found_mpiexec", lambda: str(mpiexec))
    assert launching.launch(["run"], 2) == 137
    said = capfd.readouterr().err
    assert said.startswith("biosim: rank 1 of 2 was killed by signal 9 (SIGKILL), which ended")


def test_the_script_is_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-P", ranked.__file__, "run", "no-such-scenario"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("biosim: ")
