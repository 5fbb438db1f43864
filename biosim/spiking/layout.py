"""How the spiking part of a network is laid out: the same on every rank and thread.

Neurons that run the same code lie together in a sheet, whatever population they belong to. Every
neuron that emits spikes has a number of its own in the whole network, by which rings and rows
know it. A population is owned in whole blocks of 256 neurons, cut evenly among shards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from biosim.equations import NeuronCode, SynapseCode, neuron_code
from biosim.equations.code import EquationError
from biosim.equations.synapses import synapse_code
from biosim.kernels.emit import renamed
from biosim.kernels.sheets import SheetCode
from biosim.network import Network, NetworkError, Projection, whole
from biosim.spiking import integration
from biosim.spiking.description import (
    PoissonInput,
    PoissonSource,
    Sparse,
    SpikeList,
    Spiking,
    StepCurrent,
)
from biosim.wiring.values import LONGEST


@dataclass(frozen=True)
class Plastic:
    """A projection whose synapses have equations."""

    projection: int
    code: SynapseCode


@dataclass(frozen=True)
class Sheet:
    """Populations that run the same code: their positions in the network."""

    code: SheetCode
    populations: tuple[int, ...]


class Layout:
    """What every shard has to know of the network.

    Args:
        network: the description; its `dt` is set.

    Attributes:
        neurons: position -> scalar code, of every spiking population.
        sheets: in the order of their first population.
        sources: positions of populations that emit without equations.
        first: position -> number of the population's first neuron among all that emit.
        emitting: how many neurons emit spikes.
        static: positions of projections without equations.
        plastic: projections with equations.
        heard: positions of projections by which adapters get spikes.

    Raises:
        NetworkError: there is no tick length, or spiking populations are wired to what they
            do not have.
        EquationError: equations cannot be taken.
    """

    def __init__(self, network: Network) -> None:
        if network.dt is None:
            raise NetworkError(
                "the network has spiking populations but no dt; give the length of a tick in "
                "seconds, such as dt=0.0001"
            )
        if not 0 < network.dt < math.inf:
            raise NetworkError(f"got dt={network.dt!r}; expected the length of a tick in seconds")
        self.network, self.dt = network, network.dt
        self.neurons: dict[int, NeuronCode] = {}
        self.sources: list[int] = []
        for i, population in enumerate(network.populations):
            if isinstance(population.model, Spiking):
                self.neurons[i] = neuron_code(population.model, self.dt, population.name)
            elif isinstance(population.model, PoissonSource | SpikeList):
                self.sources.append(i)
        self.first: dict[int, int] = {}
        self.emitting = 0
        for i in (*self.neurons, *self.sources):
            self.first[i] = self.emitting
            self.emitting += network.populations[i].size
        self.static: list[int] = []
        self.plastic: list[Plastic] = []
        self.heard: list[int] = []
        for i, projection in enumerate(network.projections):
            if isinstance(projection.weights, Sparse):
                self._sort(i, projection, projection.weights)
            else:
                self._check_adapted(i, projection)
        for plastic in self.plastic:
            self._check_kept(plastic)
        self.sheets = self._sheets()

    def sparse(self, projection: int) -> Sparse:
        """Return the synapses' description of a spiking projection, by position."""
        weights = self.network.projections[projection].weights
        assert isinstance(weights, Sparse)
        return weights

    def ends(self, projection: int) -> tuple[int, int]:
        """Return the positions of a projection's source and target."""
        ends = self.network.projections[projection]
        at = self.network.population_at
        return at[ends.source], at[ends.target]

    def sheet_of(self, population: int) -> int:
        """Return the sheet of a spiking population, by positions."""
        return next(s for s, sheet in enumerate(self.sheets) if population in sheet.populations)

    def inputs(self) -> list[PoissonInput]:
        """Return the stimuli that are Poisson input."""
        return [s for s in self.network.stimuli if isinstance(s, PoissonInput)]

    def _sort(self, i: int, projection: Projection, weights: Sparse) -> None:
        source, target = self.ends(i)
        if source not in self.first or target not in self.neurons:
            raise NetworkError(
                f"projection {projection.name!r} has sparse synapses from {projection.source!r} "
                f"to {projection.target!r}; expected a population that spikes and one with "
                "equations"
            )
        if source in self.neurons and self.neurons[source].threshold is None:
            raise NetworkError(
                f"projection {projection.name!r} starts at {projection.source!r}, which has no "
                "threshold and never spikes; give its model one"
            )
        self._check_receptor(projection.receptor, target, f"projection {projection.name!r}")
        if weights.synapse is None:
            self.static.append(i)
        else:
            late = weights.synapse.delay_post
            if not whole(late, 0) or late > LONGEST:
                raise NetworkError(
                    f"projection {projection.name!r} has a delay_post of {late!r} ticks; expected "
                    f"a whole number from 0 to {LONGEST}"
                )
            pre = self.neurons[source].variables if source in self.neurons else ()
            code = synapse_code(
                weights.synapse,
                projection.receptor,
                self.dt,
                projection.name,
                self.neurons[target],
                [v for v in pre if v.role == "parameter"],
            )
            for effect in code.post_effects:
                raise EquationError(
                    f"projection {projection.name!r}, on_post: {effect.variable!r} of the neuron "
                    "is changed, which only on_pre may do; change it in the neuron's reset"
                )
            self.plastic.append(Plastic(i, code))

    def _check_adapted(self, i: int, projection: Projection) -> None:
        source, target = self.ends(i)
        if source in self.neurons and self.neurons[source].threshold is None:
            raise NetworkError(
                f"projection {projection.name!r} takes the spikes of {projection.source!r}, which "
                "has no threshold and never spikes; give its model one"
            )
        if source in self.first:
            self.heard.append(i)
        if target not in self.first:
            return
        twice = [
            other.name
            for other in self.network.projections[:i]
            if not isinstance(other.weights, Sparse)
            and (other.target, other.receptor) == (projection.target, projection.receptor)
        ]
        if twice:
            raise NetworkError(
                f"projections {twice[0]!r} and {projection.name!r} both set "
                f"{projection.receptor!r} of {projection.target!r}; an adapter needs one of its own"
            )
        if target in self.neurons:
            variables = self.neurons[target].variables
            known = [v.name for v in variables if v.role == "parameter" and v.kind == "float"]
            if projection.receptor not in known:
                raise NetworkError(
                    f"projection {projection.name!r} sets {projection.receptor!r} of "
                    f"{projection.target!r}; its parameters are {', '.join(known) or 'none'}: "
                    f"declare it, such as '{projection.receptor} : amp'"
                )

    def _check_kept(self, plastic: Plastic) -> None:
        """Raise NetworkError if what synapses read of the source changes: each keeps a copy."""
        if not plastic.code.reads_pre:
            return
        projection = self.network.projections[plastic.projection]
        source = self.ends(plastic.projection)[0]
        changed = {a.name: "its reset" for a in self.neurons[source].reset}
        for stimulus in self.network.stimuli:
            if stimulus.target != projection.source:
                continue
            if isinstance(stimulus, StepCurrent):
                changed[stimulus.variable] = f"step current {stimulus.name!r}"
            else:
                changed[stimulus.receptor] = f"input {stimulus.name!r}"
        effects = {p.projection: [e.variable for e in p.code.effects] for p in self.plastic}
        for i, other in enumerate(self.network.projections):
            if other.target == projection.source:
                added = effects.get(i, [other.receptor])
                changed |= dict.fromkeys(added, f"projection {other.name!r}")
        for x in plastic.code.reads_pre:
            if x in changed:
                raise NetworkError(
                    f"projection {projection.name!r} reads {x}_pre, which {changed[x]} changes in "
                    f"{projection.source!r}; expected a parameter that keeps its value"
                )

    def _check_receptor(self, receptor: str, target: int, who: str) -> None:
        known = [v.name for v in self.neurons[target].variables if v.kind == "float"]
        if receptor not in known:
            raise NetworkError(
                f"{who} ends at receptor {receptor!r} of "
                f"{self.network.populations[target].name!r}; its equations have "
                f"{', '.join(known) or 'no variables'}"
            )

    def _sheets(self) -> list[Sheet]:
        receptors: dict[int, dict[str, None]] = {i: {} for i in self.neurons}
        traces: dict[int, list[tuple[str, str]]] = {i: [] for i in self.neurons}
        for i in self.static:
            receptors[self.ends(i)[1]][self.network.projections[i].receptor] = None
        for number, plastic in enumerate(self.plastic):
            target = self.ends(plastic.projection)[1]
            for effect in plastic.code.effects:
                receptors[target][effect.variable] = None
            traces[target] += decays(plastic.code, number, self.dt)
        for stimulus in self.inputs():
            at = self.network.population_at.get(stimulus.target)
            if at not in self.neurons:
                raise NetworkError(
                    f"input {stimulus.name!r} goes to {stimulus.target!r}; expected one of the "
                    f"populations with equations: {', '.join(self._named())}"
                )
            assert at is not None
            self._check_receptor(stimulus.receptor, at, f"input {stimulus.name!r}")
            receptors[at][stimulus.receptor] = None
        together: dict[str, list[int]] = {}
        events = {}
        for i, code in self.neurons.items():
            sheet = SheetCode(code, (), tuple(traces[i]))
            events[i] = integration.by_events(self.network, i, sheet)
            together.setdefault(repr((code, traces[i], events[i])), []).append(i)
        sheets = []
        for members in together.values():
            used = dict.fromkeys(r for i in members for r in receptors[i])
            first = members[0]
            sheet = SheetCode(self.neurons[first], tuple(used), tuple(traces[first]), events[first])
            sheets.append(Sheet(sheet, tuple(members)))
        return sheets

    def _named(self) -> list[str]:
        return [self.network.populations[i].name for i in self.neurons]


def trace_name(number: int, trace: str) -> str:
    """Return what a post-synaptic trace is called in its sheet.

    Args:
        number: position among the plastic projections.
        trace: as in the equations.
    """
    return f"_p{number}_{trace}"


def decays(code: SynapseCode, number: int, dt: float) -> list[tuple[str, str]]:
    """Return (name in the sheet, its value after a tick) of each post-synaptic trace."""
    names = {trace.name: trace_name(number, trace.name) for trace in code.post_traces}
    names["elapsed"] = repr(dt)
    return [
        (trace_name(number, trace.name), renamed(trace.decayed, names))
        for trace in code.post_traces
    ]
