"""The loop: windows, wake-ups, exchange. No numerics.

The order within a tick is the order of the events' content (`events.content_order`): phases,
targets, feedback, activity, scores; by source and target after that. An actor deals with its
events of a tick in that order, so a weight that an error changes is in force for the activity
of the same tick.

A window is as long as the shortest delay: nothing that happens in it on one actor can matter
to another before it ends. Windows begin at the earliest wake of any rank, so silence costs
nothing.

Neurons that move by themselves go along: they advance in every window, none of which may then be
left out, but a run is over when only they, and spikes in flight, are left. They may be spread
over several actors of several ranks, which exchange spikes more often than anyone else needs to:
those windows lie within the others, whose ends, and with them the ticks at which who waits for
quiet begins, are the same on any number of ranks.
"""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as all_done
from typing import Any

import torch

from biosim.contracts import Actor, Ranks
from biosim.events import (
    NEVER,
    PAUSE,
    PAUSES,
    STOP,
    WHEN_QUIET,
    Event,
    Kind,
    Tick,
    Window,
    content_order,
)
from biosim.ledger import Ledger
from biosim.overlap import Overlap
from biosim.ranks import StoppedError


class Engine:
    """Advances the actors of one rank, in step with all other ranks.

    Args:
        actors: the actors that this rank owns, by the position of their population.
        owner: the rank of every population, by position, and of every further actor.
        ranks: how this rank talks to the others.
        lookahead: length of a window in ticks: the shortest delay between two actors.
        ledger: counts what is sent.
        along: the actors of this rank that go along; where one rank has any, all have.
        spread: populations -> the actors that own a part of each and get its events.
        stretch: length of the windows by which quiet is noticed; None for `lookahead`.
        alone: whether those who go along hear from nobody else; windows then are as long as
            `lookahead`, or half of it while what is sent in the half before is on its way.
        copied: populations -> the ranks with a copy of it, each of which gets its events.
        meets: whether actors wait for those of other ranks within a window: one that fails then
            ends this rank at once, and does not tell the others first.
        threads: that advance actors of this rank side by side; actors that meet others' take
            turns, as they do on every rank.
        overlap: as `biosim.overlap.Overlap` has it, where `alone`.
    """

    def __init__(
        self,
        actors: Mapping[int, Actor],
        owner: Sequence[int],
        ranks: Ranks,
        lookahead: int,
        ledger: Ledger,
        along: Collection[int] = (),
        spread: Mapping[int, Sequence[int]] | None = None,
        stretch: int | None = None,
        alone: bool = False,
        copied: Mapping[int, Sequence[int]] | None = None,
        meets: bool = False,
        threads: int = 1,
        overlap: bool | None = None,
    ) -> None:
        self.now: Tick = 0
        self._actors = dict(sorted(actors.items()))
        self._owner = owner
        self._ranks = ranks
        self._lookahead = lookahead
        self._ledger = ledger
        self._along = along
        self._spread = spread or {}
        self._copied = copied or {}
        self._meets = meets
        self._pool = None
        if threads > 1 and not meets:
            # Torch asks every thread anew how many it may use.
            self._pool = ThreadPoolExecutor(
                threads, initializer=torch.set_num_threads, initargs=(1,)
            )
        self._stretch = stretch or lookahead
        self._alone = alone
        self._overlap = Overlap(ranks, lookahead, overlap)
        self._pending: dict[Tick, dict[int, list[Event]]] = {}
        self._end: Tick = 0
        """Where the last window ends, or would have without `until`: a run that stops in the
        midst of a window and goes on has the same windows, and begins anew at the same ticks."""

    def run(self, until: Tick = NEVER, idle: bool = False) -> Tick:
        """Advance until nothing is left to do anywhere, or until tick `until` is reached.

        Returns the next wake of any rank, or one of `PAUSES` where a rank was asked to pause: all
        have come to the end of the same window. Events at or after `until` stay pending.

        Args:
            until: stop before this tick.
            idle: go on until then with those who only go along.

        Raises:
            StoppedError: a rank was asked to end; all end in the same window.
        """
        if self._alone and idle:
            wake = NEVER
            while self.now < until and wake != PAUSE:
                first, began = self.now, time.perf_counter_ns()
                wake = self._run_alone(self._overlap.end(first, until))
                self._overlap.took(time.perf_counter_ns() - began, self.now - first)
            return wake
        ranks, lookahead, actors, ledger = self._ranks, self._lookahead, self._actors, self._ledger
        owner, spread, here = self._owner, self._spread, range(ranks.size)
        along, copied = self._along, self._copied
        wakes = {
            i: wake
            for i, actor in actors.items()
            if i not in along and (wake := actor.next_wake()) < NEVER
        }
        arrived, wake = ranks.exchange([[] for _ in here], self._earliest(wakes))
        failure: Exception | None = None
        while True:
            if wake == STOP:
                raise failure or _stopped(self.now)
            if wake in PAUSES:
                return wake
            # A window that was begun is finished, and none is left out.
            if along and (self.now < self._end or wake < WHEN_QUIET or (idle and wake == NEVER)):
                wake = self.now
            # A wake of WHEN_QUIET is the earliest only if no rank has an event or a clock left.
            start = self._end if wake == WHEN_QUIET else wake
            if start >= until:
                if wake == NEVER:
                    self.now = self._end
                return wake
            if start >= self._end:
                self._end = start + self._stretch
            window = Window(start, min(start + lookahead, self._end, until))
            outgoing: list[list[Event]] = [[] for _ in here]
            inboxes = self._due(window)
            for i, own_wake in wakes.items():
                if own_wake < window.end or (own_wake == wake == WHEN_QUIET):
                    inboxes.setdefault(i, [])
            for i in along:
                inboxes.setdefault(i, [])
            wake = NEVER
            for inbox in inboxes.values():
                if len(inbox) > 1:
                    inbox.sort(key=content_order)
            begun = self._begun(window, inboxes)
            for i in sorted(inboxes):
                try:
                    if begun is None:
                        sent = actors[i].advance(window, inboxes[i])
                    else:
                        sent = begun[i].result()
                except Exception as problem:  # the others must not wait for this rank
                    if self._meets:
                        raise
                    failure, wake = problem, STOP
                    if begun is not None:  # nothing changes once the run has ended
                        all_done(begun.values())
                    break
                for event in sent:
                    ledger.sent(event)
                    if event.target in copied:
                        for rank in copied[event.target]:
                            outgoing[rank].append(event)
                    elif event.target not in spread:
                        outgoing[owner[event.target]].append(event)
                    else:
                        for part in spread[event.target]:
                            outgoing[owner[part]].append(event._replace(target=part))
                    if event.tick < wake and not (along and event.kind == Kind.SPIKE):
                        wake = event.tick
                own_wake = NEVER if i in along else actors[i].next_wake()
                if own_wake < NEVER:
                    wakes[i] = own_wake
                else:
                    wakes.pop(i, None)
            self.now = window.end
            arrived, wake = ranks.exchange(outgoing, min(wake, self._earliest(wakes)))
            for event in arrived:
                self._file(event)

    def _begun(
        self, window: Window, inboxes: Mapping[int, list[Event]]
    ) -> Mapping[int, Future[list[Event]]] | None:
        """Let threads advance all actors that have something to do, if there are several."""
        if self._pool is None or len(inboxes) < 2:
            return None
        pool, actors = self._pool, self._actors
        return {i: pool.submit(actors[i].advance, window, inboxes[i]) for i in sorted(inboxes)}

    def _run_alone(self, until: Tick) -> Tick:
        """Advance those who go along; return PAUSE where a rank was asked to, or NEVER."""
        ranks, overlapped = self._ranks, self._overlap.now
        length = self._lookahead // 2 if overlapped else self._lookahead
        (me,), most, size = self._along, int(overlapped), ranks.size
        actor, owner = self._actors[me], self._owner
        failure: Exception | None = None
        # What of this rank each exchange that is under way tells the others.
        flying: deque[Exception | None] = deque()
        found = NEVER
        while self.now < until or flying:
            if self.now < until:
                window = Window(self.now, min(self.now + length, until))
                outgoing: list[list[Event]] = [[] for _ in range(size)]
                if failure is None:
                    try:
                        for event in actor.advance(window, self._due(window).get(me, [])):
                            outgoing[owner[event.target]].append(event)
                    except Exception as problem:  # the others must not wait for this rank
                        failure = problem
                self.now = self._end = window.end
                ranks.post(outgoing, STOP if failure else NEVER)
                flying.append(failure)
            if len(flying) > most or self.now >= until:
                arrived, wake = ranks.collect()
                told = flying.popleft()
                if arrived:  # all at once: there are as many as ranks
                    self._pending.setdefault(self.now, {}).setdefault(me, []).extend(arrived)
                if wake == STOP:
                    if flying:
                        ranks.collect()  # nobody leaves while others wait for it
                    # What failed here while that was under way came after what ends the run.
                    raise told or _stopped(self.now)
                if wake == PAUSE:
                    found, until = PAUSE, self.now  # what is under way still has to arrive
        return found

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of everything that the future of this rank depends on."""
        return copy.deepcopy(
            {
                "now": self.now,
                "end": self._end,
                "pending": self._pending,
                "actors": {
                    i: {name: getattr(actor, name) for name in actor.state_names}
                    for i, actor in self._actors.items()
                },
            }
        )

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take over a snapshot of the same network."""
        snapshot = copy.deepcopy(dict(snapshot))
        self.now, self._end = snapshot["now"], snapshot["end"]
        self._pending = snapshot["pending"]
        for i, state in snapshot["actors"].items():
            for name, value in state.items():
                setattr(self._actors[i], name, value)

    @property
    def end(self) -> Tick:
        """Where the window ends that was begun last."""
        return self._end

    def waiting(self) -> list[Event]:
        """Return the events that are to be dealt with on this rank, in the order of content.

        Spikes that ranks send each other are not among them.
        """
        inboxes = (events for by_target in self._pending.values() for events in by_target.values())
        found = [event for events in inboxes for event in events if event.projection >= 0]
        return sorted(found, key=content_order)

    def begin_at(self, now: Tick, end: Tick, waiting: Sequence[Event]) -> None:
        """Go on from a tick, with events that are to be dealt with on this rank.

        Args:
            now: everything before it has happened.
            end: of the window that was begun last.
            waiting: events for actors of this rank.
        """
        self.now, self._end, self._pending = now, end, {}
        for event in waiting:
            self._file(event)

    def _earliest(self, wakes: Mapping[int, Tick]) -> Tick:
        own = min(wakes.values(), default=NEVER)
        if not self._along:
            return min(own, min(self._pending, default=NEVER))
        # Spikes reach those who go along anyhow, and who counts them has a clock.
        waited = (
            tick
            for tick, inboxes in self._pending.items()
            if any(event.kind != Kind.SPIKE for inbox in inboxes.values() for event in inbox)
        )
        return min(own, min(waited, default=NEVER))

    def _file(self, event: Event) -> None:
        if event.tick < self.now:
            raise AssertionError(f"{event} arrived after its tick: the window was too long")
        self._pending.setdefault(event.tick, {}).setdefault(event.target, []).append(event)

    def _due(self, window: Window) -> dict[int, list[Event]]:
        inboxes: dict[int, list[Event]] = {}
        for tick in [tick for tick in self._pending if tick < window.end]:
            for i, events in self._pending.pop(tick).items():
                inboxes.setdefault(i, []).extend(events)
        return inboxes


def _stopped(now: Tick) -> StoppedError:
    return StoppedError(f"the run was asked to end and stopped at tick {now}")
