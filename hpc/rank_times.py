"""What ranks spend their time on: computing, talking, waiting for each other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch

from biosim.contracts import Ranks
from biosim.store import RunStore


@dataclass
class RankTimes:
    """Counts of one rank.

    Args:
        run: wall time in nanoseconds.
        exchange: of it, packing, sending and unpacking.
        wait: of it, waiting for other ranks.
        bytes: sent to other ranks.
        messages: sent to other ranks, empty ones not counted.
        exchanges: how often ranks met.
    """

    run: int = 0
    exchange: int = 0
    wait: int = 0
    bytes: int = 0
    messages: int = 0
    exchanges: int = 0


NAMES = tuple(field.name for field in fields(RankTimes))


class Clock:
    """Adds up what a rank does while it is running.

    Args:
        ranks: whose `times`, if they keep any, go on counting.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._now: RankTimes = getattr(ranks, "times", RankTimes())
        self.total = RankTimes()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what happens inside."""
        before, began = [getattr(self._now, name) for name in NAMES], time.perf_counter_ns()
        try:
            yield
        finally:
            self.total.run += time.perf_counter_ns() - began
            for name, value in zip(NAMES[1:], before[1:], strict=True):
                more = getattr(self._now, name) - value
                setattr(self.total, name, getattr(self.total, name) + more)

    def gathered(self) -> npt.NDArray[np.int64]:
        """Return the counts of all ranks: (n_ranks, n_counts); every rank calls it."""
        ranks = self._ranks
        table = torch.zeros(ranks.size, len(NAMES), dtype=torch.int64)
        table[ranks.rank] = torch.tensor([getattr(self.total, name) for name in NAMES])
        found: npt.NDArray[np.int64] = ranks.sum(table.flatten()).reshape(table.shape).numpy()
        return found


def write_times(store: RunStore, table: npt.NDArray[np.int64]) -> None:
    """Store what ranks spent their time on, by rank: under `timing/ranks`.

    Args:
        store: of the run.
        table: as `Clock.gathered` gives it.
    """
    of = dict(zip(NAMES, table.T, strict=True))
    store.group("timing/ranks", {"exchanges": int(of["exchanges"].max())})
    seconds = {
        "compute": of["run"] - of["exchange"] - of["wait"],
        "exchange": of["exchange"],
        "wait": of["wait"],
    }
    about = {
        "compute": "time spent neither on exchanging nor on waiting",
        "exchange": "packing, sending and unpacking",
        "wait": "waiting for other ranks",
    }
    for name, values in seconds.items():
        told = {"units": "s", "long_name": about[name]}
        store.write(f"timing/ranks/{name}", values / 1e9, ["rank"], told)
    for name, unit in (("bytes", "byte"), ("messages", "1")):
        told = {"units": unit, "long_name": f"{name} sent to other ranks"}
        store.write(f"timing/ranks/{name}", of[name], ["rank"], told)
