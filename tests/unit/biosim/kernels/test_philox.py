import numpy as np
import pytest
from numba import njit

from biosim.draws import Draws, philox
from biosim.kernels.philox import fill_planes, words

FULL = 2**32 - 1


@njit
def one(k0, k1, c0, c1, c2, c3):
    return words(k0, k1, c0, c1, c2, c3)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((FULL,) * 4, (FULL,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_words_are_those_of_the_authors_known_answers(counter, key, expected) -> None:
    # Salmon et al. 2011, Random123, kat_vectors: philox4x32-10.
    assert one(*key, *counter) == expected


def test_words_equal_those_of_draws_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    for k0, k1, *counter in rng.integers(0, 2**32, (200, 6), dtype=np.uint64).tolist():
        expected = philox(tuple(np.array([c], np.uint32) for c in counter), (k0, k1))
        assert one(k0, k1, *counter) == tuple(int(word[0]) for word in expected)


def test_words_are_uint32() -> None:
    assert one.overloads or one(1, 2, 3, 4, 5, 6)
    assert {str(t) for t in one.nopython_signatures[0].return_type} == {"uint32"}


@pytest.mark.parametrize("entity", [0, 7, 2**32 + 5])
@pytest.mark.parametrize("counter", [0, 3])
@pytest.mark.parametrize("first", [0, 11])
def test_planes_hold_the_words_of_an_entity(entity, counter, first) -> None:
    draws = Draws(5, "planes")
    planes = np.empty((4, 19), np.uint32)
    fill_planes(*draws.key, entity, counter, first, planes)
    expected = draws.words([entity], 4 * (first + 19), counter)[0, 4 * first :]
    assert (planes.T.ravel() == expected).all()
