"""Who else was started along with this process, by what the launcher says, and on what it runs.

Why a promise is checked: an MPI library that does not understand the launcher starts every process
as the only one, and all of them compute the same thing and write over each other.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from biosim.errors import BiosimError
from hpc.flavour import advice, given, misunderstood, name, offered
from hpc.ranked import RANKS

Given = TypeVar("Given", bound=BaseModel)

LAUNCHERS = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "mpiexec"),
    ("PMI_SIZE", "MPI_LOCALRANKID", "mpiexec"),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK", "mpiexec"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "srun"),
    ("SLURM_NTASKS", "SLURM_LOCALID", "srun"),
    ("SLURM_NPROCS", "SLURM_LOCALID", "srun"),
)
"""Variables that tell how many processes there are and which one on its node this is."""


LAUNCHED = "BIOSIM_LAUNCHED"
"""Variable that tells a process that `--ranks` has started it."""


@dataclass(frozen=True)
class Promise:
    """What the launcher promised.

    Args:
        size: processes in all.
        variable: that says so.
        launcher: its usual name.
        local: which process of its node this is, from 0.
        started: whether this process is one of them; in a batch script Slurm promises what has
            not been started yet.
    """

    size: int
    variable: str
    launcher: str
    local: int
    started: bool = True


def promised(environment: Mapping[str, str] = os.environ) -> Promise | None:
    """Return what the launcher promised, or None if there was none."""
    for variable, local, launcher in LAUNCHERS:
        size = environment.get(variable, "")
        if variable == "PMI_SIZE" and local not in environment and "SLURM_STEP_ID" in environment:
            continue  # of srun --mpi=pmi2, whose other variables tell more
        if size.isdecimal() and int(size) > 0:
            here = environment.get(local, "0")
            number = int(here) if here.isdecimal() else 0
            started = launcher != "srun" or "SLURM_STEP_ID" in environment
            return Promise(int(size), variable, launcher, number, started)
    return None


def speaks(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process says what all of them would say."""
    return next((environment[name] for name in RANKS if name in environment), "0") == "0"


def check_understood(promise: Promise, library: str) -> None:
    """Check, before MPI begins, that its library can understand the launcher.

    Args:
        promise: what the launcher promised.
        library: what MPI_Get_library_version says.

    Raises:
        BiosimError: it is sure that it cannot.
    """
    if promise.launcher == "srun" and misunderstood(library, os.environ):
        raise _refusal(1, promise, library)


def check_size(found: int, promise: Promise, library: str) -> None:
    """Check that as many ranks see each other as were started.

    Args:
        found: ranks that the MPI library sees.
        promise: what the launcher promised.
        library: what MPI_Get_library_version says.

    Raises:
        BiosimError: they do not: every one would do the whole work by itself.
    """
    if found != promise.size:
        raise _refusal(found, promise, library)


def _refusal(found: int, promise: Promise, library: str) -> BiosimError:
    if promise.launcher == "srun":
        how = f" under srun --mpi={given(os.environ)}"
        # Asked once a job: the other ranks say nothing.
        mended = advice(library, offered() if speaks() else [])
    else:
        how = ""
        mended = f"start it by the mpiexec of {name(library)}, or once and with --ranks"
    return BiosimError(
        f"{promise.variable} promises {promise.size} ranks and {name(library)} sees {found}{how}: "
        f"the library and the launcher do not understand each other; {mended}"
    )


def allotted(scenario: Given, environment: Mapping[str, str] = os.environ) -> Given:
    """Return the scenario with the threads that Slurm gave each rank, if it asks for none itself.

    The number of threads changes no result.
    """
    run: Any = scenario.run  # type: ignore[attr-defined]
    given = environment.get("SLURM_CPUS_PER_TASK", "")
    if not given.isdecimal() or "threads" in run.model_fields_set:
        return scenario
    return scenario.model_copy(update={"run": run.model_copy(update={"threads": int(given)})})


def device_here(device: str, devices: int, promise: Promise | None) -> str:
    """Return the device of this process: of several on a node, each takes the next one.

    Args:
        device: as the scenario has it; "cuda" leaves the choice to this function.
        devices: CUDA devices that this process sees; one, where the launcher has chosen.
        promise: what the launcher promised.
    """
    if device != "cuda" or promise is None or devices < 2:
        return device
    return f"cuda:{promise.local % devices}"


def cores() -> int:
    """Return the cores that this process may use: a scheduler may have given it only some."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
