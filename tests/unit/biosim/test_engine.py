"""The engine with actors of a few lines: windows, wakes, silence, order, stopping."""

import random
import threading
import time
from collections.abc import Callable

import pytest
import torch

from biosim.contracts import Ranks
from biosim.engine import Engine
from biosim.events import NEVER, WHEN_QUIET, Event, Kind, Mode, Presentation, Tick, Window
from biosim.ranks import OneRank, PretendRanks, StoppedError

AT = Presentation(0, 0, 0, Mode.LEARN)


def event(tick: Tick, source: int, target: int, kind: Kind = Kind.ACTIVITY) -> Event:
    return Event(tick, kind, source, target, 10 * source + target, AT, None)


class Scripted:
    """Answers every event by a function, begins at a tick of its own, and notes its windows."""

    state_names = ("windows", "inboxes", "wake", "total")

    def __init__(self, answer: Callable[[Event], list[Event]] | None = None, wake: Tick = NEVER):
        self.answer = answer or (lambda came: [])
        self.wake = wake
        self.first: list[Event] = []
        self.windows: list[tuple[Tick, Tick]] = []
        self.inboxes: list[list[Event]] = []
        self.total = torch.zeros(1)

    def advance(self, window: Window, inbox: list[Event]) -> list[Event]:
        self.windows.append(tuple(window))
        self.inboxes.append(list(inbox))
        self.total += 1.0
        out = []
        if self.wake < window.end or (self.wake == WHEN_QUIET and not inbox):
            self.wake = NEVER
            out, self.first = self.first, []
        return out + [sent for came in inbox for sent in self.answer(came)]

    def next_wake(self) -> Tick:
        return self.wake

    def parameters(self):
        return {}

    def activity(self):
        return None


