"""The source: presents minibatches, phase after phase, when the network is ready for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from biosim.contracts import Encoder
from biosim.events import NEVER, WHEN_QUIET, Event, Mode, Presentation, Tick, Window
from biosim.network import Projection
from biosim.populations.site import Site, require


@dataclass(frozen=True)
class Source:
    """Where samples come from.

    It sends the variables of its encoder, and `phase`: the positions of the samples in the data
    set, (n_rows,), whose arrival begins a phase.

    Receptor: `score`, class scores (n_rows, n_classes) that the network sends back for a
    minibatch; the encoder gets them.

    Args:
        encoder: makes, from the run's seed, what says what is sent in each phase.
        sends: the variables that the encoder gives.
    """

    encoder: Callable[[int], Encoder]
    sends: tuple[str, ...] = ("x", "label")

    def actor(self, site: Site) -> SourceActor:
        """Return the actor of a population of this kind."""
        return SourceActor(self, site)

    def check(
        self, name: str, incoming: Sequence[Projection], outgoing: Sequence[Projection]
    ) -> None:
        """Raise NetworkError if a projection uses a receptor or variable it does not have."""
        require(name, "source", incoming, outgoing, ("score",), (*self.sends, "phase"))


@dataclass(frozen=True, eq=False)
class Reel:
    """What is to be presented: samples in an order, in minibatches, under one mode.

    Args:
        x: (n_samples, n_features) on the source's device.
        y: (n_samples,) labels, in the smallest integers that hold them: they are sent.
        order: (n,) positions of samples, in the order of presentation.
        mode: why they are presented.
        epoch: the epoch of the presentations.
        batch_size: rows a minibatch; the last may have fewer, unless it is learnt.
        period: ticks from one minibatch to the next; None waits until the network is quiet.
        phases: positions of the phases that take place.
    """

    # Whoever goes on from a checkpoint lays out the same samples anew.
    state_names: ClassVar[tuple[str, ...]] = ()

    x: Tensor
    y: Tensor
    order: Tensor
    mode: Mode
    epoch: int
    batch_size: int
    period: int | None
    phases: tuple[int, ...]

    def __deepcopy__(self, memo: dict[int, Any]) -> Reel:
        """Return itself: nothing in it ever changes, and the data set is large."""
        return self


class SourceActor:
    """Presents the reel that it was given, or its replica's share of it.

    Of what is learnt, every replica presents its parts of each minibatch; of what is answered,
    whole minibatches in turn; what is probed belongs to the first.
    """

    state_names: ClassVar[tuple[str, ...]] = ("reel", "batch", "due", "next_start", "encoder")

    def __init__(self, model: Source, site: Site) -> None:
        self.encoder = model.encoder(site.seed)
        self._outlets = site.outlets()
        self._phases = site.network.phases
        self._count = site.count
        self._share = site.share
        self.reel: Reel | None = None
        self.batch = 0
        self.next_start: Tick = NEVER
        self.due: list[tuple[Tick, int, int]] = []

    def present(self, reel: Reel, now: Tick) -> None:
        """Begin with this reel at the next window, which starts at `now` or later."""
        self.reel, self.due = reel, []
        self.batch = 0 if reel.mode == Mode.LEARN else self._share.replica
        self.next_start = WHEN_QUIET if reel.period is None else now
        if self.batch and (reel.mode == Mode.PROBE or self._is_over(reel)):
            self.next_start = NEVER

    def next_wake(self) -> Tick:
        """Return the tick of the next phase or minibatch, or WHEN_QUIET between minibatches."""
        return min(self.due[0][0] if self.due else NEVER, self.next_start)

    def advance(self, window: Window, inbox: list[Event]) -> list[Event]:
        """Send what is due in the window."""
        out: list[Event] = []
        for event in inbox:
            assert event.payload is not None
            self.encoder.listen(self._samples(event.presentation), event.payload)
        # A source that waits for quiet is woken without any event.
        if self.next_start == WHEN_QUIET and not inbox and not self.due:
            self._start(window.start)
        while self.next_wake() < window.end:
            if self.next_start <= (self.due[0][0] if self.due else NEVER):
                self._start(self.next_start)
            else:
                self._send(*self.due.pop(0), out)
        return out

    def parameters(self) -> dict[str, dict[str, Tensor]]:
        """Return nothing: it has no synapses."""
        return {}

    def activity(self) -> Tensor | None:
        """Return None: its activity is the data."""
        return None

    def _start(self, tick: Tick) -> None:
        reel = self.reel
        assert reel is not None
        for phase in reel.phases:
            self.due.append((tick + self._phases[phase].start, phase, self.batch))
        self.due.sort()
        self.batch += self._share.replicas if reel.mode == Mode.ANSWER else 1
        if self._is_over(reel):
            self.next_start = NEVER
        else:
            self.next_start = WHEN_QUIET if reel.period is None else tick + reel.period

    def _send(self, now: Tick, phase: int, batch: int, out: list[Event]) -> None:
        reel = self.reel
        assert reel is not None
        for part in self._share.own if reel.mode == Mode.LEARN else (0,):
            at = Presentation(reel.epoch, batch, phase, reel.mode, part)
            self._send_part(now, at, reel, out)

    def _send_part(self, now: Tick, at: Presentation, reel: Reel, out: list[Event]) -> None:
        samples, phase = self._samples(at), at.phase
        if reel.mode == Mode.LEARN and phase == reel.phases[0]:
            self._count.samples += len(samples)
        x, y = reel.x.index_select(0, samples), reel.y.index_select(0, samples)
        payloads = self.encoder.encode(phase, at, samples, x, y)
        for name, outlets in self._outlets.items():
            payload = samples.int() if name == "phase" else payloads.get(name)
            for outlet in outlets:
                if payload is not None:
                    outlet.send(now, at, payload, out)

    def _is_over(self, reel: Reel) -> bool:
        return self.batch * reel.batch_size >= len(reel.order)

    def _samples(self, at: Presentation) -> Tensor:
        reel = self.reel
        assert reel is not None
        rows = reel.batch_size // (self._share.parts if at.mode == Mode.LEARN else 1)
        first = at.batch * reel.batch_size + at.part * rows
        return reel.order[first : first + rows]


class Plain:
    """Sends inputs as they are, and labels, in every phase.

    Args:
        seed: not used; nothing is drawn.
    """

    state_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, seed: int) -> None:
        pass

    def encode(
        self, phase: int, at: Presentation, samples: Tensor, x: Tensor, y: Tensor
    ) -> dict[str, Tensor]:
        """Return x (n_rows, n_features) and label (n_rows,)."""
        return {"x": x, "label": y}

    def listen(self, samples: Tensor, scores: Tensor) -> None:
        """Ignore class scores."""
