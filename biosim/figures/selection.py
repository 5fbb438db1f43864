"""What of a run is drawn: where nothing is chosen, all that a page can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from biosim.analysis.spikes import Stretches, recorded_stretches
from biosim.analysis.stored import stored_names
from biosim.errors import AnalysisError
from biosim.traces import spikes_between


@dataclass(frozen=True)
class Selection:
    """A part of a run, and how wide it is drawn.

    Args:
        of: populations or projections; all if empty.
        start_s: begin of the stretch in seconds; of spikes and traces.
        stop_s: its end.
        neurons: of a raster, at most so many.
        width_mm: of the figure; 180 is a page of two columns, 88 is one of them.
    """

    of: tuple[str, ...] = ()
    start_s: float | None = None
    stop_s: float | None = None
    neurons: int = 400
    width_mm: float = 180.0

    def __post_init__(self) -> None:
        if not 40 <= self.width_mm <= 1000:
            raise AnalysisError(f"got a width of {self.width_mm} mm; expected 40 to 1000")
        if self.neurons < 1:
            raise AnalysisError(f"got {self.neurons} neurons; expected at least 1")


def chosen(known: Sequence[str], selection: Selection, what: str, hint: str) -> list[str]:
    """Return the chosen of those that are known.

    Args:
        known: what the run has.
        selection: whose `of` chooses.
        what: is stored of them, such as "spikes".
        hint: what to set for a run that has it.

    Raises:
        AnalysisError: there is nothing, or not what was chosen.
    """
    if not known:
        raise AnalysisError(f"the run stored no {what}; {hint}")
    unknown = [name for name in selection.of if name not in known]
    if unknown:
        raise AnalysisError(
            f"the run stored no {what} of {unknown[0]!r}; it has those of {', '.join(known)}"
        )
    return list(dict.fromkeys(selection.of)) or list(known)


def spikes_of(tree: xr.DataTree, name: str) -> xr.DataTree:
    """Return what was stored of the spikes of a population."""
    return tree.children["spikes"].children[name]


def spiking(tree: xr.DataTree, selection: Selection) -> list[str]:
    """Return the chosen populations whose spikes were stored.

    Raises:
        AnalysisError: none were, or not those.
    """
    return chosen(
        stored_names(tree, "spikes"), selection, "spikes", "run it again with record.spikes=true"
    )


def stretch(
    tree: xr.DataTree, names: Sequence[str], selection: Selection, most: int, share: float = 1.0
) -> tuple[float, float]:
    """Return the stretch of time in seconds: what is chosen, or as much as can be drawn.

    Args:
        tree: the run.
        names: populations.
        selection: may choose it.
        most: spikes; of more, the last ones are taken, a round number of seconds long. Of several
            stretches in which they were recorded it is the last one, too.
        share: of the neurons that are drawn.

    Raises:
        AnalysisError: nothing is stored of that stretch.
    """
    recorded_s = _together([spikes_of(tree, name).attrs for name in names])
    if not recorded_s:
        raise AnalysisError(
            f"so far there is no time at which spikes of {', '.join(names)} were all recorded; "
            "choose fewer populations, or draw a run that goes on later"
        )
    start_s, stop_s = selection.start_s, selection.stop_s
    if start_s is None:
        before = [a for a, _ in recorded_s if stop_s is None or a < stop_s]
        start_s = before[-1] if before else recorded_s[0][0]
    if stop_s is None:
        stop_s = next((b for _, b in recorded_s if b > start_s), recorded_s[-1][1])
    stop_s = min(stop_s, recorded_s[-1][1])
    if not recorded_s[0][0] * (1 - 1e-9) <= start_s < stop_s:
        known = ", ".join(f"{a:g} to {b:g} s" for a, b in recorded_s)
        raise AnalysisError(
            f"got the stretch from {start_s:g} s to {stop_s:g} s; expected one within what is "
            f"stored, {known}"
        )
    count = share * sum(
        spikes_between(tree, name, start_s, stop_s).sizes["spike"] for name in names
    )
    if selection.start_s is None and count > most:
        start_s = stop_s - floor_round((stop_s - start_s) * most / count)
    return start_s, stop_s


def _together(attributes: Sequence[Mapping[Any, Any]]) -> Stretches:
    """Return the stretches of time, in seconds, in which all of some populations were recorded."""
    found: Stretches = ((0.0, np.inf),)
    for own in attributes:
        parts = [
            (max(a, start), min(b, stop))
            for a, b in found
            for start, stop in recorded_stretches(own)
        ]
        found = tuple((a, b) for a, b in parts if a < b)
    return found


def floor_round(value: float) -> float:
    """Return the greatest of 1, 2, 5 times a power of ten that is no more than a value."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(next((m * power for m in (5, 2) if m * power <= value * (1 + 1e-9)), power))
