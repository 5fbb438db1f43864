from dataclasses import replace

import pytest
import torch

from biosim.events import Course, Kind, Mode, Presentation
from biosim.ledger import LayerCount
from biosim.locality import LocalityError, Offers, Reads
from biosim.network import Network, NetworkError, Phase, Projection
from biosim.populations.site import Site, require
from biosim.wiring import Dense, Tied
from tests.unit.biosim.populations.harness import (
    ABOVE,
    AT,
    BELOW,
    FLOAT,
    HERE,
    Anything,
    Spy,
    network,
    numbers,
)

DENSE = Dense("normal", 1.0)
UP = Projection("up", BELOW, HERE, "x", "basal", weights=DENSE)


def site(wired: Network, name: str = HERE) -> Site:
    at = wired.population_at[name]
    return Site(wired, at, 0, Course(1, 1, 1), torch.device("cpu"), FLOAT, LayerCount())


def test_afferents_are_found_by_receptor_with_their_positions() -> None:
    down = Projection("down", ABOVE, HERE, "delta", "apical")
    more = Projection("more", BELOW, HERE, "y", "basal")
    away = Projection("away", HERE, ABOVE, "y", "basal")
    here = site(network(Anything(), UP, down, away, more))
    assert [(i, p.name) for i, p in here.afferents("basal")] == [(0, "up"), (3, "more")]
    assert [(i, p.name) for i, p in here.afferents("apical")] == [(1, "down")]
    assert here.afferents("target") == []


def test_dense_synapses_are_built_where_they_end() -> None:
    bare = Projection("bare", ABOVE, HERE, "y", "basal")
    wired = network(Anything(), UP, bare)
    assert {i: s.name for i, s in site(wired).synapses("basal").items()} == {0: "up"}
    assert site(wired).synapses("basal")[0].weight.shape == (4, 3)
    assert site(wired, BELOW).synapses("basal") == {}


def test_an_arrival_is_waited_for_where_the_projection_carries_anything() -> None:
    first = Projection("first", BELOW, HERE, "x", "basal", phases=("one",))
    learning = Projection("learning", BELOW, HERE, "x", "basal", modes=(Mode.LEARN,))
    phases = (Phase("one"), Phase("two"))
    waits = site(network(Anything(), UP, first, learning, phases=phases)).modes_of("basal")
    assert waits[Mode.LEARN, 0] == 3
    assert waits[Mode.LEARN, 1] == 2
    assert waits[Mode.ANSWER, 0] == 2
    assert waits[Mode.PROBE, 1] == 1


def test_a_payload_is_sent_after_the_delay_to_the_target() -> None:
    wired = network(
        Anything(), UP, Projection("out", HERE, ABOVE, "y", "basal", Kind.SCORE, delay=3)
    )
    (outlet,) = site(wired).outlets()["y"]
    payload, out = numbers(2, 4), []
    outlet.send(7, AT, payload, out)
    (event,) = out
    assert event[:6] == (10, Kind.SCORE, 1, 2, 1, AT)
    assert event.payload is payload


@pytest.mark.parametrize(
    ("mode", "phase", "sent"), [(Mode.LEARN, 0, 0), (Mode.LEARN, 1, 1), (Mode.PROBE, 1, 0)]
)
def test_a_projection_is_closed_in_other_modes_and_phases(mode, phase, sent) -> None:
    only = Projection("out", HERE, ABOVE, "y", "basal", modes=(Mode.LEARN,), phases=("two",))
    wired = network(Anything(), only, phases=(Phase("one"), Phase("two")))
    (outlet,) = site(wired).outlets()["y"]
    out = []
    outlet.send(0, Presentation(0, 0, phase, mode), numbers(2, 4), out)
    assert len(out) == sent


def test_a_tied_projection_sends_the_sum_weighted_by_the_weights_of_now() -> None:
    back = Projection("back", HERE, BELOW, "delta", "apical", weights=Tied("up"))
    here = site(network(Anything(), UP, back))
    held = {"synapses": here.synapses("basal")}
    (outlet,) = here.outlets(lambda: held["synapses"])["delta"]
    for _ in range(2):
        out = []
        outlet.send(0, AT, payload := numbers(2, 4), out)
        assert torch.equal(out[0].payload, payload @ held["synapses"][0].weight)
        # Others take their place when a run is restored.
        held["synapses"] = here.synapses("basal")
        held["synapses"][0].weight *= 2.0
    assert here.count.feedback == 2 * 2 * 12


def test_answering_through_tied_weights_counts_nothing() -> None:
    back = Projection("back", HERE, BELOW, "delta", "apical", weights=Tied("up"))
    here = site(network(Anything(), UP, back))
    synapses = here.synapses("basal")
    here.outlets(lambda: synapses)["delta"][0].send(0, AT._replace(mode=Mode.PROBE), None, [])
    assert here.count.feedback == 0


def test_weights_that_a_population_does_not_hold_cannot_be_tied() -> None:
    back = Projection("back", HERE, BELOW, "delta", "apical", weights=Tied("up"))
    message = r"projection 'back' is tied to 'up'; population 'here' does not hold its weights"
    with pytest.raises(NetworkError, match=message):
        site(network(Anything(), UP, back)).outlets()


@pytest.mark.parametrize(
    ("has", "sends", "message"),
    [
        (("apical",), ("y",), r"'here' \(odd\) has no receptor 'basal'; it has apical"),
        (("basal",), (), r"'here' \(odd\) has no variable 'y'; it has none"),
    ],
)
def test_what_a_kind_of_population_has_not_is_refused(has, sends, message: str) -> None:
    out = Projection("out", HERE, ABOVE, "y", "basal")
    with pytest.raises(NetworkError, match=message):
        require(HERE, "odd", [UP], [out], has, sends)
    require(HERE, "odd", [UP], [out], ("basal", "more"), ("y", "more"), ("basal",))


def test_dense_weights_end_where_there_are_synapses() -> None:
    message = r"'up' has dense weights and ends on 'here' \(odd\) at 'basal'; .* synapses at none"
    with pytest.raises(NetworkError, match=message):
        require(HERE, "odd", [UP], [], ("basal",), ())


def test_a_plasticity_declares_what_its_population_offers() -> None:
    plastic = replace(UP, plasticity=Spy(Reads()))
    offers = Offers(("x",), (), (), ("activity",))
    require(HERE, "odd", [plastic], [], ("basal",), (), ("basal",), offers)
    undeclared = replace(UP, plasticity=Spy(Reads(("y",))))
    with pytest.raises(LocalityError, match=r"Spy declares pre\.y; population 'here' has x"):
        require(HERE, "odd", [undeclared], [], ("basal",), (), ("basal",), offers)
