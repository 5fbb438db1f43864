"""How often neurons are expected to spike, from their description."""

from __future__ import annotations

import numpy as np

from biosim.spiking import building
from biosim.spiking.description import PoissonSource, SpikeList, Spiking
from biosim.spiking.layout import Layout

RATE_HZ = 10.0
"""Of neurons of which neither the description nor the user says how often they spike."""


def expected_rate(layout: Layout, i: int, otherwise_hz: float = RATE_HZ) -> float:
    """Return the mean rate of a population, in hertz.

    Args:
        layout: of the network.
        i: position of the population.
        otherwise_hz: of neurons with equations, and of sources that are told while they run.
    """
    population = layout.network.populations[i]
    model = population.model
    if isinstance(model, Spiking):
        return otherwise_hz if layout.neurons[i].threshold is not None else 0.0
    if isinstance(model, SpikeList):
        ticks = np.asarray(model.ticks)
        if not len(ticks):
            return otherwise_hz  # told while it runs
        return len(ticks) / population.size / ((int(ticks.max()) + 1) * layout.dt)
    assert isinstance(model, PoissonSource)
    whose = f"population {population.name!r}"
    rate = float(building.of_neurons(model.rate, "Hz", population, whose, "rate").mean())
    return rate or otherwise_hz
