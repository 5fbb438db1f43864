"""One settling population: its steps, its phases, what it keeps and what its synapses see."""

from dataclasses import replace

import pytest
import torch

from biosim.events import NEVER, Course, Event, Kind, Mode, Presentation
from biosim.locality import Reads
from biosim.network import NetworkError, Phase, Projection
from biosim.populations import Settling
from biosim.wiring import Dense
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

ROWS, TICKS, NUDGES = 3, 4, 2
PRE, DOWN = 0.3 * numbers(ROWS, 3), 0.2 * numbers(ROWS, 4, seed=1)
LABELS = torch.tensor([2, 0, 3], dtype=torch.uint8)
SETTLED = Reads(("settled",), ("settled",), (), ("polarity", "progress"), on="settled")
BASAL = Projection("up", BELOW, HERE, "x", "basal", weights=Dense("normal", 0.5))
APICAL = Projection("down", ABOVE, HERE, "rate", "apical", Kind.FEEDBACK)
TARGET = Projection("label", BELOW, HERE, "label", "target", Kind.TARGET)
PHASE = Projection("phase", BELOW, HERE, "phase", "phase", Kind.PHASE)
RATE = Projection("rate", HERE, ABOVE, "rate", "basal")
ANSWER = Projection("answer", HERE, ABOVE, "answer", "score", Kind.SCORE)
FREE, NUDGED, END, READ = range(4)


def wired(polarity: tuple[int, int] = (1, -1), spy: Spy | None = None, **model):
    phases = (
        Phase("free", 0, TICKS),
        Phase("nudged", TICKS, NUDGES, polarity, (Mode.LEARN,)),
        Phase("end", TICKS + NUDGES, 1, polarity, (Mode.LEARN,)),
        Phase("read", TICKS, 1, modes=(Mode.ANSWER, Mode.PROBE)),
    )
    basal = replace(BASAL, plasticity=spy)
    projections = (basal, APICAL, TARGET, PHASE, RATE, ANSWER)
    return network(Settling(**model), *projections, phases=phases)


class Run:
    """One population, tick by tick; its neighbours send the same at every tick."""

    def __init__(self, polarity: tuple[int, int] = (1, -1), spy: Spy | None = None, **model):
        self.network = wired(polarity, spy, **model)
        self.actor = built(self.network, course=Course(2, 4, 12))
        parts = self.actor.parameters()["up"]
        parts["bias"] += torch.tensor([0.3, 0.2, 0.1, 0.4], dtype=PRE.dtype)
        self.basal = PRE @ parts["weight"].t() + parts["bias"]
        self.tick = 0

    def ticks(self, n: int, *phase: Event) -> list[Event]:
        """Advances n ticks, the phase beginning in the first; returns what was sent."""
        out = []
        for _ in range(n):
            out += advanced(self.actor, *phase, tick=self.tick)
            phase = ()
            self.tick += 1
        return out

    def arrive(self, name: str, payload: torch.Tensor | None, at: Presentation = AT) -> Event:
        return arriving(self.network, name, payload, self.tick, at)

    def begin(self, phase: int, samples=(5, 0, 7), at: Presentation = AT) -> Event:
        payload = torch.tensor(samples, dtype=torch.int32)
        return self.arrive("phase", payload, at._replace(phase=phase))

    def free(self, ticks: int = TICKS, **how) -> list[torch.Tensor]:
        """The states of a free phase, one a tick."""
        inputs = [self.arrive("up", PRE), self.arrive("down", DOWN)]
        return rates(self.ticks(ticks, *inputs, self.begin(FREE, **how)))

    def nudged(self) -> list[torch.Tensor]:
        label = self.arrive("label", LABELS)
        return rates(self.ticks(NUDGES, label, self.begin(NUDGED)))


def rates(events: list[Event]) -> list[torch.Tensor]:
    return [event.payload for event in events if event.projection == 4]


def clipped(state: torch.Tensor) -> torch.Tensor:
    return state.clamp(0.0, 1.0)


