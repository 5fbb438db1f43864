import pytest
import torch

from biosim.populations.activations import ACTIVATIONS, GAINS, by_length, centred_unit, unit
from tests.unit.biosim.populations.harness import numbers

ROWS = numbers(5, 7)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "softmax"])
def test_the_gain_is_the_slope_that_autograd_finds(name) -> None:
    # Some drives lie beyond the ends of the hard sigmoid, none on a kink.
    drive = (2.0 * ROWS).requires_grad_()
    activity = ACTIVATIONS[name](drive)
    (slope,) = torch.autograd.grad(activity.sum(), drive)
    torch.testing.assert_close(GAINS[name](activity.detach()), slope)


@pytest.mark.parametrize("name", ["relu", "hard_sigmoid"])
def test_a_silent_neuron_has_no_gain(name) -> None:
    assert GAINS[name](torch.zeros(1, 1)).item() == 0.0


def test_a_saturated_neuron_has_no_gain() -> None:
    assert GAINS["hard_sigmoid"](torch.ones(1, 1)).item() == 0.0


def test_softmax_is_over_the_population_and_its_error_is_taken_at_the_drive() -> None:
    activity = ACTIVATIONS["softmax"](ROWS)
    torch.testing.assert_close(activity.sum(1), torch.ones(5, dtype=ROWS.dtype))
    assert torch.equal(GAINS["softmax"](activity), torch.ones_like(activity))


def test_every_activation_has_a_gain() -> None:
    assert ACTIVATIONS.keys() == GAINS.keys()


@pytest.mark.parametrize("scale", [0.1, 1.0, 1000.0])
def test_what_is_sent_by_length_has_mean_square_one(scale: float) -> None:
    sent = by_length(scale * ROWS)
    torch.testing.assert_close(
        (sent * sent).mean(1), torch.ones(5, dtype=ROWS.dtype), rtol=1e-5, atol=0
    )
    torch.testing.assert_close(sent / sent[:, :1], ROWS / ROWS[:, :1])


@pytest.mark.parametrize("scaled", [by_length, centred_unit, unit])
def test_a_silent_row_stays_silent(scaled) -> None:
    assert torch.equal(scaled(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_a_unit_row_has_length_one_and_its_direction() -> None:
    sent = unit(ROWS)
    torch.testing.assert_close((sent * sent).sum(1), torch.ones(5, dtype=ROWS.dtype))
    torch.testing.assert_close(sent / sent[:, :1], ROWS / ROWS[:, :1])


def test_contrast_has_mean_zero_and_length_one() -> None:
    sent = centred_unit(ROWS + 3.0)
    torch.testing.assert_close(sent.mean(1), torch.zeros(5, dtype=ROWS.dtype))
    torch.testing.assert_close((sent * sent).sum(1), torch.ones(5, dtype=ROWS.dtype))
    torch.testing.assert_close(sent, centred_unit(ROWS))


def test_a_constant_row_has_no_contrast() -> None:
    assert torch.equal(centred_unit(torch.full((2, 4), 0.5)), torch.zeros(2, 4))
