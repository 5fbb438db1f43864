"""The actor of a rank: its shards, the program that advances them, and what is recorded.

A rank is one actor, however many threads it has: threads share the rings of recent spikes and
meet inside the compiled program. Other ranks hear of a window's spikes after it.
"""

from __future__ import annotations

import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from biosim.contracts import Ranks
from biosim.errors import DivergedError
from biosim.events import Event, Tick, Window
from biosim.kernels.compiled import module_of
from biosim.kernels.emit import Precision
from biosim.kernels.program import Program
from biosim.network import NetworkError
from biosim.ranks import agreed_most
from biosim.spiking import building
from biosim.spiking.binding import Binding, agreed_scales, joined
from biosim.spiking.description import PoissonSource
from biosim.spiking.heard import heard
from biosim.spiking.initial import set_initial
from biosim.spiking.layout import Layout
from biosim.spiking.numbers import Numbers
from biosim.spiking.packets import NOWHERE, Packets
from biosim.spiking.recording import NullSink, Recording, Sink
from biosim.spiking.rings import Rings, kept_ticks
from biosim.spiking.samples import Samples
from biosim.spiking.shard import Shard
from biosim.spiking.snapshots import Joined, Snapshots
from biosim.spiking.steps import Steps
from biosim.spiking.told import checked_spikes
from biosim.spiking.why_stopped import why_stopped
from biosim.wiring.values import LONGEST


