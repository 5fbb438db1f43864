"""What adapters hear of the spiking populations of a rank."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from biosim.events import Event, Kind, Presentation
from biosim.spiking.layout import Layout


def heard(
    layout: Layout,
    me: int,
    at: Presentation,
    ticks: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.int64],
) -> list[Event]:
    """Return the spikes that adapters get: for each tick its neurons, (n,), in any order.

    Args:
        layout: of the network.
        me: the actor that sends.
        at: the presentation that spikes belong to.
        ticks: (n_spikes,) in any order.
        numbers: (n_spikes,) of the neurons, among all that emit.
    """
    network, events = layout.network, []
    order = np.argsort(ticks, kind="stable")
    ticks, numbers = ticks[order], numbers[order]
    for i in layout.heard:
        (source, target), delay = layout.ends(i), network.projections[i].delay
        neurons = numbers - layout.first[source]
        mine = (neurons >= 0) & (neurons < network.populations[source].size)
        neurons = neurons[mine]
        found, starts, counts = np.unique(ticks[mine], return_index=True, return_counts=True)
        for tick, start, count in zip(found.tolist(), starts, counts, strict=True):
            payload = torch.from_numpy(neurons[start : start + count])
            events.append(Event(tick + delay, Kind.SPIKE, me, target, i, at, payload))
    return events
