"""What the ledger counts is what each rule must send, hold, wait for and compute.

The bytes at a boundary of 1000 units are those of a table that was worked out by hand: activity
up, errors down, broadcasts, labels. Ticks, held bytes and multiply-adds have closed forms.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import torch

from biosim import ledger
from biosim.events import Course, Mode
from biosim.ledger import LayerCount, LedgerTotals
from biosim.network import Network
from biosim.simulation import Simulation
from rules import (
    Backprop,
    DirectFeedbackAlignment,
    EquilibriumPropagation,
    FeedbackAlignment,
    ForwardForward,
    Frozen,
    NoProp,
    Rule,
    SoftHebb,
    Stack,
)

FREE, NUDGED = 5, 2
"""Ticks of the phases of equilibrium propagation, T1 and T2."""

PASSES = FREE + 2 * NUDGED
"""How often it sends a sample's activity: once a tick, for both nudges in the nudged phase."""

RULES: dict[str, Rule] = {
    "backprop": Backprop(),
    "feedback_alignment": FeedbackAlignment(),
    "direct_feedback_alignment": DirectFeedbackAlignment(),
    "forward_forward": ForwardForward(with_readout=False),
    "equilibrium_propagation": EquilibriumPropagation(free_ticks=FREE, nudged_ticks=NUDGED),
    "noprop": NoProp(blocks=3, image_units=5, state_units=6, joint_units=7),
    "soft_hebb": SoftHebb(),
    "frozen": Frozen(),
}
INPUTS, CLASSES, ROWS, BATCHES = 20, 10, 4, 3
SAMPLES = ROWS * BATCHES
NARROW, WIDE = (8, 7, 6), (1000, 1000)


@dataclass(frozen=True)
class Run:
    """What one short run was, and what its ledger says."""

    network: Network
    totals: LedgerTotals

    @property
    def bytes(self) -> dict[str, float]:
        """Bytes a sample by projection, but for projections that carried nothing."""
        sent = {
            projection.name: self.totals.bytes_per_sample(i)
            for i, projection in enumerate(self.network.projections)
        }
        return {name: count for name, count in sent.items() if count}

    def layers(self) -> Iterator[tuple[str, LayerCount]]:
        """Yield the populations between source and judge, and their counts."""
        names = [population.name for population in self.network.populations]
        yield from list(zip(names, self.totals.layers, strict=True))[1:-1]


def samples(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(SAMPLES, INPUTS, generator=generator).to(dtype)
    return x, torch.randint(CLASSES, (SAMPLES,), generator=generator).to(torch.uint8)


def simulated(
    rule: Rule,
    hidden: tuple[int, ...],
    dtype: torch.dtype = torch.float32,
    period: int | None = None,
    delay: int = 1,
) -> Simulation:
    """Return a simulation that has learnt from every sample once."""
    x, y = samples(dtype)
    network = rule.wire(Stack(INPUTS, hidden, CLASSES, SAMPLES, x.mean(0)))
    network = replace(
        network, projections=tuple(replace(p, delay=delay) for p in network.projections)
    )
    simulation = Simulation(network, Course(1, BATCHES, SAMPLES), 0, dtype=dtype, period=period)
    simulation.learn(x, y, 0, ROWS)
    return simulation


@functools.cache
def run(
    rule: str,
    hidden: tuple[int, ...] = NARROW,
    dtype: torch.dtype = torch.float32,
    period: int | None = None,
    delay: int = 1,
) -> Run:
    """Return what the ledger says of a short run; each is made once."""
    simulation = simulated(RULES[rule], hidden, dtype, period, delay)
    return Run(simulation.network, simulation.ledger_totals())


# --- bytes


def bytes_by_hand(rule: str, width: int, real: int = 4) -> dict[str, float]:
    """Return the bytes a sample of every projection, for two hidden layers of this width.

    Args:
        rule: its name.
        width: units of a hidden layer.
        real: bytes of a number; a label takes one byte, the position of a sample four.
    """
    n, c, x = real * width, real * CLASSES, real * INPUTS
    up = {"input-hidden1": x, "hidden1-hidden2": n, "hidden2-output": n, "label-output": 1}
    match rule:
        case "backprop":
            # The owner of the weights sends their product with the error.
            return up | {"hidden2-hidden1": n, "output-hidden2": n}
        case "feedback_alignment":
            return up | {"hidden2-hidden1": n, "output-hidden2": c}
        case "direct_feedback_alignment":
            return up | {"output-hidden1": c, "output-hidden2": c}
        case "forward_forward":
            return {"input-hidden1": 2 * (x + c), "hidden1-hidden2": 2 * n}
        case "equilibrium_propagation":
            both = {"hidden1-hidden2": n, "hidden2-output": n}
            both |= {"hidden2-hidden1": n, "output-hidden2": n}
            phases = {f"phase-{name}": 3 * 4 for name in ("hidden1", "hidden2", "output")}
            return (
                {name: PASSES * count for name, count in both.items()}
                | {"input-hidden1": x, "label-output": 1}
                | phases
            )
        case "noprop":
            blocks = [f"block{t}" for t in (1, 2, 3)]
            return {f"input-{name}": x for name in blocks} | {f"label-{name}": 1 for name in blocks}
        case "soft_hebb" | "frozen":
            return up
    raise AssertionError(rule)


@pytest.mark.parametrize("rule", RULES)
def test_every_projection_carries_the_bytes_that_the_rule_needs(rule: str) -> None:
    assert run(rule, WIDE).bytes == bytes_by_hand(rule, 1000)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("backprop", 8000),
        ("feedback_alignment", 8000),
        ("direct_feedback_alignment", 4040),
        ("forward_forward", 8000),
        ("equilibrium_propagation", PASSES * 8000),
        ("soft_hebb", 4000),
    ],
)
def test_a_boundary_of_1000_units_carries_what_the_table_says(rule: str, expected: int) -> None:
    # Up to the next layer, and down from everything above.
    found = run(rule, WIDE)
    above = ("hidden2", "output")
    crossing = [
        projection.name
        for projection in found.network.projections
        if (projection.source == "hidden1" and projection.target in above)
        or (projection.target == "hidden1" and projection.source in above)
    ]
    assert sum(found.bytes.get(name, 0) for name in crossing) == expected


