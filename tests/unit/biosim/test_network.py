from dataclasses import replace

import pytest

from biosim.events import Kind, Mode
from biosim.network import Network, NetworkError, Pathway, Phase, Population, Projection
from biosim.plasticity import ErrorDriven
from biosim.populations import Graded, Judge, Source
from biosim.populations.source import Plain
from biosim.spiking import Sparse
from biosim.wiring import AllToAll, Dense, Tied

DENSE = Dense("normal", 1.0)


def up(name: str = "up", source: str = "input", target: str = "hidden", **more) -> Projection:
    return Projection(name, source, target, "x", "basal", **{"weights": DENSE, **more})


NETWORK = Network(
    populations=(
        Population("input", 3, Source(Plain)),
        Population("hidden", 4, Graded()),
        Population("output", 2, Graded("softmax")),
        Population("judge", 2, Judge()),
    ),
    projections=(
        up(delay=3),
        Projection("top", "hidden", "output", "activity", "basal", delay=2, weights=DENSE),
        Projection(
            "down", "output", "hidden", "delta", "apical", Kind.FEEDBACK, 5, weights=Tied("top")
        ),
        Projection("label", "input", "output", "label", "target", Kind.TARGET, 4),
        Projection("score", "output", "judge", "activity", "score", Kind.SCORE, 2),
    ),
    pathways=(
        Pathway("error", ("down",), "the error"),
        Pathway("label", ("label",), "the label"),
    ),
    phases=(Phase("first", 0, 3), Phase("second", 3, 4, modes=(Mode.LEARN,)), Phase("third", 9)),
)


def changed(name: str, **fields) -> tuple[Projection, ...]:
    return tuple(replace(p, **fields) if p.name == name else p for p in NETWORK.projections)


def test_positions_and_sizes_are_found_by_name() -> None:
    assert NETWORK.population_at == {"input": 0, "hidden": 1, "output": 2, "judge": 3}
    assert NETWORK.projection_at["down"] == 2
    assert NETWORK.size("hidden") == 4


def test_a_window_may_be_as_long_as_the_shortest_delay() -> None:
    assert NETWORK.shortest_delay == 2
    assert replace(NETWORK, projections=changed("top", delay=1)).shortest_delay == 1


def test_a_learning_presentation_takes_as_long_as_its_phases() -> None:
    assert NETWORK.learning_ticks == 10
    asked = replace(NETWORK.phases[2], modes=(Mode.ANSWER,))
    assert replace(NETWORK, phases=(*NETWORK.phases[:2], asked)).learning_ticks == 7


def test_what_is_distant_enters_by_a_pathway_or_not_at_all() -> None:
    (error, label) = NETWORK.pathways
    for left, name in ((error, "label"), (label, "down")):
        with pytest.raises(NetworkError, match=f"'{name}' brings .* belongs to no pathway"):
            replace(NETWORK, pathways=(left,))


def test_tied_projections_are_listed() -> None:
    assert [p.name for p in NETWORK.tied()] == ["down"]


def test_all_delays_can_be_changed_at_once() -> None:
    later = NETWORK.delayed(7)
    assert {p.delay for p in later.projections} == {7}
    assert later.delayed(1).shortest_delay == 1
    with pytest.raises(NetworkError, match="'up' has a delay of 0 ticks; expected a whole number"):
        NETWORK.delayed(0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"populations": (*NETWORK.populations, Population("hidden", 1, Judge()))},
            "two populations are named 'hidden'; give each a name of its own",
        ),
        (
            {"projections": (*NETWORK.projections, up())},
            "two projections are named 'up'; give each a name of its own",
        ),
        (
            {"phases": (Phase("first"), Phase("first"))},
            "two phases are named 'first'; give each a name of its own",
        ),
        (
            {"populations": (Population("input", 0, Source(Plain)), *NETWORK.populations[1:])},
            "population 'input' has 0 neurons; expected at least 1",
        ),
        (
            {"pathways": (Pathway("error", ("sideways",), "the error"),)},
            "pathway 'error' names projection 'sideways'; the network has up, top, down, label",
        ),
        (
            {"projections": changed("up", source="cortex")},
            "projection 'up' names population 'cortex'; the network has input, hidden, output",
        ),
        (
            {"projections": changed("up", target="cortex")},
            "projection 'up' names population 'cortex'; the network has input, hidden, output",
        ),
        (
            {"projections": changed("up", delay=0)},
            "projection 'up' has a delay of 0 ticks; expected a whole number, at least 1: every",
        ),
        (
            {"projections": changed("up", delay=1.5)},
            "projection 'up' has a delay of 1.5 ticks; expected a whole number, at least 1: every",
        ),
        (
            {"phases": (Phase("first", -3, 0, ()),)},
            r"phase 'first' starts at -3, takes 0 ticks and has polarity \(\); expected whole",
        ),
        (
            {"projections": changed("up", phases=("first", "fourth"))},
            "projection 'up' names phase 'fourth'; the network has first, second, third",
        ),
        (
            {"projections": changed("up", learns=("fourth",))},
            "projection 'up' names phase 'fourth'; the network has first, second, third",
        ),
        (
            {"projections": changed("down", plasticity=ErrorDriven())},
            "projection 'down' has a plasticity but no dense weights of its own",
        ),
        (
            {"projections": changed("down", weights=Tied("bottom"))},
            "'down' is tied to 'bottom'; expected a dense projection from 'hidden' to 'output'",
        ),
        (
            {"projections": changed("down", weights=Tied("label"))},
            "'down' is tied to 'label'; expected a dense projection from 'hidden' to 'output'",
        ),
        (
            {"projections": changed("down", weights=Tied("up"))},
            "'down' is tied to 'up'; expected a dense projection from 'hidden' to 'output'",
        ),
    ],
)
def test_a_contradiction_is_refused(fields, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        replace(NETWORK, **fields)


def test_every_population_checks_what_ends_and_begins_on_it() -> None:
    with pytest.raises(NetworkError, match=r"'hidden' \(graded\) has no receptor 'dendrite'"):
        replace(NETWORK, projections=changed("up", receptor="dendrite"))
    with pytest.raises(NetworkError, match=r"'input' \(source\) has no variable 'spikes'"):
        replace(NETWORK, projections=changed("up", carries="spikes"))


def test_a_projection_of_spikes_is_named_after_its_ends() -> None:
    synapses = Sparse(AllToAll(), 1.0)
    joined = Projection.of_spikes("a", "b", "v", synapses, delay=3)
    assert joined == Projection("a-b", "a", "b", "spikes", "v", Kind.SPIKE, 3, synapses)
    assert Projection.of_spikes("a", "b", "v", synapses, name="other").name == "other"
