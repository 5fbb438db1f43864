from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biosim.draws import Draws
from biosim.network import NetworkError
from biosim.wiring import AllToAll, FixedInDegree, FixedProbability, FixedTotal, OneToOne, Pairs

RULES = [
    AllToAll(),
    AllToAll(selves=False),
    FixedProbability(0.3),
    FixedProbability(0.02, selves=False),
    FixedProbability(0.97),
    FixedProbability(1.0, selves=False),
    FixedProbability(0.0),
    FixedInDegree(13),
    FixedInDegree(300, selves=False),
    FixedInDegree(20, multiple=False),
    FixedInDegree(49, selves=False, multiple=False),
    FixedInDegree(0),
    FixedTotal(700),
    FixedTotal(0),
    Pairs([3, 3, 49, 0], [30, 2, 30, 30]),
]
N_PRE, N_POST = 50, 31


def lists(rule, lo=0, hi=N_POST, n_pre=N_PRE, n_post=N_POST, seed=0, name="a"):
    """The sources of each of the targets, as lists."""
    indptr, sources = rule.sources(lo, hi, n_pre, n_post, seed, name)
    assert (indptr.dtype, sources.dtype) == (np.int64, np.uint32)
    assert indptr[0] == 0
    assert indptr[-1] == len(sources)
    return [sources[a:b].tolist() for a, b in pairwise(indptr)]


@pytest.mark.parametrize("rule", RULES, ids=repr)
@given(cuts=st.lists(st.integers(0, N_POST), max_size=4))
def test_bits_do_not_depend_on_how_targets_are_cut(rule, cuts) -> None:
    bounds = sorted([0, *cuts, N_POST])
    cut = [row for lo, hi in pairwise(bounds) for row in lists(rule, lo, hi)]
    assert cut == lists(rule)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_numbers_are_those_of_the_lists(rule) -> None:
    numbers = rule.numbers(3, 29, N_PRE, N_POST, 0, "a")
    assert numbers.dtype == np.int64
    assert numbers.tolist() == [len(row) for row in lists(rule, 3, 29)]


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_sources_lie_in_their_population(rule) -> None:
    rule.check(N_PRE, N_POST, "a")
    assert all(source < N_PRE for row in lists(rule) for source in row)


@pytest.mark.parametrize("rule", [r for r in RULES if not getattr(r, "selves", True)], ids=repr)
@pytest.mark.parametrize("n_pre", [N_PRE, 50])
def test_no_neuron_is_joined_to_itself_if_asked(rule, n_pre) -> None:
    assert not any(target in row for target, row in enumerate(lists(rule, n_pre=n_pre)))


@pytest.mark.parametrize(
    "rule", [FixedProbability(0.3), FixedInDegree(13), FixedTotal(700)], ids=repr
)
def test_seed_and_name_give_a_wiring_of_their_own(rule) -> None:
    drawn = [lists(rule, seed=seed, name=name) for seed, name in ((0, "a"), (1, "a"), (0, "b"))]
    assert drawn[0] not in drawn[1:]
    assert lists(rule) == drawn[0]


def test_all_to_all_is_every_pair_once() -> None:
    assert lists(AllToAll()) == [list(range(N_PRE))] * N_POST
    apart = [[s for s in range(N_PRE) if s != t] for t in range(N_POST)]
    assert lists(AllToAll(selves=False)) == apart
    assert AllToAll(selves=False).synapses(N_PRE, N_POST) == sum(map(len, apart))


@pytest.mark.parametrize("n_post", [5, 60])
def test_sources_without_a_counterpart_are_all_there(n_post) -> None:
    found = lists(AllToAll(selves=False), hi=n_post, n_pre=20, n_post=n_post)
    assert found == [[s for s in range(20) if s != t] for t in range(n_post)]
    assert lists(FixedProbability(1.0, selves=False), hi=n_post, n_pre=20, n_post=n_post) == found


def test_one_to_one_joins_neurons_of_one_index() -> None:
    assert lists(OneToOne(), 3, 6, 9, 9) == [[3], [4], [5]]
    assert OneToOne().numbers(3, 6, 9, 9, 0, "a").tolist() == [1, 1, 1]
    assert OneToOne().synapses(9, 9) == 9


def test_probability_one_is_every_pair_and_zero_none() -> None:
    assert lists(FixedProbability(1.0)) == lists(AllToAll())
    assert lists(FixedProbability(0.0)) == [[]] * N_POST


