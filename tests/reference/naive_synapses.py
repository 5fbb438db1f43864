"""Every rule once more, one synapse and one event at a time, as its paper writes it.

Nothing here comes from the rules: a synapse is a dictionary, an event a few lines of Python. Its
traces decay by `exp` from one of its events to the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp
from typing import Any

import numpy as np

State = dict[str, float]
Event = Callable[[State, dict[str, float]], None]
"""What an event does to a synapse; the other argument is what it sees of the post neuron."""

DT = 1e-3


def nothing(s: State, post: dict[str, float]) -> None:
    pass


@dataclass(frozen=True)
class Naive:
    """A rule by hand.

    Args:
        decays: trace -> its time constant in seconds.
        pre: at the arrival of a spike; sends s["sent"].
        post: at a spike of the post neuron.
        tick: at every tick, after both.
        shared: modulator -> what is left of it after a tick.
        start: variables and their start values.
    """

    decays: dict[str, float]
    pre: Event
    post: Event
    tick: Event | None = None
    shared: dict[str, float] = field(default_factory=dict)
    start: State = field(default_factory=dict)


def clipped(w: float, most: float = 1.0) -> float:
    return min(max(w, 0.0), most)


def pair(up: Callable[[float], float], down: Callable[[float], float], pairing: str) -> Naive:
    def pre(s: State, post: dict[str, float]) -> None:
        s["sent"] = s["w"]
        s["w"] = clipped(s["w"] - down(s["w"]) * s["o"])
        s["r"] = s["r"] + 1.0 if pairing == "all" else 1.0
        if pairing == "immediate":
            s["o"] = 0.0

    def after(s: State, post: dict[str, float]) -> None:
        s["w"] = clipped(s["w"] + up(s["w"]) * s["r"])
        s["o"] = s["o"] + 1.0 if pairing == "all" else 1.0
        if pairing == "immediate":
            s["r"] = 0.0

    return Naive({"r": 0.017, "o": 0.034}, pre, after)


def triplet(pairing: str) -> Naive:
    def pre(s: State, post: dict[str, float]) -> None:
        s["sent"] = s["w"]
        s["w"] = clipped(s["w"] - s["o1"] * (0.07 + 0.023 * s["r2"]))
        for r in ("r1", "r2"):
            s[r] = s[r] + 1.0 if pairing == "all" else 1.0

    def after(s: State, post: dict[str, float]) -> None:
        s["w"] = clipped(s["w"] + s["r1"] * (0.005 + 0.062 * s["o2"]))
        for o in ("o1", "o2"):
            s[o] = s[o] + 1.0 if pairing == "all" else 1.0

    return Naive({"r1": 0.0168, "r2": 0.101, "o1": 0.0337, "o2": 0.125}, pre, after)


def inhibitory() -> Naive:
    def pre(s: State, post: dict[str, float]) -> None:
        s["sent"] = s["w"]
        s["w"] = clipped(s["w"] + 0.02 * (s["o"] - 2 * 12.0 * 0.02))
        s["r"] += 1.0

    def after(s: State, post: dict[str, float]) -> None:
        s["w"] = clipped(s["w"] + 0.02 * s["r"])
        s["o"] += 1.0

    return Naive({"r": 0.02, "o": 0.02}, pre, after)


def bcm() -> Naive:
    down = 0.065 * 30.0 * 0.0168 * 0.114 / 0.0337

    def pre(s: State, post: dict[str, float]) -> None:
        s["sent"] = s["w"]
        s["w"] = clipped(s["w"] - down * s["o1"] * s["seen"] ** 2)
        s["r1"] += 1.0

    def after(s: State, post: dict[str, float]) -> None:
        s["w"] = clipped(s["w"] + 0.065 * s["r1"] * s["o2"])
        s["o1"] += 1.0
        s["o2"] += 1.0
        s["seen"] += 1.0 / (30.0 * 0.5)

    return Naive({"r1": 0.0168, "o1": 0.0337, "o2": 0.114, "seen": 0.5}, pre, after)


def reward() -> Naive:
    def pre(s: State, post: dict[str, float]) -> None:
        s["w"] = clipped(s["w"])
        s["sent"] = s["w"]
        s["c"] -= 0.12 * s["o"]
        s["r"] += 1.0

    def after(s: State, post: dict[str, float]) -> None:
        s["w"] = clipped(s["w"])
        s["c"] += 0.1 * s["r"]
        s["o"] += 1.0

    def tick(s: State, post: dict[str, float]) -> None:
        s["w"] += DT * 2.0 * s["c"] * (post["dopamine"] - 0.1)
        s["c"] *= exp(-DT / 0.4)

    return Naive({"r": 0.02, "o": 0.025}, pre, after, tick, {"dopamine": 1 - DT / 0.2}, {"c": 0.0})


def scaling() -> Naive:
    def pre(s: State, post: dict[str, float]) -> None:
        s["w"] = clipped(s["w"])
        s["sent"] = s["w"]

    def after(s: State, post: dict[str, float]) -> None:
        s["seen"] += 1.0 / (30.0 * 0.5)

    def tick(s: State, post: dict[str, float]) -> None:
        s["w"] *= exp(DT * (1.0 - s["seen"]) / 2.0)
        s["seen"] *= exp(-DT / 0.5)

    return Naive({}, pre, after, tick, start={"seen": 0.0})


def voltage() -> Naive:
    def pre(s: State, post: dict[str, float]) -> None:
        s["w"] = clipped(s["w"])
        s["sent"] = s["w"]
        s["w"] = clipped(s["w"] - 14e-5 * 1e3 * max(post["u_minus"] + 0.0706, 0.0))
        s["x"] += 1.0

    def tick(s: State, post: dict[str, float]) -> None:
        above, calm = max(post["v"] + 0.0453, 0.0), max(post["u_plus"] + 0.0706, 0.0)
        s["w"] += DT * 8e-5 * 1e9 * s["x"] * above * calm
        s["x"] *= exp(-DT / 0.015)

    return Naive({}, pre, nothing, tick, start={"x": 0.0})


def own() -> Naive:
    """Coincidences count as much as a modulator allows when they happen."""

    def pre(s: State, post: dict[str, float]) -> None:
        s["sent"] = s["w"]
        s["r"] += 1.0

    def after(s: State, post: dict[str, float]) -> None:
        s["w"] = clipped(s["w"] + 0.05 * post["attention"] * s["r"] - 0.02)

    return Naive({"r": 0.02}, pre, after, None, {"attention": exp(-DT / 0.3)})


@dataclass
class Neuron:
    """A voltage and its two running means, by Euler's method; only `voltage` reads them."""

    v: float = -0.07
    u_minus: float = -0.07
    u_plus: float = -0.07

    def seen(self) -> dict[str, float]:
        return {"v": self.v, "u_minus": self.u_minus, "u_plus": self.u_plus}

    def move(self) -> None:
        dv, dm, dp = -0.07 - self.v, self.v - self.u_minus, self.v - self.u_plus
        self.v += DT * dv / 0.02
        self.u_minus += DT * dm / 0.01
        self.u_plus += DT * dp / 0.007


