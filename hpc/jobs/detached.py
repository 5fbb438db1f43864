"""What the local executor starts: `python -P detached.py OUT AT_ONCE`, without what simulates.

Why two packages are put there by hand: importing biosim or hpc as usual loads torch, which takes
seconds and a quarter of a gigabyte, and this process only waits.
"""

import os
import signal
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
    for name in ("biosim", "hpc"):
        light = ModuleType(name)
        light.__path__ = [str(Path(__file__).parents[2] / name)]
        sys.modules[name] = light

    from hpc.jobs.supervisor import Supervisor

    jobs = Supervisor(Path(sys.argv[1]), int(sys.argv[2]))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: jobs.end())
    jobs.run(ready)
