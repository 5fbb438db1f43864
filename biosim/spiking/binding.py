"""What a shard's compiled program is called with: every argument by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from biosim.contracts import Ranks
from biosim.events import Tick
from biosim.kernels.program import DrawCode, ProgramCode, SampleCode
from biosim.network import NetworkError
from biosim.spiking import building
from biosim.spiking.building import Scales, Wires, store_arrays
from biosim.spiking.layout import Layout
from biosim.spiking.numbers import Numbers
from biosim.spiking.rings import Rings, untouched
from biosim.spiking.shard import Arrays, Shard, padded
from biosim.spiking.synapses import PlasticSynapses, greatest_effect
from biosim.wiring.rows import absolute_sums
from biosim.wiring.values import Listed

NUMBERED = (
    ("own", "gid"), ("source", "number"), ("source", "listed"), ("plastic", "first"),
    ("plastic", "end"),
)  # fmt: skip
"""Arguments that are numbers of neurons that the rank owns."""

EXPONENTS = 2200
"""Powers of two that a float64 may have, and some."""


class Binding:
    """The parts of a shard's program, and their arrays.

    Args:
        layout: of the network.
        wires: the amounts of every projection.
        shard: whose program it is.
        scales: of every receptor.
        seed: of the run.

    Attributes:
        arguments: of the program, by name; without those of the samples.
        longest: ticks from a spike to the last that is done because of it.
    """

    def __init__(
        self, layout: Layout, wires: Wires, shard: Shard, scales: Scales, seed: int
    ) -> None:
        self._layout, self._shard = layout, shard
        self._stores, stores, self.longest = building.static_stores(layout, wires, shard, scales)
        self._inputs, inputs = building.inputs(layout, shard, scales, seed)
        self._sources, sources = building.sources(layout, shard, seed)
        self._draws, draws = self._drawn(seed)
        self.plastic = [
            PlasticSynapses(layout, wires, shard, plastic, n, scales)
            for n, plastic in enumerate(layout.plastic)
        ]
        self.longest = max([self.longest, *(synapses.longest for synapses in self.plastic)])
        for synapses in self.plastic:
            synapses.arguments |= store_arrays(synapses.rows, synapses.steady)
        self.arguments: Arrays = {"shard_acc": shard.acc}
        # Spikes of listed sources: as they were told between two runs, and as they were before.
        self._told: Arrays = {}
        self._as_described: Arrays = {}
        for parts, prefix in (
            (stores, "store"),
            (inputs, "input"),
            (sources, "source"),
            (draws, "draw"),
            (shard.state, "sheet"),
            (shard.own, "own"),
            ([synapses.arguments for synapses in self.plastic], "plastic"),
        ):
            self.arguments |= joined(parts, prefix)
        for (sheet, receptor), scale in scales.items():
            self.arguments[f"sheet{sheet}__q_{receptor}"] = shard.float.type(scale)

    def code(self, samples: Sequence[SampleCode]) -> ProgramCode:
        """Return what the program's text is made from."""
        return ProgramCode(
            tuple(sheet.code for sheet in self._layout.sheets),
            tuple(self._stores),
            tuple(self._inputs),
            tuple(self._sources),
            tuple(self._draws),
            tuple(samples),
            tuple(
                (synapses.code, not synapses.steady, self._wait(synapses))
                for synapses in self.plastic
            ),
        )

    def _wait(self, synapses: PlasticSynapses) -> int:
        synapse = self._layout.sparse(synapses.plastic.projection).synapse
        assert synapse is not None
        return synapse.delay_post

    def renumber(self, numbers: Numbers) -> None:
        """Take a rank's own numbers of neurons in place of those in the whole network."""
        for name, value in self.arguments.items():
            part, _, rest = name.partition("_")
            kind = part.rstrip("0123456789")
            if rest == self._by_source(part):
                self.arguments[name] = numbers.rows(value)
            elif rest == "run_weight" and self._by_source(part) == "start":
                self.arguments[name] = value[numbers.kept]
            elif (kind, rest) in NUMBERED:
                found = numbers.of(value)
                self.arguments[name] = found if kind == "plastic" else found.astype(np.uint32)
        for synapses in self.plastic:
            synapses.renumber(numbers)

    def wanted(self) -> npt.NDArray[np.bool_]:
        """Return whether a neuron has synapses here: (emitting,)."""
        wanted = np.zeros(self._layout.emitting, dtype=bool)
        for name, value in self.arguments.items():
            part, _, rest = name.partition("_")
            if rest == self._by_source(part):
                wanted |= value[1:] > value[:-1]
        return wanted

    def _by_source(self, part: str) -> str:
        """Return which array of synapses has a place for every source; "" for other parts."""
        if not part.startswith(("store", "plastic")):
            return ""
        return "row" if f"{part}_row" in self.arguments else "start"

    def state(self) -> Arrays:
        """Return every array that the program changes, by name; not copies."""
        return {name: self.arguments[name] for name in self._changing()} | self._told

    def restore(self, state: Arrays) -> None:
        """Overwrite what the program changes, and what it was told."""
        for name in self._changing():
            self.arguments[name][...] = state[name]
        self._told = {name: state[name] for name in state.keys() - self._changing()}
        self._as_described = {x: self.arguments[x] for x in self._told} | self._as_described
        self.arguments |= self._as_described | self._told

    def tell(
        self, source: int, ticks: npt.NDArray[np.int64], listed: npt.NDArray[np.uint32]
    ) -> None:
        """Give a listed source other spikes: ticks and numbers of neurons, (n_spikes,) each."""
        told = {f"source{source}_ticks": ticks, f"source{source}_listed": listed}
        self._as_described = {name: self.arguments[name] for name in told} | self._as_described
        self._told |= told
        self.arguments |= told
        self.arguments[f"source{source}_position"][0] = 0

    def is_told(self, source: int) -> bool:
        """Return whether a listed source was told other spikes than those described."""
        return f"source{source}_ticks" in self._told

    def plastic_of(self, projection: str) -> PlasticSynapses:
        """Return the synapses of a plastic projection.

        Raises:
            NetworkError: there is none of that name.
        """
        names = [self._layout.network.projections[s.plastic.projection].name for s in self.plastic]
        if projection not in names:
            raise NetworkError(
                f"projection {projection!r} does not learn; those that do: "
                f"{', '.join(names) or 'none'}"
            )
        return self.plastic[names.index(projection)]

    def shared(self, projection: str, variable: str, now: Tick) -> npt.NDArray[Any]:
        """Return a shared variable of a plastic projection, (1,), not a copy, to be changed.

        Raises:
            NetworkError: there is no such projection or variable.
        """
        synapses = self.plastic_of(projection)
        known = [v.name for v in synapses.plastic.code.shared_variables]
        if variable not in known:
            raise NetworkError(
                f"projection {projection!r} has no shared variable {variable!r}; it has "
                f"{', '.join(known) or 'none'}"
            )
        synapses.catch_up(now)  # what has been was under the value until now
        found: npt.NDArray[Any] = synapses.arguments[f"s_{variable}"]
        return found

    def _changing(self) -> list[str]:
        fixed = {"row", "start", "slot", "delays", "weight", "run_weight", "gid", "means"}
        fixed |= {"key", "ticks", "listed", "due", "words"}

        def changes(name: str) -> bool:
            part, rest = name.split("_", 1)
            if part.startswith("sheet"):  # variables, which may have any name
                return True
            return rest not in fixed and not rest.startswith(("table_", "l_", "e_"))

        arrays = [name for name, value in self.arguments.items() if isinstance(value, np.ndarray)]
        return [name for name in arrays if changes(name)]

    def ring(self, rings: Rings) -> None:
        """Make what goes along with the rings: where each recent spike stands in its row."""
        stores = [f"store{i}" for i in range(len(self._stores))]
        for prefix in (*stores, *(f"plastic{n}" for n in range(len(self.plastic)))):
            if f"{prefix}_delays" in self.arguments:
                self.arguments[f"{prefix}_cursor"] = untouched(rings.ids.shape, np.int32)
            if f"{prefix}_row" in self.arguments:
                runs = len(self.arguments[f"{prefix}_start"]) - 1
                self.arguments[f"{prefix}_due"] = np.empty(runs, dtype=np.int64)

    def _drawn(self, seed: int) -> tuple[list[DrawCode], list[Arrays]]:
        codes, arrays = [], []
        for sheet in self._layout.sheets:
            kinds = [("normal", name) for name in sheet.code.code.noise]
            kinds += [("uniform", name) for name in sheet.code.code.uniform]
            for i in sheet.populations:
                lo, hi = self._shard.slices[i]
                name = self._layout.network.populations[i].name
                for stream, (kind, draw) in enumerate(kinds):
                    codes.append(DrawCode(kind, stream))
                    arrays.append(
                        {
                            "key": building.key(seed, f"noise/{name}"),
                            "first": lo,
                            "words": np.zeros(padded(hi - lo), dtype=np.uint32),
                            "out": self._shard.variable(i, draw),
                        }
                    )
        return codes, arrays


