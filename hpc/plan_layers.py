"""What a scenario of layers will need on so many ranks: memory, bytes, time of a minibatch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from biosim.network import Network
from biosim.parts import Share
from biosim.placement import placed
from biosim.populations.source import Source
from biosim.rehearsal import Rehearsal, dense_of
from hpc.calibration import ExchangeSpeed, LayerSpeed


@dataclass(frozen=True)
class LayerShare:
    """What one rank has of a layered network; bytes, multiply-adds and seconds of a minibatch.

    Args:
        layers: names.
        parameter_bytes: weights, biases, and what plasticity keeps.
        held_bytes: most that is kept for updates to come.
        added_bytes: most that parts ask for and that is added up at a time.
        sent_bytes: to other ranks.
        messages: to other ranks.
        multiply_adds: while it learns.
        compute_s: of it, without waiting.
    """

    layers: tuple[str, ...]
    parameter_bytes: int
    held_bytes: int
    added_bytes: int
    sent_bytes: int
    messages: int
    multiply_adds: int
    compute_s: float


@dataclass(frozen=True)
class LayerPlan:
    """All ranks, and how they go together.

    Args:
        shares: of every rank.
        compute_s: seconds of a minibatch with the waiting for each other.
        exchange_s: of exchanging besides.
        exchanges: windows of a minibatch; none on one rank.
        sums: how often a rank adds up, with other replicas, what its parts ask for; at most.
    """

    shares: Sequence[LayerShare]
    compute_s: float
    exchange_s: float
    exchanges: int
    sums: int


@dataclass(frozen=True)
class Minibatch:
    """What is learnt at a time, and in how many parts.

    Args:
        rows: all of it.
        number_bytes: of activity and weights.
        period: ticks from one to the next; None where one waits for the other.
        parts: of equal size, which replicas share.
    """

    rows: int
    number_bytes: int = 4
    period: int | None = None
    parts: int = 1


def planned(
    network: Network,
    ranks: int,
    minibatch: Minibatch,
    speed: LayerSpeed,
    exchange: ExchangeSpeed,
    replicas: int = 1,
) -> LayerPlan:
    """Return what ranks will have to do for a minibatch.

    Args:
        network: the description.
        ranks: there are.
        minibatch: that they learn.
        speed: of products.
        exchange: of messages.
        replicas: of the network; a number that divides its parts and the ranks.
    """
    rehearsed = Rehearsal(network, minibatch.number_bytes)
    each = ranks // replicas
    owners = placed(network, each)[: len(network.populations)]
    own, rows = minibatch.parts // replicas, minibatch.rows // minibatch.parts
    crossing = _crossing(network, rehearsed, owners, each, replicas)
    shares, sums_s = [], [0.0]
    for replica in range(replicas):
        share = Share(minibatch.parts, replicas, replica)
        for place in range(each):
            mine = [i for i, owner in enumerate(owners) if owner == place]
            blocks = [block for i in mine for block in dense_of(network, i)]
            steps = [n for (_, i), n in rehearsed.steps.items() if owners[i] == place]
            inner = [i for i in mine if 0 < i < len(owners) - 1]
            learnt = [sizes for i, sizes in rehearsed.learnt if owners[i] == place]
            sums = [share.sent(sizes, minibatch.number_bytes) for sizes in learnt]
            added = [share.added(sizes, minibatch.number_bytes) for sizes in learnt]
            sent, messages = crossing[place]
            shares.append(
                LayerShare(
                    tuple(network.populations[i].name for i in inner),
                    minibatch.number_bytes * sum(block.numbers for block in blocks),
                    own * rows * _held(rehearsed, mine, minibatch.period),
                    max(added, default=0),
                    own * rows * sent + sum(sent for sent, _ in sums),
                    own * messages + sum(messages for _, messages in sums),
                    own * rows * sum(steps),
                    own * _seconds(steps, rows, speed),
                )
            )
            if replicas > 1:
                sums_s.append(sum(exchange.seconds(replicas, n, size) for size, n in sums))
    compute_s = own * _together(rehearsed, owners, rows, minibatch.period, speed)
    exchanges = _windows(network, rehearsed, minibatch.period) if ranks > 1 else 0
    exchange_s = 0.0
    if exchanges:
        most, many = (own * max(figure) / exchanges for figure in zip(*crossing, strict=True))
        exchange_s = exchanges * exchange.seconds(ranks, many, rows * most) + max(sums_s)
    return LayerPlan(shares, compute_s, exchange_s, exchanges, _sums(rehearsed, owners, replicas))


def _windows(network: Network, rehearsed: Rehearsal, period: int | None) -> int:
    """Return the windows of a minibatch: each as long as the shortest delay, from a wake on."""
    ticks = rehearsed.ticks if period is None else min(period, rehearsed.ticks)
    return -(-ticks // network.shortest_delay)


def _sums(rehearsed: Rehearsal, owners: Sequence[int], replicas: int) -> int:
    if replicas == 1:
        return 0
    places = [owners[i] for i, _ in rehearsed.learnt]
    return max((places.count(place) for place in places), default=0)


def _crossing(
    network: Network, rehearsed: Rehearsal, owners: Sequence[int], ranks: int, replicas: int
) -> list[tuple[int, int]]:
    """Return the bytes a row and the messages that each rank of a replica sends to others."""
    sent, messages = [0] * ranks, [0] * ranks
    at = network.population_at
    for i, projection in enumerate(network.projections):
        here, there = owners[at[projection.source]], owners[at[projection.target]]
        # What is said to a source, all its copies hear.
        heard = isinstance(network.populations[at[projection.target]].model, Source)
        others = (replicas if heard else 1) - (here == there)
        sent[here] += others * rehearsed.sent_bytes[i]
        messages[here] += others * rehearsed.sent_events[i]
    return list(zip(sent, messages, strict=True))


def _held(rehearsed: Rehearsal, mine: Sequence[int], period: int | None) -> int:
    """Return the bytes a row that a rank keeps at the worst tick."""
    kept: dict[int, int] = {}
    for (tick, i), held in rehearsed.held.items():
        if i in mine:
            # In a stream the ticks of several minibatches fall together.
            at = tick if period is None else tick % period
            kept[at] = kept.get(at, 0) + held
    return max(kept.values(), default=0)


def _seconds(steps: Sequence[int], rows: int, speed: LayerSpeed) -> float:
    return sum(speed.visit_s + rows * count * speed.multiply_add_s for count in steps)


def _together(
    rehearsed: Rehearsal, owners: Sequence[int], rows: int, period: int | None, speed: LayerSpeed
) -> float:
    """Return the seconds of a minibatch: in every tick those of the rank with most to do."""
    ticks: dict[int, dict[int, list[int]]] = {}
    for (tick, i), count in rehearsed.steps.items():
        at = tick if period is None else tick % period
        ticks.setdefault(at, {}).setdefault(owners[i], []).append(count)
    return sum(
        max(_seconds(steps, rows, speed) for steps in by_rank.values())
        for by_rank in ticks.values()
    )
