from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biosim.equations import synapses
from biosim.equations.brian import brian
from biosim.equations.code import Effect, EquationError, Trace, Variable
from biosim.equations.statements import SynapseText
from biosim.equations.synapses import Reader, synapse_code
from biosim.spiking.description import SynapseModel, Uniform
from tests.unit.biosim.equations.synapse_rules import (
    DT,
    FUNCTIONS,
    PRE,
    RULES,
    Rule,
    neuron,
)
from tests.unit.biosim.equations.synapse_runs import (
    by_contract,
    by_statement,
    coincidences,
    random_events,
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BIOSIM_CACHE", str(tmp_path))


def code_of(synapse: SynapseModel | None, receptor: str = "ge"):
    return synapse_code(synapse, receptor, DT, "E to I", neuron(), PRE)


def difference(one, other) -> float:
    """The largest difference in what synapses end with and in what neurons were given."""
    worst = [0.0]
    for mine, its in zip(one.synapses, other.synapses, strict=True):
        assert set(its) >= set(mine) - {"dt"}
        worst += [abs(value - its[name]) for name, value in mine.items()]
    worst += [float(abs(one.given[name] - array).max()) for name, array in other.given.items()]
    worst += [abs(value - other.shared[name]) for name, value in one.shared.items()]
    return max(worst)


@pytest.mark.parametrize("name", RULES)
def test_scalar_code_does_what_the_statements_say(name) -> None:
    rule: Rule = RULES[name]
    code = code_of(rule.synapse)
    events = random_events(1)
    assert coincidences(events) > 20
    expected = by_statement(rule, events)
    assert difference(by_contract(code, rule, events), expected) < 1e-12
    assert abs(expected.given["ge"]).max() > 0.1
    if name not in ("static", "short-term plasticity", "short-term plasticity by synapse"):
        changed = [s["w"] - w for s, w in zip(expected.synapses, events.weights, strict=True)]
        assert np.abs(changed).max() > 1e-3


@pytest.mark.parametrize("name", RULES)
def test_traces_live_where_the_proof_puts_them(name) -> None:
    rule = RULES[name]
    code = code_of(rule.synapse)
    assert tuple(trace.name for trace in code.pre_traces) == rule.pre
    assert tuple(trace.name for trace in code.post_traces) == rule.post
    assert tuple(trace.name for trace in code.own_traces) == rule.own
    assert set(code.pre_final) == set(rule.pre)
    assert set(code.post_final) == set(rule.post)
    assert {variable.name for variable in code.variables} == set(rule.kept)


def test_another_order_of_statements_is_told_apart() -> None:
    events = random_events(1)
    code = code_of(RULES["stdp that sends the new weight"].synapse)
    rule = RULES["stdp"]
    assert difference(by_contract(code, rule, events), by_statement(rule, events)) > 1e-3


TRACES = """w : 1
dp/dt = -p/(20*ms) : 1 (event-driven)
dq/dt = (p - q)/(50*ms) : 1 (event-driven)
do/dt = -o/(30*ms) : 1 (event-driven)
dr/dt = -r/(40*ms) : 1 (event-driven)"""
DECAY = {
    "p": ({"p": -50.0}, 0.0),
    "q": ({"q": -20.0, "p": 20.0}, 0.0),
    "o": ({"o": -1 / 0.03}, 0.0),
    "r": ({"r": -25.0}, 0.0),
}
TARGETS = ("p", "q", "o", "r", "w", "a", "b", "ge")
TERMS = ("0.3", "p", "q", "o", "r", "w", "a", "b", "gain_pre", "goal_post")


@st.composite
def code_block(draw) -> str:
    """Statements with any variable on either side; `a` and `b` are names of their own."""
    lines = [f"{name} = {draw(st.sampled_from(TERMS[:6]))}" for name in ("a", "b")]
    for _ in range(draw(st.integers(0, 5))):
        target = draw(st.sampled_from(TARGETS))
        one, other = draw(st.tuples(st.sampled_from(TERMS), st.sampled_from(TERMS)))
        if target == "ge":
            lines.append(f"ge += {one}*{other}")
        else:
            sign = draw(st.sampled_from(("", f"0.5*{target} - ")))
            lines.append(f"{target} = clip({sign}{one}*{other}, -1, 1)")
    return "\n".join([*lines, "ge += a + b"])


@settings(max_examples=20)
@given(on_pre=code_block(), on_post=code_block())
def test_any_statements_are_executed_as_written(on_pre, on_post) -> None:
    rule = Rule(SynapseModel(TRACES, on_pre, on_post), DECAY)
    events = random_events(4, ticks=60, n_pre=2, n_post=2)
    code = Reader(
        SynapseText(TRACES, {}, DT, "projection 'p'", "ge", neuron(), PRE), rule.synapse
    ).code()
    assert difference(by_contract(code, rule, events), by_statement(rule, events)) < 1e-12


def test_synapses_without_a_model_add_their_weight() -> None:
    code = code_of(None, "u")
    assert code.variables == (Variable("w", "parameter", "float", "V"),)
    assert code.effects == (Effect("u", "w"),)
    assert not code.on_pre


def test_code_comes_from_the_cache_as_it_was_made(monkeypatch) -> None:
    first = code_of(RULES["reward"].synapse)
    monkeypatch.setattr(synapses, "SynapseText", None)
    assert code_of(RULES["reward"].synapse) == first


@pytest.mark.parametrize(
    "initial",
    [{"Apre": "rand()"}, {"Apre": "0.1*i"}, {"Apre": Uniform(0, 1)}, {"Apre": np.zeros(9)}],
)
def test_a_trace_that_starts_apart_is_kept_by_the_synapse(initial) -> None:
    code = code_of(replace(RULES["stdp"].synapse, initial=initial))
    assert [trace.name for trace in code.own_traces] == ["Apre"]
    assert [trace.name for trace in code.post_traces] == ["Apost"]


@pytest.mark.parametrize("initial", [{"Apre": "2e-3*gmax"}, {"Apre": 0.5}, {"w": "rand()"}])
def test_a_trace_that_starts_alike_is_kept_once(initial) -> None:
    code = code_of(replace(RULES["stdp"].synapse, initial=initial))
    assert [trace.name for trace in code.pre_traces] == ["Apre"]


def test_a_time_constant_of_each_synapse_keeps_its_trace_there() -> None:
    model = SynapseModel(
        "w : 1\ntau : second\ndy/dt = -y/tau : 1 (event-driven)", "y += 1; ge += y"
    )
    code = code_of(model)
    assert code.own_traces == (Trace("y", "exp(-elapsed / tau) * y"),)
    assert [variable.name for variable in code.variables] == ["w", "tau"]


def test_a_start_value_of_nothing_is_refused() -> None:
    with pytest.raises(EquationError, match=r"'E to I', initial 'z': the synapse has no such .* w"):
        code_of(SynapseModel("w : 1", "ge += w", initial={"z": 1}))


def test_variables_that_no_code_uses_are_not_kept() -> None:
    code = code_of(SynapseModel("w : 1\nspare : 1\nn : integer", "ge += w; n += 1"))
    assert [(each.name, each.kind) for each in code.variables] == [("w", "float"), ("n", "integer")]


def test_what_is_read_of_the_neurons_is_listed_without_suffix() -> None:
    code = code_of(SynapseModel("w : 1", "ge += w*gain_pre*int(v > u_post)"))
    assert code.reads_post == ("v", "u")
    assert code.reads_pre == ("gain",)
    assert code.effects == (Effect("ge", "gain_pre * int(v_post > u_post) * w"),)


def test_bounds_are_given_in_si_units() -> None:
    bounds = {"w": ("-1*mV", "top"), "z": (0, None)}
    model = SynapseModel("w : volt\nz : 1", "v += z*w", "", {"top": "2*mV"}, {}, bounds)
    assert code_of(model).clamps == {"w": (-0.001, 0.002), "z": (0.0, None)}


def test_clock_driven_linear_equations_are_solved_exactly() -> None:
    code = code_of(SynapseModel("dw/dt = (0.5 - w)/(10*ms) : 1 (clock-driven)", "ge += w"))
    scope = {"w": 0.2, **FUNCTIONS}
    (step,) = code.clock
    assert eval(step.expression, scope) == pytest.approx(0.5 - 0.3 * np.exp(-0.1), rel=1e-14)
    assert code.variables[0].role == "state"


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (
            {"x": (0, 1)},
            "E to I', bounds of 'x': the synapse has no such variable; expected one of",
        ),
        ({"w": (1, 0)}, "bounds of 'w': got 1.0 to 0.0 in SI units; give the least first"),
        ({"w": ("0*mV", 1)}, "bounds of 'w' '0[*]mV': the unit of '0[*]mV' is V, expected 1"),
        ({"w": (0, "w")}, "bounds of 'w' 'w': the name 'w' is unknown"),
        ({"w": (0, "rand()")}, "bounds of 'w' .*rand.. cannot be used here"),
        ({"w": (0, [1, 2])}, "bounds of 'w': got .1, 2., expected one number for all synapses"),
        ({"w": (0, Uniform(0, 1))}, "bounds of 'w': got Uniform"),
    ],
)
def test_bounds_that_cannot_be_are_refused(bounds, message) -> None:
    with pytest.raises(EquationError, match=message):
        code_of(replace(RULES["stdp"].synapse, bounds=bounds))


