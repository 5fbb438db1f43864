import math

import numpy as np
import pytest
from scipy import stats

from biosim.draws import Draws, philox
from biosim.kernels.noise import MOST_EACH, poisson_table
from tests.unit.biosim.kernels.wrapped import kernel

FIXED = 1e-3
"""A p-value below which a fixed sample counts as wrong; a wrong one is far below."""


def key(purpose: str = "noise"):
    return np.array(Draws(3, purpose).key, np.uint32)


def words(n: int, stream: int = 0, tick: int = 0, first: int = 0):
    out = np.zeros(n, np.uint32)
    kernel("fill_words")(key(), stream, tick, first, out)
    return out


@pytest.mark.parametrize("tick", [0, 7, 2**32 + 5])
@pytest.mark.parametrize("stream", [0, 3])
@pytest.mark.parametrize("first", [0, 512])
def test_words_are_philox_of_neuron_stream_and_tick(tick: int, stream: int, first: int) -> None:
    got = words(1024, stream, tick, first)
    neurons = np.arange(first, first + 1024)
    block, place = neurons // 256, neurons % 256
    counter = (64 * block + place % 64, stream, tick & 0xFFFFFFFF, tick >> 32)
    four = philox(tuple(np.asarray(c, np.uint32) for c in counter), Draws(3, "noise").key)
    np.testing.assert_array_equal(got, np.choose(place // 64, four))


def test_a_neuron_has_its_words_wherever_blocks_are_cut() -> None:
    whole = words(1024)
    cut = np.concatenate([words(256, first=0), words(512, first=256), words(256, first=768)])
    assert whole.tobytes() == cut.tobytes()


def counts_of(mean: float, u, each: bool = False, weight: int = 1):
    acc = np.zeros(len(u), np.int32)
    if each:
        kernel("add_poisson_each")(u, np.full(len(u), mean), np.int32(weight), acc)
    else:
        kernel("add_poisson")(u, poisson_table(mean), np.int32(weight), acc)
    return acc


@pytest.mark.parametrize("mean", [0.0, 0.01, 1.0, 2.0, 5.3, 12.0, 30.0, 89.0])
@pytest.mark.parametrize("each", [False, True])
def test_a_word_has_the_poisson_count_of_its_quantile(mean: float, each: bool) -> None:
    u = words(4096)
    expected = stats.poisson.ppf((u + 0.5) * 2.0**-32, mean) if mean else np.zeros(len(u))
    np.testing.assert_array_equal(counts_of(mean, u, each), expected.astype(int))


def p_value(counts, mean: float) -> float:
    """Of the counts, if they were Poisson."""
    most = int(stats.poisson.ppf(1 - 20 / len(counts), mean))
    chance = stats.poisson.pmf(np.arange(most), mean)
    expected = np.append(chance, 1 - chance.sum()) * len(counts)
    found = np.bincount(np.minimum(counts, most), minlength=most + 1)
    kept = expected >= 5
    pooled = [np.append(x[kept], x[~kept].sum()) for x in (found, expected)]
    pooled = [x if pooled[1][-1] > 0 else x[:-1] for x in pooled]
    return float(stats.chisquare(*pooled).pvalue)


@pytest.mark.parametrize("mean", [0.3, 3.0, 40.0])
def test_counts_are_poisson_and_others_are_told_from_them(mean: float) -> None:
    u = np.concatenate([words(2048, tick=tick) for tick in range(50)])
    counts = counts_of(mean, u)
    assert p_value(counts, mean) > FIXED
    assert p_value(counts, 1.05 * mean) < FIXED
    # The same mean, less spread.
    trials = int(2 * mean) + 2
    spread = stats.binom.ppf((u + 0.5) * 2.0**-32, trials, mean / trials)
    assert p_value(spread.astype(int), mean) < FIXED


@pytest.mark.parametrize("n", [1, 255, 256, 257, 700])
@pytest.mark.parametrize("mean", [1.5, 60.0])
def test_counts_are_added_times_the_weight_to_any_number_of_neurons(n: int, mean: float) -> None:
    u = words(768)
    acc = np.arange(n, dtype=np.int64)
    kernel("add_poisson")(u, poisson_table(mean), np.int64(-3), acc)
    expected = np.arange(n) - 3 * counts_of(mean, u)[:n].astype(np.int64)
    np.testing.assert_array_equal(acc, expected)


def test_the_table_ends_where_words_do() -> None:
    table = poisson_table(90.0)
    assert table.dtype == np.uint32
    assert (np.diff(table.astype(np.int64)) >= 0).all()
    assert len(poisson_table(0.0)) == 0
    # What no word can reach has about the chance of a word.
    assert stats.poisson.sf(len(table), 90.0) < 2.0**-31
    assert stats.poisson.sf(len(table) - 2, 90.0) > 2.0**-32
    assert len(table) < MOST_EACH


def normals(n: int, stream: int = 0, tick: int = 0, precision: type = np.float64):
    out, room = np.zeros(n, precision), np.zeros(-(-n // 256) * 256, np.uint32)
    kernel("fill_normal")(key(), stream, tick, 0, room, out)
    return out


def test_normal_numbers_are_normal_and_others_are_told_from_them() -> None:
    numbers = np.concatenate([normals(5000, tick=tick) for tick in range(10)])
    n = len(numbers)
    assert stats.kstest(numbers, "norm").pvalue > FIXED
    assert stats.kstest(1.05 * numbers, "norm").pvalue < FIXED
    assert abs(numbers.mean()) < 4 / math.sqrt(n)
    assert abs(numbers.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs(stats.skew(numbers)) < 4 * math.sqrt(6 / n)
    assert abs(stats.kurtosis(numbers)) < 4 * math.sqrt(24 / n)
    assert abs(stats.kurtosis(np.clip(numbers, -2, 2))) > 4 * math.sqrt(24 / n)


def test_neurons_ticks_and_streams_are_independent() -> None:
    drawn = [normals(20_000, s, t) for s, t in ((0, 0), (1, 0), (0, 1), (0, 2**32))]
    drawn.append(np.roll(drawn[0], 1))
    drawn.append(np.roll(drawn[0], 64))
    apart = np.abs(np.corrcoef(drawn) - np.eye(len(drawn)))
    assert apart.max() < 4 / math.sqrt(20_000)


@pytest.mark.parametrize("n", [1, 256, 700])
def test_a_normal_number_is_that_of_its_two_words(n: int) -> None:
    u, turn = ((words(768, stream, 9)[:n] + 0.5) * 2.0**-32 for stream in (6, 7))
    expected = np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * turn)
    np.testing.assert_allclose(normals(n, 3, 9), expected, rtol=1e-13, atol=1e-15)
    single = normals(n, 3, 9, np.float32)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-6, atol=1e-6)


def test_uniform_numbers_are_between_0_and_1() -> None:
    out, room = np.zeros(50_000), np.zeros(50_176, np.uint32)
    kernel("fill_uniform")(key(), 0, 0, 0, room, out)
    assert 0 < out.min() < out.max() < 1
    assert stats.kstest(out, "uniform").pvalue > FIXED
    assert stats.kstest(out**1.05, "uniform").pvalue < FIXED
    np.testing.assert_array_equal(out[:256], (words(256) + 0.5) * 2.0**-32)


def test_sources_spike_with_their_chance() -> None:
    chances = np.repeat([0.0, 0.1, 0.5, 1.0], 2000)
    thresholds = np.minimum(np.rint(chances * 2.0**32), 2.0**32 - 1).astype(np.uint32)
    ids = np.zeros(8000, np.uint32)
    found = np.zeros(8000, int)
    for tick in range(20):
        n = kernel("emit_random")(words(8192, tick=tick), thresholds, np.uint32(100), ids)
        np.testing.assert_array_equal(ids[:n], np.unique(ids[:n]))
        found[ids[:n] - 100] += 1
    by_chance = found.reshape(4, 2000).sum(1)
    assert by_chance[0] == 0
    assert by_chance[3] == 40_000
    for chance, count in zip((0.1, 0.5), by_chance[1:3], strict=True):
        assert stats.binomtest(int(count), 40_000, chance).pvalue > FIXED
        assert stats.binomtest(int(count), 40_000, 1.05 * chance).pvalue < FIXED


def test_a_list_is_emitted_tick_by_tick_and_what_is_past_is_skipped() -> None:
    ticks = np.array([2, 2, 5, 9, 9, 9])
    listed = np.array([7, 3, 1, 4, 5, 6], np.uint32)
    position, ids = np.zeros(1, np.int64), np.zeros(6, np.uint32)

    def at(tick: int) -> list[int]:
        n = kernel("emit_listed")(tick, ticks, listed, position, ids)
        return ids[:n].tolist()

    assert [at(tick) for tick in range(4)] == [[], [], [7, 3], []]
    # From tick 4 on it goes on with tick 9: the spike of tick 5 is past.
    assert at(9) == [4, 5, 6]
    assert at(10) == []
    assert position[0] == 6
