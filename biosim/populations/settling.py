"""Settling populations: units that relax together to the minimum of an energy.

Scellier and Bengio 2017 (arXiv 1602.05179): E = |s|^2/2 - sum W rho rho - sum b rho, and with
a nudge beta of the output towards the label F = E + beta |y - s|^2 / 2; every unit follows
ds/dt = -dF/ds. One step takes one tick, which is the delay of a synapse, so that all
populations step together from each other's states of the tick before.

The parts of a minibatch relax side by side, each by itself.

The order within a tick: arrivals first, then the phase's beginning, then the step. At the
arrival of `end`, a population has the states that its neighbours sent in the last step and its
own state of that same step: correlations are of equal send ticks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from biosim.events import NEVER, Event, Kind, Mode, Presentation, Tick, Window
from biosim.locality import Offers
from biosim.network import NetworkError, Projection
from biosim.populations.activations import ACTIVATIONS, GAINS, ActivationName
from biosim.populations.site import Site, require
from biosim.populations.synapses import Wake, learn

RECEPTORS = ("basal", "apical", "target", "phase")
OFFERS = Offers(("settled",), ("settled",), ("polarity", "progress"), ("settled",))
FREE, NUDGED, END, READ = "free", "nudged", "end", "read"


@dataclass(frozen=True)
class Settling:
    """Units whose state settles under all their neighbours at once.

    Receptors: `phase` begins the phases free, nudged, end and read, which the network must
    have, and brings the positions of the samples in the data set; `basal` is what comes from
    below through the population's own weights; `apical` is what comes from above, already
    summed by the owner of the tied weights; `target` brings labels, towards which the units
    are nudged.

    Variables that projections may carry: `rate`, rho(s), every tick; `answer`, the drive of
    the last step, at `read`.

    In the nudged phase each row is relaxed once for every entry of the phase's polarity, side
    by side: the nudge is beta times the entry. (1, -1) is the symmetric estimate of Laborieux
    et al. 2021 (arXiv 2006.03824); (1, 0) the one-sided one, where the second part stays free.

    Args:
        activation: rho. With hard_sigmoid the state is clipped to [0, 1], where rho is the
            identity.
        step: length of a step of ds/dt, in units of the time constant, in (0, 1].
        beta: strength of the nudge.
        persistent: start the free phase from the sample's state of the epoch before.
    """

    activation: ActivationName = "hard_sigmoid"
    step: float = 1.0
    beta: float = 0.5
    persistent: bool = False

    @property
    def uncut(self) -> str | None:
        """Why minibatches cannot be learnt in parts; None if they can."""
        if not self.persistent:
            return None
        return "keeps the state of every sample, which may be in another part the next time"

    def actor(self, site: Site) -> SettlingActor:
        """Return the actor of a population of this kind."""
        return SettlingActor(self, site)

    def check(
        self, name: str, incoming: Sequence[Projection], outgoing: Sequence[Projection]
    ) -> None:
        """Raise NetworkError if a projection uses a receptor or variable it does not have."""
        sends = ("rate", "answer")
        require(name, "settling", incoming, outgoing, RECEPTORS, sends, ("basal",), OFFERS)
        for needed in ("basal", "phase"):
            if needed not in {projection.receptor for projection in incoming}:
                raise NetworkError(f"population {name!r} settles but has no {needed} projection")
        for projection in incoming:
            if projection.delay != 1:
                raise NetworkError(
                    f"projection {projection.name!r} has a delay of {projection.delay} ticks; "
                    "settling populations step together and need 1"
                )
        if self.activation == "softmax":
            raise NetworkError(f"population {name!r} cannot settle with a softmax")


class _Relaxation:
    """What a population keeps of one minibatch, or of a part of it, while it settles."""

    state_names: ClassVar[tuple[str, ...]] = (
        "state", "drive", "label", "arrived", "left", "at", "next_tick", "nudge", "samples",
        "free_tick",
    )  # fmt: skip

    def __init__(self) -> None:
        self.state: Tensor | None = None
        self.drive: Tensor | None = None
        self.label: Tensor | None = None
        self.arrived: dict[int, tuple[Tensor, Tensor]] = {}
        """What came last on each projection: the payload, and the drive it gives."""
        self.left = 0
        self.at: Presentation | None = None
        self.next_tick: Tick = NEVER
        self.nudge: Tensor | None = None
        self.samples: Tensor | None = None
        self.free_tick: Tick = 0

    def held_bytes(self) -> int:
        kept = [self.state, self.label]
        kept += [tensor for pair in self.arrived.values() for tensor in pair]
        return sum(tensor.nbytes for tensor in kept if tensor is not None)


class SettlingActor:
    """A settling population with the synapses that end on it."""

    state_names: ClassVar[tuple[str, ...]] = ("synapses", "relaxing", "kept", "probed")
    state_types: ClassVar[tuple[type, ...]] = (_Relaxation,)

    def __init__(self, model: Settling, site: Site) -> None:
        self._site = site
        self._model = model
        self._rho = ACTIVATIONS[model.activation]
        self._slope = GAINS[model.activation]
        self._clips = model.activation == "hard_sigmoid"
        self.synapses = site.synapses("basal")
        self._outlets = site.outlets(lambda: self.synapses)
        self._receptor = {
            i: receptor for receptor in RECEPTORS for i, _ in site.afferents(receptor)
        }
        self._phases = site.network.phases
        for phase in self._phases:
            if phase.name == NUDGED and len(phase.polarity) != 2:
                raise NetworkError(
                    f"phase {NUDGED!r} has polarity {phase.polarity}; expected two signs, whose "
                    "correlations are compared"
                )
        self.relaxing: dict[int, _Relaxation] = {}
        """By the part of the minibatch; one minibatch settles at a time."""
        self.kept: Tensor | None = None
        self.probed: list[Tensor] = []

    def next_wake(self) -> Tick:
        """Return the tick of the next step, or NEVER between presentations."""
        return min((each.next_tick for each in self.relaxing.values() if each.left), default=NEVER)

    def advance(self, window: Window, inbox: list[Event]) -> list[Event]:
        """Take in what arrives, begin phases, and step once a tick."""
        out: list[Event] = []
        by_tick: dict[Tick, list[Event]] = {}
        for event in inbox:
            by_tick.setdefault(event.tick, []).append(event)
        for tick in range(window.start, window.end):
            events = by_tick.get(tick, [])
            for event in events:
                if event.kind != Kind.PHASE:
                    self._take(event)
            for event in events:
                if event.kind == Kind.PHASE:
                    self._begin(tick, event, out)
            for each in self.relaxing.values():
                if each.left and each.next_tick <= tick:
                    self._step(tick, each, out)
        learning = [
            each
            for each in self.relaxing.values()
            if each.state is not None and each.at is not None and each.at.mode == Mode.LEARN
        ]
        if learning:
            self._site.count.held(sum(each.held_bytes() for each in learning))
        return out

    def parameters(self) -> dict[str, dict[str, Tensor]]:
        """Return {projection: {"weight": (n_post, n_pre), "bias": (n_post,)}}."""
        return {s.name: s.parameters() for s in self.synapses.values()}

    def activity(self) -> Tensor | None:
        """Return and forget the settled states of the last probe: (n_samples, n_units)."""
        if not self.probed:
            return None
        probed, self.probed = torch.cat(self.probed), []
        return probed

    def _of(self, at: Presentation) -> _Relaxation:
        return self.relaxing.setdefault(at.part, _Relaxation())

    def _take(self, event: Event) -> None:
        payload, relaxing = event.payload, self._of(event.presentation)
        assert payload is not None
        if self._receptor[event.projection] == "target":
            relaxing.label = payload
            return
        synapses = self.synapses.get(event.projection)
        drive = payload
        if synapses is not None:
            drive = synapses.drive(payload)
            if event.presentation.mode == Mode.LEARN:
                self._site.count.forward += payload.shape[0] * synapses.weight.numel()
        relaxing.arrived[event.projection] = (payload, drive)

    def _begin(self, tick: Tick, event: Event, out: list[Event]) -> None:
        at, relaxing = event.presentation, self._of(event.presentation)
        phase = self._phases[at.phase]
        relaxing.at, relaxing.left, relaxing.next_tick = at, phase.ticks, tick
        if phase.name == FREE:
            self._start(tick, event, relaxing, out)
        elif phase.name == NUDGED:
            self._nudge(phase.polarity, relaxing)
        else:
            if phase.name == END:
                self._learn(tick, at, relaxing)
            elif phase.name == READ:
                assert relaxing.state is not None
                # The drive still tells apart units whose states are clipped to the same value.
                for outlet in self._outlets.get("answer", ()):
                    outlet.send(tick, at, relaxing.drive, out)
                if at.mode == Mode.PROBE:
                    self.probed.append(self._rho(relaxing.state))
            del self.relaxing[at.part]

    def _start(self, tick: Tick, event: Event, relaxing: _Relaxation, out: list[Event]) -> None:
        assert event.payload is not None
        relaxing.samples = event.payload.long()
        rows = len(relaxing.samples)
        size = self._site.population.size
        like = next(iter(self.synapses.values())).weight
        relaxing.state = torch.zeros(rows, size, dtype=like.dtype, device=like.device)
        if self._model.persistent and event.presentation.mode == Mode.LEARN:
            if self.kept is None:
                self.kept = like.new_zeros(self._site.course.samples, size)
            relaxing.state = self.kept[relaxing.samples]
            # The first tick tells the neighbours where this population starts.
            self._send_rate(tick, relaxing, out)
            relaxing.left, relaxing.next_tick = relaxing.left - 1, tick + 1

    def _nudge(self, polarity: tuple[int, ...], relaxing: _Relaxation) -> None:
        assert relaxing.state is not None
        times = len(polarity)
        if self._model.persistent and self.kept is not None:
            self.kept[relaxing.samples] = relaxing.state
        rows = relaxing.state.shape[0]
        relaxing.state = relaxing.state.repeat(times, 1)
        relaxing.arrived = {
            i: (payload.repeat(times, 1), drive.repeat(times, 1))
            for i, (payload, drive) in relaxing.arrived.items()
        }
        if relaxing.label is not None:
            relaxing.label = relaxing.label.repeat(times)
            relaxing.nudge = (
                torch.tensor(polarity, dtype=relaxing.state.dtype, device=relaxing.state.device)
                .mul(self._model.beta)
                .repeat_interleave(rows)
                .unsqueeze(1)
            )
        relaxing.free_tick = relaxing.next_tick

    def _step(self, tick: Tick, relaxing: _Relaxation, out: list[Event]) -> None:
        state = relaxing.state
        assert state is not None
        drive: Tensor | None = None
        for projection in sorted(relaxing.arrived):  # a fixed order of summation
            more = relaxing.arrived[projection][1]
            drive = more if drive is None else drive + more
        if drive is None:
            drive = torch.zeros_like(state)
        relaxing.drive = drive
        if not self._clips:
            drive = drive * self._slope(self._rho(state))
        change = drive - state
        if relaxing.nudge is not None and relaxing.label is not None:
            error = state.neg()
            rows = torch.arange(len(state), device=state.device)
            error[rows, relaxing.label.long()] += 1.0
            change = change + relaxing.nudge * error
        state = state + change * self._model.step
        relaxing.state = state.clamp_(0.0, 1.0) if self._clips else state
        self._send_rate(tick, relaxing, out)
        relaxing.left -= 1
        relaxing.next_tick = tick + 1

    def _send_rate(self, tick: Tick, relaxing: _Relaxation, out: list[Event]) -> None:
        assert relaxing.state is not None
        assert relaxing.at is not None
        rate = self._rho(relaxing.state)
        for outlet in self._outlets.get("rate", ()):
            outlet.send(tick, relaxing.at, rate, out)

    def _learn(self, tick: Tick, at: Presentation, relaxing: _Relaxation) -> None:
        assert relaxing.state is not None
        rate = self._rho(relaxing.state)
        half = rate.shape[0] // 2
        signs = rate.new_ones(rate.shape[0], 1)
        signs[half:] = -1.0
        wakes = []
        for projection, synapses in self.synapses.items():
            if synapses.plasticity is None:
                continue
            pre = relaxing.arrived[projection][0]
            self._site.count.plasticity += pre.shape[0] * synapses.weight.numel()
            wakes.append(
                Wake(
                    synapses,
                    pre,
                    {"settled": lambda: rate},
                    {
                        "polarity": lambda: signs,
                        "progress": lambda: self._site.course.progress(at),
                    },
                )
            )
        if learn(wakes, at, self._site.share):
            self._site.count.updated(tick - relaxing.free_tick)
