"""Where two runs of one network part: the first spike that only one of them has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biosim.network import NetworkError
from biosim.spiking.recording import Spikes
from biosim.spiking.start import Outcome


@dataclass(frozen=True)
class Parting:
    """How two runs differ.

    Args:
        tick: first tick at which the spikes differ; None if they are equal.
        population: where they differ first, by position in the network.
        neuron: the lowest one whose spike only one run has.
        only: "ours" or "theirs": the run that has this spike.
        spikes_before: number of spikes, in all populations, that are equal before `tick`.
        spikes: number of spikes of each run, (ours, theirs).
        weight_difference: largest absolute difference of any variable of any synapse.
        weight_place: (projection, variable, position in the start's order) of that difference;
            None if all are equal.
    """

    tick: int | None
    population: str | None
    neuron: int | None
    only: str | None
    spikes_before: int
    spikes: tuple[int, int]
    weight_difference: float
    weight_place: tuple[str, str, int] | None

    @property
    def same_spikes(self) -> bool:
        """Whether every spike is equal."""
        return self.tick is None

    def lines(self, ours: str = "biosim", theirs: str = "Brian2") -> list[str]:
        """Return what to tell a reader, one line each."""
        if self.same_spikes:
            said = [f"every spike is equal: {self.spikes[0]} in {ours} and in {theirs}"]
        else:
            who = ours if self.only == "ours" else theirs
            said = [
                f"the spikes part at tick {self.tick}: only {who} has a spike of neuron "
                f"{self.neuron} of population {self.population!r}; {self.spikes_before} spikes "
                f"before are equal ({self.spikes[0]} in {ours}, {self.spikes[1]} in {theirs})"
            ]
        if self.weight_place is not None:
            projection, variable, position = self.weight_place
            said.append(
                f"largest difference of a synapse: {self.weight_difference:.3g} in {variable!r} "
                f"of synapse {position} of projection {projection!r}"
            )
        return said


def compare(ours: Outcome, theirs: Outcome) -> Parting:
    """Find where two runs of the same network from the same start part.

    Raises:
        NetworkError: they are of different length or have different populations.
    """
    if ours.ticks != theirs.ticks or list(ours.spikes) != list(theirs.spikes):
        raise NetworkError(
            f"runs of {ours.ticks} ticks of {', '.join(ours.spikes)} and of {theirs.ticks} ticks "
            f"of {', '.join(theirs.spikes)} cannot be compared; run the same network as long"
        )
    firsts = [
        (*found, name)
        for name in ours.spikes
        if (found := _first(ours.spikes[name], theirs.spikes[name])) is not None
    ]
    # min() keeps the first of equals, so that populations are asked in the network's order.
    first = min(firsts, key=lambda found: found[0], default=None)
    tick, neuron, only, population = first if first is not None else (None, None, None, None)
    end = ours.ticks if tick is None else tick
    difference, place = _weights(ours, theirs)
    return Parting(
        tick=tick,
        population=population,
        neuron=neuron,
        only=only,
        spikes_before=sum(int(np.sum(spikes.ticks < end)) for spikes in ours.spikes.values()),
        spikes=(_count(ours), _count(theirs)),
        weight_difference=difference,
        weight_place=place,
    )


def _count(outcome: Outcome) -> int:
    return sum(len(spikes.ticks) for spikes in outcome.spikes.values())


def _first(ours: Spikes, theirs: Spikes) -> tuple[int, int, str] | None:
    """Return (tick, neuron, who has it) of the first spike that only one has."""
    mine = list(zip(ours.ticks.tolist(), ours.neurons.tolist(), strict=True))
    other = list(zip(theirs.ticks.tolist(), theirs.neurons.tolist(), strict=True))
    equal = next(
        (k for k, (a, b) in enumerate(zip(mine, other, strict=False)) if a != b),
        min(len(mine), len(other)),
    )
    # Both are in order, so the smaller of the next two is the one that the other lacks.
    left = [
        (*spikes[equal], who)
        for spikes, who in ((mine, "ours"), (other, "theirs"))
        if equal < len(spikes)
    ]
    return min(left, default=None)


def _weights(ours: Outcome, theirs: Outcome) -> tuple[float, tuple[str, str, int] | None]:
    largest, place = 0.0, None
    for projection, variables in ours.synapses.items():
        for variable, values in variables.items():
            other = theirs.synapses.get(projection, {}).get(variable)
            if other is None or not len(values):
                continue
            apart = np.abs(values - other)
            # A weight that is not a number on one side only is as far away as can be.
            apart = np.where(
                np.isnan(apart), np.where(np.isnan(values) & np.isnan(other), 0, np.inf), apart
            )
            position = int(np.argmax(apart))
            if apart[position] > largest:
                largest, place = float(apart[position]), (projection, variable, position)
    return largest, place
