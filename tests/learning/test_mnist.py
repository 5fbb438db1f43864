"""On the whole of MNIST each rule reaches its bar in at most five minutes; slow."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hpc import run
from scenarios.reading import read_tree, resolve, with_rule

BARS = {
    "backprop": {"softmax": 98.0},
    "feedback_alignment": {"softmax": 97.5},
    "direct_feedback_alignment": {"softmax": 97.3},
    "forward_forward": {"goodness": 97.0},
    "equilibrium_propagation": {"free_phase": 97.5},
    "noprop": {"noisy": 97.2, "noiseless": 97.7},
    "soft_hebb": {"softmax": 96.0},
}
LONGEST_S = 300.0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("rule", list(BARS))
def test_a_rule_reaches_its_bar_on_mnist(rule: str, shared_data: Path, tmp_path: Path) -> None:
    scenario = resolve(with_rule(read_tree("mnist"), rule), [f"data.directory={shared_data}/mnist"])
    began = time.monotonic()
    result = run(scenario, tmp_path / "out")
    assert time.monotonic() - began < LONGEST_S
    for way, bar in BARS[rule].items():
        assert 100 * result.accuracy[way] >= bar, way


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_soft_hebb_beats_the_same_network_with_frozen_layers(
    shared_data: Path, tmp_path: Path
) -> None:
    found = []
    # A learning rate of next to nothing freezes the hidden layer and leaves the rest as it is.
    for name, lr in (("learning", []), ("frozen", ["rule.lr=1e-12"])):
        asked = [f"data.directory={shared_data}/mnist", *lr]
        scenario = resolve(with_rule(read_tree("mnist"), "soft_hebb"), asked)
        found.append(100 * run(scenario, tmp_path / name).accuracy["softmax"])
    learnt, frozen = found
    assert learnt >= frozen + 0.7
