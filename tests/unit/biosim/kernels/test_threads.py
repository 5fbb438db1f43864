import threading
import time

import numpy as np
import pytest

from tests.unit.biosim.kernels.wrapped import written

PROGRAM = """
@compiled
def march(me, threads, meetings, leaves_at, barrier, reached):
    for step in range(meetings):
        reached[me] = step
        if step == leaves_at:
            give_up(barrier)
            return -1 - step
        if meet(barrier, threads):
            return step
        for other in range(threads):
            # All have come to this meeting, and none is past the next one.
            if reached[other] < step or reached[other] > step + 1:
                return -1000 - step
    return meetings
"""


def march(
    threads: int, meetings: int, leaver: int = -1, leaves_at: int = -1, late: float = 0.0
) -> list[int]:
    """What each of the threads came to."""
    barrier = np.zeros(32, np.int64)
    reached = np.full(threads, -1)
    run = written(PROGRAM).march
    ended = [0] * threads
    run(0, 1, 1, -1, np.zeros(32, np.int64), np.zeros(1, np.int64))  # compiled before they start

    def one(me: int) -> None:
        if me == threads - 1:
            time.sleep(late)
        at = leaves_at if me == leaver else -1
        ended[me] = run(me, threads, meetings, at, barrier, reached)

    crowd = [threading.Thread(target=one, args=(me,), daemon=True) for me in range(threads)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join(60)
        assert not each.is_alive(), "a thread waits for ever"
    return ended


@pytest.mark.parametrize("threads", [1, 2, 3, 9])
def test_nobody_goes_on_before_all_have_come(threads: int) -> None:
    # Nine are more than the cores of most desks: cores are given away.
    meetings = 2000 // threads
    assert march(threads, meetings) == [meetings] * threads


def test_a_thread_that_comes_late_is_waited_for() -> None:
    assert march(3, 50, late=0.3) == [50] * 3


@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("leaves_at", [0, 1, 30])
def test_all_stop_at_the_meeting_that_one_does_not_come_to(threads: int, leaves_at: int) -> None:
    # Whoever is slow still does what was begun together: all stop at the same meeting.
    for _ in range(20):
        ended = march(threads, 40, leaver=0, leaves_at=leaves_at)
        assert ended == [-1 - leaves_at] + [leaves_at] * (threads - 1)
