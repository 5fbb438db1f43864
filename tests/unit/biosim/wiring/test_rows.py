from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biosim.spiking.description import Normal, Uniform
from biosim.wiring import AllToAll, FixedInDegree, FixedProbability, FixedTotal, Pairs, rows
from biosim.wiring.described import amount, delays
from biosim.wiring.rows import (
    Part,
    absolute_sums,
    build_rows,
)
from biosim.wiring.values import stretch_of

DT = 1e-4
SIZES = {"E": 40, "I": 20}
OFFSET = {"E": 0, "I": 40}
N_SOURCES = 60

# name, source, target, wiring, weight, delay
CONSTANT = [
    ("ee", "E", "E", FixedInDegree(9, selves=False), 0.5, 3e-4),
    ("ei", "I", "E", FixedProbability(0.3), -1.25, 1e-4),
    ("ie", "E", "I", FixedTotal(200), 0.5, 3e-4),
    ("again", "E", "E", FixedInDegree(4), 0.25, 3e-4),
]
DRAWN = [
    ("ee", "E", "E", FixedInDegree(9), Normal(0.5, 0.1), Uniform(1e-4, 9e-4)),
    ("ei", "I", "E", FixedTotal(300), -1.25, 7e-4),
    ("ie", "E", "I", AllToAll(), lambda i, j, **_: i - j, Normal(5e-4, 2e-4)),
    ("listed", "E", "E", Pairs([3, 3, 39, 0], [30, 2, 30, 30]), [1.0, 2, 3, 4], [1e-4] * 4),
    ("computed", "I", "I", FixedInDegree(3), 1.0, lambda i, **_: (1 + i % 3) * DT),
]


def parts_of(described, lo=0.0, hi=1.0, scale=2.0**-20):
    """The parts of a shard that owns the fractions [lo, hi) of all targets."""
    parts = []
    slot = {"E": 0, "I": int(hi * SIZES["E"]) - int(lo * SIZES["E"])}
    for name, source, target, wiring, weight, delay in described:
        value = weight if callable(weight) or isinstance(weight, Normal) else np.array(weight)
        time = np.array(delay) if isinstance(delay, list) else delay
        parts.append(
            Part(
                name,
                wiring,
                amount(value, name, wiring),
                delays(time, 1, DT, name, wiring),
                5,
                int(lo * SIZES[target]),
                int(hi * SIZES[target]),
                SIZES[source],
                SIZES[target],
                OFFSET[source],
                slot[target],
                scale,
            )
        )
    return parts


def listed(parts, kind):
    """Every synapse as (source, delay, weight, slot), one at a time, sorted."""
    found = []
    for part in parts:
        for target in range(part.lo, part.hi):
            here = stretch_of(
                part.wiring, target, target + 1, part.n_pre, part.n_post, part.seed, part.name
            )
            weights = part.weight.draw(here, "weight")
            times = part.delay.draw(here, "delay")
            slot = part.slot + target - part.lo
            for source, weight, ticks in zip(here.sources, weights, times, strict=True):
                stored = round(weight / part.scale) if kind.kind == "i" else kind.type(weight)
                found.append((int(source) + part.source_offset, int(ticks), stored, slot))
    return sorted(found)


def unpacked(made):
    """Every synapse of rows as (source, delay, weight, slot), sorted."""
    found = []
    for source, (first, last) in enumerate(pairwise(made.row)):
        for run in range(first, last):
            for synapse in range(made.start[run], made.start[run + 1]):
                weight = made.run_weight[run] if made.weight is None else made.weight[synapse]
                found.append((source, int(made.delay[run]), weight.item(), int(made.slot[synapse])))
    return sorted(found)


