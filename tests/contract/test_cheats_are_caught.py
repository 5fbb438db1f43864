"""Negative controls: a plug-in that breaks a law fails the suite that it inherits."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from biosim.contracts import Memory
from biosim.events import Event, Window
from biosim.locality import Axis, Local, LocalityError, Reads
from biosim.network import Network, Population
from biosim.parts import Direction, Share
from biosim.populations import Graded, Judge
from biosim.populations.graded import GradedActor
from biosim.populations.judge import JudgeActor
from biosim.populations.site import Site
from biosim.testing import LocalityLaws, RankLaws, ResumeLaws, TimeLaws
from rules import Backprop, ForwardForward
from tests.contract.cases import wired

# --- locality


@dataclass(frozen=True)
class Hebbian:
    """Pre times post, and whatever a cheat makes of it."""

    cheat: Callable[[Local, Tensor], Tensor]
    axes: Mapping[str, Axis]

    @property
    def reads(self) -> Reads:
        return Reads(pre=("activity",), post=("activity",), synapse=("weight",))

    @property
    def memory(self) -> Mapping[str, Axis]:
        return self.axes

    def update(self, seen: Local, memory: Memory) -> tuple[Mapping[str, Tensor], Memory]:
        return {"weight": self.cheat(seen, seen.post.activity.t() @ seen.pre.activity)}, memory


def nothing(seen: Local, change: Tensor) -> Tensor:
    return change + 0.0 * seen.synapse.weight


def divides_by_the_fan_in(seen: Local, change: Tensor) -> Tensor:
    return change - seen.synapse.weight.sum(dim=1, keepdim=True)


def subtracts_what_earlier_neurons_explain(seen: Local, change: Tensor) -> Tensor:
    # Sanger 1989, eq. 3: the lower triangle of the other neurons' activity.
    others = (seen.post.activity.t() @ seen.post.activity).tril()
    return change - others @ seen.synapse.weight


def competes_by_a_softmax(seen: Local, change: Tensor) -> Tensor:
    share = torch.softmax(seen.post.activity, dim=1)
    return share.t() @ seen.pre.activity + 0.0 * seen.synapse.weight


def knows_its_place(seen: Local, change: Tensor) -> Tensor:
    return change * torch.arange(1.0, change.shape[1] + 1.0) + 0.0 * seen.synapse.weight


def reads_the_error(seen: Local, change: Tensor) -> Tensor:
    return change * seen.post.apical.sum()


def ignores_the_weight(seen: Local, change: Tensor) -> Tensor:
    return change


def changes_what_it_sees(seen: Local, change: Tensor) -> Tensor:
    seen.pre.activity.mul_(2.0)
    return nothing(seen, change)


def forgets_a_row(seen: Local, change: Tensor) -> Tensor:
    return nothing(seen, change)[:, :1]


def locality(cheat: Callable[[Local, Tensor], Tensor], **memory: Axis) -> LocalityLaws:
    class Suite(LocalityLaws):
        def plasticity(self) -> Hebbian:
            return Hebbian(cheat, memory)

    return Suite()


LOCALITY = [name for name in dir(LocalityLaws) if name.startswith("test_")]


@pytest.mark.parametrize("law", LOCALITY)
def test_a_local_plasticity_passes(law: str) -> None:
    getattr(locality(nothing), law)()


@pytest.mark.parametrize(
    "cheat",
    [
        divides_by_the_fan_in,
        subtracts_what_earlier_neurons_explain,
        competes_by_a_softmax,
        knows_its_place,
    ],
)
def test_a_cheat_that_uses_other_neurons_is_caught(cheat: Callable[..., Tensor]) -> None:
    with pytest.raises(AssertionError, match="depends on neurons that were taken away"):
        locality(cheat).test_the_update_of_a_part_is_that_part_of_the_update()


@pytest.mark.parametrize("law", LOCALITY)
def test_an_undeclared_read_is_caught(law: str) -> None:
    advice = r"read post\.apical; it declares activity there; add 'apical' to Reads\(post=\.\.\.\)"
    with pytest.raises((LocalityError, AssertionError), match=advice):
        getattr(locality(reads_the_error), law)()


def test_a_declaration_that_is_never_read_is_caught() -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        locality(ignores_the_weight).test_every_variable_must_be_declared()


def test_a_change_of_what_is_seen_is_caught() -> None:
    with pytest.raises(AssertionError, match=r"changed pre\.activity in place"):
        locality(changes_what_it_sees).test_an_update_leaves_what_it_sees_as_it_is()


def test_a_change_of_the_wrong_shape_is_caught() -> None:
    with pytest.raises(AssertionError, match=r"weight: \(\d, 1\), expected"):
        locality(forgets_a_row).test_declared_shapes_are_right()


def test_memory_that_is_not_given_back_is_caught() -> None:
    @dataclass(frozen=True)
    class Forgetful(Hebbian):
        def update(self, seen: Local, memory: Memory) -> tuple[Mapping[str, Tensor], Memory]:
            return super().update(seen, memory)[0], {}

    class Suite(LocalityLaws):
        def plasticity(self) -> Hebbian:
            return Forgetful(nothing, {"trace": "pre"})

    with pytest.raises(AssertionError, match=r"gave back the memory \[\]; .* \['trace'\]"):
        Suite().test_declared_shapes_are_right()


# --- ranks, time, resume: graded populations whose actors do something more


@dataclass(frozen=True)
class Cheating(Graded):
    """A graded population with another actor."""

    made_by: Callable[[Graded, Site], GradedActor] = GradedActor

    def actor(self, site: Site) -> GradedActor:
        return self.made_by(self, site)


def cheating(made_by: Callable[[Graded, Site], GradedActor], network: Network) -> Network:
    def cheats(population: Population) -> Population:
        model = population.model
        if not isinstance(model, Graded):
            return population
        return replace(
            population, model=Cheating(model.activation, model.competition, made_by=made_by)
        )

    return replace(network, populations=tuple(map(cheats, network.populations)))


class OneGenerator(GradedActor):
    """Draws its weights from one generator for all populations of a rank."""

    drawn: ClassVar[threading.local] = threading.local()

    def __init__(self, model: Graded, site: Site) -> None:
        super().__init__(model, site)
        if site.index == 1 or not hasattr(self.drawn, "generator"):
            self.drawn.generator = torch.Generator().manual_seed(site.seed)
        for synapses in self.synapses.values():
            synapses.weight.normal_(generator=self.drawn.generator)


class GlobalGenerator(GradedActor):
    """Draws noise from the generator of the process."""

    def __init__(self, model: Graded, site: Site) -> None:
        super().__init__(model, site)
        for synapses in self.synapses.values():
            synapses.weight += 0.01 * torch.randn_like(synapses.weight)


class OwnReplica(GradedActor):
    """Draws weights for its replica of the network."""

    def __init__(self, model: Graded, site: Site) -> None:
        super().__init__(model, site)
        generator = torch.Generator().manual_seed(site.share.replica)
        for synapses in self.synapses.values():
            synapses.weight += 0.01 * torch.randn(synapses.weight.shape, generator=generator)


class Restless(GradedActor):
    """Its weights fade with every window, of which nobody takes a copy."""

    def __init__(self, model: Graded, site: Site) -> None:
        super().__init__(model, site)
        self.windows = 0

    def advance(self, window: Window, inbox: list[Event]) -> list[Event]:
        self.windows += 1
        for synapses in self.synapses.values():
            synapses.weight *= 1.0 - 0.01 * self.windows
        return super().advance(window, inbox)


class Hasty(GradedActor):
    """Sends everything a tick before its projection's delay is over."""

    def advance(self, window: Window, inbox: list[Event]) -> list[Event]:
        out = super().advance(window, inbox)
        return [event._replace(tick=event.tick - 1) for event in out]


