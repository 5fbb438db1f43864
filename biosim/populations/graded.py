"""Graded populations: one tensor of activity for every minibatch that is presented.

A population answers when everything that drives it has arrived, and corrects itself when
everything that comes from above has. In between it keeps what it will need: those bytes, and
the ticks it waits, are in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from biosim.events import NEVER, Event, Mode, Presentation, Tick, Window
from biosim.locality import Moment, Offers
from biosim.network import NetworkError, Projection
from biosim.populations.activations import (
    ACTIVATIONS,
    GAINS,
    ActivationName,
    by_length,
    centred_unit,
)
from biosim.populations.site import Site, require
from biosim.populations.synapses import Wake, learn

RECEPTORS = ("basal", "apical", "target")
SENT_FORWARD = ("activity", "direction", "contrast", "goodness")
PRE = ("activity",)
POST = ("activity", "drive", "apical", "gain", "share", "goodness", "weight_sum")
SIGNALS = ("polarity", "goodness", "progress")


@dataclass(frozen=True)
class Graded:
    """Neurons with a graded activity.

    Receptors: `basal` drives the activity; `apical` brings what the layer should have done
    differently, summed over its afferents; `target` brings labels, whose difference from a
    softmax activity is the apical input.

    Variables that projections may carry: `activity`; `direction`, the activity divided by its
    root mean square; `contrast`, centred and of unit length; `goodness`, the sum of squares of
    each row, (n_rows, 1); `delta`, apical times gain.

    Args:
        activation: what the neurons make of their drive.
        competition: gain of the softmax over the population that gives `share`; None for none.
    """

    activation: ActivationName = "relu"
    competition: float | None = None

    def actor(self, site: Site) -> GradedActor:
        """Return the actor of a population of this kind."""
        return GradedActor(self, site)

    def check(
        self, name: str, incoming: Sequence[Projection], outgoing: Sequence[Projection]
    ) -> None:
        """Raise NetworkError if a projection uses a receptor or variable it does not have."""
        receptors = {projection.receptor for projection in incoming}
        moments: tuple[Moment, ...] = ("activity",)
        if receptors & {"apical", "target"}:
            moments = ("activity", "apical")
        offers = Offers(PRE, POST, SIGNALS, moments)
        sends = (*SENT_FORWARD, "delta")
        require(name, "graded", incoming, outgoing, RECEPTORS, sends, ("basal", "apical"), offers)
        if "basal" not in receptors:
            raise NetworkError(f"population {name!r} has no basal projection; nothing drives it")
        for projection in incoming:
            if projection.plasticity is not None and projection.receptor != "basal":
                raise NetworkError(
                    f"projection {projection.name!r} is plastic and ends on {name!r} "
                    f"({projection.receptor}); only basal synapses learn"
                )
        if self.activation == "softmax" and "apical" in receptors:
            raise NetworkError(
                f"population {name!r} is a softmax and gets errors from above; "
                "a softmax is for the answer: take another activation"
            )
        if {"apical", "target"} <= receptors:
            raise NetworkError(f"population {name!r} has both an apical and a target projection")


class _Visit:
    """What a population keeps of one presentation."""

    __slots__ = (
        "activity", "apical", "drive", "feedback", "label", "pre", "tick", "updates",
        "waits_apical",
    )  # fmt: skip
    state_names: ClassVar[tuple[str, ...]] = __slots__

    def __init__(self, waits_apical: int) -> None:
        self.pre: dict[int, Tensor] = {}
        self.drive: Tensor | None = None
        self.activity: Tensor | None = None
        self.feedback: dict[int, Tensor] = {}
        self.apical: Tensor | None = None
        self.label: Tensor | None = None
        self.waits_apical = waits_apical
        self.tick: Tick = NEVER
        self.updates = 0

    def held_bytes(self) -> int:
        kept = [*self.pre.values(), *self.feedback.values(), self.activity, self.drive, self.label]
        return sum(tensor.nbytes for tensor in kept if tensor is not None)


class GradedActor:
    """A graded population with the synapses that end on it."""

    state_names: ClassVar[tuple[str, ...]] = ("visits", "updates", "synapses", "feedback", "probed")
    state_types: ClassVar[tuple[type, ...]] = (_Visit,)

    def __init__(self, model: Graded, site: Site) -> None:
        self._site = site
        self._activate = ACTIVATIONS[model.activation]
        self._slope = GAINS[model.activation]
        self._competition = model.competition
        self._softmax = model.activation == "softmax"
        self.synapses = site.synapses("basal")
        self.feedback = site.synapses("apical")
        self._outlets = site.outlets(lambda: self.synapses)
        self._receptor = {
            i: receptor for receptor in RECEPTORS for i, _ in site.afferents(receptor)
        }
        self._waits_basal = site.modes_of("basal")
        self._waits_apical = {
            at: apical + target
            for (at, apical), target in zip(
                site.modes_of("apical").items(), site.modes_of("target").values(), strict=True
            )
        }
        plastic = [s for s in self.synapses.values() if s.plasticity is not None]
        self._on_activity = any(s.plasticity.reads.on == "activity" for s in plastic)  # type: ignore[union-attr]
        self._on_apical = any(s.plasticity.reads.on == "apical" for s in plastic)  # type: ignore[union-attr]
        # The drive is kept only if somebody will ask for it.
        self._keeps_drive = any(
            name in s.plasticity.reads.post  # type: ignore[union-attr]
            for s in plastic
            for name in ("drive", "share")
        )
        self._learns = {
            i: frozenset(
                at
                for at, phase in enumerate(site.network.phases)
                if projection.learns is None or phase.name in projection.learns
            )
            for i, projection in site.afferents("basal")
        }
        self._polarity = [phase.polarity for phase in site.network.phases]
        self.visits: dict[Presentation, _Visit] = {}
        self.updates = 0
        self.probed: list[Tensor] = []

    def next_wake(self) -> Tick:
        """Return NEVER: a graded population wakes with its events only."""
        return NEVER

    def advance(self, window: Window, inbox: list[Event]) -> list[Event]:
        """Take in what arrives; answer and correct where everything has arrived."""
        out: list[Event] = []
        last = len(inbox) - 1
        for i, event in enumerate(inbox):
            at, payload = event.presentation, event.payload
            assert payload is not None
            visit = self.visits.get(at)
            if visit is None:
                visit = self.visits[at] = _Visit(self._waits_apical[at.mode, at.phase])
            receptor = self._receptor[event.projection]
            if receptor == "basal":
                visit.pre[event.projection] = payload
                if len(visit.pre) == self._waits_basal[at.mode, at.phase]:
                    self._forward(event.tick, at, visit, out)
            elif receptor == "target":
                visit.label = payload
                visit.waits_apical -= 1
            else:
                self._take_feedback(event, visit)
            if visit.activity is not None and visit.waits_apical == 0:
                self._correct(event.tick, at, visit, out)
                del self.visits[at]
            # After each tick, so that it does not matter where windows end.
            if self.visits and (i == last or inbox[i + 1].tick > event.tick):
                learning = (v for at, v in self.visits.items() if at.mode == Mode.LEARN)
                self._site.count.held(sum(visit.held_bytes() for visit in learning))
        return out

    def parameters(self) -> dict[str, dict[str, Tensor]]:
        """Return {projection: {"weight": (n_post, n_pre), "bias": (n_post,)}}."""
        return {s.name: s.parameters() for s in (*self.synapses.values(), *self.feedback.values())}

    def activity(self) -> Tensor | None:
        """Return and forget the activity of the last probe: (n_samples, n_units)."""
        if not self.probed:
            return None
        probed, self.probed = torch.cat(self.probed), []
        return probed

    def _take_feedback(self, event: Event, visit: _Visit) -> None:
        payload = event.payload
        assert payload is not None
        synapses = self.feedback.get(event.projection)
        if synapses is not None:
            if event.presentation.mode == Mode.LEARN:
                self._site.count.feedback += payload.shape[0] * synapses.weight.numel()
            payload = synapses.drive(payload)
        visit.feedback[event.projection] = payload
        visit.waits_apical -= 1
        if visit.waits_apical == 0:
            first, *rest = sorted(visit.feedback)  # a fixed order of summation
            visit.apical = visit.feedback[first]
            for projection in rest:
                visit.apical = visit.apical + visit.feedback[projection]

    def _forward(self, now: Tick, at: Presentation, visit: _Visit, out: list[Event]) -> None:
        drive: Tensor | None = None
        for projection in sorted(visit.pre):  # a fixed order of summation
            more = pre = visit.pre[projection]
            synapses = self.synapses.get(projection)
            if synapses is not None:
                more = synapses.drive(pre)
                if at.mode == Mode.LEARN:
                    self._site.count.forward += pre.shape[0] * synapses.weight.numel()
            drive = more if drive is None else drive + more
        assert drive is not None
        visit.tick, visit.updates = now, self.updates
        visit.activity = activity = self._activate(drive)
        if self._keeps_drive:
            visit.drive = drive
        for name, outlets in self._outlets.items():
            if name in SENT_FORWARD:
                payload = self._variable(name, visit)
                for outlet in outlets:
                    outlet.send(now, at, payload, out)
        if at.mode == Mode.LEARN:
            if self._on_activity:
                self._learn("activity", now, at, visit)
        elif at.mode == Mode.PROBE:
            self.probed.append(activity)

    def _correct(self, now: Tick, at: Presentation, visit: _Visit, out: list[Event]) -> None:
        if visit.label is not None:
            assert visit.activity is not None
            # d(log likelihood)/d(drive) of a softmax output: one-hot label minus activity.
            visit.apical = visit.activity.neg()
            rows = torch.arange(visit.label.shape[0], device=visit.label.device)
            visit.apical[rows, visit.label.long()] += 1.0
        outlets = self._outlets.get("delta")
        if outlets is not None and visit.apical is not None:
            # Sent with the weights that made the activity; they change afterwards.
            delta = visit.apical if self._softmax else self._variable("delta", visit)
            for outlet in outlets:
                outlet.send(now, at, delta, out)
        if self._on_apical and at.mode == Mode.LEARN:
            self._learn("apical", now, at, visit)

    def _learn(self, moment: str, now: Tick, at: Presentation, visit: _Visit) -> None:
        post: dict[str, Callable[[], Tensor | float]] = {
            name: partial(self._variable, name, visit)
            for name in ("activity", "drive", "apical", "gain", "share", "goodness")
        }
        signals: dict[str, Callable[[], Tensor | float]] = {
            "polarity": partial(self._rows_polarity, at, visit),
            "goodness": partial(self._variable, "goodness", visit),
            "progress": partial(self._site.course.progress, at),
        }
        wakes = []
        for projection, synapses in self.synapses.items():
            plasticity = synapses.plasticity
            if (
                plasticity is not None
                and plasticity.reads.on == moment
                and at.phase in self._learns[projection]
                and projection in visit.pre
            ):
                pre = visit.pre[projection]
                self._site.count.plasticity += pre.shape[0] * synapses.weight.numel()
                wakes.append(Wake(synapses, pre, post, signals))
        if learn(wakes, at, self._site.share):
            self._site.count.updated(now - visit.tick, self.updates - visit.updates)
            self.updates += 1

    def _rows_polarity(self, at: Presentation, visit: _Visit) -> Tensor:
        assert visit.activity is not None
        signs = self._polarity[at.phase]
        rows = visit.activity.shape[0] // len(signs)
        like = visit.activity
        return (
            torch.tensor(signs, dtype=like.dtype, device=like.device)
            .repeat_interleave(rows)
            .unsqueeze(1)
        )

    def _variable(self, name: str, visit: _Visit) -> Tensor:
        activity = visit.activity
        assert activity is not None
        if name == "activity":
            return activity
        if name == "direction":
            return by_length(activity)
        if name == "contrast":
            return centred_unit(activity)
        if name == "goodness":
            return (activity * activity).sum(dim=1, keepdim=True)
        if name == "gain":
            return self._slope(activity)
        if name == "drive" and visit.drive is not None:
            return visit.drive
        if name == "share" and visit.drive is not None and self._competition is not None:
            return torch.softmax(self._competition * visit.drive, dim=1)
        if name == "apical" and visit.apical is not None:
            return visit.apical
        if name == "delta" and visit.apical is not None:
            return visit.apical * self._slope(activity)
        raise NetworkError(
            f"population {self._site.population.name!r} has no {name!r} at this moment"
        )
