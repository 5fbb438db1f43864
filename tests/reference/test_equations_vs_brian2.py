"""One step of the scalar code against Brian2's own numpy runtime, from random states."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from biosim.equations.brian import brian
from biosim.equations.code import NeuronCode
from biosim.equations.evaluate import evaluate
from biosim.equations.neurons import neuron_code
from biosim.spiking.description import Spiking

N = 200
DT = 1e-4
STEPS = 5

States = dict[str, npt.NDArray[np.float64]]

LIF = "dv/dt = (E - v + I)/tau : volt\nI : volt"
CUBA = """
    dv/dt = (ge + gi - (v - E))/tau : volt
    dge/dt = -ge/(5*ms) : volt
    dgi/dt = -gi/(10*ms) : volt"""
ALPHA = """
    dv/dt = (E - v + x)/tau : volt
    dx/dt = (y - x)/(5*ms) : volt
    dy/dt = -y/(5*ms) : volt"""
COBAHH = """
    dv/dt = (gl*(El-v) - g_na*(m*m*m)*h*(v-ENa) - g_kd*(n*n*n*n)*(v-EK)
             + ge*(0*mV-v) + gi*(-80*mV-v))/Cm : volt
    dm/dt = alpha_m*(1-m)-beta_m*m : 1
    dn/dt = alpha_n*(1-n)-beta_n*n : 1
    dh/dt = alpha_h*(1-h)-beta_h*h : 1
    dge/dt = -ge*(1./(5*ms)) : siemens
    dgi/dt = -gi*(1./(10*ms)) : siemens
    alpha_m = 0.32*(mV**-1)*4*mV/exprel((13*mV-v+VT)/(4*mV))/ms : Hz
    beta_m = 0.28*(mV**-1)*5*mV/exprel((v-VT-40*mV)/(5*mV))/ms : Hz
    alpha_h = 0.128*exp((17*mV-v+VT)/(18*mV))/ms : Hz
    beta_h = 4./(1+exp((40*mV-v+VT)/(5*mV)))/ms : Hz
    alpha_n = 0.032*(mV**-1)*5*mV/exprel((15*mV-v+VT)/(5*mV))/ms : Hz
    beta_n = .5*exp((10*mV-v+VT)/(40*mV))/ms : Hz"""
# Singular where v - VT is 13, 15 or 40 mV, as in the first published scripts.
COBAHH_PLAIN = COBAHH.replace(
    "0.32*(mV**-1)*4*mV/exprel((13*mV-v+VT)/(4*mV))/ms",
    "0.32*(mV**-1)*(13*mV-v+VT)/(exp((13*mV-v+VT)/(4*mV))-1.)/ms",
)
IZHIKEVICH = """
    dv/dt = (0.04/ms/mV)*v**2 + (5/ms)*v + 140*mV/ms - u + I : volt
    du/dt = a*(b*v - u) : volt/second
    I : volt/second
    a : Hz
    b : Hz"""
ADEX = """
    dv/dt = (gL*(El-v) + gL*2*mV*exp((v-VT)/(2*mV)) + I - w)/Cm : volt
    dw/dt = (4*nS*(v-El) - w)/(144*ms) : amp
    I : amp"""
FITZHUGH = """
    dv/dt = (v - v**3/3 - w + I)/ms : 1
    dw/dt = 0.08*(v + 0.7 - 0.8*w)/ms : 1
    I : 1"""
DRIVEN = """
    dv/dt = (A*sin(2*pi*f*t) - v)/tau : volt
    f : Hz
    A = (1 + int(v > E))*mV : volt"""
HELD = """
    dv/dt = (r - v)/tau : volt
    p = v + 1*mV*cos(2*pi*t/(3*ms)) : volt (constant over dt)
    q = 2*p : volt
    r = q + p : volt (constant over dt)"""
TIMESCALES = "dv/dt = (E - v)/own : volt\nown : second"
ADDITIVE = "dv/dt = (E - v)/tau + 3*mV*xi*tau**-0.5 : volt"
TWO_NOISES = """
    dv/dt = (E - v + u)/tau + 3*mV*xi_2*tau**-0.5 : volt
    du/dt = -u/tau + 2*mV*xi_1*tau**-0.5 : volt"""
MULTIPLICATIVE = "dv/dt = (E - v)/tau + 0.3*v*xi*tau**-0.5 : volt"
CONSTANTS = {
    "tau": "20*ms",
    "E": "-49*mV",
    "Cm": "200*pF",
    "gL": "30*nS",
    "gl": "10*nS",
    "El": "-60*mV",
    "EK": "-90*mV",
    "ENa": "50*mV",
    "g_na": "20*usiemens",
    "g_kd": "6*usiemens",
    "VT": "-63*mV",
}
RANGES = {
    "v": (-0.08, 0.0),
    "ge": (0.0, 0.01),
    "gi": (-0.01, 0.0),
    "x": (0.0, 0.01),
    "y": (0.0, 0.01),
    "p": (-0.08, 0.0),
    "r": (-0.08, 0.0),
    "m": (0.0, 1.0),
    "n": (0.0, 1.0),
    "h": (0.0, 1.0),
    "u": (-20.0, 5.0),
    "w": (0.0, 1e-10),
    "I": (0.0, 1e-9),
    "a": (10.0, 40.0),
    "b": (150.0, 250.0),
    "f": (1.0, 50.0),
    "own": (1e-3, 3e-2),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOSIM_CACHE", str(tmp_path))


@pytest.fixture
def brian2() -> Iterator[Any]:
    """Brian2 on its numpy runtime, which warns of much that is not ours."""
    brian()
    import brian2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target = brian2.prefs.codegen.target
        brian2.prefs.codegen.target = "numpy"
        brian2.start_scope()
        yield brian2
        brian2.prefs.codegen.target = target


def start(code: NeuronCode, seed: int, **ranges: tuple[float, float]) -> States:
    generator = np.random.default_rng(seed)
    limits = RANGES | ranges
    return {x.name: generator.uniform(*limits[x.name], N) for x in code.variables}


def moved(code: NeuronCode, states: States, steps: int, **draws: Any) -> States:
    """The states after some steps of the scalar code."""
    names: dict[str, Any] = dict(states)
    for step in range(steps):
        names["t"] = step * DT
        names |= {name: values[step] for name, values in draws.items()}
        for assign in code.update:
            names[assign.name] = evaluate(assign.expression, names)
    return {name: names[name] for name in states}


def run_brian2(brian2: Any, model: str, method: str | None, states: States, steps: int) -> States:
    used = {
        name: value
        for name, value in CONSTANTS.items()
        if name in brian2.Equations(model).identifiers
    }
    namespace = {name: eval(value, vars(brian2)) for name, value in used.items()}
    options = {} if method is None else {"method": method}
    clock = brian2.Clock(dt=DT * brian2.second)
    group = brian2.NeuronGroup(N, model, namespace=namespace, clock=clock, **options)
    for name, values in states.items():
        group.variables[name].set_value(values)
    network = brian2.Network(group)
    network.run(steps * DT * brian2.second)
    return {name: np.array(group.variables[name].get_value()) for name in states}


def assert_equal(found: States, expected: States, relative: float = 1e-12) -> None:
    for name, values in expected.items():
        assert np.all(np.isfinite(values)), name
        size = np.max(np.abs(values))
        np.testing.assert_allclose(found[name], values, rtol=relative, atol=relative * size)


CONDUCTANCES = {"gi": (0.0, 1e-8), "ge": (0.0, 1e-8)}
DETERMINISTIC = {
    "LIF, exact": (LIF, "exact", {"I": (0.0, 0.02)}),
    "LIF, euler": (LIF, "euler", {"I": (0.0, 0.02)}),
    "CUBA, exact": (CUBA, "exact", {}),
    "CUBA, Brian2's choice": (CUBA, None, {}),
    "CUBA, rk4": (CUBA, "rk4", {}),
    "alpha synapse, exact": (ALPHA, "exact", {}),
    "COBAHH, exponential_euler": (
        COBAHH,
        "exponential_euler",
        {"gi": (0.0, 1e-8), "ge": (0, 1e-8)},
    ),
    "COBAHH without exprel": (
        COBAHH_PLAIN,
        "exponential_euler",
        {"gi": (0, 1e-8), "ge": (0, 1e-8)},
    ),
    "Izhikevich, euler": (IZHIKEVICH, "euler", {"I": (0.0, 10.0)}),
    "Izhikevich, Brian2's choice": (IZHIKEVICH, None, {"I": (0.0, 10.0)}),
    "AdEx, euler": (ADEX, None, {"v": (-0.08, -0.066)}),
    "AdEx, rk2": (ADEX, "rk2", {"v": (-0.08, -0.066)}),
    "FitzHugh-Nagumo, rk4": (FITZHUGH, "rk4", {"v": (-2, 2), "w": (-1, 1), "I": (0, 1)}),
    "FitzHugh-Nagumo, rk2": (FITZHUGH, "rk2", {"v": (-2, 2), "w": (-1, 1), "I": (0, 1)}),
    "FitzHugh-Nagumo, heun": (FITZHUGH, "heun", {"v": (-2, 2), "w": (-1, 1), "I": (0, 1)}),
    "time and truth values, rk4": (DRIVEN, "rk4", {}),
    "what is held reads what is held, euler": (HELD, "euler", {}),
    "a time constant a neuron, exact": (TIMESCALES, "exact", {}),
}


@pytest.mark.parametrize("case", DETERMINISTIC)
def test_steps_equal_brian2(case: str, brian2: Any) -> None:
    model, method, ranges = DETERMINISTIC[case]
    code = neuron_code(Spiking(model, method=method, constants=needed(model)), DT, case)
    states = start(code, 1, **ranges)
    expected = run_brian2(brian2, model, method, states, STEPS)
    assert_equal(moved(code, states, STEPS), expected)


def needed(model: str) -> dict[str, str]:
    return {name: value for name, value in CONSTANTS.items() if name in model}


def test_another_step_does_not_equal_brian2(brian2: Any) -> None:
    code = neuron_code(Spiking(CUBA, constants=needed(CUBA)), 1.001 * DT, "E")
    states = start(code, 1)
    expected = run_brian2(brian2, CUBA, None, states, STEPS)
    with pytest.raises(AssertionError):
        assert_equal(moved(code, states, STEPS), expected)


NOISY = {
    "additive, Brian2's choice": (ADDITIVE, None, "euler"),
    "additive, heun": (ADDITIVE, "heun", "heun"),
    "multiplicative, Brian2's choice": (MULTIPLICATIVE, None, "heun"),
    "multiplicative, milstein": (MULTIPLICATIVE, "milstein", "milstein"),
}


@pytest.mark.parametrize("case", NOISY)
def test_noise_equals_brian2_with_the_same_draws(case: str, brian2: Any) -> None:
    model, method, used = NOISY[case]
    code = neuron_code(Spiking(model, method=method, constants=needed(model)), DT, case)
    assert code.method == used
    assert len(code.noise) == 1
    states = start(code, 2)
    brian2.seed(7)
    drawn = np.random.RandomState(7).randn(STEPS, N)
    expected = run_brian2(brian2, model, method, states, STEPS)
    assert_equal(moved(code, states, STEPS, _noise_0=drawn), expected)


def test_two_noises_are_independent_and_of_the_right_size() -> None:
    code = neuron_code(Spiking(TWO_NOISES, constants=needed(TWO_NOISES)), DT, "E")
    assert len(code.noise) == 2
    generator = np.random.default_rng(3)
    draws = {name: generator.standard_normal((1, 200_000)) for name in code.noise}
    states = {"v": np.full(200_000, -0.049), "u": np.zeros(200_000)}
    after = moved(code, states, 1, **draws)
    v, u = after["v"] + 0.049, after["u"]
    assert np.std(v) == pytest.approx(3e-3 * np.sqrt(DT / 20e-3), rel=0.01)
    assert np.std(u) == pytest.approx(2e-3 * np.sqrt(DT / 20e-3), rel=0.01)
    assert abs(np.corrcoef(v, u)[0, 1]) < 0.01


GATED = {
    "LIF, exact": (LIF.replace(": volt\nI", ": volt (unless refractory)\nI"), "exact"),
    "CUBA, exact": (CUBA.replace("tau : volt", "tau : volt (unless refractory)"), "exact"),
    "AdEx, euler": (ADEX.replace("Cm : volt", "Cm : volt (unless refractory)"), "euler"),
    "AdEx, rk2": (ADEX.replace("Cm : volt", "Cm : volt (unless refractory)"), "rk2"),
}


@pytest.mark.parametrize("case", GATED)
def test_unless_refractory_equals_brian2(case: str, brian2: Any) -> None:
    model, method = GATED[case]
    described = Spiking(model, "v > 1*volt", "", "2*ms", method=method, constants=needed(model))
    code = neuron_code(described, DT, case)
    ready = np.arange(N) % 2 == 0
    states = start(code, 4, **({"v": (-0.08, -0.066)} if "AdEx" in case else {"I": (0, 0.02)}))
    # In Brian2 a neuron is refractory because it spiked lately.
    kwargs = {"threshold": "v > 1*volt", "reset": "", "refractory": 2 * brian2.ms}
    expected = run_brian2_refractory(brian2, model, method, states, ready, kwargs)
    names: dict[str, Any] = {**states, "t": 0.0, "not_refractory": ready}
    gated = {x.name for x in code.variables if x.gated}
    for _ in range(STEPS):
        for assign in code.update:
            value = evaluate(assign.expression, names)
            if assign.name in gated:
                value = np.where(ready, value, names[assign.name])
            names[assign.name] = value
    assert_equal({name: names[name] for name in states}, expected)


def run_brian2_refractory(
    brian2: Any,
    model: str,
    method: str,
    states: States,
    ready: npt.NDArray[np.bool_],
    kwargs: dict[str, Any],
) -> States:
    namespace = {name: eval(value, vars(brian2)) for name, value in needed(model).items()}
    clock = brian2.Clock(dt=DT * brian2.second)
    group = brian2.NeuronGroup(N, model, namespace=namespace, clock=clock, method=method, **kwargs)
    for name, values in states.items():
        group.variables[name].set_value(values)
    group.variables["lastspike"].set_value(np.where(ready, -1e4, 0.0))
    brian2.Network(group).run(STEPS * DT * brian2.second)
    return {name: np.array(group.variables[name].get_value()) for name in states}