class Vague(GradedActor):
    """Sends at a tick that is not an integer."""

    def advance(self, window: Window, inbox: list[Event]) -> list[Event]:
        out = super().advance(window, inbox)
        return [event._replace(tick=float(event.tick)) for event in out]  # type: ignore[arg-type]


class Counting(GradedActor):
    """Takes every window for one tick."""

    def __init__(self, model: Graded, site: Site) -> None:
        super().__init__(model, site)
        self.windows = 0

    def advance(self, window: Window, inbox: list[Event]) -> list[Event]:
        self.windows += 1
        for synapses in self.synapses.values():
            synapses.weight *= 1.0 - 0.01 * (window.end - window.start)
        return super().advance(window, inbox)


class FirstComeJudge(JudgeActor):
    """Lets the score that is first in its inbox count twice."""

    def advance(self, window: Window, inbox: list[Event]) -> list[Event]:
        counted = {event.presentation: event.projection for event in reversed(inbox)}
        doubled = [
            event._replace(payload=event.payload * (1 + (counted[event.presentation] == event[4])))
            for event in inbox
            if event.payload is not None
        ]
        return super().advance(window, doubled)


@dataclass(frozen=True)
class FirstCome(Judge):
    def actor(self, site: Site) -> JudgeActor:
        return FirstComeJudge(site)


