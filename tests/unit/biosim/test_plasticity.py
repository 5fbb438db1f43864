from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from biosim.contracts import Memory, Plasticity
from biosim.locality import Axis, Local, Reads, axis_shape
from biosim.plasticity import Adam, ErrorDriven, Sgd

N_PRE, N_POST, RATE = 3, 2, 0.25


@dataclass(frozen=True)
class Given:
    """Takes its direction, (n_post, n_pre), from what it reads, and counts its updates."""

    @property
    def reads(self) -> Reads:
        return Reads(signals=("weight", "bias"), on="settled")

    @property
    def memory(self) -> Mapping[str, Axis]:
        return {"updates": "shared"}

    def update(self, seen: Local, memory: Memory) -> tuple[Mapping[str, Tensor], Memory]:
        memory["updates"] += 1
        return {"weight": seen.signals.weight, "bias": seen.signals.bias}, memory


def directions(n: int) -> list[dict[str, Tensor]]:
    numbers = torch.Generator().manual_seed(0)
    return [
        {
            "weight": torch.randn(N_POST, N_PRE, generator=numbers, dtype=torch.float64),
            "bias": torch.randn(N_POST, generator=numbers, dtype=torch.float64),
        }
        for _ in range(n)
    ]


def changes(plasticity: Plasticity, n: int, course: int | None = None) -> list[dict[str, Tensor]]:
    """The changes along n directions; progress runs as if the course had so many updates."""
    memory = {
        name: torch.zeros(axis_shape(axis, N_PRE, N_POST), dtype=torch.float64)
        for name, axis in plasticity.memory.items()
    }
    made = []
    for i, direction in enumerate(directions(n)):
        # Without a course, the run has hardly begun.
        progress = 0.0 if course is None else i / course
        seen = Local({}, {}, {}, {**direction, "progress": progress})
        change, memory = plasticity.update(seen, memory)
        made.append({name: value.clone() for name, value in change.items()})
    assert memory["updates"] == n
    return made


def assert_changes(got: list[dict[str, Tensor]], expected: list[dict[str, Tensor]]) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-15)


def scaled(factors: list[float]) -> list[dict[str, Tensor]]:
    pairs = zip(directions(len(factors)), factors, strict=True)
    return [{name: value * factor for name, value in d.items()} for d, factor in pairs]


# --- error-driven


def test_error_driven_is_the_mean_outer_product() -> None:
    pre, apical = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 6.0], [7.0, 8.0]])
    gain = torch.tensor([[1.0, 0.0], [1.0, 0.5]])
    seen = Local({"activity": pre}, {"apical": apical, "gain": gain}, {}, {})
    change, memory = ErrorDriven().update(seen, {})
    error = apical * gain
    expected = sum(torch.outer(error[row], pre[row]) for row in range(2)) / 2
    assert torch.equal(change["weight"], expected)
    assert torch.equal(change["bias"], error.mean(0))
    assert memory == {}
    assert ErrorDriven().reads.on == "apical"


# --- steps


def test_sgd_without_momentum_is_the_rate_times_the_direction() -> None:
    assert_changes(changes(Sgd(Given(), RATE), 3), scaled([RATE] * 3))


def test_sgd_with_momentum_sums_what_decays() -> None:
    # v_n = sum over k <= n of m^(n - k) rate d_k.
    got = changes(Sgd(Given(), RATE, momentum=0.8), 6)
    for n, change in enumerate(got):
        for name in ("weight", "bias"):
            weighted = [0.8 ** (n - k) * RATE * d[name] for k, d in enumerate(directions(n + 1))]
            torch.testing.assert_close(change[name], torch.stack(weighted).sum(0))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_the_one_of_torch(momentum: float) -> None:
    stepped = stepped_by_torch(6, lambda p: torch.optim.SGD(p, lr=RATE, momentum=momentum))
    assert_changes(changes(Sgd(Given(), RATE, momentum=momentum), 6), stepped)


# --- Adam


