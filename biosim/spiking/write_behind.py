"""Writing behind computation: a thread hands to a store what a simulation hands over.

What waits is bounded in bytes. A disk that is slower than the simulation slows it down, and
memory does not fill up.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from biosim.errors import OutputError
from biosim.processes import BEAT_S
from biosim.spiking.recording import Int64s, Sink, UInt32s, Values

BACKLOG_BYTES = 64 << 20
"""Most that waits to be written."""
PATIENCE_S = 600.0
"""How long nothing at all may be written while a run waits."""

JOB_BYTES = 1024
"""Of what is handed over, beside its arrays."""

Job = Callable[[], None]


class FlushedSink(Sink, Protocol):
    """A sink that stores."""

    def flush(self) -> None:
        """Store everything that was handed over."""

    def beat(self) -> None:
        """Show that its process lives."""


class WriteBehind:
    """Passes on to a sink, in a thread of its own and in order, what it is handed.

    Used in a `with` statement, at whose end everything is stored. Only the thread uses the sink.

    Args:
        sink: stores.
        backlog_bytes: most that is kept until it is stored. What is larger by itself is not
            copied: it is waited for.
        patience_s: how long to wait for a sink that does nothing.

    Attributes:
        waited_s: how long the run waited until there was room; a flush counts for nothing.
        most_bytes: most that ever waited to be stored.

    Raises:
        OutputError: of every call: the sink could not store what came before, or did nothing for
            too long.
    """

    def __init__(
        self,
        sink: FlushedSink,
        backlog_bytes: int = BACKLOG_BYTES,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._sink = sink
        self._most, self._patience_s = backlog_bytes, patience_s
        # While one part is written the next one fills, and there are more where states are large.
        self._part_bytes = max(1, backlog_bytes // 4)
        self._jobs: deque[tuple[Job, int]] = deque()
        self._held = self._done = 0
        self._failure: BaseException | None = None
        self._over = False
        self._changed = threading.Condition()
        self.waited_s = 0.0
        self.most_bytes = 0
        self._thread = threading.Thread(target=self._write, name="store", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Wait until everything is stored, and end the thread."""
        try:
            self.flush()
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()
            self._thread.join(BEAT_S)  # longer only where its disk does not answer

    def spikes(self, population: str, ticks: Int64s, neurons: UInt32s) -> None:
        """Take the spikes of a window: (n,) each, ordered by (tick, neuron)."""
        rows = max(1, self._part_bytes // (ticks.itemsize + neurons.itemsize))
        for start in range(0, max(1, len(ticks)), rows):
            part = slice(start, start + rows)
            self._hand(
                lambda ticks, neurons: self._sink.spikes(population, ticks, neurons),
                ticks[part],
                neurons[part],
            )

    def states(
        self, population: str, variable: str, ticks: Int64s, neurons: Int64s, values: Values
    ) -> None:
        """Take the samples of a window: ticks (m,), neurons (k,) increasing, values (m, k)."""
        rows = max(1, self._part_bytes // max(1, values[:1].nbytes))
        for start in range(0, len(ticks), rows):
            part = slice(start, start + rows)
            self._hand(
                lambda *given: self._sink.states(population, variable, *given),
                ticks[part],
                neurons,
                values[part],
            )

    def weights(
        self,
        projection: str,
        tick: int,
        sources: UInt32s,
        targets: UInt32s,
        values: Mapping[str, Values],
    ) -> None:
        """Take a snapshot of the synapses: (n,) each, always the same ones, by (target, source)."""
        names = list(values)
        self._hand(
            lambda sources, targets, *columns: self._sink.weights(
                projection, tick, sources, targets, dict(zip(names, columns, strict=True))
            ),
            sources,
            targets,
            *values.values(),
        )

    def commit(self, tick: int) -> None:
        """Take note that all from before this tick has been handed over."""
        self._hand(lambda: self._sink.commit(tick))

    def flush(self) -> None:
        """Wait until everything is stored."""
        waited_s = self.waited_s
        self._hand(self._sink.flush)
        self._wait(lambda: not self._jobs)
        self.waited_s = waited_s

    def _hand(self, job: Callable[..., None], *arrays: npt.NDArray[np.generic]) -> None:
        size = JOB_BYTES + sum(array.nbytes for array in arrays)
        if size > self._most:
            self._wait(lambda: not self._jobs)
            self._add(lambda: job(*arrays), size)
            self._wait(lambda: not self._jobs)
            return
        self._wait(lambda: self._held + size <= self._most)
        # Copied only now: what waits for room takes none.
        kept = [array.copy() for array in arrays]
        self._add(lambda: job(*kept), size)

    def _add(self, job: Job, size: int) -> None:
        with self._changed:
            # Nobody would store it, and nothing would tell.
            assert not self._over, "something was handed over after the end"
            self._jobs.append((job, size))
            self._held += size
            self.most_bytes = max(self.most_bytes, self._held)
            self._changed.notify_all()

    def _wait(self, ready: Callable[[], bool]) -> None:
        """Wait until the thread has got so far; raise what it failed with."""
        began = time.monotonic()
        with self._changed:
            while self._failure is None and not ready():
                done = self._done
                if not self._changed.wait(self._patience_s) and self._done == done:
                    self._failure = OutputError(
                        f"the store has taken nothing for {self._patience_s:g} s; see whether its "
                        "disk still answers: what was committed before stays readable"
                    )
            failure = self._failure
        self.waited_s += time.monotonic() - began
        if failure is not None:
            raise failure

    def _write(self) -> None:
        beaten_s = time.monotonic()
        while True:
            with self._changed:
                if not self._jobs and not self._over:
                    self._changed.wait(BEAT_S)
                if not self._jobs and self._over:
                    return
                job, size = self._jobs[0] if self._jobs else (None, 0)
            try:
                if job is not None and self._failure is None:
                    job()
                if time.monotonic() - beaten_s >= BEAT_S:
                    beaten_s = time.monotonic()
                    self._sink.beat()
            except BaseException as problem:
                self._failure = problem
            with self._changed:
                if job is not None:
                    self._jobs.popleft()
                    self._held -= size
                    self._done += 1
                self._changed.notify_all()
            del job  # or its arrays live until the next one
