"""How far the run of an entry is, by what it wrote itself."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biosim.store import PROGRESS, STORE
from hpc.ending import writer


@dataclass(frozen=True)
class RunProgress:
    """What a run says of itself.

    Args:
        status: as in its store; "" before there is one.
        percent: done, 0 to 100; None if unknown.
        done: such as "epoch 3 of 8" or "tick 5,000 of 10,000".
        speed: such as "5,200 samples/s".
        seconds_left: None if unknown.
        accuracy: share of right answers so far, by way of answering.
        updated: date of the latest word.
        error: why it could not go on, in a line.
        said: all of `progress.json`.
    """

    status: str = ""
    percent: float | None = None
    done: str = ""
    speed: str = ""
    seconds_left: float | None = None
    accuracy: Mapping[str, float] = field(default_factory=dict)
    updated: str = ""
    error: str = ""
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def can_go_on(self) -> bool:
        """Whether it has a checkpoint."""
        return self.said.get("checkpoint") is not None


def read_progress(run: Path) -> RunProgress:
    """Return what `progress.json` of a run says, as far as it can be understood."""
    try:
        said = json.loads((run / PROGRESS).read_text(encoding="utf-8"))
        assert isinstance(said, dict)
    except (OSError, ValueError, AssertionError):
        said = {}
    if said.get("status", "failed") != "running" and "error" not in said:
        # What fails before its first epoch, or on a full disk, says so in its store at most.
        kept = {k: v for k, v in _attributes(run).items() if k in ("status", "error")}
        said = {**kept, **said}
    speeds = (("samples_per_second", "samples/s"), ("ticks_per_second", "ticks/s"))
    speed = next((f"{v:,.0f} {u}" for k, u in speeds if (v := _number(said.get(k)))), "")
    done = next(
        (
            f"{what} {int(at):,} of {int(of):,}"
            for what in ("epoch", "tick")
            if (at := _number(said.get(what))) is not None
            and (of := _number(said.get(f"{what}s"))) is not None
        ),
        "",
    )
    right = said.get("accuracy")
    shares = right if isinstance(right, Mapping) else {}
    return RunProgress(
        status=str(said.get("status", "")),
        percent=_number(said.get("percent")),
        done=done,
        speed=speed,
        seconds_left=_number(said.get("seconds_left")),
        accuracy={str(k): n for k, v in shares.items() if (n := _number(v)) is not None},
        updated=str(said.get("updated", "")),
        error=" ".join(str(said.get("error") or "").split()),
        said=said,
    )


def is_written(run: Path) -> bool:
    """Return whether a process still writes a run that says that it is running."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return writer(run / STORE, _attributes(run)) is not None
    return False


def _attributes(run: Path) -> Mapping[str, Any]:
    # Opening hundreds of stores for an attribute each would take longer than anything else here.
    with suppress(OSError, ValueError, KeyError):
        found = json.loads((run / STORE / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        if isinstance(found, Mapping):
            return found
    return {}


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None
