from dataclasses import replace

import pytest
import torch

from biosim.errors import BiosimError
from biosim.events import Kind, Mode
from biosim.locality import Reads
from biosim.network import NetworkError, Phase, Projection
from biosim.populations import Graded
from biosim.populations.activations import by_length, centred_unit
from biosim.wiring import Dense, Tied
from tests.unit.biosim.populations.harness import (
    ABOVE,
    AT,
    BELOW,
    HERE,
    Spy,
    advanced,
    arriving,
    built,
    network,
    numbers,
)

DENSE = Dense("normal", 1.0)
PRE = numbers(5, 3)
SENT = ("activity", "direction", "contrast", "goodness", "delta")


def up(name: str = "up", source: str = BELOW, reads: Reads | None = None, **more) -> Projection:
    plasticity = None if reads is None else Spy(reads)
    weights = more.pop("weights", DENSE)
    return Projection(
        name, source, HERE, "x", "basal", weights=weights, plasticity=plasticity, **more
    )


def out(variable: str) -> Projection:
    return Projection(f"out {variable}", HERE, ABOVE, variable, "any")


def down(name: str = "down", weights: Dense | Tied | None = None) -> Projection:
    return Projection(name, ABOVE, HERE, "delta", "apical", Kind.FEEDBACK, weights=weights)


LABEL = Projection("label", BELOW, HERE, "label", "target", Kind.TARGET)


def spied(wired, at: int = 0):
    (seen,) = wired.projections[at].plasticity.seen
    return seen


# --- forward


@pytest.mark.parametrize(
    ("variable", "of"),
    [
        ("activity", lambda activity: activity),
        ("direction", by_length),
        ("contrast", centred_unit),
        ("goodness", lambda activity: (activity * activity).sum(1, keepdim=True)),
    ],
)
def test_a_population_sends_what_its_projections_carry(variable: str, of) -> None:
    wired = network(Graded("tanh"), up(), out(variable))
    actor = built(wired)
    (event,) = advanced(actor, arriving(wired, "up", PRE))
    parts = actor.parameters()["up"]
    activity = torch.tanh(PRE @ parts["weight"].t() + parts["bias"])
    torch.testing.assert_close(event.payload, of(activity))
    assert (event.tick, event.presentation) == (2, AT)


def test_a_population_waits_for_all_that_drives_it() -> None:
    wired = network(Graded("linear"), up(), up("more", ABOVE), out("activity"))
    actor = built(wired)
    other = numbers(5, 2)
    assert advanced(actor, arriving(wired, "more", other)) == []
    (event,) = advanced(actor, arriving(wired, "up", PRE, tick=3), tick=3)
    parts = actor.parameters()
    expected = PRE @ parts["up"]["weight"].t() + other @ parts["more"]["weight"].t()
    torch.testing.assert_close(event.payload, expected)
    assert event.tick == 4


def test_without_weights_a_payload_drives_as_it_is() -> None:
    wired = network(Graded("relu"), up(weights=None), up("more"), out("activity"))
    actor = built(wired)
    bare = numbers(5, 4, seed=1)
    (event,) = advanced(actor, arriving(wired, "up", bare), arriving(wired, "more", PRE))
    weight = actor.parameters()["more"]["weight"]
    torch.testing.assert_close(event.payload, torch.relu(bare + PRE @ weight.t()))
    assert actor.count.forward == 5 * 12


def test_presentations_are_kept_apart() -> None:
    wired = network(Graded("linear"), up(), up("more", ABOVE), out("activity"))
    actor = built(wired)
    later = AT._replace(batch=1)
    advanced(actor, arriving(wired, "up", PRE), arriving(wired, "up", 2 * PRE, at=later))
    zeros = torch.zeros(5, 2, dtype=PRE.dtype)
    (event,) = advanced(actor, arriving(wired, "more", zeros, at=later))
    assert event.presentation == later
    torch.testing.assert_close(event.payload, 2 * PRE @ actor.parameters()["up"]["weight"].t())


def test_a_probe_keeps_the_activity_once_and_in_order() -> None:
    wired = network(Graded("linear"), up())
    actor = built(wired)
    for batch in range(2):
        at = AT._replace(mode=Mode.PROBE, batch=batch)
        advanced(actor, arriving(wired, "up", PRE + batch, at=at))
    weight = actor.parameters()["up"]["weight"]
    torch.testing.assert_close(actor.activity(), torch.cat([PRE, PRE + 1.0]) @ weight.t())
    assert actor.activity() is None


# --- correction


