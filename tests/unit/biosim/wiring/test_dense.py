import math

import numpy as np
import pytest
import torch

from biosim.wiring import Dense, fan_in, glorot, kaiming

KINDS = ["normal", "uniform", "unit"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_does_not_depend_on_the_others(kind) -> None:
    wiring = Dense(kind, 0.7)
    few, many = wiring.weight(3, 5, 0, "a"), wiring.weight(40, 5, 0, "a")
    assert few.shape == (3, 5)
    assert torch.equal(few, many[:3])


@pytest.mark.parametrize("kind", KINDS)
def test_seed_and_name_give_weights_of_their_own(kind) -> None:
    wiring = Dense(kind, 0.7)
    drawn = [wiring.weight(3, 5, *key) for key in ((0, "a"), (1, "a"), (0, "b"))]
    assert not any(torch.equal(drawn[0], other) for other in drawn[1:])
    assert torch.equal(drawn[0], wiring.weight(3, 5, 0, "a"))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_scale_with_the_scale(kind) -> None:
    one, half = Dense(kind, 1.0).weight(4, 6, 0, "a"), Dense(kind, 0.5).weight(4, 6, 0, "a")
    torch.testing.assert_close(half, 0.5 * one, rtol=1e-14, atol=0.0)


def test_uniform_weights_lie_within_the_scale() -> None:
    drawn = Dense("uniform", 0.3).weight(50, 50, 0, "a")
    assert 0.29 < drawn.abs().max() < 0.3


def test_normal_weights_have_the_scale_as_their_deviation() -> None:
    drawn = Dense("normal", 0.3).weight(100, 100, 0, "a")
    assert drawn.std().item() == pytest.approx(0.3, rel=0.03)
    assert abs(drawn.mean().item()) < 0.3 * 4 / 100


def test_unit_weights_have_the_scale_as_their_length() -> None:
    drawn = Dense("unit", 0.3).weight(20, 7, 0, "a")
    torch.testing.assert_close(
        torch.linalg.vector_norm(drawn, dim=1), torch.full((20,), 0.3, dtype=torch.float64)
    )


def test_the_usual_scales_are_those_of_their_papers() -> None:
    assert kaiming(50) == math.sqrt(2 / 50)
    assert glorot(20, 30) == math.sqrt(6 / 50)
    assert fan_in(16) == 0.25
    assert np.isclose(kaiming(8) / fan_in(8), math.sqrt(2))