def test_nothing_crosses_between_blocks_of_noprop_while_they_learn() -> None:
    found = run("noprop")
    between = {"block1-block2", "block2-block3"}
    assert between <= set(found.network.projection_at)
    assert not between & set(found.bytes)


@pytest.mark.parametrize(("dtype", "real"), [(torch.float32, 4), (torch.float64, 8)])
def test_bytes_are_those_of_the_numbers_really_sent(dtype: torch.dtype, real: int) -> None:
    assert run("backprop", (30, 30), dtype).bytes == bytes_by_hand("backprop", 30, real)


def test_the_bytes_of_one_rule_are_not_those_of_another() -> None:
    found = [run(rule, (30, 30)).bytes for rule in RULES if rule != "frozen"]
    assert not any(one == other for one, other in itertools.combinations(found, 2))


def test_a_readout_beside_forward_forward_shows_in_the_bytes() -> None:
    simulation = simulated(ForwardForward(with_readout=True), (50, 40))
    found = Run(simulation.network, simulation.ledger_totals()).bytes
    # The neutral phase sends every sample once more, and both layers to the output.
    assert found["hidden1-hidden2"] == 3 * 4 * 50
    assert found["hidden1-output"] == 4 * 50
    assert found["hidden2-output"] == 4 * 40


def test_streaming_sends_the_same_bytes() -> None:
    for rule in ("backprop", "direct_feedback_alignment", "forward_forward", "noprop"):
        assert run(rule, period=1).bytes == run(rule).bytes


@pytest.mark.parametrize("rule", RULES)
def test_every_sample_is_counted_once(rule: str) -> None:
    assert run(rule).totals.samples == SAMPLES


# --- weight transport


@pytest.mark.parametrize("rule", RULES)
def test_only_backprop_and_equilibrium_propagation_use_weights_twice(rule: str) -> None:
    tied = [projection.name for projection in run(rule).network.tied()]
    if rule in ("backprop", "equilibrium_propagation"):
        assert tied == ["hidden2-hidden1", "hidden3-hidden2", "output-hidden3"]
    else:
        assert tied == []


# --- ticks


def lag_by_hand(rule: str, layer: str) -> int:
    """Return the ticks between forward pass and update, for a network of `NARROW` layers."""
    names = ["hidden1", "hidden2", "hidden3", "output"]
    match rule:
        case "backprop" | "feedback_alignment":
            # Up to the output, one tick a layer, and down again.
            return 2 * (names.index("output") - names.index(layer))
        case "direct_feedback_alignment":
            # Up to the output, and down in a single tick.
            distance = names.index("output") - names.index(layer)
            return distance + 1 if distance else 0
        case "equilibrium_propagation":
            return NUDGED
    return 0


@pytest.mark.parametrize("delay", [1, 3])
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "equilibrium_propagation"])
def test_a_layer_waits_for_its_error_as_long_as_the_error_travels(rule: str, delay: int) -> None:
    for layer, count in run(rule, delay=delay).layers():
        learns = rule != "frozen" or layer == "output"
        assert count.updates == BATCHES * learns
        assert count.lag_ticks_max == delay * lag_by_hand(rule, layer)
        assert count.lag_ticks == delay * lag_by_hand(rule, layer) * count.updates


def test_equilibrium_propagation_waits_for_its_nudged_phase() -> None:
    for layer, count in run("equilibrium_propagation").layers():
        assert count.updates == BATCHES
        assert count.lag_ticks_max == lag_by_hand("equilibrium_propagation", layer)
        assert count.lag_ticks == NUDGED * BATCHES


# --- memory