@dataclass(frozen=True)
class Learnt:
    """Weights, what each target got in all, and how often two events met in a tick."""

    weights: np.ndarray
    got: np.ndarray
    coincidences: int


def simulate(
    naive: Naive,
    synapses: list[tuple[int, int, int, float]],
    pre: list[np.ndarray],
    post: list[np.ndarray],
    ticks: int,
    kick: float = 0.0,
    modulated: dict[int, float] | None = None,
    swapped: bool = False,
) -> Learnt:
    """Run every synapse through its events.

    Args:
        naive: the rule.
        synapses: (source, target, delay in ticks, weight at the start).
        pre: tick of each spike, by source.
        post: the same, by target.
        ticks: how long.
        kick: of a spike's teacher to the voltage, in the spike's own tick.
        modulated: tick -> what is added to the modulator before it.
        swapped: whether what the neuron did comes before what arrives in a tick.
    """
    came = [np.isin(np.arange(ticks), pre[i] + d) for i, _, d, _ in synapses]
    did = [np.isin(np.arange(ticks), post[j] + 1) for j in range(len(post))]
    emitted = [np.isin(np.arange(ticks), post[j]) for j in range(len(post))]
    shared = dict.fromkeys(naive.shared, 0.0)
    states: list[State] = [
        dict.fromkeys(naive.decays, 0.0) | naive.start | {"w": w, "last": 0.0} for *_, w in synapses
    ]
    neurons = [Neuron() for _ in post]
    got = np.zeros(len(post))
    coincidences = 0
    for k in range(ticks):
        if modulated and k in modulated:
            for name in shared:
                shared[name] += modulated[k]
        for s, (_, j, _, _), arrives in zip(states, synapses, came, strict=True):
            events: list[Any] = [naive.pre] if arrives[k] else []
            events += [naive.post] if did[j][k] else []
            coincidences += len(events) == 2
            if not events:
                continue
            for trace, tau in naive.decays.items():
                s[trace] *= exp(-(k - s["last"]) * DT / tau)
            s["last"] = k
            for event in reversed(events) if swapped else events:
                event(s, neurons[j].seen() | shared)
            got[j] += s.pop("sent", 0.0)
        for j, neuron in enumerate(neurons):
            neuron.v += kick * emitted[j][k]
        if naive.tick is not None:
            for s, (_, j, _, _) in zip(states, synapses, strict=True):
                naive.tick(s, neurons[j].seen() | shared)
        for name, left in naive.shared.items():
            shared[name] *= left
        for neuron in neurons:
            neuron.move()
    return Learnt(np.array([s["w"] for s in states]), got, coincidences)
