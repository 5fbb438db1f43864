"""The local executor, with jobs that are a line of shell."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from biosim.errors import BiosimError, OutputError
from hpc.jobs import detached as detached_script
from hpc.jobs import local
from hpc.jobs.local_record import JOBS, LOCAL, LocalJob, read_jobs, supervisor
from hpc.jobs.record import Submission, load, save
from hpc.jobs.state import JobState
from hpc.jobs.supervisor import Supervisor
from tests.unit.hpc.jobs.test_record import submission

Shell = Callable[..., None]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    there = tmp_path / "sub"
    there.mkdir()
    return there


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let supervisors be threads: a process of their own takes a while to start."""
    begun: list[tuple[Supervisor, threading.Thread]] = []

    def supervise(out: Path, at_once: int) -> None:
        jobs, ready = Supervisor(out, at_once), threading.Event()
        begun.append((jobs, threading.Thread(target=jobs.run, args=(ready.set,))))
        begun[-1][1].start()
        assert ready.wait(30)

    monkeypatch.setattr(local, "_supervise", supervise)
    monkeypatch.setattr("hpc.jobs.supervisor.LOOKED_EVERY_S", 0.02)
    yield
    for jobs, thread in begun:
        jobs.end()
        thread.join()


@pytest.fixture
def detached(out: Path) -> Iterator[None]:
    """End the supervisor, which is a process, if there is one."""
    yield
    if (process := supervisor(out)) is not None:
        os.kill(process["pid"], signal.SIGTERM)
        until(lambda: supervisor(out) is None)


in_a_thread = pytest.mark.usefixtures("here")
in_a_process = pytest.mark.usefixtures("detached")


