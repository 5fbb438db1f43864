"""Are the draws as random as they should be? Fixed seeds; every check has a negative control.

A family of checks fails only if its smallest p-value, corrected for how many there are, is
below one in a thousand.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from biosim.draws import Draws

Floats = npt.NDArray[np.float64]

ALPHA = 1e-3
N_ENTITIES, N_EACH, N_COUNTERS = 300, 40, 5
PURPOSES = [f"statistics/{i}" for i in range(10)]


def corrected(p_values: list[float]) -> float:
    """The smallest p-value, times how many there are (Bonferroni)."""
    return min(1.0, min(p_values) * len(p_values))


def uniforms(purpose: str) -> Floats:
    """Numbers (n_counters, n_entities, n_each) of one purpose."""
    draws, entities = Draws(0, purpose), np.arange(N_ENTITIES)
    return np.stack([draws.uniform(entities, N_EACH, c) for c in range(N_COUNTERS)])


def normals(purpose: str) -> Floats:
    draws, entities = Draws(0, purpose), np.arange(N_ENTITIES)
    return np.stack([draws.normal(entities, N_EACH, c) for c in range(N_COUNTERS)])


def p_of_correlation(one: Floats, other: Floats) -> float:
    return float(stats.pearsonr(one.ravel(), other.ravel()).pvalue)


def neighbours(values: Floats) -> list[float]:
    """p-values of the correlation along each axis: counters, entities, numbers of one entity."""
    return [
        p_of_correlation(values[1:], values[:-1]),
        p_of_correlation(values[:, 1:], values[:, :-1]),
        p_of_correlation(values[:, :, 1:], values[:, :, :-1]),
    ]


def uniformity(values: Floats) -> float:
    return float(stats.kstest(values.ravel(), "uniform").pvalue)


def normality(values: Floats) -> float:
    return float(stats.kstest(values.ravel(), "norm").pvalue)


# --- uniform


def test_numbers_are_uniform() -> None:
    assert corrected([uniformity(uniforms(purpose)) for purpose in PURPOSES]) > ALPHA


def test_numbers_that_lean_to_zero_are_found() -> None:
    leaning = [uniformity(uniforms(purpose) ** 1.03) for purpose in PURPOSES]
    assert corrected(leaning) < ALPHA


def test_neighbouring_counters_entities_and_numbers_are_not_correlated() -> None:
    found = [p for purpose in PURPOSES for p in neighbours(uniforms(purpose))]
    assert corrected(found) > ALPHA


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_stream_that_leaks_into_its_neighbour_is_found(axis: int) -> None:
    def leaking(purpose: str) -> Floats:
        values = uniforms(purpose)
        return 0.96 * values + 0.04 * np.roll(values, 1, axis=axis)

    found = [p for purpose in PURPOSES for p in neighbours(leaking(purpose))]
    assert corrected(found) < ALPHA


def test_every_bit_of_a_word_is_as_often_one_as_zero() -> None:
    words = Draws(0, "bits").words(np.arange(5000), 8).ravel()
    ones = [int(((words >> np.uint32(bit)) & np.uint32(1)).sum()) for bit in range(32)]
    assert corrected([stats.binomtest(n, words.size).pvalue for n in ones]) > ALPHA
    stuck = words & ~np.uint32(1 << 7) | (np.uint32(1 << 7) * (words % np.uint32(25) != 0))
    ones = [int(((stuck >> np.uint32(bit)) & np.uint32(1)).sum()) for bit in range(32)]
    assert corrected([stats.binomtest(n, words.size).pvalue for n in ones]) < ALPHA


def test_p_values_are_themselves_uniform() -> None:
    # A generator that is too even passes every other test here.
    p_values = [uniformity(uniforms(f"more/{i}")) for i in range(50)]
    assert stats.kstest(p_values, "uniform").pvalue > ALPHA


def test_numbers_that_are_too_even_are_found() -> None:
    def even(i: int) -> Floats:
        u = uniforms(f"more/{i}").ravel()
        return (np.arange(u.size) + u) / u.size

    p_values = [uniformity(even(i)) for i in range(50)]
    assert stats.kstest(p_values, "uniform").pvalue < ALPHA


# --- normal


def test_numbers_are_normal() -> None:
    assert corrected([normality(normals(purpose)) for purpose in PURPOSES]) > ALPHA


@pytest.mark.parametrize("wrong", [lambda z: 1.05 * z, lambda z: z + 0.05, lambda z: z * abs(z)])
def test_numbers_of_another_distribution_are_found(wrong: Callable[[Floats], Floats]) -> None:
    assert corrected([normality(wrong(normals(purpose))) for purpose in PURPOSES]) < ALPHA


def test_the_two_numbers_of_a_pair_are_independent() -> None:
    # Box and Muller make two of two; neither they nor their squares may be correlated.
    pairs = [normals(purpose).reshape(-1, 2) for purpose in PURPOSES]
    found = [p_of_correlation(z[:, 0], z[:, 1]) for z in pairs]
    found += [p_of_correlation(z[:, 0] ** 2, z[:, 1] ** 2) for z in pairs]
    assert corrected(found) > ALPHA


def test_a_pair_with_one_angle_is_found() -> None:
    # The mistake of taking the angle from the radius' own number.
    u = [uniforms(purpose).ravel() for purpose in PURPOSES]
    radius = [np.sqrt(-2.0 * np.log(one)) for one in u]
    pairs = [
        (r * np.cos(2 * np.pi * one), r * np.sin(2 * np.pi * one))
        for r, one in zip(radius, u, strict=True)
    ]
    assert corrected([p_of_correlation(a**2, b**2) for a, b in pairs]) < ALPHA


# --- order


def p_of_places(orders: npt.NDArray[np.int64]) -> float:
    """p-value of: every sample is as often in every place. Orders: (n_orders, n_samples)."""
    n = orders.shape[1]
    counts = np.zeros((n, n))
    for place in range(n):
        counts[:, place] = np.bincount(orders[:, place], minlength=n)
    expected = len(orders) / n
    # Rows and columns sum to what they must: (n - 1)^2 degrees of freedom.
    return float(stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), (n - 1) ** 2))


def test_every_sample_is_as_often_in_every_place() -> None:
    def orders(seed: int) -> npt.NDArray[np.int64]:
        draws = Draws(seed, "order")
        return np.stack([draws.order(12, epoch) for epoch in range(2000)])

    assert corrected([p_of_places(orders(seed)) for seed in range(3)]) > ALPHA


def test_an_order_with_many_ties_is_found() -> None:
    # Four bits a sample: a stable sort keeps those that draw alike in their old order.
    draws = Draws(0, "order")
    words = np.stack([draws.words(np.arange(12), 1, epoch)[:, 0] for epoch in range(2000)])
    assert p_of_places(np.argsort(words % 16, axis=1, kind="stable")) < ALPHA
