"""Stretches of time: what lies in them, and what is recorded in them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biosim.events import Window
from biosim.spiking.periods import ALWAYS, PeriodError, Periods
from biosim.spiking.recording import Recording, SpikeRecord, StateRecord
from tests.unit.biosim.spiking.small import counter, counting, listed, run

edges = st.lists(st.integers(0, 60), min_size=2, max_size=6, unique=True).map(
    lambda found: sorted(found)[: len(found) // 2 * 2]
)


@given(edges, st.integers(1, 7), st.integers(1, 70), st.booleans())
def test_within_touch_and_count_agree_with_sets(
    found: list[int], every: int, ticks: int, ends: bool
) -> None:
    stretches = tuple(zip(found[::2], found[1::2], strict=True))
    periods = Periods(stretches)
    inside = {tick for start, end in stretches for tick in range(start, end)}
    assert set(np.flatnonzero(periods.within(np.arange(100)))) == inside
    for start in range(0, 60, 7):
        assert periods.touch(Window(start, start + 7)) == bool(
            inside & set(range(start, start + 7))
        )
    closed = {tick for start, end in stretches for tick in range(start, end + 1)}
    assert {tick for tick in range(100) if periods.holds(tick)} == closed
    due = {t for t in (closed if ends else inside) if t % every == 0 and t < ticks + ends}
    assert periods.count(ticks, every, ends) == len(due)


def test_all_time_has_every_tick() -> None:
    assert ALWAYS.within(np.arange(3)).all()
    assert ALWAYS.touch(Window(5, 6))
    assert not ALWAYS.touch(Window(5, 5))
    assert ALWAYS.holds(3)
    assert (ALWAYS.count(100), ALWAYS.count(100, 30), ALWAYS.count(90, 30, ends=True)) == (
        100,
        4,
        4,
    )


@pytest.mark.parametrize("stretches", [(), ((3, 3),), ((5, 2),), ((0, 5), (4, 9)), ((-1, 5),)])
def test_stretches_that_are_none_are_refused(stretches: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(PeriodError, match=r"as ticks from which and until which to record; exp"):
        Periods(stretches)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("window", [1, 7, 40])
def test_only_what_lies_in_the_stretches_is_recorded(threads: int, window: int) -> None:
    network = counting(listed((1, 5), (10, 5), (20, 300)), counter(I=0.3, grow="1/ms"))
    during = Periods(((3, 8), (14, 30)))

    def recording(during: Periods) -> Recording:
        return Recording(
            (SpikeRecord("out", during=during),),
            (StateRecord("out", ("v",), [5, 300], every=2, during=during),),
        )

    whole, _ = run(network, 40, recording(ALWAYS))
    part, simulation = run(network, 0, recording(during), threads=threads)
    for tick in range(window, 40 + window, window):
        simulation.run_to(min(tick, 40))
    ticks, neurons = whole.spikes["out"]
    kept = during.within(ticks)
    assert 0 < kept.sum() < len(ticks)
    assert part.spikes["out"].ticks.tolist() == ticks[kept].tolist()
    assert part.spikes["out"].neurons.tolist() == neurons[kept].tolist()
    states = whole.states["out", "v"]
    kept = during.within(states.ticks)
    assert part.states["out", "v"].ticks.tolist() == [4, 6, *range(14, 30, 2)]
    np.testing.assert_array_equal(part.states["out", "v"].values, states.values[kept])
