from functools import partial

import numpy as np
import pytest

from biosim.equations.evaluate import evaluate_value
from biosim.network import NetworkError
from biosim.spiking.description import Normal, Uniform
from biosim.wiring import AllToAll, FixedInDegree, Pairs
from biosim.wiring.described import amount, delays
from biosim.wiring.values import Computed, Constant, Listed, Stretch, stretch_of

DT = 1e-4
RULE = FixedInDegree(40)
LISTED = Pairs([1, 0, 2], [1, 0, 0])


def stretch(lo=0, hi=30, rule=RULE, seed=0, name="a") -> Stretch:
    return stretch_of(rule, lo, hi, 50, 30, seed, name)


def weights(value, **options):
    found = amount(value, "the weight of projection 'a'", RULE)
    return found.draw(stretch(**options), "weight")


def ticks(value, rule=RULE, **options):
    found = delays(value, 1, DT, "a", rule)
    return found.draw(stretch(rule=rule, **options), "delay")


DRAWN = [
    Normal(1.0, 0.5),
    Normal(1.0, 0.5, low=0.8, high=1.5),
    Uniform(-1.0, 2.0),
    lambda rand, randn, i, **_: rand() + 2 * randn() + i,
]


@pytest.mark.parametrize("value", DRAWN)
def test_a_weight_does_not_depend_on_which_targets_are_drawn_together(value) -> None:
    whole = weights(value)
    parts = [weights(value, lo=lo, hi=hi) for lo, hi in ((0, 1), (1, 17), (17, 30))]
    assert np.array_equal(np.concatenate(parts), whole)
    assert len(np.unique(whole)) == len(whole)


@pytest.mark.parametrize("value", DRAWN)
def test_seed_name_and_purpose_give_weights_of_their_own(value) -> None:
    assert not np.array_equal(weights(value), weights(value, seed=1))
    assert not np.array_equal(weights(value), weights(value, name="b"))
    found = amount(value, "it", RULE)
    here = stretch()
    assert not np.array_equal(found.draw(here, "weight"), found.draw(here, "delay"))


def test_a_number_is_the_weight_of_all() -> None:
    found = amount(0.25, "it", RULE)
    assert found == Constant(0.25)
    assert found.ends == (0.25, 0.25)
    assert (weights(0.25) == 0.25).all()
    assert amount(Normal(0.25, 0.0), "it", RULE) == Constant(0.25)


def test_an_array_goes_with_the_pairs_as_they_are_listed() -> None:
    found = amount(np.array([10.0, 20.0, 30.0]), "it", LISTED)
    assert isinstance(found, Listed)
    assert found.ends == (10.0, 30.0)
    assert found.draw(stretch(rule=LISTED), "weight").tolist() == [20.0, 30.0, 10.0]
    assert found.draw(stretch(1, 30, LISTED), "weight").tolist() == [10.0]


def test_a_function_sees_its_synapse() -> None:
    found = amount(lambda i, j, N_pre, N_post, **_: i + j / N_post + N_pre, "it", RULE)
    here = stretch(3, 9)
    assert isinstance(found, Computed)
    assert found.ends is None
    expected = here.sources + np.repeat(np.arange(3, 9), 40) / 30 + 50
    assert found.draw(here, "weight") == pytest.approx(expected)


def test_text_over_a_synapse_is_evaluated_with_its_names() -> None:
    def evaluate(text, names=None):
        return eval(text, {}, dict(names or {}))

    assert amount("3.5", "it", RULE, evaluate) == Constant(3.5)
    found = amount("2*i + j + rand()*0", "it", RULE, evaluate)
    here = stretch()
    assert (found.draw(here, "weight") == 2.0 * here.sources + here.targets()).all()


def test_a_value_that_depends_on_a_neuron_is_computed_by_synapse() -> None:
    assert isinstance(amount("w_pre * 2", "it", RULE, lambda *_: 1.0), Computed)
    assert isinstance(amount("w * 2", "it", RULE, lambda *_: 1.0), Constant)