def joined(parts: Sequence[Arrays], prefix: str) -> Arrays:
    """Return the arguments of numbered parts under their names in the program."""
    return {
        f"{prefix}{i}_{name}": value for i, part in enumerate(parts) for name, value in part.items()
    }


def agreed_scales(layout: Layout, wires: Wires, shards: list[Shard], ranks: Ranks) -> Scales:
    """Return the resolution of every receptor's sums, the same on every rank.

    It follows from the greatest sum of absolute input that any neuron can get in a tick. Ranks
    agree on its power of two by adding up who needs which.
    """
    receptors = [(s, r) for s, sheet in enumerate(layout.sheets) for r in sheet.code.receptors]
    found = torch.zeros((len(receptors), EXPONENTS), dtype=torch.int64)
    for shard in shards:
        for n, (s, receptor) in enumerate(receptors):
            total = _greatest(layout, wires, shard, s, receptor)
            found[n, math.frexp(total)[1] + EXPONENTS // 2 if total > 0 else 0] += 1
    sums = ranks.sum(found.flatten()).reshape(found.shape).numpy()
    bits = 31 if shards[0].sums == np.int32 else 63
    scales = {}
    for n, receptor_of in enumerate(receptors):
        exponent = int(np.flatnonzero(sums[n])[-1]) - EXPONENTS // 2
        # One bit to spare: rounding may add half a unit to each weight.
        scales[receptor_of] = 2.0 ** (exponent - bits + 1) if sums[n, 1:].any() else 1.0
    return scales


def _greatest(layout: Layout, wires: Wires, shard: Shard, sheet: int, receptor: str) -> float:
    """Return the greatest sum of absolute input of an owned neuron in a tick."""
    totals = np.zeros(shard.size[sheet])
    for i in layout.static:
        target = layout.ends(i)[1]
        if layout.network.projections[i].receptor != receptor:
            continue
        at, place = shard.within(target)
        if at == sheet and place.stop > place.start:
            totals[place] += _absolute(wires, shard, i)
    for plastic in layout.plastic:
        at, place = shard.within(layout.ends(plastic.projection)[1])
        if at == sheet and place.stop > place.start:
            part = wires.part(plastic.projection, shard, 0)
            totals[place] += part.numbers() * greatest_effect(plastic.code, receptor, part.name)
    for stimulus in layout.inputs():
        target = layout.network.population_at[stimulus.target]
        at, place = shard.within(target)
        if at == sheet and stimulus.receptor == receptor and place.stop > place.start:
            mean = float(building.poisson_rates(layout, stimulus).max())
            if mean > building.MOST_MEAN:
                raise NetworkError(
                    f"input {stimulus.name!r} brings {mean:g} spikes a tick; expected at most "
                    f"{building.MOST_MEAN:g}: take a lower rate, fewer trains or shorter ticks"
                )
            most = building.most_spikes(mean)
            totals[place] += abs(building.poisson_weight(layout, stimulus)) * most
    return float(totals.max(initial=0.0))


def _absolute(wires: Wires, shard: Shard, i: int) -> np.ndarray:
    """Return the sum of absolute weights of each owned target, or a bound of it."""
    part = wires.part(i, shard, 0)
    ends = part.weight.ends
    # Most of a bit too much for not drawing every weight once more; but a list may have any.
    if ends is not None and not isinstance(part.weight, Listed):
        return part.numbers() * max(abs(ends[0]), abs(ends[1]))
    return absolute_sums(part)
