"""One denoising block: the factors of its step, its noise, and when it learns and answers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biosim.events import Course, Kind, Mode
from biosim.network import NetworkError, Phase, Projection
from biosim.plasticity import ErrorDriven, Sgd
from biosim.populations import Denoising, denoising
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

CLASSES = 4
IMAGE, LABELS = numbers(5, 3), torch.tensor([0, 3, 1, 1, 2], dtype=torch.uint8)
PROJECTIONS = (
    Projection("image", BELOW, HERE, "x", "image"),
    Projection("label", BELOW, HERE, "label", "target", Kind.TARGET, modes=(Mode.LEARN,)),
    Projection("out", HERE, ABOVE, "state", "state", modes=(Mode.ANSWER, Mode.PROBE)),
)
STATE = Projection("before", ABOVE, HERE, "state", "state", modes=(Mode.ANSWER, Mode.PROBE))
PHASES = (Phase("noisy"), Phase("noiseless"))
ASKED = AT._replace(mode=Mode.ANSWER)


def block(before: float = 0.2, after: float = 0.6, plasticity=None) -> Denoising:
    plasticity = plasticity or Sgd(ErrorDriven(), 0.1)
    return Denoising(3, (4, 3), 5, before, after, 1.5, plasticity, noiseless=("noiseless",))


def wired(*more: Projection, model: Denoising | None = None):
    return network(model or block(), *PROJECTIONS, *more, size=CLASSES, phases=PHASES)


def answered(description, *inbox, seed: int = 0) -> torch.Tensor:
    (event,) = advanced(built(description, seed=seed), *inbox)
    return event.payload


# --- equation 3


@given(st.lists(st.floats(0.01, 0.99), min_size=2, max_size=2, unique=True).map(sorted))
def test_a_step_leads_from_one_marginal_to_the_next(signals: list[float]) -> None:
    # If z_{t-1} ~ N(sqrt(abar_{t-1}) u, 1 - abar_{t-1}) and the guess is u, then
    # z_t = a u + b z_{t-1} + sqrt(c) noise ~ N(sqrt(abar_t) u, 1 - abar_t).
    before, after = signals
    a, b, root_c = block(before, after).step_factors()
    assert a + b * math.sqrt(before) == pytest.approx(math.sqrt(after), abs=1e-9)
    assert b * b * (1.0 - before) + root_c**2 == pytest.approx(1.0 - after, abs=1e-9)


def test_the_factors_are_those_of_equation_3() -> None:
    # Written out with alpha_{t-1} = abar_{t-1} / abar_t.
    a, b, root_c = block(0.2, 0.6).step_factors()
    alpha = 0.2 / 0.6
    assert a == pytest.approx(math.sqrt(0.6) * (1 - alpha) / (1 - 0.2))
    assert b == pytest.approx(math.sqrt(alpha) * (1 - 0.6) / (1 - 0.2))
    assert root_c**2 == pytest.approx((1 - 0.6) * (1 - alpha) / (1 - 0.2))


# --- answers


def test_an_answer_is_the_step_of_the_guess_and_the_state() -> None:
    description = wired(STATE)
    actor = built(description)
    state = numbers(5, CLASSES, seed=2)
    at = ASKED._replace(phase=1)
    inbox = (
        arriving(description, "image", IMAGE, at=at),
        arriving(description, "before", state, at=at),
    )
    (event,) = advanced(actor, *inbox)
    a, b, _ = block().step_factors()
    _, _, guess = actor._forward(IMAGE, state)
    torch.testing.assert_close(event.payload, a * guess + b * state)
    torch.testing.assert_close(guess.sum(1), torch.ones(5, dtype=guess.dtype))


def test_noise_is_left_out_where_the_phase_says_so() -> None:
    description, state = wired(STATE), numbers(5, CLASSES, seed=2)

    def in_phase(phase: int, seed: int) -> torch.Tensor:
        at = ASKED._replace(phase=phase)
        pair = (("image", IMAGE), ("before", state))
        inbox = [arriving(description, name, payload, at=at) for name, payload in pair]
        return answered(description, *inbox, seed=seed)

    noisy, noiseless = in_phase(0, 0), in_phase(1, 0)
    assert not torch.equal(noisy, noiseless)
    assert torch.equal(noisy, in_phase(0, 0))


def test_the_first_block_draws_its_own_state() -> None:
    description = wired()
    inbox = arriving(description, "image", IMAGE, at=ASKED._replace(phase=1))
    assert torch.equal(answered(description, inbox), answered(description, inbox))
    later = arriving(description, "image", IMAGE, at=ASKED._replace(phase=1, epoch=1))
    assert not torch.equal(answered(description, inbox), answered(description, later))


def test_a_later_block_waits_for_the_one_before() -> None:
    description = wired(STATE)
    actor = built(description)
    assert advanced(actor, arriving(description, "image", IMAGE, at=ASKED)) == []
    state = arriving(description, "before", numbers(5, CLASSES), at=ASKED)
    assert len(advanced(actor, state)) == 1
    assert actor.waiting == {}


def test_a_probe_keeps_the_guess_once() -> None:
    description = wired()
    actor = built(description)
    advanced(actor, arriving(description, "image", IMAGE, at=ASKED._replace(mode=Mode.PROBE)))
    assert actor.activity().shape == (5, CLASSES)
    assert actor.activity() is None


# --- learning


def test_a_block_learns_when_it_has_an_image_and_a_label_and_sends_nothing() -> None:
    description = wired(STATE)
    actor = built(description)
    before = {n: p["weight"].clone() for n, p in actor.parameters().items()}
    assert advanced(actor, arriving(description, "image", IMAGE)) == []
    assert actor.count.updates == 0
    assert advanced(actor, arriving(description, "label", LABELS)) == []
    assert list(before) == ["here.image", "here.state", "here.joint", "here.out"]
    for name, parts in actor.parameters().items():
        assert not torch.equal(parts["weight"], before[name]), name
    assert (actor.count.updates, actor.count.lag_ticks) == (1, 0)
    assert actor.count.forward == 5 * (4 * 3 + 3 * CLASSES + 5 * 7 + CLASSES * 5)


def test_the_noisy_label_has_the_mean_and_the_noise_of_its_block() -> None:
    @dataclass(frozen=True)
    class OfState(Spy):
        def update(self, seen, memory) -> tuple[Mapping[str, torch.Tensor], dict]:
            self.seen.append(seen)
            return {"weight": torch.zeros(())}, memory

    spy = OfState(ErrorDriven().reads)
    description = wired(model=block(0.36, 0.6, spy))
    actor = built(description)
    advanced(actor, arriving(description, "image", IMAGE), arriving(description, "label", LABELS))
    state = spy.seen[-1].pre.activity
    clean = torch.eye(CLASSES, dtype=state.dtype)[LABELS.long()]
    noise = actor._rows_of_noise(AT, 5, state)
    torch.testing.assert_close(state, 0.6 * clean + 0.8 * noise)


@pytest.mark.parametrize("stretch", [1, 12, 8192])
@pytest.mark.parametrize("batches", [1, 4])
def test_how_much_noise_is_drawn_at_once_changes_no_value(monkeypatch, stretch, batches) -> None:
    monkeypatch.setattr(denoising, "STRETCH", stretch)
    actor = built(wired(), course=Course(2, batches, 20))
    fresh = [built(wired(), course=Course(2, 4, 20)) for _ in range(3)]
    for epoch in range(2):
        for batch in range(batches):
            at = AT._replace(epoch=epoch, batch=batch)
            found = actor._rows_of_noise(at, 5, IMAGE)
            for rows, other in zip((5, 3, 7), fresh, strict=True):
                alone = other._rows_of_noise(at, rows, IMAGE)
                both = min(5, rows)
                assert torch.equal(found[:both], alone[:both])


def test_learning_answering_and_the_first_state_have_noise_of_their_own() -> None:
    actor = built(wired())
    drawn = [
        actor._rows_of_noise(AT, 5, IMAGE),
        actor._rows_of_noise(ASKED, 5, IMAGE),
        actor._rows_of_noise(ASKED, 5, IMAGE, first=True),
        actor._rows_of_noise(AT._replace(epoch=1), 5, IMAGE),
        actor._rows_of_noise(AT._replace(batch=1), 5, IMAGE),
    ]
    assert len({tuple(noise.flatten().tolist()) for noise in drawn}) == len(drawn)


@pytest.mark.parametrize(
    ("before", "after"), [(0.0, 0.5), (0.5, 0.5), (0.6, 0.5), (0.5, 1.0), (-0.1, 0.5)]
)
def test_a_schedule_that_does_not_grow_inside_0_and_1_is_refused(before, after) -> None:
    message = rf"block 'here' has abar {before} before and {after} after; expected 0 < before"
    with pytest.raises(NetworkError, match=message):
        wired(model=block(before, after))


@pytest.mark.parametrize(
    ("projection", "message"),
    [
        (
            Projection("odd", BELOW, HERE, "x", "basal"),
            r"\(denoising\) has no receptor 'basal'; it has image, target, state",
        ),
        (
            Projection("odd", HERE, ABOVE, "activity", "x"),
            r"\(denoising\) has no variable 'activity'; it has state",
        ),
    ],
)
def test_what_a_block_has_not_is_refused(projection: Projection, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        wired(projection)


def test_a_part_of_a_minibatch_has_the_noise_of_its_rows_in_the_whole() -> None:
    actor, learning = built(wired()), ASKED._replace(mode=Mode.LEARN, batch=1)
    whole = actor._rows_of_noise(learning, 6, IMAGE)
    parts = [actor._rows_of_noise(learning._replace(part=part), 2, IMAGE) for part in range(3)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(parts[0], parts[1])
