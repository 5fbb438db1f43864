"""Snapshots of plastic synapses, by target and source, whatever the rows' order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from biosim.events import Tick, Window
from biosim.network import NetworkError
from biosim.spiking.layout import Layout
from biosim.spiking.recording import Recording, Sink, WeightRecord
from biosim.spiking.shard import Shard
from biosim.spiking.synapses import PlasticSynapses

Joined = tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], dict[str, npt.NDArray[Any]]]
"""Sources, targets, and variables by name, (n,) each."""


class Snapshots:
    """What is recorded of the synapses of a rank.

    Args:
        layout: of the network.
        shards: of this rank.
        bindings: theirs.
        recording: what is recorded.

    Raises:
        NetworkError: the weights of a projection without plasticity are recorded.
    """

    def __init__(
        self, layout: Layout, shards: list[Shard], bindings: list[Any], recording: Recording
    ) -> None:
        self._records = recording.weights
        names = [layout.network.projections[p.projection].name for p in layout.plastic]
        for record in self._records:
            if record.projection not in names:
                raise NetworkError(
                    f"the weights of {record.projection!r} are to be recorded, but never change; "
                    f"projections that learn: {', '.join(names) or 'none'}"
                )
        self._layout, self._shards = layout, shards
        self._synapses = {
            name: [binding.plastic[n] for binding in bindings] for n, name in enumerate(names)
        }

    def cuts(self, window: Window) -> set[Tick]:
        """Return the ticks within a window before which a snapshot is due."""
        return {
            tick
            for record in self._records
            for tick in range(
                (window.start // record.every + 1) * record.every, window.end, record.every
            )
            if record.during.holds(tick)
        }

    def hand_over(self, tick: int, sink: Sink) -> None:
        """Give the snapshots that are due at the end of a piece."""
        for record in self._records:
            if tick % record.every == 0 and record.during.holds(tick):
                self._hand_over(record, tick, sink)

    def _hand_over(self, record: WeightRecord, tick: int, sink: Sink) -> None:
        sources, targets, values = self.joined(self._synapses[record.projection], tick)
        if len(sources):
            sink.weights(record.projection, tick, sources, targets, values)

    def joined(self, synapses: Sequence[PlasticSynapses], tick: int) -> Joined:
        """Return sources, targets and variables of the synapses of all shards."""
        parts = [self.of(each, tick) for each in synapses]
        values = {name: np.concatenate([part[2][name] for part in parts]) for name in parts[0][2]}
        sources, targets = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        return sources, targets, values

    def of(self, synapses: PlasticSynapses, tick: int) -> Joined:
        """Return sources, targets and variables of synapses, by (target, source)."""
        synapses.catch_up(tick)
        sources, targets = synapses.ends()
        order = np.lexsort((sources, targets))
        values = {x: synapses.variable(x)[order] for x in synapses.code.variables}
        return sources[order], targets[order], values
