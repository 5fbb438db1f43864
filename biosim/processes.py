"""Which process writes a run, so that another one knows whether it still does."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

SILENT_S = 60.0
"""After so long without a sign of life, a process on another machine is taken for gone."""
BEAT_S = 5.0
"""Seconds between two signs of life."""


def this_process() -> dict[str, Any]:
    """Return what tells this process from every other one."""
    return process_of(os.getpid())


def process_of(pid: int) -> dict[str, Any]:
    """Return what tells a process of this machine from every other one."""
    return {"host": socket.gethostname(), "pid": pid, "began": _began(pid)}


def lives(process: Mapping[str, Any], sign: Path) -> bool:
    """Return whether a process is still there.

    Args:
        process: as `this_process` gave it.
        sign: a file that it touches every few seconds.
    """
    if process["host"] != socket.gethostname():
        try:
            return abs(time.time() - sign.stat().st_mtime) < SILENT_S
        except FileNotFoundError:
            return False
    try:
        os.kill(process["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it belongs to someone else
    return bool(_began(process["pid"]) == process["began"])


@contextmanager
def showing_life(sign: Path) -> Iterator[None]:
    """Touch a file now and then, in a thread, while this process does something long.

    Args:
        sign: the file that `lives` is told of.
    """
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_S):
            with suppress(OSError):  # it may not be there yet; other writes tell of the disk
                os.utime(sign)

    thread = threading.Thread(target=beat, name="life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(BEAT_S)  # longer only where the disk does not answer


def _began(pid: int) -> str:
    """Return when a process began, in the system's own words; empty where it does not tell.

    Numbers of processes are used again.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else f"{fields[18]} after {boot}"
