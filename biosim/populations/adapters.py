"""Adapters: where populations that spike meet those that do not.

A minibatch of R rows is presented to spiking populations row after row, each for n ticks. The
encoder says when each row begins and ends, and the counter counts what arrives in between: a
graded population behind it steps once a presentation, as every graded population does.

Every projection takes time. A row's spikes reach the counter later than the row's drive leaves
the encoder, by the sum of the delays in between; a `rows` projection with that delay counts
exactly what the row caused first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from biosim.events import NEVER, Event, Mode, Presentation, Tick, Window
from biosim.network import NetworkError, Projection, whole
from biosim.populations.site import Outlet, Site, require
from biosim.spiking.description import Adapter, Spiking, Value

ONE = 1 << 32
"""What a spike adds to a count: counts are sums of integers, in which no order shows."""


@dataclass(frozen=True, eq=False)
class RateEncoder(Adapter):
    """Presents rows of activity one after the other, each as a drive for so many ticks.

    An entry x of a row becomes a drive of low + (high - low) x. Between presentations, and in
    the rest after a row, the drive is `low`.

    Receptor: `activity`, (n_rows, N).

    Variables that projections may carry: `drive`, (1, N) for the row that begins, to the
    receptor `rate` of a Poisson source or to a parameter of neurons with equations; `rows`,
    (n_rows, 2): when each row begins, in ticks from now, and for how many ticks it lasts.

    Args:
        ticks: that a row is presented, at least 1.
        high: the drive of an entry of 1; in the unit of what is driven, such as "60*Hz".
        low: the drive of an entry of 0.
        rest: ticks after each row.

    Raises:
        NetworkError: ticks are not whole numbers.
    """

    to_spikes: ClassVar[str] = "drive"

    ticks: int
    high: Value
    low: Value = 0.0
    rest: int = 0

    def __post_init__(self) -> None:
        if not (whole(self.ticks, 1) and whole(self.rest, 0)):
            raise NetworkError(
                f"a RateEncoder presents rows for {self.ticks} ticks with a rest of {self.rest}; "
                "expected whole numbers, at least 1 and 0"
            )

    def presented(self, rows: int) -> int:
        """Return how many ticks the presentation of a minibatch takes."""
        return rows * (self.ticks + self.rest)

    def actor(self, site: Site) -> RateEncoderActor:
        """Return the actor of a population of this kind."""
        return RateEncoderActor(self, site)

    def check(
        self, name: str, incoming: Sequence[Projection], outgoing: Sequence[Projection]
    ) -> None:
        """Raise NetworkError if a projection uses a receptor or variable it does not have."""
        require(name, "rate encoder", incoming, outgoing, ("activity",), ("drive", "rows"))
        if len(incoming) != 1:
            raise NetworkError(
                f"population {name!r} (rate encoder) is reached by {len(incoming)} projections; "
                "expected one, which brings the rows"
            )


@dataclass(frozen=True, eq=False)
class SpikeCounter(Adapter):
    """Counts the spikes of each neuron in each row of a presentation, and sends them at its end.

    Receptors: `spikes`, from one or several spiking populations of its size, whose counts add
    up; `rows`, from a `RateEncoder`, whose arrival begins the first row.

    Variable that projections may carry: `count`, (n_rows, N).

    Args:
        tau: None to count; else the time in which a spike loses 1 - 1/e of its weight until the
            end of the row, such as "20*ms".
    """

    from_spikes: ClassVar[str] = "spikes"

    tau: Value = None

    def actor(self, site: Site) -> SpikeCounterActor:
        """Return the actor of a population of this kind."""
        return SpikeCounterActor(self, site)

    def check(
        self, name: str, incoming: Sequence[Projection], outgoing: Sequence[Projection]
    ) -> None:
        """Raise NetworkError if a projection uses a receptor or variable it does not have."""
        require(name, "spike counter", incoming, outgoing, ("spikes", "rows"), ("count",))
        came = [p for p in incoming if p.receptor == "rows"]
        if len(came) != 1 or came[0].carries != "rows" or len(came) == len(incoming):
            raise NetworkError(
                f"population {name!r} (spike counter) needs the spikes of a population and one "
                "projection that carries 'rows' of a RateEncoder to its receptor 'rows'; it has "
                + (", ".join(f"{p.carries!r} to {p.receptor!r}" for p in incoming) or "none")
            )


class RateEncoderActor:
    """Presents one minibatch at a time."""

    state_names: ClassVar[tuple[str, ...]] = ("due", "free", "shown")

    def __init__(self, model: RateEncoder, site: Site) -> None:
        self._model, self._site = model, site
        outlets = site.outlets()
        self._notes = outlets.get("rows", [])
        self._drives = [
            (outlet, *_range(model, site, outlet)) for outlet in outlets.get("drive", [])
        ]
        self.due: list[tuple[Tick, int]] = []
        """Ticks at which the drive changes, and the row from then on; -1 for none."""
        self.free: Tick = 0
        self.shown: tuple[Presentation, Tensor] | None = None

    def next_wake(self) -> Tick:
        """Return when the drive changes next, or NEVER."""
        return self.due[0][0] if self.due else NEVER

    def advance(self, window: Window, inbox: list[Event]) -> list[Event]:
        """Begin what arrives, and send each row's drive when its time comes."""
        out: list[Event] = []
        for event in inbox:
            self._until(event.tick, out)
            self._begin(event, out)
        self._until(window.end, out)
        return out

    def parameters(self) -> dict[str, dict[str, Tensor]]:
        """Return nothing: it has no synapses."""
        return {}

    def activity(self) -> Tensor | None:
        """Return None: its activity is what it was given."""
        return None

    def _begin(self, event: Event, out: list[Event]) -> None:
        rows, name, model = event.payload, self._site.population.name, self._model
        assert rows is not None
        if rows.ndim != 2 or rows.shape[1] != self._site.population.size:
            raise NetworkError(
                f"population {name!r} (rate encoder) got activity of shape {tuple(rows.shape)}; "
                f"expected (n_rows, {self._site.population.size})"
            )
        if event.tick < self.free:
            raise NetworkError(
                f"population {name!r} (rate encoder) got rows at tick {event.tick} while it "
                f"presents others until tick {self.free}; let {len(rows)} rows take "
                f"{model.presented(len(rows))} ticks: a longer period or phase, or smaller "
                "minibatches"
            )
        self.free = event.tick + model.presented(len(rows))
        # The last presentation's end gives way to this one's beginning.
        self.due = []
        begins = range(0, model.presented(len(rows)), model.ticks + model.rest)
        for row, begin in enumerate(begins):
            self.due.append((event.tick + begin, row))
            if model.rest or row == len(rows) - 1:
                self.due.append((event.tick + begin + model.ticks, -1))
        self.shown = event.presentation, rows.detach().cpu().double()
        times = torch.tensor([[begin, model.ticks] for begin in begins])
        for outlet in self._notes:
            outlet.send(event.tick, event.presentation, times, out)

    def _until(self, tick: Tick, out: list[Event]) -> None:
        while self.due and self.due[0][0] < tick:
            now, row = self.due.pop(0)
            assert self.shown is not None
            at, rows = self.shown
            x = rows[row : row + 1] if row >= 0 else torch.zeros_like(rows[:1])
            for outlet, low, high in self._drives:
                outlet.send(now, at, low + (high - low) * x, out)


