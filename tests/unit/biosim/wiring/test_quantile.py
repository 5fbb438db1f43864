import numpy as np
import pytest
from scipy import special

from biosim.wiring.quantile import normal

WORDS = np.concatenate(
    [[0, 1, 2**31 - 1, 2**31, 2**32 - 1], np.random.default_rng(0).integers(0, 2**32, 20000)]
).astype(np.uint32)
U = (WORDS + 0.5) / 2**32


def drawn(below, span, mean=0.0, sd=1.0, low=-np.inf, high=np.inf):
    out = np.empty(len(WORDS))
    normal(WORDS, below, span, mean, sd, low, high, out)
    return out


def test_numbers_are_the_quantiles_of_their_words() -> None:
    assert drawn(0.0, 1.0) == pytest.approx(special.ndtri(U), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(("below", "span"), [(0.0, 0.01), (0.2, 0.5), (0.99, 0.01), (0.0, 1e-9)])
def test_a_stretch_has_the_quantiles_of_its_part(below, span) -> None:
    expected = special.ndtri(below + span * U)
    assert drawn(below, span) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_numbers_have_mean_and_deviation_and_stay_within_bounds() -> None:
    plain = special.ndtri(U)
    assert drawn(0.0, 1.0, -3.0, 2.0) == pytest.approx(-3.0 + 2.0 * plain, rel=1e-12, abs=1e-12)
    assert np.array_equal(drawn(0.0, 1.0, low=-1.0, high=1.5), np.clip(drawn(0.0, 1.0), -1.0, 1.5))