def test_a_bound_with_another_unit_is_refused() -> None:
    bounds = {"w": (0, brian().units["mV"])}
    with pytest.raises(EquationError, match=r"bounds of 'w': the unit of .* is V, expected 1"):
        code_of(SynapseModel("w : 1", "ge += w", bounds=bounds))


@pytest.mark.parametrize("receptor", ["gi", "flag"])
def test_an_unknown_receptor_is_refused(receptor) -> None:
    post = neuron(
        Variable("ge", "state", "float", "1"), Variable("flag", "parameter", "boolean", "1")
    )
    with pytest.raises(EquationError, match=f"'E to I', receptor '{receptor}': .* one of ge"):
        synapse_code(SynapseModel(), receptor, DT, "E to I", post)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dy/dt = -y*y/ms : 1 (event-driven)", "needs an exact solution, but 'y .*' is not linear"),
        ("dy/dt = -y/ms + t/ms**2 : 1 (event-driven)", "event-driven but reads 't', which changes"),
        ("dy/dt = v/mV/ms : 1 (event-driven)", "'dy/dt = v/mV/ms': it is event-driven .* 'v_post'"),
        (
            "dc/dt = -c/second : 1 (clock-driven)\ndy/dt = c/ms : 1 (event-driven)",
            "'dy/dt = c/ms': it is event-driven but reads 'c', which changes between events",
        ),
        (
            "dy/dt = z/ms : 1 (event-driven)\ndz/dt = -y/ms : 1 (event-driven)",
            "the solution of y, z oscillates; make it '.clock-driven.'",
        ),
        ("dy/dt = -w*y/ms : 1 (clock-driven, shared)", "shared by all synapses but reads 'w'"),
        ("y = w*2 : 1 (shared)", "'y = w.2': it is shared by all synapses but reads 'w'"),
        ("dy/dt = -y/(.4*ms)*(1+d*0) : 1 (clock-driven)\nd : 1", None),
        (
            "dy/dt = -y/(.4*ms) : 1 (clock-driven)\ndz/dt = -z*z/second : 1 (clock-driven)",
            "'dy/dt = .*': its time constant of 0.0004 s is unstable with steps of 0.001 s; take",
        ),
    ],
)
def test_equations_that_cannot_be_taken_are_refused(line, message) -> None:
    model = SynapseModel(f"w : 1\n{line}", "ge += w")
    if message is None:
        code_of(model)
        return
    with pytest.raises(EquationError, match=message) as caught:
        code_of(model)
    assert str(caught.value).startswith("projection 'E to I', equation '")
