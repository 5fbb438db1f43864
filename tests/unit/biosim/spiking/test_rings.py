import numpy as np
import pytest

from biosim.errors import BiosimError
from biosim.spiking.rings import Rings, kept_ticks


def test_what_is_put_is_taken_tick_by_tick() -> None:
    rings = Rings(2, 7, 5)
    assert rings.ids.shape == (3, 7, 5)
    assert rings.depth == 7
    rings.put(1, np.array([3, 5, 5, 6]), np.array([40, 9, 2, 7]))
    ticks, numbers = rings.taken(1, 0, 7)
    assert ticks.tolist() == [3, 5, 5, 6]
    assert numbers.tolist() == [40, 9, 2, 7]
    assert [len(part) for part in rings.taken(0, 0, 7)] == [0, 0]
    assert rings.taken(1, 4, 6)[1].tolist() == [9, 2]


def test_places_are_used_again() -> None:
    rings = Rings(1, 4, 3)
    for start in range(0, 40, 2):
        rings.clear(1, start, start + 2)
        rings.put(1, np.array([start, start + 1]), np.array([start, 2 * start]))
        least = max(0, start - 2)
        ticks, numbers = rings.taken(1, least, start + 2)
        assert ticks.tolist() == list(range(least, start + 2))
        assert numbers.tolist()[-2:] == [start, 2 * start]


def test_rings_of_nobody_have_room_for_nobody() -> None:
    rings = Rings(1, 3, 0)
    assert [len(part) for part in rings.taken(0, 0, 3)] == [0, 0]


def test_rings_that_take_too_much_are_refused_before_they_are_made() -> None:
    message = (
        r"delays of 66000 ticks with 1000000 neurons need rings of 492 GiB; use shorter delays"
    )
    with pytest.raises(BiosimError, match=message):
        Rings(1, 66_000, 1_000_000)


def test_pages_that_are_not_written_take_no_memory() -> None:
    # 16 GiB of addresses, on any desk.
    rings = Rings(3, 1 << 10, 1 << 20)
    rings.put(3, np.array([1023]), np.array([5]))
    assert rings.ids[3, 1023, 0] == 5


def test_spikes_are_kept_for_a_window_unless_a_rank_knows_too_many_neurons() -> None:
    assert kept_ticks(1000, 15, 40, 2, 12_500) == 1000
    # Of 6.5 million neurons there is room for 41 ticks, one of which is of the delays.
    assert kept_ticks(1000, 15, 1, 2, 6_500_000) == 40
    assert kept_ticks(1000, 15, 100, 2, 6_500_000) == 15
    assert kept_ticks(10, 15, 100, 2, 6_500_000) == 10
