"""From the tables of a spiking scenario to the description of a network, and what is recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from biosim.equations import neuron_code
from biosim.errors import BiosimError, ScenarioError
from biosim.network import Network, Population
from biosim.spiking.description import (
    PoissonInput,
    PoissonSource,
    Spiking,
    StepCurrent,
    Stimulus,
)
from biosim.spiking.periods import ALWAYS, PeriodError, Periods
from biosim.spiking.recording import Recording, SpikeRecord, StateRecord, WeightRecord
from scenarios.complaints import nearest
from scenarios.spiking.places import placed
from scenarios.spiking.projections import projections
from scenarios.spiking.schema import (
    InputTable,
    Neuron,
    PopulationTable,
    ProjectionTable,
    SpikesOf,
    SpikingScenario,
    StatesOf,
    WeightsOf,
)
from scenarios.spiking.spike_lists import spike_list
from scenarios.spiking.values import Values, tidy

LATEST = 1 << 62
"""Tick at which the longest run ends: sums of ticks fit in 64 bits."""


class Described:
    """What a spiking scenario describes.

    Args:
        scenario: its tables.

    Attributes:
        network: populations, projections, stimuli.
        recording: what is recorded.
        ticks: how many are run.
        tables: projection or stimulus -> its table; one table may stand for several.

    Raises:
        BiosimError: a value is impossible; the message names its place.
    """

    def __init__(self, scenario: SpikingScenario) -> None:
        self._scenario = scenario
        _check_names(scenario)
        self._values = Values(_constants(scenario), scenario.dt)
        self.ticks = self._values.ticks(scenario.run.duration, "run", "duration", most=LATEST)
        found = {name: self._population(name, t) for name, t in scenario.populations.items()}
        self.tables: dict[str, str] = {}
        self._sizes = {population.name: population.size for population in found.values()}
        joined, needed = [], {name: [vars(p.model)] for name, p in found.items()}
        for name, table in scenario.projections.items():
            for end in ("source", "target"):
                self._check_ends(getattr(table, end), f"projections.{name}.{end}")
            self._add_to_neurons(name, table, found, needed)
            made = projections(name, table, self._sizes, self._values)
            self.tables |= {projection.name: f"projections.{name}" for projection in made}
            joined += made
        populations = tuple(found.values())
        stimuli: list[Stimulus] = []
        for name, given in scenario.inputs.items():
            self._check_ends(given.target, f"inputs.{name}.target")
            driving = self._stimuli(name, given, populations)
            self.tables |= {stimulus.name: f"inputs.{name}" for stimulus in driving}
            stimuli += driving
        self.network = Network(
            populations, tuple(joined), dt=self._values.dt_s, stimuli=tuple(stimuli)
        )
        self.recording = self._recording()

    def _population(self, name: str, table: PopulationTable) -> Population:
        place = f"populations.{name}"
        size = self._values.whole(table.size, place, "size")
        if table.kind == "poisson":
            return Population(name, size, PoissonSource(self._values.filled(table.rate)))
        if table.kind == "spikes":
            return Population(name, size, spike_list(table, place, size, self.ticks, self._values))
        return Population(name, size, self._neurons(table, place))

    def _neurons(self, table: PopulationTable, place: str) -> Spiking:
        known = self._scenario.neurons
        if table.neuron is not None and table.neuron not in known:
            raise ScenarioError(
                f"{place}.neuron: no table neurons.{table.neuron}" + nearest(table.neuron, known)
            )
        shared = Neuron() if table.neuron is None else known[table.neuron]
        fixed = ("model", "threshold", "reset", "refractory", "method", "expected_rate")
        own = {key: _first(getattr(table, key), getattr(shared, key)) for key in fixed}
        if own["model"] is None:
            raise ScenarioError(f"neurons.{table.neuron}.model: is missing; give equations")
        constants = {**shared.constants, **table.constants}
        initial = {**shared.initial, **table.initial}
        texts = (*own.values(), *constants.values(), *initial.values())
        rate = own.pop("expected_rate")
        if rate is not None:
            own["expected_rate_hz"] = self._values.number(rate, place, "expected_rate", "Hz")
        return Spiking(
            **{**own, "refractory": tidy(own["refractory"])},
            constants={**self._values.used(texts), **_tidied(constants)},
            initial=_tidied(initial),
            integration=shared.integration if table.integration == "auto" else table.integration,
        )

    def _add_to_neurons(
        self,
        name: str,
        table: ProjectionTable,
        found: dict[str, Population],
        needed: Mapping[str, list[dict[str, Any]]],
    ) -> None:
        """Give the targets of a rule what it needs of them.

        Several projections may need the same of a population, which then is added once.

        Args:
            name: of the table.
            table: of the projection.
            found: populations by name; those of the targets are replaced.
            needed: of each, what its neuron is without any rule, then with each of those before.
        """
        rule = None if table.plasticity is None else table.plasticity.ruled(self._values.filled)
        if rule is None:
            return
        for target in _listed(table.target):
            model, known = found[target].model, needed[target]
            if not isinstance(model, Spiking):
                continue
            try:
                with_rule = vars(rule.neuron(Spiking(**known[0])))
                if with_rule not in known:
                    known.append(with_rule)
                    found[target] = replace(found[target], model=rule.neuron(model))
            except BiosimError as problem:
                raise type(problem)(f"projections.{name}.plasticity: {problem}") from None

    def _stimuli(
        self, name: str, table: InputTable, populations: Sequence[Population]
    ) -> list[Stimulus]:
        place, targets = f"inputs.{name}", _listed(table.target)
        own = [name] if isinstance(table.target, str) else [f"{name} {each}" for each in targets]
        if table.kind == "step":
            at = {population.name: population for population in populations}
            return [
                self._step(each, table, place, at[target])
                for each, target in zip(own, targets, strict=True)
            ]
        trains = table.n if isinstance(table.n, tuple) else (table.n,) * len(targets)
        if len(trains) != len(targets):
            raise ScenarioError(
                f"{place}.n: got {len(trains)} numbers for {len(targets)} targets; expected one, "
                "or one for each"
            )
        return [
            PoissonInput(
                each,
                target,
                str(table.receptor),
                self._values.filled(table.rate),
                self._values.filled(table.weight),
                1.0 if n is None else self._trains(n, place),
            )
            for each, target, n in zip(own, targets, trains, strict=True)
        ]

    def _trains(self, n: float | str, place: str) -> float:
        found = self._values.number(n, place, "n")
        if found < 0:
            raise ScenarioError(f"{place}.n: got {n!r}; expected 0 or more")
        return found

    def _step(
        self, name: str, table: InputTable, place: str, population: Population
    ) -> StepCurrent:
        variable, values = str(table.variable), self._values
        units: dict[str, str] = {}
        if isinstance(population.model, Spiking):
            with placed({}):
                code = neuron_code(population.model, values.dt_s, population.name)
            units = {v.name: v.unit for v in code.variables if v.role == "parameter"}
        if variable not in units:
            raise ScenarioError(
                f"{place}.variable: {variable!r} is no parameter of population "
                f"{population.name!r}, which has {', '.join(units) or 'none'}"
            )
        ticks = [values.ticks(time, place, "times", least=0) for time in table.times or ()]
        if ticks != sorted(set(ticks)):
            raise ScenarioError(
                f"{place}.times: got {list(table.times or ())}; expected them to rise"
            )
        if ticks and ticks[-1] >= self.ticks:
            raise ScenarioError(
                f"{place}.times: {(table.times or ())[-1]!r} is beyond the run, which takes "
                f"{self._scenario.run.duration}"
            )
        numbers = [values.number(v, place, "values", units[variable]) for v in table.values or ()]
        return StepCurrent(name, population.name, variable, ticks, np.array(numbers))

    def _recording(self) -> Recording:
        record, values = self._scenario.record, self._values
        if isinstance(record.spikes, bool):
            asked = [SpikesOf(population=name) for name in self._sizes if record.spikes]
        else:
            asked = [SpikesOf(population=s) if isinstance(s, str) else s for s in record.spikes]
        weights = []
        for snapshots in record.weights:
            every = values.ticks(snapshots.every, f"record.weights.{snapshots.projection}", "every")
            of_table = [
                name
                for name, table in self.tables.items()
                if table == f"projections.{snapshots.projection}"
            ]
            during = self._during(snapshots, f"weights.{snapshots.projection}")
            names = of_table or [snapshots.projection]
            weights += [WeightRecord(name, every, during) for name in names]
        return Recording(
            spikes=tuple(
                SpikeRecord(
                    each.population,
                    self._chosen(each, "spikes"),
                    self._during(each, f"spikes.{each.population}"),
                )
                for each in asked
            ),
            states=tuple(
                StateRecord(
                    each.population,
                    each.variables,
                    self._chosen(each, "states"),
                    1
                    if each.every is None
                    else values.ticks(each.every, f"record.states.{each.population}", "every"),
                    self._during(each, f"states.{each.population}"),
                )
                for each in record.states
            ),
            weights=tuple(weights),
        )

    def _during(self, asked: SpikesOf | StatesOf | WeightsOf, place: str) -> Periods:
        if asked.during is None:
            return ALWAYS
        place = f"record.{place}"
        edges = [
            self._values.ticks(edge, place, "during", least=0, most=LATEST)
            for stretch in asked.during
            for edge in stretch
        ]
        if max(edges[::2]) >= self.ticks:
            raise ScenarioError(
                f"{place}.during: got {[list(each) for each in asked.during]}, of which one begins "
                f"beyond the run; it takes {self._scenario.run.duration}"
            )
        try:
            return Periods(tuple(zip(edges[::2], edges[1::2], strict=True)))
        except PeriodError as problem:
            raise ScenarioError(f"{place}.during: {problem}") from None

    def _chosen(self, asked: SpikesOf | StatesOf, what: str) -> Any:
        neurons, place = asked.neurons, f"record.{what}.{asked.population}.neurons"
        if isinstance(neurons, int):
            size = self._sizes.get(asked.population, neurons)
            if neurons > size:
                raise ScenarioError(
                    f"{place}: got {neurons}, the first so many; the population has {size}: give "
                    "at most that, or leave it out for all"
                )
            return np.arange(neurons)
        if neurons is not None and len(set(neurons)) < len(neurons):
            raise ScenarioError(f"{place}: got {list(neurons)}; expected each neuron once")
        return None if neurons is None else np.array(neurons, dtype=np.int64)

    def _check_ends(self, names: str | tuple[str, ...], place: str) -> None:
        for name in _listed(names):
            if name not in self._sizes:
                raise ScenarioError(f"{place}: no population {name!r}" + nearest(name, self._sizes))
        if len(set(_listed(names))) < len(_listed(names)):
            raise ScenarioError(f"{place}: got {list(names)}; expected each population once")


def _constants(scenario: SpikingScenario) -> dict[str, Any]:
    """Return the constants that all texts may use."""
    if scenario.scale is None:
        return dict(scenario.constants)
    if "scale" in scenario.constants:
        raise ScenarioError(
            "constants.scale: the scenario has a scale; name the constant otherwise"
        )
    given = scenario.model_dump(exclude={"name", "dt", "scale", "run", "record"})
    if not any(_names_scale(text) for text in _texts(given)):
        raise ScenarioError(
            f"scale: got {scenario.scale:g}; no text of {scenario.name} names scale, so that it "
            "changes nothing: leave it out"
        )
    return {"scale": scenario.scale, **scenario.constants}


def _names_scale(text: str) -> bool:
    return "scale" in "".join(c if c.isalnum() or c == "_" else " " for c in text).split()


def _texts(tables: Any) -> Iterable[str]:
    if isinstance(tables, str):
        yield tables
    elif isinstance(tables, Mapping | list | tuple):
        for part in tables.values() if isinstance(tables, Mapping) else tables:
            yield from _texts(part)


def _check_names(scenario: SpikingScenario) -> None:
    """Refuse names that cannot be those of a stored group, or be told apart in a message."""
    for kind in ("populations", "projections", "inputs", "neurons"):
        for name in getattr(scenario, kind):
            if not name[:1].isalpha() or not all(c.isalnum() or c in "_-+>" for c in name):
                raise ScenarioError(
                    f"{kind}: {name!r} is no name; expected a letter, then letters, digits, and "
                    "any of _ - + >"
                )


def _listed(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def _tidied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tidy(value) for name, value in values.items()}


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
