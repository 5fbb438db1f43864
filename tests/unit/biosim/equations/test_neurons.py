"""A neuron model becomes scalar code, or a line that says what is wrong and where."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from biosim.equations.brian import METHODS, brian
from biosim.equations.code import Assign, EquationError, Variable
from biosim.equations.evaluate import evaluate
from biosim.equations.neurons import neuron_code
from biosim.spiking.description import Spiking

DT = 1e-4
LIF = "dv/dt = (E - v)/tau : volt (unless refractory)\nI : amp (constant)"
CONSTANTS = {"tau": "20*ms", "E": "-49*mV"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOSIM_CACHE", str(tmp_path))


def lif(**changes: Any) -> Spiking:
    described: dict[str, Any] = {
        "model": LIF,
        "threshold": "v > -50*mV",
        "reset": "v = -60*mV",
        "refractory": "5*ms",
        "constants": CONSTANTS,
    }
    return Spiking(**(described | changes))


def test_variables_have_roles_units_and_flags() -> None:
    model = LIF + "\nn : integer\nopen : boolean\nx : 1 (shared)\nG = 2*nS : siemens"
    assert neuron_code(lif(model=model), DT, "E").variables == (
        Variable("v", "state", "float", "V", gated=True),
        Variable("I", "parameter", "float", "A"),
        Variable("n", "parameter", "integer", "1"),
        Variable("open", "parameter", "boolean", "1"),
        Variable("x", "parameter", "float", "1"),
    )


def test_nothing_is_gated_without_a_refractory_time() -> None:
    assert not neuron_code(lif(refractory=None), DT, "E").variables[0].gated


def test_a_linear_update_has_one_literal_a_term() -> None:
    model = """
        dv/dt = (ge + gi - (v - E))/tau : volt
        dge/dt = -ge/(5*ms) : volt
        dgi/dt = -gi/(10*ms) : volt"""
    update = neuron_code(Spiking(model, constants=CONSTANTS), DT, "E").update
    assert [assign.name for assign in update] == ["v", "ge", "gi"]
    assert update[0].expression.count("*") == 3
    assert update[1].expression.count("*") == 1


def test_subexpressions_are_put_into_threshold_and_reset_and_kept_for_recording() -> None:
    model = "dv/dt = -v/tau : volt\nabove = v - low : volt\nlow = 2*E : volt"
    code = neuron_code(
        lif(model=model, threshold="above > 1*mV", reset="v = low + above/2"), DT, "E"
    )
    assert code.subexpressions == {"low": "-0.098", "above": "v + 0.098"}
    assert code.threshold == "v + 0.098 > 0.001"
    assert evaluate(code.reset[0].expression, {"v": 0.002}) == pytest.approx(-0.048)


def test_a_threshold_is_written_with_the_larger_side_on_the_left() -> None:
    assert neuron_code(lif(threshold="-50*mV <= v"), DT, "E").threshold == "v >= -0.05"


def test_reset_statements_keep_their_order_and_may_use_names_of_their_own() -> None:
    model = "dv/dt = -v/tau : volt\nw : volt"
    code = neuron_code(lif(model=model, reset="old = v # kept\nv = w; w += old*2\n"), DT, "E")
    assert code.reset == (Assign("_old", "v"), Assign("v", "w"), Assign("w", "2.0 * _old + w"))


@pytest.mark.parametrize(
    ("refractory", "ticks"),
    [
        (None, 0),
        (False, 0),
        ("5*ms", 50),
        ("5 ms", 50),
        (0.005, 50),
        ("pause", 30),
        ("pause/2 + 1*ms", 25),
        # As Brian2: shut from a spike to the next state update, however short the time.
        ("0*ms", 1),
        (0.0, 1),
        ("0.09*ms", 1),
        # Down to whole steps, but for a thousandth of one.
        ("0.25*ms", 2),
        ("0.29999*ms", 3),
    ],
)
def test_a_constant_refractory_time_is_in_ticks(refractory: Any, ticks: int) -> None:
    code = neuron_code(lif(refractory=refractory, constants=CONSTANTS | {"pause": "3*ms"}), DT, "E")
    assert code.refractory_ticks == ticks
    assert code.refractory is None
    assert code.refractory_condition is None


def test_a_quantity_is_a_refractory_time() -> None:
    assert neuron_code(lif(refractory=5 * brian().units["ms"]), DT, "E").refractory_ticks == 50


def test_a_refractory_time_may_differ_between_neurons() -> None:
    model = LIF + "\npause : second"
    code = neuron_code(lif(model=model, refractory="pause*2 + rand()*ms"), DT, "E")
    assert code.refractory_ticks is None
    assert code.refractory == "0.001 * _uniform_0 + 2.0 * pause"
    assert code.uniform == ("_uniform_0",)


def test_a_condition_may_end_refractoriness() -> None:
    code = neuron_code(lif(refractory="v > -40*mV"), DT, "E")
    assert code.refractory_ticks is None
    assert code.refractory_condition == "v > -0.04"


def test_every_draw_has_a_name_of_its_own() -> None:
    model = "dv/dt = -v/tau + xi*tau**-0.5 : 1\ndu/dt = (rand() - u)/tau : 1"
    code = neuron_code(lif(model=model, threshold="rand() < v", reset="v = randn()"), DT, "E")
    assert code.noise == ("_noise_0", "_noise_1")
    assert code.uniform == ("_uniform_0", "_uniform_1")
    texts = [assign.expression for assign in (*code.update, *code.reset)] + [code.threshold or ""]
    for name in (*code.noise, *code.uniform):
        assert sum(name in text for text in texts) == 1


def test_a_draw_may_be_written_with_a_blank() -> None:
    code = neuron_code(Spiking("dv/dt = (rand () - v)/ms : 1", method="euler"), DT, "E")
    assert code.uniform == ("_uniform_0",)


def test_what_is_constant_over_dt_is_drawn_once_and_kept() -> None:
    model = "dv/dt = (2*s - v + s)/tau : 1\ns = rand() : 1 (constant over dt)"
    code = neuron_code(lif(model=model, threshold="v > s", reset="v = 0"), DT, "E")
    assert code.uniform == ("_uniform_0",)
    assert code.threshold == "v > s"
    assert {x.name for x in code.variables} == {"v", "s"}
    assert {a.name: a.expression for a in code.update}["s"] == "_uniform_0"


@pytest.mark.parametrize(
    ("model", "method"),
    [
        ("dv/dt = -v/tau : 1", "exact"),
        ("dv/dt = -v**3/tau : 1", "euler"),
        ("dv/dt = -v/tau + v*xi*tau**-0.5 : 1", "heun"),
        # Singular for Brian2's exact updater.
        ("dv/dt = g/tau : 1\ndg/dt = -g/tau : 1", "euler"),
    ],
)
def test_the_method_is_brian2s_own_choice(model: str, method: str) -> None:
    assert neuron_code(Spiking(model, constants={"tau": "20*ms"}), DT, "E").method == method


@pytest.mark.parametrize("method", METHODS)
def test_a_population_of_parameters_has_nothing_to_update(method: str) -> None:
    assert neuron_code(Spiking("w : 1", method=method), DT, "E").update == ()


def test_constants_may_use_each_other() -> None:
    constants = {"b": "2*a + tau/second*mV", "a": "3*mV", "tau": "20*ms", "E": 0 * 1.0}
    code = neuron_code(Spiking("dv/dt = (b - v)/tau : volt", constants=constants), DT, "E")
    rest = evaluate(code.update[0].expression, {"v": 6.02e-3})
    assert rest == pytest.approx(6.02e-3)


def test_a_constant_hides_a_unit_of_the_same_name() -> None:
    code = neuron_code(Spiking("dv/dt = -v/ms : 1", constants={"ms": "2*second"}), DT, "E")
    assert evaluate(code.update[0].expression, {"v": 1.0}) == pytest.approx(1 - DT / 2)


NOT_TAKEN = {
    "wrong unit": ({"model": "dv/dt = (E - v) : volt"}, r"equation 'dv/dt = \(E - v\)': the unit"),
    "sum of units": ({"model": "dv/dt = (E - tau)/tau : volt"}, "equation 'dv/dt = .* units"),
    "unit of a subexpression": (
        {"model": LIF + "\nG = 3*mV : amp"},
        "'G = 3.mV': the unit",
    ),
    "unit of the threshold": ({"threshold": "v > 3*nA"}, r"threshold 'v > 3\*nA': .*unit"),
    "unit of the reset": ({"reset": "v = 3*nA"}, r"reset 'v = 3\*nA': the unit of '3\*nA' is A"),
    # Brian2 takes no bare zero for a quantity in a statement; values may be one.
    "zero without a unit": ({"reset": "v = 0"}, "reset 'v = 0': the unit of '0' is 1, expected V"),
    "unit of the pause": ({"refractory": "3*mV"}, r"refractory '3\*mV': the unit of '3\*mV' is V"),
    "bare constant": ({"constants": {"tau": 0.02, "E": "1*mV"}}, "a bare number has no unit"),
    "unknown name": ({"model": "dv/dt = (F - v)/tau : volt"}, "the name 'F' is unknown"),
    "mistyped name": ({"threshold": "v > Eh"}, "'Eh' is unknown; did you mean 'E'"),
    "name in the reset": ({"reset": "w += 1"}, r"reset 'w \+= 1': the name 'w' is unknown"),
    "function": ({"model": "dv/dt = foo(v)/tau : volt"}, "the name 'foo' is unknown"),
    "no equation": ({"model": "dv/dt = -v/tau"}, "equation 'dv/dt = -v/tau' cannot be read; write"),
    "no unit": ({"model": "dv/dt = -v/tau : foo"}, "'foo'"),
    "flag": ({"model": "dv/dt = -v/tau : 1 (foo)"}, "cannot have a flag 'foo'"),
    "twice": ({"model": "v : 1\nv : 1"}, "Duplicate definition of variable 'v'"),
    "circle": ({"model": "a = b : 1\nb = a : 1"}, "cycle"),
    "taken by the model": (
        {"constants": {**CONSTANTS, "v": 3}},
        "constant 'v': the equat",
    ),
    "a variable of a taken name": ({"model": LIF + "\nelapsed : 1"}, "the name 'elapsed' is taken"),
    "reserved": ({"constants": {**CONSTANTS, "dt": 3}}, "constant 'dt': this name is taken"),
    "constants in a circle": ({"constants": {"a": "b", "b": "a"}}, "'a', 'b' need each other"),
    "array as constant": ({"constants": {"tau": [1.0, 2.0]}}, "expected one number"),
    "constant that is no value": (
        {"constants": {"tau": "20*foo"}},
        "'tau': the name 'foo'",
    ),
    "attribute": ({"constants": {"tau": "ms.dim"}}, "constant 'tau': 'ms.dim' is not a value"),
    "threshold that is a number": (
        {"threshold": "v"},
        "threshold 'v': is a number",
    ),
    "threshold that cannot be read": ({"threshold": "v >"}, "threshold 'v >': invalid syntax"),
    "reset of a mistyped name": (
        {"reset": "u = -60*mV"},
        r"reset 'u = -60\*mV': 'u' is no variable of the equations and is never read; correct the",
    ),
    "reset that cannot be read": ({"reset": "v 3"}, "reset 'v 3'"),
    "reset of a constant": ({"reset": "tau = 3*ms"}, "'tau' is not a variable of the equations"),
    "reset of a subexpression": (
        {"model": LIF + "\nG = 3*mV : volt", "reset": "G = 2*mV"},
        "'G' is a subexpression and cannot be written",
    ),
    "negative pause": (
        {"refractory": "-3*ms"},
        r"'-3\*ms': got -0.003 s, expected",
    ),
    "pause without a unit": ({"refractory": 3 * 1j}, "refractory"),
    "a pause that is neither on nor a time": (
        {"refractory": True},
        r"refractory True: expected a time such as '5\*ms', or a condition as text",
    ),
    "a constant that is no number": (
        {"constants": CONSTANTS | {"tau": float("nan")}},
        "constant 'tau': got nan, expected a number",
    ),
    "a root of less than nothing": (
        {"model": "dv/dt = sqrt(-2)*v/tau : 1", "threshold": None, "reset": None},
        "equations: constants come to what is no number, such as 0/0 or the root of -1; correct",
    ),
    "a time constant of nothing": (
        {"constants": CONSTANTS | {"tau": "0*ms"}},
        "equations: constants come to what is no number",
    ),
    "no number in the reset": (
        {"reset": "v = (-1)**0.5*mV"},
        "reset 'v = .*': constants come to what is no number",
    ),
    "five that act on each other in a ring": (
        {
            "model": "\n".join(
                f"dx{i}/dt = ({i + 1}*x{(i + 1) % 5} - 2*x{i} + x{(i + 2) % 5}/9)/ms : 1"
                for i in range(5)
            ),
            "method": "exact",
            "threshold": None,
            "reset": None,
        },
        "cannot be integrated by 'exact' .*; choose another method",
    ),
    "quantity as pause": ({"refractory": "E"}, "refractory 'E': the unit of 'E' is V, expected s"),
    "unknown method": ({"method": "rk9"}, "method: got 'rk9', expected one of exact"),
    "not linear": (
        {"model": "dv/dt = -v**3/tau : 1", "method": "exact", "threshold": None, "reset": None},
        r"equation 'dv/dt = -v\*\*3/tau': cannot be integrated by 'exact' .*choose another method",
    ),
    "not conditionally linear": (
        {"model": "dv/dt = -v**3/tau : 1", "method": "exponential_euler", "threshold": None},
        "cannot be integrated by 'exponential_euler'",
    ),
    "noise for rk4": (
        {"model": "dv/dt = -v/tau + xi*tau**-0.5 : 1", "method": "rk4", "threshold": None},
        "cannot be integrated by 'rk4'",
    ),
    "two draws in one equation": (
        {"model": "dv/dt = (rand() - rand())/tau : 1", "threshold": None, "reset": None},
        r"equation 'dv/dt = .*calls rand\(\) more than once; give each draw a subexpression",
    ),
    "a draw wherever it is used": (
        {"model": LIF + "\nG = rand()*nS : siemens"},
        r"equation 'G = rand\(\)\*nS': draws a random number wherever it is used",
    ),
    "noise in the threshold": (
        {"model": "dv/dt = -v/tau + xi*tau**-0.5 : 1", "threshold": "xi*second**0.5 > 1"},
        "threshold .*'xi' belongs in a differential equation",
    ),
    "refractory state without a pause": (
        {"threshold": "v > E and not_refractory", "refractory": None},
        "the name 'not_refractory' is unknown",
    ),
    "an operator that kernels lack": (
        {"threshold": "v/volt > 3 | 2"},
        "threshold 'v/volt > 3",
    ),
    "function of Brian2 that kernels lack": (
        {"model": "dv/dt = -v/tau + poisson(3)/tau : 1"},
        "'poisson' is unknown",
    ),
}


@pytest.mark.parametrize("case", NOT_TAKEN)
def test_what_cannot_be_taken_is_refused_in_one_line(case: str) -> None:
    changes, message = NOT_TAKEN[case]
    with pytest.raises(EquationError, match=message) as caught:
        neuron_code(lif(**changes), DT, "E")
    assert str(caught.value).startswith("population 'E'")
    assert "\n" not in str(caught.value)


def test_code_that_kernels_cannot_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biosim.equations.brian.step_code", lambda *_: "_v = [v]\nv = _v")
    with pytest.raises(EquationError, match=r"population 'E', equations: '\[v\]' cannot be turned"):
        neuron_code(lif(method="euler"), DT, "E")


def test_a_function_that_only_brian2_knows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biosim.equations.brian.functions", lambda: brian().functions)
    with pytest.raises(EquationError, match=r"E', threshold .*: 'poisson\(3\)' cannot be turned"):
        neuron_code(lif(threshold="v > poisson(3)*mV"), DT, "E")


def test_a_failing_state_updater_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> str:
        raise ValueError("no way")

    monkeypatch.setitem(brian().updaters, "rk2", fail)
    with pytest.raises(EquationError, match="population 'E', method 'rk2': no way; choose another"):
        neuron_code(lif(method="rk2"), DT, "E")


@pytest.mark.parametrize("dt", [0.0, -1e-4, float("nan"), float("inf")])
def test_a_step_that_is_no_positive_time_is_refused(dt: float) -> None:
    with pytest.raises(EquationError, match=r"population 'E': the step is .* expected a positive"):
        neuron_code(lif(), dt, "E")


def test_a_quantity_of_another_unit_is_no_refractory_time() -> None:
    with pytest.raises(EquationError, match="the unit is V, expected a time such as"):
        neuron_code(lif(refractory=5 * brian().units["mV"]), DT, "E")


@pytest.mark.parametrize(
    ("method", "unstable", "stable"),
    [("euler", 0.49, 0.51), ("rk2", 0.49, 0.51), ("heun", 0.49, 0.51), ("rk4", 0.35, 0.37)],
)
def test_a_time_constant_too_short_for_the_method_is_refused(
    method: str, unstable: float, stable: float
) -> None:
    def described(tau: float) -> Spiking:
        return Spiking(
            "dv/dt = (I - v)/tau : 1\nI : 1", method=method, constants={"tau": f"{tau}*ms"}
        )

    neuron_code(described(stable), 1e-3, "E")
    with pytest.raises(EquationError, match=r"\(I - v\)/tau': its time constant of .* unstable"):
        neuron_code(described(unstable), 1e-3, "E")


@pytest.mark.parametrize("method", ["exact", "exponential_euler"])
def test_a_short_time_constant_is_fine_where_the_method_is_stable(method: str) -> None:
    model = "dv/dt = (I - v)/(0.01*ms) : 1\nI : 1"
    code = neuron_code(Spiking(model, method=method), 1e-3, "E")
    names = {"v": 1.0, "I": 0.0}
    for assign in code.update:
        names[assign.name] = float(evaluate(assign.expression, names))
    assert abs(names["v"]) < 1e-6


def test_growth_is_the_models_own_business() -> None:
    assert neuron_code(Spiking("dv/dt = v/ms : 1", method="euler"), 1e-3, "E").method == "euler"


# The package without its own imports: torch takes seconds.
CODE = """
import sys, types
package = sys.modules["biosim"] = types.ModuleType("biosim")
package.__path__ = ["biosim"]
from biosim.equations.neurons import compiled
from biosim.spiking.description import Spiking
model = '''dv/dt = (u - v**3)/ms + xi_a*ms**-0.5 : 1
du/dt = (w*v - u)/ms + 2*xi_b*ms**-0.5 : 1
dw/dt = (u*v - w)/ms + 3*xi_c*ms**-0.5 : 1'''
print(compiled(Spiking(model, "v > 1", "v = 0", method="heun"), 1e-4, "E"))
"""


@pytest.mark.slow
def test_the_code_is_the_same_in_every_process() -> None:
    """Sets of names have another order in every process; ranks must not."""
    made = {
        subprocess.run(
            [sys.executable, "-c", CODE],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[4],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(made) == 1
    assert "_noise_2" in made.pop()
