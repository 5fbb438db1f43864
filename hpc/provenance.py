"""What a run was made by: versions, git state, host. Kept apart from what it computed."""

from __future__ import annotations

import platform
import socket
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import biosim

LIBRARIES = ("numpy", "torch", "xarray", "zarr")


def versions(*more: str) -> dict[str, str]:
    """Return the versions of Python, biosim, the libraries that compute or store, and more."""
    found = {"python": platform.python_version(), "biosim": biosim.__version__}
    for library in (*LIBRARIES, *more):
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "unknown"
    return found


def git_state() -> str:
    """Return the commit that biosim runs from, "+changes" where files differ, or "none"."""
    checkout = Path(biosim.__file__).parent.parent
    if not (checkout / ".git").exists():
        return "none"
    try:
        commit = _git(checkout, "rev-parse", "HEAD")
        changed = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "none"
    return commit + ("+changes" if changed else "")


def host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()


def now() -> str:
    """Return the time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git(checkout: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(checkout), *words], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