def same(one, other):
    names = ("row", "delay", "start", "slot", "weight", "run_weight")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.mark.parametrize("kind", ["int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("described", [CONSTANT, DRAWN])
@pytest.mark.parametrize("weights", ["auto", "each"])
def test_rows_hold_every_synapse_once(described, kind, weights) -> None:
    parts = parts_of(described, 0.25, 0.75)
    made = build_rows(parts, N_SOURCES, kind, weights)
    assert unpacked(made) == listed(parts, np.dtype(kind))
    held = made.run_weight if made.weight is None else made.weight
    assert held.dtype == kind
    assert (made.row.dtype, made.start.dtype) == (np.int64, np.int64)
    assert (made.delay.dtype, made.slot.dtype) == (np.uint16, np.uint16)


def test_weights_are_kept_a_run_only_where_all_are_constant() -> None:
    constant = build_rows(parts_of(CONSTANT), N_SOURCES)
    assert constant.weight is None
    assert len(constant.run_weight) == len(constant.delay)
    assert build_rows(parts_of(CONSTANT), N_SOURCES, weights="each").run_weight is None
    assert build_rows(parts_of(DRAWN), N_SOURCES).run_weight is None


@pytest.mark.parametrize("described", [CONSTANT, DRAWN])
def test_a_source_s_runs_are_by_delay_and_none_is_empty(described) -> None:
    made = build_rows(parts_of(described), N_SOURCES)
    assert (np.diff(made.start) > 0).all()
    for first, last in pairwise(made.row):
        found = made.delay[first:last].tolist()
        assert found == sorted(found)
        if made.run_weight is None:
            assert len(set(found)) == len(found)


def test_within_a_run_synapses_are_in_the_order_of_targets() -> None:
    made = build_rows(parts_of(DRAWN[:1]), N_SOURCES)
    for first, last in pairwise(made.start):
        assert (np.diff(made.slot[first:last].astype(int)) >= 0).all()


@given(cuts=st.lists(st.sampled_from([0.1, 0.25, 0.5, 0.65, 0.9]), max_size=3))
def test_synapses_do_not_depend_on_how_targets_are_cut(cuts) -> None:
    bounds = sorted({0.0, *cuts, 1.0})
    of_slot = []
    for lo, hi in pairwise(bounds):
        parts = parts_of(DRAWN, lo, hi)
        name = {
            part.slot + t - part.lo: (target, t)
            for part, (*_, target, _, _, _) in zip(parts, DRAWN, strict=True)
            for t in range(part.lo, part.hi)
        }
        of_slot += [(*s[:3], name[s[3]]) for s in unpacked(build_rows(parts, N_SOURCES))]
    whole = [
        (*s[:3], ("E", s[3]) if s[3] < 40 else ("I", s[3] - 40))
        for s in unpacked(build_rows(parts_of(DRAWN), N_SOURCES))
    ]
    assert sorted(of_slot) == sorted(whole)


@pytest.mark.parametrize("described", [CONSTANT, DRAWN])
@pytest.mark.parametrize("kind", ["int32", "float64"])
def test_cutting_sources_and_stretches_changes_nothing(monkeypatch, described, kind) -> None:
    whole = build_rows(parts_of(described), N_SOURCES, kind)
    monkeypatch.setattr(rows, "TABLE", 37)
    monkeypatch.setattr(rows, "AT_ONCE", 20)
    assert same(build_rows(parts_of(described), N_SOURCES, kind), whole)


def test_many_slots_take_four_bytes() -> None:
    def slots(n):
        wiring = FixedInDegree(1)
        it, time = amount(1.0, "a", wiring), delays(None, 1, DT, "a", wiring)
        return build_rows([Part("a", wiring, it, time, 0, 0, n, 3, n)], 3).slot

    assert slots(1 << 16).dtype == np.uint16
    assert slots(1 << 16).max() == (1 << 16) - 1
    assert slots((1 << 16) + 1).dtype == np.uint32
    assert slots((1 << 16) + 1).max() == 1 << 16


def test_a_shard_without_synapses_has_empty_rows() -> None:
    for parts in ([], parts_of(DRAWN, 0.5, 0.5)):
        made = build_rows(parts, N_SOURCES)
        assert made.row.tolist() == [0] * (N_SOURCES + 1)
        assert made.start.tolist() == [0]
        assert len(made.slot) == len(made.delay) == 0
        assert sum(absolute_sums(part).sum() for part in parts) == 0.0


def test_shared_weights_take_two_bytes_a_synapse_and_own_ones_six() -> None:
    wiring = FixedInDegree(1000)
    time = delays(None, 1, DT, "a", wiring)
    for weight, size in ((1.0, 2), (Normal(1.0, 0.1), 6)):
        part = Part("a", wiring, amount(weight, "a", wiring), time, 0, 0, 500, 500, 500)
        made = build_rows([part], 500)
        assert made.nbytes < size * len(made.slot) + 22 * 500 + 100


@pytest.mark.parametrize("described", [CONSTANT, DRAWN])
def test_sums_are_those_of_absolute_weights(described) -> None:
    parts = parts_of(described)
    expected, found = np.zeros(60), np.zeros(60)
    for _, _, weight, slot in listed(parts, np.dtype("float64")):
        expected[slot] += abs(weight)
    for part in parts:
        found[part.slot : part.slot + part.hi - part.lo] += absolute_sums(part)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_sums_are_the_same_for_any_cut() -> None:
    for part in parts_of(DRAWN):
        whole = absolute_sums(part)
        assert len(whole) == part.n_post
    for n, whole in enumerate(parts_of(DRAWN)):
        cut = [parts_of(DRAWN, lo, hi)[n] for lo, hi in pairwise([0.0, 0.1, 0.65, 1.0])]
        found = np.concatenate([absolute_sums(part) for part in cut])
        assert found.tobytes() == absolute_sums(whole).tobytes()


def test_further_variables_come_in_the_order_of_the_rows() -> None:
    (part,) = parts_of(DRAWN[:1])
    made = build_rows([part], N_SOURCES, "float64")
    marks = amount(lambda i, j, **_: i + 1000 * j, "mark", part.wiring)
    marked = build_rows([replace(part, weight=marks)], N_SOURCES, "float64", "each")
    sources = np.repeat(np.arange(N_SOURCES), np.diff(made.start[made.row]))
    assert (marked.weight == sources + 1000 * made.slot.astype(int)).all()
    drawn = [replace(part, purpose=purpose) for purpose in ("weight", "initial/x")]
    one, other = (build_rows([part], N_SOURCES, "float64").weight for part in drawn)
    assert np.array_equal(one, made.weight)
    assert not np.array_equal(other, made.weight)


def test_runs_of_sources_without_synapses_are_empty() -> None:
    made = build_rows(parts_of(CONSTANT[1:2]), N_SOURCES)
    start, weight = made.runs_of_sources()
    assert made.single
    assert weight is not None
    for source in range(N_SOURCES):
        mine = [row for row in unpacked(made) if row[0] == source]
        first, last = start[source], start[source + 1]
        assert sorted(made.slot[first:last].tolist()) == sorted(row[3] for row in mine)
        assert all(row[2] == weight[source] for row in mine)
    nothing = build_rows([], N_SOURCES)
    start, weight = nothing.runs_of_sources()
    assert weight is not None
    assert start.tolist() == [0] * (N_SOURCES + 1)
    assert weight.tolist() == [0] * N_SOURCES
