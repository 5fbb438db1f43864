"""Every plasticity keeps the law of locality; one that a listed rule uses is tested."""

from operator import itemgetter

import pytest

from biosim.contracts import Plasticity
from biosim.plasticity import Adam, ErrorDriven, Sgd
from biosim.testing import LocalityLaws
from rules.equilibrium_propagation import ContrastiveHebb
from rules.forward_forward import GoodnessGate
from rules.soft_hebb import SoftWinner
from tests.contract.cases import CASES, plasticities, wired

EXACT = {"error": ErrorDriven(), "contrast": ContrastiveHebb(0.5), "winner": SoftWinner()}
# A sigmoid leaves the integers, so that the order of a sum over rows shows.
INEXACT = {"goodness": GoodnessGate(2.5)}


def steps(directions: dict[str, Plasticity]) -> dict[str, Plasticity]:
    """Each direction by itself and in the wrappers that only scale and add."""
    named: dict[str, Plasticity] = {}
    for name, direction in directions.items():
        named |= {
            name: direction,
            f"{name}, sgd": Sgd(direction, 0.3, "linear"),
            f"{name}, sgd until": Sgd(direction, 0.3, "linear", until=0.5),
            f"{name}, momentum": Sgd(direction, 0.3, momentum=0.9),
        }
    return named


def adams(directions: dict[str, Plasticity]) -> dict[str, Plasticity]:
    return {f"{name}, adam": Adam(one, 0.01, "linear") for name, one in directions.items()}


def used_by_rules() -> dict[str, Plasticity]:
    """Every plasticity of every rule, once."""
    names: dict[Plasticity, str] = {}
    for name, rule in CASES.items():
        for i, plasticity in enumerate(plasticities(wired(rule))):
            names.setdefault(plasticity, f"{name}, {i}")
    return {name: plasticity for plasticity, name in names.items()}


class OfEveryCase:
    case: Plasticity

    def plasticity(self) -> Plasticity:
        return self.case


class TestExactly(OfEveryCase, LocalityLaws):
    @pytest.fixture(autouse=True, params=steps(EXACT).items(), ids=itemgetter(0), scope="class")
    @classmethod
    def _case(cls, request: pytest.FixtureRequest) -> None:
        request.cls.case = request.param[1]


class TestToRounding(OfEveryCase, LocalityLaws):
    # The fused kernel multiplies and adds in one rounding or in two, by a neuron's place.
    exact = False
    tolerance = 1e-13

    @pytest.fixture(autouse=True, params=adams(EXACT).items(), ids=itemgetter(0), scope="class")
    @classmethod
    def _case(cls, request: pytest.FixtureRequest) -> None:
        request.cls.case = request.param[1]


class TestToATolerance(OfEveryCase, LocalityLaws):
    exact = False

    @pytest.fixture(
        autouse=True,
        params=(steps(INEXACT) | adams(INEXACT) | used_by_rules()).items(),
        ids=itemgetter(0),
        scope="class",
    )
    @classmethod
    def _case(cls, request: pytest.FixtureRequest) -> None:
        request.cls.case = request.param[1]
