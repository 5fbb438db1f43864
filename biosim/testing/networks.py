"""What the laws about whole networks share: a small network, small data, a plan of learning."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import hypothesis
import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import Tensor

from biosim.contracts import Actor, Model, Ranks
from biosim.draws import Draws
from biosim.events import Course, Event, Mode, Window
from biosim.ledger import LedgerTotals
from biosim.network import Network, NetworkError, Projection
from biosim.parts import check_parts
from biosim.populations.site import Site
from biosim.ranks import OneRank, PretendRanks
from biosim.simulation import Simulation
from biosim.spiking.description import InShard

SAMPLES, FEATURES, CLASSES = 24, 6, 3
"""Sizes of the data that the laws learn from, unless `data` gives other data."""

LIMIT_S = 60.0
"""How long a pretend rank waits for the others before the test fails."""

few_examples = settings(
    max_examples=4,
    deadline=None,
    # Examples are small as they are; to look for a smaller one takes a run each.
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    # One suite is inherited by many classes, each of which runs the same method.
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)
"""An example is a whole run, of which few say as much as many."""


@dataclass(frozen=True)
class Plan:
    """How a network learns in one example.

    Args:
        epochs: how often every sample is presented.
        batch_size: rows a minibatch.
        pause: ticks between the phases of one minibatch and the next; None for exact timing.
        delays: 0 for the network's own delays; other numbers stand for other delays, which it
            gets if it takes them.
        seed: of every random number.
        parts: in which a minibatch is learnt, if its rows and the network can be cut so.
        replicas: of the network, that share them; 1 on one rank.
        threads: of every rank.
    """

    epochs: int = 2
    batch_size: int = 8
    pause: int | None = None
    delays: int = 0
    seed: int = 0
    parts: int = 1
    replicas: int = 1
    threads: int = 1


def plans(
    epochs: tuple[int, int] = (1, 2),
    pauses: Sequence[int | None] = (None, 0, 2),
    # Some of them leave samples over, one presents a single minibatch.
    batch_sizes: Sequence[int] = (5, 8, 12, 24),
    parts: Sequence[int] = (1, 2, 4),
    replicas: Sequence[int] = (1,),
    threads: Sequence[int] = (1,),
) -> st.SearchStrategy[Plan]:
    """Return the strategy by which hypothesis chooses plans."""
    return st.builds(
        Plan,
        epochs=st.integers(*epochs),
        batch_size=st.sampled_from(batch_sizes),
        pause=st.sampled_from(pauses),
        delays=st.integers(0, 9),
        seed=st.integers(0, 3),
        parts=st.sampled_from(parts),
        replicas=st.sampled_from(replicas),
        threads=st.sampled_from(threads),
    )


@dataclass(frozen=True)
class Outcome:
    """Everything that a run gives; the laws compare it bit for bit.

    Args:
        parameters: {projection: {"weight": ..., "bias": ...}}.
        state: {position of a population: its state, plastic memory included}.
        answers: {way: (n_samples, n_classes)}.
        activity: {population: (n_samples, n_units)}.
        totals: the ledger.
    """

    parameters: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[int, Mapping[str, Any]]
    answers: Mapping[str, Tensor]
    activity: Mapping[str, Tensor]
    totals: LedgerTotals


class NetworkLaws:
    """What a law about networks needs to know. Inherit a law, not this."""

    def network(self) -> Network:
        """Return the network to test: small, with `FEATURES` inputs and `CLASSES` classes."""
        raise NotImplementedError("say which network the laws are to test: define network(self)")

    def data(self) -> tuple[Tensor, Tensor]:
        """Return x (SAMPLES, FEATURES) in [0, 1), and labels (SAMPLES,) of `CLASSES` classes."""
        x = Draws(0, "data of the laws").uniform(np.arange(SAMPLES), FEATURES)
        y = torch.arange(SAMPLES, dtype=torch.uint8) % CLASSES
        return torch.from_numpy(x).float(), y

    def ways(self) -> Mapping[str, Sequence[str]]:
        """Return the ways of answering: name -> phases that are presented."""
        asked = [phase.name for phase in self.network().phases if Mode.ANSWER in phase.modes]
        return {"answer": asked}

    def planned(self, plan: Plan) -> Network:
        """Return the network with the delays of the plan, if it takes others than its own."""
        numbers = random.Random(plan.delays)
        # Windows of one tick, and longer ones.
        least = numbers.choice((1, 3))
        try:
            return with_delays(
                self.network(),
                lambda p: least + numbers.randrange(4) if plan.delays else p.delay,
            )
        except NetworkError:
            return self.network()

    def simulation(
        self, plan: Plan, ranks: Ranks | None = None, network: Network | None = None
    ) -> Simulation:
        """Return a simulation of the network, or of a changed one, that has learnt nothing."""
        network = network or self.planned(plan)
        samples = len(self.data()[0])
        period = None if plan.pause is None else network.learning_ticks + plan.pause
        course = Course(plan.epochs, samples // plan.batch_size, samples)
        parts = 1 if plan.batch_size % plan.parts or self.uncut() else plan.parts
        replicas = plan.replicas if ranks is not None and ranks.size > 1 else 1
        return Simulation(
            network, course, plan.seed, ranks, period=period, threads=plan.threads, parts=parts,
            replicas=replicas,
        )  # fmt: skip

    def uncut(self) -> str | None:
        """Return why the network cannot learn a minibatch in parts; None if it can."""
        try:
            check_parts(self.network(), 2)
        except NetworkError as refused:
            return str(refused)
        return None

    def outcome(self, simulation: Simulation) -> Outcome:
        """Return what this rank has once the learning is over."""
        x, y = self.data()
        # Replicas are alike: if one were not, the others would learn from it.
        state = simulation.snapshot()["actors"] if simulation.share.replica == 0 else {}
        answers = {way: simulation.answer(x, phases) for way, phases in self.ways().items()}
        return Outcome(
            parameters=simulation.parameters(),
            state=state,
            answers={way: scores for way, scores in answers.items() if scores is not None},
            activity=simulation.probe(x, y),
            totals=simulation.ledger_totals(),
        )

    def learnt(self, plan: Plan, ranks: Ranks, network: Network | None = None) -> Outcome:
        """Return what this rank has after learning by plan."""
        x, y = self.data()
        simulation = self.simulation(plan, ranks, network)
        for epoch in range(plan.epochs):
            simulation.learn(x, y, epoch, plan.batch_size)
        return self.outcome(simulation)


def on_ranks(size: int, program: Callable[[Ranks], Outcome]) -> Outcome:
    """Return the outcome of a program that each of so many ranks runs, put together.

    Raises:
        AssertionError: two ranks own the same thing, or got different totals.
    """
    if size == 1:
        return program(OneRank())
    parts = PretendRanks(size, LIMIT_S).run(program)
    totals = parts[0].totals
    if any(part.totals != totals for part in parts):
        raise AssertionError("every rank must get the same totals of the ledger")
    return Outcome(
        parameters=together([part.parameters for part in parts]),
        state=together([part.state for part in parts]),
        answers=together([part.answers for part in parts]),
        activity=together([part.activity for part in parts]),
        totals=totals,
    )


def together(parts: Sequence[Mapping[Any, Any]]) -> dict[Any, Any]:
    """Return the union of what several ranks own.

    Raises:
        AssertionError: two ranks own the same thing.
    """
    union: dict[Any, Any] = {}
    for part in parts:
        if twice := union.keys() & part.keys():
            raise AssertionError(f"two ranks own {sorted(map(str, twice))}; expected one owner")
        union |= part
    return union


def with_delays(network: Network, delay: Callable[[Projection], int]) -> Network:
    """Return the same network with a delay of your choice for each projection, in ticks."""
    return replace(
        network, projections=tuple(replace(p, delay=delay(p)) for p in network.projections)
    )


Advance = Callable[[Window, list[Event]], list[Event]]
Interposed = Callable[[Site, Advance, Window, list[Event]], list[Event]]


def interposed(network: Network, between: Interposed) -> Network:
    """Return the same network with a function between the engine and every actor.

    Args:
        network: the description.
        between: gets the actor's site and its `advance`, the window and the inbox; returns the
            events that the engine is to see. What spikes is left as it is.
    """
    return replace(
        network,
        populations=tuple(
            p if isinstance(p.model, InShard) else replace(p, model=_Interposed(p.model, between))
            for p in network.populations
        ),
    )


@dataclass(frozen=True)
class _Interposed:
    model: Model
    between: Interposed

    def actor(self, site: Site) -> Actor:
        actor = self.model.actor(site)
        actor.advance = partial(self.between, site, actor.advance)  # type: ignore[method-assign]
        return actor

    def check(
        self, name: str, incoming: Sequence[Projection], outgoing: Sequence[Projection]
    ) -> None:
        self.model.check(name, incoming, outgoing)
