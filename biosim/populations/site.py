"""Where an actor is built: its place in the network, its device, and the way out for events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from biosim.contracts import Plasticity
from biosim.events import Course, Event, Kind, Mode, Presentation, Tick
from biosim.ledger import LayerCount
from biosim.locality import Offers
from biosim.network import Network, NetworkError, Population, Projection
from biosim.parts import Share
from biosim.populations.synapses import Synapses
from biosim.wiring import Dense, Tied


@dataclass(frozen=True)
class Site:
    """What the owner of a population knows when it builds the population's actor.

    Args:
        network: the whole description.
        index: position of the population.
        seed: the run's seed.
        course: length of the learning.
        device: where tensors lie.
        dtype: of activity and weights.
        count: the ledger's counts of this population.
        share: the parts of every minibatch that it learns from.
    """

    network: Network
    index: int
    seed: int
    course: Course
    device: torch.device
    dtype: torch.dtype
    count: LayerCount
    share: Share = field(default_factory=Share)

    @property
    def population(self) -> Population:
        """The population itself."""
        return self.network.populations[self.index]

    def afferents(self, receptor: str) -> list[tuple[int, Projection]]:
        """Return the projections that end at this receptor, with their positions."""
        return [
            (i, projection)
            for i, projection in enumerate(self.network.projections)
            if projection.target == self.population.name and projection.receptor == receptor
        ]

    def synapses(self, receptor: str) -> dict[int, Synapses]:
        """Return the dense synapses that end at this receptor, by projection."""
        made = {}
        for i, projection in self.afferents(receptor):
            if isinstance(projection.weights, Dense):
                made[i] = self.dense(
                    projection.name,
                    projection.weights,
                    projection.plasticity,
                    self.population.size,
                    self.network.size(projection.source),
                )
        return made

    def dense(
        self, name: str, weights: Dense, plasticity: Plasticity | None, n_post: int, n_pre: int
    ) -> Synapses:
        """Return dense synapses on this site's device: weights (n_post, n_pre)."""
        return Synapses(
            name, weights, plasticity, n_post, n_pre, self.seed, self.device, self.dtype
        )

    def outlets(
        self, synapses: Callable[[], dict[int, Synapses]] = dict
    ) -> dict[str, list[Outlet]]:
        """Return the ways out, by the variable that is carried.

        Args:
            synapses: how to get the population's own, whose weights its tied projections use.
                They are asked for at every sending: a restored population has new ones.

        Raises:
            NetworkError: a projection is tied to weights that the population does not have.
        """
        outlets: dict[str, list[Outlet]] = {}
        phases = [phase.name for phase in self.network.phases]
        for i, projection in enumerate(self.network.projections):
            if projection.source != self.population.name:
                continue
            tied = None
            if isinstance(projection.weights, Tied):
                to = projection.weights.to
                if self.network.projection_at[to] not in synapses():
                    raise NetworkError(
                        f"projection {projection.name!r} is tied to {to!r}; population "
                        f"{self.population.name!r} does not hold its weights"
                    )
                tied = partial(_weight, synapses, self.network.projection_at[to])
            outlets.setdefault(projection.carries, []).append(
                Outlet(
                    projection=i,
                    kind=projection.kind,
                    source=self.index,
                    target=self.network.population_at[projection.target],
                    delay=projection.delay,
                    open_at=frozenset(
                        (mode, phases.index(phase))
                        for mode in projection.modes
                        for phase in projection.phases or phases
                    ),
                    tied=tied,
                    count=self.count,
                )
            )
        return outlets

    def modes_of(self, receptor: str) -> dict[tuple[Mode, int], int]:
        """Return how many arrivals the receptor waits for, by mode and phase."""
        phases = self.network.phases
        expected = {(mode, phase): 0 for mode in Mode for phase in range(len(phases))}
        for _, projection in self.afferents(receptor):
            for mode, phase in expected:
                if mode in projection.modes and phases[phase].name in (
                    projection.phases or [p.name for p in phases]
                ):
                    expected[mode, phase] += 1
        return expected


@dataclass(frozen=True, slots=True)
class Outlet:
    """One projection, seen from its source."""

    projection: int
    kind: Kind
    source: int
    target: int
    delay: int
    open_at: frozenset[tuple[Mode, int]]
    tied: Callable[[], Tensor] | None
    count: LayerCount

    def send(self, now: Tick, at: Presentation, payload: Tensor | None, out: list[Event]) -> None:
        """Append the event to `out`, if the projection is open in this mode and phase."""
        if (at.mode, at.phase) not in self.open_at:
            return
        if self.tied is not None and payload is not None:
            weight = self.tied()
            if at.mode == Mode.LEARN:
                self.count.feedback += payload.shape[0] * weight.numel()
            payload = payload @ weight
        out.append(
            Event(
                now + self.delay, self.kind, self.source, self.target, self.projection, at, payload
            )
        )


def _weight(synapses: Callable[[], dict[int, Synapses]], projection: int) -> Tensor:
    return synapses()[projection].weight


def require(
    name: str,
    model: str,
    incoming: Sequence[Projection],
    outgoing: Sequence[Projection],
    has: tuple[str, ...],
    sends: tuple[str, ...],
    weighted: tuple[str, ...] = (),
    offers: Offers | None = None,
) -> None:
    """Check the projections of a population against what its kind has.

    Raises:
        NetworkError: a receptor or variable is used that it does not have, or dense weights end
            at a receptor other than those that are `weighted`.
        LocalityError: a plasticity declares what the population does not offer.
    """
    receptors = {projection.receptor for projection in incoming}
    carried = {projection.carries for projection in outgoing}
    for used, known, what in ((receptors, has, "receptor"), (carried, sends, "variable")):
        for unknown in sorted(used - set(known)):
            raise NetworkError(
                f"population {name!r} ({model}) has no {what} {unknown!r}; "
                f"it has {', '.join(known) or 'none'}"
            )
    for projection in incoming:
        if isinstance(projection.weights, Dense) and projection.receptor not in weighted:
            raise NetworkError(
                f"projection {projection.name!r} has dense weights and ends on {name!r} ({model}) "
                f"at {projection.receptor!r}; there are synapses at {', '.join(weighted) or 'none'}"
            )
        if projection.plasticity is not None and offers is not None:
            offers.check(name, type(projection.plasticity).__name__, projection.plasticity.reads)
