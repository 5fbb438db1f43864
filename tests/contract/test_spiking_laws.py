"""Networks that take every path through the kernels keep the laws, and cheats are caught."""

import functools
from typing import ClassVar

import pytest
import torch

from biosim.network import Network
from biosim.testing import (
    SpikingMemoryLaws,
    SpikingRankLaws,
    SpikingResumeLaws,
    SpikingTimeLaws,
)
from biosim.testing.spiking import Activity
from tests.contract.spiking_cases import CASES

DOUBLE = ("conductance", "sparse_stdp")
"""What is run in float64 as well: the two that have exp and lazy synapses."""


@functools.cache
def network(case: str) -> Network:
    return CASES[case]()


@functools.cache
def plain(case: str, dtype: torch.dtype) -> Activity:
    return Fixed(case, dtype).activity()


class OfEveryCase:
    case: str
    dtype: ClassVar[torch.dtype] = torch.float32

    @pytest.fixture(autouse=True, params=CASES, scope="class")
    @classmethod
    def _case(cls, request: pytest.FixtureRequest) -> None:
        request.cls.case = request.param

    def network(self) -> Network:
        return network(self.case)

    def expected(self) -> Activity:
        return plain(self.case, self.dtype)


class OfDoubleCases(OfEveryCase):
    dtype = torch.float64

    @pytest.fixture(autouse=True, params=DOUBLE, scope="class")
    @classmethod
    def _case(cls, request: pytest.FixtureRequest) -> None:
        request.cls.case = request.param


class TestRanks(OfEveryCase, SpikingRankLaws):
    pass


@pytest.mark.slow
class TestRanksInDouble(OfDoubleCases, SpikingRankLaws):
    pass


class TestTime(OfEveryCase, SpikingTimeLaws):
    pass


class TestResume(OfEveryCase, SpikingResumeLaws):
    pass


class TestMemory(OfEveryCase, SpikingMemoryLaws):
    pass


class Fixed(SpikingRankLaws, SpikingTimeLaws, SpikingResumeLaws, SpikingMemoryLaws):
    """All laws of one case."""

    def __init__(self, case: str, dtype: torch.dtype = torch.float32) -> None:
        self._case, self.dtype = case, dtype

    def network(self) -> Network:
        return network(self._case)