def test_calls_of_rand_draw_anew() -> None:
    one, other = weights(lambda rand, **_: rand() - rand()), weights(lambda rand, **_: rand())
    assert abs(one).min() > 0
    assert not np.array_equal(one, other)


def test_ranges_hold_all_that_is_drawn() -> None:
    for value in DRAWN[:3]:
        low, high = amount(value, "it", RULE).ends
        drawn = weights(value)
        assert low <= drawn.min() < drawn.max() <= high
    assert amount(Normal(0.0, 1.0), "it", RULE).ends == pytest.approx((-6.338, 6.338), abs=1e-3)


def test_bounded_draws_stay_within_their_bounds() -> None:
    drawn = weights(Normal(1.0, 0.5, low=0.8, high=1.5))
    assert 0.8 <= drawn.min() < 0.81
    assert 1.49 < drawn.max() <= 1.5


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Normal(0.0, -1.0), "is normal with mean 0, deviation -1"),
        (Normal(0.0, 1.0, low=2.0, high=1.0), "expected finite numbers, no negative deviation"),
        (Normal(0.0, 1.0, low=4.0), "of which 3.2e-05 lies between 4 and inf"),
        (Normal(1.0, 0.0, low=4.0), "of which 0 lies between 4 and inf"),
        (Uniform(2.0, 1.0), "is uniform from 2 to 1; expected finite low <= high"),
        (Uniform(-np.inf, 1.0), "is uniform from -inf to 1; expected finite low <= high"),
        (float("nan"), "is nan; expected finite numbers"),
        (np.ones(3), r"is an array of shape \(3,\); expected a number: only listed pairs"),
        ("3*mV", "is text; expected a number in SI units"),
    ],
)
def test_weights_that_are_none_are_refused(value, message) -> None:
    with pytest.raises(NetworkError, match=message):
        weights(value)


def test_an_array_of_another_length_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"of shape \(2,\); expected \(3,\)"):
        amount(np.ones(2), "it", LISTED)


def test_a_function_that_gives_no_number_is_refused() -> None:
    with pytest.raises(NetworkError, match="the weight of projection 'a' is nan for a synapse"):
        weights(lambda i, **_: np.where(i > 3, np.nan, 1.0))


# --- delays


def test_without_a_value_the_projection_s_own_delay_counts() -> None:
    assert delays(None, 7, DT, "a", RULE) == Constant(7.0)


@pytest.mark.parametrize("value", [15e-4, 0.0015 + 1e-12, Normal(15e-4, 0.0)])
def test_a_time_is_as_many_ticks(value) -> None:
    assert delays(value, 1, DT, "a", RULE).ends == (15.0, 15.0)


def test_listed_times_are_ticks() -> None:
    found = delays(np.array([1e-4, 3e-4, 2e-4]), 1, DT, "a", LISTED)
    assert found.draw(stretch(rule=LISTED), "delay").tolist() == [3.0, 2.0, 1.0]


@pytest.mark.parametrize("value", [1.5e-4, 0.0, -1e-4, 0.4e-4, 1e-4 + 1e-9])
def test_times_that_are_no_whole_ticks_are_refused(value) -> None:
    with pytest.raises(NetworkError, match=r"the delay of projection 'a' is .* s with ticks of"):
        delays(value, 1, DT, "a", RULE)
    with pytest.raises(NetworkError, match=r"expected a whole number of ticks, at least one"):
        delays(np.array([1e-4, value, 1e-4]), 1, DT, "a", LISTED)


def test_drawn_times_are_rounded_to_the_nearest_tick() -> None:
    times = amount(Normal(2e-3, 3e-4), "it", RULE).draw(stretch(), "delay")
    assert (ticks(Normal(2e-3, 3e-4)) == np.floor(times / DT + 0.5)).all()


def test_normal_times_below_a_tick_are_drawn_again() -> None:
    drawn = ticks(Normal(1e-4, 2e-4))
    # Half a tick and more: P(1) = P(0.5 <= x < 1.5 | 0.5 <= x), x normal with mean 1 and sd 2.
    assert drawn.min() == 1
    assert np.mean(drawn == 1) == pytest.approx(0.1974 / 0.5987, abs=0.05)


