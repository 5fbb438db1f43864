"""The command of a job, and what a shell has to do around it: the same for every scheduler."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import hpc
from hpc.checkpointing import GRACE_S, WARNING_S
from hpc.flavour import flavour, name
from hpc.submission.amounts import seconds
from hpc.submission.description import Description
from hpc.submission.work import LINK

HOME = Path(str(hpc.__file__)).parents[1]
"""Where the packages lie; a checkout need not be installed."""

BEGIN = (
    "from signal import *; pthread_sigmask(SIG_BLOCK, [SIGUSR1, SIGUSR2]); "
    "from hpc.submission.work import main; main()"
)
"""A program of Python: a warning that comes in the seconds in which biosim is imported waits."""


def program(job: Description, out: Path, index: str) -> str:
    """Return the command of one process, for a shell.

    Args:
        job: its container and its Python.
        out: directory of the submission.
        index: of the entry, or an expression of the shell for it.
    """
    python = job.python or ("python3" if job.container else sys.executable)
    words = [python, "-u", "-P", "-c", BEGIN, str(out)]
    if job.container:
        gpus = ["--nv"] if job.gpus_per_node else []
        bind = ["--bind", f"{out}:{out}"]
        words = [
            *("apptainer", "exec", *gpus, *bind, *job.container_options, job.container),
            *words,
        ]
    return f"{shlex.join(words)} {index}"


def mpiexec(job: Description) -> str:
    """Return the words in front of the program where not Slurm starts the ranks."""
    if job.by_srun:
        return f"mpiexec -n {job.ranks}"
    starter, *options = job.launcher
    beside = Path(sys.executable).parent / starter
    if beside.exists() and not (job.modules or job.container):
        starter = str(beside)  # the one of the MPI library that this Python has
    return shlex.join([starter, "-n", str(job.ranks), *options])


def preparation(job: Description, link: int = 0) -> list[str]:
    """Return the lines of shell before the command.

    Args:
        job: with modules and set-up.
        link: place of the job in its chain, from 0.
    """
    lines = []
    if job.modules:  # a script's shell need not know the command
        lines.append("command -v module >/dev/null || . /etc/profile")
        lines.append(f"module load {' '.join(job.modules)} || exit 2")
    lines += job.setup
    lines += [f"export {WARNING_S}={seconds(job.lead)}", f"export {GRACE_S}={seconds(job.grace)}"]
    if link:
        lines.append(f"export {LINK}={link}")
    if not job.container:
        lines.append(f'export PYTHONPATH={shlex.quote(str(HOME))}"${{PYTHONPATH:+:$PYTHONPATH}}"')
    if not job.by_srun and hasattr(os, "geteuid") and os.geteuid() == 0:
        # In a container everyone is root, which Open MPI wants to be told twice.
        lines.append("export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
    return lines


def found_flavour(job: Description) -> tuple[str, str]:
    """Return how srun has to start ranks of the MPI library that is here, and which that is.

    Why in another process: asking loads the library, and some do not like to be loaded on a
    machine where they are not to run.
    """
    asked = (
        "import mpi4py; mpi4py.rc.initialize = False\n"
        "from mpi4py import MPI; print(MPI.Get_library_version())"
    )
    own = "srun", "the cluster's own default"
    if job.ranks == 1 or job.container:
        return own
    try:
        done = subprocess.run(
            [sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60
        )
    except subprocess.SubprocessError:
        return own
    if (wanted := flavour(done.stdout)) is None:
        return own
    return f"srun --mpi={wanted}", name(done.stdout)
