"""Delivery of spikes to static synapses: integers added at the slots of the targets.

Spikes of recent ticks are kept in rings: `ids[g, tick % depth, :counts[g, tick % depth]]` are the
sources that the g-th shard of this process emitted in that tick. A spike is delivered when it is
due, not when it is emitted: all writes of a tick then fall on one small array that stays in the
cache, however long the delays are. Since integers are added, the order of delivery is free.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from biosim.kernels.decorators import compiled
from biosim.kernels.prefetch import prefetch

AHEAD = 8
"""Runs whose synapses are fetched before they are needed; where they begin is fetched before that,
and where that stands before that: with many ranks nothing of a spike is in the cache."""

LINES = 8
"""Lines of one source that are fetched at most: what is longer is found by the processor."""

SLOTS_A_LINE, WEIGHTS_A_LINE = 32, 16
"""Numbers that a line of the cache holds, of 2 and of 4 bytes."""


@compiled
def deliver_alike(
    ids: Any, counts: Any, place: Any, row: Any, start: Any, slot: Any, run_weight: Any, acc: Any
) -> int:
    """Deliver the spikes at `place` of the rings; one delay for all, one weight a run."""
    events = 0
    for g in range(ids.shape[0]):
        sources = ids[g, place, : counts[g, place]]
        for s in range(sources.shape[0]):
            if s + 3 * AHEAD < sources.shape[0]:
                prefetch(row, sources[s + 3 * AHEAD])
            if s + 2 * AHEAD < sources.shape[0]:
                run = row[sources[s + 2 * AHEAD]]
                prefetch(start, run)
                prefetch(run_weight, run)
            if s + AHEAD < sources.shape[0]:
                near = sources[s + AHEAD]
                first, last = start[row[near]], start[row[near + 1]]
                for m in range(first, min(last, first + LINES * SLOTS_A_LINE), SLOTS_A_LINE):
                    prefetch(slot, m)
            source = sources[s]
            for run in range(row[source], row[source + 1]):
                weight = run_weight[run]
                targets = slot[start[run] : start[run + 1]]
                for m in range(targets.shape[0]):
                    acc[targets[m]] += weight
                events += targets.shape[0]
    return events


@compiled
def deliver_each(
    ids: Any, counts: Any, place: Any, row: Any, start: Any, slot: Any, weight: Any, acc: Any
) -> int:
    """Deliver the spikes at `place` of the rings; one delay for all, a weight each synapse."""
    events = 0
    for g in range(ids.shape[0]):
        sources = ids[g, place, : counts[g, place]]
        for s in range(sources.shape[0]):
            if s + 3 * AHEAD < sources.shape[0]:
                prefetch(row, sources[s + 3 * AHEAD])
            if s + 2 * AHEAD < sources.shape[0]:
                prefetch(start, row[sources[s + 2 * AHEAD]])
            if s + AHEAD < sources.shape[0]:
                near = sources[s + AHEAD]
                first, last = start[row[near]], start[row[near + 1]]
                for m in range(first, min(last, first + LINES * SLOTS_A_LINE), SLOTS_A_LINE):
                    prefetch(slot, m)
                for m in range(first, min(last, first + LINES * WEIGHTS_A_LINE), WEIGHTS_A_LINE):
                    prefetch(weight, m)
            source = sources[s]
            first, last = start[row[source]], start[row[source + 1]]
            targets, weights = slot[first:last], weight[first:last]
            for m in range(targets.shape[0]):
                acc[targets[m]] += weights[m]
            events += targets.shape[0]
    return events


@compiled
def deliver_single_alike(
    ids: Any, counts: Any, place: Any, start: Any, slot: Any, run_weight: Any, acc: Any
) -> int:
    """Deliver as `deliver_alike` does where every source has one run, which has its number."""
    events = 0
    for g in range(ids.shape[0]):
        sources = ids[g, place, : counts[g, place]]
        for s in range(sources.shape[0]):
            if s + 2 * AHEAD < sources.shape[0]:
                prefetch(start, sources[s + 2 * AHEAD])
                prefetch(run_weight, sources[s + 2 * AHEAD])
            if s + AHEAD < sources.shape[0]:
                first, last = start[sources[s + AHEAD]], start[sources[s + AHEAD] + 1]
                for m in range(first, min(last, first + LINES * SLOTS_A_LINE), SLOTS_A_LINE):
                    prefetch(slot, m)
            source = sources[s]
            first, last = start[source], start[source + 1]
            weight = run_weight[source]
            for m in range(first, last):
                acc[slot[m]] += weight
            events += last - first
    return events


@compiled
def deliver_single_each(
    ids: Any, counts: Any, place: Any, start: Any, slot: Any, weight: Any, acc: Any
) -> int:
    """Deliver as `deliver_each` does where every source has one run, which has its number."""
    events = 0
    for g in range(ids.shape[0]):
        sources = ids[g, place, : counts[g, place]]
        for s in range(sources.shape[0]):
            if s + 2 * AHEAD < sources.shape[0]:
                prefetch(start, sources[s + 2 * AHEAD])
            if s + AHEAD < sources.shape[0]:
                first, last = start[sources[s + AHEAD]], start[sources[s + AHEAD] + 1]
                for m in range(first, min(last, first + LINES * SLOTS_A_LINE), SLOTS_A_LINE):
                    prefetch(slot, m)
                for m in range(first, min(last, first + LINES * WEIGHTS_A_LINE), WEIGHTS_A_LINE):
                    prefetch(weight, m)
            source = sources[s]
            first, last = start[source], start[source + 1]
            for m in range(first, last):
                acc[slot[m]] += weight[m]
            events += last - first
    return events


@compiled
def runs_at(ids: Any, counts: Any, place: Any, row: Any, due: Any) -> int:
    """Collect the runs of the spikes at `place` of the rings into `due`; return how many."""
    n = 0
    for g in range(ids.shape[0]):
        for s in range(counts[g, place]):
            source = ids[g, place, s]
            for run in range(row[source], row[source + 1]):
                due[n] = run
                n += 1
    return n


@compiled
def due_runs(
    ids: Any,
    counts: Any,
    cursor: Any,
    tick: Any,
    least: Any,
    most: Any,
    row: Any,
    delay: Any,
    due: Any,
) -> int:
    """Collect the runs that are due at `tick` into `due`; return how many.

    `cursor[g, place, s]` is the next run of the s-th spike at that place of the rings.
    """
    n = 0
    depth = ids.shape[1]
    for g in range(ids.shape[0]):
        for age in range(least, most + 1):
            place = (tick - age) % depth
            sources, runs = ids[g, place], cursor[g, place]
            for s in range(counts[g, place]):
                source = sources[s]
                run = row[source] if age == least else runs[s]
                last = row[source + 1]
                while run < last and delay[run] == age:
                    due[n] = run
                    n += 1
                    run += 1
                runs[s] = run
    return n


@compiled
def deliver_due_alike(n: Any, due: Any, start: Any, slot: Any, run_weight: Any, acc: Any) -> int:
    """Deliver n collected runs, one weight a run."""
    events = 0
    for r in range(n):
        if r + AHEAD < n:
            prefetch(slot, start[due[r + AHEAD]])
        run = due[r]
        weight = run_weight[run]
        targets = slot[start[run] : start[run + 1]]
        for m in range(targets.shape[0]):
            acc[targets[m]] += weight
        events += targets.shape[0]
    return events


@compiled
def deliver_due_each(n: Any, due: Any, start: Any, slot: Any, weight: Any, acc: Any) -> int:
    """Deliver n collected runs, a weight each synapse."""
    events = 0
    for r in range(n):
        if r + AHEAD < n:
            first, last = start[due[r + AHEAD]], start[due[r + AHEAD] + 1]
            for m in range(first, last, SLOTS_A_LINE):
                prefetch(slot, m)
            for m in range(first, last, WEIGHTS_A_LINE):
                prefetch(weight, m)
        run = due[r]
        targets, weights = slot[start[run] : start[run + 1]], weight[start[run] : start[run + 1]]
        for m in range(targets.shape[0]):
            acc[targets[m]] += weights[m]
        events += targets.shape[0]
    return events


@compiled
def wake_alike(
    n: Any, due: Any, start: Any, slot: Any, run_weight: Any, acc: Any, wakes: Any, tick: Any
) -> int:
    """Deliver n collected runs to an event-driven sheet, one weight a run.

    `wakes` is (touched, awake, mark, neurons): who is awake in this tick is noted once.
    """
    events = 0
    for r in range(n):
        run = due[r]
        targets = slot[start[run] : start[run + 1]]
        for m in range(targets.shape[0]):
            acc[targets[m]] += run_weight[run]
            wake(targets[m], wakes, tick)
        events += targets.shape[0]
    return events


@compiled
def wake_each(
    n: Any, due: Any, start: Any, slot: Any, weight: Any, acc: Any, wakes: Any, tick: Any
) -> int:
    """Deliver n collected runs to an event-driven sheet, a weight each synapse."""
    events = 0
    for r in range(n):
        run = due[r]
        for m in range(start[run], start[run + 1]):
            acc[slot[m]] += weight[m]
            wake(slot[m], wakes, tick)
        events += start[run + 1] - start[run]
    return events


@compiled
def wake_driven(acc: Any, first: Any, wakes: Any, tick: Any) -> None:
    """Note who has got input in a stretch of an event-driven sheet's sums."""
    for i in range(acc.shape[0]):
        if acc[i] != 0:
            wake(first + i, wakes, tick)


@compiled
def wake(slot: Any, wakes: Any, tick: Any) -> None:
    """Note that the neuron of a slot is awake in this tick."""
    touched, awake, mark, neurons = wakes
    neuron = np.int64(slot)
    while neuron >= neurons:  # receptor after receptor
        neuron -= neurons
    if mark[neuron] != tick:
        mark[neuron] = tick
        touched[awake[0]] = neuron
        awake[0] += 1
