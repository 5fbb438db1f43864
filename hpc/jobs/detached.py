"""What the local executor starts: `python -P detached.py OUT AT_ONCE`, without what simulates.

Why the package is put there by hand: importing biosim as usual loads torch, which takes seconds
and a quarter of a gigabyte, and this process only waits.
"""

import os
import sys
from pathlib import Path
from types import ModuleType

READY = "ready"
"""Is said on standard output, which is then closed, once the jobs are in this process's hands."""


def ready() -> None:
    """Let the process that waits for the word go on."""
    sys.stdout.write(READY)
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    if os.fork():
        os._exit(0)  # so that no parent has to wait for this process
    light = ModuleType("biosim")
    light.__path__ = [str(Path(__file__).parents[2] / "biosim")]
    sys.modules["biosim"] = light

    from hpc.jobs.supervisor import Supervisor

    Supervisor(Path(sys.argv[1]), int(sys.argv[2])).run(ready)
