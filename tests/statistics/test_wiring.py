"""Is drawn wiring as random as it should be? Fixed seeds; every check has a negative control.

A family of checks fails only if its smallest p-value, corrected for how many there are, is
below one in a thousand.
"""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from biosim.spiking.description import Normal, Uniform
from biosim.wiring import AllToAll, FixedInDegree, FixedProbability, FixedTotal
from biosim.wiring.described import amount
from biosim.wiring.drawing import binomial
from biosim.wiring.values import stretch_of

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

ALPHA = 1e-3
N_PRE, N_POST, P, IN_DEGREE = 200, 1500, 0.07, 15
SEEDS = range(5)


def corrected(p_values: Iterable[float]) -> float:
    """The smallest p-value, times how many there are (Bonferroni)."""
    found = list(p_values)
    return min(1.0, min(found) * len(found))


def joined(rule: object, seed: int) -> Ints:
    """How often each pair is joined, (n_post, n_pre)."""
    indptr, sources = rule.sources(0, N_POST, N_PRE, N_POST, seed, "a")  # type: ignore[attr-defined]
    targets = np.repeat(np.arange(N_POST), np.diff(indptr))
    return np.bincount(targets * N_PRE + sources, minlength=N_POST * N_PRE).reshape(N_POST, N_PRE)


