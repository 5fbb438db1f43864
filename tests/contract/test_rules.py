"""Every rule keeps the laws of ranks, time and resume; a rule that is listed is tested."""

from collections.abc import Mapping, Sequence

import pytest

from biosim.network import Network
from biosim.testing import RankLaws, ResumeLaws, TimeLaws
from rules import RULES, Rule
from tests.contract.cases import CASES, wired


class OfEveryRule:
    rule: Rule

    @pytest.fixture(autouse=True, params=CASES, scope="class")
    @classmethod
    def _rule(cls, request: pytest.FixtureRequest) -> None:
        request.cls.rule = CASES[request.param]

    def network(self) -> Network:
        return wired(self.rule)

    def ways(self) -> Mapping[str, Sequence[str]]:
        return self.rule.ways


class TestRanks(OfEveryRule, RankLaws):
    pass


class TestTime(OfEveryRule, TimeLaws):
    pass


class TestResume(OfEveryRule, ResumeLaws):
    pass


def test_every_listed_rule_is_tested() -> None:
    assert {type(rule) for rule in CASES.values()} == set(RULES.values())
