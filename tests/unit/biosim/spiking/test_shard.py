import numpy as np
import pytest
from hypothesis import strategies as st

from biosim.network import Network, Population
from biosim.spiking.description import PoissonInput, PoissonSource, Spiking
from biosim.spiking.layout import Layout
from biosim.spiking.shard import Shard, padded
from tests.unit.biosim.spiking.small import COUNTER, DT, counting, listed

SIZES = st.integers(1, 3000)
SHARDS = st.integers(1, 40)


def network() -> Network:
    """Two populations in one sheet, a third in another, sources around them."""
    other = Spiking("dv/dt = -v/(10*ms) : 1\ng : 1", "v > 1", "v = 0", method="euler")
    return Network(
        (
            Population("noise", 300, PoissonSource("10*Hz")),
            Population("a", 600, COUNTER),
            Population("b", 270, other),
            Population("c", 520, COUNTER),
            Population("list", 10, listed((1, 2))),
        ),
        (),
        dt=DT,
        stimuli=(
            PoissonInput("to v", "a", "v", "1*Hz", 1.0),
            PoissonInput("to x", "c", "x", "1*Hz", 1.0),
            PoissonInput("to g", "b", "g", "1*Hz", 1.0),
        ),
    )


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_what_is_owned_lies_in_order_and_nothing_twice(shards: int) -> None:
    layout = Layout(network())
    assert [sheet.populations for sheet in layout.sheets] == [(1, 3), (2,)]
    seen: dict[int, list[int]] = {}
    numbers: list[int] = []
    for number in range(shards):
        shard = Shard(layout, number, shards, "float32")
        for i, (lo, hi) in shard.slices.items():
            seen.setdefault(i, []).extend(range(lo, hi))
        for s, sheet in enumerate(layout.sheets):
            numbers += shard.own[s]["gid"].tolist()
            assert shard.size[s] == sum(np.diff(shard.slices[i])[0] for i in sheet.populations)
            for name, array in shard.state[s].items():
                assert len(array) == shard.size[s], name
        assert shard.emitting == sum(hi - lo for lo, hi in shard.slices.values())
    sizes = [population.size for population in layout.network.populations]
    assert seen == {i: list(range(size)) for i, size in enumerate(sizes)}
    # Neurons with equations come first, in the order of the network; sources after them.
    assert layout.first == {1: 0, 2: 600, 3: 870, 0: 1390, 4: 1690}
    assert sorted(numbers) == list(range(1390))


@pytest.mark.parametrize("shards", [1, 2])
def test_slots_of_receptors_do_not_overlap(shards: int) -> None:
    shard = Shard(Layout(network()), 0, shards, "float32")
    marks = [(1, "v"), (3, "x"), (2, "g"), (1, "x"), (3, "v")]
    for mark, (population, receptor) in enumerate(marks, start=1):
        shard.inputs(population, receptor)[...] = mark
    for mark, (population, receptor) in enumerate(marks, start=1):
        lo, hi = shard.slices[population]
        assert shard.inputs(population, receptor).tolist() == [mark] * (hi - lo)
    assert shard.slots == (shard.acc != 0).sum()
    sheet, place = shard.within(3)
    assert (shard.state[sheet]["_in_x"][place] == 2).all()


def test_a_variable_is_seen_not_copied() -> None:
    shard = Shard(Layout(network()), 0, 1, "float64")
    shard.variable(3, "v")[:] = 7.0
    assert (shard.variable(1, "v") == 0).all()
    assert (shard.state[0]["v"][600:] == 7).all()
    assert shard.variable(1, "n").dtype == np.int32
    assert shard.variable(1, "v").dtype == np.float64
    assert shard.sums == np.int64
    assert Shard(Layout(network()), 0, 1, "float32").sums == np.int32


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_a_neuron_of_a_sheet_is_named_by_its_population_and_index(shards: int) -> None:
    layout = Layout(network())
    for number in range(shards):
        shard = Shard(layout, number, shards, "float32")
        for i in (1, 2, 3):
            sheet, place = shard.within(i)
            for local in range(place.start, place.stop):
                index = shard.slices[i][0] + local - place.start
                assert shard.whose(sheet, local) == (i, index)


def test_a_state_that_is_not_finite_is_told_by_name_and_time() -> None:
    shard = Shard(Layout(counting(listed())), 1, 2, "float32")
    shard.variable(1, "x")[5] = np.inf
    shard.variable(1, "v")[5] = np.nan
    # The second of two shards owns 600 - 256 of 600.
    message = shard.wrong(0, 5, 120)
    assert message == (
        "population 'out', neuron 261: v is nan, x is inf at tick 120 (0.012 s); what was "
        "recorded until then is kept: check the equations, or take a shorter dt"
    )
    shard.variable(1, "x")[5] = 3e38
    shard.variable(1, "v")[5] = 3e38
    assert "neuron 261: its variables are too large together at tick 120" in shard.wrong(0, 5, 120)


def test_blocks_are_padded() -> None:
    assert [padded(n) for n in (0, 1, 256, 257)] == [0, 256, 256, 512]