def first_come(network: Network) -> Network:
    *others, judge = network.populations
    # All scores arrive at one tick.
    late = {p.name: 1 for p in network.projections}
    for i, p in enumerate(p for p in network.projections if p.target == judge.name):
        late[p.name] = len(network.projections) - i
    return replace(
        network,
        populations=(*others, replace(judge, model=FirstCome())),
        projections=tuple(replace(p, delay=late[p.name]) for p in network.projections),
    )


class OfAll(RankLaws, TimeLaws, ResumeLaws):
    def __init__(self, network: Network, ways: Mapping[str, tuple[str, ...]]) -> None:
        self._network = network
        self._ways = ways

    def network(self) -> Network:
        return self._network

    def ways(self) -> Mapping[str, tuple[str, ...]]:
        return self._ways


def laws(made_by: Callable[[Graded, Site], GradedActor]) -> OfAll:
    rule = Backprop()
    return OfAll(cheating(made_by, wired(rule)), rule.ways)


RUNS = [name for name in dir(OfAll) if name.startswith("test_")]


@pytest.mark.parametrize("law", RUNS)
def test_an_actor_of_the_same_kind_that_does_not_cheat_passes(law: str) -> None:
    getattr(laws(GradedActor), law)()


@pytest.mark.parametrize(
    "law",
    [
        "test_two_ranks_give_the_same_bits",
        "test_four_ranks_give_the_same_bits",
        "test_more_ranks_than_populations_give_the_same_bits",
    ],
)
def test_a_draw_that_depends_on_the_rank_is_caught(law: str) -> None:
    with pytest.raises(AssertionError, match=r"ranks should give the bits of one, but: .*weight"):
        getattr(laws(OneGenerator), law)()


REPLICAS = ["test_replicas_give_the_same_bits", "test_replicas_of_pipelines_give_the_same_bits"]


@pytest.mark.parametrize("law", REPLICAS)
def test_a_draw_that_depends_on_the_replica_is_caught(law: str) -> None:
    with pytest.raises(AssertionError, match=r"ranks should give the bits of one, but: .*weight"):
        getattr(laws(OwnReplica), law)()


@pytest.mark.parametrize("law", REPLICAS)
def test_a_sum_of_sums_of_replicas_is_caught(law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def added_up(share: Share, given: list[Direction], direction: Direction) -> None:
        right(replace(share, replica=0), given, direction)

    right = Share.take
    monkeypatch.setattr(Share, "take", added_up)
    monkeypatch.setattr(Share, "_kept", lambda share, replica: 1)
    with pytest.raises(AssertionError, match=r"ranks should give the bits of one, but: .*weight"):
        getattr(laws(GradedActor), law)()


def test_a_draw_from_the_generator_of_the_process_is_caught() -> None:
    with pytest.raises(AssertionError, match=r"a run should repeat, but: .*weight"):
        laws(GlobalGenerator).test_a_run_repeats_its_bits()


@pytest.mark.parametrize(
    "law",
    ["test_a_restored_run_equals_an_uninterrupted_one", "test_a_checkpoint_goes_on_on_other_ranks"],
)
def test_state_that_is_missing_from_the_snapshot_is_caught(law: str) -> None:
    with pytest.raises(AssertionError, match=r"stored at tick \d+ of \d+ should give the same"):
        getattr(laws(Restless), law)()


@pytest.mark.parametrize("made_by", [Hasty, Vague])
def test_an_event_at_a_wrong_tick_is_caught(made_by: type[GradedActor]) -> None:
    with pytest.raises(AssertionError, match=r"should take \d ticks|has a tick of float|too long"):
        laws(made_by).test_an_event_takes_the_delay_of_its_projection()


def test_an_actor_that_depends_on_where_windows_end_is_caught() -> None:
    with pytest.raises(AssertionError, match="should change nothing, but"):
        laws(Counting).test_stopping_and_going_on_changes_nothing()


def test_an_actor_that_depends_on_the_delay_is_caught() -> None:
    with pytest.raises(AssertionError, match="should give the same"):
        laws(Counting).test_longer_delays_only_shift()


def test_an_actor_that_depends_on_the_order_of_its_inbox_is_caught() -> None:
    rule = ForwardForward()
    suite = OfAll(first_come(wired(rule)), rule.ways)
    with pytest.raises(AssertionError, match=r"handed over should not matter, but: .*answers"):
        suite.test_who_came_first_does_not_matter()