def p_of_counts(counts: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """p-value of counts in bins; bins that expect fewer than five are put together."""
    counts, expected = np.asarray(counts, float), np.asarray(expected, float)
    few = expected < 5
    if few.any():
        counts = np.append(counts[~few], counts[few].sum())
        expected = np.append(expected[~few], expected[few].sum())
    return float(stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue)


def p_of_binomial(numbers: Ints, n: int, p: float) -> float:
    """p-value of numbers that should be binomial."""
    expected = stats.binom.pmf(np.arange(n + 1), n, p) * len(numbers)
    return p_of_counts(np.bincount(numbers, minlength=n + 1), expected)


def p_of_neighbours(pairs: Ints) -> float:
    """p-value of: targets side by side, and sources side by side, are joined independently."""
    table = pairs.astype(float)
    return corrected(
        [
            float(stats.pearsonr(table[1:].ravel(), table[:-1].ravel()).pvalue),
            float(stats.pearsonr(table[:, 1:].ravel(), table[:, :-1].ravel()).pvalue),
        ]
    )


# --- a fixed probability


def test_in_and_out_degrees_of_a_fixed_probability_are_binomial() -> None:
    found = []
    for seed in SEEDS:
        pairs = joined(FixedProbability(P), seed)
        found += [p_of_binomial(pairs.sum(1), N_PRE, P), p_of_binomial(pairs.sum(0), N_POST, P)]
    assert corrected(found) > ALPHA


def test_another_probability_is_found() -> None:
    found = [p_of_binomial(joined(FixedProbability(1.05 * P), s).sum(1), N_PRE, P) for s in SEEDS]
    assert corrected(found) < ALPHA


def test_a_fixed_in_degree_is_told_from_a_fixed_probability() -> None:
    # The mean is right, the spread is not.
    found = [p_of_binomial(joined(FixedInDegree(14), s).sum(1), N_PRE, P) for s in SEEDS]
    assert corrected(found) < ALPHA


@pytest.mark.parametrize("rule", [FixedProbability(P), FixedInDegree(IN_DEGREE)])
def test_neighbours_are_joined_independently(rule: object) -> None:
    assert corrected(p_of_neighbours(joined(rule, seed)) for seed in SEEDS) > ALPHA


@pytest.mark.parametrize("rule", [FixedProbability(P), FixedInDegree(IN_DEGREE)])
def test_a_target_that_copies_from_its_neighbour_is_found(rule: object) -> None:
    def copying(seed: int) -> Ints:
        pairs = joined(rule, seed)
        pairs[1::20] = pairs[0::20]
        return pairs

    assert corrected(p_of_neighbours(copying(seed)) for seed in SEEDS) < ALPHA


# --- a fixed in-degree


def p_of_sources(pairs: Ints, spread: float = 1.0) -> float:
    """p-value of: every source is drawn as often. Spread: of a count, against multinomial."""
    counts = pairs.sum(0)
    expected = counts.sum() / N_PRE
    return float(stats.chi2.sf(((counts - expected) ** 2).sum() / expected / spread, N_PRE - 1))


@pytest.mark.parametrize("selves", [True, False])
def test_sources_of_a_fixed_in_degree_are_drawn_evenly(selves: bool) -> None:
    found = [p_of_sources(joined(FixedInDegree(IN_DEGREE, selves), seed)) for seed in SEEDS]
    assert corrected(found) > ALPHA


@pytest.mark.parametrize("n", [15, 150])
def test_sources_without_repetition_are_drawn_evenly(n: int) -> None:
    rule = FixedInDegree(n, multiple=False)
    # A target takes n of N: the variance of one source's count is less by 1 - n / N.
    spread = (1 - n / N_PRE) * N_PRE / (N_PRE - 1)
    assert corrected(p_of_sources(joined(rule, seed), spread) for seed in SEEDS) > ALPHA


def test_a_source_that_is_drawn_too_often_is_found() -> None:
    def leaning(seed: int) -> Ints:
        pairs = joined(FixedInDegree(IN_DEGREE), seed)
        pairs[:, 3] += joined(FixedInDegree(IN_DEGREE), seed + 100)[:, 3]
        return pairs

    assert corrected(p_of_sources(leaning(seed)) for seed in SEEDS) < ALPHA


def test_the_last_source_is_drawn_with_and_without_selves() -> None:
    for rule in (FixedInDegree(IN_DEGREE), FixedInDegree(IN_DEGREE, selves=False)):
        assert joined(rule, 0)[:, [0, N_PRE - 1]].sum(0).min() > 50


# --- a fixed total


def p_of_shares(numbers: Ints) -> float:
    """Two-sided p-value of multinomial numbers: neither too uneven nor too even."""
    expected = numbers.sum() / len(numbers)
    one = float(stats.chi2.sf(((numbers - expected) ** 2).sum() / expected, len(numbers) - 1))
    return 2 * min(one, 1 - one)


@pytest.mark.parametrize(("total", "n"), [(600_000, 1500), (7000, 1000), (60, 30), (5000, 3)])
def test_the_shares_of_a_total_are_multinomial(total: int, n: int) -> None:
    numbers = [FixedTotal(total).numbers(0, n, 9, n, seed, "a") for seed in range(20)]
    assert corrected(p_of_shares(one) for one in numbers) > ALPHA
    neighbours = np.stack(numbers).astype(float)
    assert stats.pearsonr(neighbours[:-1].ravel(), neighbours[1:].ravel()).pvalue > ALPHA


def test_shares_that_are_too_even_or_too_uneven_are_found() -> None:
    numbers = FixedTotal(600_000).numbers(0, 1500, 9, 1500, 0, "a")
    assert p_of_shares(400 + (numbers - 400) // 2) < ALPHA
    assert p_of_shares(400 + (numbers - 400) * 6 // 5) < ALPHA


def test_halves_of_a_total_are_binomial() -> None:
    halves = [int(FixedTotal(40).numbers(0, 5, 9, 10, seed, "a").sum()) for seed in range(3000)]
    assert p_of_binomial(np.array(halves), 40, 0.5) > ALPHA
    assert p_of_binomial(np.array(halves), 40, 0.48) < ALPHA


@pytest.mark.parametrize("n", [1, 7, 47, 48, 49, 90, 1000, 10**6])
@pytest.mark.parametrize("p", [1 / 3, 0.4, 0.5])
def test_binomial_numbers_are_binomial(n: int, p: float) -> None:
    u = (np.arange(20_000) + 0.5) / 20_000
    found = np.array([binomial(x, n, p) for x in u])
    centre, sd = round(n * p), max(1, round((n * p * (1 - p)) ** 0.5 / 4))
    # In bins of a quarter of the deviation; u is even, so that the fit must be close.
    edges = np.concatenate([[-1], centre + sd * np.arange(-24, 25), [n]])
    edges = np.unique(np.clip(edges, -1, n))
    expected = np.diff(stats.binom.cdf(edges, n, p))
    counts = np.histogram(found, edges + 0.5)[0] / len(u)
    assert abs(counts - expected).max() < 20 / len(u)


# --- weights


def drawn(value: object, seed: int) -> Floats:
    rule = FixedInDegree(IN_DEGREE)
    here = stretch_of(rule, 0, N_POST, N_PRE, N_POST, seed, "a")
    return amount(value, "it", rule).draw(here, "weight")


TRUNCATED = Normal(1.0, 2.0, low=0.5, high=4.0)


@pytest.mark.parametrize(
    ("value", "cdf"),
    [
        (Normal(1.0, 2.0), stats.norm(1.0, 2.0).cdf),
        (TRUNCATED, stats.truncnorm(-0.25, 1.5, 1.0, 2.0).cdf),
        (Uniform(-1.0, 3.0), stats.uniform(-1.0, 4.0).cdf),
        (lambda randn, **_: randn(), stats.norm.cdf),
        (lambda rand, **_: rand(), stats.uniform.cdf),
    ],
)
def test_weights_are_distributed_as_asked(value: object, cdf: Callable[..., Floats]) -> None:
    assert corrected(stats.kstest(drawn(value, s), cdf).pvalue for s in SEEDS) > ALPHA
    wrong = [stats.kstest(1.03 * drawn(value, s) + 0.02, cdf).pvalue for s in SEEDS]
    assert corrected(wrong) < ALPHA


def test_clipping_is_told_from_drawing_again() -> None:
    cdf = stats.truncnorm(-0.25, 1.5, 1.0, 2.0).cdf
    clipped = [np.clip(drawn(Normal(1.0, 2.0), seed), 0.5, 4.0) for seed in SEEDS]
    assert corrected(stats.kstest(one, cdf).pvalue for one in clipped) < ALPHA


def test_weights_tell_nothing_of_their_source_or_their_neighbour() -> None:
    found = []
    for seed in SEEDS:
        weights = drawn(Normal(1.0, 2.0), seed)
        sources = stretch_of(
            FixedInDegree(IN_DEGREE), 0, N_POST, N_PRE, N_POST, seed, "a"
        ).sources.astype(float)
        found += [
            float(stats.pearsonr(weights, sources).pvalue),
            float(stats.pearsonr(weights[1:], weights[:-1]).pvalue),
        ]
    assert corrected(found) > ALPHA


def test_all_to_all_weights_do_not_repeat() -> None:
    here = stretch_of(AllToAll(), 0, 300, 300, 300, 0, "a")
    weights = amount(Uniform(0.0, 1.0), "it", AllToAll()).draw(here, "weight")
    # 32 bits: 90,000 words meet about once.
    assert len(weights) - len(np.unique(weights)) < 8
