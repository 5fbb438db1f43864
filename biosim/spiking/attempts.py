"""Attempts at one run: each records into logs of its own, from the tick at which it goes on."""

from __future__ import annotations

from pathlib import Path

import zarr

from biosim.errors import OutputError
from biosim.spiking.merged import OWNERS, begun, committed_tick, merging
from biosim.store import writing


def attempts(path: Path) -> int:
    """Return how many attempts there were at recording a run, this one too."""
    return len(begun(zarr.open_group(str(path), mode="r", zarr_format=3)))


def next_attempt(path: Path, tick: int) -> int:
    """Let what was recorded count up to a tick, from which on another attempt records.

    It is one write: whoever reads sees the run before or after it. One process only.

    Args:
        path: the directory `run.zarr`.
        tick: where the run goes on.

    Returns:
        The number of the attempt.

    Raises:
        OutputError: the run has been finished, or that was begun, or less than that was stored.
    """
    root = zarr.open_group(str(path), mode="r+", zarr_format=3)
    committed = committed_tick(root)
    if committed is None:
        raise OutputError(f"{path} has been finished, and takes no more: run it from the beginning")
    if merging(root):  # what is not merged yet would lose what comes after the tick
        raise OutputError(
            f"{path} was killed while it was being finished, and takes no more: biosim traces "
            "repair finishes it, or run it from the beginning"
        )
    starts = begun(root)
    if starts[-1] <= tick and committed < tick:
        raise OutputError(
            f"{path} has stored what was recorded until tick {committed:,}, and is to go on at "
            f"{tick:,}: what is in between is lost; go on from an earlier checkpoint"
        )
    owners = root[OWNERS]
    with writing(path):
        owners.attrs["begun"] = [*starts, tick]
    return len(starts)