@pytest.mark.parametrize("weights", [DENSE, None])
def test_the_apical_input_is_the_sum_of_what_comes_from_above(weights) -> None:
    reads = Reads(post=("apical", "gain"), on="apical")
    wired = network(
        Graded("tanh"), up(reads=reads), down("one", weights), down("two", weights), out("delta")
    )
    actor = built(wired)
    size = 4 if weights is None else 2
    one, two = numbers(5, size, seed=1), numbers(5, size, seed=2)
    assert advanced(actor, arriving(wired, "up", PRE), arriving(wired, "two", two)) == []
    (event,) = advanced(actor, arriving(wired, "one", one, tick=4), tick=4)
    if weights is not None:
        one = one @ actor.parameters()["one"]["weight"].t()
        two = two @ actor.parameters()["two"]["weight"].t()
    torch.testing.assert_close(spied(wired).post.apical, one + two)
    torch.testing.assert_close(event.payload, (one + two) * spied(wired).post.gain)


def test_feedback_may_come_before_the_activity() -> None:
    wired = network(Graded("relu"), up(), down(), out("delta"))
    actor = built(wired)
    assert advanced(actor, arriving(wired, "down", numbers(5, 4))) == []
    (event,) = advanced(actor, arriving(wired, "up", PRE, tick=2), tick=2)
    assert event.payload.shape == (5, 4)


# The sum of these depends on which two come first.
UNLIKE = {"a": 1e16, "b": -1e16, "c": 1.0}
ORDERS = [("a", "b", "c"), ("c", "b", "a"), ("b", "c", "a")]


def test_three_drives_are_summed_in_a_fixed_order() -> None:
    for order in ORDERS:
        projections = [up(name, weights=None) for name in UNLIKE]
        wired = network(Graded("linear"), *projections, out("activity"))
        actor = built(wired)
        for tick, name in enumerate(order, start=1):
            payload = torch.full((1, 4), UNLIKE[name], dtype=PRE.dtype)
            sent = advanced(actor, arriving(wired, name, payload, tick), tick=tick)
        assert sent[0].payload.tolist() == [[1.0] * 4]


def test_three_feedbacks_are_summed_in_a_fixed_order() -> None:
    for order in ORDERS:
        wired = network(Graded("linear"), up(), *map(down, UNLIKE), out("delta"))
        actor = built(wired)
        advanced(actor, arriving(wired, "up", PRE[:1]))
        for tick, name in enumerate(order, start=2):
            payload = torch.full((1, 4), UNLIKE[name], dtype=PRE.dtype)
            sent = advanced(actor, arriving(wired, name, payload, tick), tick=tick)
        assert sent[0].payload.tolist() == [[1.0] * 4]


def test_the_error_of_a_softmax_output_is_the_gradient_of_the_log_likelihood() -> None:
    wired = network(Graded("softmax"), up(reads=Reads(post=("apical",), on="apical")), LABEL)
    actor = built(wired)
    label = torch.tensor([0, 3, 1, 1, 2], dtype=torch.uint8)
    advanced(actor, arriving(wired, "label", label), arriving(wired, "up", PRE))
    drive = (PRE @ actor.parameters()["up"]["weight"].t()).requires_grad_()
    likelihood = torch.log_softmax(drive, dim=1)[torch.arange(5), label.long()].sum()
    (expected,) = torch.autograd.grad(likelihood, drive)
    torch.testing.assert_close(spied(wired).post.apical, expected)


def test_a_correction_is_sent_with_the_weights_that_made_the_activity() -> None:
    # The plasticity is a spy that changes nothing; the order of sending and learning shows.
    wired = network(Graded("relu"), up(reads=Reads(on="apical")), down(), out("delta"))
    actor = built(wired)
    order = []
    actor.synapses[0].learn = lambda *seen: order.append("learn")
    (outlet,) = actor._outlets["delta"]
    actor._outlets["delta"] = [
        type("Watched", (), {"send": lambda self, *a: (order.append("send"), outlet.send(*a))})()
    ]
    advanced(actor, arriving(wired, "up", PRE), arriving(wired, "down", numbers(5, 4)))
    assert order == ["send", "learn"]


# --- what a plasticity sees


def test_shares_of_the_win_sum_to_one_and_are_a_softmax_of_the_drive() -> None:
    wired = network(Graded(competition=7.0), up(reads=Reads(post=("share", "drive"))))
    advanced(built(wired), arriving(wired, "up", PRE))
    share, drive = spied(wired).post.share, spied(wired).post.drive
    torch.testing.assert_close(share.sum(1), torch.ones(5, dtype=PRE.dtype))
    torch.testing.assert_close(share, torch.softmax(7.0 * drive, dim=1))


