import random

import pytest
import torch

from biosim.events import (
    NEVER,
    WHEN_QUIET,
    Course,
    Event,
    Kind,
    Mode,
    Presentation,
    content_order,
)

AT = Presentation(0, 0, 0, Mode.LEARN)


def event(tick: int, kind: Kind, source: int, target: int, projection: int, at=AT) -> Event:
    return Event(tick, kind, source, target, projection, at, torch.zeros(2))


def test_events_are_ordered_by_tick_kind_source_target_projection_presentation() -> None:
    ordered = [
        event(1, Kind.SCORE, 9, 9, 9),
        event(2, Kind.PHASE, 9, 9, 9),
        event(2, Kind.FEEDBACK, 0, 9, 9),
        event(2, Kind.FEEDBACK, 1, 0, 9),
        event(2, Kind.FEEDBACK, 1, 1, 0),
        event(2, Kind.FEEDBACK, 1, 1, 1),
        event(2, Kind.FEEDBACK, 1, 1, 1, Presentation(0, 1, 0, Mode.LEARN)),
    ]
    for seed in range(20):
        mixed = random.Random(seed).sample(ordered, len(ordered))
        assert sorted(mixed, key=content_order) == ordered


def test_payloads_are_never_compared() -> None:
    twice = [event(1, Kind.ACTIVITY, 0, 1, 0)] * 2
    assert len(sorted(twice, key=content_order)) == 2


def test_within_a_tick_phases_come_first_and_feedback_before_activity() -> None:
    layered = [Kind.PHASE, Kind.TARGET, Kind.FEEDBACK, Kind.ACTIVITY, Kind.SCORE]
    assert sorted(Kind) == [*layered, Kind.SPIKE]


def test_waking_when_quiet_comes_after_every_tick_and_before_never() -> None:
    assert 1 << 60 < WHEN_QUIET < NEVER


def test_the_parts_of_a_minibatch_in_a_phase_have_the_whole_in_common() -> None:
    one, other = Presentation(3, 5, 2, Mode.LEARN, 1), Presentation(3, 5, 2, Mode.LEARN, 3)
    assert one != other
    assert one.whole() == other.whole() == Presentation(3, 5, 2, Mode.LEARN)
    assert one.whole() != Presentation(3, 5, 1, Mode.LEARN, 1).whole()


@pytest.mark.parametrize(
    ("epoch", "batch", "share"), [(0, 0, 0.0), (0, 3, 0.375), (1, 0, 0.5), (1, 3, 0.875)]
)
def test_progress_is_the_share_that_lies_before(epoch: int, batch: int, share: float) -> None:
    at = Presentation(epoch, batch, 0, Mode.LEARN)
    assert Course(epochs=2, batches=4, samples=30).progress(at) == share