class Notes:
    """In the ledger's place: everything that was sent."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def sent(self, sent: Event) -> None:
        self.events.append(sent)


class Watched(OneRank):
    """One rank that counts its exchanges and hands over in any order."""

    def __init__(self, seed: int = 0) -> None:
        self.exchanges = 0
        self._numbers = random.Random(seed)

    def exchange(self, outgoing, wake):
        self.exchanges += 1
        arrived, wake = super().exchange(outgoing, wake)
        return self._numbers.sample(arrived, len(arrived)), wake


def begins(events: list[Event], at: Tick = 0) -> Scripted:
    actor = Scripted(wake=at)
    actor.first = events
    return actor


def engine(*actors: Scripted, lookahead: int = 1, ranks: Ranks | None = None) -> Engine:
    everyone = dict(enumerate(actors))
    return Engine(everyone, [0] * len(actors), ranks or OneRank(), lookahead, Notes())


def relay(delay: int, last: Tick, source: int, target: int) -> Callable[[Event], list[Event]]:
    """Sends each event on, until a tick."""
    return lambda came: [event(came.tick + delay, source, target)] if came.tick < last else []


# --- windows


def test_windows_are_half_open() -> None:
    target = Scripted()
    engine(begins([event(t, 0, 1) for t in (4, 5, 7, 8)]), target, lookahead=4).run()
    assert target.windows == [(4, 8), (8, 12)]
    assert [[e.tick for e in inbox] for inbox in target.inboxes] == [[4, 5, 7], [8]]


def test_an_event_at_the_tick_where_a_run_stops_stays_in_flight() -> None:
    target = Scripted()
    simulated = engine(begins([event(5, 0, 1)]), target)
    assert simulated.run(until=5) == 5
    assert target.windows == []
    assert simulated.run(until=6) == NEVER
    assert target.windows == [(5, 6)]


def test_a_run_with_nothing_to_do_never_wakes() -> None:
    simulated = engine(Scripted())
    assert simulated.run() == NEVER
    assert simulated.now == 0


def test_a_window_begins_at_the_earliest_wake() -> None:
    target = Scripted()
    engine(begins([event(13, 0, 1)], at=7), target, lookahead=3).run()
    assert target.windows == [(13, 16)]


@pytest.mark.parametrize("delay", [1, 1000, 10**12])
def test_silence_takes_no_windows(delay: int) -> None:
    ranks = Watched()
    there = Scripted(relay(delay, 9 * delay, 0, 1))
    back = Scripted(relay(delay, 9 * delay, 1, 0))
    there.first, there.wake = [event(delay, 0, 1)], 0
    engine(there, back, ranks=ranks).run()
    assert len(there.windows) + len(back.windows) == 10
    # One before the first window, one after each.
    assert ranks.exchanges == 11


def test_a_population_without_events_is_never_advanced() -> None:
    silent = Scripted()
    busy = Scripted(relay(1, 50, 2, 2))
    engine(begins([event(1, 0, 2)]), silent, busy).run()
    assert len(busy.windows) == 50
    assert silent.windows == []


def test_an_event_that_arrives_too_late_is_found() -> None:
    target = Scripted(lambda came: [event(came.tick + 1, 1, 1)])
    with pytest.raises(AssertionError, match=r"arrived after its tick: the window was too long"):
        engine(begins([event(3, 0, 1)]), target, lookahead=2).run()


# --- order


@pytest.mark.parametrize("seed", range(5))
def test_an_inbox_is_in_content_order_whoever_came_first(seed: int) -> None:
    target = Scripted()
    sent = [
        event(tick, source, 2, kind)
        for tick in (2, 3)
        for kind in (Kind.FEEDBACK, Kind.ACTIVITY)
        for source in (0, 1)
    ]
    mine = [e for e in reversed(sent) if e.source == 1]
    yours = [e for e in sent if e.source == 0]
    engine(begins(yours), begins(mine), target, lookahead=2, ranks=Watched(seed)).run()
    assert target.inboxes == [sent]


def test_actors_are_advanced_in_the_order_of_the_network() -> None:
    order = []

    class Ordered(Scripted):
        def advance(self, window, inbox):
            order.append(self)
            return super().advance(window, inbox)

    one, two, three = Ordered(wake=0), Ordered(wake=0), Ordered(wake=0)
    Engine({2: three, 0: one, 1: two}, [0, 0, 0], OneRank(), 1, Notes()).run()
    assert order == [one, two, three]


# --- wakes


def test_a_clock_wakes_an_actor_without_events() -> None:
    actor = Scripted(wake=7)
    engine(actor).run()
    assert (actor.windows, actor.inboxes) == ([(7, 8)], [[]])


def test_who_waits_for_quiet_wakes_when_no_event_and_no_clock_is_left() -> None:
    waiting = begins([event(40, 0, 1)], at=WHEN_QUIET)
    busy = Scripted(relay(2, 9, 1, 1), wake=5)
    busy.first = [event(7, 1, 1)]
    engine(waiting, busy).run()
    assert busy.windows == [(5, 6), (7, 8), (9, 10), (40, 41)]
    assert waiting.windows == [(10, 11)]


def test_several_may_wait_for_quiet() -> None:
    one, other = Scripted(wake=WHEN_QUIET), Scripted(wake=WHEN_QUIET)
    engine(one, other).run()
    assert one.windows == other.windows == [(0, 1)]


def test_all_ranks_advance_to_the_earliest_wake_of_any() -> None:
    def program(ranks):
        mine = Scripted(relay(3, 20, ranks.rank, 1 - ranks.rank))
        if ranks.rank == 0:
            mine.first, mine.wake = [event(5, 0, 1)], 2
        simulated = Engine({ranks.rank: mine}, [0, 1], ranks, 3, Notes())
        assert simulated.run() == NEVER
        return mine.windows, simulated.now

    (mine, now), (yours, then) = PretendRanks(2, 30.0).run(program)
    assert mine == [(2, 5), (8, 11), (14, 17), (20, 23)]
    assert yours == [(5, 8), (11, 14), (17, 20)]
    assert now == then == 23


# --- those who go along


def going(*actors: Scripted, stretch: int = 3, lookahead: int = 1, **more) -> Engine:
    """The last actor goes along."""
    last = len(actors) - 1
    everyone = dict(enumerate(actors))
    return Engine(
        everyone, [0] * len(actors), OneRank(), lookahead, Notes(), (last,), {}, stretch, **more
    )


def test_who_goes_along_advances_in_every_window_until_nothing_else_is_left() -> None:
    target, along = Scripted(), Scripted()
    simulated = going(begins([event(4, 0, 1)]), target, along, lookahead=3)
    assert simulated.run() == NEVER
    assert along.windows == [(0, 3), (3, 6)]
    assert target.windows == [(3, 6)]
    assert simulated.now == 6
    assert simulated.run() == NEVER
    assert len(along.windows) == 2


def test_who_goes_along_can_be_asked_to_go_on() -> None:
    along = Scripted()
    simulated = going(begins([]), along)
    simulated.run(until=5, idle=True)
    assert along.windows == [(t, t + 1) for t in range(5)]
    simulated.run()
    # The window of 3 ticks that was begun is finished.
    assert simulated.now == 6


def test_nobody_waits_for_spikes() -> None:
    waiting, along = Scripted(wake=WHEN_QUIET), Scripted()
    along.answer = lambda came: [event(came.tick + 1, 3, 3, Kind.SPIKE)]
    first = [event(4, 1, 2), event(1, 1, 3, Kind.SPIKE)]
    simulated = going(waiting, begins(first), Scripted(), along)
    assert simulated.run() == NEVER
    # The spikes would go on for ever.
    assert [[e.tick for e in inbox] for inbox in along.inboxes] == [[], *([t] for t in range(1, 9))]
    assert (waiting.windows, simulated.now) == ([(6, 7)], 9)


@pytest.mark.parametrize("lookahead", [1, 2, 3])
@pytest.mark.parametrize("until", range(1, 12))
def test_quiet_is_noticed_at_the_same_tick_whatever_the_windows(lookahead: int, until) -> None:
    waiting, along = Scripted(wake=WHEN_QUIET), Scripted()
    simulated = going(waiting, begins([event(4, 1, 2)]), Scripted(), along, lookahead=lookahead)
    simulated.run(until)
    simulated.run()
    ((start, _),) = waiting.windows
    assert (start, simulated.now) == (6, 9)
    ends = [end for _, end in along.windows]
    assert [start for start, _ in along.windows] == [0, *ends[:-1]]


def test_who_is_spread_over_ranks_gets_every_event_on_each() -> None:
    def program(ranks):
        part = Scripted()
        actors = {2 + ranks.rank: part}
        if ranks.rank == 0:
            actors[0] = begins([event(5, 0, 1)])
        notes = Notes()
        spread = {1: (2, 3)}
        Engine(actors, [0, 0, 0, 1], ranks, 1, notes, (2 + ranks.rank,), spread).run()
        came = [e for inbox in part.inboxes for e in inbox]
        return [(e.tick, e.target, e.projection) for e in came], len(notes.events)

    found = PretendRanks(2, 30.0).run(program)
    # Sent once, as far as the ledger knows.
    assert found == [([(5, 2, 1)], 1), ([(5, 3, 1)], 0)]


# --- stopping and going on


def test_a_window_that_was_cut_short_is_finished_first() -> None:
    target = Scripted()
    sent = [event(t, 0, 1) for t in (4, 6, 7)]
    simulated = engine(begins(sent), target, lookahead=3)
    assert simulated.run(until=5) == 6
    simulated.run()
    # Without the stop it would be [4, 7) and [7, 10).
    assert target.windows == [(4, 5), (6, 7), (7, 10)]


@pytest.mark.parametrize("until", range(1, 12))
def test_who_waits_for_quiet_wakes_at_the_same_tick_wherever_a_run_stops(until: Tick) -> None:
    waiting = Scripted(wake=WHEN_QUIET)
    simulated = engine(waiting, begins([event(4, 1, 2)]), Scripted(), lookahead=3)
    simulated.run(until)
    simulated.run()
    ((start, _),) = waiting.windows
    assert (start, simulated.now) == (7, 10)


def test_a_snapshot_is_a_copy_of_actors_clock_and_events_in_flight() -> None:
    target = Scripted()
    simulated = engine(begins([event(3, 0, 1), event(9, 0, 1)]), target)
    simulated.run(until=4)
    snapshot = simulated.snapshot()
    simulated.run()
    assert target.total.item() == 2.0
    fresh = Scripted()
    again = engine(Scripted(), fresh)
    for _ in range(2):  # a snapshot is not used up
        again.restore(snapshot)
        assert again.now == 4
        assert fresh.total.item() == 1.0
        assert again.run() == NEVER
        assert fresh.windows == target.windows == [(3, 4), (9, 10)]
        assert fresh.total.item() == 2.0


def test_everything_that_is_sent_is_in_the_ledger() -> None:
    notes = Notes()
    actors = {0: begins([event(1, 0, 1)]), 1: Scripted(relay(1, 5, 1, 1))}
    Engine(actors, [0, 0], OneRank(), 1, notes).run()
    assert [e.tick for e in notes.events] == [1, 2, 3, 4, 5]


# --- replicas


def test_what_is_for_a_population_with_copies_reaches_each_of_them() -> None:
    def program(ranks):
        # Population 0 has a copy on both ranks; population 1 is on rank 1 and says something.
        copy, speaks = Scripted(), begins([event(1, 1, 0)])
        actors = {0: copy, 1: speaks} if ranks.rank == 1 else {0: copy}
        notes = Notes()
        Engine(actors, [ranks.rank, 1], ranks, 1, notes, copied={0: range(2)}).run()
        return len(copy.inboxes), len(notes.events)

    assert PretendRanks(2, 30.0).run(program) == [(1, 0), (1, 1)]


@pytest.mark.parametrize("meets", [False, True])
def test_where_ranks_meet_within_a_window_a_failure_is_not_told_first(meets: bool) -> None:
    def fails(came: Event) -> list[Event]:
        raise ZeroDivisionError

    class Counted(OneRank):
        exchanges = 0

        def exchange(self, outgoing, wake):
            self.exchanges += 1
            return super().exchange(outgoing, wake)

    ranks = Counted()
    actors = {0: begins([event(1, 0, 1)]), 1: Scripted(fails)}
    with pytest.raises(ZeroDivisionError):
        Engine(actors, [0, 0], ranks, 1, Notes(), meets=meets).run()
    # At the beginning, after the window that sent, and after that which failed.
    assert ranks.exchanges == (2 if meets else 3)


# --- several that fail, or are at work when one fails


@pytest.mark.parametrize("others", [5, 3])
def test_what_fails_after_the_failure_that_ends_a_run_is_not_its_cause(others: Tick) -> None:
    """With overlap a rank is a window further when it hears that another one has failed."""

    class Fails(Scripted):
        def __init__(self, at: Tick) -> None:
            super().__init__()
            self._at = at

        def advance(self, window, inbox):
            if window.end > self._at:
                raise ZeroDivisionError(f"at {self._at}")
            return super().advance(window, inbox)

    def program(ranks):
        along = Fails(others if ranks.rank == 0 else 3)
        simulated = Engine(
            {ranks.rank: along}, [0, 1], ranks, 4, Notes(), (ranks.rank,), {}, 4, True, overlap=True
        )
        with pytest.raises((ZeroDivisionError, StoppedError)) as ended:
            simulated.run(until=100, idle=True)
        ranks.agree(False)  # neither leaves while the other is under way
        return str(ended.value)

    expected = "the run was asked to end and stopped at tick 6" if others == 5 else "at 3"
    assert PretendRanks(2, 30.0).run(program) == [expected, "at 3"]


def test_no_thread_is_at_work_after_a_run_has_failed() -> None:
    class Slow(Scripted):
        def advance(self, window, inbox):
            time.sleep(0.1)
            return super().advance(window, inbox)

    def fails(came: Event) -> list[Event]:
        raise ZeroDivisionError

    slow, sent = Slow(), [event(1, 0, 1), event(1, 0, 2)]
    actors = {0: begins(sent), 1: Scripted(fails), 2: slow}
    with pytest.raises(ZeroDivisionError):
        Engine(actors, [0, 0, 0], OneRank(), 1, Notes(), threads=2).run()
    assert slow.windows == [(1, 2)]


def test_a_torch_operation_in_a_thread_takes_no_further_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limited, at_work = [], set()

    class Watching(Scripted):
        def advance(self, window, inbox):
            at_work.add(threading.get_ident())
            return super().advance(window, inbox)

    monkeypatch.setattr(
        torch, "set_num_threads", lambda n: limited.append((threading.get_ident(), n))
    )
    actors = {0: begins([event(1, 0, 1), event(1, 0, 2)]), 1: Watching(), 2: Watching()}
    Engine(actors, [0, 0, 0], OneRank(), 1, Notes(), threads=2).run()
    assert at_work
    assert threading.get_ident() not in at_work
    assert {(thread, 1) for thread in at_work} <= set(limited)
