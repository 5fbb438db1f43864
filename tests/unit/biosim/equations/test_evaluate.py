"""Values with units become numbers in SI units, or a line that says why not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from biosim.equations.brian import brian
from biosim.equations.code import EquationError
from biosim.equations.evaluate import evaluate, evaluate_value

PLACE: dict[str, Any] = {"whose": "population 'E'", "place": "initial 'v'"}


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("a + 2*b", 5.0),
        ("a < b and not a > b", True),
        ("a > b or b > a", True),
        ("where(a > b, 1.0, 2.0)", 2.0),
        ("int(2.7) + int(a < b)", 3),
        ("exprel(0.0)", 1.0),
        ("exprel(1.0)", np.e - 1),
        ("clip(5.0, a, b)", 2.0),
        ("exp(log(a)) + sqrt(b)**2 + arctan(0.0) + sign(-b)", 2.0),
        ("1.0 / (a - 1.0)", np.inf),
        ("a % b", 1.0),
    ],
)
def test_scalars(code: str, value: float) -> None:
    assert evaluate(code, {"a": 1.0, "b": 2.0}) == pytest.approx(value)


def test_arrays_are_taken_element_by_element() -> None:
    x = np.array([-1.0, 0.0, 2.0])
    found = evaluate("where(x > 0 and not x > 5 or x < 0, exprel(x), 7.0)", {"x": x})
    np.testing.assert_allclose(found, [1 - np.exp(-1), 7.0, np.expm1(2.0) / 2])


@pytest.mark.parametrize("text", ["-60*mV", "-60 mV", "-0.06*volt", "a - 70*mV", "b*a*6"])
def test_texts_with_units_come_in_si_units(text: str) -> None:
    constants = {"a": "10*mV", "b": -1}
    assert evaluate_value(text, "V", constants=constants, **PLACE) == pytest.approx(-0.06)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("40*uV", "V", 4e-5),
        ("3 nV + 1*kV*0", "V", 3e-9),
        ("2*fA", "A", 2e-15),
        ("5*fF", "F", 5e-15),
        ("7*pS", "S", 7e-12),
        ("9*uHz", "Hz", 9e-6),
        ("2*Mvolt + 1*MV", "V", 3e6),
        ("100*ns", "s", 1e-7),
        ("6*pC", "A s", 6e-12),
    ],
)
def test_values_take_prefixes_with_every_symbol(text: str, unit: str, value: float) -> None:
    assert evaluate_value(text, unit, **PLACE) == pytest.approx(value)
    constants = {"a": text}
    assert evaluate_value("a", unit, constants=constants, **PLACE) == pytest.approx(value)
    with pytest.raises(EquationError, match="expected cd"):
        evaluate_value(text, "cd", **PLACE)


def test_a_constant_hides_a_unit_of_the_same_name() -> None:
    assert evaluate_value("2*kA", "V", constants={"kA": "3*uV"}, **PLACE) == pytest.approx(6e-6)


def test_quantities_numbers_and_arrays_come_as_they_are() -> None:
    quantity = 20 * brian().units["ms"]
    assert evaluate_value(quantity, "s", **PLACE) == pytest.approx(0.02)
    assert evaluate_value(0.02, "s", **PLACE) == 0.02
    assert evaluate_value(3, "1", **PLACE) == 3.0
    np.testing.assert_array_equal(evaluate_value([1.0, 2.0], "V", **PLACE), [1.0, 2.0])
    quantities = np.array([1.0, 2.0]) * brian().units["mV"]
    np.testing.assert_allclose(evaluate_value(quantities, "V", **PLACE), [1e-3, 2e-3])


def test_zero_has_every_unit() -> None:
    assert evaluate_value("0", "V", **PLACE) == 0.0


def test_texts_may_use_names_and_draws() -> None:
    draws = iter([np.array([0.0, 1.0]), np.array([0.5, 0.5])])
    found = evaluate_value(
        "-60*mV + rand()*10*mV + rand()*2*mV + i*dv",
        "V",
        names={"rand": lambda: next(draws), "i": np.arange(2), "dv": np.array([1e-3, 2e-3])},
        units={"dv": "V"},
        **PLACE,
    )
    np.testing.assert_allclose(found, [-0.059, -0.047])


def test_a_name_hides_a_unit_of_the_same_name() -> None:
    found = evaluate_value("2*mV", "1", names={"mV": np.array([1.0, 2.0])}, **PLACE)
    np.testing.assert_array_equal(found, [2.0, 4.0])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("20*ms", r"population 'E', initial 'v' '20\*ms': the unit of '20\*ms' is s, expected V"),
        ("20", "the unit of '20' is 1, expected V"),
        ("20*mV + 3*ms", "have different|dimensions|units"),
        ("20*mW*foo", "the name 'foo' is unknown"),
        ("20*mV +", "initial 'v'"),
        ("mV.dim", "initial 'v'"),
        ("randn()*mV", r"randn\(\) cannot be used here"),
        ("'a'", "initial 'v'"),
    ],
)
def test_a_text_that_does_not_fit_is_refused(value: str, message: str) -> None:
    with pytest.raises(EquationError, match=message) as caught:
        evaluate_value(value, "V", **PLACE)
    assert str(caught.value).startswith("population 'E', initial 'v'")
    assert "\n" not in str(caught.value)


def test_a_quantity_of_another_unit_is_refused() -> None:
    with pytest.raises(EquationError, match="is s, expected V"):
        evaluate_value(20 * brian().units["ms"], "V", **PLACE)


@pytest.mark.parametrize("value", [None, ["a"], {"a": 1}, object()])
def test_what_is_no_value_is_refused(value: Any) -> None:
    with pytest.raises(EquationError, match="expected a number, an array of numbers, or text"):
        evaluate_value(value, "V", **PLACE)


def test_a_function_that_only_brian2_knows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biosim.equations.brian.functions", lambda: brian().functions)
    with pytest.raises(EquationError, match=r"initial 'v' .*: 'poisson\(3\)' cannot be turned"):
        evaluate_value("poisson(3)*mV", "V", **PLACE)


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(EquationError, match="'foo' is not a unit"):
        evaluate_value(1.0, "foo", **PLACE)