@pytest.mark.parametrize("step", [1.0, 0.4])
def test_a_step_goes_towards_the_clipped_drive(step: float) -> None:
    run = Run(step=step)
    state = torch.zeros(ROWS, 4, dtype=PRE.dtype)
    for found in run.free():
        state = clipped(state + step * (run.basal + DOWN - state))
        torch.testing.assert_close(found, state)


def test_a_step_of_another_activation_takes_its_slope() -> None:
    run = Run(activation="tanh", step=0.5)
    state = torch.zeros(ROWS, 4, dtype=PRE.dtype)
    for found in run.free():
        slope = 1.0 - torch.tanh(state) ** 2
        state = state + 0.5 * (slope * (run.basal + DOWN) - state)
        torch.testing.assert_close(found, torch.tanh(state))


def test_a_step_descends_the_energy() -> None:
    # E = |s|^2 / 2 - s . drive for states inside [0, 1].
    run = Run(step=0.3)
    energies = [float((0.5 * s * s - s * (run.basal + DOWN)).sum()) for s in run.free(ticks=TICKS)]
    assert energies == sorted(energies, reverse=True)


@pytest.mark.parametrize("polarity", [(1, -1), (1, 0)])
def test_a_nudge_pulls_one_half_of_the_rows_towards_the_label(polarity) -> None:
    run = Run(polarity, step=0.5, beta=0.2)
    state = run.free()[-1].repeat(2, 1)
    drive = (run.basal + DOWN).repeat(2, 1)
    label = torch.eye(4, dtype=PRE.dtype)[LABELS.long()].repeat(2, 1)
    nudge = 0.2 * torch.tensor(polarity, dtype=PRE.dtype).repeat_interleave(ROWS).unsqueeze(1)
    for found in run.nudged():
        state = clipped(state + 0.5 * (drive - state + nudge * (label - state)))
        torch.testing.assert_close(found, state)


def test_without_a_label_both_halves_stay_alike() -> None:
    run = Run(step=0.5)
    run.free()
    for found in rates(run.ticks(NUDGES, run.begin(NUDGED))):
        assert torch.equal(found[:ROWS], found[ROWS:])


def test_it_steps_every_tick_of_a_phase_and_then_rests() -> None:
    run = Run()
    assert run.actor.next_wake() == NEVER
    assert len(run.free(ticks=1)) == 1
    assert run.actor.next_wake() == 1
    assert len(rates(run.ticks(TICKS + 5))) == TICKS - 1
    assert run.actor.next_wake() == NEVER


def test_at_the_end_synapses_see_states_of_equal_send_ticks() -> None:
    spy = Spy(SETTLED)
    run = Run(spy=spy)
    run.free()
    settled = run.nudged()[-1]
    last = numbers(2 * ROWS, 3, seed=5)
    at = AT._replace(batch=2)
    run.ticks(1, run.arrive("up", last), run.begin(END, at=at))
    (seen,) = spy.seen
    assert torch.equal(seen.post.settled, settled)
    assert torch.equal(seen.pre.settled, last)
    assert seen.signals.polarity.flatten().tolist() == [1.0] * ROWS + [-1.0] * ROWS
    assert seen.signals.progress == 0.25
    assert run.actor.count.updates == 1
    assert run.actor.count.lag_ticks == NUDGES
    assert run.actor.relaxing == {}


def test_parts_of_a_minibatch_settle_side_by_side_each_by_itself() -> None:
    alone = [Run(step=0.3), Run(step=0.3)]
    both = Run(step=0.3)
    inputs = (PRE, PRE.flip(0))
    expected, events = [], []
    for part, (run, pre) in enumerate(zip(alone, inputs, strict=True)):
        up = run.arrive("up", pre)
        expected.append(rates(run.ticks(TICKS, up, run.begin(FREE))))
        at = AT._replace(part=part)
        events += [both.arrive("up", pre, at), both.begin(FREE, at=at)]
    out = [event for event in both.ticks(TICKS, *events) if event.projection == 4]
    for part in (0, 1):
        found = [event.payload for event in out if event.presentation.part == part]
        assert [torch.equal(*pair) for pair in zip(found, expected[part], strict=True)] == [
            True
        ] * TICKS
    assert both.actor.next_wake() == NEVER


