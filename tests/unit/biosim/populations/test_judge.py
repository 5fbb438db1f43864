import itertools

import pytest
import torch

from biosim.events import Mode
from biosim.network import NetworkError, Projection
from biosim.populations import Judge
from tests.unit.biosim.populations.harness import (
    ABOVE,
    AT,
    BELOW,
    HERE,
    advanced,
    arriving,
    built,
    network,
    numbers,
)

ONE = Projection("one", BELOW, HERE, "y", "score")
MORE = [Projection(name, BELOW, HERE, "y", "score") for name in ("two", "three")]
ANSWER = AT._replace(mode=Mode.ANSWER)


def test_answers_come_in_the_order_of_the_minibatches_and_are_forgotten() -> None:
    wired = network(Judge(), ONE)
    judge = built(wired)
    scores = [numbers(5, 4, seed=batch) for batch in range(3)]
    for batch in (2, 0, 1):
        advanced(judge, arriving(wired, "one", scores[batch], at=ANSWER._replace(batch=batch)))
    assert torch.equal(judge.take(), torch.cat(scores))
    assert judge.scores == {}


def test_the_same_bits_whatever_order_the_scores_come_in() -> None:
    wired = network(Judge(), ONE, *MORE)
    # The sum of three numbers depends on which two come first.
    payloads = {"one": 1e16, "two": -1e16, "three": 1.0}
    sums = set()
    for names in itertools.permutations(payloads):
        judge = built(wired)
        for tick, name in enumerate(names):
            scores = torch.full((1, 4), payloads[name], dtype=torch.float64)
            advanced(judge, arriving(wired, name, scores, at=ANSWER), tick=tick)
            assert len(judge.scores) == (tick == 2)
        sums.add(tuple(judge.take()[0].tolist()))
    assert sums == {(1.0, 1.0, 1.0, 1.0)}


def test_one_number_for_every_class_in_turn_becomes_a_row() -> None:
    wired = network(Judge(), ONE)
    judge = built(wired)
    goodness = numbers(3 * 4, 1)
    advanced(judge, arriving(wired, "one", goodness, at=ANSWER))
    assert torch.equal(judge.take(), goodness.reshape(3, 4))


def test_a_judge_learns_nothing_and_sends_nothing() -> None:
    wired = network(Judge(), ONE)
    judge = built(wired)
    assert advanced(judge, arriving(wired, "one", numbers(5, 4), at=ANSWER)) == []
    assert judge.parameters() == {}
    assert judge.activity() is None


@pytest.mark.parametrize(
    ("projection", "message"),
    [
        (
            Projection("up", BELOW, HERE, "x", "basal"),
            r"\(judge\) has no receptor 'basal'; .*score",
        ),
        (
            Projection("up", HERE, ABOVE, "x", "basal"),
            r"\(judge\) has no variable 'x'; it has none",
        ),
    ],
)
def test_what_a_judge_has_not_is_refused(projection: Projection, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        network(Judge(), ONE, projection)
