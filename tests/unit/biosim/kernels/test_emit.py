import numpy as np
import pytest

from biosim.equations.code import FUNCTIONS
from biosim.equations.evaluate import evaluate
from biosim.kernels.emit import names_in, printed, renamed
from tests.unit.biosim.kernels.wrapped import written

EXPRESSIONS = [
    "a + b - a*b",
    "a / b",
    "-a + +b",
    "2*a + 3",
    "1e-9*a + 1e9*b",
    "(p ** 3) / (p ** 0.5)",
    "a % b",
    "a < b",
    "a <= b",
    "a > b",
    "a >= b",
    "(a == b) or (a > 1.0)",
    "a != b",
    "-1.0 < a < b",
    "not (a < b)",
    "a < b and b < 1.0 and flag",
    "a < b or flag",
    "not flag",
    "where(a < b, a, 2*b)",
    "where(flag and a < 0.0, exp(a), -b)",
    "clip(a, -0.5, 0.5)",
    "clip(a, -inf, 1e999)",
    "abs(a - b)",
    "exp(a) + exp(-40.0*p)",
    "exprel(a) + exprel(a*1e-4)",
    "log(p) + log10(p) + log1p(p)",
    "expm1(a) + sqrt(p)",
    "sin(a) + cos(a) + tan(a)",
    "sinh(a) + cosh(a) + tanh(a)",
    "arcsin(0.3*a) + arccos(0.3*a) + arctan(a)",
    "floor(5*a) + ceil(5*a) + sign(a)",
    "int(5*a) + int(a < b)",
    "count + 1",
    "a if a > b else b",
    "True and a < b",
    "(a + b)*(a - b)/(1 + p)*flag",
]


def module(precision: str):
    names = {x: f"{x}[k]" for x in ("a", "b", "p", "flag", "count")}
    lines = [
        f"        out[{e}, k] = {printed(x, precision, names)}" for e, x in enumerate(EXPRESSIONS)
    ]
    head = "@compiled\ndef every(a, b, p, flag, count, out):\n    for k in range(a.shape[0]):\n"
    return written(head + "\n".join(lines) + "\n", precision)


@pytest.fixture(scope="module", params=["float32", "float64"])
def values(request: pytest.FixtureRequest):
    chance = np.random.default_rng(7)
    given = {
        "a": chance.uniform(-2, 2, 500),
        "b": chance.uniform(-2, 2, 500),
        "p": chance.uniform(0.01, 3, 500),
        "flag": chance.random(500) < 0.5,
        "count": chance.integers(-5, 5, 500).astype(np.int32),
    }
    given["b"][::3] = given["a"][::3]
    for name in "abp":
        given[name] = given[name].astype(request.param)
    out = np.zeros((len(EXPRESSIONS), 500), request.param)
    module(request.param).every(*given.values(), out)
    wide = {x: v.astype(np.float64) if v.dtype.kind == "f" else v for x, v in given.items()}
    return request.param, wide, dict(zip(EXPRESSIONS, out, strict=True))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_printed_has_the_value_of_the_scalar_code(values, expression: str) -> None:
    precision, given, found = values
    every = [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]
    expected = np.array([evaluate(expression, {**one, "inf": np.inf}) for one in every])
    close = 5e-6 if precision == "float32" else 1e-13
    np.testing.assert_allclose(found[expression], expected, rtol=close, atol=close)
    if "inf" not in expression:
        assert len(np.unique(found[expression])) > 1, "it says nothing to compare one value"


def test_every_function_of_scalar_code_can_be_printed() -> None:
    printed_ones = {name for text in EXPRESSIONS for name in FUNCTIONS if f"{name}(" in text}
    assert printed_ones == FUNCTIONS


def test_numbers_are_of_the_precision() -> None:
    assert printed("0.1*x", "float32") == printed("0.1*x", "float64") == "(F(0.1) * x)"
    assert printed("exp(x) + exprel(2)", "float32") == "(exp32(x) + exprel32(F(2.0)))"
    assert printed("exp(x)", "float64") == "exp64(x)"
    assert printed("x > inf or y < -1e999", "float32").count("F(np.inf)") == 2


def test_names_are_put_in_place_of_others() -> None:
    assert printed("v + _x", "float32", {"v": "a_v[k]", "_x": "u_x"}) == "(a_v[k] + u_x)"
    assert names_in("exp(v)*where(v > w, exp, 2)") == {"v", "w", "exp"}
    assert names_in("clip(1, 2, 3)") == set()
    assert renamed("v*(w + v)", {"v": "(a - 1)"}) == "(a - 1) * (w + (a - 1))"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("'text'", "'text' is no number"),
        ("None", "None is no number"),
        ("erf(x)", "no function erf"),
        ("x[0]", "cannot be compiled"),
        ("lambda: 0", "cannot be compiled"),
    ],
)
def test_what_is_no_scalar_code_is_refused(expression: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        printed(expression, "float32")
