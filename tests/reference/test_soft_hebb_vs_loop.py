"""SoftHebb against its equations, one synapse and one sample at a time."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rules import SoftHebb
from tests.reference.tasks import Parameters, Tap, Task, copied, relative_error

RATE, GAIN, UNTIL, TOLERANCE = 0.5, 3.0, 0.5, 1e-9

tasks = st.builds(
    Task,
    hidden=st.lists(st.integers(2, 6), min_size=1, max_size=2).map(tuple),
    inputs=st.integers(2, 6),
    classes=st.integers(2, 4),
    batch_size=st.integers(1, 4),
    batches=st.integers(1, 3),
    seed=st.integers(0, 1 << 16),
)
DEEP = Task((6, 5), inputs=6, batch_size=4, batches=3)


def unit(row: list[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in row))
    return [value / length if length > 1e-12 else 0.0 for value in row]


def learnt_by_loop(
    task: Task, start: Parameters, decays: bool = True, soft: bool = True, rests: bool = True
) -> Parameters:
    """Return the hidden weights that the equations make of the same start and samples.

    u_i = sum_j w_ij x_j;  y = softmax(gain u);  w_ij += rate / n_rows sum y_i (x_j - u_i w_ij)

    The first layer sees x without the mean of every feature, the next one relu(u) without its
    mean over the layer, both of unit length.

    Args:
        task: sizes and samples.
        start: initial weights.
        decays: whether there is the term - u_i w_ij.
        soft: whether all neurons take their share, or the winner takes all.
        rests: whether the rate falls to zero in the first half of the learning.
    """
    names = task.forward_names()[: len(task.hidden)]
    weights = [start[name]["weight"].tolist() for name in names]
    mean = task.samples()[0].mean(0)
    for done, x, _ in task.minibatches():
        rate = RATE * max(0.0, 1.0 - done / UNTIL) if rests else RATE
        rows = [unit(row) for row in (x - mean).tolist()]
        for layer, weight in enumerate(weights):
            change = [[0.0] * len(rows[0]) for _ in weight]
            sent = []
            for row in rows:
                u = [sum(w * v for w, v in zip(ws, row, strict=True)) for ws in weight]
                powers = [math.exp(GAIN * (value - max(u))) for value in u]
                for i, (drive, power) in enumerate(zip(u, powers, strict=True)):
                    share = power / sum(powers) if soft else float(drive == max(u))
                    for j, value in enumerate(row):
                        kept = drive * weight[i][j] if decays else 0.0
                        change[i][j] += share * (value - kept)
                h = [max(value, 0.0) for value in u]
                sent.append(unit([value - sum(h) / len(h) for value in h]))
            for i, synapses in enumerate(change):
                for j, total in enumerate(synapses):
                    weights[layer][i][j] += rate * total / len(rows)
            rows = sent
    return {
        name: {"weight": torch.tensor(weight, dtype=torch.float64)}
        for name, weight in zip(names, weights, strict=True)
    }


def error_of(task: Task, **otherwise: bool) -> float:
    """Return how far the engine is from the loop, as a share of what was learnt."""
    simulation = task.simulation(SoftHebb(lr=RATE, gain=GAIN, until=UNTIL))
    start = copied(simulation.parameters())
    found = task.learn(simulation)
    return relative_error(found, learnt_by_loop(task, start, **otherwise), start)


@given(tasks)
def test_every_synapse_follows_the_equation(task: Task) -> None:
    assert error_of(task) < TOLERANCE


@pytest.mark.parametrize("otherwise", ["decays", "soft", "rests"])
def test_another_equation_is_found(otherwise: str) -> None:
    assert error_of(DEEP, **{otherwise: False}) > 0.01


def test_weights_begin_at_unit_length_and_stay_near_it() -> None:
    simulation = DEEP.simulation(SoftHebb(lr=RATE, gain=GAIN))

    def lengths() -> Tensor:
        return simulation.parameters()["input-hidden1"]["weight"].norm(dim=1)

    assert (lengths() - 1.0).abs().max() < 1e-12
    DEEP.learn(simulation)
    assert (lengths() - 1.0).abs().max() < 0.1


def test_hidden_weights_do_not_depend_on_labels() -> None:
    x, y = DEEP.samples()
    found = []
    for labels in (y, (y + 1) % DEEP.classes):
        simulation = DEEP.simulation(SoftHebb(), ranks=Tap())
        simulation.learn(x, labels, 0, DEEP.batch_size)
        found.append(copied(simulation.parameters()))
    for name in ("input-hidden1", "hidden1-hidden2"):
        assert torch.equal(found[0][name]["weight"], found[1][name]["weight"])
    name = "hidden2-output"
    assert not torch.equal(found[0][name]["weight"], found[1][name]["weight"])
