"""Neo: a block of spike trains, through which Elephant's statistics are reached.

Why a function beside the file: Elephant takes Neo's objects, and `neo_block` gives them without
a detour over the disk. The file is a pickle of the block, Neo's own format that needs no further
library (NIX would need nixio); open it with the version of Neo that wrote it, and never from
someone you do not trust.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from biosim.errors import OutputError
from biosim.exchange.files import required
from biosim.exchange.stored import (
    StoredSpikes,
    even_s,
    provenance_text,
    stored_spikes,
    summary,
    title,
)

MOST = 100_000
"""Spike trains that are made: Neo makes an object of each."""
UNIT = re.compile(r"[A-Za-z]+(\^-?\d+)?([ */][A-Za-z]+(\^-?\d+)?)*")


def neo_block(tree: xr.DataTree, populations: Sequence[str] | None = None) -> Any:
    """Return a run as a `neo.Block` with one segment.

    Every recorded neuron is a `SpikeTrain` in seconds, silent ones too, annotated with its
    population and number; each population is a `Group`. Of one that was recorded in several
    stretches of time, an `Epoch` named after it has these. Each recorded variable is an
    `AnalogSignal` (n_samples, n_neurons) with its unit. The block's annotations hold scenario,
    seed and versions.

    Args:
        tree: of `biosim.open_run`.
        populations: to take; all whose spikes were recorded if left out.

    Raises:
        OutputError: neo is missing, no spikes were recorded, or there are too many neurons.
    """
    spikes = stored_spikes(tree, populations)
    count = sum(len(stored.neurons) for stored in spikes.values())
    if count > MOST:
        raise OutputError(
            f"Neo makes an object of every neuron, and {count:,} were recorded; choose with "
            f"--population some that have at most {MOST:,}, or export to nwb"
        )
    neo = required("neo", "neo")
    block = neo.Block(
        name=title(tree),
        description=summary(tree),
        rec_datetime=datetime.fromisoformat(str(tree.attrs["started"]))
        if "started" in tree.attrs
        else None,
        provenance=provenance_text(tree),
    )
    if "seed" in tree.attrs:
        block.annotate(seed=int(tree.attrs["seed"]))
    segment = neo.Segment(name=title(tree))
    block.segments.append(segment)
    for stored in spikes.values():
        group = neo.Group(name=stored.population)
        for train in _trains(neo, stored):
            segment.spiketrains.append(train)
            group.add(train)
        block.groups.append(group)
        if len(stored.recorded_s) > 1:
            segment.epochs.append(_stretches(neo, stored))
    for signal in _signals(neo, tree, list(spikes)):
        kind = (
            segment.analogsignals
            if isinstance(signal, neo.AnalogSignal)
            else segment.irregularlysampledsignals
        )
        kind.append(signal)
    return block


def write_neo(tree: xr.DataTree, path: Path, populations: Sequence[str] | None = None) -> None:
    """Write the block of a run as a pickle.

    Args:
        tree: of `biosim.open_run`.
        path: of the file.
        populations: to take; all whose spikes were recorded if left out.

    Raises:
        OutputError: as for `neo_block`.
    """
    block = neo_block(tree, populations)
    required("neo.io", "neo").PickleIO(str(path)).write_block(block)


def _trains(neo: Any, stored: StoredSpikes) -> list[Any]:
    trains = stored.trains()
    times = trains.read(0, int(trains.ends[-1]) if len(trains.ends) else 0)
    starts = np.concatenate([[0], trains.ends[:-1]])
    return [
        neo.SpikeTrain(
            times[start:stop],
            units="s",
            t_start=stored.start_s,
            t_stop=stored.stop_s,
            name=f"{stored.population}[{neuron}]",
            population=stored.population,
            neuron=int(neuron),
        )
        for neuron, start, stop in zip(stored.neurons, starts, trains.ends, strict=True)
    ]


def _stretches(neo: Any, stored: StoredSpikes) -> Any:
    begins, ends = np.array(stored.recorded_s).T
    return neo.Epoch(
        times=begins,
        durations=ends - begins,
        labels=["recorded"] * len(begins),
        units="s",
        name=stored.population,
    )


def _signals(neo: Any, tree: xr.DataTree, populations: Sequence[str]) -> list[Any]:
    found = []
    traces = tree.children["traces"].children if "traces" in tree.children else {}
    for population in populations:
        if population not in traces:
            continue
        stored = traces[population].to_dataset(inherit=False)
        for variable, array in stored.data_vars.items():
            if array.ndim != 2 or not array.shape[0]:
                continue
            along, across = array.dims
            about: dict[str, Any] = {
                "name": f"{population}.{variable}",
                "array_annotations": {"neuron": array[across].values.astype(np.int64)},
                "population": population,
            }
            unit, about["unit"] = _unit(str(array.attrs.get("units", "1")))
            found.append(_signal(neo, array.values, unit, array[along].values, about))
    return found


def _signal(
    neo: Any,
    values: npt.NDArray[Any],
    unit: Any,
    when: npt.NDArray[np.float64],
    about: dict[str, Any],
) -> Any:
    quantities = required("quantities", "neo")
    every_s = even_s(when)
    if every_s is not None:
        start, every = when[0] * quantities.s, every_s * quantities.s
        return neo.AnalogSignal(values, units=unit, t_start=start, sampling_period=every, **about)
    return neo.IrregularlySampledSignal(
        when * quantities.s, values, units=unit, time_units="s", **about
    )


def _unit(text: str) -> tuple[Any, str]:
    """Return a unit as Neo has it, dimensionless where it knows none of that name; and the text."""
    quantities = required("quantities", "neo")
    # Quantities evaluates the text: only what can be a unit is given to it.
    if not UNIT.fullmatch(text):
        return quantities.dimensionless, text
    try:
        return quantities.Quantity(1.0, text.replace("^", "**").replace(" ", "*")).units, text
    except (AttributeError, LookupError, SyntaxError, TypeError, ValueError):
        return quantities.dimensionless, text
