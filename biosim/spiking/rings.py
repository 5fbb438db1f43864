"""The spikes of recent ticks, shared by the threads of a process."""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

from biosim.errors import BiosimError
from biosim.kernels.decorators import cached

GREATEST_BYTES = 1 << 36
"""Address space that rings may take; only what holds spikes takes memory."""

ROOM_BYTES = 1 << 31
"""Of it for spikes that have been delivered, and are kept until they are recorded."""


class Rings:
    """Numbers of the neurons that spiked, by shard and tick.

    Args:
        shards: shards of this process; one more ring holds what other ranks sent.
        depth: ticks that are kept: the longest delay, and a window.
        most: neurons that can spike in a tick on any one shard.

    Attributes:
        ids: (shards + 1, depth, most) uint32, of which `counts` are in use.
        counts: (shards + 1, depth) int64.

    Raises:
        BiosimError: delays are so long that the rings take too much address space.
    """

    def __init__(self, shards: int, depth: int, most: int) -> None:
        needed = 4 * (shards + 1) * depth * most
        if needed > GREATEST_BYTES:
            raise BiosimError(
                f"delays of {depth} ticks with {most} neurons need rings of "
                f"{needed / 2**30:.0f} GiB; use shorter delays or a longer tick"
            )
        self.ids = untouched((shards + 1, depth, max(1, most)), np.uint32)
        self.counts = np.zeros((shards + 1, depth), dtype=np.int64)

    @property
    def depth(self) -> int:
        """Ticks that are kept."""
        return int(self.counts.shape[1])

    def taken(self, ring: int, start: int, end: int) -> tuple[npt.NDArray[np.int64], ...]:
        """Return (ticks, numbers) of the spikes of a ring in [start, end), by tick."""
        n = int(_number(self.counts[ring : ring + 1], start, end))
        ticks, numbers = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        _take(self.ids[ring], self.counts[ring], start, end, ticks, numbers)
        return ticks, numbers

    def clear(self, ring: int, start: int, end: int) -> None:
        """Forget what a ring holds for the ticks [start, end)."""
        _clear(self.counts[ring], start, end)

    def number(self, rings: int, start: int, end: int) -> int:
        """Return how many spikes the first so many rings hold in [start, end)."""
        return int(_number(self.counts[:rings], start, end))

    def put(self, ring: int, ticks: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64]) -> None:
        """Add spikes to a ring."""
        _put(self.ids[ring], self.counts[ring], ticks, numbers)


def kept_ticks(window: int, least: int, longest: int, rings: int, most: int) -> int:
    """Return for how many ticks rings keep spikes that have been delivered everywhere.

    Args:
        window: as long as that, if there is room: who records them is called less often.
        least: the longest window of the run.
        longest: ticks of the longest delay, for which they are kept besides.
        rings: how many there are.
        most: neurons that a ring knows; a rank of many knows those of others, too.
    """
    room = ROOM_BYTES // (4 * rings * max(1, most)) - longest
    return max(min(window, least), min(window, room))


def untouched(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return an array of zeros whose pages take memory only once written, each by itself.

    Large pages, which numpy asks for, would take all of it: only the first numbers of every tick
    are ever written.
    """
    pages = mmap.mmap(-1, np.dtype(dtype).itemsize * math.prod(shape))
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(pages, dtype=dtype).reshape(shape)


@cached
def _clear(counts: Any, start: Any, end: Any) -> None:
    for tick in range(start, end):
        counts[tick % counts.shape[0]] = 0


@cached
def _number(counts: Any, start: Any, end: Any) -> int:
    found = 0
    for ring in range(counts.shape[0]):
        for tick in range(start, end):
            found += counts[ring, tick % counts.shape[1]]
    return found


@cached
def _take(ids: Any, counts: Any, start: Any, end: Any, ticks: Any, numbers: Any) -> None:
    n = 0
    for tick in range(start, end):
        place = tick % ids.shape[0]
        for s in range(counts[place]):
            ticks[n] = tick
            numbers[n] = ids[place, s]
            n += 1


@cached
def _put(ids: Any, counts: Any, ticks: Any, numbers: Any) -> None:
    for s in range(ticks.shape[0]):
        place = ticks[s] % ids.shape[0]
        ids[place, counts[place]] = numbers[s]
        counts[place] += 1
