"""One population by itself: its actor, what arrives, and what its plasticity sees."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from biosim.contracts import Actor, Memory, Model
from biosim.events import Course, Event, Mode, Presentation, Window
from biosim.ledger import LayerCount
from biosim.locality import Axis, Local, Reads
from biosim.network import Network, Pathway, Phase, Population, Projection
from biosim.populations import Source
from biosim.populations.site import Site

AT = Presentation(0, 0, 0, Mode.LEARN)
ABOVE, BELOW, HERE = "above", "below", "here"
FLOAT = torch.float64


@dataclass(frozen=True)
class Anything:
    """A population that may receive and send whatever a test likes; it is never advanced."""

    def actor(self, site: Site) -> Actor:
        raise NotImplementedError

    def check(self, name, incoming, outgoing) -> None:
        pass


@dataclass(frozen=True)
class Spy:
    """A plasticity that changes nothing and keeps all that it sees."""

    reads: Reads
    seen: list[Local] = field(default_factory=list)

    @property
    def memory(self) -> Mapping[str, Axis]:
        return {}

    def update(self, seen: Local, memory: Memory) -> tuple[Mapping[str, Tensor], Memory]:
        self.seen.append(seen)
        return {"weight": torch.zeros((), dtype=FLOAT)}, memory


def network(
    model: Model,
    *projections: Projection,
    size: int = 4,
    phases: tuple[Phase, ...] = (Phase("forward"),),
    source: Source | None = None,
) -> Network:
    """The population `here`, of 4 neurons, between `below`, of 3, and `above`, of 2."""
    return Network(
        populations=(
            Population(BELOW, 3, source or Anything()),
            Population(HERE, size, model),
            Population(ABOVE, 2, Anything()),
        ),
        projections=projections,
        pathways=(Pathway("all", tuple(p.name for p in projections), "whatever is not activity"),),
        phases=phases,
    )


def built(wired: Network, name: str = HERE, seed: int = 0, course: Course | None = None) -> Actor:
    """The actor of a population; its counts are at `actor.count`."""
    count = LayerCount()
    at = wired.population_at[name]
    course = course or Course(1, 4, 12)
    site = Site(wired, at, seed, course, torch.device("cpu"), FLOAT, count)
    actor = wired.populations[at].model.actor(site)
    actor.count = count
    return actor


def arriving(
    wired: Network, name: str, payload: Tensor | None, tick: int = 1, at: Presentation = AT
) -> Event:
    """An event on the projection of that name."""
    i = wired.projection_at[name]
    projection = wired.projections[i]
    ends = wired.population_at[projection.source], wired.population_at[projection.target]
    return Event(tick, projection.kind, *ends, i, at, payload)


def advanced(actor: Actor, *inbox: Event, tick: int = 1) -> list[Event]:
    """What the actor sends in the window of one tick."""
    return actor.advance(Window(tick, tick + 1), list(inbox))


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers that a test can have again."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=FLOAT)
