import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from biosim.equations.decay import coupled, decayed
from biosim.equations.simplify import parse

ELAPSED = (0.0, 1e-3, 0.02, 0.7)


def solved(**equations: str) -> dict[str, str]:
    return decayed({name: parse(text) for name, text in equations.items()})


def at(solution: dict[str, str], elapsed: float, **values: float) -> dict[str, float]:
    scope = {"exp": math.exp, "elapsed": elapsed, **values}
    return {name: eval(text, {}, scope) for name, text in solution.items()}


def test_one_equation_is_an_exponential() -> None:
    assert solved(x="-x/0.02") == {"x": "exp(-50.0 * elapsed) * x"} or solved(x="-x/0.02") == {
        "x": "x * exp(-50.0 * elapsed)"
    }


def test_a_rest_is_approached() -> None:
    found = solved(x="2*(1 - x)")
    assert at(found, 0.3, x=0.25)["x"] == pytest.approx(1 - 0.75 * math.exp(-0.6), rel=1e-15)


def test_a_constant_slope_is_a_line() -> None:
    assert at(solved(x="3/tau"), 0.5, x=1.0, tau=2.0)["x"] == 1.75


def test_a_time_constant_may_be_a_name() -> None:
    found = solved(x="(rest - x)/tau")
    value = at(found, 0.1, x=3.0, tau=0.4, rest=1.0)["x"]
    assert value == pytest.approx(1 + 2 * math.exp(-0.25), rel=1e-15)


MATRICES = {
    "alpha": ("(y - x)/0.005", "-y/0.005", [[-200, 200], [0, -200]], [0, 0]),
    "double exponential": ("(y - x)/0.005", "-y/0.03", [[-200, 200], [0, -1 / 0.03]], [0, 0]),
    "with a rest": ("(y - x)/0.005 + 3", "2 - y/0.03", [[-200, 200], [0, -1 / 0.03]], [3, 2]),
    "without a rest": ("y", "-y/0.01", [[0, 1], [0, -100]], [0, 0]),
    "exchange": ("10*(y - x) + 1", "7*(x - y)", [[-10, 10], [7, -7]], [1, 0]),
}


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("elapsed", ELAPSED)
def test_coupled_equations_equal_the_matrix_exponential(name, elapsed) -> None:
    x, y, matrix, constant = MATRICES[name]
    whole = np.zeros((3, 3))
    whole[:2, :2], whole[:2, 2] = matrix, constant
    expected = expm(whole * elapsed) @ [0.3, -0.8, 1.0]
    found = at(solved(x=x, y=y), elapsed, x=0.3, y=-0.8)
    assert [found["x"], found["y"]] == pytest.approx(list(expected[:2]), abs=1e-12)


def test_two_time_constants_may_be_names() -> None:
    found = solved(x="(y - x)/a", y="-y/b")
    same = solved(x="(y - x)/0.02", y="-y/0.05")
    values = at(found, 0.01, x=1.0, y=2.0, a=0.02, b=0.05)
    assert values == pytest.approx(at(same, 0.01, x=1.0, y=2.0), rel=1e-13)


@given(st.lists(st.integers(1, 400), min_size=2, max_size=4))
def test_chains_of_any_time_constants_never_overflow(times_ms) -> None:
    names = [f"x{at}" for at in range(len(times_ms))]
    equations = {
        name: f"({names[at + 1] if at + 1 < len(names) else '0'} - {name})/{time / 1000}"
        for at, (name, time) in enumerate(zip(names, times_ms, strict=True))
    }
    found = solved(**equations)
    start = dict.fromkeys(names, 1.0)
    assert all(abs(value) < 1e-9 for value in at(found, 1e6, **start).values())


def test_variables_that_do_not_read_each_other_are_solved_apart() -> None:
    assert coupled({"a": {"a"}, "b": {"b", "c"}, "c": {"tau"}, "d": {"c"}}) == [
        ("a",),
        ("b", "c", "d"),
    ]


@pytest.mark.parametrize("text", ["-x*x", "exp(x)", "x/(1 + x)", "(x + 1)*(x - 1)", "sqrt(x)"])
def test_what_is_not_linear_is_refused(text) -> None:
    with pytest.raises(ValueError, match="is not linear in x"):
        solved(x=text)


def test_an_oscillation_is_refused() -> None:
    with pytest.raises(ValueError, match="the solution of x, y oscillates"):
        solved(x="y", y="-100*x - y")
