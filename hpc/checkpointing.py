"""When a run is stored so that it can go on, and why it then ends or does not.

A checkpoint is due every so many ticks, every so many minutes, and when a signal asks the run to
end. All ranks come to the end of the same window (`biosim.events.PAUSE`) and store it together.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import biosim
from biosim.checkpoints.arrays import Stretch
from biosim.checkpoints.directory import FOLDER, Checkpoint, CheckpointError, newest
from biosim.checkpoints.simulation import store
from biosim.events import NEVER, PAUSE, PAUSE_WHEN_QUIET, Tick
from biosim.grid import IRRELEVANT, ONLY_FOR_SPEED, flattened
from biosim.simulation import Simulation
from hpc.provenance import now
from hpc.stopping import REASONS, SIGNALS, WARNINGS, Heeding, asked
from scenarios.scenario import Checkpoints

SHARE = 0.02
"""Of the time of a run, most that checkpoints take which are due by the clock."""

NEUTRAL = (IRRELEVANT - {"run.seed", "run.evaluate_every"}) | ONLY_FOR_SPEED - {"run.device"}
"""Settings that a run may be resumed with others of; those of `checkpoint`, too."""

WARNING_S, GRACE_S = "BIOSIM_WARNING_S", "BIOSIM_GRACE_S"
"""Variables with the seconds from a warning to the end, and from SIGTERM to it; unknown if not
set."""


class Checkpointing:
    """Stores a run now and then, and ends it where it was asked to.

    Args:
        out: directory of the run.
        scenario: as the checkpoint says it.
        settings: when, and how many are kept.
        ranks: how this rank talks to the others.
        tick: of the checkpoint from which the run goes on; None for the beginning.

    Attributes:
        tick: of the newest one; None if there is none.
    """

    def __init__(
        self,
        out: Path,
        scenario: Mapping[str, Any],
        settings: Checkpoints,
        ranks: Heeding,
        tick: Tick | None = None,
    ) -> None:
        self._folder, self._scenario, self._settings = out / FOLDER, scenario, settings
        self._ranks = ranks
        self._every_s = settings.minutes * 60.0
        self._due_s = time.monotonic() + self._every_s
        self._took_s = 0.0
        # Not looked up: ranks on other nodes may see what a run of before has left.
        self.tick = tick
        self._next = self.until(tick or 0)

    def until(self, tick: Tick) -> Tick:
        """Return the next tick, after this one, at which a checkpoint is due."""
        every = self._settings.ticks
        return NEVER if every is None else (tick // every + 1) * every

    def due(self) -> bool:
        """Return whether the clock asks for one: that of rank 0."""
        return self._ranks.rank == 0 and time.monotonic() >= self._due_s

    def asks(self, tick: Tick, only_to_end: bool = False) -> bool:
        """Return whether any rank has a reason to store the run; all ranks call it together.

        Args:
            tick: at which it stands.
            only_to_end: whether only a signal counts.
        """
        due = not only_to_end and (self.due() or tick >= self._next)
        return self._ranks.agree(bool(asked()) or due)

    @contextmanager
    def pausing(
        self, only_if_asked: bool = False, when_quiet: Simulation | None = None
    ) -> Iterator[None]:
        """Let the simulation pause where a checkpoint is due.

        Args:
            only_if_asked: pause only to end.
            when_quiet: not before nothing is under way in this one.
        """
        ranks = self._ranks
        ranks.pause, ranks.due = PAUSE, bool if only_if_asked else self.due
        if when_quiet is not None:
            engine = when_quiet.engine
            ranks.pause = PAUSE_WHEN_QUIET
            ranks.due = lambda: self.due() or engine.now >= self._next
        try:
            yield
        finally:
            ranks.pause, ranks.due = None, bool

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Let the simulation neither pause nor end by itself: whoever runs it `asks`."""
        ranks = self._ranks
        ranks.pause = NEVER
        try:
            yield
        finally:
            ranks.pause = None

    def take(
        self,
        simulation: Simulation,
        position: Mapping[str, Any],
        beside: Iterable[Stretch] = (),
        own: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Store the run where it stands, and end it if it was asked to; all ranks call it.

        Args:
            simulation: this rank's part.
            position: where in the run it stands; rank 0's counts.
            beside: what else is stored by all ranks.
            own: what this rank alone stores, by the name of a group.

        Raises:
            StoppedError: the run was asked to end; it can be resumed.
            OutputError: the disk does not take it.
        """
        number = self._agreed_signal()
        if number is not None and self._ranks.agree(not self._time_left(number)):
            self._end(number, simulation.engine.now, "there was no time left for another one")
        if self.tick != simulation.engine.now:
            began_s = time.monotonic()
            said = {
                "scenario": self._scenario,
                "biosim": biosim.__version__,
                "position": dict(position),
                "written": now(),
            }
            store(simulation, self._folder, said, beside, self._settings.keep, own or {})
            self.tick = simulation.engine.now
            self._took_s = time.monotonic() - began_s
        self._due_s = time.monotonic() + max(self._every_s, self._took_s / SHARE)
        self._next = self.until(simulation.engine.now)
        if number is not None:
            self._end(number, simulation.engine.now, "")

    def _agreed_signal(self) -> int | None:
        """Return the signal of greatest weight that any rank got."""
        came = torch.tensor([int(number in asked()) for number in SIGNALS])
        counts = self._ranks.sum(came).tolist()
        return next((n for n, count in zip(SIGNALS, counts, strict=True) if count), None)

    def _time_left(self, number: int) -> bool:
        """Return whether there is time to store the run, as far as this rank knows."""
        given = os.environ.get(WARNING_S if number in WARNINGS else GRACE_S, "")
        came_s = asked().get(number)
        if not given.replace(".", "", 1).isdecimal() or came_s is None:
            return True
        return time.monotonic() + self._took_s < came_s + float(given)

    def _end(self, number: int, tick: Tick, why_not: str) -> None:
        name = signal.Signals(number).name
        stands = (
            "no checkpoint" if self.tick is None else f"its newest checkpoint is of {self.tick:,}"
        )
        detail = f"; {why_not}" if why_not else ""
        raise REASONS[number](
            f"the run was asked to end by {name} and stopped at tick {tick:,}: {stands}{detail}; "
            f"go on by biosim run --resume {self._folder.parent}"
        )


def found_checkpoint(out: Path, scenario: Mapping[str, Any]) -> Checkpoint:
    """Return the newest checkpoint of a run, which is of this scenario.

    Args:
        out: directory of the run.
        scenario: to go on with.

    Raises:
        CheckpointError: there is none, it is damaged, or of another scenario or version.
    """
    path = newest(out / FOLDER)
    if path is None:
        raise CheckpointError(
            f"{out} has no checkpoint to go on from; run it from the beginning, with --overwrite"
        )
    checkpoint = Checkpoint(path)
    said = checkpoint.attributes
    if said.get("biosim") != biosim.__version__:
        raise CheckpointError(
            f"{path} was written by biosim {said.get('biosim')}, and this is "
            f"{biosim.__version__}, which may compute other bits; go on with the version that "
            "wrote it, or run from the beginning"
        )
    stored, asks = settled(said.get("scenario", {})), settled(scenario)
    for key in sorted(stored.keys() | asks.keys()):
        if stored.get(key) != asks.get(key):
            raise CheckpointError(
                f"{path} is of another scenario: {key} was {_shown(stored, key)} and is "
                f"{_shown(asks, key)}; resume with the settings that it has, or run from the "
                "beginning"
            )
    return checkpoint


def settled(scenario: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a scenario that a run keeps to its end: path -> value."""
    kept = {key: value for key, value in scenario.items() if key != "checkpoint"}
    return {key: value for key, value in flattened(kept).items() if key not in NEUTRAL}


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return repr(settings[key]) if key in settings else "not set"
