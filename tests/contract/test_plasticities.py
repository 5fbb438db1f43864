"""Every plasticity keeps the law of locality; one that a listed rule uses is tested."""

import pytest

from biosim.contracts import Plasticity
from biosim.plasticity import Adam, ErrorDriven, Sgd
from biosim.testing import LocalityLaws
from rules.equilibrium_propagation import ContrastiveHebb
from rules.forward_forward import GoodnessGate
from rules.soft_hebb import SoftWinner
from tests.contract.cases import CASES, plasticities, wired

DIRECTIONS = {
    "error": ErrorDriven(),
    "contrast": ContrastiveHebb(0.5),
    "winner": SoftWinner(),
}
INEXACT = {
    # A sigmoid leaves the integers, so that the order of a sum over rows shows.
    "goodness": GoodnessGate(2.5),
}


def wrapped(name: str, direction: Plasticity) -> dict[str, Plasticity]:
    """The direction by itself and in every wrapper."""
    return {
        name: direction,
        f"{name}, sgd": Sgd(direction, 0.3, "linear"),
        f"{name}, sgd until": Sgd(direction, 0.3, "linear", until=0.5),
        f"{name}, momentum": Sgd(direction, 0.3, momentum=0.9),
        f"{name}, adam": Adam(direction, 0.01, "linear"),
    }


def all_wrapped(directions: dict[str, Plasticity]) -> dict[str, Plasticity]:
    return {k: v for name, one in directions.items() for k, v in wrapped(name, one).items()}


EXACT = all_wrapped(DIRECTIONS)
TOLERATED = all_wrapped(INEXACT) | {
    f"{name}, {i}": plasticity
    for name, rule in CASES.items()
    for i, plasticity in enumerate(dict.fromkeys(plasticities(wired(rule))))
}


class TestExactly(LocalityLaws):
    case: Plasticity

    @pytest.fixture(autouse=True, params=EXACT, scope="class")
    @classmethod
    def _case(cls, request: pytest.FixtureRequest) -> None:
        request.cls.case = EXACT[request.param]

    def plasticity(self) -> Plasticity:
        return self.case


class TestToATolerance(LocalityLaws):
    exact = False
    case: Plasticity

    @pytest.fixture(autouse=True, params=TOLERATED, scope="class")
    @classmethod
    def _case(cls, request: pytest.FixtureRequest) -> None:
        request.cls.case = TOLERATED[request.param]

    def plasticity(self) -> Plasticity:
        return self.case
