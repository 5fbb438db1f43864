"""A network that learns from images is tried before it is called valid."""

from __future__ import annotations

import pytest

from biosim.equations.code import EquationError
from biosim.errors import ScenarioError
from scenarios.data import digits
from tests.unit.scenarios.images.test_network import scenario


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["rule.name=triplet_stdp", 'rule.w_ref="1*mV"'],
            "projection 'input-excitatory', on_p.* inconsistent units",
        ),
        (
            ["task.dt_ms=5", "task.rate_hz=1", "task.raise_hz=0"],
            "time constant of 0.001 s is too short for method 'euler' with steps of 0.005 s",
        ),
    ],
)
def test_equations_that_cannot_be_taken_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(EquationError, match=message):
        scenario(*overrides).wire(digits())


def test_a_network_that_does_not_fit_is_refused_with_the_figure() -> None:
    wide = scenario("network.excitatory=3_000_000")
    with pytest.raises(ScenarioError, match=r"the network needs about \d+\.\d GiB"):
        wide.wire(digits())


def test_the_scenario_as_it_comes_is_valid() -> None:
    assert len(scenario().wire(digits()).projections) == 3
