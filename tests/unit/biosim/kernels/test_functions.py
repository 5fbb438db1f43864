import numpy as np
import pytest

from biosim.equations.evaluate import exprel
from tests.unit.biosim.kernels.wrapped import written

KINDS = {"32": np.float32, "64": np.float64}


def function(name: str, bits: str):
    text = f"""
@compiled
def each(x, out):
    for i in range(x.shape[0]):
        out[i] = {name}{bits}(x[i])
"""
    compiled = written(text, f"float{bits}").each

    def called(x):
        out = np.empty(len(x), KINDS[bits])
        compiled(np.ascontiguousarray(x, dtype=KINDS[bits]), out)
        return out

    return called


def apart(got, expected):
    """The largest relative error."""
    return np.max(np.abs(got.astype(np.longdouble) / expected - 1))


@pytest.mark.parametrize(("bits", "reach", "bound"), [("32", 87.0, 1.3e-7), ("64", 707.0, 3.0e-16)])
def test_exp_is_as_close_as_stated(bits: str, reach: float, bound: float) -> None:
    x = np.concatenate([np.linspace(-reach, reach, 200_001), np.linspace(-1, 1, 100_001)])
    x = x.astype(KINDS[bits])
    expected = np.exp(x.astype(np.longdouble))
    assert apart(function("exp", bits)(x), expected) < bound
    # The bound means something: the nearest number after rounding is closer than half of it.
    assert apart(expected.astype(KINDS[bits]), expected) > bound / 4


@pytest.mark.parametrize(("bits", "bound"), [("32", 4e-7), ("64", 1.4e-15)])
def test_exprel_is_as_close_as_stated(bits: str, bound: float) -> None:
    x = np.concatenate([np.linspace(-80, 80, 100_001), np.linspace(-0.6, 0.6, 100_001)])
    x = x.astype(KINDS[bits])
    wide = x.astype(np.longdouble)
    safe = np.where(wide == 0, 1, wide)
    expected = np.where(wide == 0, 1, np.expm1(safe) / safe)
    assert apart(function("exprel", bits)(x), expected) < bound


@pytest.mark.parametrize("bits", ["32", "64"])
def test_exprel_is_1_at_0_and_that_of_numpy_elsewhere(bits: str) -> None:
    x = np.array([0.0, -0.0, 1e-30, -1e-6, 0.49999, 0.50001, 3.0, -60.0])
    np.testing.assert_allclose(function("exprel", bits)(x), exprel(x), rtol=1e-6)
    assert function("exprel", bits)(np.zeros(1))[0] == 1


@pytest.mark.parametrize(("bits", "least"), [("32", 1.3e-38), ("64", 3.4e-308)])
def test_exp_stays_finite_beyond_what_a_float_holds(bits: str, least: float) -> None:
    found = function("exp", bits)(np.array([-1e4, 1e4, -np.inf, np.inf]))
    assert 0 < found[0] == found[2] < least
    assert found[1] == found[3]
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", ["exp", "exprel"])
@pytest.mark.parametrize("bits", ["32", "64"])
def test_bits_do_not_depend_on_the_place_in_the_array(name: str, bits: str) -> None:
    called = function(name, bits)
    x = np.random.default_rng(0).uniform(-30, 30, 131).astype(KINDS[bits])
    alone = np.concatenate([called(x[i : i + 1]) for i in range(len(x))])
    # Vectors, and what is left over at their end.
    for first in range(17):
        for last in (first + 1, first + 8, 100, 131):
            part = called(x[first:last])
            assert part.tobytes() == alone[first:last].tobytes()