def stepped_by_torch(n: int, optimiser, rates: list[float] | None = None):
    """The changes of parameters whose loss has minus each direction as its gradient."""
    names = ("weight", "bias")
    shapes = {"weight": (N_POST, N_PRE), "bias": (N_POST,)}
    parameters = [torch.zeros(shapes[name], dtype=torch.float64) for name in names]
    steps = optimiser(parameters)
    made = []
    for i, direction in enumerate(directions(n)):
        before = [p.clone() for p in parameters]
        if rates is not None:
            steps.param_groups[0]["lr"] = rates[i]
        for name, parameter in zip(names, parameters, strict=True):
            parameter.grad = -direction[name]
        steps.step()
        moved = zip(names, parameters, before, strict=True)
        made.append({name: now - then for name, now, then in moved})
    return made


def test_adam_is_the_one_of_torch() -> None:
    betas, eps = (0.7, 0.95), 1e-4
    got = changes(Adam(Given(), RATE, beta1=betas[0], beta2=betas[1], epsilon=eps), 8)
    expected = stepped_by_torch(
        8, lambda p: torch.optim.Adam(p, lr=RATE, betas=betas, eps=eps, foreach=False)
    )
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-14)


def test_a_falling_rate_is_that_of_the_schedule() -> None:
    rates = [RATE * (1 - i / 8) for i in range(8)]
    got = changes(Adam(Given(), RATE, "linear"), 8, course=8)
    expected = stepped_by_torch(8, lambda p: torch.optim.Adam(p, lr=RATE, foreach=False), rates)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-14)


def test_the_first_step_of_adam_is_the_rate_whatever_the_direction() -> None:
    (first,) = changes(Adam(Given(), RATE), 1)
    (direction,) = directions(1)
    torch.testing.assert_close(
        first["weight"], RATE * direction["weight"].sign(), rtol=1e-6, atol=0
    )


def test_adam_and_plain_steps_are_told_apart() -> None:
    plain, adam = changes(Sgd(Given(), RATE), 3), changes(Adam(Given(), RATE), 3)
    assert not torch.allclose(plain[2]["weight"], adam[2]["weight"])


# --- schedules


def test_without_decay_the_rate_stays() -> None:
    assert_changes(changes(Sgd(Given(), RATE), 4, course=4), scaled([RATE] * 4))


def test_a_linear_decay_falls_to_zero_at_the_end() -> None:
    got = changes(Sgd(Given(), RATE, "linear"), 5, course=4)
    assert_changes(got, scaled([RATE * share for share in (1.0, 0.75, 0.5, 0.25, 0.0)]))


def test_a_decay_may_end_before_the_run() -> None:
    got = changes(Sgd(Given(), RATE, "linear", until=0.5), 4, course=4)
    assert_changes(got, scaled([RATE, RATE / 2, 0.0, 0.0]))


def test_a_rate_may_end_without_falling() -> None:
    got = changes(Sgd(Given(), RATE, until=0.5), 4, course=4)
    assert_changes(got, scaled([RATE, RATE, 0.0, 0.0]))


# --- what a wrapper declares


@pytest.mark.parametrize(
    ("wrapper", "own"),
    [
        (Sgd(Given(), RATE), {}),
        (
            Sgd(Given(), RATE, momentum=0.1),
            {"step.weight": "synapse", "step.bias": "post"},
        ),
        (
            Adam(Given(), RATE),
            {
                "steps": "shared",
                "first.weight": "synapse",
                "second.weight": "synapse",
                "first.bias": "post",
                "second.bias": "post",
            },
        ),
    ],
    ids=["sgd", "momentum", "adam"],
)
def test_a_wrapper_adds_its_memory_and_the_progress(wrapper, own) -> None:
    assert wrapper.memory == {"updates": "shared", **own}
    assert wrapper.reads == Given().reads.with_signals("progress")


def test_wrappers_that_say_the_same_are_equal() -> None:
    assert Adam(Given(), RATE) == Adam(Given(), RATE)
    assert len({Sgd(Given(), RATE), Sgd(Given(), RATE), Sgd(Given(), 0.5)}) == 2
