"""The description of a network: populations, projections, pathways, phases. Immutable.

A description knows nothing of ranks, devices or time; it is checked once, when it is made, and
every rank builds from it only what it owns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from biosim.contracts import Model, Plasticity
from biosim.errors import BiosimError
from biosim.events import Kind, Mode
from biosim.spiking.description import Adapter, InShard, Sparse, Stimulus
from biosim.wiring import Dense, Tied


class NetworkError(BiosimError):
    """A network description contradicts itself."""


@dataclass(frozen=True)
class Population:
    """Neurons of one kind that are computed together.

    Args:
        name: unique in the network; the name of its traces.
        size: number of neurons, at least 1.
        model: what kind of neurons they are.
    """

    name: str
    size: int
    model: Model | InShard


@dataclass(frozen=True)
class Phase:
    """A stretch of a presentation in which the source sends something of its own.

    Args:
        name: unique in the network.
        start: ticks after the presentation's first at which the source sends.
        ticks: how many ticks the phase takes.
        polarity: signs of the equal parts of the rows that are presented side by side:
            (1, -1) sends positive rows, then as many negative ones, in one event.
        modes: in which modes the phase happens.
    """

    name: str
    start: int = 0
    ticks: int = 1
    polarity: tuple[int, ...] = (1,)
    modes: tuple[Mode, ...] = (Mode.LEARN, Mode.ANSWER, Mode.PROBE)


@dataclass(frozen=True)
class Projection:
    """Where a variable of one population goes, and what happens to it there.

    Args:
        name: unique in the network.
        source: name of the population that sends.
        target: name of the population that receives and owns the synapses.
        carries: the variable of the source that is sent.
        receptor: the input of the target at which it arrives.
        kind: the kind of its events.
        delay: ticks between sending and arrival, at least 1.
        weights: `Dense` weights at the target, `Tied` weights at the source, `Sparse` synapses
            of spikes at the target, or None: the payload arrives as it is.
        plasticity: how the dense weights change; None if they do not.
        modes: in which modes it carries anything.
        phases: names of the phases in which it carries anything; None for all.
        learns: names of the phases in which its plasticity wakes; None for all.
    """

    name: str
    source: str
    target: str
    carries: str
    receptor: str
    kind: Kind = Kind.ACTIVITY
    delay: int = 1
    weights: Dense | Tied | Sparse | None = None
    plasticity: Plasticity | None = None
    modes: tuple[Mode, ...] = (Mode.LEARN, Mode.ANSWER, Mode.PROBE)
    phases: tuple[str, ...] | None = None
    learns: tuple[str, ...] | None = None

    @classmethod
    def of_spikes(
        cls,
        source: str,
        target: str,
        receptor: str,
        synapses: Sparse,
        delay: int = 1,
        name: str | None = None,
    ) -> Projection:
        """Return a projection of spikes onto a variable of the target's equations.

        Args:
            source: name of the population whose spikes it brings.
            target: name of the population with the variable.
            receptor: the variable to which weights are added.
            synapses: who is joined to whom, with which weights, delays and plasticity.
            delay: ticks, at least 1, where `synapses` has no delays of its own.
            name: unique in the network; "source-target" if it is not given.
        """
        name = f"{source}-{target}" if name is None else name
        return cls(name, source, target, "spikes", receptor, Kind.SPIKE, delay, synapses)


@dataclass(frozen=True)
class Pathway:
    """A named set of projections by which something distant enters a layer.

    Args:
        name: what it brings, such as "error".
        projections: names of the projections it is made of.
        meaning: one line for the card.
    """

    name: str
    projections: tuple[str, ...]
    meaning: str


@dataclass(frozen=True)
class Network:
    """Populations in the order of the forward pass, and how they are wired.

    Args:
        populations: in the order of the forward pass.
        projections: what goes from where to where.
        pathways: the doors for what is distant.
        phases: of a presentation.
        dt: length of a tick in seconds, where there are spiking populations.
        stimuli: what drives spiking populations from outside.

    Raises:
        NetworkError: a name is used twice or unknown, a delay or phase is not of whole ticks, a
            population has no neurons, a tied projection does not mirror the one it is tied to,
            a plasticity has no weights of its own, what spikes meets what does not without an
            adapter, something other than activity enters a learning layer by no pathway, or a
            population's model refuses its wiring.
    """

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    pathways: tuple[Pathway, ...] = ()
    phases: tuple[Phase, ...] = (Phase("forward"),)
    dt: float | None = None
    stimuli: tuple[Stimulus, ...] = ()

    def __post_init__(self) -> None:
        for names, what in (
            ([p.name for p in self.populations], "population"),
            ([p.name for p in self.projections], "projection"),
            ([p.name for p in self.phases], "phase"),
            ([s.name for s in self.stimuli], "input"),
        ):
            for name in names:
                if names.count(name) > 1:
                    raise NetworkError(
                        f"two {what}s are named {name!r}; give each a name of its own"
                    )
        for phase in self.phases:
            if not (whole(phase.start, 0) and whole(phase.ticks, 1) and phase.polarity):
                raise NetworkError(
                    f"phase {phase.name!r} starts at {phase.start}, takes {phase.ticks} ticks and "
                    f"has polarity {phase.polarity}; expected whole ticks from 0, at least 1, and "
                    "a sign"
                )
        for population in self.populations:
            if population.size < 1:
                raise NetworkError(
                    f"population {population.name!r} has {population.size} neurons; "
                    "expected at least 1"
                )
        for projection in self.projections:
            self._check(projection)
        for pathway in self.pathways:
            for name in pathway.projections:
                if name not in self.projection_at:
                    raise NetworkError(
                        f"pathway {pathway.name!r} names projection {name!r}; "
                        f"the network has {', '.join(self.projection_at)}"
                    )
        led = {name for pathway in self.pathways for name in pathway.projections}
        senders = {projection.source for projection in self.projections}
        for projection in self.projections:
            # What ends where nothing goes on, as scores do at a judge, cannot reach a synapse.
            near = projection.kind in (Kind.ACTIVITY, Kind.SPIKE)
            distant = not near and projection.target in senders
            if distant and Mode.LEARN in projection.modes and projection.name not in led:
                raise NetworkError(
                    f"projection {projection.name!r} brings {projection.kind.name.lower()} events "
                    "while the network learns, but belongs to no pathway; add it to one: a "
                    "pathway is the only door for what is distant"
                )
        for population in self.populations:
            population.model.check(
                population.name,
                [p for p in self.projections if p.target == population.name],
                [p for p in self.projections if p.source == population.name],
            )

    @cached_property
    def population_at(self) -> dict[str, int]:
        """Position of each population, by name."""
        return {population.name: i for i, population in enumerate(self.populations)}

    @cached_property
    def projection_at(self) -> dict[str, int]:
        """Position of each projection, by name."""
        return {projection.name: i for i, projection in enumerate(self.projections)}

    def size(self, name: str) -> int:
        """Return the number of neurons of the population of that name."""
        return self.populations[self.population_at[name]].size

    @property
    def shortest_delay(self) -> int:
        """The smallest delay of any projection: how long a window may be."""
        return min((least_delay(projection) for projection in self.projections), default=1)

    @property
    def learning_ticks(self) -> int:
        """How many ticks the phases of one learning presentation take."""
        return max(
            (phase.start + phase.ticks for phase in self.phases if Mode.LEARN in phase.modes),
            default=1,
        )

    def delayed(self, ticks: int) -> Network:
        """Return the same network with every projection's delay as given.

        Raises:
            NetworkError: the delay is below one tick, or a population needs another.
        """
        return replace(self, projections=tuple(replace(p, delay=ticks) for p in self.projections))

    def plasticities(self, name: str) -> list[Plasticity]:
        """Return the plasticities of a population's synapses, on its projections and inside."""
        population = self.populations[self.population_at[name]]
        inside = getattr(population.model, "plasticity", None)
        ending = [p.plasticity for p in self.projections if p.target == name]
        return [plasticity for plasticity in (*ending, inside) if plasticity is not None]

    def tied(self) -> list[Projection]:
        """Return the projections that use another one's weights."""
        return [p for p in self.projections if isinstance(p.weights, Tied)]

    def _check(self, projection: Projection) -> None:
        name = projection.name
        for end in (projection.source, projection.target):
            if end not in self.population_at:
                raise NetworkError(
                    f"projection {name!r} names population {end!r}; "
                    f"the network has {', '.join(self.population_at)}"
                )
        if not whole(projection.delay, 1):
            raise NetworkError(
                f"projection {name!r} has a delay of {projection.delay} ticks; "
                "expected a whole number, at least 1: every event takes time"
            )
        for phase in (*(projection.phases or ()), *(projection.learns or ())):
            if phase not in {p.name for p in self.phases}:
                raise NetworkError(
                    f"projection {name!r} names phase {phase!r}; "
                    f"the network has {', '.join(p.name for p in self.phases)}"
                )
        self._check_meeting(projection)
        if projection.plasticity is not None and not isinstance(projection.weights, Dense):
            raise NetworkError(
                f"projection {name!r} has a plasticity but no dense weights of its own"
            )
        if isinstance(projection.weights, Tied):
            to = projection.weights.to
            other = self.projections[self.projection_at[to]] if to in self.projection_at else None
            if (
                other is None
                or not isinstance(other.weights, Dense)
                or (other.target, other.source) != (projection.source, projection.target)
            ):
                raise NetworkError(
                    f"projection {name!r} is tied to {to!r}; expected a dense projection "
                    f"from {projection.target!r} to {projection.source!r}"
                )

    def _check_meeting(self, projection: Projection) -> None:
        """Between what spikes and what does not, there are adapters only."""
        source, target = (
            self.populations[self.population_at[end]]
            for end in (projection.source, projection.target)
        )
        sends, gets = isinstance(source.model, InShard), isinstance(target.model, InShard)
        said = f"projection {projection.name!r} from {source.name!r} to {target.name!r}"
        weights = "no" if projection.weights is None else type(projection.weights).__name__
        if sends and gets:
            if not isinstance(projection.weights, Sparse):
                raise NetworkError(f"{said} has {weights} weights; both spike: give it Sparse ones")
            return
        if isinstance(projection.weights, Sparse):
            raise NetworkError(f"{said} has Sparse weights; expected two populations that spike")
        encoded = isinstance(source.model, Adapter) and source.model.to_spikes is not None
        counted = isinstance(target.model, Adapter) and target.model.from_spikes is not None
        if (gets and not encoded) or (sends and not counted):
            raise NetworkError(
                f"{said} joins what spikes to what does not; put an adapter between them: a "
                "RateEncoder towards what spikes, a SpikeCounter behind it"
            )
        if isinstance(source.model, Adapter) and encoded:
            only = source.model.to_spikes
            if (projection.carries == only) != gets:
                raise NetworkError(
                    f"{said} carries {projection.carries!r}; an adapter sends {only!r} to "
                    "populations that spike, and to no others"
                )
        if isinstance(target.model, Adapter) and counted:
            only = target.model.from_spikes
            if (projection.receptor == only) != sends:
                raise NetworkError(
                    f"{said} ends at {projection.receptor!r}; what spikes ends at {only!r} of an "
                    "adapter, and nothing else does"
                )
        if (sends or gets) and projection.weights is not None:
            raise NetworkError(
                f"{said} has {weights} weights; to and from what spikes an adapter has none"
            )
        if (sends or gets) and source.size != target.size:
            raise NetworkError(
                f"{said} joins {source.size} neurons to {target.size}; an adapter has as many as "
                "the spiking population that it is joined to"
            )


def least_delay(projection: Projection) -> int:
    """Return the smallest delay in ticks; 1 where every synapse has its own."""
    own = isinstance(projection.weights, Sparse) and projection.weights.delay is not None
    return 1 if own else projection.delay


def whole(ticks: int, least: int) -> bool:
    """Return whether it is an integer of at least `least`."""
    return isinstance(ticks, int) and ticks >= least
