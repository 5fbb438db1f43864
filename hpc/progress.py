"""How far a run is: a bar on a terminal, a line now and then where there is none."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from biosim.network import Network
from hpc.world import speaks
from scenarios.scenario import Blocks, Place


class Watcher(Protocol):
    """Is told what a run is about to do, and after every epoch."""

    def say(self, line: str) -> None:
        """Take note of a line for whoever waits."""

    def step(self, done: int, total: int, note: str) -> None:
        """Take note that `done` of `total` steps are done."""


class Silent:
    """Says nothing."""

    def say(self, line: str) -> None:
        """Do nothing."""

    def step(self, done: int, total: int, note: str) -> None:
        """Do nothing."""


def say_placed(watcher: Watcher, place: Place | Blocks, network: Network, ranks: int) -> None:
    """Say who owns what and why, if there are several ranks."""
    for line in place.lines(network, ranks) if ranks > 1 else ():
        watcher.say(line)


class Bar:
    """A progress bar on a terminal; elsewhere one line every so often, and the last.

    Args:
        title: what is under way.
        every_s: seconds between plain lines.
    """

    def __init__(self, title: str, every_s: float = 30.0) -> None:
        self._title = title
        self._every_s = every_s
        self._said = time.monotonic()
        self._silent = not speaks()
        self._bar: Progress | None = None
        if not self._silent and sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(title, total=None, note="")

    def __enter__(self) -> Self:
        """Show the bar."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()

    def say(self, line: str) -> None:
        """Show a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        elif not self._silent:
            print(f"{self._title}: {line}", file=sys.stderr, flush=True)

    def step(self, done: int, total: int, note: str) -> None:
        """Show that `done` of `total` steps are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, note=note)
            return
        now = time.monotonic()
        if self._silent:
            return
        if done == total or now - self._said >= self._every_s:
            self._said = now
            print(f"{self._title}: {done}/{total} {note}".rstrip(), file=sys.stderr, flush=True)
