"""The laws as test suites: inherit one, say what it is to test, and pytest does the rest.

    from biosim.testing import LocalityLaws, RankLaws, ResumeLaws, TimeLaws

    class TestMyPlasticity(LocalityLaws):
        def plasticity(self):
            return MyPlasticity()

    class TestMyNetwork(RankLaws, TimeLaws, ResumeLaws):
        def network(self):
            return MyRule().wire(Stack(FEATURES, (5, 4), CLASSES, SAMPLES, torch.zeros(FEATURES)))

    class TestMySpikes(SpikingRankLaws, SpikingTimeLaws, SpikingResumeLaws, SpikingMemoryLaws):
        def network(self):
            return Network(...)

A plug-in that breaks a law fails without anyone writing a test for it. Every example is a small
network or projection that hypothesis chooses; the tests need the extra `biosim[test]`.
"""

from biosim.testing.locality import LocalityLaws
from biosim.testing.networks import CLASSES, FEATURES, SAMPLES, NetworkLaws, Plan, plans
from biosim.testing.ranks import RankLaws
from biosim.testing.resume import ResumeLaws
from biosim.testing.same import assert_same
from biosim.testing.spiking import (
    SpikingMemoryLaws,
    SpikingRankLaws,
    SpikingResumeLaws,
    SpikingTimeLaws,
)
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
    "SpikingMemoryLaws",
    "SpikingRankLaws",
    "SpikingResumeLaws",
    "SpikingTimeLaws",
    "TimeLaws",
    "assert_same",
    "plans",
]
