"""What jobs have written: their last lines, and the one that says why a job died."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hpc.jobs.record import LOGS

TAIL_BYTES = 1 << 16
"""Read from the end of a file: a job may write for days."""

ERROR = re.compile(
    r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning|Iteration)\b(?:: .*)?"
)
"""The last line of a traceback, at the begin of a line."""


def log_path(out: Path, job: str, ending: str) -> Path:
    """Return the file of a job.

    Args:
        out: directory of the submission.
        job: its id.
        ending: "out" or "err".
    """
    return out / LOGS / f"{job}.{ending}"


def last_lines(path: Path, lines: int) -> list[str]:
    """Return the last lines of a file, without those that a carriage return overwrote.

    A file that is not there has none.
    """
    try:
        with path.open("rb") as file:
            begin = max(0, file.seek(0, 2) - max(TAIL_BYTES, 200 * lines))
            file.seek(begin)
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    found = [line.rpartition("\r")[2] for line in text.rstrip("\r\n").split("\n")]
    if begin:
        found = found[1:]  # its begin was not read
    return found[-lines:] if text.strip() else []


def followed(
    path: Path, lines: int, over: Callable[[], bool], every_s: float = 0.5
) -> Iterator[str]:
    """Yield the last lines of a file, then what is added to it, until its job is over.

    Args:
        path: it may not be there yet.
        lines: of those that are there.
        over: tells whether the job has ended.
        every_s: between looks.
    """
    position = path.stat().st_size if path.exists() else 0
    yield from (f"{line}\n" for line in last_lines(path, lines))
    while True:
        ended = over()  # first: what was written before the end is still to be read
        if path.exists():
            with path.open("rb") as file:
                file.seek(position)
                new = file.read()
            position += len(new)
            if new:
                yield new.decode("utf-8", "replace")
        if ended:
            return
        time.sleep(every_s)


def complaint(lines: list[str]) -> str:
    """Return the line in which a job says why it could not go on; "" if there is none.

    That is biosim's own last line, or the last line of the last traceback.
    """
    for line in reversed(lines):
        if line.startswith("biosim: "):
            return line.removeprefix("biosim: ").strip()
        if ERROR.match(line):
            return line.strip()
    return ""
