"""Parameters of neurons that are set at given ticks: currents that step."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from biosim.events import Tick, Window
from biosim.network import NetworkError
from biosim.spiking.description import StepCurrent
from biosim.spiking.layout import Layout
from biosim.spiking.shard import Shard


class Steps:
    """The step currents of a network, for the shards of one rank.

    Args:
        layout: of the network.
        shards: of this rank.

    Raises:
        NetworkError: the target has no such variable, ticks do not increase, or there are not as
            many values as ticks or neurons.
    """

    def __init__(self, layout: Layout, shards: list[Shard]) -> None:
        self._layout, self._shards = layout, shards
        steps = [s for s in layout.network.stimuli if isinstance(s, StepCurrent)]
        for step in steps:
            self._check(step)
        self._due: dict[Tick, list[tuple[StepCurrent, np.ndarray]]] = {}
        for step in steps:
            for tick, value in zip(step.ticks, np.asarray(step.values), strict=True):
                self._due.setdefault(int(tick), []).append((step, value))
        self._ticks = sorted(self._due)

    def cuts(self, window: Window) -> set[Tick]:
        """Return the ticks within a window at which something is set."""
        first, last = (bisect_left(self._ticks, at) for at in (window.start + 1, window.end))
        return set(self._ticks[first:last])

    def set_at(self, tick: Tick) -> None:
        """Set what is due at the start of this tick."""
        for step, value in self._due.get(tick, ()):
            self._set(step, value)

    def _set(self, step: StepCurrent, value: np.ndarray) -> None:
        i = self._layout.network.population_at[step.target]
        for shard in self._shards:
            lo, hi = shard.slices[i]
            shard.variable(i, step.variable)[...] = value if value.ndim == 0 else value[lo:hi]

    def _check(self, step: StepCurrent) -> None:
        network, what = self._layout.network, f"step current {step.name!r}"
        i = network.population_at.get(step.target, -1)
        if i not in self._layout.neurons:
            raise NetworkError(f"{what} goes to {step.target!r}; expected neurons with equations")
        known = [v.name for v in self._layout.neurons[i].variables if v.role == "parameter"]
        if step.variable not in known:
            raise NetworkError(
                f"{what} sets {step.variable!r} of {step.target!r}; its parameters are "
                f"{', '.join(known) or 'none'}: declare it, such as '{step.variable} : amp'"
            )
        ticks, values = np.asarray(step.ticks), np.asarray(step.values)
        if ticks.ndim != 1 or (np.diff(ticks) <= 0).any() or (ticks < 0).any():
            raise NetworkError(f"{what}: got ticks {ticks.tolist()}; expected increasing, from 0")
        size = network.populations[i].size
        if values.shape not in ((len(ticks),), (len(ticks), size)):
            raise NetworkError(
                f"{what}: got values of shape {values.shape}; expected ({len(ticks)},) or "
                f"({len(ticks)}, {size})"
            )
