"""What a learning sample costs, from the description: nothing is drawn, nothing is multiplied.

The network is walked through one learning minibatch with numbers of rows in place of tensors, so
that rows, bytes and multiply-adds come out as the ledger counts them afterwards, and the tick of
each. What passes through spiking populations is not in it: adapters send on what they get.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from biosim.contracts import Plasticity
from biosim.events import Mode, Tick
from biosim.locality import axis_shape
from biosim.network import Network, Phase, Projection
from biosim.populations.denoising import Denoising
from biosim.populations.graded import SENT_FORWARD, Graded
from biosim.populations.judge import Judge
from biosim.populations.settling import END, FREE, NUDGED, Settling
from biosim.populations.source import Source
from biosim.spiking.description import InShard
from biosim.wiring import Dense, Tied

POSITION_BYTES = 4
"""Of the position of a sample in the data set."""

LABEL_BYTES = 1
"""Of a label, of which there are at most 256."""


class Block(NamedTuple):
    """Dense weights (n_post, n_pre), whether there is a bias, and how they change."""

    n_post: int
    n_pre: int
    bias: bool
    plasticity: Plasticity | None

    @property
    def sizes(self) -> list[int]:
        """Numbers of the weights, and of the bias if there is one."""
        return [self.n_post * self.n_pre, *([self.n_post] if self.bias else [])]

    @property
    def numbers(self) -> int:
        """How many numbers are kept: weights, bias, and the plasticity's own variables."""
        kept = sum(self.sizes)
        if self.plasticity is not None:
            for axis in self.plasticity.memory.values():
                count = 1
                for length in axis_shape(axis, self.n_pre, self.n_post):
                    count *= length
                kept += count
        return kept


@dataclass
class Work:
    """Multiply-adds of a population for a learning sample, as in the ledger."""

    forward: int = 0
    feedback: int = 0
    plasticity: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.forward + self.feedback + self.plasticity


class _Arrival(NamedTuple):
    tick: Tick
    kind: int
    source: int
    target: int
    projection: int
    phase: int
    rows: int


@dataclass
class _Visit:
    """What a graded population has of a phase: what came, and what it keeps."""

    basal: dict[int, int] = field(default_factory=dict)
    apical: int = 0
    active: bool = False
    held: int = 0


