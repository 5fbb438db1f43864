"""From a description to what a shard's compiled program takes: synapses, stimuli, sources."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from biosim.draws import Draws
from biosim.equations.code import Trace, Variable
from biosim.equations.evaluate import evaluate_value
from biosim.kernels.noise import poisson_table
from biosim.kernels.program import InputCode, SourceCode, StoreCode
from biosim.network import NetworkError, Population
from biosim.spiking.description import PoissonInput, PoissonSource, SpikeList, Spiking, Value
from biosim.spiking.layout import Layout
from biosim.spiking.shard import Arrays, Shard, padded
from biosim.spiking.told import checked_spikes
from biosim.wiring.described import amount, delays
from biosim.wiring.rows import Part, Rows, build_rows
from biosim.wiring.values import Amount, Constant

Scales = dict[tuple[int, str], float]
"""(sheet, receptor) -> what one unit of its integer sums stands for: a power of two."""


class Wires:
    """The amounts of every projection, read from the description once.

    Attributes:
        weight: position of a projection -> its weights.
        delay: position of a projection -> its delays, in ticks.

    Raises:
        NetworkError: a wiring, weight or delay is impossible.
        EquationError: a value cannot be read, or has the wrong unit.
    """

    def __init__(self, layout: Layout, seed: int) -> None:
        self._layout, self.seed = layout, seed
        network = layout.network
        self.weight: dict[int, Amount] = {}
        self.delay: dict[int, Amount] = {}
        for i in (*layout.static, *(p.projection for p in layout.plastic)):
            projection, sparse = network.projections[i], layout.sparse(i)
            source, target = layout.ends(i)
            sparse.wiring.check(
                network.populations[source].size, network.populations[target].size, projection.name
            )
            what = f"the weight of projection {projection.name!r}"
            weight = partial(_read, self._unit(i), projection.name, "weight")
            delay = partial(_read, "s", projection.name, "delay")
            self.weight[i] = amount(sparse.weight, what, sparse.wiring, weight)
            self.delay[i] = delays(
                sparse.delay, projection.delay, layout.dt, projection.name, sparse.wiring, delay
            )

    def part(self, i: int, shard: Shard, slot: int, scale: float = 1.0) -> Part:
        """Return what of a projection ends on a shard."""
        layout = self._layout
        source, target = layout.ends(i)
        lo, hi = shard.slices[target]
        populations = layout.network.populations
        return Part(
            layout.network.projections[i].name,
            layout.sparse(i).wiring,
            self.weight[i],
            self.delay[i],
            self.seed,
            lo,
            hi,
            populations[source].size,
            populations[target].size,
            layout.first[source],
            slot,
            scale,
        )

    def initial(self, i: int, variable: str) -> Amount:
        """Return the start values of a variable of plastic synapses."""
        projection, synapse = self._layout.network.projections[i], self._layout.sparse(i).synapse
        assert synapse is not None
        if variable == "w" or variable not in synapse.initial:
            return self.weight[i] if variable == "w" else Constant(0.0)
        code = next(p.code for p in self._layout.plastic if p.projection == i)
        traces = (*code.pre_traces, *code.post_traces, *code.own_traces)
        known: list[Variable | Trace] = [*code.variables, *code.shared_variables, *traces]
        unit = next((each.unit for each in known if each.name == variable), "1")
        place = f"initial {variable!r}"
        read = partial(_read, unit, projection.name, place, constants=synapse.constants)
        what = f"{place} of projection {projection.name!r}"
        return amount(synapse.initial[variable], what, self._layout.sparse(i).wiring, read)

    def _unit(self, i: int) -> str:
        layout = self._layout
        for plastic in layout.plastic:
            if plastic.projection == i:
                return next((v.unit for v in plastic.code.variables if v.name == "w"), "1")
        receptor = layout.network.projections[i].receptor
        code = layout.neurons[layout.ends(i)[1]]
        return next(v.unit for v in code.variables if v.name == receptor)


def _read(
    unit: str,
    name: str,
    place: str,
    value: Any,
    names: Mapping[str, Any] | None = None,
    *,
    constants: Mapping[str, Any] | None = None,
) -> Any:
    whose = f"projection {name!r}"
    return evaluate_value(value, unit, whose=whose, place=place, constants=constants, names=names)


def static_stores(
    layout: Layout, wires: Wires, shard: Shard, scales: Scales
) -> tuple[list[StoreCode], list[Arrays], int]:
    """Return the static synapses of a shard, and the longest delay.

    Projections share a store if they agree in whether delays and weights differ by synapse.
    """
    kinds: dict[tuple[bool, float, int | None], list[int]] = {}
    for i in layout.static:
        delay, weight = wires.delay[i], wires.weight[i]
        steady = delay.value if isinstance(delay, Constant) else 0.0
        sheet = layout.sheet_of(layout.ends(i)[1])
        wakes = sheet if layout.sheets[sheet].code.event else None
        kinds.setdefault((not isinstance(weight, Constant), steady, wakes), []).append(i)
    codes, arrays, longest = [], [], 1
    for (each, steady, wakes), members in kinds.items():
        parts = []
        for i in members:
            target = layout.ends(i)[1]
            sheet, place = shard.within(target)
            receptor = layout.network.projections[i].receptor
            slot = shard.slot[sheet, receptor] + place.start
            parts.append(wires.part(i, shard, slot, scales[sheet, receptor]))
        rows = build_rows(parts, layout.emitting, shard.sums)
        single = steady > 0.0 and wakes is None and rows.single
        codes.append(StoreCode(steady == 0.0, each, wakes, single))
        made = store_arrays(rows, steady)
        if single:
            del made["row"]
            made["start"], of_runs = rows.runs_of_sources()
            made |= {} if of_runs is None else {"run_weight": of_runs}
        longest = max(longest, made["most"])
        arrays.append(made)
    return codes, arrays, longest


def store_arrays(rows: Rows, steady: float) -> Arrays:
    """Return the arguments of a store; `steady` is the one delay of all, or 0."""
    most = int(rows.delay.max(initial=1))
    made: Arrays = {"row": rows.row, "start": rows.start, "slot": rows.slot, "most": most}
    if rows.weight is not None:
        made["weight"] = rows.weight
    if rows.run_weight is not None:
        made["run_weight"] = rows.run_weight
    if steady:
        made["delay"] = int(steady)
        made["most"] = int(steady)
    else:
        made["delays"] = rows.delay
        made["least"] = int(rows.delay.min(initial=1))
    return made


def poisson_rates(layout: Layout, stimulus: PoissonInput) -> npt.NDArray[np.float64]:
    """Return the mean number of spikes a tick of each neuron, (N,)."""
    population = layout.network.populations[layout.network.population_at[stimulus.target]]
    rate = of_neurons(stimulus.rate, "Hz", population, f"input {stimulus.name!r}", "rate")
    mean = rate * stimulus.n * layout.dt
    if not (np.isfinite(mean).all() and (mean >= 0).all()):
        raise NetworkError(
            f"input {stimulus.name!r} has a rate of {np.min(rate):g} Hz; expected 0 or more"
        )
    return mean


def of_neurons(
    value: Value, unit: str, population: Population, whose: str, place: str
) -> npt.NDArray[np.float64]:
    """Return a value for each neuron of a population, (N,); it may use `i` and `N`."""
    names = {"i": np.arange(population.size, dtype=np.float64), "N": float(population.size)}
    constants = population.model.constants if isinstance(population.model, Spiking) else {}
    found = np.asarray(
        evaluate_value(value, unit, whose=whose, place=place, constants=constants, names=names),
        dtype=np.float64,
    )
    if found.shape not in ((), (population.size,)):
        raise NetworkError(
            f"{whose}: its {place} has shape {found.shape}; expected one number, or one for each "
            f"of the {population.size} neurons"
        )
    return np.broadcast_to(found, population.size)


def poisson_weight(layout: Layout, stimulus: PoissonInput) -> float:
    """Return the weight of a spike, in the receptor's SI unit.

    Raises:
        NetworkError: neurons have weights of their own, or it is not finite.
    """
    target = layout.network.population_at[stimulus.target]
    variables = layout.neurons[target].variables
    unit = next(v.unit for v in variables if v.name == stimulus.receptor)
    population = layout.network.populations[target]
    whose = f"input {stimulus.name!r}"
    weights = of_neurons(stimulus.weight, unit, population, whose, "weight")
    if not (np.isfinite(weights).all() and (weights == weights[0]).all()):
        raise NetworkError(
            f"{whose} has weights from {weights.min():g} to {weights.max():g}; expected one finite "
            "weight for all neurons: give each group of neurons an input of its own"
        )
    return float(weights[0])


def inputs(
    layout: Layout, shard: Shard, scales: Scales, seed: int
) -> tuple[list[InputCode], list[Arrays]]:
    """Return the Poisson input of a shard."""
    codes, arrays = [], []
    for stimulus in layout.inputs():
        target = layout.network.population_at[stimulus.target]
        lo, hi = shard.slices[target]
        mean = poisson_rates(layout, stimulus)
        sheet, _ = shard.within(target)
        weight = round(poisson_weight(layout, stimulus) / scales[sheet, stimulus.receptor])
        made = {
            "key": key(seed, f"input/{stimulus.name}"),
            "first": lo,
            "words": np.zeros(padded(hi - lo), dtype=np.uint32),
            "weight": shard.sums.type(weight),
            "acc": shard.inputs(target, stimulus.receptor),
        }
        alike = bool((mean == mean[0]).all())
        if alike:
            made["thresholds"] = poisson_table(float(mean[0]))
        else:
            made["means"] = np.ascontiguousarray(mean[lo:hi])
        wakes = sheet if layout.sheets[sheet].code.event else None
        made["slot"] = shard.slot[sheet, stimulus.receptor] + shard.within(target)[1].start
        codes.append(InputCode(not alike, wakes))
        arrays.append(made)
    return codes, arrays


def sources(layout: Layout, shard: Shard, seed: int) -> tuple[list[SourceCode], list[Arrays]]:
    """Return the sources of a shard."""
    codes, arrays = [], []
    for i in layout.sources:
        population = layout.network.populations[i]
        lo, hi = shard.slices[i]
        number = layout.first[i]
        if isinstance(population.model, SpikeList):
            model = population.model
            _, indices, ticks = checked_spikes(
                layout.network, population.name, model.indices, model.ticks, 0
            )
            mine = (indices >= lo) & (indices < hi)
            codes.append(SourceCode("listed"))
            arrays.append(
                {
                    "ticks": ticks[mine],
                    "listed": (indices[mine] + number).astype(np.uint32),
                    "position": np.zeros(1, dtype=np.int64),
                }
            )
        else:
            assert isinstance(population.model, PoissonSource)
            whose = f"population {population.name!r}"
            rate = of_neurons(population.model.rate, "Hz", population, whose, "rate")
            codes.append(SourceCode("random"))
            arrays.append(
                {
                    "key": key(seed, f"poisson/{population.name}"),
                    "first": lo,
                    "words": np.zeros(padded(hi - lo), dtype=np.uint32),
                    "thresholds": chances(rate[lo:hi] * layout.dt, population.name),
                    "number": np.uint32(number + lo),
                }
            )
    return codes, arrays


def chances(chance: npt.NDArray[np.float64], name: str) -> npt.NDArray[np.uint32]:
    """Return 2^32 times the chances of a spike, (n,).

    Raises:
        NetworkError: one is outside [0, 1].
    """
    if not ((chance >= 0) & (chance <= 1)).all():
        worst = float(chance[~((chance >= 0) & (chance <= 1))][0])
        raise NetworkError(
            f"population {name!r} spikes with a chance of {worst:g} a tick (rate x dt); expected "
            "0 to 1: lower the rate or take shorter ticks"
        )
    rounded: npt.NDArray[np.float64] = np.rint(chance * 2.0**32)
    return np.minimum(rounded, 2.0**32 - 1).astype(np.uint32)


def key(seed: int, purpose: str) -> npt.NDArray[np.uint32]:
    """Return the Philox key of a purpose, (2,)."""
    return np.array(Draws(seed, purpose).key, dtype=np.uint32)


MOST_MEAN = 90.0
"""Greatest mean number of input spikes a tick: chances below 2^-32 are cut off."""


def most_spikes(mean: float) -> int:
    """Return the greatest number of spikes that Poisson input of this mean brings in a tick."""
    return len(poisson_table(mean))
