"""The normal form has the value of what it was made from, and few operations."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from biosim.equations.code import EquationError
from biosim.equations.evaluate import evaluate
from biosim.equations.simplify import parse, simplified

NAMES = ("a", "b", "c")

leaves = st.one_of(
    st.sampled_from(NAMES),
    st.floats(0.1, 9.0).map(lambda x: repr(round(x, 3))),
    st.integers(1, 5).map(str),
)


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda x: f"({x[0]} {x[1]} {x[2]})"),
        st.tuples(inner, st.sampled_from(["2", "3", "-1", "0.5", "1.7"])).map(
            lambda x: f"abs({x[0]})**{x[1]}"
        ),
        inner.map(lambda x: f"(-{x})"),
        inner.map(lambda x: f"exp(0.1*clip({x}, -20, 20))"),
        inner.map(lambda x: f"tanh({x})"),
        pair.map(lambda x: f"int({x[0]} > {x[1]})"),
        pair.map(lambda x: f"where({x[0]} <= {x[1]} or not {x[0]} < 3, {x[0]}, {x[1]})"),
    )


@given(st.recursive(leaves, grown, max_leaves=12), st.tuples(*[st.floats(0.3, 3.0)] * 3))
def test_the_normal_form_has_the_same_value(text: str, values: tuple[float, ...]) -> None:
    names = dict(zip(NAMES, values, strict=True))
    expected = float(evaluate(text, names))
    assume(math.isfinite(expected) and 1e-6 < abs(expected) < 1e12)
    # A difference of large terms keeps fewer digits in one order of adding than in another.
    nearby = [float(evaluate(text, {**names, name: names[name] * (1 + 1e-9)})) for name in NAMES]
    assume(all(abs(each - expected) <= 1e-5 * abs(expected) for each in nearby))
    found = float(evaluate(simplified(text), names))
    assert found == pytest.approx(expected, rel=1e-8)


@given(st.recursive(leaves, grown, max_leaves=12))
def test_the_normal_form_is_its_own_normal_form_up_to_value(text: str) -> None:
    names = {"a": 0.7, "b": 1.9, "c": 2.3}
    once = simplified(text)
    expected = float(evaluate(once, names))
    assume(math.isfinite(expected))
    assert float(evaluate(simplified(once), names)) == pytest.approx(expected, rel=1e-8, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("1 + 2*3 - 4/8", "6.5"),
        ("v + dt*(E - v)/tau", "0.99 * v - 0.005"),
        ("2*(a + b) - 2*a", "2.0 * b"),
        ("a*b/b", "a"),
        ("x*x*x", "x * x * x"),
        ("x**2*x", "x * x * x"),
        ("x**7", "x ** 7"),
        ("1/x/x", "1.0 / (x * x)"),
        ("x**0.5", "sqrt(x)"),
        ("x**1.5", "x ** 1.5"),
        ("sqrt(4*x)", "2.0 * sqrt(x)"),
        ("(10*x)**400", "(10.0 * x) ** 400"),
        ("10**400*x", "1e999 * x"),
        ("(-10)**401*x", "-1e999 * x"),
        ("exp(v/0.001)**(1/20)", "exp(50.0 * v)"),
        ("exp(a)*exp(b)", "exp(a + b)"),
        ("exp(a)/exp(a)", "1.0"),
        ("2**x", f"exp({math.log(2)!r} * x)"),
        ("(a - b)*(b - a)", "-(a - b) * (a - b)"),
        ("a % 2", "a % 2.0"),
        ("7 % 4", "3.0"),
        ("a // 2", "floor(0.5 * a)"),
        ("-a", "-a"),
        ("b - a", "b - a"),
        ("not (a > 1 and True)", "not a > 1.0"),
        ("not not a > 1", "a > 1.0"),
        ("a > 1 or 2 > 1", "True"),
        ("1 < a < 2", "1.0 < a and a < 2.0"),
        ("int(True) + 1", "2.0"),
        ("where(1 > 2, a, b)", "b"),
        ("(a > 1)*b", "b * int(a > 1.0)"),
        ("-(a > 1)*b", "-b * int(a > 1.0)"),
        ("exprel(0)", "1.0"),
        ("clip(5, 0, 1)", "1.0"),
        ("0*a", "0.0"),
        ("log(0)", "log(0.0)"),
    ],
)
def test_forms(text: str, form: str) -> None:
    assert simplified(text, {"dt": 1e-4, "tau": 1e-2, "E": -0.5}) == form


def test_a_product_of_sums_is_not_multiplied_out() -> None:
    assert simplified("(a + b)*(a - b)") == "(a + b) * (a - b)"


def test_a_far_coefficient_is_not_pulled_out_of_a_sum() -> None:
    """1e-30*(x + 1e30*y) would overflow in float32."""
    assert simplified("z*(1e-30*x + y)") == "(1e-30 * x + y) * z"


@pytest.mark.parametrize(
    "text", ["a @ b", "a.b", "a[0]", "[1]", "f(a)", "a if b else c", "'x'", "a is b", "a << 2"]
)
def test_what_kernels_cannot_do_is_refused(text: str) -> None:
    with pytest.raises(EquationError, match="cannot be turned into a kernel"):
        parse(text)


def test_what_is_no_expression_is_refused() -> None:
    with pytest.raises(EquationError, match="is not an expression"):
        parse("a +* b")


def test_two_definitions_of_a_node_are_equal_if_they_read_the_same() -> None:
    assert parse("a + b") == parse("b + a")
    assert parse("a + b") != parse("a - b")
    assert len({parse("a*b"), parse("b*a")}) == 1
