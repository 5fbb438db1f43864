"""Why a compiled program stopped: what went wrong first, in the order of one thread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from biosim.events import Tick
from biosim.spiking.binding import Binding
from biosim.spiking.layout import Layout
from biosim.spiking.shard import Shard


def why_stopped(
    layout: Layout,
    shards: Sequence[Shard],
    status: Sequence[npt.NDArray[np.int64]],
    bindings: Sequence[Binding],
) -> tuple[Tick, str]:
    """Return the tick at which something went wrong, and what to say of it.

    Args:
        layout: of the network.
        shards: of a rank.
        status: of each: tick, sheet and neuron of what went wrong.
        bindings: of each.
    """
    stopped: list[tuple[tuple[int, ...], Shard, int]] = []
    for shard, said in zip(shards, status, strict=True):
        tick, sheet, neuron = (int(x) for x in said[:3])
        if tick >= 0:
            where = (1, sheet, *shard.whose(sheet, neuron)) if sheet >= 0 else (0, -1 - sheet)
            stopped.append(((tick, *where), shard, neuron))
    (tick, in_sheet, number, *_), shard, neuron = min(stopped, key=lambda found: found[0])
    if in_sheet:
        return tick, shard.wrong(number, neuron, tick)
    for binding in bindings:
        if wrong := binding.plastic[number].wrong(tick):
            return tick, wrong
    name = layout.network.projections[layout.plastic[number].projection].name
    return tick, (
        f"projection {name!r} adds more to its target at tick {tick} than its bounds allow, "
        "by which the fixed point is scaled; what was recorded until then is kept: keep the "
        "weight within bounds, such as w = clip(w + ..., 0, wmax), or give wider bounds"
    )