def held_by_hand(rule: str, layer: str) -> int:
    """Return the most bytes that a layer of `NARROW` keeps from one tick to the next."""
    names = ["input", "hidden1", "hidden2", "hidden3", "output"]
    sizes = dict(zip(names, (INPUTS, *NARROW, CLASSES), strict=True))
    if layer.startswith("block") or rule == "forward_forward":
        return 0
    below, own = sizes[names[names.index(layer) - 1]], sizes[layer]
    match rule:
        case "backprop" | "feedback_alignment" | "direct_feedback_alignment":
            # What came in and what went out; the output has only its label early.
            return ROWS * (1 if layer == "output" else 4 * (below + own))
        case "soft_hebb" | "frozen":
            return ROWS * (1 if layer == "output" else 0)
        case "equilibrium_propagation":
            # For both nudges: the state, what came and the drive it gives, on each side. The
            # drive from above is what came.
            reals = own + (below + own) + (2 * own if layer != "output" else 0)
            return 2 * ROWS * (4 * reals + (1 if layer == "output" else 0))
    raise AssertionError(rule)


@pytest.mark.parametrize("rule", RULES)
def test_a_layer_holds_what_its_update_will_need(rule: str) -> None:
    found = {layer: count.held_bytes_max for layer, count in run(rule).layers()}
    assert found == {layer: held_by_hand(rule, layer) for layer in found}


@pytest.mark.parametrize("rule", ["backprop", "feedback_alignment", "direct_feedback_alignment"])
def test_a_stream_holds_as_many_minibatches_as_are_under_way(rule: str) -> None:
    for layer, count in run(rule, period=1).layers():
        # A new one comes every tick and waits `lag` ticks, but there are no more than `BATCHES`.
        waiting = min(lag_by_hand(rule, layer), BATCHES)
        if layer != "output":
            assert count.held_bytes_max == waiting * held_by_hand(rule, layer)


@pytest.mark.parametrize("rule", RULES)
def test_answers_are_not_in_the_ledger(rule: str) -> None:
    # A read-out waits for the upper of two layers, and holds what the lower one sent.
    chosen = ForwardForward() if rule == "forward_forward" else RULES[rule]
    simulation = simulated(chosen, NARROW)
    before = simulation.ledger_totals()
    x, _ = samples(torch.float32)
    for phases in chosen.ways.values():
        simulation.answer(x.repeat(20, 1), phases)
    assert simulation.ledger_totals() == before


def test_answers_that_were_in_the_ledger_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = simulated(Backprop(), NARROW)
    before = simulation.ledger_totals()
    monkeypatch.setattr(ledger, "LEARN", Mode.ANSWER)
    simulation.answer(samples(torch.float32)[0], ["forward"])
    assert simulation.ledger_totals() != before


# --- arithmetic


def arithmetic_by_hand(rule: str) -> dict[str, tuple[int, int, int]]:
    """Return multiply-adds a sample by layer: forward, feedback, plasticity."""
    names = ["input", "hidden1", "hidden2", "hidden3", "output"]
    n = dict(zip(names, (INPUTS, *NARROW, CLASSES), strict=True))
    pairs = list(itertools.pairwise(names))
    size = {high: n[low] * n[high] for low, high in pairs}
    above = dict(pairs)
    match rule:
        case "backprop":
            # The transposed product is the work of the layer above, which owns the weights.
            down = size | {"hidden1": 0}
            return {name: (size[name], down[name], size[name]) for name in size}
        case "feedback_alignment":
            own = {name: n[name] * n[above[name]] if name in above else 0 for name in size}
            return {name: (size[name], own[name], size[name]) for name in size}
        case "direct_feedback_alignment":
            own = {name: n[name] * CLASSES if name != "output" else 0 for name in size}
            return {name: (size[name], own[name], size[name]) for name in size}
        case "forward_forward":
            size["hidden1"] = (INPUTS + CLASSES) * n["hidden1"]
            del size["output"]
            return {name: (2 * count, 0, 2 * count) for name, count in size.items()}
        case "equilibrium_propagation":
            # The input is clamped: its product is made once.
            passes = {name: 1 if name == "hidden1" else PASSES for name in size}
            down = {name: PASSES * count for name, count in size.items()} | {"hidden1": 0}
            return {
                name: (passes[name] * count, down[name], 2 * count) for name, count in size.items()
            }
        case "noprop":
            image, state, joint, out = INPUTS * 5, CLASSES * 6, 11 * 7, 7 * CLASSES
            every = image + state + joint + out
            return {f"block{t}": (every, joint + out, every) for t in (1, 2, 3)}
        case "soft_hebb":
            return {name: (count, 0, count) for name, count in size.items()}
        case "frozen":
            return {
                name: (count, 0, count if name == "output" else 0) for name, count in size.items()
            }
    raise AssertionError(rule)


@pytest.mark.parametrize("rule", RULES)
def test_multiply_adds_are_those_of_the_products_that_were_made(rule: str) -> None:
    found = {
        layer: (count.forward, count.feedback, count.plasticity)
        for layer, count in run(rule).layers()
    }
    expected = {
        layer: tuple(SAMPLES * count for count in counts)
        for layer, counts in arithmetic_by_hand(rule).items()
    }
    assert found == expected