def test_skipping_is_the_inversion_of_the_geometric_distribution() -> None:
    p, n_pre = 0.11, 1000
    words = Draws(4, "wiring/a").uniform([7], 400)[0]
    expected = np.cumsum(np.floor(np.log(words) / np.log1p(-p)).astype(int) + 1) - 1
    expected = expected[expected < n_pre].tolist()
    assert lists(FixedProbability(p), 7, 8, n_pre, 10, seed=4) == [expected]


def test_sources_by_probability_are_in_order_and_once() -> None:
    for row in lists(FixedProbability(0.3)):
        assert row == sorted(set(row))


def test_more_synapses_than_expected_are_not_lost() -> None:
    # p x n is 1e-3 a stretch: room for sixteen; the chance of all is made by hand.
    rule = FixedProbability(0.5)
    n_pre = 4
    found = [row for seed in range(40) for row in lists(rule, n_pre=n_pre, seed=seed)]
    assert sum(map(len, found)) == pytest.approx(0.5 * n_pre * len(found), rel=0.1)


def test_an_in_degree_takes_a_word_a_synapse() -> None:
    words = Draws(4, "wiring/a").words([5], 13)[0].astype(np.uint64)
    assert lists(FixedInDegree(13), 5, 6, seed=4) == [(words * N_PRE >> 32).tolist()]


def test_an_in_degree_is_that_of_every_target() -> None:
    for multiple in (True, False):
        rule = FixedInDegree(13, multiple=multiple)
        assert {len(row) for row in lists(rule)} == {13}
        assert rule.synapses(N_PRE, N_POST) == 13 * N_POST


def test_without_multiple_synapses_no_source_comes_twice() -> None:
    for n in (1, 30, 49):
        for row in lists(FixedInDegree(n, selves=False, multiple=False)):
            assert len(set(row)) == n
    assert [sorted(r) for r in lists(FixedInDegree(50, multiple=False))] == lists(AllToAll())


@given(st.integers(0, 10**6), st.integers(1, 3000))
def test_a_total_is_exact(total, n_post) -> None:
    numbers = FixedTotal(total).numbers(0, n_post, 7, n_post, 0, "a")
    assert numbers.sum() == total
    assert (numbers >= 0).all()


def test_a_large_total_is_exact_and_even() -> None:
    n = FixedTotal(40_000_000).numbers(0, 20_000, 7, 20_000, 0, "a")
    assert n.sum() == 40_000_000
    assert abs(n - 2000).max() < 6 * 2000**0.5


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_expected_synapses_are_about_those_drawn(rule) -> None:
    drawn = sum(rule.numbers(0, N_POST, N_PRE, N_POST, 0, "a"))
    assert drawn == pytest.approx(rule.synapses(N_PRE, N_POST), abs=4 * (drawn + 1) ** 0.5)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), "0.1"])
def test_a_probability_outside_zero_and_one_is_refused(p) -> None:
    with pytest.raises(NetworkError, match=r"'x' has a probability of .*; expected 0 to 1"):
        FixedProbability(p).check(5, 5, "x")


@pytest.mark.parametrize(
    ("rule", "there"),
    [(FixedInDegree(6, multiple=False), 5), (FixedInDegree(5, False, multiple=False), 4)],
)
def test_an_in_degree_beyond_the_sources_is_refused(rule, there) -> None:
    with pytest.raises(NetworkError, match=f"'x' has an in-degree of . out of {there} sources"):
        rule.check(5, 5, "x")


def test_an_in_degree_out_of_nobody_is_refused() -> None:
    with pytest.raises(NetworkError, match="in-degree of 3 out of 0 sources other than the target"):
        FixedInDegree(3, selves=False).check(1, 1, "x")


@pytest.mark.parametrize("n", [-1, 2.5])
@pytest.mark.parametrize("rule", [FixedInDegree, FixedTotal])
def test_a_number_that_is_none_is_refused(rule, n) -> None:
    with pytest.raises(NetworkError, match=f"of {n} synapses; expected a whole number"):
        rule(n).check(5, 5, "x")


def test_populations_of_two_sizes_are_not_joined_one_to_one() -> None:
    with pytest.raises(NetworkError, match="'x' joins 5 sources to 6 targets one to one"):
        OneToOne().check(5, 6, "x")


@pytest.mark.parametrize("rule", [*RULES, OneToOne()], ids=repr)
@pytest.mark.parametrize(("sizes", "end"), [((0, 5), "source"), ((5, 0), "target")])
def test_an_end_without_neurons_is_refused(rule, sizes, end) -> None:
    with pytest.raises(NetworkError, match=f"'x' has 0 neurons at its {end}"):
        rule.check(*sizes, "x")
