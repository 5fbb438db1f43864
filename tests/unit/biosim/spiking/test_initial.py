from dataclasses import replace

import numpy as np
import pytest

from biosim.draws import Draws
from biosim.equations import brian
from biosim.equations.code import EquationError
from biosim.network import Network, NetworkError, Population
from biosim.spiking.description import Spiking
from biosim.spiking.initial import set_initial, start_values
from biosim.spiking.layout import Layout
from biosim.spiking.shard import Shard
from tests.unit.biosim.spiking.small import DT

SIZE = 600
NEURON = Spiking(
    "dv/dt = (El - v)/tau : volt\nw : 1\ncount : integer\non : boolean\ntau : second",
    method="euler",
    constants={"El": "-60*mV", "spread": 0.5},
)


def values(lo: int = 0, hi: int = SIZE, seed: int = 4, **initial):
    """The start values of neurons [lo, hi)."""
    network = Network((Population("n", SIZE, replace(NEURON, initial=initial)),), (), dt=DT)
    return start_values(Layout(network), 0, lo, hi, seed)


def test_what_is_not_named_starts_at_zero() -> None:
    found = values()
    assert set(found) == {"v", "w", "count", "on", "tau"}
    assert all((array == 0).all() and array.shape == (SIZE,) for array in found.values())


def test_values_are_numbers_text_quantities_and_arrays() -> None:
    each = np.linspace(0, 1, SIZE)
    found = values(v="-70*mV", w=each, tau=0.02, count=3)
    assert (found["v"] == -0.07).all()
    assert (found["w"] == each).all()
    assert (found["tau"] == 0.02).all()
    assert (found["count"] == 3).all()
    brian.brian()  # who imports it first hears its warnings
    from brian2 import mV

    assert (values(v=-70 * mV)["v"] == -0.07).all()
    assert (values(v=each * mV)["v"] == each * 1e-3).all()


def test_expressions_see_the_neuron_constants_and_what_was_set_before() -> None:
    found = values(v="El + 10*mV*i/N", w="spread*(v - El)/(10*mV)", on="i > 300", count="int(i/2)")
    i = np.arange(SIZE)
    np.testing.assert_allclose(found["v"], -0.06 + 0.01 * i / SIZE)
    np.testing.assert_allclose(found["w"], 0.5 * i / SIZE, atol=1e-12)
    assert (found["on"] == (i > 300)).all()
    assert (found["count"] == i // 2).all()


def test_the_order_is_that_of_the_description() -> None:
    assert (values(v="5*mV", w="1 + v/mV")["w"] == 6).all()
    with pytest.raises(EquationError, match=r"initial 'w' '1 [+] v/mV': the name 'v' is unknown"):
        values(w="1 + v/mV", v="5*mV")


def test_a_draw_is_the_neurons_own() -> None:
    found = values(w="rand()")["w"]
    expected = Draws(4, "initial/n/w").uniform(np.arange(SIZE), 1)[:, 0]
    np.testing.assert_array_equal(found, expected)
    normal = Draws(4, "initial/n/w").normal(np.arange(SIZE), 1)[:, 0]
    np.testing.assert_allclose(values(w="2 + randn()")["w"], 2 + normal)


def test_draws_of_a_part_are_those_of_the_whole() -> None:
    initial = {"v": "rand()*mV + randn()*mV", "w": "i*rand()"}
    whole = values(**initial)
    for lo, hi in ((0, 256), (256, 512), (512, 600), (300, 300)):
        part = values(lo, hi, **initial)
        for name in ("v", "w"):
            assert part[name].tobytes() == whole[name][lo:hi].tobytes()


def test_every_call_every_variable_and_every_seed_draws_anew() -> None:
    found = values(v="rand()*volt", w="rand()")
    assert not np.array_equal(found["v"], found["w"])
    assert not np.array_equal(found["w"], values(seed=5, w="rand()")["w"])
    assert (values(w="rand() - rand()")["w"] != 0).all()


def test_an_array_is_cut_as_its_neurons_are() -> None:
    each = np.arange(SIZE, dtype=float)
    assert values(256, 512, w=each)["w"].tolist() == list(range(256, 512))
    assert values(256, 512, w=each.tolist())["w"].tolist() == list(range(256, 512))


def test_a_shard_gets_what_it_owns_in_its_own_kind_of_number() -> None:
    neuron = replace(NEURON, initial={"v": "i*mV", "count": "int(i)", "on": "i > 5"})
    layout = Layout(Network((Population("n", SIZE, neuron),), (), dt=DT))
    for number in range(2):
        shard = Shard(layout, number, 2, "float32")
        set_initial(layout, shard, 0)
        lo, hi = shard.slices[0]
        assert shard.variable(0, "v").tobytes() == (np.arange(lo, hi) * 1e-3).astype("f4").tobytes()
        assert shard.variable(0, "count").tolist() == list(range(lo, hi))
        assert shard.variable(0, "on").dtype == np.bool_
        assert shard.variable(0, "on").tolist() == [i > 5 for i in range(lo, hi)]


@pytest.mark.parametrize(
    ("initial", "error", "message"),
    [
        ({"u": 1}, EquationError, r"'n', initial 'u': its equations have .*tau.*; name one of"),
        ({"v": "10*ms"}, EquationError, r"population 'n', initial 'v' '10\*ms': .*expected V"),
        ({"v": "q*mV"}, EquationError, r"population 'n', initial 'v' 'q\*mV': .*'q'"),
        ({"w": np.zeros(3)}, NetworkError, r"initial 'w' has shape \(3,\); expected .* \(600,\)"),
        ({"w": np.zeros((600, 2))}, NetworkError, r"has shape \(600, 2\); expected one number"),
        ({"w": None}, EquationError, r"initial 'w': got None, expected a number"),
    ],
)
def test_what_cannot_be_set_is_told(initial, error, message: str) -> None:
    with pytest.raises(error, match=message):
        values(**initial)