class _Visit:
    """The counts of one presentation.

    Args:
        at: the presentation.
        begins: (n_rows,) tick of each row's beginning.
        ends: (n_rows,) tick before which it ends.
        size: how many neurons are counted.
        weights: what a spike adds, by the ticks that are left to the end of its row.
    """

    state_names: ClassVar[tuple[str, ...]] = ("at", "begins", "ends", "weights", "sums")

    def __init__(
        self,
        at: Presentation,
        begins: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
        size: int,
        weights: npt.NDArray[np.int64],
    ) -> None:
        self.at, self.begins, self.ends, self.weights = at, begins, ends, weights
        self.sums = np.zeros((len(begins), size), dtype=np.int64)

    def add(self, ticks: npt.NDArray[np.int64], neurons: npt.NDArray[np.int64]) -> None:
        """Count spikes (n,) that arrive at these ticks."""
        rows = np.searchsorted(self.begins, ticks, side="right") - 1
        left = self.ends[rows] - ticks
        inside = (rows >= 0) & (left > 0)
        np.add.at(self.sums, (rows[inside], neurons[inside]), self.weights[left[inside]])


class SpikeCounterActor:
    """Counts what arrives during presentations; other spikes are dropped."""

    state_names: ClassVar[tuple[str, ...]] = ("visits", "probed")
    state_types: ClassVar[tuple[type, ...]] = (_Visit,)

    def __init__(self, model: SpikeCounter, site: Site) -> None:
        self._site = site
        self._outlets = site.outlets().get("count", [])
        self._spikes = frozenset(i for i, _ in site.afferents("spikes"))
        self._tau_ticks = _ticks(model, site)
        self.visits: list[_Visit] = []
        self.probed: list[Tensor] = []

    def next_wake(self) -> Tick:
        """Return the end of the presentation, or NEVER."""
        return int(self.visits[0].ends[-1]) if self.visits else NEVER

    def advance(self, window: Window, inbox: list[Event]) -> list[Event]:
        """Count what arrives in the window; send the counts of a presentation that ends."""
        came: list[tuple[Tick, npt.NDArray[np.int64]]] = []
        for event in inbox:
            assert event.payload is not None
            if event.projection in self._spikes:
                came.append((event.tick, event.payload.numpy()))
            else:
                self._begin(event)
        if self.visits and came:
            ticks = np.repeat([tick for tick, _ in came], [len(neurons) for _, neurons in came])
            neurons = np.concatenate([neurons for _, neurons in came])
            for visit in self.visits:
                visit.add(ticks, neurons)
        out: list[Event] = []
        while self.next_wake() < window.end:
            self._send(self.visits.pop(0), out)
        return out

    def parameters(self) -> dict[str, dict[str, Tensor]]:
        """Return nothing: it has no synapses."""
        return {}

    def activity(self) -> Tensor | None:
        """Return and forget the counts of the last probe: (n_samples, n_units)."""
        if not self.probed:
            return None
        probed, self.probed = torch.cat(self.probed), []
        return probed

    def _begin(self, event: Event) -> None:
        assert event.payload is not None
        begins, lasts = event.payload.numpy().T
        begins = event.tick + begins
        left = np.arange(lasts.max() + 1)
        decayed = np.exp(-left / self._tau_ticks) if self._tau_ticks else np.ones(len(left))
        weights = np.rint(ONE * decayed).astype(np.int64)
        size = self._site.population.size
        self.visits.append(_Visit(event.presentation, begins, begins + lasts, size, weights))

    def _send(self, visit: _Visit, out: list[Event]) -> None:
        counts = torch.from_numpy(visit.sums / ONE).to(self._site.device, self._site.dtype)
        for outlet in self._outlets:
            outlet.send(int(visit.ends[-1]), visit.at, counts, out)
        if visit.at.mode == Mode.PROBE:
            self.probed.append(counts)


