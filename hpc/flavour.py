"""Which `--mpi` of srun an MPI library understands, by what the library says of itself.

Why it is asked before MPI begins: a library that is spoken to in another way either starts every
process as the only one, or ends it with words about its own inside.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping

LISTED_WITHIN_S = 10.0
"""Until srun has said what it offers."""

FLAVOURS = (
    (re.compile(r"Open MPI", re.I), "pmix"),
    (re.compile(r"CRAY", re.I), "cray_shasta"),
    (re.compile(r"MPICH.*--with-pmix", re.I | re.S), "pmix"),
    (re.compile(r"MPICH|Intel\(R\) MPI|MVAPICH", re.I), "pmi2"),
)
"""What is in the version of a library, and the flavour that it was built for."""


NAME = re.compile(r"((?:CRAY )?MPICH|MVAPICH\d*|Open MPI|Intel\(R\) MPI)\D*(\d+(?:\.\d+)*)")


def name(library: str) -> str:
    """Return a library's name and version, such as "Open MPI 5.0.11", from all that it says."""
    found = NAME.search(library)
    return f"{found[1].replace('(R)', '')} {found[2]}" if found else "the MPI library"


def flavour(library: str) -> str | None:
    """Return what srun's `--mpi` is to be for a library; None if that is not known.

    Args:
        library: what MPI_Get_library_version says.
    """
    return next((word for pattern, word in FLAVOURS if pattern.search(library)), None)


def given(environment: Mapping[str, str]) -> str:
    """Return the flavour of the srun that started this process."""
    return environment.get("SLURM_MPI_TYPE", "none")


def misunderstood(library: str, environment: Mapping[str, str]) -> bool:
    """Return whether it is sure that a library cannot hear the srun that started this process.

    Open MPI hears nothing but PMIx from version 5 on; MPICH ends a process that is told of
    PMIx unless it was built with it. Of others the number of ranks tells afterwards.
    """
    version = re.search(r"Open MPI v(\d+)", library)
    if version:
        return int(version[1]) >= 5 and "PMIX_RANK" not in environment
    wanted = flavour(library)
    return library.startswith("MPICH") and wanted == "pmi2" and given(environment)[:4] == "pmix"


def offered() -> list[str]:
    """Return the flavours that this machine's srun offers; nothing if it does not say."""
    try:
        told = subprocess.run(
            ["srun", "--mpi=list"],
            capture_output=True,
            text=True,
            timeout=LISTED_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    # One a line, which older versions begin with the name of the program.
    words = re.findall(r"^(?:srun:)?\s+(\w+)$", told.stdout + told.stderr, flags=re.M)
    return sorted(set(words))


def advice(library: str, offers: list[str]) -> str:
    """Return how to start a program that uses this library.

    Args:
        library: what it says of itself.
        offers: the flavours of srun; nothing if they are not known.
    """
    wanted = flavour(library)
    own = f"the mpiexec of {name(library)}"
    if wanted is None:
        return f"start it by {own}, or by srun with the --mpi that it was built for"
    if offers and wanted not in offers:
        return f"start it by {own}, for srun has no --mpi={wanted} here, only {', '.join(offers)}"
    return f"start it by srun --mpi={wanted}, or by {own}"