@pytest.fixture
def jobs_do(monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Return what lets every job run some shell, where $1 is its index and $2 the directory."""
    made = local._job

    def let(script: str, **more: Any) -> None:
        def shell(out: Path, known: Submission, index: int, *others: str) -> LocalJob:
            job = made(out, known, index, *others)
            return job.now(command=["/bin/sh", "-c", script, "sh", str(index), str(out)], **more)

        monkeypatch.setattr(local, "_job", shell)

    return let


def until(true: Callable[[], object], limit_s: float = 30.0) -> None:
    end_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.02)


def ended(out: Path) -> list[JobState]:
    until(lambda: all(state.over for state in local.states(out).values()))
    return list(local.states(out).values())


@in_a_process
def test_jobs_run_and_say_how_they_ended(out: Path, jobs_do: Shell) -> None:
    jobs_do("echo said $1; echo failed >&2; test $1 = 0 || kill -9 $$")
    save(out, submission(2))
    assert local.submit(out, at_once=1) == ["local-0", "local-1"]
    first, second = ended(out)
    assert (first.state, first.code, first.signal) == ("COMPLETED", 0, 0)
    assert (second.state, second.code, second.signal) == ("FAILED", None, 9)
    assert first.begin < first.end <= second.begin < second.end
    assert (out / "logs/local-1.out").read_text() == "said 1\n"
    assert (out / "logs/local-1.err").read_text() == "failed\n"
    assert [entry.jobs for entry in load(out).entries] == [("local-0",), ("local-1",)]
    until(lambda: json.loads((out / LOCAL).read_text())["supervisor"] is None)


def spans(out: Path) -> list[tuple[float, float]]:
    found = []
    for path in sorted(out.glob("span-*")):
        begin, end = map(float, path.read_text().split())
        found.append((begin, end))
    return found


def most_at_once(spans: list[tuple[float, float]]) -> int:
    return max(sum(b <= begin < e for b, e in spans) for begin, _ in spans)


@in_a_thread
@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_no_more_run_at_once_than_are_allowed(at_once: int, out: Path, jobs_do: Shell) -> None:
    now = "date +%s.%N >> $2/span-$1"
    jobs_do(f"{now}; sleep 0.5; {now}")
    save(out, submission(5))
    local.submit(out, at_once)
    ended(out)
    assert len(spans(out)) == 5
    assert most_at_once(spans(out)) == at_once  # no fewer, either


def test_by_default_there_is_a_core_for_every_thread_of_every_rank(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(12)))
    assert local._fitting(submission()) == 12
    assert local._fitting(submission(resources={"ranks": 2, "threads": 3})) == 2
    assert local._fitting(submission(resources={"ranks": 64})) == 1


@in_a_thread
def test_a_job_that_was_warned_goes_on_until_it_is_done(out: Path, jobs_do: Shell) -> None:
    jobs_do("echo go >> $2/goes; test $(wc -l < $2/goes) = 3 || exit 75")
    save(out, submission(1))
    local.submit(out)
    [state] = ended(out)
    assert (state.state, state.restarts) == ("COMPLETED", 2)
    assert (out / "goes").read_text().split() == ["go"] * 3


@in_a_thread
def test_a_job_that_was_warned_ends_where_it_is_not_to_be_put_back(
    out: Path, jobs_do: Shell
) -> None:
    jobs_do("echo go >> $2/goes; exit 75")
    save(out, submission(1, resources={"requeue": False}))
    local.submit(out)
    [state] = ended(out)
    assert (state.state, state.code, state.restarts) == ("FAILED", 75, 0)
    assert (out / "goes").read_text().split() == ["go"]


@in_a_thread
def test_the_time_limit_warns_then_asks_then_kills(out: Path, jobs_do: Shell) -> None:
    note = "trap 'echo {0} $BIOSIM_WARNING_S $BIOSIM_GRACE_S >> $2/got' {0};"
    jobs_do(
        note.format("USR1") + note.format("TERM") + "while true; do sleep 0.05; done",
        time_s=1.2, warning_s=0.7, grace_s=0.5,
    )  # fmt: skip
    save(out, submission(1))
    local.submit(out)
    [state] = ended(out)
    assert (state.state, state.signal) == ("TIMEOUT", 9)
    assert (out / "got").read_text().splitlines() == ["USR1 0.7 0.5", "TERM 0.7 0.5"]
    took = [
        time.mktime(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S")) for at in (state.begin, state.end)
    ]
    assert 1 <= took[1] - took[0] <= 5


@in_a_thread
def test_a_warning_that_comes_before_the_job_can_heed_it_costs_nothing(
    out: Path, jobs_do: Shell
) -> None:
    jobs_do("test -e $2/once && exit 0; touch $2/once; sleep 60", time_s=30, warning_s=29.5)
    save(out, submission(1))
    local.submit(out)
    [state] = ended(out)
    assert (state.state, state.restarts) == ("COMPLETED", 1)


@in_a_thread
def test_a_limit_that_is_too_short_to_begin_in_ends_the_job(out: Path, jobs_do: Shell) -> None:
    jobs_do("echo go >> $2/goes; sleep 60", time_s=1.0, warning_s=0.9)
    save(out, submission(1))
    local.submit(out)
    [state] = ended(out)
    assert (state.state, state.restarts) == ("TIMEOUT", 1)
    assert state.reason == "limit of 1 s, too short to begin in"
    assert (out / "goes").read_text().split() == ["go"] * 2


@in_a_thread
def test_a_cancelled_job_ends_and_does_not_rise_again(out: Path, jobs_do: Shell) -> None:
    jobs_do("trap 'exit 143' TERM; touch $2/began-$1; while true; do sleep 0.05; done")
    save(out, submission(3))
    local.submit(out, at_once=1)
    until((out / "began-0").exists)
    local.cancel(out, ["local-0", "local-2"])
    until((out / "began-1").exists)
    found = local.states(out)
    assert [found[f"local-{i}"].state for i in range(3)] == ["CANCELLED", "RUNNING", "CANCELLED"]
    assert found["local-0"].code == 143
    local.cancel(out, ["local-1"])
    ended(out)
    assert not (out / "began-2").exists()
    assert not list((out / JOBS).glob("*.cancel"))


@in_a_thread
def test_a_job_that_heeds_nothing_is_killed_after_the_grace(out: Path, jobs_do: Shell) -> None:
    jobs_do("trap '' TERM; touch $2/began; while true; do sleep 0.05; done", grace_s=0.3)
    save(out, submission(1))
    local.submit(out)
    until((out / "began").exists)
    local.cancel(out, ["local-0"])
    [state] = ended(out)
    assert (state.state, state.signal) == ("CANCELLED", 9)


@in_a_thread
def test_a_job_that_answers_a_cancel_by_75_is_cancelled_all_the_same(
    out: Path, jobs_do: Shell
) -> None:
    jobs_do("trap 'exit 75' TERM; touch $2/began; while true; do sleep 0.05; done")
    save(out, submission(1))
    local.submit(out)
    until((out / "began").exists)
    local.cancel(out, ["local-0"])
    [state] = ended(out)
    assert (state.state, state.restarts) == ("CANCELLED", 0)


def kill_supervisor(out: Path) -> None:
    """Kill it once its first job is known to run, and has said its number."""
    until(lambda: (out / "pid").exists() and (out / "pid").read_text())
    until(lambda: local.states(out)["local-0"].state == "RUNNING")
    process = supervisor(out)
    assert process is not None
    os.kill(process["pid"], signal.SIGKILL)
    until(lambda: supervisor(out) is None)


@in_a_process
def test_jobs_of_a_killed_supervisor_are_gone_and_not_running(out: Path, jobs_do: Shell) -> None:
    jobs_do("echo $$ > $2/pid; exec sleep 60")
    save(out, submission(2))
    local.submit(out, at_once=1)
    kill_supervisor(out)
    running, waiting = local.states(out).values()
    assert (running.state, waiting.state) == ("RUNNING", "GONE")  # a shell heeds no supervisor
    assert "before it began" in waiting.reason
    os.kill(int((out / "pid").read_text()), signal.SIGKILL)
    until(lambda: local.states(out)["local-0"].state == "GONE")
    (out / "pid").unlink()
    jobs_do("true")
    assert local.submit(out, indices=[1]) == ["local-2"]
    assert [state.state for state in ended(out)] == ["GONE", "GONE", "COMPLETED"]
    assert not (out / "pid").exists()  # nothing of before has begun again


@in_a_process
def test_jobs_of_a_killed_supervisor_can_be_cancelled(out: Path, jobs_do: Shell) -> None:
    jobs_do("echo $$ > $2/pid; exec sleep 60")
    save(out, submission(2))
    local.submit(out, at_once=1)
    kill_supervisor(out)
    local.cancel(out, ["local-0", "local-1"])
    assert [state.state for state in local.states(out).values()] == ["CANCELLED"] * 2
    until(lambda: not Path(f"/proc/{(out / 'pid').read_text().strip()}/exe").exists())


@in_a_process
def test_a_supervisor_that_is_asked_to_end_ends_its_jobs(out: Path, jobs_do: Shell) -> None:
    jobs_do("touch $2/began; sleep 60")
    save(out, submission(2))
    local.submit(out, at_once=1)
    until((out / "began").exists)
    process = supervisor(out)
    assert process is not None
    os.kill(process["pid"], signal.SIGTERM)
    states = ended(out)
    assert [state.state for state in states] == ["CANCELLED"] * 2
    assert "was asked to end" in states[0].reason


@in_a_thread
def test_jobs_that_are_added_meanwhile_run_too(out: Path, jobs_do: Shell) -> None:
    jobs_do("touch $2/began-$1; while ! test -e $2/go; do sleep 0.05; done")
    save(out, submission(2))
    local.submit(out, at_once=2, indices=[0])
    until((out / "began-0").exists)
    before = supervisor(out)
    local.submit(out, indices=[1])
    until((out / "began-1").exists)
    assert supervisor(out) == before
    (out / "go").touch()
    assert {state.state for state in ended(out)} == {"COMPLETED"}


@in_a_thread
def test_many_short_jobs_are_all_run_when_they_come_as_the_last_one_ends(
    out: Path, jobs_do: Shell
) -> None:
    jobs_do("true")
    save(out, submission(8))
    for index in range(8):
        local.submit(out, indices=[index])
        time.sleep(0.03 * index)
    assert [state.state for state in ended(out)] == ["COMPLETED"] * 8


@in_a_thread
def test_a_command_that_is_not_there_fails_with_a_line(out: Path, jobs_do: Shell) -> None:
    jobs_do("true", directory="/nowhere")
    save(out, submission(1))
    local.submit(out)
    [state] = ended(out)
    assert (state.state, state.code) == ("FAILED", 2)
    assert re.search("cannot be started.*nowhere", (out / "logs/local-0.err").read_text())


@in_a_thread
def test_a_damaged_file_of_a_job_hides_no_other(out: Path, jobs_do: Shell) -> None:
    jobs_do("true")
    save(out, submission(2))
    local.submit(out)
    ended(out)
    (out / JOBS / "local-0.json").write_text("{")
    assert [job.job for job in read_jobs(out)] == ["local-1"]


def test_what_cannot_be_submitted_is_refused(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="holds no submission"):
        local.submit(out)
    save(out, submission(1))
    with pytest.raises(BiosimError, match="got 0 jobs at once; expected at least 1"):
        local.submit(out, at_once=0)
    with pytest.raises(OutputError, match="has no entry 7"):
        local.submit(out, indices=[7])
    assert not local.states(out)
    (out / JOBS).rmdir()
    (out / JOBS).touch()
    with pytest.raises(OutputError, match="cannot be written"):
        local.submit(out)


@in_a_process
def test_a_supervisor_that_cannot_start_is_said(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(out, submission(1))
    (out / LOCAL).mkdir()
    with pytest.raises(OutputError, match=r"the jobs cannot be started .*IsADirectoryError"):
        local.submit(out)


def test_what_supervises_loads_nothing_that_simulates() -> None:
    script = Path(detached_script.__file__)
    asked = (
        f"import os, runpy, sys; os.fork = lambda: 0; sys.argv[1:] = ['/nowhere', '1']\n"
        f"try: runpy.run_path({str(script)!r}, run_name='__main__')\n"
        "except FileNotFoundError: print([m for m in ('torch', 'zarr') if m in sys.modules])"
    )
    known = os.environ | {"PYTHONPATH": str(script.parents[2])}
    done = subprocess.run(
        [sys.executable, "-P", "-c", asked], capture_output=True, text=True, env=known
    )
    assert done.stdout == "[]\n", done.stderr
