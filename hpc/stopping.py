"""Signals that ask a run to end: it ends at the end of a window, on all ranks at once.

Why not at once: a signal may come in the middle of a write, and to one rank only. The handler
takes note, and nothing else; ranks tell each other in their next exchange, and those that can
store where they stand do so together (`hpc.checkpointing`).

    SIGTERM           ends the run; who cancelled a job does not want it to rise again
    SIGINT            the same, from a terminal
    SIGUSR1, SIGUSR2  warn that time is nearly up: the run is to go on in another job

Ranks that `--ranks` started end, too, once the process that started them is gone.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from biosim.contracts import Ranks
from biosim.events import STOP, Event, Tick
from biosim.ranks import StoppedError
from hpc.rank_times import RankTimes

WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
SIGNALS = (signal.SIGTERM, signal.SIGINT, *WARNINGS)
"""Those of greater weight first: where several came, that one counts."""

STOPPED = 143
"""Exit code of a run that was asked to end, as the shell has it for SIGTERM."""

INTERRUPTED = 75
"""Exit code of a run that was warned and is to go on in another job; EX_TEMPFAIL elsewhere."""

LAUNCHER = "BIOSIM_LAUNCHER"
"""Variable with the number of the process that has started the ranks on this machine."""

LOOKED_EVERY_S = 1.0
"""Whether it is still there."""

AGAIN_S = 0.5
"""A signal that comes again so soon is the same one, by way of two processes that hand it on."""

Handler = Callable[[int, FrameType | None], object]


class ByHandError(StoppedError):
    """A run was broken off at a terminal."""


class InterruptedRunError(StoppedError):
    """Time is up for a run, which is to go on in another job."""


REASONS: Mapping[int, type[StoppedError]] = {
    signal.SIGTERM: StoppedError,
    signal.SIGINT: ByHandError,
    **dict.fromkeys(WARNINGS, InterruptedRunError),
}

_asked: dict[int, float] = {}
"""Signal -> when it came, on the clock of `time.monotonic`."""


def exit_code(reason: StoppedError) -> int:
    """Return the exit code of a run that was asked to end."""
    if isinstance(reason, InterruptedRunError):
        return INTERRUPTED
    return 128 + signal.SIGINT if isinstance(reason, ByHandError) else STOPPED


def status_of(reason: StoppedError) -> str:
    """Return what the store says of a run that was asked to end."""
    return "interrupted" if isinstance(reason, InterruptedRunError) else "stopped"


def code_of(number: int) -> int:
    """Return the exit code of a run that was asked to end by this signal."""
    return exit_code(REASONS[number](""))


def asked() -> Mapping[int, float]:
    """Return the signals that have come, and when, on the clock of `time.monotonic`."""
    return dict(_asked)


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
    """Take note of signals instead of ending at once; a second one of a kind ends at once.

    A second warning says nothing new. Warnings that the process has blocked come now, and are
    blocked again afterwards: a job blocks them while Python imports and while it ends.
    """

    def note(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if number not in _asked:
            _asked[number] = now
        if number in WARNINGS or now - _asked[number] <= AGAIN_S:
            return
        was = before[signal.Signals(number)]
        signal.signal(number, was)
        os.kill(os.getpid(), number)

    over = threading.Event()
    launcher = os.environ.get(LAUNCHER, "")
    if launcher.isdecimal():
        threading.Thread(target=_follow, args=(int(launcher), over), daemon=True).start()
    with handled(note) as before:
        mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, WARNINGS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            over.set()
            _asked.clear()


def _follow(process: int, over: threading.Event) -> None:
    """Ask the run to end once a process is gone: nobody would see the end of it."""
    while not over.wait(LOOKED_EVERY_S):
        try:
            os.kill(process, 0)
        except OSError:
            _asked.setdefault(signal.SIGTERM, time.monotonic())
            return


class Heeding:
    """Ranks that tell all others once one of them was asked to end, or is to pause.

    Args:
        ranks: those that do the rest.

    Attributes:
        pause: the wake that tells the others to pause; NEVER where somebody else looks after
            signals, None where the run can only end.
        due: whether to pause without having been asked to end.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self.rank, self.size = ranks.rank, ranks.size
        self.connect, self.collect = ranks.connect, ranks.collect
        self.agree, self.sum, self.trade = ranks.agree, ranks.sum, ranks.trade
        self.times = getattr(ranks, "times", RankTimes())
        self.pause: Tick | None = None
        self.due: Callable[[], bool] = bool

    def post(self, outgoing: Sequence[list[Event]], wake: Tick) -> None:
        """Begin to send, with the wake STOP if a signal came, or that of a pause."""
        self._ranks.post(outgoing, self._told(wake))

    def exchange(self, outgoing: Sequence[list[Event]], wake: Tick) -> tuple[list[Event], Tick]:
        """Post and collect."""
        return self._ranks.exchange(outgoing, self._told(wake))

    def _told(self, wake: Tick) -> Tick:
        if _asked:
            return STOP if self.pause is None else min(wake, self.pause)
        if self.pause is not None and wake != STOP and self.due():
            return min(wake, self.pause)
        return wake
