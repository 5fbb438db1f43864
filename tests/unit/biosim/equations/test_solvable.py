"""What a neuron does by itself is known exactly, or the reason why not is given."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biosim.equations.code import Assign, NeuronCode
from biosim.equations.evaluate import evaluate
from biosim.equations.neurons import compiled
from biosim.spiking.description import Spiking

DT = 1e-4

MODELS = {
    "LIF": ("dv/dt = (E - v)/(20*ms) : volt", None),
    "CUBA": (
        """dv/dt = (ge + gi - (v - E))/(20*ms) : volt
        dge/dt = -ge/(5*ms) : volt
        dgi/dt = -gi/(10*ms) : volt""",
        None,
    ),
    "alpha synapse": (
        """dv/dt = (E - v + x)/(20*ms) : volt
        dx/dt = (y - x)/(5*ms) : volt
        dy/dt = -y/(5*ms) : volt""",
        None,
    ),
    "own drive and gain": (
        """dv/dt = (E - v + k*x + drive)/(20*ms) : volt
        dx/dt = -x/(5*ms) : volt
        drive : volt
        k : 1""",
        None,
    ),
    "no leak, delta": ("dv/dt = 0*volt/second : volt", None),
    "no leak, falling": ("dv/dt = -1*mV/second : volt", None),
    "no leak, current": ("dv/dt = (x - y)/(3*ms) : volt\ndx/dt = -x/(5*ms) : volt\ny : volt", None),
    "no leak, currents": (
        """dv/dt = (x - 2*y)/(3*ms) : volt
        dx/dt = -x/(5*ms) : volt
        dy/dt = -y/(2*ms) : volt""",
        "exact",
    ),
}
BOUNDED = [name for name in MODELS if name != "no leak, current"]


@functools.cache
def code_of(case: str) -> NeuronCode:
    model, method = MODELS[case]
    described = Spiking(model, "v > -50*mV", "v = -60*mV", None, method, {"E": "-55*mV"})
    return compiled(described, DT, case)


values = st.floats(-0.1, 0.1).map(lambda x: round(x, 6))


def run(code: Sequence[Assign], names: dict[str, Any]) -> dict[str, Any]:
    names = dict(names)
    for assign in code:
        names[assign.name] = evaluate(assign.expression, names)
    return names


def start(code: NeuronCode, data: st.DataObject) -> dict[str, Any]:
    return {variable.name: data.draw(values) for variable in code.variables}


@pytest.mark.parametrize("case", BOUNDED)
@given(data=st.data(), ticks=st.integers(1, 300))
def test_a_jump_equals_as_many_steps(case: str, data: st.DataObject, ticks: int) -> None:
    code = code_of(case)
    assert code.jump is not None
    names = start(code, data)
    jumped = run(code.jump, {**names, "elapsed": ticks * DT})
    for _ in range(ticks):
        names = run(code.update, names)
    for variable in code.variables:
        assert jumped[variable.name] == pytest.approx(names[variable.name], rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("case", BOUNDED)
@given(data=st.data())
def test_no_future_exceeds_the_ceiling(case: str, data: st.DataObject) -> None:
    code = code_of(case)
    assert code.jump is not None
    assert code.ceiling is not None, code.ceiling_reason
    assert code.ceiling_reason == ""
    names = start(code, data)
    ceiling = float(evaluate(code.ceiling, names))
    elapsed = np.concatenate([[0.0], np.geomspace(1e-5, 10.0, 400)])
    future = np.broadcast_to(run(code.jump, {**names, "elapsed": elapsed})["v"], elapsed.shape)
    assert future.max() <= ceiling + 1e-12


@pytest.mark.parametrize("case", ["LIF", "no leak, delta", "no leak, falling"])
def test_a_neuron_that_only_decays_has_its_ceiling_at_once(case: str) -> None:
    ceiling = code_of(case).ceiling
    assert ceiling is not None
    assert evaluate(ceiling, {"v": -0.052}) == pytest.approx(-0.052)


def test_the_ceiling_is_low_enough_to_sleep_below_threshold() -> None:
    ceiling = code_of("CUBA").ceiling
    assert ceiling is not None
    quiet = {"v": -0.06, "ge": 0.001, "gi": -0.002}
    assert float(evaluate(ceiling, quiet)) == pytest.approx(-0.054)


def test_a_long_sleep_does_not_overflow() -> None:
    for case in ("CUBA", "alpha synapse"):
        jump = code_of(case).jump
        assert jump is not None
        names = {"v": -0.05, "ge": 0.1, "gi": 0.1, "x": 0.1, "y": 0.1, "elapsed": 1e5}
        assert run(jump, names)["v"] == pytest.approx(-0.055)


REASONS = {
    "noise": ({"model": "dv/dt = -v/ms + xi*ms**-0.5 : 1"}, "draws random numbers"),
    "draws": ({"model": "dv/dt = -v/ms : 1", "threshold": "v > rand()"}, "draws random numbers"),
    "nonlinear": ({"model": "dv/dt = -v**3/ms : 1"}, "not linear"),
    "products": ({"model": "dv/dt = -v*u/ms : 1\ndu/dt = -u/ms : 1"}, "not linear"),
    "time": ({"model": "dv/dt = (t/ms - v)/ms : 1"}, "depend on time"),
    "an inexact method": (
        {"model": "dv/dt = -v/ms : 1", "method": "euler"},
        "method 'euler' is not exact",
    ),
    "inexact by default": (
        {"model": "dv/dt = u/ms : 1\ndu/dt = -u/ms : 1"},
        "method 'euler' is not exact",
    ),
    "a gated variable that others read": (
        {
            "model": "dv/dt = -v/ms : 1 (unless refractory)\ndu/dt = (v - u)/(2*ms) : 1",
            "refractory": "2*ms",
            "threshold": "u > 1",
        },
        "'u' depends on 'v', which stands still while refractory",
    ),
}
NO_CEILING = {
    "no threshold": ({"model": "dv/dt = -v/ms : 1", "threshold": None}, "no threshold"),
    "two conditions": ({"model": "dv/dt = -v/ms : 1", "threshold": "v > 1 or v < -1"}, "threshold"),
    "a falling threshold": (
        {"model": "dv/dt = -v/ms : 1\ndu/dt = -u/(2*ms) : 1", "threshold": "v > u"},
        "its threshold does not compare a variable",
    ),
    "a steady drive": ({"model": "dv/dt = 2/ms : 1"}, "'v' does not leak and is driven"),
    "a drive of its own": ({"model": "dv/dt = I : 1\nI : Hz"}, "'v' does not leak and is driven"),
    "a time constant of its own": (
        {"model": "dv/dt = -v/own : 1\nown : second"},
        "the rate of 'v' is not one number",
    ),
    "growth": ({"model": "dv/dt = v/ms : 1"}, "'v' grows by itself"),
    "two that act on each other": (
        {"model": "dv/dt = (2*u - v)/ms : 1\ndu/dt = (2*v - 5*u)/ms : 1"},
        "'v' and 'u' act on each other",
    ),
    "a ramp": (
        {"model": "dv/dt = u/ms : 1\ndu/dt = (1 - u)/ms : 1", "method": "exact"},
        "'v' does not leak and 'u' does not decay by itself",
    ),
}


def described(changes: dict[str, Any]) -> Spiking:
    return Spiking(**({"threshold": "v > 1", "reset": "v = 0"} | changes))


@pytest.mark.parametrize("case", REASONS)
def test_without_an_exact_solution_there_is_a_reason(case: str) -> None:
    changes, reason = REASONS[case]
    code = compiled(described(changes), DT, "E")
    assert code.jump is None
    assert code.ceiling is None
    assert reason in code.ceiling_reason


@pytest.mark.parametrize("case", NO_CEILING)
def test_without_a_bound_there_is_a_reason(case: str) -> None:
    changes, reason = NO_CEILING[case]
    code = compiled(described(changes), DT, "E")
    assert code.jump is not None
    assert code.ceiling is None
    assert reason in code.ceiling_reason


def test_a_threshold_may_be_a_parameter() -> None:
    code = compiled(described({"model": "dv/dt = -v/ms : 1\nu : 1", "threshold": "v > u"}), DT, "E")
    assert code.ceiling is not None


def test_a_gated_variable_alone_may_sleep() -> None:
    changes = {"model": "dv/dt = -v/ms : 1 (unless refractory)", "refractory": "2*ms"}
    assert compiled(described(changes), DT, "E").ceiling is not None
