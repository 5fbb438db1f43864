import pytest

from biosim.equations.code import EquationError, Variable
from biosim.equations.statements import SynapseText
from biosim.equations.traces import Step
from tests.unit.biosim.equations.synapse_rules import DT, PRE, neuron

MODEL = """w : 1
rest : volt (constant)
level : 1 (shared)
twice = 2*w : 1
dy/dt = -y/tau : 1 (event-driven)"""
CONSTANTS = {"tau": "20*ms", "goal2": 3, "x": "2*mV"}


def text_of(model: str = MODEL, **more) -> SynapseText:
    post = neuron(
        *neuron().variables,
        Variable("count", "parameter", "integer", "1"),
        subexpressions={"drive": "ge * (v - 0.01)"},
    )
    constants = {**CONSTANTS, **more}
    return SynapseText(model, constants, DT, "projection 'E to I'", "ge", post, PRE)


def steps(code: str) -> list[Step]:
    return list(text_of().steps(code, "on_pre"))


def test_names_are_those_of_the_synapse_then_of_the_post_neuron() -> None:
    (step,) = steps("w = w + ge + ge_post + v/volt + gain_pre + goal2")
    assert step == Step("w", "gain_pre + 2.0 * ge_post + v_post + w + 3.0")


def test_the_receptor_may_be_called_so() -> None:
    assert steps("receptor -= w") == [Step("ge", "-w", effect=True)]
    assert steps("receptor_post += twice") == [Step("ge", "2.0 * w", effect=True)]


def test_comments_semicolons_and_blank_lines_separate_statements() -> None:
    code = "\n  y += 1  # raised; not set\n\n a = y; w = a*tau/ms\n"
    assert steps(code) == [Step("y", "y + 1.0"), Step("a", "y"), Step("w", "20.0 * a")]


def test_the_right_side_is_taken_as_a_whole() -> None:
    assert steps("w *= y + 1") == [Step("w", "w * (y + 1.0)")]
    assert steps("w /= 4") == [Step("w", "0.25 * w")]


def test_an_own_name_may_change_and_keeps_its_unit() -> None:
    assert [step.target for step in steps("a = v*2; a += 1*mV; u += a")] == ["a", "a", "u"]
    with pytest.raises(EquationError, match=r"line 1, 'w = a': the unit of 'a' is V, expected 1"):
        steps("a = v; w = a")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("ge = w", "'ge' of the post-synaptic neuron may only be changed by [+]= and -=, because"),
        ("v_post *= 2", "because with [*]= the result would depend on the order of arrival"),
        (
            "gain_pre += 1",
            "'gain_pre' is of the pre-synaptic neuron, which a synapse cannot change",
        ),
        ("other_pre = 1", "'other_pre' is of the pre-synaptic neuron"),
        ("count += 1", "'count' of the post-synaptic neuron is integer; add to a variable with"),
        ("ge += w; w = ge", "'ge' of the post-synaptic neuron is read after it was changed"),
        ("ge += v", "the unit of 'v' is V, expected 1"),
        ("w += 3*mV", "'w [+] 3 [*] mV' uses inconsistent units"),
        ("w = zzz", "the name 'zzz' is unknown; add it to the equations or to `constants`"),
        ("w = twic", "the name 'twic' is unknown; did you mean 'twice'"),
        ("wieght = 1", "'wieght' is no variable of the synapse .* and is never read"),
        ("wieght += 1", "the name 'wieght' is unknown"),
        ("gee_post += 1", "the name 'gee_post' is unknown"),
        ("gee_post = 1", "the name 'gee_post' is unknown"),
        ("twice = 1", "'twice' is a subexpression; write to the variables that it reads"),
        ("level += 1", "'level' is shared by all synapses and changes by its equation or from"),
        ("rest = 1*mV", "'rest' is constant; leave the flag out"),
        ("tau = 1*ms", "'tau' is a constant, a unit or a function; choose another name"),
        ("mV = w", "'mV' is a constant, a unit or a function"),
        ("w = x/mV", "'x' is a constant and a variable of the post-synaptic neuron; rename"),
        ("w = drive/volt", "'drive' is a subexpression of the post-synaptic neuron; write it out"),
        ("w = drive_post/volt", "'drive_post' is a subexpression of the post-synaptic neuron"),
        ("w = j", "'j': an index is not kept by a synapse; declare a parameter"),
        ("w = rand()", "'rand': random draws in synapses are not supported; draw a parameter"),
        ("w = xi*second**.5", "'xi': noise in synapses is not supported"),
        ("w = (t - lastupdate)/ms", "'lastupdate': the time since an event is not offered"),
        ("w = erf(y)", "'erf.y.' cannot be turned into a kernel"),
        ("w + 1", "'w [+] 1'"),
        ("w = = 1", "'w = = 1'"),
        ("w = (1", "'w = .1'"),
    ],
)
def test_statements_that_cannot_be_taken_are_refused(statement, message) -> None:
    with pytest.raises(EquationError, match=message) as caught:
        steps(f"y += 1\n{statement}")
    assert str(caught.value).startswith("projection 'E to I', on_pre, line 2, '")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("total_post = w : 1 (summed)", "'.summed.': a sum over synapses at every tick is not"),
        ("a = w : 1 (constant over dt)", "'.constant over dt.': it would be a state of its own"),
        ("a : 1 (linked)", "'.linked.': variables of other groups are not supported"),
        ("da/dt = -a/ms : 1 (unless refractory)", "synapses are never refractory; leave the flag"),
        ("da/dt = -a/ms : 1 (event-driven, clock-driven)", "neither clock-driven nor shared; keep"),
        ("da/dt = -a/ms : 1 (event-driven, shared)", "neither clock-driven nor shared; keep"),
        ("a_post : 1", "'a_post' is not free for a variable of a synapse; rename it"),
        ("lastupdate : second", "'lastupdate' is not free for a variable of a synapse"),
        ("da/dt = -a/ms + xi*ms**-.5 : 1 (clock-driven)", "'xi': noise in synapses"),
        ("a = 3*mV : 1", "the unit of '3[*]mV' is V, expected 1"),
        ("da/dt = -a : 1 (event-driven)", "the unit of '-a' is 1, expected Hz"),
    ],
)
def test_lines_that_cannot_be_taken_are_refused(line, message) -> None:
    with pytest.raises(EquationError, match=message) as caught:
        text_of(f"w : 1\n{line}")
    assert str(caught.value).startswith("projection 'E to I', equation '")


def test_a_model_that_cannot_be_read_is_refused_with_its_line() -> None:
    with pytest.raises(EquationError, match=r"projection 'E to I', equation 'w . 1'"):
        text_of("y : 1\nw ! 1")
