import pytest

from biosim.equations.code import Assign, Effect
from biosim.equations.traces import Step, place, reads, split

KEPT = frozenset({"w"})
ALIKE = {"alike_pre": {"t", "gain_pre", "level"}, "alike_post": {"t", "v_post", "level"}}


def where(on_pre: list[Step], on_post: list[Step], *, apart=(), **equations: set[str]) -> dict:
    found = {"p": {"p"}, "q": {"q"}, "o": {"o"}, **equations}
    return place(found, on_pre, on_post, kept=KEPT, apart=set(apart), **ALIKE)


def test_traces_live_where_their_only_event_is() -> None:
    found = where([Step("p", "p + 1")], [Step("o", "0.5 * o + 1")])
    assert found == {"p": "pre", "q": "pre", "o": "post"}


def test_a_trace_that_both_events_write_is_of_the_synapse() -> None:
    assert where([Step("p", "p + 1")], [Step("p", "0.0")])["p"] == "own"


@pytest.mark.parametrize("read", ["gain_pre", "level", "t", "q", "exp(q) * t"])
def test_a_pre_trace_may_read_what_is_alike_in_its_row(read) -> None:
    assert where([Step("p", f"p + {read}")], [])["p"] == "pre"


@pytest.mark.parametrize("read", ["w", "o", "v_post", "unknown"])
def test_a_trace_that_reads_what_differs_is_of_the_synapse(read) -> None:
    found = where([Step("p", f"p + {read}")], [Step("o", "o + 1")])
    assert found == {"p": "own", "q": "pre", "o": "post"}


@pytest.mark.parametrize(("read", "at"), [("v_post", "post"), ("gain_pre", "own"), ("p", "own")])
def test_a_post_trace_may_read_what_is_alike_at_its_neuron(read, at) -> None:
    assert where([Step("p", "p + 1")], [Step("o", f"o + {read}")])["o"] == at


def test_what_differs_also_counts_through_names_and_other_traces() -> None:
    through = [Step("a", "w"), Step("b", "2 * a"), Step("p", "b"), Step("q", "p")]
    assert where(through, []) == {"p": "own", "q": "own", "o": "pre"}


def test_a_name_that_is_set_again_counts_as_it_is_when_it_is_read() -> None:
    again = [Step("a", "w"), Step("a", "q"), Step("p", "a")]
    assert where(again, [])["p"] == "pre"
    assert where([again[1], again[0], again[2]], [])["p"] == "own"


def test_what_is_coupled_to_a_trace_of_the_synapse_is_of_the_synapse() -> None:
    found = where([Step("p", "p + w"), Step("q", "1")], [], p={"p", "q"})
    assert found == {"p": "own", "q": "own", "o": "pre"}
    assert where([Step("p", "p + w")], [], q={"p", "q"})["q"] == "own"


def test_a_trace_coupled_to_one_of_the_other_event_is_of_the_synapse() -> None:
    found = where([Step("p", "p + 1")], [Step("o", "o + 1")], p={"p", "o"})
    assert found == {"p": "own", "q": "pre", "o": "own"}


def test_a_time_constant_of_the_synapse_keeps_its_trace_there() -> None:
    assert where([Step("p", "1")], [], p={"p", "w"})["p"] == "own"
    assert where([Step("p", "1")], [], p={"p", "gain_pre"})["p"] == "pre"


def test_a_trace_that_starts_apart_is_of_the_synapse() -> None:
    assert where([Step("p", "1"), Step("q", "p")], [], apart={"p"})["q"] == "own"


def test_effects_do_not_move_traces() -> None:
    assert where([Step("p", "w", effect=True)], [])["p"] == "pre"


def half(*steps: Step, taken: set[str] | None = None):
    names = {"p", "w", "c"} | (taken or set())
    return split(steps, ["p"], kept={"w", "c"}, alike={"gain_pre"}, taken=names)


def test_every_change_of_a_row_makes_a_new_version() -> None:
    found = half(
        Step("w", "w + p"),
        Step("p", "p + 1"),
        Step("w", "w + p"),
        Step("p", "p * gain_pre"),
        Step("ge", "w * p", effect=True),
    )
    assert found.prelude == (Assign("p_1", "p + 1.0"), Assign("p_2", "gain_pre * p_1"))
    assert found.final == {"p": "p_2"}
    assert found.each == (Assign("w", "p + w"), Assign("w", "p_1 + w"))
    assert found.effects == (Effect("ge", "p_2 * w"),)


def test_an_effect_keeps_the_value_that_is_overwritten_later() -> None:
    found = half(
        Step("ge", "w", effect=True), Step("gi", "w", effect=True), Step("w", "clip(w, 0, 1)")
    )
    assert found.each == (Assign("_sent_1", "w"), Assign("w", "clip(w, 0.0, 1.0)"))
    assert found.effects == (Effect("ge", "_sent_1"), Effect("gi", "_sent_1"))


def test_an_effect_after_the_change_needs_no_copy() -> None:
    found = half(Step("w", "clip(w, 0, 1)"), Step("ge", "w", effect=True))
    assert found.each == (Assign("w", "clip(w, 0.0, 1.0)"),)
    assert found.effects == (Effect("ge", "w"),)


def test_names_alike_in_the_row_are_computed_once_a_row() -> None:
    found = half(Step("a", "p * 2"), Step("b", "a + w"), Step("a", "a + 1"), Step("c", "a * b"))
    assert found.prelude == (Assign("a_1", "2.0 * p"), Assign("a_2", "a_1 + 1.0"))
    assert found.each == (Assign("b_1", "a_1 + w"), Assign("c", "a_2 * b_1"))


def test_what_nobody_reads_is_not_computed() -> None:
    found = half(Step("a", "p"), Step("b", "a * w"), Step("d", "b + c"))
    assert found.prelude == found.each == ()
    assert found.final == {"p": "p"}


def test_versions_take_names_that_are_free() -> None:
    found = half(Step("p", "p + 1"), taken={"p_1"})
    assert found.final == {"p": "p_2"}


def test_functions_are_not_names_that_are_read() -> None:
    assert reads("clip(exp(a), -1, b) > c and not d") == {"a", "b", "c", "d"}