def test_a_low_bound_below_a_tick_means_one_tick() -> None:
    drawn = ticks(Normal(1e-4, 2e-4, low=0.0))
    # P(x < 1.5 | 0 <= x)
    assert drawn.min() == 1
    assert np.mean(drawn == 1) == pytest.approx((0.5987 - 0.3085) / 0.6915, abs=0.05)
    assert ticks(Uniform(0.0, 1e-3)).min() == 1


def test_computed_times_are_rounded() -> None:
    found = delays(lambda i, **_: (i + 1.2) * DT, 1, DT, "a", RULE)
    assert (found.draw(stretch(), "delay") == stretch().sources + 1).all()


def test_computed_times_below_a_tick_are_refused() -> None:
    with pytest.raises(NetworkError, match="'a' has a delay of 0 ticks for a synapse"):
        ticks(lambda i, **_: i * DT)


@pytest.mark.parametrize("value", [Uniform(-1e-3, 1e-3), Normal(1e-3, 1e-3, low=-1e-3)])
def test_times_below_zero_are_refused(value) -> None:
    with pytest.raises(NetworkError, match=r"'a' has the low bound -0.001 s; expected none below"):
        delays(value, 1, DT, "a", RULE)


@pytest.mark.parametrize("value", [7.0, Uniform(1e-3, 7.0), Normal(1e-3, 2.0)])
def test_delays_that_are_too_long_are_refused(value) -> None:
    with pytest.raises(NetworkError, match=r"'a' reaches .* ticks; expected at most 65535"):
        delays(value, 1, DT, "a", RULE)


def test_all_to_all_takes_values_too() -> None:
    here = stretch_of(AllToAll(), 2, 5, 4, 30, 0, "a")
    assert amount(Uniform(0.0, 1.0), "it", AllToAll()).draw(here, "weight").shape == (12,)


# --- text with units


def reading(unit):
    return partial(_read, unit)


def _read(unit, value, names=None):
    return evaluate_value(value, unit, whose="projection 'a'", place="weight", names=names)


def test_text_has_units() -> None:
    assert amount("0.5*mV", "it", RULE, reading("V")) == Constant(0.5e-3)
    assert delays("1.5*ms", 1, DT, "a", RULE, reading("s")).ends == (15.0, 15.0)
    drawn = amount(Normal("1*mV", "0.1*mV", low="0*mV"), "it", RULE, reading("V"))
    assert drawn.draw(stretch(), "weight").mean() == pytest.approx(1e-3, rel=0.02)
    assert delays(Normal("2*ms", "0.1*ms"), 1, DT, "a", RULE, reading("s")).clipped is False


def test_text_over_a_synapse_has_units() -> None:
    here = stretch()
    found = amount("(i - j + N_pre / N_post)*mV", "it", RULE, reading("V"))
    expected = here.sources.astype(float) - here.targets() + 50 / 30
    assert found.draw(here, "weight") == pytest.approx(1e-3 * expected)
    found = delays("1*ms + j*0.1*ms", 1, DT, "a", RULE, reading("s"))
    assert (found.draw(here, "delay") == 10 + here.targets()).all()


def test_draws_in_text_are_those_of_their_synapse() -> None:
    whole = amount("(rand() + randn())*mV", "it", RULE, reading("V")).draw(stretch(), "weight")
    part = amount("(rand() + randn())*mV", "it", RULE, reading("V")).draw(stretch(7, 9), "weight")
    assert np.array_equal(part, whole[7 * 40 : 9 * 40])
    assert len(np.unique(whole)) == len(whole)
    assert whole.mean() == pytest.approx(0.5e-3, abs=1e-4)


def test_a_delay_of_the_projection_is_at_most_what_a_synapse_can_keep() -> None:
    assert delays(None, 65_535, DT, "a", AllToAll()) == Constant(65_535.0)
    with pytest.raises(NetworkError, match="'a' is 65536 ticks; expected at most 65535: take lon"):
        delays(None, 65_536, DT, "a", AllToAll())