class Machine:
    """All spiking populations and sources of one rank.

    Args:
        layout: of the network.
        seed: of the run.
        ranks: how this rank talks to the others.
        precision: "float32" or "float64".
        threads: of this rank.
        window: longest window in ticks, and how long spikes are kept until they are handed over.
        recording: what is recorded.
        sink: takes it.
    """

    state_names: ClassVar[tuple[str, ...]] = ("state",)

    def __init__(
        self,
        layout: Layout,
        seed: int,
        ranks: Ranks,
        precision: Precision,
        threads: int,
        window: int,
        recording: Recording,
        sink: Sink | None,
    ) -> None:
        self.now: Tick = 0
        self._handed: Tick = 0
        self.layout, self.ranks = layout, ranks
        self._recording, self._sink = recording, sink or NullSink()
        spiking = [layout.network.populations[i] for i in layout.first]
        sparse = [*layout.static, *(plastic.projection for plastic in layout.plastic)]
        recording.check(
            {population.name: population.size for population in spiking},
            [layout.network.projections[i].name for i in sorted(sparse)],
        )
        first, count = ranks.rank * threads, ranks.size * threads
        self.shards = [Shard(layout, first + t, count, precision) for t in range(threads)]
        wires = building.Wires(layout, seed)
        self.scales = agreed_scales(layout, wires, self.shards, ranks)
        self._samples = Samples(layout, self.shards, recording)
        bindings = [Binding(layout, wires, shard, self.scales, seed) for shard in self.shards]
        self._lookahead = layout.network.shortest_delay
        most = max(shard.emitting for shard in self.shards)
        self.numbers: Numbers | None = None
        self.packets: Packets | None = None
        if ranks.size > 1:
            wanted = np.any([binding.wanted() for binding in bindings], axis=0)
            self.numbers = Numbers(layout, ranks.rank, ranks.size, wanted)
            self.packets = Packets(layout, ranks, wanted, self.numbers)
            for binding in bindings:
                binding.renumber(self.numbers)
            most = len(self.numbers.kept)
        # Of all ranks: a spike on its way may be known only where it comes from.
        self.longest = longest = agreed_most(ranks, max(b.longest for b in bindings), LONGEST + 1)
        least = self._lookahead if ranks.size > 1 else window
        self._window = kept_ticks(window, least, longest, threads + 1, most)
        self.rings = Rings(threads, longest + self._window + 1, most)
        self._barrier = np.zeros(32, dtype=np.int64)
        # Tick, sheet and neuron of what went wrong, and the number of synaptic events.
        self._status = [np.array([-1, 0, 0, 0], dtype=np.int64) for _ in self.shards]
        self._programs = []
        for t, binding in enumerate(bindings):
            binding.ring(self.rings)
            set_initial(layout, self.shards[t], seed)
            program = Program(binding.code(self._samples.codes), precision)
            module = module_of(program.text, precision, layout.dt)
            for synapses in binding.plastic:
                synapses.module = module
            self._programs.append((module.advance, program.arguments, binding.arguments))
        self.bindings = bindings
        self._steps = Steps(layout, self.shards)
        self._weights = Snapshots(layout, self.shards, bindings, recording)
        # One thread finds spikes neuron by neuron, but for those who wake in any order.
        self._ordered = threads == 1 and not any(sheet.code.event for sheet in layout.sheets)
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    @property
    def synaptic_events(self) -> int:
        """How often a spike has reached a synapse until now, on this rank."""
        return int(sum(status[3] for status in self._status))

    @synaptic_events.setter
    def synaptic_events(self, events: int) -> None:
        for status in self._status:
            status[3] = 0
        self._status[0][3] = events

    @property
    def synapses(self) -> int:
        """How many synapses end on this rank."""
        starts = re.compile(r"(store|plastic)\d+_start")
        arguments = [found for binding in self.bindings for found in binding.arguments.items()]
        return sum(int(value[-1]) for name, value in arguments if starts.fullmatch(name))

    def advance(self, window: Window, inbox: list[Event]) -> list[Event]:
        """Advance all neurons through the window; return spikes for other ranks and adapters.

        What an adapter sends holds from the start of the tick at which it arrives.
        """
        remote = len(self.shards)
        packets = [event for event in inbox if event.projection < 0]
        told: dict[Tick, list[Event]] = {}
        for event in inbox:
            if event.projection >= 0:
                told.setdefault(event.tick, []).append(event)
        if self.packets is not None:
            self.packets.put(packets, self.rings, remote, window.start)
        self.rings.clear(remote, window.start, window.end)
        if window.start == 0:
            self._weights.hand_over(0, self._sink)
        due = told.keys() - {window.start}
        cuts = sorted(self._weights.cuts(window) | self._steps.cuts(window) | due)
        ends = itertools.pairwise([window.start, *cuts, window.end])
        for piece in itertools.starmap(Window, ends):
            if piece.end - self._handed > self._window:
                self.hand_over()
            self._steps.set_at(piece.start)
            for event in told.get(piece.start, ()):
                self._tell(event)
            self._samples.begin(piece)
            self._run(piece)
            self._samples.hand_over(piece, self._sink)
            self.now = piece.end
            self._weights.hand_over(self.now, self._sink)
        sent = [] if self.packets is None else self.packets.sent(self.rings, window)
        if self.layout.heard:
            me = len(self.layout.network.populations) + self.ranks.rank
            sent += heard(self.layout, me, NOWHERE, *self._spikes(window))
        return sent

    def hand_over(self) -> None:
        """Give the sink all spikes until now that it has not had."""
        if self.now > self._handed:
            self._hand_over(self.now)

    def next_wake(self) -> Tick:
        """Return the next tick: neurons move by themselves."""
        return self.now

    @property
    def state(self) -> dict[str, Any]:
        """All that the future depends on, by name; to set it is to go on from there."""
        return {
            "now": self.now,
            "rings": {"ids": self.rings.ids, "counts": self.rings.counts},
            "shards": [binding.state() for binding in self.bindings],
        }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.now = self._handed = state["now"]
        self.rings.ids[...] = state["rings"]["ids"]
        self.rings.counts[...] = state["rings"]["counts"]
        for binding, arrays in zip(self.bindings, state["shards"], strict=True):
            binding.restore(arrays)

    def recent(self, ticks: int) -> tuple[npt.NDArray[np.int64], ...]:
        """Return (ticks, numbers in the whole network) of this rank's spikes, at most so old.

        Args:
            ticks: at most `longest`.
        """
        return self._spikes(Window(max(0, self.now - ticks), self.now))

    def begin_at(self, tick: Tick) -> None:
        """Go on from this tick; the state has been put into the arrays."""
        self.now = self._handed = tick

    def set(self, population: str, variable: str, values: npt.ArrayLike) -> None:
        """Set a variable of all neurons of a population, between two runs.

        Args:
            population: its name.
            variable: of its equations.
            values: one number or (N,), in SI units.

        Raises:
            NetworkError: there is no such population or variable, or the shape is another.
        """
        i = self._known(population, variable)
        size = self.layout.network.populations[i].size
        given = np.asarray(values)
        if given.shape not in ((), (size,)):
            raise NetworkError(
                f"{variable!r} of {population!r}: got shape {given.shape}; expected one number "
                f"or ({size},)"
            )
        if self.layout.sheets[self.layout.sheet_of(i)].code.event and self.now > 0:
            raise NetworkError(
                f"{variable!r} of {population!r} cannot be set while its neurons sleep: ask for "
                "integration='clock'"
            )
        for plastic in self.layout.plastic:
            if variable in plastic.code.reads_pre and self.layout.ends(plastic.projection)[0] == i:
                name = self.layout.network.projections[plastic.projection].name
                raise NetworkError(
                    f"{variable!r} of {population!r} cannot be set: the synapses of projection "
                    f"{name!r} read it and keep a copy; set it in the description"
                )
        for shard in self.shards:
            lo, hi = shard.slices[i]
            shard.variable(i, variable)[...] = given if given.shape == () else given[lo:hi]

    def rates(self, population: str, hz: npt.ArrayLike) -> None:
        """Set the rates of a Poisson source, between two runs: one number or (N,), in hertz.

        Raises:
            NetworkError: it is no Poisson source, the shape is another, or rate x dt is no
                chance.
        """
        at = self.layout.network.population_at.get(population, -1)
        random = at >= 0 and isinstance(self.layout.network.populations[at].model, PoissonSource)
        if not random:
            raise NetworkError(f"{population!r} is no Poisson source; its rates cannot be set")
        size = self.layout.network.populations[at].size
        given = np.asarray(hz, dtype=np.float64)
        if given.shape not in ((), (size,)):
            raise NetworkError(
                f"rates of {population!r}: got shape {given.shape}; expected one number "
                f"or ({size},)"
            )
        chances = building.chances(np.broadcast_to(given * self.layout.dt, size), population)
        which = self.layout.sources.index(at)
        for shard, binding in zip(self.shards, self.bindings, strict=True):
            lo, hi = shard.slices[at]
            binding.arguments[f"source{which}_thresholds"][...] = chances[lo:hi]

    def fire(self, population: str, indices: npt.ArrayLike, ticks: npt.ArrayLike) -> None:
        """Tell a list of spikes when to fire from now on, in place of what it was told before.

        Args:
            population: its name.
            indices: (n_spikes,) neuron of each spike.
            ticks: (n_spikes,) tick of each spike, not decreasing, not before now; a neuron spikes
                once a tick.

        Raises:
            NetworkError: see `checked_spikes`.
        """
        network = self.layout.network
        at, who, when = checked_spikes(network, population, indices, ticks, self.now)
        which, number = self.layout.sources.index(at), self.layout.first[at]
        for shard, binding in zip(self.shards, self.bindings, strict=True):
            lo, hi = shard.slices[at]
            mine = (who >= lo) & (who < hi)
            numbers = who[mine] + number
            if self.numbers is not None:
                numbers = self.numbers.of(numbers)
            binding.tell(which, when[mine], numbers.astype(np.uint32))

    def weights(self, projection: str) -> Joined:
        """Return sources, targets and variables of the synapses of a projection that learns.

        Those that end on this rank: (n,) each, copies, by (target, source).

        Raises:
            NetworkError: there is no such plastic projection.
        """
        synapses = [binding.plastic_of(projection) for binding in self.bindings]
        return self._weights.joined(synapses, self.now)

    def modulate(self, projection: str, variable: str, amount: float) -> None:
        """Add to a shared variable of a plastic projection, in SI units, between two runs.

        Raises:
            NetworkError: there is no such projection or variable.
        """
        for binding in self.bindings:
            binding.shared(projection, variable, self.now)[0] += amount

    def scale_to(self, projection: str, total: float, variable: str = "w") -> None:
        """Scale the synapses of each target neuron so that their sum is `total`.

        Synaptic scaling in one step (Turrigiano 2008): the sum is a signal of the post-synaptic
        neuron. A neuron whose synapses add up to nothing stays as it is.

        Raises:
            NetworkError: there is no such plastic projection.
        """
        for binding in self.bindings:
            binding.plastic_of(projection).scale_to(total, variable, self.now)

    def _tell(self, event: Event) -> None:
        """Set what an adapter sends: (1, N)."""
        assert event.payload is not None
        projection, values = self.layout.network.projections[event.projection], event.payload[0]
        if self.layout.ends(event.projection)[1] in self.layout.sources:
            self.rates(projection.target, values.numpy())
        else:
            self.set(projection.target, projection.receptor, values.numpy())

    def _known(self, population: str, variable: str) -> int:
        i = self.layout.network.population_at.get(population, -1)
        if i not in self.layout.neurons:
            raise NetworkError(
                f"{population!r} has no variables; populations with equations: "
                + ", ".join(self.layout.network.populations[k].name for k in self.layout.neurons)
            )
        known = [v.name for v in self.layout.neurons[i].variables]
        if variable not in known:
            raise NetworkError(f"{population!r} has no variable {variable!r}, only {known}")
        return i

    def parameters(self) -> dict[str, dict[str, Tensor]]:
        """Return nothing: weights of spiking synapses are recorded, not loaded."""
        return {}

    def activity(self) -> Tensor | None:
        """Return None: spikes are recorded."""
        return None

    def _run(self, window: Window) -> None:
        threads = len(self.shards)
        jobs = []
        for t, (advance, names, arguments) in enumerate(self._programs):
            rings = self.rings.ids, self.rings.counts
            meeting = threads, self._lookahead, self._barrier
            fixed = (*window, t, *meeting, *rings, self._status[t])
            values = arguments | joined(self._samples.arrays[t], "sample")
            jobs.append((advance, fixed, [values[name] for name in names]))
        if self._pool is None:
            ((advance, fixed, rest),) = jobs
            reached = [advance(*fixed, *rest)]
        else:
            reached = list(self._pool.map(lambda job: job[0](*job[1], *job[2]), jobs))
        if min(reached) < window.end or self._barrier[16]:
            tick, why = why_stopped(self.layout, self.shards, self._status, self.bindings)
            self._samples.hand_over(Window(self.now, tick), self._sink)
            self._hand_over(tick)
            raise DivergedError(why)

    def _spikes(self, window: Window) -> tuple[npt.NDArray[np.int64], ...]:
        """Return (ticks, numbers in the whole network) of the window's spikes, by thread."""
        found = [self.rings.taken(t, *window) for t in range(len(self.shards))]
        ticks = np.concatenate([part[0] for part in found])
        numbers = np.concatenate([part[1] for part in found])
        return ticks, numbers if self.numbers is None else self.numbers.whole(numbers)

    def _hand_over(self, until: Tick) -> None:
        network = self.layout.network
        ticks, numbers = self._spikes(Window(self._handed, until))
        for record in self._recording.spikes:
            i = network.population_at[record.population]
            first, size = self.layout.first[i], network.populations[i].size
            mine = (numbers >= first) & (numbers < first + size)
            neurons = (numbers[mine] - first).astype(np.uint32)
            at, neurons = record.chosen(ticks[mine], neurons)
            order = slice(None) if self._ordered else np.lexsort((neurons, at))
            self._sink.spikes(record.population, at[order], neurons[order])
        self._sink.commit(until)
        self._handed = until
