"""The fixed point: how fine input is summed, and what happens if bounds do not hold."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biosim.equations.code import EquationError
from biosim.errors import DivergedError
from biosim.kernels.noise import poisson_table
from biosim.network import Network, NetworkError, Population
from biosim.ranks import PretendRanks
from biosim.spiking.binding import agreed_scales
from biosim.spiking.building import Wires
from biosim.spiking.description import PoissonInput, Sparse, Spiking, SynapseModel
from biosim.spiking.layout import Layout
from biosim.spiking.shard import Shard
from biosim.wiring import AllToAll, FixedInDegree, Pairs
from tests.unit.biosim.spiking.small import (
    COUNTER,
    DT,
    GROWING,
    growing,
    listed,
    of_weights,
    pairs_of,
    run,
    scales_of,
    spikes,
)

NEURON = Spiking("dv/dt = -v/(10*ms) : volt\ng : volt", "v > 1*mV", "v = 0*mV", method="exact")


def network(weights, sources=None, targets=None, stimuli=(), synapse=None, receptor="v") -> Network:
    n = len(weights)
    pairs = Pairs(sources or list(range(n)), targets or [0] * n)
    return Network(
        (Population("in", 50, listed()), Population("out", 300, NEURON)),
        (spikes("p", "in", "out", receptor, Sparse(pairs, np.array(weights), synapse=synapse)),),
        dt=DT,
        stimuli=stimuli,
    )


def scale(*described, precision: str = "float32", shards: int = 1, **more) -> float:
    return scales_of(network(*described, **more), precision, shards)[0, "v"]


@given(
    weights=st.lists(st.floats(-1e3, 1e3).filter(lambda w: abs(w) > 1e-6), min_size=1, max_size=20),
    precision=st.sampled_from(("float32", "float64")),
)
def test_the_unit_is_the_finest_power_of_two_that_cannot_overflow(weights, precision) -> None:
    unit = scale(weights, precision=precision)
    most = 2.0 ** (31 if precision == "float32" else 63)
    assert math.frexp(unit)[0] == 0.5, "a power of two"
    total = math.fsum(abs(w) for w in weights)
    # Rounding may add half a unit for each; a bit is to spare, and no two.
    assert total / unit + len(weights) / 2 < most
    assert total / unit >= most / 4


def test_only_what_one_neuron_can_get_in_a_tick_counts() -> None:
    # All on one neuron, or on one each.
    assert scale([1.0] * 8) == 8 * scale([1.0] * 8, targets=list(range(8)))
    # A source that joins twice may add twice; what inhibits counts like what excites.
    assert scale([1.0, -1.0], sources=[3, 3]) == 2 * scale([1.0])


def test_the_unit_is_the_same_for_any_shards_and_ranks() -> None:
    weights = [0.1, 3.0, 0.2, 0.7]
    described = network(weights, targets=[0, 10, 270, 290])
    assert scales_of(described, shards=1) == scales_of(described, shards=2)
    assert scales_of(described, shards=7) == scales_of(described, shards=1)

    def program(ranks):
        layout = Layout(described)
        own = [Shard(layout, ranks.rank, ranks.size, "float32")]
        return agreed_scales(layout, Wires(layout, 0), own, ranks)

    assert PretendRanks(3).run(program) == [scales_of(described)] * 3


def test_a_receptor_without_input_has_any_unit() -> None:
    drive = PoissonInput("none", "out", "v", "0*Hz", "1*mV")
    assert scale([], stimuli=(drive,)) == 1.0


def test_poisson_input_counts_with_the_most_that_it_can_bring() -> None:
    drive = PoissonInput("drive", "out", "v", "1000*Hz", 2.0, n=5)
    most = len(poisson_table(0.5))
    assert 5 < most < 15
    assert scale([], stimuli=(drive,)) == scale([2.0] * most)
    faster = replace(drive, rate="1000*Hz*(i == 299)")
    assert scale([], stimuli=(faster,)) == scale([2.0] * most)


def test_populations_of_one_sheet_share_the_unit_of_the_greater() -> None:
    def described(*weights: float) -> Network:
        populations = (Population("a", 10, COUNTER), Population("b", 10, COUNTER))
        wired = [
            spikes(f"a>{to}", "a", to, "v", Sparse(FixedInDegree(1), weight))
            for to, weight in zip("ab", weights, strict=True)
        ]
        return Network(populations, tuple(wired), dt=DT)

    assert scales_of(described(1.0, 64.0)) == scales_of(described(64.0, 1.0))
    assert scales_of(described(1.0, 64.0)) == {(0, "v"): scales_of(described(64.0, 64.0))[0, "v"]}


def test_drawn_weights_are_bounded_by_the_most_that_can_be_drawn() -> None:
    wired = Sparse(AllToAll(), "1*mV + 3*mV*rand()")
    projection = spikes("p", "in", "out", "v", wired)
    drawn = replace(network([]), projections=(projection,))
    assert 50 * 1e-3 < scales_of(drawn)[0, "v"] * 2.0**30 <= 2 * 50 * 4e-3


def test_too_many_spikes_a_tick_are_refused() -> None:
    drive = PoissonInput("drive", "out", "v", "10*kHz", "1*mV", n=100)
    message = r"input 'drive' brings 100 spikes a tick; expected at most 90: take a lower rate"
    with pytest.raises(NetworkError, match=message):
        scales_of(network([], stimuli=(drive,)))


PLASTIC = SynapseModel("w : volt", "v_post += w", bounds={"w": ("-1*mV", "4*mV")})


def learnt(on_pre: str, **bounds) -> float:
    model = """
    w : volt
    u : 1
    dx/dt = -x/(10*ms) : 1 (event-driven)
    """
    synapse = SynapseModel(model, on_pre, bounds={"w": ("-1*mV", "4*mV"), **bounds})
    return scale([1e-3], synapse=synapse)


def test_bounds_of_neurons_variables_are_in_their_units() -> None:
    with pytest.raises(EquationError, match=r"bounds of 'g_post'.*: .*expected .*V"):
        learnt("v_post += g_post", g_post=("0*ms", "7*ms"))
    with pytest.raises(EquationError, match="bounds of 'h_post': the synapse has no such variable"):
        learnt("v_post += w", h_post=("0*mV", "7*mV"))


def test_what_learns_counts_with_its_bounds() -> None:
    assert learnt("v_post += w; x += 1") == scale([4e-3])
    assert learnt("v_post += w*u; x += 1", u=(-5, 0)) == scale([20e-3])
    assert learnt("v_post += -3*w; x += 1") == scale([12e-3])
    # What is computed on the way takes the bounds of what it is computed from.
    assert learnt("x += 0.5*(1 - x); r = x*u; v_post += w*r", x=(0, 1), u=(0, 2)) == scale([8e-3])
    # An effect before and one after a change add up.
    assert learnt("v_post += w; x += 1; v_post += w", x=(0, 1)) == scale([4e-3])


def test_an_effect_may_be_greatest_between_the_bounds() -> None:
    # Nothing at either bound, and 1/4 of 4 mV in the midst; twice that is what there is room for.
    assert learnt("v_post += w*u*(1 - u); x += 1", u=(0, 1)) == scale([2e-3])


@pytest.mark.parametrize(
    ("on_pre", "bounds", "name"),
    [
        ("v_post += w*u", {}, "u"),
        ("x += 1; v_post += w*x", {}, "x"),
        ("r = 2*u; v_post += w*r", {}, "u"),
        ("v_post += w*u", {"u": (None, 1)}, "u"),
        ("v_post += w*u", {"u": (0, None)}, "u"),
        ("v_post += g_post", {}, "g_post"),
    ],
)
def test_bounds_that_are_missing_are_asked_for_by_name(on_pre: str, bounds, name: str) -> None:
    message = (
        rf"projection 'p', on_pre: 'v' \+= .* depends on '{name}', whose bounds are not given; "
        rf"give its least and greatest value, such as bounds={{'{name}': \(0, 1\)}}"
    )
    with pytest.raises(EquationError, match=message):
        learnt(on_pre, **bounds)


def test_the_advice_about_bounds_can_be_taken() -> None:
    assert learnt("v_post += g_post", g_post=("0*mV", "7*mV")) == scale([7e-3])


@pytest.mark.parametrize("threads", [1, 2])
def test_a_weight_beyond_its_bounds_stops_the_run(threads: int) -> None:
    # It starts at 1 and grows by 0.5 at every arrival and by 0.25 or so at every spike.
    source = listed(*((tick, neuron) for tick in (10, 20, 30, 40) for neuron in (7, 300)))
    message = re.escape(
        "projection 'in>out' adds more to its target at tick 32 than its bounds allow, by which "
        "the fixed point is scaled; what was recorded until then is kept: keep the weight within "
        "bounds, such as w = clip(w + ..., 0, wmax), or give wider bounds"
    )
    described = growing(source, 1.0, gain=0.5)
    sink, simulation = run(described, 32, of_weights(), threads=threads)
    with pytest.raises(DivergedError, match=message):
        simulation.run_to(1000)
    assert pairs_of(sink) == [(t + 2, n) for t in (10, 20) for n in (7, 300)]
    assert sink.committed_tick == 32


@pytest.mark.parametrize("wrong", [np.inf, np.nan])
def test_a_weight_that_is_no_number_stops_the_run(wrong: float) -> None:
    described = growing(listed((3, 5)), 1.0)
    _, simulation = run(described, 2, of_weights())
    simulation.machine.bindings[0].plastic[0].variable("w")[5] = wrong
    message = (
        "projection 'in>out', synapse from neuron 5 of population 'in' to neuron 5 of 'out': "
        rf"w is {wrong} at tick 5 \(0.0005 s\); what was recorded until then is kept: check the equ"
    )
    with pytest.raises(DivergedError, match=message):
        simulation.run_to(100)


def test_bounds_that_hold_do_not_stop_it() -> None:
    assert GROWING.bounds == {"w": (0, 2)}
    described = growing(listed((10, 7)), 2.0)
    sink, _ = run(described, 100, of_weights())
    assert pairs_of(sink) == [(12, 7)]
