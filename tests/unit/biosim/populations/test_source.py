import pytest
import torch

from biosim.events import NEVER, WHEN_QUIET, Course, Kind, Mode, Presentation, Window
from biosim.ledger import LayerCount
from biosim.network import NetworkError, Phase, Projection
from biosim.parts import Share
from biosim.populations import Source
from biosim.populations.site import Site
from biosim.populations.source import Plain, Reel
from tests.unit.biosim.populations.harness import (
    BELOW,
    HERE,
    Anything,
    arriving,
    built,
    network,
    numbers,
)

X, Y = numbers(12, 3), torch.arange(12, dtype=torch.uint8)
ORDER = torch.arange(12).flip(0)
PHASES = (Phase("one", 0, 3), Phase("two", 2, 1))
PROJECTIONS = (
    Projection("x", BELOW, HERE, "x", "basal"),
    Projection("label", BELOW, HERE, "label", "target", Kind.TARGET, phases=("two",)),
    Projection("phase", BELOW, HERE, "phase", "phase", Kind.PHASE),
)


class Listening(Plain):
    """An encoder that keeps the scores that come back."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.heard = []

    def listen(self, samples, scores) -> None:
        self.heard.append((samples, scores))


def wired(*more: Projection, encoder=Listening):
    return network(Anything(), *PROJECTIONS, *more, phases=PHASES, source=Source(encoder))


def reel(batch_size: int = 5, period: int | None = None, mode: Mode = Mode.LEARN, phases=(0, 1)):
    return Reel(X, Y, ORDER, mode, 4, batch_size, period, phases)


def source(*more: Projection, **how):
    actor = built(wired(*more), BELOW, seed=3)
    actor.present(reel(**how), now=10)
    return actor


def sent(actor, start: int, end: int) -> list[tuple[int, int, int]]:
    """Tick of sending, minibatch and phase of what is sent to the basal receptor."""
    out = actor.advance(Window(start, end), [])
    return [
        (event.tick - 1, event.presentation.batch, event.presentation.phase)
        for event in out
        if event.projection == 0
    ]


def test_each_phase_is_sent_at_its_tick() -> None:
    actor = source(period=4)
    assert actor.next_wake() == 10
    assert sent(actor, 10, 12) == [(10, 0, 0)]
    assert actor.next_wake() == 12
    assert sent(actor, 12, 13) == [(12, 0, 1)]
    assert actor.next_wake() == 14


def test_minibatches_follow_each_other_after_the_period() -> None:
    actor = source(period=3)
    ticks = [(10, 0, 0), (12, 0, 1), (13, 1, 0), (15, 1, 1), (16, 2, 0), (18, 2, 1)]
    assert sent(actor, 10, 1000) == ticks
    assert actor.next_wake() == NEVER


def test_phases_of_two_minibatches_may_be_due_at_one_tick() -> None:
    actor = source(period=2)
    assert sorted(sent(actor, 10, 13)) == [(10, 0, 0), (12, 0, 1), (12, 1, 0)]
    assert actor.next_wake() == 14


def test_without_a_period_the_next_minibatch_waits_for_quiet() -> None:
    actor = source()
    assert actor.next_wake() == WHEN_QUIET
    assert sent(actor, 20, 21) == [(20, 0, 0)]
    assert actor.next_wake() == 22
    assert sent(actor, 22, 23) == [(22, 0, 1)]
    assert actor.next_wake() == WHEN_QUIET
    assert sent(actor, 30, 33) == [(30, 1, 0), (32, 1, 1)]


def test_phases_that_do_not_take_place_are_left_out() -> None:
    assert sent(source(period=5, phases=(1,)), 10, 20) == [(12, 0, 1), (17, 1, 1)]


def test_samples_come_in_the_order_of_the_reel_the_last_minibatch_with_the_rest() -> None:
    actor = source(period=3)
    out = actor.advance(Window(10, 100), [])
    payloads = {
        name: [e.payload for e in out if e.projection == i and e.presentation.phase == 1]
        for i, name in enumerate(("x", "label", "phase"))
    }
    assert [len(rows) for rows in payloads["x"]] == [5, 5, 2]
    assert torch.equal(torch.cat(payloads["x"]), X.flip(0))
    assert torch.equal(torch.cat(payloads["label"]), Y.flip(0))
    assert torch.cat(payloads["phase"]).tolist() == ORDER.tolist()


def test_a_presentation_says_epoch_minibatch_phase_and_mode() -> None:
    event = source(period=3, mode=Mode.PROBE).advance(Window(10, 11), [])[0]
    assert event.presentation == Presentation(4, 0, 0, Mode.PROBE)


def test_what_is_sent_may_be_changed_without_changing_the_data() -> None:
    actor = source(period=3)
    for event in actor.advance(Window(10, 100), []):
        event.payload.zero_()
    assert torch.equal(X, numbers(12, 3))
    assert torch.equal(ORDER, torch.arange(12).flip(0))


@pytest.mark.parametrize(("mode", "samples"), [(Mode.LEARN, 12), (Mode.ANSWER, 0)])
def test_each_learning_sample_is_counted_once(mode: Mode, samples: int) -> None:
    actor = source(period=3, mode=mode)
    actor.advance(Window(10, 100), [])
    assert actor.count.samples == samples


def test_scores_go_to_the_encoder_with_their_samples() -> None:
    back = Projection("back", HERE, BELOW, "y", "score")
    actor = source(back, period=3)
    actor.advance(Window(10, 16), [])
    scores = numbers(5, 4)
    at = Presentation(4, 1, 0, Mode.LEARN)
    assert actor.advance(Window(16, 17), [arriving(wired(back), "back", scores, 16, at)])
    ((samples, heard),) = actor.encoder.heard
    assert samples.tolist() == ORDER[5:10].tolist()
    assert heard is scores


def test_a_score_that_comes_back_is_no_quiet() -> None:
    back = Projection("back", HERE, BELOW, "y", "score")
    actor = source(back)
    sent(actor, 20, 23)
    event = arriving(wired(back), "back", numbers(5, 4), 25, Presentation(4, 0, 0, Mode.LEARN))
    assert actor.advance(Window(25, 26), [event]) == []
    assert actor.next_wake() == WHEN_QUIET


def test_the_encoder_is_made_from_the_seed() -> None:
    assert source().encoder.seed == 3


def test_plain_samples_are_sent_as_they_are() -> None:
    given = Plain(0).encode(0, Presentation(0, 0, 0, Mode.LEARN), ORDER[:2], X[:2], Y[:2])
    assert torch.equal(given["x"], X[:2])
    assert torch.equal(given["label"], Y[:2])
    Plain(0).listen(ORDER, X)


def test_a_source_has_no_activity_and_no_synapses() -> None:
    assert source().activity() is None
    assert source().parameters() == {}


@pytest.mark.parametrize(
    ("projection", "message"),
    [
        (
            Projection("odd", HERE, BELOW, "y", "basal"),
            r"\(source\) has no receptor 'basal'; it has score",
        ),
        (
            Projection("odd", BELOW, HERE, "spikes", "basal"),
            r"\(source\) has no variable 'spikes'; it has x, label, phase",
        ),
    ],
)
def test_what_a_source_has_not_is_refused(projection: Projection, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        wired(projection)


# --- replicas and parts


def shared(share: Share, mode: Mode, rows: int = 12) -> list[tuple[int, int, list[int]]]:
    """Minibatch, part and samples of what a replica presents, minibatches of 4 rows."""
    wiring = wired()
    site = Site(wiring, 0, 3, Course(1, 3, 12), torch.device("cpu"), X.dtype, LayerCount(), share)
    actor = wiring.populations[0].model.actor(site)
    actor.present(Reel(X, Y, ORDER[:rows], mode, 0, 4, 5, (1,)), now=0)
    found = [e for e in actor.advance(Window(0, 100), []) if e.projection == 2]
    return [(e.presentation.batch, e.presentation.part, e.payload.tolist()) for e in found]


def test_a_minibatch_is_learnt_in_parts_of_equal_rows() -> None:
    assert shared(Share(parts=2), Mode.LEARN) == [
        (0, 0, [11, 10]),
        (0, 1, [9, 8]),
        (1, 0, [7, 6]),
        (1, 1, [5, 4]),
        (2, 0, [3, 2]),
        (2, 1, [1, 0]),
    ]


def test_replicas_share_the_parts_of_what_is_learnt() -> None:
    whole = shared(Share(parts=4), Mode.LEARN)
    one, other = (shared(Share(4, 2, replica), Mode.LEARN) for replica in (0, 1))
    assert sorted(one + other) == whole
    assert {part for _, part, _ in one} == {0, 1}


@pytest.mark.parametrize("rows", [12, 4, 1])
def test_replicas_answer_whole_minibatches_in_turn(rows: int) -> None:
    whole = shared(Share(parts=4), Mode.ANSWER, rows)
    one, other = (shared(Share(4, 2, replica), Mode.ANSWER, rows) for replica in (0, 1))
    assert sorted(one + other) == whole
    assert [batch for batch, _, _ in one] == [0, 2][: len(one)]


def test_the_first_replica_is_probed() -> None:
    assert shared(Share(4, 2, 0), Mode.PROBE) == shared(Share(), Mode.PROBE)
    assert shared(Share(4, 2, 1), Mode.PROBE) == []
