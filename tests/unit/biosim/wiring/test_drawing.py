import math

import numpy as np
import pytest
from numba import njit
from scipy import stats

from biosim.draws import Draws
from biosim.wiring.drawing import binomial, log
from biosim.wiring.rules import words_of


@njit
def logarithm(x):
    return log(x)


def test_the_logarithm_is_that_of_libm() -> None:
    rng = np.random.default_rng(0)
    for x in (*rng.random(500), 1 - 2.0**-33, 2.0**-33, 1e-300, 1.0 + 2.0**-50, 2.0, 1e300):
        assert logarithm(x) == pytest.approx(math.log(x), rel=2e-15)
    assert logarithm(1.0) == 0.0


@pytest.mark.parametrize("counter", [0, 2])
def test_a_synapse_takes_the_word_of_its_number(counter) -> None:
    numbers = [0, 1, 5, 300, 256, 4]
    indptr = np.concatenate([[0], np.cumsum(numbers)])
    found = words_of(3, "weight/a", 40, indptr, counter)
    draws = Draws(3, "weight/a")
    expected = [draws.words([40 + r], n, counter)[0] for r, n in enumerate(numbers) if n]
    assert np.array_equal(found, np.concatenate(expected))


@pytest.mark.parametrize("n", [1, 40, 47, 48, 60, 5000])
@pytest.mark.parametrize("p", [1 / 3, 0.5])
def test_the_least_uniform_numbers_pick_the_mode_and_all_stay_in_range(n, p) -> None:
    found = [binomial(u, n, p) for u in (0.0, 0.5, 1 - 2.0**-53)]
    assert all(0 <= k <= n for k in found)
    assert found[0] in (0, math.floor((n + 1) * p))


def test_chances_of_binomial_numbers_add_up_to_one() -> None:
    # What is left at the end of the walk would all go to the mode.
    n, p = 5000, 0.5
    tail = stats.binom.cdf(2500 - 300, n, p)
    assert tail < 1e-16
    found = {binomial(1.0 - 2.0**-40 * k, n, p) for k in range(1, 50)}
    assert 2500 not in found


def test_nothing_is_shared_out_as_nothing() -> None:
    assert binomial(0.3, 0, 0.5) == 0
