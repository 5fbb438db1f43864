"""What `--ranks` starts as each rank: it answers the roll call, then becomes the command line.

Why a script that imports nothing of biosim at first: a rank may be killed while Python still
imports, which takes a second, and is to be known by then.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping

ROLL_CALL = "BIOSIM_ROLL_CALL"
"""Variable with the path of the socket at which ranks are awaited."""

RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID")
"""Variables that tell which of all processes this is."""


def answer(environment: Mapping[str, str] = os.environ) -> socket.socket | None:
    """Tell the launching process which rank this is; None if it does not ask or is gone.

    The connection is to be kept: that it closes tells that the rank has ended.
    """
    rank = next((environment[name] for name in RANKS if name in environment), None)
    path = environment.get(ROLL_CALL)
    if rank is None or path is None:
        return None
    line = socket.socket(socket.AF_UNIX)
    try:
        line.connect(path)
        line.sendall(f"{rank} {os.getpid()}\n".encode())
    except OSError:
        line.close()
        return None
    return line


if __name__ == "__main__":
    kept = answer()
    try:
        from hpc.cli import main

        main()
    except KeyboardInterrupt:
        sys.exit(130)
