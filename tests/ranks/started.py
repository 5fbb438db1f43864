"""Real ranks: processes that mpiexec starts on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from biosim.errors import BiosimError
from hpc.launch import STARTS, UNSTARTED, environment, found_mpiexec, options

PROGRAM = Path(__file__).with_name("program.py")


def needs_mpi() -> pytest.MarkDecorator:
    """A mark that skips where there is no mpiexec or no mpi4py."""
    try:
        found_mpiexec()
        import mpi4py  # noqa: F401
    except (BiosimError, ImportError) as problem:
        return pytest.mark.skip(reason=str(problem))
    return pytest.mark.mpi


def started(ranks: int, *arguments: str, limit_s: float = 280.0) -> subprocess.CompletedProcess:
    """Run Python with these arguments on so many ranks; wait for the end."""
    mpiexec = found_mpiexec()
    command = [mpiexec, "-n", str(ranks), *options(mpiexec, ranks, 2), sys.executable, *arguments]
    for _ in range(STARTS):
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
            env=environment(os.environ) | {"OMP_NUM_THREADS": "1"},
        )
        if not UNSTARTED.search(done.stderr):
            break
    return done


def same_bytes(one: Path, other: Path) -> list[str]:
    """Return the files that two stores do not have alike, but for hosts, dates and timings."""
    ours, theirs = (_contents(path / "run.zarr") for path in (one, other))
    assert ours
    return sorted(
        name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
    )


def _contents(store: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and path.parent != store and "timing" not in path.parts
    }