def test_a_plasticity_that_wakes_with_the_activity_sees_goodness_polarity_and_progress() -> None:
    reads = Reads(("activity",), ("activity", "goodness"), (), ("goodness", "polarity", "progress"))
    wired = network(Graded(), up(reads=reads), phases=(Phase("both", polarity=(1, -1)),))
    pre = numbers(6, 3)
    advanced(built(wired), arriving(wired, "up", pre, at=AT._replace(batch=3)))
    seen = spied(wired)
    assert seen.pre.activity is pre
    goodness = (seen.post.activity**2).sum(1, keepdim=True)
    torch.testing.assert_close(seen.signals.goodness, goodness)
    torch.testing.assert_close(seen.post.goodness, goodness)
    assert seen.signals.polarity.flatten().tolist() == [1, 1, 1, -1, -1, -1]
    assert seen.signals.progress == 0.75


def test_the_ledger_counts_products_lag_and_what_is_held() -> None:
    reads = Reads(("activity",), ("apical",), on="apical")
    wired = network(Graded(), up(reads=reads), down(weights=DENSE))
    actor = built(wired)
    advanced(actor, arriving(wired, "up", PRE, tick=3), tick=3)
    advanced(actor, arriving(wired, "down", numbers(5, 2), tick=9), tick=9)
    count = actor.count
    assert (count.forward, count.feedback, count.plasticity) == (5 * 12, 5 * 8, 5 * 12)
    assert (count.updates, count.lag_ticks_max) == (1, 6)
    # Inputs and activity, until the error has come.
    assert count.held_bytes_max == 8 * (5 * 3 + 5 * 4)
    assert actor.visits == {}


def test_a_plasticity_rests_in_phases_in_which_it_does_not_learn() -> None:
    wired = network(
        Graded(), up(reads=Reads(), learns=("two",)), phases=(Phase("one"), Phase("two"))
    )
    actor = built(wired)
    for phase, seen in ((0, 0), (1, 1)):
        advanced(actor, arriving(wired, "up", PRE, at=AT._replace(phase=phase)))
        assert len(wired.projections[0].plasticity.seen) == seen
    assert actor.count.updates == 1


@pytest.mark.parametrize("mode", [Mode.ANSWER, Mode.PROBE])
def test_nothing_is_learnt_or_counted_but_while_learning(mode: Mode) -> None:
    wired = network(Graded(), up(reads=Reads()))
    actor = built(wired)
    advanced(actor, arriving(wired, "up", PRE, at=AT._replace(mode=mode)))
    assert wired.projections[0].plasticity.seen == []
    assert (actor.count.forward, actor.count.updates) == (0, 0)


@pytest.mark.parametrize("missing", ["share", "apical"])
def test_a_variable_that_is_not_there_at_the_moment_is_refused(missing: str) -> None:
    wired = network(Graded(), up(reads=Reads(post=(missing,))))
    with pytest.raises(NetworkError, match=f"'here' has no '{missing}' at this moment"):
        advanced(built(wired), arriving(wired, "up", PRE))


@pytest.mark.parametrize(
    ("projections", "message"),
    [
        ((), "'here' has no basal projection; nothing drives it"),
        (
            (up(), replace(down(weights=DENSE), plasticity=Spy(Reads()))),
            r"'down' is plastic and ends on 'here' \(apical\); only basal synapses learn",
        ),
        (
            (up(reads=Reads(post=("calcium",))),),
            r"plasticity Spy declares post\.calcium; population 'here' has activity, drive",
        ),
        (
            (up(reads=Reads(on="apical")),),
            "Spy wakes on 'apical'; population 'here' wakes its synapses on activity$",
        ),
        ((up(), down(), LABEL), "'here' has both an apical and a target projection"),
        (
            (up(), Projection("odd", BELOW, HERE, "x", "image")),
            r"\(graded\) has no receptor 'image'; it has basal, apical, target",
        ),
        (
            (up(), out("rate")),
            rf"\(graded\) has no variable 'rate'; it has {', '.join(SENT)}",
        ),
    ],
)
def test_what_a_graded_population_cannot_do_is_refused(projections, message: str) -> None:
    with pytest.raises(BiosimError, match=message):
        network(Graded(), *projections)


def test_an_error_from_above_does_not_reach_a_softmax() -> None:
    with pytest.raises(NetworkError, match="'here' is a softmax and gets errors from above"):
        network(Graded("softmax"), up(), down())