class Rehearsal:
    """One learning minibatch of one sample.

    Args:
        network: the description.
        number_bytes: of activity and weights: 4 or 8.

    Attributes:
        work: of each population.
        sent_bytes: that cross each projection.
        sent_events: how many events cross each projection.
        steps: (tick, population) -> multiply-adds.
        held: (tick, population) -> bytes that are kept from this tick to the next.
        learnt: for each time that synapses learn together, their population, and the numbers
            of each tensor that they learn.
    """

    def __init__(self, network: Network, number_bytes: int = 4) -> None:
        self.network, self._number = network, number_bytes
        self.work = [Work() for _ in network.populations]
        self.sent_bytes = [0] * len(network.projections)
        self.sent_events = [0] * len(network.projections)
        self.steps: dict[tuple[Tick, int], int] = {}
        self.held: dict[tuple[Tick, int], int] = {}
        self.learnt: list[tuple[int, list[int]]] = []
        self._visits: dict[tuple[int, int], _Visit] = {}
        self._settling: dict[int, _Settled] = {}
        self._waiting: list[_Arrival] = []
        self._leaving: dict[int, list[int]] = {}
        self._ending: dict[int, list[int]] = {}
        at = network.population_at
        for i, projection in enumerate(network.projections):
            if not isinstance(network.populations[at[projection.target]].model, InShard):
                self._leaving.setdefault(at[projection.source], []).append(i)
                self._ending.setdefault(at[projection.target], []).append(i)
        for i, population in enumerate(network.populations):
            if isinstance(population.model, Source):
                self._present(i)
        last = 0
        while self._waiting:
            arrival = heapq.heappop(self._waiting)
            self._keep(last, arrival.tick)
            last = arrival.tick
            self._arrive(arrival)
        self._keep(last, last + 1)

    @property
    def ticks(self) -> int:
        """Ticks from the beginning of the minibatch until everything is dealt with."""
        return 1 + max((tick for tick, _ in self.steps), default=0)

    def _present(self, source: int) -> None:
        for at, phase in enumerate(self.network.phases):
            if Mode.LEARN in phase.modes:
                for i in self._leaving.get(source, ()):
                    one = self.network.projections[i].carries in ("phase", "label")
                    self._send(phase.start, i, at, 1 if one else len(phase.polarity))

    def _send(self, now: Tick, i: int, at: int, rows: int) -> None:
        projection = self.network.projections[i]
        if not _open(projection, self.network.phases[at]):
            return
        ends = self.network.population_at
        source, target = ends[projection.source], ends[projection.target]
        if isinstance(projection.weights, Tied):
            size = self.network.populations[source].size * self.network.populations[target].size
            self._count(now, source, "feedback", rows * size)
        self.sent_events[i] += 1
        self.sent_bytes[i] += rows * self._row_bytes(projection)
        arrival = _Arrival(now + projection.delay, projection.kind, source, target, i, at, rows)
        heapq.heappush(self._waiting, arrival)

    def _send_all(self, now: Tick, source: int, at: int, rows: int, carries: str = "") -> None:
        for i in self._leaving.get(source, ()):
            if not carries or self.network.projections[i].carries == carries:
                self._send(now, i, at, rows)

    def _row_bytes(self, projection: Projection) -> int:
        if projection.carries == "label":
            return LABEL_BYTES
        if projection.carries == "phase":
            return POSITION_BYTES
        if projection.carries == "goodness":
            return self._number
        end = projection.target if isinstance(projection.weights, Tied) else projection.source
        return self._number * self.network.size(end)

    def _count(self, now: Tick, population: int, what: str, many: int) -> None:
        work = self.work[population]
        setattr(work, what, getattr(work, what) + many)
        self.steps[now, population] = self.steps.get((now, population), 0) + many

    def _arrive(self, arrival: _Arrival) -> None:
        model = self.network.populations[arrival.target].model
        if isinstance(model, Graded):
            self._graded(arrival)
        elif isinstance(model, Settling):
            self._settle(arrival)
        elif isinstance(model, Denoising):
            self._denoise(arrival, model)
        elif not isinstance(model, Source | Judge):
            self._send_all(arrival.tick, arrival.target, arrival.phase, arrival.rows)

    def _expected(self, population: int, at: int, *receptors: str) -> int:
        return sum(
            _open(self.network.projections[i], self.network.phases[at])
            and self.network.projections[i].receptor in receptors
            for i in self._ending.get(population, ())
        )

    def _dense(self, i: int) -> int:
        """Return the multiply-adds of a row at a projection's weights, 0 without any."""
        projection = self.network.projections[i]
        if not isinstance(projection.weights, Dense):
            return 0
        return self.network.size(projection.source) * self.network.size(projection.target)

    def _graded(self, arrival: _Arrival) -> None:
        tick, me, at, rows = arrival.tick, arrival.target, arrival.phase, arrival.rows
        projection = self.network.projections[arrival.projection]
        visit = self._visits.setdefault((me, at), _Visit())
        above = self._expected(me, at, "apical", "target")
        visit.held += rows * self._row_bytes(projection)
        if projection.receptor == "basal":
            visit.basal[arrival.projection] = rows
            if len(visit.basal) == self._expected(me, at, "basal"):
                visit.active = True
                for i, came in visit.basal.items():
                    self._count(tick, me, "forward", came * self._dense(i))
                copies = 2 if self._keeps_drive(me) else 1
                size = self.network.populations[me].size
                visit.held += copies * rows * self._number * size
                for carries in SENT_FORWARD:
                    self._send_all(tick, me, at, rows, carries)
                self._learn(tick, me, at, visit, "activity")
        else:
            visit.apical += 1
            if projection.receptor == "apical":
                self._count(tick, me, "feedback", rows * self._dense(arrival.projection))
        if visit.active and visit.apical == above:
            if above:
                self._send_all(tick, me, at, max(visit.basal.values()), "delta")
            self._learn(tick, me, at, visit, "apical")
            del self._visits[me, at]

    def _keeps_drive(self, me: int) -> bool:
        learning = (self.network.projections[i].plasticity for i in self._ending[me])
        return any({"drive", "share"} & {*p.reads.post} for p in learning if p is not None)

    def _learn(self, tick: Tick, me: int, at: int, visit: _Visit, moment: str) -> None:
        name, woken = self.network.phases[at].name, []
        for i, rows in visit.basal.items():
            projection = self.network.projections[i]
            plasticity = projection.plasticity
            wakes = plasticity is not None and plasticity.reads.on == moment
            if wakes and (projection.learns is None or name in projection.learns):
                self._count(tick, me, "plasticity", rows * self._dense(i))
                woken.append(i)
        self._together(me, [_block(self.network, i) for i in woken])

    def _together(self, me: int, blocks: Iterable[Block]) -> None:
        sizes = [size for block in blocks for size in block.sizes]
        if sizes:
            self.learnt.append((me, sizes))

    def _settle(self, arrival: _Arrival) -> None:
        tick, me, at, rows = arrival.tick, arrival.target, arrival.phase, arrival.rows
        projection = self.network.projections[arrival.projection]
        settled = self._settling.setdefault(me, _Settled())
        if projection.receptor == "phase":
            self._begin(tick, me, self.network.phases[at], at)
        elif projection.receptor == "target":
            settled.label = LABEL_BYTES
        else:
            self._count(tick, me, "forward", rows * self._dense(arrival.projection))
            # What came, and the drive that it gives.
            drive = self._number * self.network.populations[me].size
            settled.came[arrival.projection] = self._row_bytes(projection) + drive

    def _begin(self, tick: Tick, me: int, phase: Phase, at: int) -> None:
        settled = self._settling.setdefault(me, _Settled())
        parts = len(phase.polarity)
        if phase.name in (FREE, NUDGED):
            settled.parts = parts
            for now in range(tick, tick + phase.ticks):
                self._send_all(now, me, at, parts, "rate")
        elif phase.name == END:
            plastic = [
                i for i in self._ending[me] if self.network.projections[i].plasticity is not None
            ]
            for i in plastic:
                self._count(tick, me, "plasticity", parts * self._dense(i))
            self._together(me, [_block(self.network, i) for i in plastic])
            settled.came, settled.label, settled.parts = {}, 0, 0

    def _denoise(self, arrival: _Arrival, model: Denoising) -> None:
        tick, me, at = arrival.tick, arrival.target, arrival.phase
        visit = self._visits.setdefault((me, at), _Visit())
        visit.apical += 1
        if visit.apical < self._expected(me, at, "image", "target", "state"):
            return
        del self._visits[me, at]
        own = list(inside(model, self.network.populations[me].size))
        self._together(me, own)
        blocks = [b.n_post * b.n_pre for b in own]
        self._count(tick, me, "forward", sum(blocks))
        self._count(tick, me, "feedback", sum(blocks[2:]))
        self._count(tick, me, "plasticity", sum(blocks))

    def _keep(self, start: Tick, end: Tick) -> None:
        """Note what is held from the tick `start` on, until `end`."""
        kept: dict[int, int] = {}
        for (me, _), visit in self._visits.items():
            kept[me] = kept.get(me, 0) + visit.held
        for me, settled in self._settling.items():
            own = self._number * self.network.populations[me].size
            kept[me] = settled.parts * (own + settled.label + sum(settled.came.values()))
        for me, held in kept.items():
            for tick in range(start, end):
                self.held[tick, me] = held


