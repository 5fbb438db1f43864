"""Straight-line code keeps its meaning and loses its repetitions."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from biosim.equations.code import Assign
from biosim.equations.evaluate import evaluate
from biosim.equations.simplify import block, names_in, parse, simultaneous


def run(code: Sequence[Assign], **names: float) -> dict[str, float]:
    for assign in code:
        names[assign.name] = float(evaluate(assign.expression, names))
    return names


def test_states_are_assigned_at_once_although_they_read_each_other() -> None:
    code = simultaneous(
        {"a": parse("b + 1"), "b": parse("c*2"), "c": parse("a - b")}, ["a", "b", "c"]
    )
    after = run(code, a=1.0, b=2.0, c=3.0)
    assert (after["a"], after["b"], after["c"]) == (3.0, 6.0, -1.0)


def test_two_states_may_swap() -> None:
    after = run(simultaneous({"a": parse("b"), "b": parse("a")}, ["a", "b"]), a=1.0, b=2.0)
    assert (after["a"], after["b"]) == (2.0, 1.0)


def test_temporaries_precede_states_and_begin_with_an_underscore() -> None:
    forms = {"a": parse("exp(c)*b"), "b": parse("exp(c) + a"), "c": parse("c + exp(c)")}
    code = simultaneous(forms, list(forms))
    names = [assign.name for assign in code]
    assert sorted(names[-3:]) == ["a", "b", "c"]
    assert all(name.startswith("_") for name in names[:-3])


def test_equal_parts_are_computed_once() -> None:
    code = simultaneous({"a": parse("a*exp(b/3)"), "b": parse("b + exp(b/3)")}, ["a", "b"])
    assert sum(assign.expression.count("exp(") for assign in code) == 1


def test_sums_that_differ_by_a_factor_are_computed_once() -> None:
    forms = {"a": parse("exp(2*x + 6*y + 4)/(x + 3*y + 2)")}
    code = simultaneous(forms, ["a"])
    assert [assign.expression for assign in code] == [
        "x + 3.0 * y + 2.0",
        "exp(2.0 * _common_0) / _common_0",
    ]


def test_literals_and_names_get_no_temporary() -> None:
    assert simultaneous({"a": parse("a + b"), "b": parse("b*2")}, ["a", "b"]) == (
        Assign("a", "a + b"),
        Assign("b", "2.0 * b"),
    )


def test_an_affine_temporary_is_put_into_its_users() -> None:
    forms = block([("_k", "x/2"), ("_x", "x + _k + _k"), ("x", "_x")], {}, ["x"])
    assert forms == {"x": parse("2*x")}


def test_a_nonlinear_temporary_with_several_users_stays() -> None:
    forms = block([("_k", "x*x"), ("_x", "x + _k + _k*_k"), ("x", "_x")], {}, ["x"])
    assert forms == {"_k": parse("x*x"), "x": parse("x + _k + _k*_k")}


def test_a_temporary_is_renamed_to_begin_with_an_underscore() -> None:
    assert list(block([("k", "x*x"), ("x", "k + k*k")], {}, ["x"])) == ["_k", "x"]


@pytest.mark.parametrize("stages", [4, 12])
def test_stages_of_stages_do_not_grow_without_bound(stages: int) -> None:
    statements = [("_k_0", "x*x")]
    statements += [(f"_k_{n}", f"(_k_{n - 1} + x)**2 + _k_{n - 1}") for n in range(1, stages)]
    forms = block([*statements, ("x", f"_k_{stages - 1}")], {}, ["x"])
    assert sum(len(form.text) for form in forms.values()) < 60 * stages


def test_names_are_found_wherever_they_stand() -> None:
    form = parse("where(a > b, exp(c)**2, d % e) * f / (g ** h) + int(not_refractory)")
    assert names_in(form) == {*"abcdefgh", "not_refractory"}
