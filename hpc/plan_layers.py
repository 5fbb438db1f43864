"""What a scenario of layers will need on so many ranks: memory, bytes, time of a minibatch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from biosim.network import Network
from biosim.placement import placed
from biosim.rehearsal import Rehearsal, dense_of
from hpc.calibration import ExchangeSpeed, LayerSpeed


@dataclass(frozen=True)
class LayerShare:
    """What one rank has of a layered network; bytes, multiply-adds and seconds of a minibatch.

    Args:
        layers: names.
        parameter_bytes: weights, biases, and what plasticity keeps.
        held_bytes: most that is kept for updates to come.
        sent_bytes: to other ranks.
        messages: to other ranks.
        multiply_adds: while it learns.
        compute_s: of it, without waiting.
    """

    layers: tuple[str, ...]
    parameter_bytes: int
    held_bytes: int
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
        exchanges: windows of a minibatch.
    """

    shares: Sequence[LayerShare]
    compute_s: float
    exchange_s: float
    exchanges: int


def planned(
    network: Network,
    ranks: int,
    rows: int,
    number_bytes: int,
    period: int | None,
    speed: LayerSpeed,
    exchange: ExchangeSpeed,
) -> LayerPlan:
    """Return what ranks will have to do for a minibatch.

    Args:
        network: the description.
        ranks: there are.
        rows: of a minibatch.
        number_bytes: of activity and weights.
        period: ticks from one minibatch to the next; None where one waits for the other.
        speed: of products.
        exchange: of messages.
    """
    rehearsed = Rehearsal(network, number_bytes)
    owners = placed(network, ranks)[: len(network.populations)]
    sent, messages = _crossing(network, rehearsed, owners, ranks, rows)
    shares = []
    for rank in range(ranks):
        mine = [i for i, owner in enumerate(owners) if owner == rank]
        blocks = [block for i in mine for block in dense_of(network, i)]
        steps = [count for (_, i), count in rehearsed.steps.items() if owners[i] == rank]
        inner = [i for i in mine if 0 < i < len(owners) - 1]
        shares.append(
            LayerShare(
                tuple(network.populations[i].name for i in inner),
                number_bytes * sum(block.numbers for block in blocks),
                rows * _held(rehearsed, mine, period),
                sent[rank],
                messages[rank],
                rows * sum(steps),
                _seconds(steps, rows, speed),
            )
        )
    compute_s = _together(rehearsed, owners, rows, period, speed)
    # A window is as long as the shortest delay, and begins with whoever wakes first.
    ticks = rehearsed.ticks if period is None else min(period, rehearsed.ticks)
    exchanges = -(-ticks // network.shortest_delay)
    each = exchange.seconds(ranks, max(messages) / exchanges, max(sent) / exchanges)
    return LayerPlan(shares, compute_s, exchanges * each, exchanges)


def _crossing(
    network: Network, rehearsed: Rehearsal, owners: Sequence[int], ranks: int, rows: int
) -> tuple[list[int], list[int]]:
    """Return bytes and messages that each rank sends to others."""
    sent, messages = [0] * ranks, [0] * ranks
    at = network.population_at
    for i, projection in enumerate(network.projections):
        here, there = owners[at[projection.source]], owners[at[projection.target]]
        if here != there:
            sent[here] += rows * rehearsed.sent_bytes[i]
            messages[here] += rehearsed.sent_events[i]
    return sent, messages


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
