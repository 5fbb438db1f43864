import pytest
import torch

from biosim.events import Course, Mode
from biosim.network import Network, NetworkError, Phase, Population, Projection
from biosim.plasticity import ErrorDriven, Sgd
from biosim.populations import Graded, Judge, Source
from biosim.populations.source import Plain
from biosim.ranks import PretendRanks
from biosim.simulation import Simulation
from biosim.wiring import Dense

X = torch.arange(30.0).reshape(10, 3) / 30.0
Y = torch.tensor([0, 1] * 5, dtype=torch.uint8)
FORWARD = ("forward",)


def network(phases: tuple[Phase, ...] = (Phase("forward"),)) -> Network:
    return Network(
        populations=(
            Population("input", 3, Source(Plain)),
            Population("output", 2, Graded("softmax")),
            Population("judge", 2, Judge()),
        ),
        projections=(
            Projection(
                "up", "input", "output", "x", "basal",
                weights=Dense("normal", 1.0), plasticity=Sgd(ErrorDriven(), 0.5),
            ),
            Projection("label", "input", "output", "label", "target", modes=(Mode.LEARN,)),
            Projection("score", "output", "judge", "activity", "score", modes=(Mode.ANSWER,)),
        ),
        phases=phases,
    )  # fmt: skip


def simulation(epochs: int = 1, batches: int = 2, **more) -> Simulation:
    return Simulation(network(), Course(epochs, batches, len(X)), **more)


def test_a_period_shorter_than_the_phases_is_refused() -> None:
    phases = network((Phase("forward", 0, 3), Phase("second", 3, 2)))
    message = r"got a period of 4 ticks; the phases of a presentation take 5: ask for at least"
    with pytest.raises(NetworkError, match=message):
        Simulation(phases, Course(1, 1, 10), period=4)
    Simulation(phases, Course(1, 1, 10), period=5)


def test_samples_that_fill_no_minibatch_wait_for_another_epoch() -> None:
    simulated = simulation(batches=3)
    simulated.learn(X, Y, 0, batch_size=3)
    assert simulated.ledger_totals().samples == 9


def test_an_epoch_has_an_order_of_its_own() -> None:
    learnt = []
    for epoch in (0, 1):
        simulated = simulation(epochs=2, batches=1)
        simulated.learn(X, Y, epoch, batch_size=3)
        learnt.append(simulated.parameters()["up"]["weight"])
    assert not torch.equal(*learnt)


def test_answers_are_in_the_order_of_the_samples_whatever_the_minibatch(monkeypatch) -> None:
    simulated = simulation()
    expected = simulated.answer(X, FORWARD)
    weight = simulated.parameters()["up"]["weight"]
    torch.testing.assert_close(expected, torch.softmax(X @ weight.t(), dim=1))
    monkeypatch.setattr("biosim.simulation.ANSWER_ROWS", 4)
    torch.testing.assert_close(simulated.answer(X, FORWARD), expected)


def test_answering_and_probing_change_no_weight_and_count_nothing() -> None:
    simulated = simulation()
    before = simulated.parameters()["up"]["weight"].clone()
    simulated.answer(X, FORWARD)
    activity = simulated.probe(X, Y)
    assert torch.equal(simulated.parameters()["up"]["weight"], before)
    assert simulated.ledger_totals().sent_events == [0, 0, 0]
    assert {name: tuple(a.shape) for name, a in activity.items()} == {"output": (10, 2)}


def test_a_phase_that_does_not_answer_is_refused() -> None:
    with pytest.raises(
        NetworkError, match=r"phase 'backward' takes no part in answering; .*forward"
    ):
        simulation().answer(X, ("forward", "backward"))


def test_finish_says_whether_everything_is_dealt_with() -> None:
    simulated = simulation(batches=2)
    simulated.begin_epoch(X, Y, 0, batch_size=5)
    assert not simulated.finish(until=2)
    assert simulated.finish()


def test_a_period_presents_minibatches_without_waiting() -> None:
    exact, streamed = simulation(batches=5), simulation(batches=5, period=1)
    for simulated in (exact, streamed):
        simulated.learn(X, Y, 0, batch_size=2)
    assert exact.engine.now == 10
    assert streamed.engine.now == 6


def test_loaded_parameters_replace_those_that_were_drawn() -> None:
    one, other = simulation(seed=1), simulation(seed=2)
    other.load({name: dict(parts) for name, parts in one.parameters().items()})
    assert torch.equal(one.answer(X, FORWARD), other.answer(X, FORWARD))
    # Copied, not shared.
    one.learn(X, Y, 0, batch_size=5)
    assert not torch.equal(one.answer(X, FORWARD), other.answer(X, FORWARD))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "nothing"),
        ({"up": {"weight": torch.zeros(2, 4)}}, r"\(2, 4\)"),
    ],
)
def test_parameters_of_another_network_are_refused(given, found: str) -> None:
    message = rf"weight of projection 'up': got {found}; expected \(2, 3\): start from a run"
    with pytest.raises(NetworkError, match=message):
        simulation().load(given)


def test_only_the_rank_of_the_judge_gets_answers() -> None:
    def program(ranks):
        simulated = simulation(ranks=ranks)
        simulated.learn(X, Y, 0, batch_size=5)
        answers = simulated.answer(X, FORWARD)
        return sorted(simulated.parameters()), answers is not None

    assert PretendRanks(3, 30.0).run(program) == [(["up"], True), ([], False), ([], False)]


def test_parameters_are_known_by_population() -> None:
    by_population = simulation().parameters_by_population()
    assert {i: list(parts) for i, parts in by_population.items()} == {0: [], 1: ["up"], 2: []}
