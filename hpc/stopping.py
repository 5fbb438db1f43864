"""Signals that ask a run to end: it ends at the next exchange, on all ranks at once.

Why not at once: a signal may come in the middle of a write, and to one rank only. Ranks that
`--ranks` started end in the same way once the process that started them is gone.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from biosim.contracts import Ranks
from biosim.events import STOP, Event, Tick
from biosim.ranks import StoppedError
from hpc.rank_times import RankTimes

SIGNALS = (signal.SIGTERM, signal.SIGINT)

STOPPED = 143
"""Exit code of a run that was asked to end, as the shell has it for SIGTERM."""

LAUNCHER = "BIOSIM_LAUNCHER"
"""Variable with the number of the process that has started the ranks on this machine."""

LOOKED_EVERY_S = 1.0
"""Whether it is still there."""

Handler = Callable[[int, FrameType | None], object]

_asked = threading.Event()


class InterruptedRunError(StoppedError):
    """Time is up for a run, which is to go on in another job."""


def exit_code(reason: StoppedError) -> int:
    """Return the exit code of a run that was asked to end."""
    return os.EX_TEMPFAIL if isinstance(reason, InterruptedRunError) else STOPPED


@contextmanager
def handled(handler: Handler) -> Iterator[Mapping[signal.Signals, Handler | int]]:
    """Let a function have the signals; yield what had them before.

    One that is ignored stays so: a shell sees to it that Ctrl-C does not end what runs behind.
    """
    before: dict[signal.Signals, Handler | int] = {}
    for number in SIGNALS:
        was = signal.getsignal(number)
        if was is not None and was != signal.SIG_IGN:
            before[number] = was
    for number in before:
        signal.signal(number, handler)
    try:
        yield before
    finally:
        for number, was in before.items():
            signal.signal(number, was)


@contextmanager
def heeded() -> Iterator[None]:
    """Take note of signals instead of ending at once; a second one of a kind ends at once."""

    def note(number: int, frame: FrameType | None) -> None:
        _asked.set()
        signal.signal(number, before[signal.Signals(number)])

    over = threading.Event()
    launcher = os.environ.get(LAUNCHER, "")
    if launcher.isdecimal():
        threading.Thread(target=_follow, args=(int(launcher), over), daemon=True).start()
    with handled(note) as before:
        try:
            yield
        finally:
            over.set()
            _asked.clear()


def _follow(process: int, over: threading.Event) -> None:
    """Ask the run to end once a process is gone: nobody would see the end of it."""
    while not over.wait(LOOKED_EVERY_S):
        try:
            os.kill(process, 0)
        except OSError:
            _asked.set()
            return


class Heeding:
    """Ranks that tell all others once one of them was asked to end.

    Args:
        ranks: those that do the rest.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self.rank, self.size = ranks.rank, ranks.size
        self.connect, self.collect = ranks.connect, ranks.collect
        self.agree, self.sum, self.trade = ranks.agree, ranks.sum, ranks.trade
        self.times = getattr(ranks, "times", RankTimes())

    def post(self, outgoing: Sequence[list[Event]], wake: Tick) -> None:
        """Begin to send, with the wake STOP if a signal came."""
        self._ranks.post(outgoing, STOP if _asked.is_set() else wake)

    def exchange(self, outgoing: Sequence[list[Event]], wake: Tick) -> tuple[list[Event], Tick]:
        """Post and collect."""
        return self._ranks.exchange(outgoing, STOP if _asked.is_set() else wake)