def _range(model: RateEncoder, site: Site, outlet: Outlet) -> tuple[float, float]:
    """Return the drive of an entry of 0 and of 1, in the SI unit of what is driven."""
    # Only a network that spikes needs Brian2's parser.
    from biosim.equations import neuron_code

    driven = site.network.populations[outlet.target]
    receptor, unit = site.network.projections[outlet.projection].receptor, "Hz"
    if isinstance(driven.model, Spiking):
        assert site.network.dt is not None
        code = neuron_code(driven.model, site.network.dt, driven.name)
        unit = next(v.unit for v in code.variables if v.name == receptor)
    return _number(site, "low", model.low, unit), _number(site, "high", model.high, unit)


def _ticks(model: SpikeCounter, site: Site) -> float | None:
    """Return the time constant in ticks."""
    if model.tau is None:
        return None
    name, tau = site.population.name, _number(site, "tau", model.tau, "s")
    assert site.network.dt is not None
    if not 0 < tau < float("inf"):
        raise NetworkError(
            f"population {name!r} (spike counter) has a tau of {tau:g} s; expected more than 0"
        )
    return tau / site.network.dt


def _number(site: Site, place: str, value: Value, unit: str) -> float:
    """Return a value of an adapter's description in the SI unit."""
    from biosim.equations.evaluate import evaluate_value

    whose = f"population {site.population.name!r}"
    found = evaluate_value(value, unit, whose=whose, place=place)
    if np.ndim(found):
        raise NetworkError(f"{whose}, {place}: got shape {np.shape(found)}; expected one number")
    return float(found)
