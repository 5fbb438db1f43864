"""Variables of neurons that are read every so many ticks, inside the compiled program."""

from __future__ import annotations

import numpy as np

from biosim.equations.code import EquationError
from biosim.events import Window
from biosim.kernels.program import SampleCode
from biosim.spiking.layout import Layout
from biosim.spiking.recording import Recording, Sink, StateRecord
from biosim.spiking.shard import Arrays, Shard

LATER = 1 << 61
"""Ticks from one sample to the next where none is wanted."""


class Samples:
    """What the threads of a rank read of their neurons.

    Args:
        layout: of the network.
        shards: of this rank.
        recording: what is recorded.

    Attributes:
        codes: one for each record and variable.

    Raises:
        EquationError: a variable is recorded that the population does not have.
    """

    def __init__(self, layout: Layout, shards: list[Shard], recording: Recording) -> None:
        self._wanted: list[tuple[StateRecord, str]] = []
        self.codes: list[SampleCode] = []
        self.arrays: list[list[Arrays]] = [[] for _ in shards]
        self._neurons: list[list[np.ndarray]] = []
        for record in recording.states:
            i = layout.network.population_at[record.population]
            for variable in record.variables:
                self._check(layout, i, record, variable)
                self._wanted.append((record, variable))
                self.codes.append(SampleCode(layout.sheet_of(i), variable))
                chosen = [record.owned(*shard.slices[i]) for shard in shards]
                self._neurons.append(chosen)
                for t, shard in enumerate(shards):
                    _, place = shard.within(i)
                    local = chosen[t] - shard.slices[i][0] + place.start
                    self.arrays[t].append({"every": record.every, "chosen": local})
        self._kind = shards[0].float

    def begin(self, window: Window) -> None:
        """Make room for the samples of a window."""
        for arrays in self.arrays:
            for (record, _), made in zip(self._wanted, arrays, strict=True):
                # Where nothing is recorded nothing is due: the program takes no sample.
                every = record.every if record.during.touch(window) else LATER
                made["every"] = every
                made["first"] = -(-window.start // every) * every
                rows = max(0, -(-(window.end - made["first"]) // every))
                made["out"] = np.empty((rows, len(made["chosen"])), dtype=self._kind)

    def hand_over(self, window: Window, sink: Sink) -> None:
        """Give the samples of the window to the sink."""
        for s, (record, variable) in enumerate(self._wanted):
            made = [arrays[s] for arrays in self.arrays]
            ticks = np.arange(made[0]["first"], window.end, made[0]["every"], dtype=np.int64)
            neurons = np.concatenate(self._neurons[s])
            if len(neurons) and len(ticks):
                # A run that stops within the window has fewer.
                values = np.hstack([part["out"][: len(ticks)] for part in made])
                if len(record.during):
                    now = record.during.within(ticks)
                    ticks, values = ticks[now], values[now]
                sink.states(record.population, variable, ticks, neurons, values)

    def _check(self, layout: Layout, i: int, record: StateRecord, variable: str) -> None:
        if i not in layout.neurons:
            raise EquationError(
                f"variables of {record.population!r} are to be recorded; it has no equations"
            )
        code = layout.neurons[i]
        known = [*(v.name for v in code.variables), *code.subexpressions]
        if variable not in known:
            raise EquationError(
                f"{variable!r} of {record.population!r} is to be recorded; its equations have "
                f"{', '.join(known)}"
            )
