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
    """Set the variables that the shard owns, in the order of the description.

    Raises:
        EquationError: a name is unknown, or a value cannot be read.
        NetworkError: an array has another length than the population.
    """
    for i, code in layout.neurons.items():
        population = layout.network.populations[i]
        model = population.model
        assert isinstance(model, Spiking)
        lo, hi = shard.slices[i]
        units = {v.name: v.unit for v in code.variables}
        names: dict[str, Any] = {"i": np.arange(lo, hi, dtype=np.float64)}
        names["N"] = float(population.size)
        whose = f"population {population.name!r}"
        for variable, value in model.initial.items():
            if variable not in units:
                raise EquationError(
                    f"{whose}, initial {variable!r}: its equations have "
                    f"{', '.join(units)}; name one of them"
                )
            draws = Draws(seed, f"initial/{population.name}/{variable}")
            found = evaluate_value(
                _sliced(value, population.size, lo, hi, f"{whose}, initial {variable!r}"),
                units[variable],
                whose=whose,
                place=f"initial {variable!r}",
                constants=model.constants,
                names={**names, "rand": _called(draws.uniform, lo, hi), "randn": _called(draws.normal, lo, hi)},
                units=units,
            )
            names[variable] = np.broadcast_to(np.asarray(found, dtype=np.float64), hi - lo)
            shard.variable(i, variable)[...] = names[variable]


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
