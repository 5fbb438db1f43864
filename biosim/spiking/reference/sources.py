"""What spikes without equations: listed and random sources, and Poisson input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from biosim.equations.evaluate import evaluate_value
from biosim.network import NetworkError, Population
from biosim.spiking.description import PoissonInput, PoissonSource, SpikeList, Spiking, Value
from biosim.spiking.recording import Spikes
from biosim.spiking.reference.chance import Chance


class Source:
    """A population that fires at random or when it is told.

    Args:
        population: its model is a `PoissonSource` or a `SpikeList`.
        replay: its spikes; None to draw those of a random source.
        seed: of the draws.
        dt: length of a tick in seconds.
    """

    def __init__(self, population: Population, replay: Spikes | None, seed: int, dt: float) -> None:
        model, name = population.model, population.name
        self._listed: dict[int, list[int]] | None = None
        if isinstance(model, SpikeList):
            replay = Spikes(np.asarray(model.ticks), np.asarray(model.indices))
        if replay is not None:
            self._listed = {}
            for tick, neuron in zip(replay.ticks.tolist(), replay.neurons.tolist(), strict=True):
                self._listed.setdefault(tick, []).append(neuron)
        elif isinstance(model, PoissonSource):
            whose = f"population {name!r}"
            self._chances = per_neuron(model.rate, "Hz", population.size, whose, {}) * dt
            self._draws = Chance(seed, f"poisson/{name}", population.size)
        else:
            raise NetworkError(
                f"population {name!r} is a {type(model).__name__}; the reference runs Spiking, "
                "PoissonSource and SpikeList"
            )

    def spikes(self, tick: int) -> list[int]:
        """Return the neurons that spike at this tick, in order."""
        if self._listed is not None:
            return sorted(self._listed.get(tick, ()))
        return [int(i) for i in np.flatnonzero(self._draws.uniform(tick) < self._chances)]


class Input:
    """The spikes that Poisson input brings to every neuron of a population.

    Args:
        stimulus: the description.
        target: where it ends.
        counts: (>= ticks, size) spikes of each tick; None to draw them.
        seed: of the draws.
        dt: length of a tick in seconds.
    """

    def __init__(
        self,
        stimulus: PoissonInput,
        target: Population,
        counts: npt.NDArray[np.int64] | None,
        seed: int,
        dt: float,
    ) -> None:
        self._counts = counts
        self._draws = Chance(seed, f"input/{stimulus.name}", target.size)
        rate = per_neuron(
            stimulus.rate, "Hz", target.size, f"input {stimulus.name!r}", constants_of(target)
        )
        self._means = stimulus.n * rate * dt

    def counts(self, tick: int) -> list[int]:
        """Return the number of spikes that each neuron receives at this tick."""
        if self._counts is not None:
            return [int(count) for count in self._counts[tick]]
        return [int(count) for count in self._draws.poisson(tick, self._means)]


def constants_of(population: Population) -> Mapping[str, Any]:
    """Return the constants that values of a population's stimuli may use."""
    return population.model.constants if isinstance(population.model, Spiking) else {}


def per_neuron(
    value: Value, unit: str, size: int, whose: str, constants: Mapping[str, Any]
) -> npt.NDArray[np.float64]:
    """Return a value for each neuron, (size,); it may use `i` and `N`."""
    names = {"i": np.arange(size, dtype=np.float64), "N": float(size)}
    found = evaluate_value(
        value, unit, whose=whose, place="value", constants=constants, names=names
    )
    return np.broadcast_to(np.asarray(found, dtype=np.float64), size)