@dataclass
class _Settled:
    """What a settling population keeps, in bytes a row, and how many rows side by side."""

    came: dict[int, int] = field(default_factory=dict)
    label: int = 0
    parts: int = 0


def inside(model: Denoising, classes: int) -> Iterator[Block]:
    """Yield the weights in a denoising block: image, state, joint, out."""
    image, state = model.branch
    for n_post, n_pre in (
        (image, model.inputs), (state, classes), (model.joint, image + state),
        (classes, model.joint),
    ):  # fmt: skip
        yield Block(n_post, n_pre, True, model.plasticity)


def dense_of(network: Network, population: int) -> list[Block]:
    """Return the dense weights that a population owns."""
    owner = network.populations[population]
    found = [
        _block(network, i)
        for i, p in enumerate(network.projections)
        if p.target == owner.name and isinstance(p.weights, Dense)
    ]
    if isinstance(owner.model, Denoising):
        found += inside(owner.model, owner.size)
    return found


def _block(network: Network, i: int) -> Block:
    """Return the dense weights of a projection."""
    p = network.projections[i]
    assert isinstance(p.weights, Dense)
    return Block(network.size(p.target), network.size(p.source), p.weights.bias, p.plasticity)


def _open(projection: Projection, phase: Phase) -> bool:
    """Return whether it carries anything in a phase while the network learns."""
    learns = Mode.LEARN in projection.modes and Mode.LEARN in phase.modes
    return learns and (projection.phases is None or phase.name in projection.phases)