# --- persistent states


def test_a_free_phase_begins_at_rest() -> None:
    run = Run(step=0.3)
    first = run.free()
    run.nudged()
    run.ticks(1, run.begin(END))
    assert [torch.equal(*pair) for pair in zip(first, run.free(), strict=True)] == [True] * TICKS


def test_a_persistent_free_phase_begins_where_the_sample_was_left() -> None:
    run = Run(step=0.3, persistent=True)
    settled = run.free()[-1]
    run.nudged()
    run.ticks(1, run.begin(END))
    # In another order, with a sample that was not there before.
    start = run.free(samples=(7, 1, 5))[0]
    assert torch.equal(start[0], settled[2])
    assert torch.equal(start[1], torch.zeros(4, dtype=PRE.dtype))
    assert torch.equal(start[2], settled[0])


def test_what_persists_is_the_free_state_and_not_the_nudged_one() -> None:
    run = Run(step=0.3, persistent=True)
    settled = run.free()[-1]
    assert not torch.equal(run.nudged()[-1][:ROWS], settled)
    assert torch.equal(run.actor.kept[[5, 0, 7]], settled)


def test_a_persistent_population_tells_its_neighbours_where_it_starts() -> None:
    run = Run(step=0.3, persistent=True)
    found = run.free()
    assert len(found) == TICKS
    assert not found[0].any()
    assert found[1].any()


def test_answering_begins_at_rest_and_leaves_what_persists() -> None:
    run = Run(step=0.3, persistent=True)
    run.free()
    run.nudged()
    run.ticks(1, run.begin(END))
    kept = run.actor.kept.clone()
    at = AT._replace(mode=Mode.ANSWER)
    assert run.free(at=at)[0].any()
    run.ticks(1, run.begin(READ, at=at))
    assert torch.equal(run.actor.kept, kept)


# --- answers


def test_the_answer_is_the_drive_which_tells_clipped_units_apart() -> None:
    run = Run()
    at = AT._replace(mode=Mode.ANSWER)
    run.free(at=at)
    (answer,) = run.ticks(1, run.begin(READ, at=at))
    torch.testing.assert_close(answer.payload, run.basal + DOWN)
    assert run.actor.activity() is None


def test_a_probe_keeps_the_settled_states_once() -> None:
    run = Run()
    at = AT._replace(mode=Mode.PROBE)
    settled = run.free(at=at)[-1]
    run.ticks(1, run.begin(READ, at=at))
    assert torch.equal(run.actor.activity(), settled)
    assert run.actor.activity() is None


@pytest.mark.parametrize("polarity", [(1,), (1, 0, -1)])
def test_a_nudge_has_two_signs(polarity: tuple[int, ...]) -> None:
    message = r"phase 'nudged' has polarity .*; expected two signs, whose correlations"
    with pytest.raises(NetworkError, match=message):
        built(wired(polarity))


@pytest.mark.parametrize(
    ("model", "projections", "message"),
    [
        ({}, (PHASE,), "'here' settles but has no basal projection"),
        ({}, (BASAL,), "'here' settles but has no phase projection"),
        (
            {},
            (BASAL, PHASE, Projection("late", BELOW, HERE, "x", "basal", delay=2)),
            "projection 'late' has a delay of 2 ticks; settling populations step together",
        ),
        ({"activation": "softmax"}, (BASAL, PHASE), "'here' cannot settle with a softmax"),
        (
            {},
            (BASAL, PHASE, Projection("odd", BELOW, HERE, "x", "image")),
            r"\(settling\) has no receptor 'image'; it has basal, apical, target, phase",
        ),
        (
            {},
            (BASAL, PHASE, Projection("odd", HERE, ABOVE, "delta", "x")),
            r"\(settling\) has no variable 'delta'; it has rate, answer",
        ),
    ],
)
def test_what_a_settling_population_cannot_do_is_refused(model, projections, message) -> None:
    with pytest.raises(NetworkError, match=message):
        network(Settling(**model), *projections)
