import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biosim.draws import Draws, philox

# Random123 1.14.0 (D. E. Shaw Research), tests/kat_vectors, philox4x32 10.
KNOWN = [
    (
        (0x00000000, 0x00000000, 0x00000000, 0x00000000),
        (0x00000000, 0x00000000),
        (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
    ),
    (
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_philox_gives_the_published_words(counter, key, words) -> None:
    given_words = tuple(np.array([word], dtype=np.uint32) for word in counter)
    assert tuple(int(word[0]) for word in philox(given_words, key)) == words


def test_counters_are_broadcast_against_each_other() -> None:
    zero, two = np.zeros(1, dtype=np.uint32), np.arange(2, dtype=np.uint32)
    rows = philox((two[:, None], zero, two, zero), (1, 2))
    assert rows[0].shape == (2, 2)
    alone = philox((two[1:], zero, two[:1], zero), (1, 2))
    assert [int(word[1, 0]) for word in rows] == [int(word[0]) for word in alone]


@given(
    entities=st.lists(st.integers(0, 2**40), min_size=1, max_size=6, unique=True),
    n=st.integers(1, 9),
    more=st.integers(0, 9),
    counter=st.integers(0, 2**32 - 1),
)
def test_a_number_does_not_depend_on_what_is_drawn_with_it(entities, n, more, counter) -> None:
    draws = Draws(0, "test")
    for kind in (draws.words, draws.uniform, draws.normal):
        together = kind(entities, n + more, counter)
        assert together.shape == (len(entities), n + more)
        for row, entity in enumerate(entities):
            assert np.array_equal(kind([entity], n, counter)[0], together[row, :n])


def test_a_new_counter_gives_new_numbers() -> None:
    draws = Draws(0, "test")
    one, other = draws.words(range(50), 4, counter=1), draws.words(range(50), 4, counter=2)
    assert not np.intersect1d(one, other).size


@pytest.mark.parametrize("other", [Draws(1, "test"), Draws(0, "another"), Draws(0, "1/test")])
def test_seed_and_purpose_have_streams_of_their_own(other: Draws) -> None:
    mine = Draws(0, "test").words(range(50), 4)
    assert not np.intersect1d(mine, other.words(range(50), 4)).size


def test_entities_that_differ_in_the_upper_word_differ() -> None:
    draws = Draws(0, "test")
    assert not np.array_equal(draws.words([7], 4), draws.words([7 + 2**32], 4))


def test_uniform_numbers_lie_in_the_open_interval() -> None:
    class Extreme(Draws):
        def words(self, entities, n, counter=0):
            return np.array([[0, 2**32 - 1]], dtype=np.uint32)

    low, high = Extreme(0, "test").uniform([0], 2)[0]
    assert 0.0 < low < high < 1.0
    assert np.isfinite(Extreme(0, "test").normal([0], 2)).all()


def test_an_order_is_a_permutation_and_changes_with_the_counter() -> None:
    draws = Draws(0, "order")
    orders = [draws.order(20, counter) for counter in range(3)]
    for order in orders:
        assert sorted(order) == list(range(20))
    assert len({tuple(order) for order in orders}) == 3


def test_samples_keep_their_order_when_others_join() -> None:
    draws = Draws(0, "order")
    longer = draws.order(30)
    assert np.array_equal(longer[longer < 20], draws.order(20))
