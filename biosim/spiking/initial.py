"""Start values of neurons: each variable's is an expression, drawn by neuron where it is random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from biosim.draws import Draws
from biosim.equations.code import EquationError
from biosim.equations.evaluate import evaluate_value
from biosim.network import NetworkError
from biosim.spiking.description import Spiking
from biosim.spiking.layout import Layout
from biosim.spiking.shard import Shard


def set_initial(layout: Layout, shard: Shard, seed: int) -> None:
    """Set the variables that the shard owns.

    Raises:
        EquationError: a name is unknown, or a value cannot be read.
        NetworkError: an array has another length than the population.
    """
    for i in layout.neurons:
        for variable, values in start_values(layout, i, *shard.slices[i], seed).items():
            shard.variable(i, variable)[...] = values


def start_values(
    layout: Layout, i: int, lo: int, hi: int, seed: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the start values of neurons [lo, hi) of a population, variable -> (hi - lo,).

    Variables are set in the order of the description; what is not named starts at 0.
    """
    population, code = layout.network.populations[i], layout.neurons[i]
    model = population.model
    assert isinstance(model, Spiking)
    units = {v.name: v.unit for v in code.variables}
    found = {name: np.zeros(hi - lo) for name in units}
    names: dict[str, Any] = {"i": np.arange(lo, hi, dtype=np.float64), "N": float(population.size)}
    whose = f"population {population.name!r}"
    for variable, value in model.initial.items():
        place = f"initial {variable!r}"
        if variable not in units:
            raise EquationError(
                f"{whose}, {place}: its equations have {', '.join(units)}; name one of them"
            )
        draws = Draws(seed, f"initial/{population.name}/{variable}")
        drawn = {"rand": _called(draws.uniform, lo, hi), "randn": _called(draws.normal, lo, hi)}
        values = evaluate_value(
            _sliced(value, population.size, lo, hi, f"{whose}, {place}"),
            units[variable],
            whose=whose,
            place=place,
            constants=model.constants,
            names=names | drawn,
            units=units,
        )
        found[variable][...] = values
        names[variable] = found[variable]
    return found


def _called(
    draw: Callable[..., npt.NDArray[np.float64]], lo: int, hi: int
) -> Callable[[], npt.NDArray[np.float64]]:
    """Return a function that draws a number a neuron, others at every call."""
    calls = iter(range(1 << 16))
    return lambda: draw(np.arange(lo, hi), 1, next(calls))[:, 0]


def _sliced(value: Any, size: int, lo: int, hi: int, what: str) -> Any:
    shape = np.shape(value) if not isinstance(value, str) else ()
    if shape == ():
        return value
    if shape != (size,):
        raise NetworkError(f"{what} has shape {shape}; expected one number, or ({size},)")
    return value[lo:hi]
