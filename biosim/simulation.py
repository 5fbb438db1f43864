"""A simulation: the part of a network that one rank owns, and the engine that advances it.

Layered populations are actors of their own, each on one rank. Everything that spikes is one
actor a rank, its `Machine`, which owns blocks of neurons of every spiking population. Adapters
(`biosim.populations.adapters`) join the two: spiking populations move for as long as anything is
presented, and stand still once everyone else has nothing left to do.

Replicas are whole networks, each on ranks of its own, that share out the parts of a minibatch
(`biosim.parts`). They go through the same windows, and are one run: only the first has a judge,
to which the answers of all go, and speaks for all where they are alike.

Every rank makes the same calls with the same arguments. Samples are used by the rank that owns
the source; answers are returned by the rank that owns the judge, and are None elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from biosim.contracts import Actor, Ranks
from biosim.draws import Draws
from biosim.engine import Engine
from biosim.events import NEVER, Course, Mode, Tick
from biosim.ledger import Ledger, LedgerTotals
from biosim.network import Network, NetworkError
from biosim.parts import Share, check_parts, check_rows
from biosim.placement import placed
from biosim.populations.adapters import RateEncoder
from biosim.populations.judge import Judge, JudgeActor
from biosim.populations.site import Site
from biosim.populations.source import Reel, Source, SourceActor
from biosim.ranks import OneRank
from biosim.spiking.description import InShard, Sparse
from biosim.spiking.recording import Recording, Sink

if TYPE_CHECKING:
    from biosim.kernels.emit import Precision
    from biosim.spiking.machine import Machine

WINDOW = 1000
"""Ticks of a window where no delay between actors asks for less: what is recorded is kept in
memory so long."""

ANSWER_ROWS = 1000
"""Samples a minibatch when the network only answers."""


class PausedError(Exception):
    """A rank was asked to pause while the network answered; what was under way is of no use."""


class Simulation:
    """One rank's part of a network.

    Making one sets torch to one thread in the whole process: a product that is cut over several
    threads adds up in another order, and gives other bits.

    Args:
        network: the description.
        course: epochs, minibatches an epoch, samples; None where nothing is presented.
        seed: of every random number.
        ranks: how this rank talks to the others.
        device: where tensors lie.
        dtype: of activity, weights, and the state of spiking neurons.
        period: ticks from one learning minibatch to the next; None waits until everything that
            follows from a minibatch has happened, which is the textbook algorithm.
        threads: of this rank: they share the neurons that spike, and take different layers, but
            for those of replicas, which take turns.
        recording: what of spiking populations is recorded.
        sink: takes what is recorded.
        parts: in which every minibatch is learnt; they are side by side in time.
        overlap: whether ranks compute half of the shortest delay while spikes of the half before
            travel; None tries both and keeps what is faster. No result depends on it.
        replicas: of the network, that learn so many parts each. Ranks are dealt out to them in
            runs, over each of which the layers of a replica are spread.

    Raises:
        NetworkError: the period is shorter than the phases of a presentation, the network cannot
            be learnt in so many parts or by so many replicas, or spiking populations are
            described wrongly.
        EquationError: equations cannot be taken.
    """

    def __init__(
        self,
        network: Network,
        course: Course | None = None,
        seed: int = 0,
        ranks: Ranks | None = None,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        period: int | None = None,
        threads: int = 1,
        recording: Recording | None = None,
        sink: Sink | None = None,
        parts: int = 1,
        replicas: int = 1,
        overlap: bool | None = None,
    ) -> None:
        if period is not None and period < network.learning_ticks:
            raise NetworkError(
                f"got a period of {period} ticks; the phases of a presentation take "
                f"{network.learning_ticks}: ask for at least that, or for exact timing"
            )
        torch.set_num_threads(1)
        self.network = network
        self.course = course or Course(1, 1, 1)
        self.ranks = ranks or OneRank()
        check_parts(network, parts, replicas, self.ranks.size)
        self._each = each = self.ranks.size // replicas
        replica, place = divmod(self.ranks.rank, each)
        copies = range(place, self.ranks.size, each)
        self.share = Share(parts, replicas, replica, self.ranks, copies)
        self._hubs = [i for i, p in enumerate(network.populations) if isinstance(p.model, Judge)]
        self.owner = [
            rank + (0 if i in self._hubs else replica * each)
            for i, rank in enumerate(placed(network, each))
        ]
        self.ledger = Ledger(network, first=replica == 0)
        self._seed, self.device = seed, device
        self._period = period
        self.machine = self._machine(threads, dtype, recording, sink)
        self._actors: dict[int, Actor] = {}
        where = torch.device(device)
        for i, population in enumerate(network.populations):
            if self.owner[i] == self.ranks.rank and not isinstance(population.model, InShard):
                count = self.ledger.layers[i]
                site = Site(network, i, seed, self.course, where, dtype, count, self.share)
                self._actors[i] = population.model.actor(site)
        self.engine = self._engine(threads, overlap)
        self._sources = [a for a in self._actors.values() if isinstance(a, SourceActor)]
        self._judges = [a for a in self._actors.values() if isinstance(a, JudgeActor)]

    def _machine(
        self, threads: int, dtype: torch.dtype, recording: Recording | None, sink: Sink | None
    ) -> Machine | None:
        if threads < 1:
            raise NetworkError(f"got {threads} threads; expected at least 1")
        if not any(isinstance(p.model, InShard) for p in self.network.populations):
            return None
        # Only a network that spikes needs Brian2's parser and the kernels' compiler.
        from biosim.spiking.layout import Layout
        from biosim.spiking.machine import Machine

        precision: Precision = "float64" if dtype == torch.float64 else "float32"
        return Machine(
            Layout(self.network),
            self._seed,
            self.ranks,
            precision,
            threads,
            self._stretch(),
            recording or Recording(),
            sink,
        )

    def _stretch(self) -> Tick:
        """Return the length of the windows by which quiet is noticed, where anything spikes."""
        # To everyone else the machines of all ranks are one: only they exchange spikes.
        projections = self.network.projections
        others = (p.delay for p in projections if not isinstance(p.weights, Sparse))
        return min([WINDOW, *others])

    def _longest_window(self) -> Tick:
        stretch = self._stretch()
        return stretch if self.ranks.size == 1 else min(stretch, self.network.shortest_delay)

    def _engine(self, threads: int, overlap: bool | None) -> Engine:
        if self.machine is None:
            return self._layered_engine(threads)
        network, ranks, actors = self.network, self.ranks, self._actors
        owner, ledger = self.owner, self.ledger
        stretch, lookahead = self._stretch(), self._longest_window()
        first = len(network.populations)
        actors[first + ranks.rank] = self.machine
        machines = range(first, first + ranks.size)
        spread = {
            i: machines for i, p in enumerate(network.populations) if isinstance(p.model, InShard)
        }
        along = (first + ranks.rank,)
        # Only spikes cross, and only to who wants them.
        alone = len(spread) == len(network.populations)
        packets = self.machine.packets
        ranks.connect(packets.to if alone and packets is not None else range(ranks.size))
        alone = alone and ranks.size > 1
        return Engine(
            actors, owner, ranks, lookahead, ledger, along, spread, stretch, alone, overlap=overlap
        )

    def _layered_engine(self, threads: int) -> Engine:
        network, ranks, owner, share = self.network, self.ranks, self.owner, self.share
        # What is said to a source may be about samples that another replica presents next.
        copied = {
            i: range(owner[i] % self._each, ranks.size, self._each)
            for i, population in enumerate(network.populations)
            if share.replicas > 1 and isinstance(population.model, Source)
        }
        ranks.connect(self._near({network.populations[i].name for i in copied}))
        lookahead, meets = network.shortest_delay, share.replicas > 1
        actors, ledger = self._actors, self.ledger
        return Engine(
            actors, owner, ranks, lookahead, ledger, copied=copied, meets=meets, threads=threads
        )

    def _near(self, copied: set[str]) -> Collection[int]:
        """Return the ranks that this one may send to: those of its replica, and the judge's."""
        ranks, network = self.ranks, self.network
        hubs = {self.owner[i] for i in self._hubs}
        if ranks.rank in hubs or not hubs or any(p.target in copied for p in network.projections):
            return range(ranks.size)
        first = self.share.replica * self._each
        return {*range(first, first + self._each), *hubs}

    def run_to(self, tick: Tick) -> bool:
        """Advance until just before this tick; return False where a rank was asked to pause.

        Raises:
            DivergedError: a neuron's state is not finite any more; what was recorded is kept.
        """
        self._run(tick, idle=True)
        return self.engine.now >= tick

    def begin_epoch(self, x: Tensor, y: Tensor, epoch: int, batch_size: int) -> None:
        """Lay out the samples of an epoch in an order of its own; `finish` presents them.

        Args:
            x: (n_samples, n_features).
            y: (n_samples,) labels.
            epoch: counted from 0.
            batch_size: samples a minibatch; what does not fill one is left for another epoch.

        Raises:
            NetworkError: the period is shorter than an adapter takes to present a minibatch, or
                the rows of a minibatch have no equal parts.
        """
        check_rows(batch_size, self.share.parts)
        whole = self.course.batches * batch_size
        order = Draws(self._seed, "order").order(len(x), counter=epoch)[:whole]
        self._present(x, y, torch.from_numpy(order), Mode.LEARN, epoch, batch_size, None)

    def finish(self, until: Tick = NEVER) -> bool:
        """Run until everything presented has been dealt with; return whether it was.

        It is not, either, where a rank was asked to pause.

        Args:
            until: stop before this tick, with events left in flight.
        """
        return self._run(until) >= NEVER

    def _finish_all(self) -> None:
        if not self.finish():
            raise PausedError

    def _run(self, until: Tick, idle: bool = False) -> Tick:
        try:
            return self.engine.run(until, idle)
        finally:
            if self.machine is not None:
                self.machine.hand_over()

    def learn(self, x: Tensor, y: Tensor, epoch: int, batch_size: int) -> None:
        """Present every sample once; see `begin_epoch`.

        Raises:
            PausedError: a rank was asked to pause.
        """
        self.begin_epoch(x, y, epoch, batch_size)
        self._finish_all()

    def answer(self, x: Tensor, phases: Sequence[str], epoch: int = 0) -> Tensor | None:
        """Return class scores (n_samples, n_classes), on the judge's rank.

        Args:
            x: (n_samples, n_features).
            phases: names of the phases by which the rule answers.
            epoch: keys the random numbers of answers that draw any.

        Raises:
            NetworkError: a phase does not take place when the network answers.
            PausedError: a rank was asked to pause.
        """
        answering = [p.name for p in self.network.phases if Mode.ANSWER in p.modes]
        for phase in phases:
            if phase not in answering:
                raise NetworkError(
                    f"phase {phase!r} takes no part in answering; expected {', '.join(answering)}"
                )
        y = torch.zeros(len(x), dtype=torch.uint8, device=x.device)
        self._present(x, y, torch.arange(len(x)), Mode.ANSWER, epoch, ANSWER_ROWS, phases)
        self._finish_all()
        return self._judges[0].take() if self._judges else None

    def probe(self, x: Tensor, y: Tensor, epoch: int = 0) -> dict[str, Tensor]:
        """Return the activity (n_samples, n_units) of every population that this rank owns.

        With replicas, the first one's ranks return it.
        """
        self._present(x, y, torch.arange(len(x)), Mode.PROBE, epoch, ANSWER_ROWS, None)
        self._finish_all()
        found = {}
        for i, actor in self._actors.items():
            activity = actor.activity()
            if activity is not None:
                found[self.network.populations[i].name] = activity
        return found

    def parameters(self) -> dict[str, dict[str, Tensor]]:
        """Return {projection: {"weight": ..., "bias": ...}} of what this rank owns.

        With replicas, whose parameters are alike, the first one's ranks return them.
        """
        return _joined(self.parameters_by_population())

    def parameters_by_population(self) -> dict[int, dict[str, dict[str, Tensor]]]:
        """Return the same, by position of the population."""
        return self._held() if self.share.replica == 0 else {}

    def _held(self) -> dict[int, dict[str, dict[str, Tensor]]]:
        return {i: actor.parameters() for i, actor in self._actors.items()}

    def load(self, parameters: dict[str, dict[str, Tensor]]) -> None:
        """Overwrite parameters, in place, where this rank owns them.

        Raises:
            NetworkError: a projection is missing or its shape differs.
        """
        for name, tensors in _joined(self._held()).items():
            for part, tensor in tensors.items():
                given = parameters.get(name, {}).get(part)
                if given is None or given.shape != tensor.shape:
                    found = "nothing" if given is None else str(tuple(given.shape))
                    raise NetworkError(
                        f"{part} of projection {name!r}: got {found}; expected "
                        f"{tuple(tensor.shape)}: start from a run of the same network"
                    )
                tensor.copy_(given)

    def actors(self) -> dict[int, Actor]:
        """Return what this rank owns: populations by position, then what spikes."""
        return self._actors

    def ledger_totals(self) -> LedgerTotals:
        """Return the ledger of all ranks."""
        return self.ledger.gathered(self.ranks)

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of everything that the future of this rank depends on.

        The ledger, a count of what has been, is not in it.
        """
        return self.engine.snapshot()

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over a snapshot of the same network on the same rank."""
        self.engine.restore(snapshot)

    def _present(
        self,
        x: Tensor,
        y: Tensor,
        order: Tensor,
        mode: Mode,
        epoch: int,
        batch_size: int,
        phases: Sequence[str] | None,
    ) -> None:
        chosen = tuple(
            i
            for i, phase in enumerate(self.network.phases)
            if mode in phase.modes and (phases is None or phase.name in phases)
        )
        period = self._period if mode == Mode.LEARN else None
        for population in self.network.populations:
            if period is not None and isinstance(population.model, RateEncoder):
                needed = population.model.presented(batch_size)
                if period < needed:
                    raise NetworkError(
                        f"got a period of {period} ticks; population {population.name!r} presents "
                        f"{batch_size} rows in {needed}: ask for at least that, for smaller "
                        "minibatches, or for exact timing"
                    )
        reel = Reel(x, y, order.to(x.device), mode, epoch, batch_size, period, chosen)
        for source in self._sources:
            source.present(reel, self.engine.now)


def _joined(
    by_population: dict[int, dict[str, dict[str, Tensor]]],
) -> dict[str, dict[str, Tensor]]:
    return {name: tensors for found in by_population.values() for name, tensors in found.items()}
