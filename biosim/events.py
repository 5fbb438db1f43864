"""Events: everything that crosses a synapse, and the total order in which it is dealt with.

Why a total order by content: ties broken by who came first would make results depend on the
number of ranks. The first six fields of an event are its order, and no two events share them.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from operator import itemgetter
from typing import Any, NamedTuple

from torch import Tensor

Tick = int

NEVER: Tick = (1 << 63) - 1
"""The wake of an actor that has nothing to do."""

STOP: Tick = -2
"""The wake of a rank that was asked to end: it comes before any other."""

PAUSE: Tick = -1
"""The wake of a rank that was asked to pause: all return at the end of the window."""

WHEN_QUIET: Tick = 1 << 62
"""The wake of an actor that goes on once no event is left anywhere in the network."""

PAUSE_WHEN_QUIET: Tick = WHEN_QUIET - 1
"""The wake of a rank that was asked to pause once no event is left anywhere."""

PAUSES = (PAUSE, PAUSE_WHEN_QUIET)


class Kind(IntEnum):
    """What an event carries. The numbers are the order within a tick.

    Feedback comes before activity: what is learnt from an error is in force for the
    activity of the same tick.
    """

    PHASE = 0
    TARGET = 1
    FEEDBACK = 2
    ACTIVITY = 3
    SCORE = 4
    SPIKE = 5


class Mode(IntEnum):
    """Why a minibatch is presented."""

    LEARN = 0
    ANSWER = 1
    PROBE = 2


class Presentation(NamedTuple):
    """One part of a minibatch in one phase: what an error that comes late is matched by.

    What is not learnt, or not in parts, is part 0.
    """

    epoch: int
    batch: int
    phase: int
    mode: Mode
    part: int = 0

    def whole(self) -> Presentation:
        """Return what all parts of the minibatch in this phase have in common."""
        return self._replace(part=0)


class Event(NamedTuple):
    """One payload that arrives at `tick` on one projection.

    `source`, `target` and `projection` are positions in the network description. The payload
    has one row a sample: (n_rows, n_units); None for a bare signal.
    """

    tick: Tick
    kind: Kind
    source: int
    target: int
    projection: int
    presentation: Presentation
    payload: Tensor | None


content_order: Callable[[Event], Any] = itemgetter(0, 1, 2, 3, 4, 5)
"""Sort key: (tick, kind, source, target, projection, presentation)."""


class Window(NamedTuple):
    """The half-open stretch [start, end) of ticks that actors advance without an exchange."""

    start: Tick
    end: Tick


class Course(NamedTuple):
    """How long the learning lasts: a schedule needs it, and every rank knows it."""

    epochs: int
    batches: int
    samples: int

    def progress(self, at: Presentation) -> float:
        """Return the share of the learning that lies before this presentation, in [0, 1)."""
        return (at.epoch * self.batches + at.batch) / (self.epochs * self.batches)
