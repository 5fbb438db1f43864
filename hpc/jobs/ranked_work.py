"""`python -m hpc.jobs.ranked_work OUT INDEX RANKS THREADS`: a local job on several ranks."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

from hpc.launch import launch
from hpc.stopping import LAUNCHER, LOOKED_EVERY_S


def main(words: Sequence[str]) -> int:
    """Run an entry of a submission under mpiexec; return the exit code."""
    out, index, ranks, threads = words
    launcher = os.environ.get(LAUNCHER, "")
    if launcher.isdecimal():
        threading.Thread(target=_follow, args=(int(launcher),), daemon=True).start()
    return launch(["work", out, index], int(ranks), int(threads))


def _follow(process: int) -> None:
    """Ask this process, and the ranks by it, to end once another is gone."""
    while True:
        time.sleep(LOOKED_EVERY_S)
        try:
            os.kill(process, 0)
        except OSError:
            os.kill(os.getpid(), signal.SIGTERM)
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
