"""The ticks of the reference.

The order within tick k, which is Brian2's, cut before its delivery:

1. Deliver. A spike emitted at tick e along a synapse of delay d is due at tick e + d: all on_pre,
   and what Poisson inputs send.
2. on_post of the neurons that spiked at tick k - 1, or `delay_post` ticks before that.
3. Input is added to variables; those that are "(unless refractory)" ignore it while the neuron is
   refractory. Then the neurons that spiked at tick k - 1 are reset.
4. Step currents change, samples are taken, and the state moves from k dt to (k + 1) dt.
5. Thresholds: spikes of tick k.

1 to 3 end what tick k - 1 began: in them `t` is the time of tick k - 1, and a neuron is refractory
if it was in tick k - 1. 1 and 2 read neurons as they are before 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from biosim.equations import neuron_code, synapse_code
from biosim.network import Network, NetworkError, Population, Projection
from biosim.spiking.description import PoissonInput, Sparse, Spiking, StepCurrent
from biosim.spiking.recording import Spikes
from biosim.spiking.reference.chance import Chance
from biosim.spiking.reference.parts import Neuron, Synapse
from biosim.spiking.reference.scalar import CASTS, Scope, evaluate, execute
from biosim.spiking.reference.sources import Input, Source, constants_of, per_neuron
from biosim.spiking.start import Outcome, Start, in_order

EXACT = 2.0**-200
"""Resolution at which sums are exact: whatever the unit, no float64 of interest is finer."""


def simulate(
    network: Network,
    start: Start,
    ticks: int,
    *,
    seed: int = 0,
    replay: Mapping[str, Spikes] | None = None,
    counts: Mapping[str, npt.NDArray[np.int64]] | None = None,
    resolution: Mapping[tuple[str, str], float] | None = None,
    sample: Mapping[str, Sequence[str]] | None = None,
    every: int = 1,
) -> Outcome:
    """Run ticks [0, ticks).

    Args:
        network: spiking populations, random and listed sources, sparse projections, stimuli.
        start: connectivity and start values.
        ticks: how long.
        seed: of noise and random sources.
        replay: spikes of `PoissonSource` populations; drawn for those that are not named.
        counts: name of a `PoissonInput` -> (>= ticks, size) spikes of each tick; drawn for those
            that are not named.
        resolution: (population, variable) -> unit of the integers in which its input is summed;
            exact for those that are not named.
        sample: population -> variables or subexpressions to sample.
        every: ticks from sample to sample.

    Returns:
        Spikes, samples, and the state after tick `ticks - 1`.

    Raises:
        NetworkError: the network has something else than spikes, or the start lacks synapses.
        EquationError: equations cannot be taken.
    """
    run = _Run(network, start, seed, replay or {}, counts or {}, resolution or {})
    wanted = [(name, variable) for name, names in (sample or {}).items() for variable in names]
    rows: dict[tuple[str, str], list[list[float]]] = {key: [] for key in wanted}
    # Kernels go on with infinity and what is not a number, and so does this.
    with np.errstate(all="ignore"):
        for tick in range(ticks):
            run.deliver(tick)
            run.settle(tick)
            run.stimulate(tick)
            if tick % every == 0:
                for name, variable in wanted:
                    rows[name, variable].append(run.sampled(name, variable))
            run.advance(tick)
            run.fire(tick)
    return Outcome(
        ticks=ticks,
        spikes={name: in_order(*pairs) for name, pairs in run.spikes().items()},
        variables={name: run.variables(name) for name in run.neurons},
        synapses={name: run.synapse_variables(name) for name in run.synapses},
        samples={
            name: {variable: np.array(rows[name, variable]) for variable in names}
            for name, names in (sample or {}).items()
        },
        every=every,
    )


class _Run:
    """All neurons and synapses of a network, at some tick."""

    def __init__(
        self,
        network: Network,
        start: Start,
        seed: int,
        replay: Mapping[str, Spikes],
        counts: Mapping[str, npt.NDArray[np.int64]],
        resolution: Mapping[tuple[str, str], float],
    ) -> None:
        if network.dt is None:
            raise NetworkError("the network has no dt; give it the length of a tick in seconds")
        self.network, self.dt, self.resolution = network, network.dt, resolution
        self.neurons: dict[str, list[Neuron]] = {}
        self.sources: dict[str, Source] = {}
        self.fired: dict[str, dict[int, list[int]]] = {p.name: {} for p in network.populations}
        for population in network.populations:
            if isinstance(population.model, Spiking):
                values = start.variables.get(population.name, {})
                self.neurons[population.name] = self._made(population, population.model, values)
            else:
                again = replay.get(population.name)
                self.sources[population.name] = Source(population, again, seed, self.dt)
        self.noise = {
            name: Chance(seed, f"noise/{name}", len(self.neurons[name])) for name in self.neurons
        }
        self.synapses: dict[str, list[Synapse]] = {}
        # By delay, then by source.
        self.outgoing: dict[str, dict[int, dict[int, list[Synapse]]]] = {}
        self.incoming: dict[str, dict[int, list[Synapse]]] = {}
        self.shared: dict[str, Scope] = {}
        for projection in network.projections:
            self._join(projection, start)
        self.inputs = [
            self._input(stimulus, counts.get(stimulus.name), seed)
            for stimulus in network.stimuli
            if isinstance(stimulus, PoissonInput)
        ]
        self.sums: dict[tuple[str, int, str], int] = {}

    def _made(
        self, population: Population, model: Spiking, values: Mapping[str, Any]
    ) -> list[Neuron]:
        code = neuron_code(model, self.dt, population.name)
        neurons = []
        for i in range(population.size):
            scope: Scope = {"i": i, "N": population.size, "not_refractory": True, "t": 0.0}
            for variable in code.variables:
                given = np.broadcast_to(values.get(variable.name, 0.0), population.size)
                scope[variable.name] = CASTS[variable.kind](given[i])
            neurons.append(Neuron(code, scope))
        return neurons

    def _join(self, projection: Projection, start: Start) -> None:
        name, sparse = projection.name, projection.weights
        if not isinstance(sparse, Sparse) or name not in start.synapses:
            raise NetworkError(
                f"projection {name!r} has no synapses at the start, or none that carry spikes; "
                "the reference runs Sparse projections whose synapses are given"
            )
        post = self.neurons[projection.target][0].code
        before = self.neurons.get(projection.source)
        parameters = before[0].code.variables if before else ()
        code = synapse_code(
            sparse.synapse,
            projection.receptor,
            self.dt,
            name,
            post,
            [variable for variable in parameters if variable.role == "parameter"],
        )
        joined = start.synapses[name]
        given = {**joined.others, "w": joined.weights}
        traces = [t.name for t in (*code.pre_traces, *code.post_traces, *code.own_traces)]
        kinds = {variable.name: CASTS[variable.kind] for variable in code.variables}
        self.synapses[name] = []
        self.outgoing[name], self.incoming[name] = {}, {}
        for k in range(len(joined.sources)):
            values = {
                variable: kinds.get(variable, np.float64)(
                    given[variable][k] if variable in given else 0.0
                )
                for variable in (*kinds, *traces)
            }
            pre, target, delay = (
                int(each[k]) for each in (joined.sources, joined.targets, joined.delays)
            )
            synapse = Synapse(code, pre, target, values)
            self.synapses[name].append(synapse)
            self.outgoing[name].setdefault(delay, {}).setdefault(pre, []).append(synapse)
            self.incoming[name].setdefault(target, []).append(synapse)
        self.shared[name] = {
            variable.name: CASTS[variable.kind](np.ravel(joined.others.get(variable.name, 0.0))[0])
            for variable in code.shared_variables
        }

    def _input(
        self, stimulus: PoissonInput, counts: npt.NDArray[np.int64] | None, seed: int
    ) -> tuple[PoissonInput, float, Input]:
        """Return a stimulus with the weight of a spike and the numbers of spikes."""
        target = self.network.populations[self.network.population_at[stimulus.target]]
        variables = self.neurons[stimulus.target][0].code.variables
        unit = next(v.unit for v in variables if v.name == stimulus.receptor)
        whose = f"input {stimulus.name!r}"
        weight = per_neuron(stimulus.weight, unit, 1, whose, constants_of(target))
        return stimulus, float(weight[0]), Input(stimulus, target, counts, seed, self.dt)

    # --- a tick

    def deliver(self, tick: int) -> None:
        """Steps 1 and 2: sum up what arrives, and let synapses learn from it."""
        for projection in self.network.projections:
            for delay, outgoing in self.outgoing[projection.name].items():
                for pre in self.fired[projection.source].get(tick - delay, ()):
                    for synapse in outgoing.get(pre, ()):
                        outside = self._outside(projection, synapse, tick)
                        self._add(projection, synapse, synapse.on_pre(tick, self.dt, outside))
        for stimulus, weight, drawn in self.inputs:
            for neuron, count in enumerate(drawn.counts(tick)):
                if count:
                    self._sum(stimulus.target, neuron, stimulus.receptor, weight, count)
        for projection in self.network.projections:
            assert isinstance(projection.weights, Sparse)
            late = projection.weights.synapse.delay_post if projection.weights.synapse else 0
            incoming = self.incoming[projection.name]
            for neuron in self.fired[projection.target].get(tick - 1 - late, ()):
                for synapse in incoming.get(neuron, ()):
                    outside = self._outside(projection, synapse, tick)
                    self._add(projection, synapse, synapse.on_post(tick, self.dt, outside))

    def settle(self, tick: int) -> None:
        """Step 3: apply what was summed up, then reset."""
        for (name, i, variable), total in self.sums.items():
            resolution = self.resolution.get((name, variable), EXACT)
            self.neurons[name][i].receive(variable, float(total) * resolution)
        self.sums.clear()
        for name, neurons in self.neurons.items():
            for i in self.fired[name].get(tick - 1, ()):
                neurons[i].reset()

    def stimulate(self, tick: int) -> None:
        """The first half of step 4: a new tick begins."""
        for neurons in self.neurons.values():
            for neuron in neurons:
                neuron.scope["t"] = tick * self.dt
        for stimulus in self.network.stimuli:
            if isinstance(stimulus, StepCurrent) and tick in stimulus.ticks:
                neurons = self.neurons[stimulus.target]
                now = np.asarray(stimulus.values)[list(stimulus.ticks).index(tick)]
                for neuron, amount in zip(neurons, np.broadcast_to(now, len(neurons)), strict=True):
                    neuron.scope[stimulus.variable] = np.float64(amount)

    def advance(self, tick: int) -> None:
        """The second half of step 4: the state moves on."""
        for projection in self.network.projections:
            for synapse in self.synapses[projection.name]:
                if synapse.code.clock:
                    synapse.update(self._outside(projection, synapse, tick + 1))
            shared = self.shared[projection.name]
            if shared:
                code = self.synapses[projection.name][0].code
                scope = {**shared, "t": tick * self.dt}
                execute(code.shared, scope, {})
                self.shared[projection.name] = {name: scope[name] for name in shared}
        for name, neurons in self.neurons.items():
            model, chance = neurons[0].code, self.noise[name]
            for stream, draw in enumerate((*model.noise, *model.uniform)):
                drawn = chance.normal if draw in model.noise else chance.uniform
                for neuron, number in zip(neurons, drawn(tick, stream), strict=True):
                    neuron.scope[draw] = number
            for neuron in neurons:
                neuron.update(tick)

    def fire(self, tick: int) -> None:
        """Step 5."""
        for name, neurons in self.neurons.items():
            found = [i for i, neuron in enumerate(neurons) if neuron.spikes(tick, self.dt)]
            if found:
                self.fired[name][tick] = found
        for name, source in self.sources.items():
            if found := source.spikes(tick):
                self.fired[name][tick] = found

    def _outside(self, projection: Projection, synapse: Synapse, tick: int) -> Scope:
        """Return what a synapse sees beside itself at a tick."""
        code = synapse.code
        seen = {**self.shared[projection.name], "t": (tick - 1) * self.dt}
        for variable in code.reads_post:
            post = self.neurons[projection.target][synapse.post]
            seen[f"{variable}_post"] = post.scope[variable]
        for variable in code.reads_pre:
            pre = self.neurons[projection.source][synapse.pre]
            seen[f"{variable}_pre"] = pre.scope[variable]
        return seen

    def _add(self, projection: Projection, synapse: Synapse, amounts: Mapping[str, float]) -> None:
        for variable, amount in amounts.items():
            self._sum(projection.target, synapse.post, variable, amount)

    def _sum(self, name: str, neuron: int, variable: str, amount: float, times: int = 1) -> None:
        resolution = self.resolution.get((name, variable), EXACT)
        key = (name, neuron, variable)
        self.sums[key] = self.sums.get(key, 0) + times * round(float(amount) / resolution)

    # --- what it gave

    def sampled(self, name: str, variable: str) -> list[float]:
        """Return a variable or subexpression of all neurons, now."""
        neurons = self.neurons[name]
        expression = neurons[0].code.subexpressions.get(variable, variable)
        return [float(evaluate(expression, neuron.scope)) for neuron in neurons]

    def spikes(self) -> dict[str, tuple[list[int], list[int]]]:
        """Return population -> ticks and neurons of all spikes."""
        return {
            name: (
                [tick for tick, neurons in fired.items() for _ in neurons],
                [neuron for neurons in fired.values() for neuron in neurons],
            )
            for name, fired in self.fired.items()
        }

    def variables(self, name: str) -> dict[str, npt.NDArray[np.float64]]:
        """Return the variables of a population, (size,) each."""
        return {
            variable.name: np.array([float(n.scope[variable.name]) for n in self.neurons[name]])
            for variable in self.neurons[name][0].code.variables
        }

    def synapse_variables(self, name: str) -> dict[str, npt.NDArray[np.float64]]:
        """Return the variables of a projection's synapses, (n_synapses,) each."""
        synapses = self.synapses[name]
        names = [variable.name for variable in synapses[0].code.variables] if synapses else []
        return {
            variable: np.array([float(s.values[variable]) for s in synapses]) for variable in names
        }
