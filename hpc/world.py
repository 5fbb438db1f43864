"""Who else was started along with this process, by what the launcher put into the environment.

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
from hpc.ranked import RANKS

Given = TypeVar("Given", bound=BaseModel)

LAUNCHERS = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "mpiexec"),
    ("PMI_SIZE", "MPI_LOCALRANKID", "mpiexec"),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK", "mpiexec"),
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
        if size.isdecimal() and int(size) > 0:
            here = environment.get(local, "0")
            number = int(here) if here.isdecimal() else 0
            started = launcher != "srun" or "SLURM_STEP_ID" in environment
            return Promise(int(size), variable, launcher, number, started)
    return None


def speaks(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process says what all of them would say."""
    return next((environment[name] for name in RANKS if name in environment), "0") == "0"


def check_size(found: int, promise: Promise) -> None:
    """Check that as many ranks see each other as were started.

    Raises:
        BiosimError: they do not: every one would do the whole work by itself.
    """
    if found == promise.size:
        return
    advice = (
        "start it by srun --mpi=pmix, or by the mpiexec of that library"
        if promise.launcher == "srun"
        else "start it by the mpiexec that belongs to that library"
    )
    raise BiosimError(
        f"{promise.variable} promises {promise.size} ranks and the MPI library sees {found}: the "
        f"library and the launcher do not understand each other; {advice}, or give --ranks"
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
