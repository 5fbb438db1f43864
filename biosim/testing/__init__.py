"""The laws as test suites: inherit one, say what it is to test, and pytest does the rest.

    from biosim.testing import LocalityLaws, RankLaws, ResumeLaws, TimeLaws

    class TestMyPlasticity(LocalityLaws):
        def plasticity(self):
            return MyPlasticity()

    class TestMyNetwork(RankLaws, TimeLaws, ResumeLaws):
        def network(self):
            return MyRule().wire(Stack(FEATURES, (5, 4), CLASSES, SAMPLES, torch.zeros(FEATURES)))

A plug-in that breaks a law fails without anyone writing a test for it. Every example is a small
network or projection that hypothesis chooses; the tests need the extra `biosim[test]`.
"""

from biosim.testing.locality import LocalityLaws
from biosim.testing.networks import CLASSES, FEATURES, SAMPLES, NetworkLaws, Plan, plans
from biosim.testing.ranks import RankLaws
from biosim.testing.resume import ResumeLaws
from biosim.testing.same import assert_same
from biosim.testing.time import TimeLaws

__all__ = [
    "CLASSES",
    "FEATURES",
    "SAMPLES",
    "LocalityLaws",
    "NetworkLaws",
    "Plan",
    "RankLaws",
    "ResumeLaws",
    "TimeLaws",
    "assert_same",
    "plans",
]
